"""EPOLL_WAIT: the events of an epoll set through the ring."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, results
from uring_rs import EpollOp, Sqe

pytestmark = pytest.mark.requires_op("EPOLL_WAIT", "EPOLL_CTL")

IN, OUT = select.EPOLLIN, select.EPOLLOUT


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


def add(ring: uring_rs.Ring, epoll: select.epoll, fd: int, events: int, data: int) -> None:
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, fd, events, data)
    assert one(ring).result() == 0


def test_waits(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, IN)
    assert one(ring).result() == 0
    ring.prep_epoll_wait(epoll, user_data="e")
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("e", 1, "EPOLL_WAIT")
    assert cqe.value == [(pipe.out, IN)]
    assert cqe.value == [(pipe.out, IN)]
    idle(ring)


def test_ready_already(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    add(ring, epoll, pipe.into, OUT, 2**64 - 1)
    for _ in range(2):  # level-triggered
        ring.prep_epoll_wait(epoll)
        assert one(ring).value == [(2**64 - 1, OUT)]


def test_what_select_epoll_has_added(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    epoll.register(pipe.into, OUT)
    ring.prep_epoll_wait(epoll)
    ((data, events),) = one(ring).value
    assert (data & 0xFFFF_FFFF, events) == (pipe.into, OUT)


def test_several(ring: uring_rs.Ring, epoll: select.epoll, pipes: Callable[[], Pipe]) -> None:
    made = [pipes() for _ in range(5)]
    for number, pipe in enumerate(made):
        add(ring, epoll, pipe.out, IN, number)
    for number in (1, 3, 4):
        made[number].feed()
    ring.prep_epoll_wait(epoll)
    cqe = one(ring)
    assert cqe.result() == 3
    assert sorted(cqe.value) == [(1, IN), (3, IN), (4, IN)]


def test_no_more_than_asked_for(
    ring: uring_rs.Ring, epoll: select.epoll, pipes: Callable[[], Pipe]
) -> None:
    made = [pipes() for _ in range(3)]
    for number, pipe in enumerate(made):
        add(ring, epoll, pipe.into, OUT, number)
    ring.prep_epoll_wait(epoll, 2)
    cqe = one(ring)
    assert cqe.result() == len(cqe.value) == 2


def test_cancel(ring: uring_rs.Ring, epoll: select.epoll) -> None:
    request = ring.prep_epoll_wait(epoll, user_data="wait")
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    assert results(ring, 2) == {"wait": -errno.ECANCELED, "cancel": 0}


def test_close_while_waiting(make_ring: Callable[..., uring_rs.Ring], epoll: select.epoll) -> None:
    with make_ring(4) as ring:
        ring.prep_epoll_wait(epoll, 65536)
        ring.submit()
    assert epoll.poll(0) == []


def test_as_an_entry(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    add(ring, epoll, pipe.out, IN, 7)
    sqe = Sqe.epoll_wait(epoll, 4, user_data="e")
    for _ in range(2):
        ring.push(sqe)
        with pytest.raises(BufferError, match="in flight"):
            ring.push(sqe)
        ring.submit()
        pipe.feed()
        cqe = one(ring)
        assert (cqe.user_data, cqe.value) == ("e", [(7, IN)])
        os.read(pipe.out, 1)


def test_not_an_epoll_set(ring: uring_rs.Ring, pipe: Pipe, closed_fd: int) -> None:
    ring.prep_epoll_wait(pipe.out)
    cqe = one(ring)
    failed(cqe, OSError, errno.EINVAL)
    assert cqe.value is None
    ring.prep_epoll_wait(closed_fd)
    failed(one(ring), OSError, errno.EBADF)


def test_bad_arguments(ring: uring_rs.Ring, epoll: select.epoll) -> None:
    for number in (0, -1, 65537, 2**40):
        with pytest.raises(ValueError, match="maxevents"):
            ring.prep_epoll_wait(epoll, number)
    with pytest.raises(TypeError):
        ring.prep_epoll_wait(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        ring.prep_epoll_wait(-1)
    idle(ring)

"""EPOLL_CTL: adding to, changing and taking out of an epoll set through the ring."""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator

import pytest

import uring_rs
from conformance.kit import Pair, Pipe, failed, idle, one, several
from uring_rs import EpollOp, SqeFlags

pytestmark = pytest.mark.requires_op("EPOLL_CTL")


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    with select.epoll() as epoll:
        yield epoll


def ready(epoll: select.epoll) -> list[tuple[int, int]]:
    return sorted(epoll.poll(0))


def test_add(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, select.EPOLLIN, user_data="e")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("e", 0, "EPOLL_CTL")
    assert ready(epoll) == []
    pipe.feed()
    assert ready(epoll) == [(pipe.out, select.EPOLLIN)]
    idle(ring)


def test_modify_modifies(ring: uring_rs.Ring, epoll: select.epoll, pair: Pair) -> None:
    """And does not delete: the file stays in the set, with other events."""
    fd = pair[0].fileno()
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, pair[0], select.EPOLLIN)
    assert one(ring).result() == 0
    assert ready(epoll) == []
    ring.prep_epoll_ctl(epoll, EpollOp.MOD, pair[0], select.EPOLLOUT)
    assert one(ring).result() == 0
    assert ready(epoll) == [(fd, select.EPOLLOUT)]
    pair[1].send(b"x")
    assert ready(epoll) == [(fd, select.EPOLLOUT)]
    ring.prep_epoll_ctl(epoll, EpollOp.MOD, pair[0], select.EPOLLIN)
    assert one(ring).result() == 0
    assert ready(epoll) == [(fd, select.EPOLLIN)]


def test_delete(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    pipe.feed()
    epoll.register(pipe.out, select.EPOLLIN)
    assert ready(epoll) == [(pipe.out, select.EPOLLIN)]
    ring.prep_epoll_ctl(epoll, EpollOp.DEL, pipe.out)
    assert one(ring).result() == 0
    assert ready(epoll) == []
    epoll.register(pipe.out, select.EPOLLIN)  # it was really out


def test_flags_of_events(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    pipe.feed()
    events = select.EPOLLIN | select.EPOLLONESHOT
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, events)
    assert one(ring).result() == 0
    assert ready(epoll) == [(pipe.out, select.EPOLLIN)]
    assert ready(epoll) == []
    ring.prep_epoll_ctl(epoll, EpollOp.MOD, pipe.out, select.EPOLLIN | select.EPOLLET)
    assert one(ring).result() == 0
    assert ready(epoll) == [(pipe.out, select.EPOLLIN)]
    assert ready(epoll) == []


@pytest.mark.parametrize("data", [0, 1, 2**31 - 1])
def test_data(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe, data: int) -> None:
    """select.epoll shows the data's low word as the descriptor."""
    pipe.feed()
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, select.EPOLLIN, data)
    assert one(ring).result() == 0
    assert ready(epoll) == [(data, select.EPOLLIN)]


def test_by_numbers_and_in_one_chain(ring: uring_rs.Ring, epoll: select.epoll, pair: Pair) -> None:
    number = pair[0].fileno()
    steps = [(1, select.EPOLLIN), (3, select.EPOLLOUT), (2, 0), (1, select.EPOLLOUT)]
    for tag, (op, events) in enumerate(steps):
        flags = SqeFlags.IO_LINK if tag < 3 else SqeFlags(0)
        ring.prep_epoll_ctl(epoll.fileno(), op, number, events, user_data=tag, flags=flags)
    assert [(cqe.user_data, cqe.res) for cqe in several(ring, 4)] == [(n, 0) for n in range(4)]
    assert ready(epoll) == [(number, select.EPOLLOUT)]


def test_failures(
    ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe, fd: int, closed_fd: int
) -> None:
    cases = [
        (epoll, EpollOp.MOD, pipe.out, FileNotFoundError, errno.ENOENT),
        (epoll, EpollOp.DEL, pipe.out, FileNotFoundError, errno.ENOENT),
        (epoll, EpollOp.ADD, fd, PermissionError, errno.EPERM),  # a regular file
        (epoll, EpollOp.ADD, closed_fd, OSError, errno.EBADF),
        (closed_fd, EpollOp.ADD, pipe.out, OSError, errno.EBADF),
        (pipe.out, EpollOp.ADD, pipe.into, OSError, errno.EINVAL),  # not an epoll
        (epoll, EpollOp.ADD, epoll, OSError, errno.EINVAL),
    ]
    for epfd, op, file, kind, number in cases:
        ring.prep_epoll_ctl(epfd, op, file, select.EPOLLIN)
        failed(one(ring), kind, number)
    epoll.register(pipe.out, select.EPOLLIN)
    ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, select.EPOLLIN)
    failed(one(ring), FileExistsError, errno.EEXIST)
    idle(ring)


def test_bad_arguments(ring: uring_rs.Ring, epoll: select.epoll, pipe: Pipe) -> None:
    for op in (0, 4, -1, 2**40):
        with pytest.raises(ValueError, match="EpollOp"):
            ring.prep_epoll_ctl(epoll, op, pipe.out)
    for events in (-1, 2**32):
        with pytest.raises(OverflowError):
            ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, events)
    for data in (-1, 2**64):
        with pytest.raises(OverflowError):
            ring.prep_epoll_ctl(epoll, EpollOp.ADD, pipe.out, 0, data)
    with pytest.raises(ValueError, match="negative"):
        ring.prep_epoll_ctl(-1, EpollOp.ADD, pipe.out)
    with pytest.raises(ValueError, match="negative"):
        ring.prep_epoll_ctl(epoll, EpollOp.ADD, -1)
    with pytest.raises(TypeError):
        ring.prep_epoll_ctl(epoll, EpollOp.ADD, None)  # type: ignore[arg-type]
    closed = select.epoll()
    closed.close()
    with pytest.raises(ValueError, match="closed epoll"):
        ring.prep_epoll_ctl(closed, EpollOp.ADD, pipe.out)
    idle(ring)

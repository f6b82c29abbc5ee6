"""An eventfd that counts completions: all of them, or those that did not complete at once."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from conformance.kit import Pipe, idle, one
from uring_rs import SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")


@pytest.fixture
def efd() -> Iterator[int]:
    efd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield efd
    os.close(efd)


def signalled(efd: int) -> bool:
    """Whether there was a signal since this was last asked."""
    try:
        return os.eventfd_read(efd) > 0
    except BlockingIOError:
        return False


def test_signals_completions(ring: uring_rs.Ring, efd: int) -> None:
    ring.prep_nop()
    one(ring)
    assert not signalled(efd)
    ring.register_eventfd(efd)
    assert not signalled(efd)
    ring.prep_nop()
    one(ring)
    assert signalled(efd)
    assert not signalled(efd)
    idle(ring)


def test_signals_what_comes_later(
    make_ring: Callable[..., uring_rs.Ring], efd: int, pipe: Pipe
) -> None:
    ring = make_ring(4)
    ring.register_eventfd(efd)
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.submit()
    assert not signalled(efd)
    pipe.feed()
    poll = select.poll()
    poll.register(efd, select.POLLIN)
    assert poll.poll() == [(efd, select.POLLIN)]
    assert one(ring).user_data == "read"


def test_async_only(ring: uring_rs.Ring, efd: int, pipe: Pipe) -> None:
    """What a worker thread did is signalled; what was done in submitting or on readiness is not."""
    ring.register_eventfd(efd, async_only=True)
    ring.prep_nop()
    one(ring)
    assert not signalled(efd)
    ring.prep_read(pipe.out, bytearray(1))
    ring.submit()
    pipe.feed()
    one(ring)
    assert not signalled(efd)
    ring.prep_nop(flags=SqeFlags.ASYNC)
    one(ring)
    assert signalled(efd)


def test_unregister(ring: uring_rs.Ring, efd: int) -> None:
    ring.register_eventfd(efd)
    ring.unregister_eventfd()
    ring.prep_nop()
    one(ring)
    assert not signalled(efd)
    ring.register_eventfd(efd, async_only=True)  # there is room again
    ring.unregister_eventfd()


def test_as_an_object(ring: uring_rs.Ring, efd: int) -> None:
    class Event:
        def fileno(self) -> int:
            return efd

    ring.register_eventfd(Event())
    ring.prep_nop()
    one(ring)
    assert signalled(efd)


def test_one_at_a_time(ring: uring_rs.Ring, efd: int) -> None:
    ring.register_eventfd(efd)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.register_eventfd(efd)
    assert caught.value.errno == errno.EBUSY
    assert "io_uring_register" in str(caught.value)


def test_none_to_unregister(ring: uring_rs.Ring) -> None:
    with pytest.raises(uring_rs.UringError) as caught:
        ring.unregister_eventfd()
    assert caught.value.errno == errno.ENXIO
    assert caught.value.cause == uring_rs.Cause.SHUTTING_DOWN


def test_bad_files(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    for number, code in ((fd, errno.EINVAL), (closed_fd, errno.EBADF)):
        with pytest.raises(uring_rs.UringError) as caught:
            ring.register_eventfd(number)
        assert caught.value.errno == code
    with pytest.raises(ValueError, match="negative"):
        ring.register_eventfd(-1)
    with pytest.raises(TypeError):
        ring.register_eventfd(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.register_eventfd(fd, True)  # type: ignore[misc]


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring], efd: int) -> None:
    ring = make_ring(4)
    ring.register_eventfd(efd)
    ring.close()
    for call in (lambda: ring.register_eventfd(efd), ring.unregister_eventfd):
        with pytest.raises(uring_rs.RingClosed):
            call()

"""An eventfd that counts completions: all of them, or those that did not complete at once."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from conformance.kit import Pipe, idle, one
from uring_rs import SetupFlags, SqeFlags

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


def test_switched_off(ring: uring_rs.Ring, efd: int) -> None:
    assert ring.cq_eventfd_enabled
    ring.register_eventfd(efd)
    for enabled in (False, False, True, True, False, True):
        ring.cq_eventfd_enabled = enabled
        assert ring.cq_eventfd_enabled is enabled
        ring.prep_nop()
        one(ring)
        # The flag that the kernel reads in the ring's memory: CqRingFlags.EVENTFD_DISABLED.
        assert signalled(efd) is enabled
    idle(ring)


@pytest.mark.parametrize(
    "flags",
    [
        SetupFlags.NO_MMAP,
        SetupFlags.NO_SQARRAY,
        SetupFlags.CQE32,
        SetupFlags.SQE128,
        SetupFlags.SQPOLL,
        SetupFlags.NO_MMAP | SetupFlags.CQE_MIXED,
    ],
    ids=repr,
)
def test_switched_off_in_rings_of_all_kinds(
    make_ring: Callable[..., uring_rs.Ring], efd: int, flags: SetupFlags
) -> None:
    missing = flags & ~uring_rs.probe().setup_flags
    if missing:
        pytest.skip(f"the running kernel lacks the set-up flags {missing!r}")
    ring = make_ring(4, flags=flags)
    ring.register_eventfd(efd)
    ring.cq_eventfd_enabled = False
    ring.prep_nop()
    one(ring)
    assert not signalled(efd)
    ring.cq_eventfd_enabled = True
    ring.prep_nop()
    one(ring)
    # A poll thread shows a completion before it signals it.
    poll = select.poll()
    poll.register(efd, select.POLLIN)
    assert poll.poll(5000) == [(efd, select.POLLIN)]


def test_switched_off_without_an_eventfd(ring: uring_rs.Ring, efd: int) -> None:
    ring.cq_eventfd_enabled = False
    ring.register_eventfd(efd)
    assert not ring.cq_eventfd_enabled
    ring.prep_nop()
    one(ring)
    assert not signalled(efd)
    ring.unregister_eventfd()
    assert not ring.cq_eventfd_enabled


def test_switched_off_and_resized(open_ring: Callable[..., uring_rs.Ring], efd: int) -> None:
    flags = SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN | SetupFlags.NO_SQARRAY
    if flags & ~uring_rs.probe().setup_flags:
        pytest.skip("the running kernel lacks NO_SQARRAY")
    ring = open_ring(4, flags=flags)
    ring.register_eventfd(efd)
    ring.cq_eventfd_enabled = False
    try:
        ring.resize(16)
    except uring_rs.UnsupportedOperation as error:
        pytest.skip(f"the running kernel resizes no rings: {error}")
    assert not ring.cq_eventfd_enabled
    ring.prep_nop()
    one(ring)
    assert not signalled(efd)
    ring.cq_eventfd_enabled = True
    ring.prep_nop()
    one(ring)
    assert signalled(efd)


def test_bad_switches(ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring]) -> None:
    for wrong in (None, 1, "yes"):
        with pytest.raises(TypeError):
            ring.cq_eventfd_enabled = wrong  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        del ring.cq_eventfd_enabled
    closed = make_ring(4)
    closed.cq_eventfd_enabled = False
    closed.close()
    assert closed.cq_eventfd_enabled
    with pytest.raises(uring_rs.RingClosed):
        closed.cq_eventfd_enabled = False

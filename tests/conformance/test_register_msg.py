"""send_msg: a completion in somebody else's ring, which must do no harm in one of ours."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, one
from uring_rs import CqeFlags, send_msg

pytestmark = pytest.mark.requires_op("MSG_RING", "READ")


@pytest.fixture
def target(shared: bool) -> Iterator[uring_rs.Ring]:
    """A ring that gets what it did not ask for; somebody has used it."""
    with uring_rs.Ring(8, shared=shared) as ring:
        ring.prep_nop()
        one(ring)
        yield ring


def test_a_message(target: uring_rs.Ring, pipe: Pipe) -> None:
    """It comes in the form that rings send each other, and is nobody's completion."""
    buf = bytearray(4)
    request = target.prep_read(pipe.out, buf)
    target.submit()
    send_msg(target, 7, 5)
    send_msg(target.fileno(), -5, 2**56 - 1, cqe_flags=CqeFlags.MORE)
    seen: list[tuple[object, int]] = []
    while len(seen) + target.stray_completions < 2:
        target.wait(timeout=0.001)
        seen += [(cqe.user_data, cqe.res) for cqe in target]
    assert seen in ([], [(5, 7), (2**56 - 1, -5)])
    assert target.is_live(request)
    assert target.in_flight == 1


def test_numbers_and_flags_of_a_message(target: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="raw"):
        send_msg(target, 0, 1 << 56)
    for flags in (CqeFlags.BUFFER, CqeFlags.NOTIF, CqeFlags.F_32 | CqeFlags.MORE):
        with pytest.raises(ValueError, match="flags"):
            send_msg(target, 0, 0, cqe_flags=flags)


def test_an_unexpected_completion_is_counted(target: uring_rs.Ring) -> None:
    send_msg(target, 7, 0xFF, raw=True)
    send_msg(target.fileno(), -1, 2**64 - 1, raw=True)
    flags = CqeFlags.MORE | CqeFlags.NOTIF | CqeFlags.BUFFER
    send_msg(target, 2**31 - 1, 16, cqe_flags=flags, raw=True)
    target.wait(timeout=0)
    assert target.reap() == []
    assert target.stray_completions == 3
    assert target.in_flight == 0


def test_requests_in_flight_are_not_touched(target: uring_rs.Ring, pipe: Pipe) -> None:
    """Whatever the key: those that name a request cannot be sent."""
    buf = bytearray(4)
    request = target.prep_read(pipe.out, buf, user_data="read")
    target.submit()
    for key in (request.key, request.key | 1, request.key | 3, 0, 1, 2, 3, 4, 15, 1 << 63):
        with pytest.raises(ValueError, match="low byte"):
            send_msg(target, 4, key, raw=True)
        with pytest.raises(ValueError, match="low byte"):
            send_msg(target.fileno(), 4, key, raw=True)
    send_msg(target, 4, request.key | 0x80, raw=True)
    target.wait(timeout=0)
    assert target.is_live(request)
    with pytest.raises(BufferError):
        buf.append(0)
    pipe.feed(b"data")
    assert one(target).user_data == "read"
    assert buf == b"data"


def test_flags_that_change_the_layout(target: uring_rs.Ring) -> None:
    for flags in (CqeFlags.F_32, CqeFlags.SKIP, CqeFlags.MORE | CqeFlags.F_32):
        with pytest.raises(ValueError, match="flags"):
            send_msg(target, 0, 255, cqe_flags=flags, raw=True)
    assert target.stray_completions == 0


def test_more_than_the_queue_holds(target: uring_rs.Ring, fd: int) -> None:
    """They overflow like others, and what comes after is not lost."""
    for number in range(3 * target.cq_entries):
        send_msg(target, number, 255, raw=True)
    buf = bytearray(16)
    target.prep_read(fd, buf, 0)
    target.submit(wait=1)
    assert target.reap()[0].res == 16
    assert buf == CONTENT[:16]
    while target.stray_completions < 3 * target.cq_entries:
        target.wait(timeout=0.001)
    assert target.reap() == []


def test_from_another_thread(target: uring_rs.Ring) -> None:
    thread = threading.Thread(
        target=lambda: [send_msg(target, 0, 255, raw=True) for _ in range(100)]
    )
    thread.start()
    while target.stray_completions < 100:
        target.wait(timeout=0.001)
        assert target.reap() == []
    thread.join()


def test_a_ring_that_nobody_has_used(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """It is not enabled yet: its thread is not known."""
    with pytest.raises(uring_rs.UringError) as caught:
        send_msg(open_ring(4), 0, 255, raw=True)
    assert caught.value.errno == errno.EBADFD


def test_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        send_msg(ring, 0, 255, raw=True)


def test_bad_arguments(target: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    for number, code in ((fd, errno.EBADFD), (closed_fd, errno.EBADF)):
        with pytest.raises(uring_rs.UringError) as caught:
            send_msg(number, 0, 255, raw=True)
        assert caught.value.errno == code
    with pytest.raises(ValueError, match="negative"):
        send_msg(-1, 0, 255, raw=True)
    for res, key in ((1 << 31, 255), (-(1 << 31) - 1, 255), (0, -1), (0, 1 << 64)):
        with pytest.raises(OverflowError):
            send_msg(target, res, key, raw=True)
    with pytest.raises(OverflowError):
        send_msg(target, 0, 255, cqe_flags=1 << 32)
    for wrong in (None, "ring", 1.5):
        with pytest.raises(TypeError):
            send_msg(wrong, 0, 255, raw=True)  # type: ignore[arg-type]

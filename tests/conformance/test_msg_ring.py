"""MSG_RING: messages from ring to ring, of one thread, of two, of two processes."""

from __future__ import annotations

import ctypes
import errno
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, several
from helpers.child import child_env
from uring_rs import CqeFlags, RegisterOp, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("MSG_RING")

LARGEST = 2**56 - 1
SYS_IO_URING_REGISTER = 427


@pytest.fixture
def other(make_ring: Callable[..., uring_rs.Ring]) -> uring_rs.Ring:
    """A second ring, in use."""
    ring = make_ring(16)
    ring.submit()
    return ring


def arrived(ring: uring_rs.Ring, count: int = 1) -> list[tuple[object, int, int]]:
    """What so many messages carry; each is plainly a message."""
    found = several(ring, count)
    for cqe in found:
        assert cqe.op == "MSG_RING"
        assert cqe.value == cqe.user_data
        assert not cqe.request.live
    return [tuple(cqe) for cqe in found]  # type: ignore[misc]


def test_a_message(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    ring.prep_msg_ring(other, 5, 7, user_data="sent")
    sent = one(ring)
    assert (sent.user_data, sent.result(), sent.op, sent.value) == ("sent", 0, "MSG_RING", None)
    assert arrived(other) == [(7, 5, 0)]
    idle(ring)
    idle(other)


@pytest.mark.parametrize("res", [0, 1, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("data", [0, 1, 255, 256, 2**32, LARGEST])
def test_numbers(ring: uring_rs.Ring, other: uring_rs.Ring, res: int, data: int) -> None:
    ring.prep_msg_ring(other, res, data)
    assert one(ring).res == 0
    assert arrived(other) == [(data, res, 0)]


def test_an_error_as_a_message(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    ring.prep_msg_ring(other, -errno.ENOENT)
    one(ring)
    failed(one(other), FileNotFoundError, errno.ENOENT)


def test_flags(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    flags = CqeFlags.MORE | CqeFlags.SOCK_NONEMPTY | 1 << 20
    ring.prep_msg_ring(other, 1, 2, cqe_flags=flags)
    assert one(ring).result() == 0
    assert arrived(other) == [(2, 1, flags)]
    assert other.in_flight == 0


def test_to_itself(ring: uring_rs.Ring) -> None:
    ring.prep_msg_ring(ring, 3, 4, user_data="sent")
    ring.submit(wait=2)
    found = {cqe.user_data: (cqe.res, cqe.value) for cqe in ring}
    assert found == {"sent": (0, None), 4: (3, 4)}
    idle(ring)


def test_by_descriptor(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    ring.prep_msg_ring(other.fileno(), 1, 2)
    assert one(ring).result() == 0
    assert arrived(other) == [(2, 1, 0)]


def test_in_order_and_more_than_the_queue_holds(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring]
) -> None:
    small = make_ring(1, cq_entries=2)
    small.submit()
    for number in range(32):
        ring.prep_msg_ring(small, number, number)
        assert one(ring).result() == 0
    found: list[object] = []
    while len(found) < 32:
        small.wait(min=1)
        found += [(cqe.value, cqe.res) for cqe in small]
    assert found == [(number, number) for number in range(32)]


def test_among_other_completions(
    ring: uring_rs.Ring, other: uring_rs.Ring, pipes: Callable[[], Pipe]
) -> None:
    """Before, between and after requests that hold buffers, and such as hold none."""
    buffers = [bytearray(1) for _ in range(6)]
    expected: dict[object, int] = {}
    for number, buf in enumerate(buffers):
        pipe = pipes()
        other.prep_read(pipe.out, buf, user_data=f"read {number}")
        other.submit()
        ring.prep_msg_ring(other, number, number)
        assert one(ring).result() == 0
        pipe.feed()
        other.prep_nop(f"nop {number}")
        other.submit()
        expected |= {number: number, f"read {number}": 1, f"nop {number}": 0}
    ring.prep_msg_ring(other, 99, 99)
    assert one(ring).result() == 0
    expected[99] = 99
    found: dict[object, int] = {}
    while len(found) < len(expected):
        other.wait(min=1)
        found |= {cqe.user_data: cqe.res for cqe in other}
    assert found == expected
    for buf in buffers:
        buf.append(0)
    idle(other)


def test_during_bulk_work(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    for number in range(3):
        ring.prep_msg_ring(other, number, number)
        assert one(ring).result() == 0
    assert set(other.run_nops(200)) == {0}
    assert arrived(other, 3) == [(number, number, 0) for number in range(3)]


def test_unread_when_the_receiver_closes(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    other.prep_timeout(10_000, user_data="t")
    other.submit()
    ring.prep_msg_ring(other, 1, 2)
    assert one(ring).result() == 0
    assert other.cq_ready == 1
    other.close()
    assert sorted(cqe.res for cqe in other) == [-errno.ECANCELED, 1]


def test_links(ring: uring_rs.Ring, other: uring_rs.Ring, pipe: Pipe) -> None:
    """Have another ring told when something is done."""
    ring.prep_read(pipe.out, bytearray(1), flags=SqeFlags.IO_LINK)
    ring.prep_msg_ring(other, 1, 2, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.submit()
    assert other.pop() is None
    pipe.feed()
    assert one(ring).op == "READ"
    assert arrived(other) == [(2, 1, 0)]


def test_peek_and_trace(ring: uring_rs.Ring, open_ring: Callable[..., uring_rs.Ring]) -> None:
    events: list[tuple[str, object]] = []
    traced = open_ring(4, trace=lambda name, info: events.append((name, info.get("op"))))
    traced.submit()
    ring.prep_msg_ring(traced, 1, 2)
    assert one(ring).result() == 0
    shown = traced.wait() and traced.peek()
    assert isinstance(shown, uring_rs.Completion)
    assert shown.user_data == 2
    assert traced.pop() is shown
    assert ("complete", "MSG_RING") in events


# --- threads and processes


def test_wakes_another_thread(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ready = threading.Event()
    rings: list[uring_rs.Ring] = []
    found: list[tuple[object, ...]] = []

    def receive() -> None:
        with make_ring(4) as ring:
            ring.submit()
            rings.append(ring)
            ready.set()
            found.extend(tuple(ring.wait_cqe()) for _ in range(3))

    thread = threading.Thread(target=receive)
    thread.start()
    ready.wait()
    ring = make_ring(4)
    for number in range(3):
        ring.prep_msg_ring(rings[0], number, 7)
        assert one(ring).result() == 0
    thread.join()
    assert found == [(7, number, 0) for number in range(3)]
    with pytest.raises(uring_rs.RingClosed):
        ring.prep_msg_ring(rings[0])


def test_a_ring_that_nobody_has_used(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """An owned ring comes to life in its thread: until then it takes no messages."""
    ring, fresh = open_ring(4), open_ring(4)
    ring.prep_msg_ring(fresh)
    failed(one(ring), OSError, errno.EBADFD)
    fresh.submit()
    ring.prep_msg_ring(fresh)
    assert one(ring).result() == 0
    assert arrived(fresh) == [(0, 0, 0)]


CHILD = """
import sys, uring_rs
with uring_rs.Ring(4) as ring:
    ring.prep_msg_ring(int(sys.argv[1]), 11, 22)
    ring.submit(wait=1)
    print(ring.pop().res)
"""


def test_from_another_process(ring: uring_rs.Ring) -> None:
    ring.submit()
    fd = ring.fileno()
    command = [sys.executable, "-c", CHILD, str(fd)]
    env = child_env()
    done = subprocess.run(command, env=env, check=True, capture_output=True, pass_fds=[fd])
    assert done.stdout == b"0\n"
    assert arrived(ring) == [(22, 11, 0)]


class Entry(ctypes.Structure):
    """The fields of io_uring_sqe that a message has."""

    _fields_ = (
        ("opcode", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("ioprio", ctypes.c_uint16),
        ("fd", ctypes.c_int32),
        ("off", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
        ("len", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 36),
    )


@pytest.mark.parametrize("foreign", [1 << 32, 0xFFFF_FFFF_FFFF_FF00, 6, 0xFF, 0xABCD_0000_0003])
def test_what_is_neither_message_nor_request(foreign: int) -> None:
    """Somebody else with the ring's descriptor can send anything: it is counted, no more."""
    assert ctypes.sizeof(Entry) == 64
    libc = ctypes.CDLL(None, use_errno=True)
    with uring_rs.Ring(4) as ring:
        request = ring.prep_timeout(10_000)
        ring.submit()
        entry = Entry(opcode=40, fd=ring.fileno(), off=foreign, len=1)
        number, sent = RegisterOp.SEND_MSG_RING, ctypes.byref(entry)
        if libc.syscall(SYS_IO_URING_REGISTER, -1, int(number), sent, 1) < 0:
            assert ctypes.get_errno() == errno.EINVAL
            pytest.skip("this kernel has no REGISTER_SEND_MSG_RING (Linux 6.13)")
        ring.wait(min=1, timeout=0.05)
        assert ring.pop() is None
        assert ring.stray_completions == 1
        assert request.live


# --- prepared entries, and arguments that make no sense


def test_as_an_entry(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    sqe = Sqe.msg_ring(other, 1, 2, user_data="sent")
    for _ in range(3):
        ring.push(sqe)
        assert one(ring).user_data == "sent"
    assert arrived(other, 3) == [(2, 1, 0)] * 3


def test_not_a_ring(ring: uring_rs.Ring, pipe: Pipe, closed_fd: int) -> None:
    ring.prep_msg_ring(pipe.out)
    failed(one(ring), OSError, errno.EBADFD)
    ring.prep_msg_ring(closed_fd)
    failed(one(ring), OSError, errno.EBADF)


def test_bad_arguments(ring: uring_rs.Ring, other: uring_rs.Ring) -> None:
    for res in (2**31, -(2**31) - 1):
        with pytest.raises(ValueError, match="res"):
            ring.prep_msg_ring(other, res)
    for data in (-1, 2**56, 2**64):
        with pytest.raises(ValueError, match="data"):
            ring.prep_msg_ring(other, 0, data)
    for flag in ("BUFFER", "NOTIF", "BUF_MORE", "SKIP", "F_32"):
        with pytest.raises(ValueError, match="flags"):
            ring.prep_msg_ring(other, cqe_flags=CqeFlags[flag] | CqeFlags.MORE)
    for wrong in (None, "ring", 1.5):
        with pytest.raises(TypeError):
            ring.prep_msg_ring(wrong)  # type: ignore[arg-type]
    simulated = uring_rs.Ring(4, kernel=uring_rs.SimKernel(1))
    with simulated, pytest.raises(ValueError, match="simulated"):
        ring.prep_msg_ring(simulated)
    other.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.prep_msg_ring(other)
    idle(ring)

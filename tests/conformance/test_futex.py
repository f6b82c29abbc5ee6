"""FUTEX_WAIT, FUTEX_WAKE and FUTEX_WAITV on words in buffers, within and across processes."""

from __future__ import annotations

import array
import ctypes
import errno
import mmap
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import failed, idle, one, results, several
from helpers.child import child_env
from uring_rs import Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_WAITV")

CANCELED = -errno.ECANCELED
SYS_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine())
FUTEX_WAIT_PRIVATE = 128


def words(*values: int) -> bytearray:
    """A buffer with these 32-bit words, aligned as memory from the allocator is."""
    return bytearray(array.array("I", values))


def locked(buf: bytearray) -> bool:
    """Whether the buffer refuses to change its size."""
    try:
        buf.append(0)
    except BufferError:
        return True
    buf.pop()
    return False


# --- wait and wake


def test_wait_and_wake(ring: uring_rs.Ring) -> None:
    buf = words(7)
    ring.prep_futex_wait(buf, 7, user_data="wait")
    ring.submit()
    assert ring.pop() is None
    assert locked(buf)
    ring.prep_futex_wake(buf, user_data="wake")
    found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert (found["wait"].result(), found["wait"].op) == (0, "FUTEX_WAIT")
    assert (found["wake"].result(), found["wake"].op) == (1, "FUTEX_WAKE")
    assert found["wait"].value is None
    assert not locked(buf)
    idle(ring)


@pytest.mark.parametrize("value", [0, 6, 2**32 - 1])
def test_another_value(ring: uring_rs.Ring, value: int) -> None:
    ring.prep_futex_wait(words(7), value)
    failed(one(ring), BlockingIOError, errno.EAGAIN)
    idle(ring)


def test_all_32_bits_are_compared(ring: uring_rs.Ring) -> None:
    buf = words(2**32 - 1)
    ring.prep_futex_wait(buf, 2**32 - 1, user_data="wait")
    ring.prep_futex_wake(buf, user_data="wake")
    assert results(ring, 2) == {"wait": 0, "wake": 1}


def test_nobody_to_wake(ring: uring_rs.Ring) -> None:
    ring.prep_futex_wake(words(0), 100)
    assert one(ring).result() == 0


@pytest.mark.parametrize(("count", "woken"), [(0, 0), (1, 1), (2, 2), (3, 3), (2**31 - 1, 3)])
def test_count(ring: uring_rs.Ring, count: int, woken: int) -> None:
    buf = words(0)
    for _ in range(3):
        ring.prep_futex_wait(buf, 0)
    ring.submit()
    ring.prep_futex_wake(buf, count)
    ring.submit(wait=woken + 1)
    assert sorted(cqe.result() for cqe in ring) == [0] * woken + [woken] if woken else [0]
    assert ring.in_flight == 3 - woken


def test_the_word_is_the_one_at_offset(ring: uring_rs.Ring) -> None:
    buf = words(1, 2, 3)
    for number in range(3):
        ring.prep_futex_wait(buf, number + 1, 4 * number, user_data=number)
    ring.submit()
    for number in (1, 2, 0):
        ring.prep_futex_wake(buf, offset=4 * number, user_data="wake")
        assert results(ring, 2) == {number: 0, "wake": 1}
    idle(ring)


def test_mask(ring: uring_rs.Ring) -> None:
    buf = words(0)
    ring.prep_futex_wait(buf, 0, mask=0b01, user_data="low")
    ring.prep_futex_wait(buf, 0, mask=0b10, user_data="high")
    ring.submit()
    ring.prep_futex_wake(buf, 9, mask=0b10, user_data="wake")
    assert results(ring, 2) == {"high": 0, "wake": 1}
    ring.prep_futex_wake(buf, 9, mask=0b110, user_data="wake")
    assert one(ring).res == 0
    ring.prep_futex_wake(buf, 9, user_data="wake")
    assert results(ring, 2) == {"low": 0, "wake": 1}


def test_private_and_shared_do_not_meet(ring: uring_rs.Ring) -> None:
    with mmap.mmap(-1, 4096) as memory:
        ring.prep_futex_wait(memory, 0, shared=True, user_data="wait")
        ring.submit()
        ring.prep_futex_wake(memory, user_data="wake")
        assert one(ring).res == 0
        ring.prep_futex_wake(memory, shared=True, user_data="wake")
        assert results(ring, 2) == {"wait": 0, "wake": 1}


def test_a_shared_word_of_two_mappings(ring: uring_rs.Ring, path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096) as here:
        here[:4] = bytes(4)
        with mmap.mmap(file.fileno(), 4096) as there:
            ring.prep_futex_wait(here, 0, shared=True, user_data="wait")
            ring.submit()
            ring.prep_futex_wake(there, shared=True, user_data="wake")
            assert results(ring, 2) == {"wait": 0, "wake": 1}


CHILD = """
import mmap, sys, uring_rs
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
    with uring_rs.Ring(4) as ring:
        memory[:4] = b"\\1\\0\\0\\0"
        ring.prep_futex_wake(memory, shared=True)
        ring.submit(wait=1)
        print(ring.pop().result())
"""


def test_another_process_wakes(ring: uring_rs.Ring, path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 4096) as memory:
        memory[:4] = bytes(4)
        ring.prep_futex_wait(memory, 0, shared=True)
        ring.submit()
        command = [sys.executable, "-c", CHILD, str(path)]
        woken = subprocess.run(command, env=child_env(), check=True, capture_output=True)
        assert woken.stdout == b"1\n"
        assert one(ring).result() == 0
        assert memory[:4] == b"\1\0\0\0"


@pytest.mark.skipif(SYS_FUTEX is None, reason="the number of futex(2) here is not known")
def test_wakes_a_thread_that_sleeps_by_the_system_call(ring: uring_rs.Ring) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    buf = words(0)
    word = ctypes.c_uint32.from_buffer(buf)
    thread = threading.Thread(
        target=libc.syscall,
        args=(SYS_FUTEX, ctypes.byref(word), FUTEX_WAIT_PRIVATE, 0, None, None, 0),
    )
    thread.start()
    woken = 0
    while not woken:  # until it sleeps
        ring.prep_futex_wake(buf)
        woken = one(ring).result()
    assert woken == 1
    thread.join()


def test_cancel(ring: uring_rs.Ring) -> None:
    buf = words(0)
    request = ring.prep_futex_wait(buf, 0, user_data="wait")
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    # The kernel counts here where it says 0 for other requests.
    assert results(ring, 2) == {"wait": CANCELED, "cancel": 1}
    assert not locked(buf)
    ring.prep_futex_wake(buf)
    assert one(ring).res == 0


def test_link_timeout(ring: uring_rs.Ring) -> None:
    ring.prep_futex_wait(words(0), 0, user_data="wait", flags=SqeFlags.IO_LINK)
    ring.prep_link_timeout(0, user_data="timeout")
    assert results(ring, 2) == {"wait": CANCELED, "timeout": 1}  # not ETIME


def test_close_while_waiting(make_ring: Callable[..., uring_rs.Ring]) -> None:
    buf = words(0, 0)
    with make_ring(4) as ring:
        ring.prep_futex_wait(buf, 0)
        ring.prep_futex_waitv([(buf, 0), (buf, 0, 4)])
        ring.submit()
        assert locked(buf)
    assert not locked(buf)


# --- several words


@pytest.mark.parametrize("which", [0, 1, 2])
def test_waitv(ring: uring_rs.Ring, which: int) -> None:
    bufs = [words(5), words(6, 7)]
    ring.prep_futex_waitv([(bufs[0], 5), (bufs[1], 6, 0), (bufs[1], 7, 4)], user_data="wait")
    ring.submit()
    assert all(map(locked, bufs))
    buf, offset = [(bufs[0], 0), (bufs[1], 0), (bufs[1], 4)][which]
    ring.prep_futex_wake(buf, offset=offset, user_data="wake")
    found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert (found["wait"].result(), found["wait"].op) == (which, "FUTEX_WAITV")
    assert found["wake"].result() == 1
    assert not any(map(locked, bufs))
    idle(ring)


def test_waitv_another_value(ring: uring_rs.Ring) -> None:
    ring.prep_futex_waitv([(words(5), 5), (words(6), 0)])
    failed(one(ring), BlockingIOError, errno.EAGAIN)


def test_waitv_of_as_many_as_there_can_be(ring: uring_rs.Ring) -> None:
    buf = words(*range(128))
    ring.prep_futex_waitv(((buf, n, 4 * n) for n in range(128)), user_data="wait")
    ring.submit()
    ring.prep_futex_wake(buf, offset=4 * 127, user_data="wake")
    assert results(ring, 2) == {"wait": 127, "wake": 1}


def test_waitv_shared(ring: uring_rs.Ring) -> None:
    with mmap.mmap(-1, 4096) as memory:
        ring.prep_futex_waitv([(memory, 0, 8)], shared=True, user_data="wait")
        ring.submit()
        ring.prep_futex_wake(memory, offset=8, shared=True, user_data="wake")
        assert results(ring, 2) == {"wait": 0, "wake": 1}


def test_waitv_cancel(ring: uring_rs.Ring) -> None:
    buf = words(0)
    request = ring.prep_futex_waitv([(buf, 0)], user_data="wait")
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    # The kernel counts here where it says 0 for other requests.
    assert results(ring, 2) == {"wait": CANCELED, "cancel": 1}
    assert not locked(buf)


def test_waitv_keeps_what_it_needs(ring: uring_rs.Ring) -> None:
    """The list, and the buffers in it, may go after the call."""
    buf = words(1, 2)
    view = memoryview(buf)
    items = [(view, 1, 0), (view, 2, 4)]
    ring.prep_futex_waitv(items, user_data="wait")
    items.clear()
    del view
    ring.submit()
    ring.prep_futex_wake(buf, offset=4, user_data="wake")
    assert results(ring, 2) == {"wait": 1, "wake": 1}
    assert not locked(buf)


# --- prepared entries


def test_as_entries(ring: uring_rs.Ring) -> None:
    buf = words(0, 0)
    wait = Sqe.futex_wait(buf, 0, user_data="wait")
    waitv = Sqe.futex_waitv([(buf, 0), (buf, 0, 4)], user_data="waitv")
    wake = Sqe.futex_wake(buf, 9, user_data="wake")
    for _ in range(2):
        ring.push_many([wait, waitv])
        ring.submit()
        ring.push(wake)
        assert results(ring, 3) == {"wait": 0, "waitv": 0, "wake": 2}
    assert locked(buf)
    del wait, waitv, wake
    assert not locked(buf)


# --- arguments that make no sense


def test_bad_words(ring: uring_rs.Ring) -> None:
    buf = words(0, 0)
    for offset in (-1, -4, 5, 8, 2**40, -(2**63), 2**63 - 1):
        for prep in (
            lambda o: ring.prep_futex_wait(buf, 0, o),
            lambda o: ring.prep_futex_wake(buf, 1, o),
            lambda o: ring.prep_futex_waitv([(buf, 0), (buf, 0, o)]),
        ):
            with pytest.raises(ValueError, match="within"):
                prep(offset)
    for offset in (1, 2, 3):
        with pytest.raises(ValueError, match="aligned"):
            ring.prep_futex_wait(buf, 0, offset)
        with pytest.raises(ValueError, match="aligned"):
            ring.prep_futex_waitv([(buf, 0, offset)])
    for small in (b"", b"abc"):
        with pytest.raises(ValueError, match="within"):
            ring.prep_futex_wait(small, 0)
    assert not locked(buf)
    idle(ring)


def test_bad_numbers(ring: uring_rs.Ring) -> None:
    buf = words(0)
    for value in (-1, 2**32):
        with pytest.raises(OverflowError):
            ring.prep_futex_wait(buf, value)
        with pytest.raises(OverflowError):
            ring.prep_futex_wait(buf, 0, mask=value)
        with pytest.raises(OverflowError):
            ring.prep_futex_waitv([(buf, value, 0)])
    for count in (-1, 2**31):
        with pytest.raises(ValueError, match="count"):
            ring.prep_futex_wake(buf, count)
    for prep in (ring.prep_futex_wait, ring.prep_futex_wake):
        with pytest.raises(ValueError, match="mask"):
            prep(buf, 0, mask=0)
    assert not locked(buf)
    idle(ring)


def test_bad_types(ring: uring_rs.Ring) -> None:
    with pytest.raises(TypeError):
        ring.prep_futex_wait(5, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.prep_futex_wait(words(0), 0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        ring.prep_futex_waitv([])
    with pytest.raises(ValueError, match="128"):
        ring.prep_futex_waitv([(words(0), 0)] * 129)
    for item in (None, 5, (words(0),), (words(0), 0, 0, 0), (words(0), "a")):
        with pytest.raises(TypeError, match="buf, value, offset"):
            ring.prep_futex_waitv([item])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        ring.prep_futex_waitv(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.prep_futex_waitv([(5, 0, 0)])  # type: ignore[list-item]
    idle(ring)

"""Registered buffers of the caller's own: table, handles, and the operations on them."""

from __future__ import annotations

import array
import errno
import gc
import mmap
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one, results
from uring_rs import RegisteredBuffer, SetupFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("READ_FIXED", "WRITE_FIXED")


def registered(ring: uring_rs.Ring, *buffers: bytearray) -> list[RegisteredBuffer]:
    """Handles of these buffers, all of which are there."""
    handles = [handle for handle in ring.register_buffers(buffers) if handle is not None]
    assert len(handles) == len(buffers)
    return handles


def locked(buf: bytearray) -> bool:
    """Whether somebody has an export of it."""
    try:
        buf.append(0)
    except BufferError:
        return True
    del buf[-1]
    return False


# --- reading and writing


def test_read_and_write(ring: uring_rs.Ring, fd: int) -> None:
    bufs = bytearray(16), bytearray(100)
    first, second = registered(ring, *bufs)
    assert (first.index, second.index) == (0, 1)
    assert (len(second), second.registered, second.readonly) == (100, True, False)
    assert second.obj is bufs[1]
    assert repr(second) == "<RegisteredBuffer 1 of 100 bytes>"
    ring.prep_read_fixed(fd, first, 0, user_data=1)
    ring.prep_read_fixed(fd, second, 50, 4, start=96, user_data=2)
    assert results(ring, 2) == {1: 16, 2: 4}
    assert bufs[0] == CONTENT[:16]
    assert bufs[1] == bytes(96) + CONTENT[50:54]
    bufs[0][:3] = b"new"
    ring.prep_write_fixed(fd, first, 10, 3)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (3, "WRITE_FIXED")
    assert os.pread(fd, 14, 0) == CONTENT[:10] + b"new" + CONTENT[13:14]


def test_kinds_of_buffers(ring: uring_rs.Ring, fd: int) -> None:
    anonymous = mmap.mmap(-1, 8192)
    numbers = array.array("q", range(4))
    part = memoryview(bytearray(32))[8:24]
    handles = ring.register_buffers([anonymous, numbers, part])
    for handle, length in zip(handles, (8192, 32, 16), strict=True):
        assert handle is not None
        assert len(handle) == length
        ring.prep_read_fixed(fd, handle, 0, 8)
        assert one(ring).result() == 8
    assert anonymous[:8] == numbers.tobytes()[:8] == part[:8] == CONTENT[:8]
    assert bytes(part.obj) == bytes(8) + CONTENT[:8] + bytes(16)
    with pytest.raises(BufferError):
        anonymous.close()
    with pytest.raises(BufferError):
        numbers.append(1)
    ring.unregister_buffers()
    del handle, handles
    anonymous.close()
    numbers.append(1)


def test_read_only(ring: uring_rs.Ring, fd: int) -> None:
    data = b"read-only bytes"
    (handle,) = ring.register_buffers([data])
    assert handle is not None
    assert handle.readonly
    ring.prep_write_fixed(fd, handle, 0, 4)
    assert one(ring).result() == 4
    assert os.pread(fd, 5, 0) == b"read" + CONTENT[4:5]
    for prep in (ring.prep_read_fixed, Sqe.read_fixed):
        with pytest.raises(BufferError, match="read-only"):
            prep(fd, handle, 0)
    with pytest.raises(BufferError, match="read-only"):
        ring.prep_readv_fixed(fd, handle, [(0, 1)], 0)
    with pytest.raises(BufferError, match="read-only"):
        ring.run_reads(fd, handle, [0])
    assert list(ring.run_writes(fd, handle, [0], 3)) == [3]
    assert data == b"read-only bytes"
    idle(ring)


def test_sqe(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(8)
    (handle,) = registered(ring, buf)
    sqe = Sqe.read_fixed(fd, handle, 0)
    for _ in range(3):
        buf[:] = bytes(8)
        ring.push(sqe)
        assert one(ring).result() == 8
        assert buf == CONTENT[:8]
    # Unregistered, the kernel finds nothing under its number, or other memory.
    ring.unregister_buffers()
    del handle
    ring.push(sqe)
    failed(one(ring), OSError, errno.EFAULT)
    other = bytearray(8)
    registered(ring, other)
    ring.push(sqe)
    failed(one(ring), OSError, errno.EFAULT)
    assert other == bytes(8)
    assert locked(buf)
    del sqe
    assert not locked(buf)


def test_batches(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    (handle,) = registered(ring, buf)
    assert list(ring.run_reads(fd, handle, [0, 100])) == [8, 8]
    assert buf == CONTENT[:8] + CONTENT[100:108]


@pytest.mark.requires_op("READV_FIXED", "WRITEV_FIXED")
def test_parts(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    (handle,) = registered(ring, buf)
    ring.prep_readv_fixed(fd, handle, [(8, 4), (0, 4), (16, 0)], 100)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (8, "READV_FIXED")
    assert buf == CONTENT[104:108] + bytes(4) + CONTENT[100:104] + bytes(4)
    buf[:] = b"abcdefghijklmnop"
    ring.push(Sqe.writev_fixed(fd, handle, iter([(15, 1), (0, 2)]), 0))
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (3, "WRITEV_FIXED")
    assert os.pread(fd, 4, 0) == b"pab" + CONTENT[3:4]
    for wrong in ([(0, 17)], [(17, 0)], [(-1, 1)], [(2**63 - 1, 1)]):
        with pytest.raises(ValueError, match="a part is"):
            ring.prep_readv_fixed(fd, handle, wrong, 0)
    for bad in ([(2**63, 1)], [(0, 2**64)]):
        with pytest.raises(OverflowError):
            ring.prep_readv_fixed(fd, handle, bad, 0)
    for other in ([1], None, [(0,)], [("a", 1)]):
        with pytest.raises((TypeError, ValueError)):
            ring.prep_readv_fixed(fd, handle, other, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1024"):
        ring.prep_readv_fixed(fd, handle, [(0, 1)] * 1025, 0)
    for nothing in ([], [(3, 0)]):
        ring.prep_readv_fixed(fd, handle, nothing, 0)
        assert one(ring).res == 0
    with pytest.raises(TypeError, match="FixedBuffer"):
        ring.prep_writev_fixed(fd, buf, [(0, 1)], 0)  # type: ignore[arg-type]
    idle(ring)
    ring.unregister_buffers()
    with ring.buffer_pool(1, 8) as pool:
        taken = pool.take()
        ring.prep_readv_fixed(fd, taken, [(4, 4), (0, 4)], 100)
        assert one(ring).result() == 8
        assert memoryview(taken) == CONTENT[104:108] + CONTENT[100:104]


def test_direct_file(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(8)
    (handle,) = registered(ring, buf)
    file = ring.register_files([fd])[0]
    assert file is not None
    ring.prep_read_fixed(file, handle, 0)
    assert one(ring).result() == 8
    assert buf == CONTENT[:8]


# --- the table


def test_sparse_and_update(ring: uring_rs.Ring, fd: int) -> None:
    assert ring.register_buffers(4) == [None] * 4
    bufs = bytearray(8), bytearray(8)
    made = ring.register_buffers_update(1, [bufs[0], None, bufs[1]])
    assert [handle and handle.index for handle in made] == [1, None, 3]
    first, _, second = made
    assert first is not None
    assert second is not None
    for handle, buf in ((first, bufs[0]), (second, bufs[1])):
        ring.prep_read_fixed(fd, handle, 0)
        assert one(ring).result() == 8
        assert buf == CONTENT[:8]
    other = bytearray(4)
    (third,) = ring.register_buffers_update(1, [other])
    assert third is not None
    assert (first.registered, second.registered, third.registered) == (False, True, True)
    assert repr(first) == "<RegisteredBuffer 1 of 8 bytes (unregistered)>"
    with pytest.raises(ValueError, match="no longer registered"):
        ring.prep_read_fixed(fd, first, 0)
    ring.prep_read_fixed(fd, third, 0)
    assert one(ring).result() == 4
    assert other == CONTENT[:4]
    # The handle keeps what it names.
    assert locked(bufs[0])
    del first, made, handle
    assert not locked(bufs[0])
    assert ring.register_buffers_update(3, [None]) == [None]
    assert not second.registered
    assert ring.register_buffers_update(0, []) == []


def test_with_empty_slots(ring: uring_rs.Ring, fd: int) -> None:
    none, handle = ring.register_buffers([None, bytearray(4)])
    assert none is None
    assert handle is not None
    assert handle.index == 1
    ring.prep_read_fixed(fd, handle, 0)
    assert one(ring).result() == 4


def test_one_table(ring: uring_rs.Ring) -> None:
    for missing in (
        ring.unregister_buffers,
        lambda: ring.register_buffers_update(0, [bytearray(1)]),
    ):
        with pytest.raises(ValueError, match="no registered buffers"):
            missing()
    ring.register_buffers([bytearray(1)])
    for again in (lambda: ring.register_buffers(1), lambda: ring.buffer_pool(1, 1)):
        with pytest.raises(ValueError, match="has a pool already"):
            again()
    ring.unregister_buffers()
    with ring.buffer_pool(1, 1):
        for refused in (
            lambda: ring.register_buffers(1),
            lambda: ring.register_buffers_update(0, [bytearray(1)]),
            ring.unregister_buffers,
        ):
            with pytest.raises(ValueError, match="has a pool already|no registered buffers"):
                refused()
    ring.register_buffers(1)


def test_what_is_refused(ring: uring_rs.Ring, path: Path) -> None:
    kept = bytearray(8)
    for count in (0, -1, 16385, 2**40):
        with pytest.raises(ValueError, match="1 to 16384"):
            ring.register_buffers(count)
    for wrong in ([], [bytearray(1)] * 16385):
        with pytest.raises(ValueError, match="1 to 16384"):
            ring.register_buffers(wrong)
    for empty in ([bytearray()], [kept, b""]):
        with pytest.raises(ValueError, match="1 to 2\\*\\*30"):
            ring.register_buffers(empty)
    for bad in (None, 1.5, "text", [1], [kept, "text"]):
        with pytest.raises(TypeError):
            ring.register_buffers(bad)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        ring.register_buffers([kept, memoryview(bytearray(8))[::2]])
    # Memory the kernel may not write to.
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        with pytest.raises(uring_rs.UringError) as caught:
            ring.register_buffers([kept, mapped])
        assert caught.value.errno == errno.EFAULT
        ring.register_buffers(2)
        with pytest.raises(uring_rs.UringError):
            ring.register_buffers_update(0, [kept, mapped])
    for start, count in ((-1, 1), (2, 1), (0, 3), (2**31, 1)):
        with pytest.raises(ValueError, match="fit into a table of 2"):
            ring.register_buffers_update(start, [bytearray(1)] * count)
    ring.unregister_buffers()
    assert not locked(kept)
    idle(ring)


def test_ranges(ring: uring_rs.Ring, fd: int) -> None:
    (handle,) = registered(ring, bytearray(8))
    for keywords, what in (
        ({"start": -1}, "start"),
        ({"start": 9}, "start"),
        ({"nbytes": 9}, "nbytes"),
        ({"start": 4, "nbytes": 5}, "nbytes"),
        ({"offset": -2}, "offset"),
    ):
        with pytest.raises(ValueError, match=f"{what} must be"):
            ring.prep_read_fixed(fd, handle, **keywords)
    idle(ring)


def test_not_another_rings_buffer(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring], fd: int
) -> None:
    (handle,) = registered(make_ring(4), bytearray(8))
    registered(ring, bytearray(8))
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_read_fixed(fd, handle, 0)
    with pytest.raises(ValueError, match="another ring"):
        ring.push(Sqe.read_fixed(fd, handle, 0))
    idle(ring)


# --- how long memory is held


def test_held_while_registered(ring: uring_rs.Ring) -> None:
    buf = bytearray(8)
    registered(ring, buf)
    gc.collect()
    assert locked(buf)
    ring.unregister_buffers()
    assert not locked(buf)


def test_held_by_its_handle(ring: uring_rs.Ring) -> None:
    buf = bytearray(8)
    (handle,) = registered(ring, buf)
    ring.unregister_buffers()
    assert locked(buf)
    assert not handle.registered
    del handle
    assert not locked(buf)


def test_held_while_in_flight(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Unregistering is no barrier: the kernel goes on with the memory, which must stay."""
    buf = bytearray(8)
    (handle,) = registered(ring, buf)
    ring.prep_read_fixed(pipe.out, handle)
    del handle
    ring.submit()
    ring.unregister_buffers()
    gc.collect()
    assert locked(buf)
    pipe.feed(b"late")
    assert one(ring).result() == 4
    assert buf[:4] == b"late"
    assert not locked(buf)


def test_replaced_while_in_flight(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf, other = bytearray(8), bytearray(8)
    (handle,) = registered(ring, buf)
    ring.prep_read_fixed(pipe.out, handle)
    ring.submit()
    del handle
    ring.register_buffers_update(0, [other])
    assert locked(buf)
    pipe.feed(b"late")
    assert one(ring).result() == 4
    assert (buf[:4], other) == (b"late", bytes(8))
    assert not locked(buf)


def test_staged_only(ring: uring_rs.Ring, fd: int) -> None:
    """Replaced between staging and submission: refused by the kernel, and nothing is written."""
    buf, other = bytearray(8), bytearray(8)
    (handle,) = registered(ring, buf)
    ring.prep_read_fixed(fd, handle, 0)
    del handle
    ring.register_buffers_update(0, [other])
    failed(one(ring), OSError, errno.EFAULT)
    assert buf == other == bytes(8)
    assert not locked(buf)
    (handle,) = ring.register_buffers_update(0, [buf])
    assert handle is not None
    ring.prep_read_fixed(fd, handle, 0)
    del handle
    ring.discard()
    ring.unregister_buffers()
    assert not locked(buf)


def test_closing_lets_go(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    ring = make_ring(4)
    buf = bytearray(8)
    (handle,) = registered(ring, buf)
    ring.prep_read_fixed(pipe.out, handle)
    ring.submit()
    ring.close()
    assert not handle.registered
    with pytest.raises(uring_rs.RingClosed):
        ring.register_buffers([buf])
    del handle
    for cqe in ring:
        assert cqe.res == -errno.ECANCELED
    assert not locked(buf)


def test_collected_with_the_ring(shared: bool) -> None:
    class Bytes(bytearray):
        pass

    buf = Bytes(8)
    ring = uring_rs.Ring(4, shared=shared)
    (handle,) = registered(ring, buf)
    alive = weakref.ref(buf)
    ring.close()
    del ring, buf
    gc.collect()
    assert alive() is not None
    del handle
    gc.collect()
    assert alive() is None


def test_linked_behind_a_slow_one(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    """A linked request looks its buffer up only when it starts."""
    buf, other = bytearray(8), bytearray(8)
    (handle,) = registered(ring, buf)
    ring.prep_read(pipe.out, bytearray(1), flags=SqeFlags.IO_LINK, user_data="gate")
    ring.prep_read_fixed(fd, handle, 0, user_data="late")
    del handle
    ring.submit()
    ring.register_buffers_update(0, [other])
    assert locked(buf)
    pipe.feed(b"x")
    assert results(ring, 2)["gate"] == 1
    assert other == bytes(8)
    assert not locked(buf)


@pytest.mark.once
def test_registering_keeps_no_other_thread_waiting(ring: uring_rs.Ring) -> None:
    """Much memory takes long to pin; the interpreter is free meanwhile."""
    big = mmap.mmap(-1, 256 << 20)
    beats, stop = [], threading.Event()

    def beat() -> None:
        while not stop.is_set():
            beats.append(None)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        while not beats:
            pass
        for register in (
            lambda: ring.register_buffers([big]) and ring.unregister_buffers(),
            lambda: ring.buffer_pool(64, 4 << 20).close(),
        ):
            before = len(beats)
            register()
            assert len(beats) > before
    finally:
        stop.set()
        thread.join()
    big.close()


# --- cloning


@pytest.fixture
def source(make_ring: Callable[..., uring_rs.Ring]) -> uring_rs.Ring:
    return make_ring(4)


def test_clone(ring: uring_rs.Ring, source: uring_rs.Ring, fd: int) -> None:
    bufs = bytearray(8), bytearray(8)
    source.register_buffers([bufs[0], None, bufs[1]])
    first, none, last = ring.clone_buffers(source)
    assert none is None
    assert first is not None
    assert last is not None
    assert (first.index, last.index) == (0, 2)
    ring.prep_read_fixed(fd, last, 0)
    assert one(ring).result() == 8
    assert bufs[1] == CONTENT[:8]
    # Each ring holds them for itself.
    source.unregister_buffers()
    ring.prep_read_fixed(fd, first, 0)
    assert one(ring).result() == 8
    assert bufs[0] == CONTENT[:8]
    with pytest.raises(ValueError, match="another ring"):
        source.prep_read_fixed(fd, first, 0)
    del first, last
    assert locked(bufs[0])
    ring.unregister_buffers()
    assert not locked(bufs[0])


def test_clone_a_part(ring: uring_rs.Ring, source: uring_rs.Ring, fd: int) -> None:
    theirs = [bytearray([number] * 8) for number in range(4)]
    source.register_buffers(theirs)
    mine = [bytearray(8) for _ in range(4)]
    own = registered(ring, *mine)
    with pytest.raises(ValueError, match="already"):
        ring.clone_buffers(source)
    made = ring.clone_buffers(source, source_start=2, start=1, count=2, replace=True)
    assert [handle and handle.index for handle in made] == [1, 2]
    assert [handle.registered for handle in own] == [True, False, False, True]
    for handle, buf in zip((own[0], *made, own[3]), (mine[0], *theirs[2:], mine[3]), strict=True):
        assert handle is not None
        ring.prep_read_fixed(fd, handle, 0)
        assert one(ring).result() == 8
        assert buf == CONTENT[:8]
    ring.unregister_buffers()
    (alone,) = ring.clone_buffers(source, source_start=1, start=5, count=1)
    assert alone is not None
    assert alone.index == 5
    ring.prep_read_fixed(fd, alone, 0)
    assert one(ring).result() == 8
    (first,) = ring.register_buffers_update(0, [mine[0]])
    assert first is not None
    ring.prep_read_fixed(fd, first, 1)
    assert one(ring).result() == 8


def test_clone_in_another_thread(shared: bool, source: uring_rs.Ring, fd: int) -> None:
    """Of a shared ring; an owned one lets no other thread at it."""
    buf = bytearray(8)
    registered(source, buf)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            with uring_rs.Ring(4) as ring:
                (handle,) = ring.clone_buffers(source)
                assert handle is not None
                ring.prep_read_fixed(fd, handle, 0)
                assert one(ring).result() == 8
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if shared:
        assert problems == []
        assert buf == CONTENT[:8]
    else:
        assert [type(problem) for problem in problems] == [uring_rs.WrongThread]
    source.unregister_buffers()
    assert not locked(buf)


def test_clone_of_a_ring_without_a_descriptor(
    open_ring: Callable[..., uring_rs.Ring], shared: bool, fd: int
) -> None:
    """Which the kernel is told by CloneBuffersFlags.SRC_REGISTERED; and into one."""
    flags = SetupFlags.NO_MMAP | SetupFlags.REGISTERED_FD_ONLY
    if flags & ~uring_rs.probe().setup_flags:
        pytest.skip("the running kernel lacks REGISTERED_FD_ONLY")
    # Some more in the table, so that no index is a descriptor of standard files by chance.
    _others = [open_ring(1, flags=flags) for _ in range(3)]
    source, target = open_ring(4, flags=flags), open_ring(4, flags=flags)
    bufs = bytearray(8), bytearray(8)
    source.register_buffers(bufs)
    plain = open_ring(4, shared=shared)
    for ring in (plain, target):
        (last,) = ring.clone_buffers(source, source_start=1)
        assert last is not None
        ring.prep_read_fixed(fd, last, 8 if ring is target else 0)
        assert one(ring).result() == 8
        assert bufs[1] == CONTENT[8:16] if ring is target else CONTENT[:8]
    (first, _) = plain.clone_buffers(source, replace=True)
    assert first is not None
    source.unregister_buffers()
    source.close()
    plain.prep_read_fixed(fd, first, 0)
    assert one(plain).result() == 8
    assert bufs[0] == CONTENT[:8]
    target.unregister_buffers()
    plain.unregister_buffers()


def test_clones_that_are_refused(ring: uring_rs.Ring, source: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="no registered buffers"):
        ring.clone_buffers(source)
    with source.buffer_pool(1, 8), pytest.raises(ValueError, match="no registered buffers"):
        ring.clone_buffers(source)
    gc.collect()
    source.register_buffers([bytearray(1)] * 3)
    for keywords in (
        {"count": 4},
        {"count": 0},
        {"source_start": 3},
        {"source_start": 2, "count": 2},
        {"source_start": 2**32 - 1, "count": 2**32 - 1},
    ):
        with pytest.raises(ValueError, match="no such part"):
            ring.clone_buffers(source, **keywords)
    with pytest.raises(ValueError, match="1 to 16384"):
        ring.clone_buffers(source, start=16382)
    with pytest.raises(OverflowError):
        ring.clone_buffers(source, start=-1)
    with pytest.raises(TypeError):
        ring.clone_buffers(3)  # type: ignore[arg-type]
    source.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.clone_buffers(source)
    ring.register_buffers(1)

"""READ_FIXED and WRITE_FIXED, and the pool of registered buffers they need."""

from __future__ import annotations

import errno
import gc
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one

pytestmark = pytest.mark.requires_op("READ_FIXED", "WRITE_FIXED")

COUNT, SIZE = 4, 5000


@pytest.fixture
def pool(ring: uring_rs.Ring) -> Iterator[uring_rs.BufferPool]:
    with ring.buffer_pool(COUNT, SIZE) as pool:
        yield pool


def test_facts(pool: uring_rs.BufferPool) -> None:
    assert (pool.count, pool.size, pool.available) == (COUNT, SIZE, COUNT)
    buf = pool.take()
    assert len(buf) == SIZE
    assert pool.available == COUNT - 1
    with memoryview(buf) as view:
        assert (view.nbytes, view.readonly, view.contiguous) == (SIZE, False, True)
        assert view.tobytes() == bytes(SIZE)
    buf.release()
    assert pool.available == COUNT


def test_take_all_and_give_back(pool: uring_rs.BufferPool) -> None:
    taken = [pool.take() for _ in range(COUNT)]
    assert sorted(buf.index for buf in taken) == list(range(COUNT))
    with pytest.raises(BufferError, match="all 4 buffers"):
        pool.take()
    index = taken[2].index
    taken[2].release()
    taken[2].release()  # once more does nothing
    assert pool.available == 1
    assert pool.take().index == index


def test_buffers_are_apart(pool: uring_rs.BufferPool) -> None:
    taken = [pool.take() for _ in range(COUNT)]
    for number, buf in enumerate(taken):
        memoryview(buf)[:] = bytes([number]) * SIZE
    assert [set(memoryview(buf)) for buf in taken] == [{n} for n in range(COUNT)]


def test_read_and_write(ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int) -> None:
    buf = pool.take()
    ring.prep_read_fixed(fd, buf, 0)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (len(CONTENT), "READ_FIXED")
    assert memoryview(buf)[: len(CONTENT)] == CONTENT
    memoryview(buf)[:3] = b"new"
    ring.prep_write_fixed(fd, buf, 10, 3)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (3, "WRITE_FIXED")
    assert os.pread(fd, 14, 0) == CONTENT[:10] + b"new" + CONTENT[13:14]


def test_each_buffer_of_the_pool(ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int) -> None:
    taken = [pool.take() for _ in range(COUNT)]
    for number, buf in enumerate(taken):
        ring.prep_read_fixed(fd, buf, number, 1)
        assert one(ring).result() == 1
    assert [memoryview(buf)[:2].tobytes() for buf in taken] == [
        bytes([CONTENT[number], 0]) for number in range(COUNT)
    ]


def test_a_part(ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int) -> None:
    buf = pool.take()
    memoryview(buf)[:] = b"\xff" * SIZE
    ring.prep_read_fixed(fd, buf, 50, 4, start=100)
    assert one(ring).result() == 4
    assert memoryview(buf)[98:106] == b"\xff\xff" + CONTENT[50:54] + b"\xff\xff"
    ring.prep_write_fixed(fd, buf, 0, start=SIZE - 2)
    assert one(ring).result() == 2
    assert os.pread(fd, 3, 0) == b"\xff\xff" + CONTENT[2:3]
    ring.prep_read_fixed(fd, buf, 0, start=SIZE)
    assert one(ring).result() == 0


def test_own_position(ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int) -> None:
    buf = pool.take()
    for expected in (CONTENT[:3], CONTENT[3:6]):
        ring.prep_read_fixed(fd, buf, nbytes=3)
        assert one(ring).result() == 3
        assert memoryview(buf)[:3] == expected


def test_as_an_ordinary_buffer(ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int) -> None:
    buf = pool.take()
    ring.prep_read(fd, buf, 0)
    assert one(ring).result() == len(CONTENT)
    assert memoryview(buf)[: len(CONTENT)] == CONTENT


def test_direct_io(ring: uring_rs.Ring, path: Path) -> None:
    """Pool buffers begin on a page, which is what O_DIRECT asks for."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        pytest.skip(f"the file system of {path} has no O_DIRECT: {error}")
    with ring.buffer_pool(2, mmap.PAGESIZE) as pool:
        for buf in (pool.take(), pool.take()):
            ring.prep_read_fixed(fd, buf, 0)
            assert one(ring).result() == len(CONTENT)
            assert memoryview(buf)[: len(CONTENT)] == CONTENT
    os.close(fd)


def test_closed_descriptor(ring: uring_rs.Ring, pool: uring_rs.BufferPool, closed_fd: int) -> None:
    buf = pool.take()
    ring.prep_read_fixed(closed_fd, buf, 0)
    failed(one(ring), OSError, errno.EBADF)
    buf.release()


# --- while in flight


def test_not_given_back_while_in_flight(
    ring: uring_rs.Ring, pool: uring_rs.BufferPool, pipe: Pipe
) -> None:
    buf = pool.take()
    ring.prep_read_fixed(pipe.out, buf)
    for submit in (False, True):
        if submit:
            ring.submit()
        with pytest.raises(BufferError, match="in flight"):
            buf.release()
    pipe.feed(b"abc")
    assert one(ring).result() == 3
    buf.release()
    assert pool.available == COUNT


def test_dropped_while_in_flight(
    ring: uring_rs.Ring, pool: uring_rs.BufferPool, pipe: Pipe
) -> None:
    ring.prep_read_fixed(pipe.out, pool.take())
    ring.submit()
    gc.collect()
    assert pool.available == COUNT - 1
    pipe.feed(b"abc")
    assert one(ring).result() == 3
    assert pool.available == COUNT


def test_discard_gives_back(ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int) -> None:
    buf = pool.take()
    ring.prep_read_fixed(fd, buf, 0)
    assert ring.discard() == 1
    buf.release()


def test_a_view_keeps_it(pool: uring_rs.BufferPool) -> None:
    buf = pool.take()
    view = memoryview(buf)
    with pytest.raises(BufferError, match="memoryview"):
        buf.release()
    view.release()
    buf.release()
    buf = pool.take()
    view = memoryview(buf)
    del buf
    gc.collect()
    assert pool.available == COUNT - 1
    view.release()
    assert pool.available == COUNT


def test_given_back_by_with_and_by_collection(pool: uring_rs.BufferPool) -> None:
    with pool.take() as buf:
        assert pool.available == COUNT - 1
    assert pool.available == COUNT
    buf = pool.take()
    del buf
    gc.collect()
    assert pool.available == COUNT


def test_pool_closed_while_in_flight(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Unregistering is no barrier: the kernel goes on with the memory, which must stay."""
    pool = ring.buffer_pool(1, SIZE)
    buf = pool.take()
    ring.prep_read_fixed(pipe.out, buf)
    ring.submit()
    pool.close()
    pipe.feed(b"late")
    assert one(ring).result() == 4
    assert memoryview(buf)[:4] == b"late"


def test_memory_outlives_the_pool_and_the_ring(
    open_ring: Callable[..., uring_rs.Ring], fd: int
) -> None:
    ring = open_ring(4)
    buf = ring.buffer_pool(1, SIZE).take()
    ring.prep_read_fixed(fd, buf, 0)
    assert one(ring).result() == len(CONTENT)
    ring.close()
    del ring
    gc.collect()
    assert memoryview(buf)[: len(CONTENT)] == CONTENT


# --- what is refused


def test_only_buffers_of_a_pool(ring: uring_rs.Ring, fd: int) -> None:
    for wrong in (bytearray(8), b"bytes", None, 0, memoryview(bytearray(4))):
        for prep in (ring.prep_read_fixed, ring.prep_write_fixed):
            name = type(wrong).__name__
            with pytest.raises(TypeError, match=rf"FixedBuffer.*buffer_pool.*'{name}'"):
                prep(fd, wrong, 0)  # type: ignore[arg-type]
    idle(ring)


def test_a_view_of_a_pool_buffer_is_none(
    ring: uring_rs.Ring, pool: uring_rs.BufferPool, fd: int
) -> None:
    with memoryview(pool.take()) as view, pytest.raises(TypeError, match="FixedBuffer"):
        ring.prep_read_fixed(fd, view, 0)  # type: ignore[arg-type]
    idle(ring)


def test_not_another_rings_buffer(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring], fd: int
) -> None:
    other = make_ring(4)
    with other.buffer_pool(1, SIZE) as pool, ring.buffer_pool(1, SIZE):
        buf = pool.take()
        with pytest.raises(ValueError, match="another ring"):
            ring.prep_read_fixed(fd, buf, 0)
        buf.release()
    idle(ring)


def test_not_after_release_or_close(ring: uring_rs.Ring, fd: int) -> None:
    pool = ring.buffer_pool(2, SIZE)
    kept, released = pool.take(), pool.take()
    released.release()
    with pytest.raises(ValueError, match="given back"):
        ring.prep_read_fixed(fd, released, 0)
    with pytest.raises(ValueError, match="given back"):
        memoryview(released)
    with pytest.raises(ValueError, match="given back"):
        released.__enter__()
    pool.close()
    pool.close()  # once more does nothing
    with pytest.raises(ValueError, match="closed"):
        ring.prep_read_fixed(fd, kept, 0)
    with pytest.raises(ValueError, match="closed"):
        pool.take()
    assert bytes(memoryview(kept)) == bytes(SIZE)  # ordinary memory
    idle(ring)


def test_one_pool_at_a_time(ring: uring_rs.Ring, fd: int) -> None:
    pool = ring.buffer_pool(1, SIZE)
    with pytest.raises(ValueError, match="has a pool already"):
        ring.buffer_pool(1, SIZE)
    pool.close()
    with ring.buffer_pool(2, SIZE) as pool:
        ring.prep_read_fixed(fd, pool.take(), 0)
        assert one(ring).result() == len(CONTENT)


@pytest.mark.parametrize(
    ("keywords", "what"),
    [
        ({"start": -1}, "start"),
        ({"start": SIZE + 1}, "start"),
        ({"nbytes": SIZE + 1}, "nbytes"),
        ({"nbytes": -1}, "nbytes"),
        ({"start": 10, "nbytes": SIZE - 9}, "nbytes"),
        ({"offset": -2}, "offset"),
    ],
)
def test_ranges(
    ring: uring_rs.Ring,
    pool: uring_rs.BufferPool,
    fd: int,
    keywords: dict[str, int],
    what: str,
) -> None:
    buf = pool.take()
    for prep in (ring.prep_read_fixed, ring.prep_write_fixed):
        with pytest.raises(ValueError, match=f"{what} must be"):
            prep(fd, buf, **keywords)  # type: ignore[arg-type]
    idle(ring)
    buf.release()  # what was refused does not hold it


@pytest.mark.parametrize(
    ("count", "size", "what"),
    [
        *((count, 1, "count") for count in (0, -1, 16385)),
        *((1, size, "size") for size in (0, -1, 2**30 + 1, 2**62)),
    ],
)
def test_pool_sizes(ring: uring_rs.Ring, count: int, size: int, what: str) -> None:
    with pytest.raises(ValueError, match=f"{what} must be"):
        ring.buffer_pool(count, size)


def test_pool_that_does_not_fit_into_memory(ring: uring_rs.Ring) -> None:
    with pytest.raises((uring_rs.UringError, ValueError)):
        ring.buffer_pool(16384, 2**30)
    with ring.buffer_pool(1, 1):
        pass


def test_pool_of_a_closed_ring(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4)
    pool = ring.buffer_pool(1, SIZE)
    ring.close()
    pool.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.buffer_pool(1, SIZE)

"""MADVISE, which must never harm memory that is not the caller's."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, failed, idle, one
from uring_rs import MadviseAdvice, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("MADVISE")

PAGE = mmap.PAGESIZE

HINTS = [
    mmap.MADV_NORMAL,
    mmap.MADV_RANDOM,
    mmap.MADV_SEQUENTIAL,
    mmap.MADV_WILLNEED,
    mmap.MADV_DOFORK,
    mmap.MADV_DODUMP,
    mmap.MADV_DONTDUMP,
    MadviseAdvice.COLD,
    MadviseAdvice.PAGEOUT,
    MadviseAdvice.POPULATE_READ,
    MadviseAdvice.POPULATE_WRITE,
    MadviseAdvice.KEEPONFORK,
]
LOSSES = [
    mmap.MADV_DONTNEED,
    mmap.MADV_FREE,
    mmap.MADV_REMOVE,
    MadviseAdvice.WIPEONFORK,
    MadviseAdvice.DONTNEED_LOCKED,
]
# HWPOISON, SOFT_OFFLINE, GUARD_INSTALL, GUARD_REMOVE
FAULTS = [mmap.MADV_DONTFORK, 100, 101, 102, 103]


@pytest.fixture
def anonymous() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, 4 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[:] = b"x" * len(memory)
        yield memory


@pytest.mark.parametrize("advice", HINTS)
def test_hints_change_nothing(ring: uring_rs.Ring, anonymous: mmap.mmap, advice: int) -> None:
    ring.prep_madvise(anonymous, advice, user_data="m")
    cqe = one(ring)
    if cqe.res == -errno.EINVAL and advice >= MadviseAdvice.WIPEONFORK:
        pytest.skip("this kernel does not know the advice")
    assert (cqe.user_data, cqe.result(), cqe.op, cqe.value) == ("m", 0, "MADVISE", None)
    assert anonymous[:] == b"x" * len(anonymous)
    idle(ring)


def test_dontneed_drops_just_the_part(ring: uring_rs.Ring, anonymous: mmap.mmap) -> None:
    ring.prep_madvise(anonymous, mmap.MADV_DONTNEED, PAGE, 2 * PAGE)
    assert one(ring).result() == 0
    assert anonymous[:] == b"x" * PAGE + bytes(2 * PAGE) + b"x" * PAGE
    ring.prep_madvise(anonymous, mmap.MADV_DONTNEED, start=3 * PAGE)
    assert one(ring).result() == 0
    assert anonymous[:] == b"x" * PAGE + bytes(3 * PAGE)
    ring.prep_madvise(anonymous, mmap.MADV_DONTNEED)
    assert one(ring).result() == 0
    assert anonymous[:] == bytes(4 * PAGE)


def test_a_mapped_file(ring: uring_rs.Ring, fd: int) -> None:
    """Its last page is its own to the end, however much of it the file has."""
    os.ftruncate(fd, 100)
    with mmap.mmap(fd, 100) as memory:
        for advice in (mmap.MADV_WILLNEED, mmap.MADV_DONTNEED):
            ring.prep_madvise(memory, advice)
            assert one(ring).result() == 0
            assert memory[:] == CONTENT[:100]


def test_read_only_memory(ring: uring_rs.Ring, fd: int) -> None:
    with mmap.mmap(fd, 4096, access=mmap.ACCESS_READ) as memory:
        ring.prep_madvise(memory, MadviseAdvice.POPULATE_READ)
        assert one(ring).result() == 0
        ring.prep_madvise(memory, MadviseAdvice.POPULATE_WRITE)
        assert one(ring).res < 0


def test_remove_punches_the_file(ring: uring_rs.Ring) -> None:
    with mmap.mmap(-1, 2 * PAGE) as memory:  # shared, so of tmpfs
        memory[:] = b"x" * 2 * PAGE
        ring.prep_madvise(memory, mmap.MADV_REMOVE, 0, PAGE)
        assert one(ring).result() == 0
        assert memory[:] == bytes(PAGE) + b"x" * PAGE


def test_memory_is_locked(ring: uring_rs.Ring) -> None:
    memory = mmap.mmap(-1, PAGE)
    ring.prep_madvise(memory, mmap.MADV_WILLNEED)
    with pytest.raises(BufferError):
        memory.close()
    assert one(ring).result() == 0
    memory.close()


def test_other_memory(ring: uring_rs.Ring, anonymous: mmap.mmap) -> None:
    """Whole pages of any buffer take hints."""
    view = memoryview(anonymous)[PAGE : 3 * PAGE]
    ring.prep_madvise(view, mmap.MADV_WILLNEED)
    assert one(ring).result() == 0
    view.release()
    with ring.buffer_pool(2, 2 * PAGE) as pool, pool.take() as buf:
        ring.prep_madvise(buf, mmap.MADV_WILLNEED, PAGE)
        assert one(ring).result() == 0


@pytest.mark.parametrize("advice", LOSSES)
def test_losses_are_for_maps_only(ring: uring_rs.Ring, anonymous: mmap.mmap, advice: int) -> None:
    class Map(mmap.mmap):
        """May export what memory it likes, from Python 3.12 on."""

    heap = bytearray(64 * PAGE)
    with Map(-1, PAGE) as derived, memoryview(anonymous) as view:
        for wrong in (heap, bytes(heap), view, derived):
            with pytest.raises(TypeError, match=r"only an mmap\.mmap"):
                ring.prep_madvise(wrong, advice)
    with ring.buffer_pool(1, PAGE) as pool, pool.take() as buf:
        with pytest.raises(TypeError, match="FixedBuffer"):
            ring.prep_madvise(buf, advice)
    heap.append(0)
    assert anonymous[:] == b"x" * len(anonymous)
    idle(ring)


@pytest.mark.parametrize("advice", FAULTS)
def test_what_would_make_a_fault(ring: uring_rs.Ring, anonymous: mmap.mmap, advice: int) -> None:
    for buf in (anonymous, bytearray(PAGE)):
        with pytest.raises(ValueError, match="crash"):
            ring.prep_madvise(buf, advice)
    idle(ring)


def test_never_beyond_the_buffer(ring: uring_rs.Ring, anonymous: mmap.mmap) -> None:
    """The kernel would round up to a page's end, and so into the neighbours."""
    hint, loss = mmap.MADV_WILLNEED, mmap.MADV_DONTNEED
    for advice in (hint, loss):
        for start, nbytes in ((1, None), (0, 1), (PAGE, PAGE - 1), (PAGE - 1, PAGE + 1)):
            with pytest.raises(ValueError, match="whole pages"):
                ring.prep_madvise(anonymous, advice, start, nbytes)
        for start, nbytes in ((-1, None), (4 * PAGE + 1, None), (0, 4 * PAGE + 1), (0, -1)):
            with pytest.raises(ValueError, match=r"start must be|nbytes must be"):
                ring.prep_madvise(anonymous, advice, start, nbytes)
    # The end of a slice is not the end of a map.
    with memoryview(anonymous)[:100] as view, pytest.raises(ValueError, match="whole pages"):
        ring.prep_madvise(view, hint)
    heap = bytearray(2 * PAGE)
    # From the second byte on: the first may happen to begin a page.
    with memoryview(heap)[1 : 1 + PAGE] as view, pytest.raises(ValueError, match="whole pages"):
        ring.prep_madvise(view, hint)
    heap.append(0)
    anonymous.resize(2 * PAGE)  # nothing was left locked
    idle(ring)


def test_nothing_to_advise(ring: uring_rs.Ring, anonymous: mmap.mmap) -> None:
    for start in (0, 4 * PAGE):
        ring.prep_madvise(anonymous, mmap.MADV_DONTNEED, start, 0)
        assert one(ring).result() == 0
    assert anonymous[:] == b"x" * len(anonymous)


def test_sqe(ring: uring_rs.Ring, anonymous: mmap.mmap) -> None:
    sqe = Sqe.madvise(anonymous, mmap.MADV_DONTNEED, 0, PAGE)
    for _ in range(2):
        anonymous[:PAGE] = b"y" * PAGE
        ring.push(sqe)
        assert one(ring).result() == 0
        assert anonymous[: 2 * PAGE] == bytes(PAGE) + b"x" * PAGE
    del sqe


def test_cancelled_before_it_starts(ring: uring_rs.Ring, anonymous: mmap.mmap) -> None:
    ring.prep_timeout(60, flags=SqeFlags.IO_LINK)
    ring.prep_madvise(anonymous, mmap.MADV_DONTNEED, user_data="m")
    ring.submit()
    ring.prep_cancel_all()
    ring.submit(wait=3)
    assert {cqe.user_data: cqe.res for cqe in ring}["m"] == -errno.ECANCELED
    assert anonymous[:] == b"x" * len(anonymous)


def test_refusals(ring: uring_rs.Ring, path: Path, anonymous: mmap.mmap) -> None:
    with mmap.mmap(-1, PAGE) as shared_memory:
        ring.prep_madvise(shared_memory, mmap.MADV_FREE)  # private memory only
        failed(one(ring), OSError, errno.EINVAL)
    for advice in (-1, 5, 26, 99, 1 << 40):
        with pytest.raises(ValueError, match="MADV"):
            ring.prep_madvise(anonymous, advice)
    for wrong in (None, 5, "text"):
        with pytest.raises(TypeError):
            ring.prep_madvise(wrong, mmap.MADV_WILLNEED)  # type: ignore[arg-type]
    idle(ring)

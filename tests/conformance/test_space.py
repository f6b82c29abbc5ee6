"""FALLOCATE, FTRUNCATE and FADVISE."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one
from uring_rs import FallocateFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("FALLOCATE", "FTRUNCATE", "FADVISE")

SIZE = len(CONTENT)
ADVICE = [
    os.POSIX_FADV_NORMAL,
    os.POSIX_FADV_RANDOM,
    os.POSIX_FADV_SEQUENTIAL,
    os.POSIX_FADV_WILLNEED,
    os.POSIX_FADV_DONTNEED,
    os.POSIX_FADV_NOREUSE,
]


# --- fallocate


def test_allocate(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    ring.prep_fallocate(fd, 0, 100_000, user_data="f")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op, cqe.value) == ("f", 0, "FALLOCATE", None)
    found = path.stat()
    assert found.st_size == 100_000
    assert found.st_blocks * 512 >= 100_000
    assert path.read_bytes() == CONTENT + bytes(100_000 - SIZE)
    idle(ring)


def test_keep_size(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    ring.prep_fallocate(fd, 0, 100_000, FallocateFlags.KEEP_SIZE)
    assert one(ring).result() == 0
    assert path.stat().st_size == SIZE
    assert path.stat().st_blocks * 512 >= 100_000


def _supported(cqe: uring_rs.Completion) -> None:
    if cqe.res == -errno.EOPNOTSUPP:
        pytest.skip("this file system does not do that")
    assert cqe.result() == 0


def test_holes_and_zeroes(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    punch = FallocateFlags.PUNCH_HOLE | FallocateFlags.KEEP_SIZE
    ring.prep_fallocate(fd, 10, 20, punch)
    _supported(one(ring))
    assert path.read_bytes() == CONTENT[:10] + bytes(20) + CONTENT[30:]
    ring.prep_fallocate(fd, 100, 5, FallocateFlags.ZERO_RANGE)
    _supported(one(ring))
    assert path.read_bytes()[95:110] == CONTENT[95:100] + bytes(5) + CONTENT[105:110]


def test_collapse_and_insert(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    block = os.fstatvfs(fd).f_bsize
    whole = b"".join(bytes([i]) * block for i in range(4))
    os.pwrite(fd, whole, 0)
    ring.prep_fallocate(fd, block, block, FallocateFlags.COLLAPSE_RANGE)
    _supported(one(ring))
    assert path.read_bytes() == whole[:block] + whole[2 * block :]
    ring.prep_fallocate(fd, block, block, FallocateFlags.INSERT_RANGE)
    _supported(one(ring))
    assert path.read_bytes() == whole[:block] + bytes(block) + whole[2 * block :]


def test_beyond_32_bits(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    """Offset and length are of 64 bits."""
    ring.prep_fallocate(fd, 1 << 33, 4096)
    assert one(ring).result() == 0
    assert path.stat().st_size == (1 << 33) + 4096
    punch = FallocateFlags.PUNCH_HOLE | FallocateFlags.KEEP_SIZE
    ring.prep_fallocate(fd, 0, 1 << 34, punch)
    _supported(one(ring))
    assert path.stat().st_blocks == 0


def test_fallocate_refusals(ring: uring_rs.Ring, fd: int, pipe: Pipe, path: Path) -> None:
    ring.prep_fallocate(pipe.into, 0, 1)
    failed(one(ring), OSError, errno.ESPIPE)
    reader = os.open(path, os.O_RDONLY)
    ring.prep_fallocate(reader, 0, 1)
    failed(one(ring), OSError, errno.EBADF)
    os.close(reader)
    ring.prep_fallocate(fd, 0, 10, FallocateFlags.PUNCH_HOLE)  # without KEEP_SIZE
    failed(one(ring), OSError, errno.EOPNOTSUPP)
    ring.prep_fallocate(fd, (1 << 63) - 1, 10)
    failed(one(ring), OSError, errno.EFBIG)
    for arguments in ((-1, 1), (0, -1), (0, 0)):
        with pytest.raises(ValueError, match=r"offset|nbytes"):
            ring.prep_fallocate(fd, *arguments)
    with pytest.raises(ValueError, match="mode does not take the bits 0x100"):
        ring.prep_fallocate(fd, 0, 1, 0x101)
    with pytest.raises(OverflowError):
        ring.prep_fallocate(fd, 1 << 63, 1)
    idle(ring)


# --- ftruncate


def test_truncate(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    for length, content in (
        (100, CONTENT[:100]),
        (110, CONTENT[:100] + bytes(10)),
        (0, b""),
    ):
        ring.prep_ftruncate(fd, length, user_data="t")
        cqe = one(ring)
        assert (cqe.user_data, cqe.result(), cqe.op) == ("t", 0, "FTRUNCATE")
        assert path.read_bytes() == content
    ring.prep_ftruncate(fd, 1 << 34)
    assert one(ring).result() == 0
    assert path.stat().st_size == 1 << 34
    idle(ring)


def test_truncate_of_an_object(ring: uring_rs.Ring, path: Path) -> None:
    with path.open("r+b") as file:
        ring.prep_ftruncate(file, 3)
        assert one(ring).result() == 0
    assert path.read_bytes() == CONTENT[:3]


def test_truncate_refusals(ring: uring_rs.Ring, fd: int, pipe: Pipe, path: Path) -> None:
    ring.prep_ftruncate(pipe.into, 0)
    failed(one(ring), OSError, errno.EINVAL)
    reader = os.open(path, os.O_RDONLY)
    ring.prep_ftruncate(reader, 0)
    failed(one(ring), OSError, errno.EINVAL)
    os.close(reader)
    ring.prep_ftruncate(fd, (1 << 63) - 1)
    failed(one(ring), OSError, errno.EFBIG)
    with pytest.raises(ValueError, match="length must not be negative"):
        ring.prep_ftruncate(fd, -1)
    with pytest.raises(TypeError):
        ring.prep_ftruncate(fd)  # type: ignore[call-arg]
    idle(ring)


# --- fadvise


@pytest.mark.parametrize("advice", ADVICE)
def test_advice(ring: uring_rs.Ring, fd: int, advice: int) -> None:
    for offset, nbytes in ((0, 0), (100, 200), (0, 1 << 34)):
        ring.prep_fadvise(fd, offset, nbytes, advice, user_data="a")
        cqe = one(ring)
        assert (cqe.user_data, cqe.result(), cqe.op) == ("a", 0, "FADVISE")
    idle(ring)


def test_advice_refusals(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    ring.prep_fadvise(pipe.out, 0, 0, os.POSIX_FADV_WILLNEED)
    failed(one(ring), OSError, errno.ESPIPE)
    for advice in (-1, 6, 8, 1 << 40):
        with pytest.raises(ValueError, match="POSIX_FADV"):
            ring.prep_fadvise(fd, 0, 0, advice)
    for offset, nbytes in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            ring.prep_fadvise(fd, offset, nbytes, os.POSIX_FADV_NORMAL)
    idle(ring)


# --- what they have in common


def test_sqe(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    fill = Sqe.fallocate(fd, 0, 8192, flags=SqeFlags.IO_LINK)
    ring.push(fill)
    ring.push(Sqe.ftruncate(fd, 5000, flags=SqeFlags.IO_LINK))
    ring.push(Sqe.fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED))
    ring.submit(wait=3)
    assert [cqe.result() for cqe in ring] == [0, 0, 0]
    assert path.stat().st_size == 5000
    ring.push(fill)
    ring.push(fill)
    ring.prep_nop()
    ring.submit(wait=3)
    assert [cqe.result() for cqe in ring] == [0, 0, 0]


def test_cancelled_before_it_starts(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    ring.prep_timeout(60, flags=SqeFlags.IO_LINK, user_data=0)
    ring.prep_ftruncate(fd, 0, user_data=1, flags=SqeFlags.IO_LINK)
    ring.prep_fallocate(fd, 0, 1 << 20, user_data=2)
    ring.submit()
    ring.prep_cancel_all(user_data=3)
    ring.submit(wait=4)
    found = {cqe.user_data: cqe.res for cqe in ring}
    assert found[1] == found[2] == -errno.ECANCELED
    assert path.stat().st_size == SIZE


def test_files_that_are_none(ring: uring_rs.Ring, closed_fd: int) -> None:
    calls = (
        lambda file: ring.prep_fallocate(file, 0, 1),
        lambda file: ring.prep_ftruncate(file, 0),
        lambda file: ring.prep_fadvise(file, 0, 0, 0),
    )
    for call in calls:
        call(closed_fd)
        failed(one(ring), OSError, errno.EBADF)
        with pytest.raises(ValueError, match="negative"):
            call(-1)
        for wrong in (None, "0", 0.0):
            with pytest.raises(TypeError):
                call(wrong)
    idle(ring)

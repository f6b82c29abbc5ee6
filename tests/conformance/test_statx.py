"""STATX, and what it brings."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, several
from uring_rs import AtFlags, Sqe, SqeFlags, StatxAttributes, StatxMask, StatxResult

pytestmark = pytest.mark.requires_op("STATX")

SAME = [name for name in dir(os.stat_result) if name.startswith("st_")]


def of(ring: uring_rs.Ring) -> StatxResult:
    """Submit, and take what a statx brings."""
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (0, "STATX")
    assert isinstance(cqe.value, StatxResult)
    return cqe.value


def same(found: StatxResult, expected: os.stat_result) -> None:
    """All that os.stat tells is there under the same name."""
    assert {name: getattr(found, name) for name in SAME} == {
        name: getattr(expected, name) for name in SAME
    }


@pytest.mark.parametrize("what", ["file", "folder", "device", "fifo"])
def test_as_os_stat(ring: uring_rs.Ring, path: Path, what: str) -> None:
    os.mkfifo(path.parent / "fifo")
    target = {"file": path, "folder": path.parent, "device": Path("/dev/null")}.get(
        what, path.parent / "fifo"
    )
    ring.prep_statx(target, user_data="s")
    found = of(ring)
    same(found, os.stat(target))
    assert StatxMask(found.st_mask) & StatxMask.BASIC_STATS == StatxMask.BASIC_STATS
    idle(ring)


def test_sqe(ring: uring_rs.Ring, path: Path) -> None:
    sqe = Sqe.statx(path)
    for size in (1, 2):
        path.write_bytes(b"x" * size)
        ring.push(sqe)
        found = of(ring)
        assert found.st_size == size
        same(found, os.stat(path))


def test_sqe_in_flight_once(ring: uring_rs.Ring, path: Path) -> None:
    """The kernel writes into it, so two requests never share it."""
    sqe = Sqe.statx(path)
    ring.push(sqe)
    with pytest.raises(BufferError, match="in flight"):
        ring.push(sqe)
    assert of(ring).st_size == 4096


def test_what_it_adds(ring: uring_rs.Ring, path: Path) -> None:
    before = path.stat()
    ring.prep_statx(path, mask=StatxMask.BASIC_STATS | StatxMask.BTIME | StatxMask.MNT_ID)
    found = of(ring)
    if found.st_mask & StatxMask.BTIME:
        assert found.st_birthtime is not None
        assert found.st_birthtime_ns is not None
        assert found.st_birthtime_ns <= before.st_ctime_ns
        assert abs(found.st_birthtime - found.st_birthtime_ns / 1e9) < 1e-6
    else:
        assert found.st_birthtime is None
        assert found.st_birthtime_ns is None
    mounts = [line.split()[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    assert str(found.st_mnt_id) in mounts
    # Not asked for, not there.
    assert found.st_dio_mem_align is None
    assert found.st_dio_offset_align is None
    assert found.st_dio_read_offset_align is None
    assert found.st_subvol is None
    assert found.st_atomic_write_unit_min is None
    assert found.st_atomic_write_unit_max is None
    assert found.st_atomic_write_unit_max_opt is None
    assert found.st_atomic_write_segments_max is None


def test_direct_io_alignment(ring: uring_rs.Ring, path: Path) -> None:
    ring.prep_statx(path, mask=StatxMask.DIOALIGN | StatxMask.WRITE_ATOMIC)
    found = of(ring)
    if not found.st_mask & StatxMask.DIOALIGN:
        pytest.skip("this kernel or file system does not tell (STATX_DIOALIGN, 6.1)")
    assert found.st_dio_mem_align is not None
    assert found.st_dio_offset_align is not None
    # A power of two, or 0 where there is no direct I/O.
    for align in (found.st_dio_mem_align, found.st_dio_offset_align):
        assert align & (align - 1) == 0


def test_attributes(ring: uring_rs.Ring) -> None:
    ring.prep_statx("/proc")
    root = of(ring)
    assert StatxAttributes.MOUNT_ROOT in StatxAttributes(root.st_attributes)
    assert root.st_attributes & ~root.st_attributes_mask == 0


def test_times_before_1970(ring: uring_rs.Ring, path: Path) -> None:
    os.utime(path, ns=(-1, -1_500_000_000))
    ring.prep_statx(path)
    found = of(ring)
    same(found, os.stat(path))
    assert (found.st_atime_ns, found.st_mtime_ns) == (-1, -1_500_000_000)


def test_links(ring: uring_rs.Ring, path: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    ring.prep_statx(link)
    same(of(ring), os.stat(path))
    for keywords in ({"follow_symlinks": False}, {"statx_flags": AtFlags.SYMLINK_NOFOLLOW}):
        ring.prep_statx(link, **keywords)  # type: ignore[arg-type]
        found = of(ring)
        assert stat.S_ISLNK(found.st_mode)
        same(found, os.lstat(link))


def test_open_files(ring: uring_rs.Ring, fd: int, pipe: Pipe, path: Path) -> None:
    ring.prep_statx(fd)
    same(of(ring), os.fstat(fd))
    ring.prep_statx(pipe.out)
    assert stat.S_ISFIFO(of(ring).st_mode)
    with path.open("rb") as file:
        ring.prep_statx(file)
        same(of(ring), os.fstat(fd))
        ring.prep_statx("", AtFlags.EMPTY_PATH, dir_fd=file)
        same(of(ring), os.fstat(fd))
    with pytest.raises(ValueError, match="dir_fd"):
        ring.prep_statx(fd, dir_fd=fd)
    idle(ring)


def test_an_object_that_is_both_is_a_path(ring: uring_rs.Ring, path: Path, pipe: Pipe) -> None:
    class Both:
        def __fspath__(self) -> str:
            return str(path)

        def fileno(self) -> int:
            return pipe.out

    ring.prep_statx(Both())
    assert of(ring).st_ino == path.stat().st_ino


def test_relative_to_a_folder(ring: uring_rs.Ring, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    ring.prep_statx(path.name, dir_fd=folder)
    same(of(ring), os.stat(path))
    os.close(folder)


@pytest.mark.parametrize("sync", [AtFlags.STATX_FORCE_SYNC, AtFlags.STATX_DONT_SYNC])
def test_freshness(ring: uring_rs.Ring, path: Path, sync: AtFlags) -> None:
    ring.prep_statx(path, sync | AtFlags.NO_AUTOMOUNT)
    assert of(ring).st_size == 4096


def test_results_are_values(ring: uring_rs.Ring, path: Path) -> None:
    for user_data in "ab":
        ring.prep_statx(path, user_data=user_data)
    first, second = several(ring, 2)
    assert first.value == first.value
    assert first.value == second.value
    assert hash(first.value) == hash(second.value)
    assert first.value != os.stat(path)
    path.write_bytes(b"other")
    ring.prep_statx(path)
    assert of(ring) != first.value
    assert "st_size=4096" in repr(first.value)
    assert os.path.samestat(first.value, os.stat(path))
    assert stat.filemode(first.value.st_mode).startswith("-rw")
    with pytest.raises(AttributeError):
        first.value.st_size = 5
    with pytest.raises(TypeError):
        StatxResult()


def test_failures_bring_nothing(ring: uring_rs.Ring, path: Path, closed_fd: int) -> None:
    for arguments, kind, number in (
        ((path / "x",), NotADirectoryError, errno.ENOTDIR),
        ((path.parent / "absent",), FileNotFoundError, errno.ENOENT),
        (("",), FileNotFoundError, errno.ENOENT),
        ((closed_fd,), OSError, errno.EBADF),
    ):
        ring.prep_statx(*arguments)  # type: ignore[arg-type]
        cqe = one(ring)
        failed(cqe, kind, number)
        assert cqe.value is None
    ring.prep_statx(path, AtFlags.STATX_FORCE_SYNC | AtFlags.STATX_DONT_SYNC)
    failed(one(ring), OSError, errno.EINVAL)
    idle(ring)


def test_a_used_sqe_does_not_show_an_old_answer(ring: uring_rs.Ring, path: Path) -> None:
    sqe = Sqe.statx(path)
    ring.push(sqe)
    assert of(ring).st_size == 4096
    path.unlink()
    ring.push(sqe)
    cqe = one(ring)
    failed(cqe, FileNotFoundError, errno.ENOENT)
    assert cqe.value is None


def test_swallowed(ring: uring_rs.Ring, path: Path) -> None:
    ring.prep_statx(path, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("seen", flags=SqeFlags.IO_DRAIN)
    assert one(ring).user_data == "seen"
    idle(ring)


def test_bad_arguments(ring: uring_rs.Ring) -> None:
    for wrong in (None, 1.5, ["path"], object()):
        with pytest.raises(TypeError):
            ring.prep_statx(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        ring.prep_statx(-1)
    with pytest.raises(ValueError, match="null"):
        ring.prep_statx("a\0b")
    with pytest.raises(ValueError, match="statx_flags does not take the bits 0x200"):
        ring.prep_statx("x", AtFlags.REMOVEDIR)
    with pytest.raises(ValueError, match="StatxMask"):
        ring.prep_statx("x", mask=1 << 31)
    with pytest.raises(OverflowError):
        ring.prep_statx("x", mask=-1)
    idle(ring)

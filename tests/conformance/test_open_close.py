"""OPENAT and CLOSE."""

from __future__ import annotations

import errno
import gc
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one
from uring_rs import SqeFlags

pytestmark = pytest.mark.requires_op("OPENAT", "CLOSE")


class ReadableFolder:
    """An object with fileno(), as dir_fd may be."""

    def __init__(self, folder: Path) -> None:
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def fileno(self) -> int:
        return self.fd


# --- open


def test_open(ring: uring_rs.Ring, path: Path) -> None:
    ring.prep_openat(path, user_data="o")
    cqe = one(ring)
    assert (cqe.user_data, cqe.op) == ("o", "OPENAT")
    fd = cqe.result()
    assert os.readlink(f"/proc/self/fd/{fd}") == str(path)
    assert os.read(fd, 10) == CONTENT[:10]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    os.close(fd)
    idle(ring)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC])
def test_never_inherited(ring: uring_rs.Ring, path: Path, flags: int) -> None:
    ring.prep_openat(path, flags)
    fd = one(ring).result()
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_kinds_of_paths(ring: uring_rs.Ring, tmp_path: Path) -> None:
    name = os.fsdecode(b"not utf-8 \xff\xfe")
    target = tmp_path / name
    target.write_bytes(b"x")

    class Like:
        def __init__(self, answer: str | bytes) -> None:
            self.answer = answer

        def __fspath__(self) -> str | bytes:
            return self.answer

    raw = os.fsencode(target)
    for form in (str(target), raw, target, Like(str(target)), Like(raw)):
        ring.prep_openat(form)  # type: ignore[arg-type]
        fd = one(ring).result()
        assert os.path.sameopenfile(fd, fd)
        assert os.fstat(fd).st_ino == target.stat().st_ino
        os.close(fd)


def test_create_with_mode(ring: uring_rs.Ring, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        ring.prep_openat(tmp_path / "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o667)
        fd = one(ring).result()
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o645
        assert os.write(fd, b"abc") == 3
        os.close(fd)
        assert (tmp_path / "new").read_bytes() == b"abc"
        ring.prep_openat(tmp_path / "default", os.O_CREAT | os.O_WRONLY)
        fd = one(ring).result()
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o755
        os.close(fd)
    finally:
        os.umask(before)


def test_truncate(ring: uring_rs.Ring, path: Path) -> None:
    ring.prep_openat(path, os.O_RDWR | os.O_TRUNC)
    os.close(one(ring).result())
    assert path.stat().st_size == 0


@pytest.mark.parametrize("form", ["number", "object"])
def test_relative_to_a_folder(ring: uring_rs.Ring, tmp_path: Path, path: Path, form: str) -> None:
    folder = ReadableFolder(tmp_path)
    ring.prep_openat(path.name, dir_fd=folder if form == "object" else folder.fd)
    fd = one(ring).result()
    assert os.fstat(fd).st_ino == path.stat().st_ino
    os.close(fd)
    os.close(folder.fd)


def test_relative_to_the_current_folder(
    ring: uring_rs.Ring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    ring.prep_openat(path.name)
    fd = one(ring).result()
    assert os.fstat(fd).st_ino == path.stat().st_ino
    os.close(fd)


def test_the_path_is_copied(ring: uring_rs.Ring, path: Path) -> None:
    """What becomes of the objects between staging and submission does not matter."""
    name = str(path) + ""
    ring.prep_openat(name)
    del name
    junk = [str(path).replace("content", f"gone{i:03}") for i in range(100)]
    fd = one(ring).result()
    assert os.fstat(fd).st_ino == path.stat().st_ino
    assert len(junk) == 100
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "flags", "kind", "number"),
    [
        ("absent", os.O_RDONLY, FileNotFoundError, errno.ENOENT),
        ("content", os.O_CREAT | os.O_EXCL, FileExistsError, errno.EEXIST),
        ("content/below", os.O_RDONLY, NotADirectoryError, errno.ENOTDIR),
        ("content", os.O_DIRECTORY, NotADirectoryError, errno.ENOTDIR),
        (".", os.O_WRONLY, IsADirectoryError, errno.EISDIR),
        ("loop", os.O_RDONLY, OSError, errno.ELOOP),
        ("x" * 256, os.O_RDONLY, OSError, errno.ENAMETOOLONG),
        ("", os.O_RDONLY, FileNotFoundError, errno.ENOENT),
    ],
)
def test_failures(
    ring: uring_rs.Ring, path: Path, name: str, flags: int, kind: type[OSError], number: int
) -> None:
    (path.parent / "loop").symlink_to("loop")
    folder = os.open(path.parent, os.O_RDONLY)
    ring.prep_openat(name, flags, dir_fd=folder)
    failed(one(ring), kind, number)
    os.close(folder)
    idle(ring)


def test_relative_to_a_closed_descriptor(ring: uring_rs.Ring, closed_fd: int) -> None:
    ring.prep_openat("name", dir_fd=closed_fd)
    failed(one(ring), OSError, errno.EBADF)


def test_bad_arguments(ring: uring_rs.Ring) -> None:
    for wrong in (None, 5, 1.5, ["path"]):
        with pytest.raises(TypeError):
            ring.prep_openat(wrong)  # type: ignore[arg-type]
    for null in ("a\0b", b"a\0b"):
        with pytest.raises(ValueError, match="null"):
            ring.prep_openat(null)
    with pytest.raises(ValueError, match="negative"):
        ring.prep_openat("x", dir_fd=-1)
    with pytest.raises(TypeError):
        ring.prep_openat("x", dir_fd="folder")  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        ring.prep_openat("x", 2**31)
    with pytest.raises(OverflowError):
        ring.prep_openat("x", 0, -1)
    idle(ring)


# --- whose descriptor it is


def test_swallowed_success_is_closed(ring: uring_rs.Ring, path: Path, pipe: Pipe) -> None:
    """Nobody will hear of the descriptor, so the ring closes it."""
    before = set(os.listdir("/proc/self/fd"))
    ring.prep_openat(path, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("seen", flags=SqeFlags.IO_DRAIN)
    assert one(ring).user_data == "seen"
    idle(ring)
    assert set(os.listdir("/proc/self/fd")) == before


def test_unread_results_are_closed_with_the_ring(shared: bool, path: Path, tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ring = uring_rs.Ring(4, shared=shared)
    for _ in range(3):
        ring.prep_openat(path)
    ring.wait(3)
    ring.close()
    claimed = ring.pop()
    assert claimed is not None
    assert os.read(claimed.result(), 3) == CONTENT[:3]
    os.close(claimed.result())
    del ring
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


# --- close


def test_close(ring: uring_rs.Ring, path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    ring.prep_close(fd, user_data="c")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("c", 0, "CLOSE")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    idle(ring)


def test_close_of_an_object(ring: uring_rs.Ring, path: Path) -> None:
    file = ReadableFolder(path.parent)
    ring.prep_close(file)
    assert one(ring).result() == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file.fd)


def test_close_twice(ring: uring_rs.Ring, closed_fd: int) -> None:
    ring.prep_close(closed_fd)
    failed(one(ring), OSError, errno.EBADF)


def test_rings_are_not_closed_by_request(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring]
) -> None:
    """The kernel refuses to close an io_uring through an io_uring."""
    other = make_ring(4)
    ring.prep_close(other)
    failed(one(ring), OSError, errno.EBADF)
    other.prep_nop(1)
    assert one(other).user_data == 1


def test_requests_in_flight_keep_their_file(ring: uring_rs.Ring, pipe: Pipe) -> None:
    out = os.dup(pipe.out)
    buf = bytearray(4)
    ring.prep_read(out, buf, user_data="read")
    ring.submit()
    ring.prep_close(out, user_data="close")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result()) == ("close", 0)
    pipe.feed(b"data")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result()) == ("read", 4)
    assert buf == b"data"


def test_bad_descriptors(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="negative"):
        ring.prep_close(-1)
    for wrong in (None, "0", 0.0):
        with pytest.raises(TypeError):
            ring.prep_close(wrong)  # type: ignore[arg-type]
    idle(ring)

"""OPENAT2, RENAMEAT, UNLINKAT, MKDIRAT, SYMLINKAT and LINKAT."""

from __future__ import annotations

import errno
import gc
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one
from uring_rs import AtFlags, RenameFlags, ResolveFlags, SetupFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op(
    "OPENAT2", "RENAMEAT", "UNLINKAT", "MKDIRAT", "SYMLINKAT", "LINKAT"
)

Prep = Callable[..., uring_rs.Completion]


class Folder:
    """An object with fileno(), as dir_fd may be."""

    def __init__(self, folder: Path) -> None:
        self.fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    __del__ = close


@pytest.fixture(params=["ring", "sqe"])
def do(request: pytest.FixtureRequest, ring: uring_rs.Ring) -> Prep:
    """Prepares, submits and waits, by the ring's builder or by that of Sqe."""

    def run(name: str, *args: Any, **kwargs: Any) -> uring_rs.Completion:
        if request.param == "ring":
            getattr(ring, f"prep_{name}")(*args, user_data=name, **kwargs)
        else:
            ring.push(getattr(Sqe, name)(*args, user_data=name, **kwargs))
        cqe = one(ring)
        assert cqe.user_data == name
        assert cqe.value is None
        return cqe

    return run


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Folder, Folder, Path]]:
    """Two directories, as objects with fileno(), and the path that they are in."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    a, b = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    yield a, b, tmp_path
    a.close()
    b.close()


# --- openat2


def test_openat2(do: Prep, path: Path) -> None:
    cqe = do("openat2", path)
    assert cqe.op == "OPENAT2"
    fd = cqe.result()
    assert os.read(fd, 10) == CONTENT[:10]
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_openat2_creates_with_a_mode(do: Prep, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for mode, expected in ((None, 0o755), (0o640, 0o640)):
            for flags in (os.O_CREAT | os.O_WRONLY, os.O_TMPFILE | os.O_WRONLY):
                name = tmp_path if flags & os.O_TMPFILE == os.O_TMPFILE else tmp_path / f"{mode}"
                fd = do("openat2", name, flags, mode).result()
                assert stat.S_IMODE(os.fstat(fd).st_mode) == expected
                os.close(fd)
    finally:
        os.umask(before)


def test_openat2_relative_to_a_folder(do: Prep, folders: tuple[Folder, Folder, Path]) -> None:
    folder, _, root = folders
    (root / "a" / "file").write_bytes(b"here")
    for dir_fd in (folder, folder.fd):
        fd = do("openat2", "file", dir_fd=dir_fd).result()
        assert os.read(fd, 10) == b"here"
        os.close(fd)


@pytest.mark.parametrize(
    ("name", "resolve", "number"),
    [
        ("../b", ResolveFlags.BENEATH, errno.EXDEV),
        ("/etc", ResolveFlags.BENEATH, errno.EXDEV),
        ("link", ResolveFlags.NO_SYMLINKS, errno.ELOOP),
        ("/proc/self/exe", ResolveFlags.NO_MAGICLINKS, errno.ELOOP),
        ("/proc/self/stat", ResolveFlags.NO_XDEV, errno.EXDEV),
        ("/a", ResolveFlags.IN_ROOT, errno.ENOENT),
    ],
)
def test_openat2_forbids(
    ring: uring_rs.Ring,
    folders: tuple[Folder, Folder, Path],
    name: str,
    resolve: ResolveFlags,
    number: int,
) -> None:
    folder, _, root = folders
    (root / "a" / "link").symlink_to("/")
    ring.prep_openat2(name, os.O_PATH, resolve=resolve, dir_fd=folder)
    cqe = one(ring)
    assert cqe.res == -number
    idle(ring)


def test_openat2_within_a_root(do: Prep, folders: tuple[Folder, Folder, Path]) -> None:
    folder, _, root = folders
    (root / "a" / "file").write_bytes(b"inside")
    fd = do("openat2", "/../file", 0, None, ResolveFlags.IN_ROOT, dir_fd=folder).result()
    assert os.read(fd, 10) == b"inside"
    os.close(fd)


def test_openat2_of_what_is_cached(do: Prep, path: Path) -> None:
    path.stat()
    fd = do("openat2", path, resolve=ResolveFlags.CACHED).result()
    os.close(fd)


def test_openat2_swallowed_success_is_closed(ring: uring_rs.Ring, path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ring.prep_openat2(path, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("seen", flags=SqeFlags.IO_DRAIN)
    assert one(ring).user_data == "seen"
    idle(ring)
    assert set(os.listdir("/proc/self/fd")) == before


def test_openat2_unread_results_are_closed_with_the_ring(shared: bool, path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ring = uring_rs.Ring(4, shared=shared)
    for _ in range(3):
        ring.prep_openat2(path)
    ring.wait(3)
    ring.close()
    del ring
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_openat2_refusals(ring: uring_rs.Ring, path: Path) -> None:
    ring.prep_openat2(path, os.O_RDONLY, 0o600)  # a mode where nothing is created
    failed(one(ring), OSError, errno.EINVAL)
    ring.prep_openat2(path, 1 << 40)
    failed(one(ring), OSError, errno.EINVAL)
    with pytest.raises(ValueError, match="resolve does not take the bits 0x40"):
        ring.prep_openat2(path, resolve=0x7F)
    with pytest.raises(OverflowError):
        ring.prep_openat2(path, -1)
    with pytest.raises(OverflowError):
        ring.prep_openat2(path, mode=-1)
    idle(ring)


# --- rename


def test_rename(do: Prep, path: Path) -> None:
    new = path.with_name("new")
    cqe = do("rename", path, new)
    assert (cqe.result(), cqe.op) == (0, "RENAMEAT")
    assert not path.exists()
    assert new.read_bytes() == CONTENT


def test_rename_between_folders(do: Prep, folders: tuple[Folder, Folder, Path]) -> None:
    source, target, root = folders
    (root / "a" / "x").write_bytes(b"moved")
    for src, dst in ((source, target), (source.fd, target.fd), (source, target.fd)):
        do("renameat", "x", b"y", src_dir_fd=src, dst_dir_fd=dst).result()
        assert (root / "b" / "y").read_bytes() == b"moved"
        do("renameat", "y", "x", src_dir_fd=dst, dst_dir_fd=src).result()


def test_rename_flags(ring: uring_rs.Ring, tmp_path: Path) -> None:
    one_, two = tmp_path / "1", tmp_path / "2"
    one_.write_bytes(b"1")
    two.write_bytes(b"2")
    ring.prep_renameat(one_, two, rename_flags=RenameFlags.NOREPLACE)
    failed(one(ring), FileExistsError, errno.EEXIST)
    ring.prep_renameat(one_, two, rename_flags=RenameFlags.EXCHANGE)
    assert one(ring).result() == 0
    assert (one_.read_bytes(), two.read_bytes()) == (b"2", b"1")
    ring.prep_renameat(one_, two)
    assert one(ring).result() == 0
    assert (one_.exists(), two.read_bytes()) == (False, b"2")
    with pytest.raises(ValueError, match="rename_flags does not take the bits 0x8"):
        ring.prep_renameat(one_, two, rename_flags=9)


# --- unlink, mkdir


def test_unlink(do: Prep, path: Path) -> None:
    cqe = do("unlink", path)
    assert (cqe.result(), cqe.op) == (0, "UNLINKAT")
    assert not path.exists()


def test_make_and_remove_a_folder(do: Prep, folders: tuple[Folder, Folder, Path]) -> None:
    folder, _, root = folders
    before = os.umask(0o022)
    try:
        for name, mode, expected in (("new", 0o777, 0o755), (b"other", 0o700, 0o700)):
            cqe = do("mkdirat", name, mode, dir_fd=folder)
            assert (cqe.result(), cqe.op) == (0, "MKDIRAT")
            assert stat.S_IMODE((root / "a" / os.fsdecode(name)).stat().st_mode) == expected
        do("mkdir", root / "plain").result()
        assert stat.S_IMODE((root / "plain").stat().st_mode) == 0o755
    finally:
        os.umask(before)
    cqe = do("unlinkat", "new", dir_fd=folder)
    failed(cqe, IsADirectoryError, errno.EISDIR)
    assert do("unlinkat", "new", AtFlags.REMOVEDIR, dir_fd=folder).result() == 0
    assert do("unlink", root / "plain", AtFlags.REMOVEDIR).result() == 0
    assert os.listdir(root / "a") == ["other"]
    cqe = do("unlink", root / "a", AtFlags.REMOVEDIR)
    failed(cqe, OSError, errno.ENOTEMPTY)


# --- links


def test_symlink(do: Prep, folders: tuple[Folder, Folder, Path]) -> None:
    folder, _, root = folders
    cqe = do("symlinkat", "where/ever", "link", dir_fd=folder)
    assert (cqe.result(), cqe.op) == (0, "SYMLINKAT")
    assert os.readlink(root / "a" / "link") == "where/ever"
    do("symlink", root, root / "self").result()
    assert (root / "self" / "a").is_dir()
    failed(do("symlink", "x", root / "self"), FileExistsError, errno.EEXIST)


def test_link(do: Prep, path: Path, folders: tuple[Folder, Folder, Path]) -> None:
    source, target, root = folders
    cqe = do("link", path, root / "second")
    assert (cqe.result(), cqe.op) == (0, "LINKAT")
    assert (root / "second").samefile(path)
    do("link", path, root / "a" / "x").result()
    do("linkat", "x", "y", src_dir_fd=source, dst_dir_fd=target).result()
    assert (root / "b" / "y").samefile(path)


def test_link_to_what_a_link_names(do: Prep, path: Path) -> None:
    folder = path.parent
    (folder / "s").symlink_to(path)
    do("link", folder / "s", folder / "itself").result()
    assert (folder / "itself").is_symlink()
    do("link", folder / "s", folder / "target", link_flags=AtFlags.SYMLINK_FOLLOW).result()
    assert not (folder / "target").is_symlink()
    assert (folder / "target").samefile(path)


def test_link_of_a_file_without_name(do: Prep, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, b"kept")
    found = do("linkat", "", tmp_path / "named", src_dir_fd=fd, link_flags=AtFlags.EMPTY_PATH)
    os.close(fd)
    assert found.result() == 0
    assert (tmp_path / "named").read_bytes() == b"kept"


# --- what they have in common

CASES: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("renameat", ("absent", "x"), ("src_dir_fd", "dst_dir_fd")),
    ("linkat", ("absent", "x"), ("src_dir_fd", "dst_dir_fd")),
    ("unlinkat", ("absent",), ("dir_fd",)),
    ("mkdirat", ("absent/x",), ("dir_fd",)),
    ("symlinkat", ("any", "absent/x"), ("dir_fd",)),
    ("openat2", ("absent",), ("dir_fd",)),
]


@pytest.mark.parametrize(("name", "paths", "folders_"), CASES, ids=[case[0] for case in CASES])
def test_failures(
    do: Prep,
    ring: uring_rs.Ring,
    tmp_path: Path,
    closed_fd: int,
    name: str,
    paths: tuple[str, ...],
    folders_: tuple[str, ...],
) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    failed(do(name, *paths, **dict.fromkeys(folders_, folder)), FileNotFoundError, errno.ENOENT)
    failed(do(name, *paths, **dict.fromkeys(folders_, closed_fd)), OSError, errno.EBADF)
    long = ["x" * 256 for _ in paths]
    failed(do(name, *long, **dict.fromkeys(folders_, folder)), OSError, errno.ENAMETOOLONG)
    os.close(folder)
    idle(ring)


@pytest.mark.parametrize(("name", "paths", "folders_"), CASES, ids=[case[0] for case in CASES])
def test_bad_arguments(
    ring: uring_rs.Ring, name: str, paths: tuple[str, ...], folders_: tuple[str, ...]
) -> None:
    for prep in (getattr(ring, f"prep_{name}"), getattr(Sqe, name)):
        for at in range(len(paths)):
            for wrong in (None, 5, 1.5, ["path"], bytearray(b"x")):
                with pytest.raises(TypeError):
                    prep(*(wrong if i == at else path for i, path in enumerate(paths)))
            with pytest.raises(ValueError, match="null"):
                prep(*("a\0b" if i == at else path for i, path in enumerate(paths)))
        for folder in folders_:
            with pytest.raises(ValueError, match="negative"):
                prep(*paths, **{folder: -1})
            with pytest.raises(TypeError):
                prep(*paths, **{folder: "folder"})
        with pytest.raises(TypeError):
            prep(*paths[:-1])
    idle(ring)


@pytest.mark.parametrize(
    ("name", "flags", "bits"),
    [("unlinkat", "unlink_flags", 0x100), ("linkat", "link_flags", 0x100)],
)
def test_bits_of_other_operations(ring: uring_rs.Ring, name: str, flags: str, bits: int) -> None:
    paths = ("x",) if name == "unlinkat" else ("x", "y")
    with pytest.raises(ValueError, match=f"{flags} does not take the bits {bits:#x}"):
        getattr(ring, f"prep_{name}")(*paths, **{flags: bits})
    idle(ring)


def test_paths_are_copied_and_folders_held(
    ring: uring_rs.Ring, folders: tuple[Folder, Folder, Path], pipe: Pipe
) -> None:
    """What becomes of the objects after staging does not matter."""
    root = folders[2]
    (root / "a" / "x").write_bytes(b"")
    name = bytes(root / "a" / "x") + b""
    ring.prep_rename(name, os.fsdecode(name[:-1] + b"y"))
    del name
    junk = [bytes(root / "a" / f"{i:01}") for i in range(10)]
    assert one(ring).result() == 0
    assert junk
    # The only references to both folders are the request's, which starts long after submission.
    buf = bytearray(1)
    ring.prep_read(pipe.out, buf, flags=SqeFlags.IO_LINK)
    ring.prep_renameat("y", "z", src_dir_fd=Folder(root / "a"), dst_dir_fd=Folder(root / "b"))
    ring.submit()
    gc.collect()
    pipe.feed()
    ring.submit(wait=2)
    assert [cqe.result() for cqe in ring] == [1, 0]
    assert (root / "b" / "z").exists()


def test_a_folder_is_looked_up_when_the_request_starts(
    ring: uring_rs.Ring, tmp_path: Path, pipe: Pipe
) -> None:
    """So a number must stay open; an object is kept open by the request."""
    folder = os.open(tmp_path, os.O_RDONLY)
    ring.prep_read(pipe.out, bytearray(1), flags=SqeFlags.IO_LINK)
    ring.prep_mkdirat("new", dir_fd=folder)
    ring.submit()
    os.close(folder)
    pipe.feed()
    ring.submit(wait=2)
    assert [cqe.res for cqe in ring] == [1, -errno.EBADF]


def test_both_folders_are_let_go(ring: uring_rs.Ring, folders: tuple[Folder, Folder, Path]) -> None:
    before = set(os.listdir("/proc/self/fd"))
    root = folders[2]
    ring.prep_renameat("n", "m", src_dir_fd=Folder(root / "a"), dst_dir_fd=Folder(root / "b"))
    ring.prep_linkat("n", "m", src_dir_fd=Folder(root / "a"), dst_dir_fd=Folder(root / "b"))
    ring.discard()
    with pytest.raises(TypeError):
        ring.prep_renameat(
            "n",
            5,  # type: ignore[arg-type]
            src_dir_fd=Folder(root / "a"),
            dst_dir_fd=Folder(root / "b"),
        )
    gc.collect()
    assert set(os.listdir("/proc/self/fd")) == before


def test_one_after_the_other(ring: uring_rs.Ring, tmp_path: Path) -> None:
    """A chain makes a folder, a link in it, renames it and removes it all again."""
    link = SqeFlags.IO_LINK
    ring.prep_mkdir(tmp_path / "d", flags=link)
    ring.prep_symlink("t", tmp_path / "d" / "s", flags=link)
    ring.prep_rename(tmp_path / "d" / "s", tmp_path / "d" / "r", flags=link)
    ring.prep_unlink(tmp_path / "d" / "r", flags=link)
    ring.prep_unlink(tmp_path / "d", AtFlags.REMOVEDIR)
    ring.submit(wait=5)
    assert [cqe.result() for cqe in ring] == [0] * 5
    assert os.listdir(tmp_path) == []


def test_cancelled_before_it_starts(ring: uring_rs.Ring, tmp_path: Path, path: Path) -> None:
    """Behind a link that waits, each is cancelled with it, and has done nothing."""
    ring.prep_timeout(60, flags=SqeFlags.IO_LINK, user_data="wait")
    ring.prep_unlink(path, user_data="unlink")
    ring.submit()
    ring.prep_cancel_all(user_data="cancel")
    ring.submit(wait=3)
    found = {cqe.user_data: cqe.res for cqe in ring}
    assert found["unlink"] == -errno.ECANCELED
    assert path.exists()


def test_a_polling_kernel_thread(
    open_ring: Callable[..., uring_rs.Ring], shared: bool, tmp_path: Path
) -> None:
    """It takes the entries when it likes: what they point at must still be there then."""
    try:
        ring = open_ring(16, shared=shared, flags=SetupFlags.SQPOLL)
    except uring_rs.UringError as error:
        pytest.skip(f"no polling thread here: {error}")
    for i in range(8):
        ring.prep_mkdir(str(tmp_path / f"d{i}"), flags=SqeFlags.IO_LINK)
        ring.prep_rename(str(tmp_path / f"d{i}"), str(tmp_path / f"e{i}"))
        ring.flush()
    ring.wait(16)
    assert [cqe.result() for cqe in ring] == [0] * 16
    assert sorted(os.listdir(tmp_path)) == [f"e{i}" for i in range(8)]
    for i in range(8):
        ring.prep_statx(tmp_path / f"e{i}", user_data=i)
    ring.submit(wait=8)
    inodes = {cqe.user_data: cqe.value.st_ino for cqe in ring}
    assert inodes == {i: (tmp_path / f"e{i}").stat().st_ino for i in range(8)}

"""Trees to copy, and what must be equal afterwards."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Facts = dict[bytes, tuple[Any, ...]]


def attributes(path: bytes) -> dict[str, bytes]:
    """Extended attributes, where the file system has any."""
    with contextlib.suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}
    return {}


def content(path: bytes, status: os.stat_result) -> bytes | None:
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return file.read()
    return os.readlink(path) if stat.S_ISLNK(status.st_mode) else None


def facts(top: str | os.PathLike[str], *, owners: bool = True) -> Facts:
    """Everything a copy must keep, of the top (b".") and all below."""
    root = os.fsencode(top)
    found: Facts = {}
    names: dict[tuple[int, int], list[bytes]] = {}
    for folder, folders, files in os.walk(root):
        for name in [b"."] * (folder == root) + folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            relative = os.path.normpath(os.path.relpath(path, root))
            kept: list[Any] = [status.st_mode, status.st_mtime_ns, status.st_rdev]
            kept += [status.st_uid, status.st_gid] if owners else []
            if not stat.S_ISDIR(status.st_mode):
                names.setdefault((status.st_dev, status.st_ino), []).append(relative)
            found[relative] = (*kept, attributes(path), content(path, status))
    for same in names.values():
        for name in same:
            found[name] += (sorted(same),)
    return found


def allocated(top: Path) -> dict[bytes, bool]:
    """Which files have holes: fewer blocks than bytes."""
    sparse = {}
    for path in top.rglob("*"):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size >= 65536:
            sparse[os.fsencode(path.relative_to(top))] = status.st_blocks * 512 < status.st_size
    return sparse


def temporary(top: str | os.PathLike[str]) -> list[str]:
    """Names of ours that an interrupted copy has left."""
    return [
        name
        for _, folders, files in os.walk(top)
        for name in folders + files
        if name.endswith(".uring_rs")
    ]


def make_rich(root: Path) -> Path:
    """A tree with one of everything."""
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir()
    for size in (0, 1, 4095, 4096, 65537, 300_000, 9_000_000):
        (root / f"{size}.bin").write_bytes(os.urandom(size))
    for name in (b"new\nline", b"n\xf6t-utf8", b" ", b"-r", b".hid", b"x" * 255):
        with open(os.path.join(os.fsencode(root / "deep"), name), "wb") as file:
            file.write(name)
    (root / "deep" / "er" / "script").write_bytes(b"#!/bin/sh\n")
    (root / "deep" / "er" / "script").chmod(0o4751)
    os.link(root / "1.bin", root / "deep" / "one")
    os.link(root / "1.bin", root / "deep" / "er" / "uno")
    os.symlink("../1.bin", root / "deep" / "to-file")
    os.symlink("nowhere", root / "dangling")
    os.symlink("deep", root / "to-folder")
    os.link(root / "dangling", root / "deep" / "dangling-too", follow_symlinks=False)
    os.mkfifo(root / "fifo", 0o640)
    os.link(root / "fifo", root / "deep" / "fifo-too")
    with open(root / "sparse", "wb") as file:
        file.seek(3_000_000)
        file.write(b"island")
        file.truncate(9_000_001)
    with open(root / "hole", "wb") as file:
        file.truncate(5_000_000)
    with contextlib.suppress(OSError):
        os.setxattr(root / "1.bin", "user.note", b"some\0bytes")
        os.setxattr(root / "deep", "user.folder", b"")
    for number, path in enumerate(sorted(root.rglob("*"))):
        when = (1_500_000_000 + number) * 10**9 + 123_456_789
        os.utime(path, ns=(when, when), follow_symlinks=False)
    (root / "deep" / "er").chmod(0o550)
    os.utime(root, ns=(1, 2))
    return root


@contextlib.contextmanager
def open_folders(top: Path) -> Iterator[None]:
    """Afterwards everything below can be removed, by anybody."""
    try:
        yield
    finally:
        for folder, _, _ in os.walk(top):
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)

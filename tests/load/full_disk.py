"""A disk that fills up at each point of a job: ENOSPC is said, the old files stay, no others do.

Run in a process of its own: it mounts a small tmpfs that nobody else sees.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import uring_rs
from uring_rs import IoOp

PAGE = 4096
OLD = b"old" * 100
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 0x40000, 2
SIZES = (1, PAGE, 3 * PAGE, 0, 5 * PAGE + 1)
TOTAL = sum(SIZES)


def mount(where: Path, options: str) -> None:
    """A tmpfs in a mount namespace of our own. OSError where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        lambda: libc.unshare(CLONE_NEWNS),
        lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
        lambda: libc.mount(b"tmpfs", os.fsencode(where), b"tmpfs", 0, options.encode()),
    ):
        if call() != 0:
            raise OSError(ctypes.get_errno(), "mounting a tmpfs")


def unmount(where: Path) -> None:
    ctypes.CDLL(None).umount2(os.fsencode(where), MNT_DETACH)


def data(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(size % 256)


def save(where: Path) -> None:
    uring_rs.save(where / "old", [data(size) for size in SIZES], chunk=PAGE)


def save_of_unknown_size(where: Path) -> None:
    uring_rs.save(where / "old", (data(size) for size in SIZES), chunk=PAGE, fsync=False)


def save_direct(where: Path) -> None:
    uring_rs.save(where / "old", [data(size) for size in SIZES], chunk=PAGE, direct=True)


def write_many(where: Path) -> None:
    items = [(where / f"new{number}", data(size)) for number, size in enumerate(SIZES)]
    uring_rs.write_many([*items, (where / "old", data(TOTAL))], fsync=True)


def write_many_at_once(where: Path) -> None:
    items = [(where / "old", data(TOTAL)), (where / "new", data(PAGE))]
    uring_rs.write_many(items, in_flight=1)


def copy(where: Path) -> None:
    uring_rs.copy(where.parent / "source" / "large", where / "old")


def copy_tree(where: Path) -> None:
    uring_rs.copy(where.parent / "source", where / "tree", recursive=True)


def write_ranges(where: Path) -> None:
    offsets = [PAGE * number for number in range(TOTAL // PAGE)]
    (where / "ranges").touch()
    uring_rs.write_ranges(where / "ranges", offsets, data=[data(PAGE)] * len(offsets))


def queue(where: Path) -> None:
    """Each request says it for itself, and the others are done."""
    fd = os.open(where / "queued", os.O_CREAT | os.O_RDWR)
    try:
        with uring_rs.IoQueue(16) as queue:
            queue.register(fd)
            for number in range(TOTAL // PAGE):
                queue.prepare(IoOp.WRITE, fd, PAGE * number, data(PAGE))
            queue.commit()
            done = []
            while len(done) < TOTAL // PAGE:
                done += queue.wait(1, timeout=30)
            for each in done:
                each.result()
    finally:
        os.close(fd)


def requests(where: Path) -> None:
    """The same on a ring."""
    fd = os.open(where / "requested", os.O_CREAT | os.O_RDWR)
    try:
        with uring_rs.Ring(32) as ring:
            ring.prep_fallocate(fd, 0, PAGE)
            for number in range(TOTAL // PAGE):
                ring.prep_write(fd, data(PAGE), PAGE * number)
            ring.submit(wait=1 + TOTAL // PAGE)
            for cqe in ring.reap():
                cqe.result()
    finally:
        os.close(fd)


WORKS: tuple[Callable[[Path], None], ...] = (
    save,
    save_of_unknown_size,
    save_direct,
    write_many,
    write_many_at_once,
    copy,
    copy_tree,
    write_ranges,
    queue,
    requests,
)


def space(where: Path) -> tuple[int, int]:
    """Pages and inodes that are left."""
    found = os.statvfs(where)
    return found.f_bavail, found.f_ffree


def once(work: Callable[[Path], None], where: Path, pages: int) -> bool:
    """Do it with so many pages left. Was that enough?"""
    whole = space(where)
    (where / "old").write_bytes(OLD)
    free, _ = space(where)
    with open(where / "filler", "wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(1, free - pages) * PAGE)
    try:
        work(where)
        enough = True
    except OSError as error:
        enough = False
        if error.errno != errno.ENOSPC:
            raise AssertionError(f"{work.__name__} with {pages} pages: {error!r}") from error
    content = (where / "old").read_bytes()
    if content not in (OLD, b"".join(map(data, SIZES)), data(TOTAL)):
        raise AssertionError(f"{work.__name__} with {pages} pages left a part of a file")
    left = [each for each in where.rglob("*") if each.name.endswith(".uring_rs")]
    if left:
        raise AssertionError(f"{work.__name__} with {pages} pages left {left}")
    _clear(where)
    _wait_for(where, whole)
    return enough


def _clear(where: Path) -> None:
    for each in sorted(where.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()


def fill_up(base: Path) -> dict[str, int]:
    """Each job with 0, 1, 2, ... pages left, till it succeeds. How often each ran out."""
    source = base / "source"
    source.mkdir()
    (source / "large").write_bytes(data(TOTAL))
    for number, size in enumerate(SIZES):
        (source / f"small{number}").write_bytes(data(size))
    where = base / "small"
    where.mkdir()
    counts = {}
    mount(where, "size=256k")
    try:
        for work in WORKS:
            refused = 0
            while not once(work, where, refused):
                refused += 1
                if refused > 60:
                    raise AssertionError(f"{work.__name__} never succeeds")
            if refused < 2:
                raise AssertionError(f"{work.__name__} ran out only {refused} times")
            counts[work.__name__] = refused
    finally:
        unmount(where)
    counts["without_inodes"] = no_inodes(where)
    return counts


def no_inodes(where: Path) -> int:
    """The same when it is names, not space, that run out."""
    mount(where, "size=1m,nr_inodes=6")
    refused, whole = 0, space(where)
    try:
        for work in (save, write_many, copy, copy_tree):
            for used in (4, 3, 2, 1, 0):
                (where / "old").write_bytes(OLD)
                for number in range(used):
                    (where / f"filler{number}").touch()
                try:
                    work(where)
                except OSError as error:
                    refused += 1
                    if error.errno != errno.ENOSPC:
                        raise AssertionError(f"{work.__name__}: {error!r}") from error
                left = [each for each in where.rglob("*") if each.name.endswith(".uring_rs")]
                if left:
                    raise AssertionError(f"{work.__name__} with {used} names used left {left}")
                _clear(where)
                _wait_for(where, whole)
    finally:
        unmount(where)
    return refused


def _wait_for(where: Path, whole: tuple[int, int]) -> None:
    """The kernel gives back what a request's file took a moment after its close."""
    until = time.monotonic() + 10
    while any(now < before for now, before in zip(space(where), whole, strict=True)):
        if time.monotonic() > until:
            raise AssertionError(f"pages and inodes: {space(where)} came back of {whole}")
        time.sleep(0.001)

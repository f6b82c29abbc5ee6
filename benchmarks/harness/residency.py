"""What of files is in the page cache, and getting it out of there."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from .cells import Unable

__all__ = ["cached_bytes", "drop", "drop_inodes"]

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def cached_of(fd: int, size: int) -> int:
    """Bytes of an open file that are in the page cache, by mincore(2)."""
    if not size:
        return 0
    # A private mapping, so that ctypes may have its address; no page of it is touched.
    with mmap.mmap(fd, size, access=mmap.ACCESS_COPY) as mapped:
        pages = ctypes.create_string_buffer(-(-size // PAGE))
        start = ctypes.c_char.from_buffer(mapped)
        try:
            failed = LIBC.mincore(ctypes.byref(start), ctypes.c_size_t(size), pages)
        finally:
            del start
    if failed:
        raise OSError(ctypes.get_errno(), "mincore")
    return PAGE * pages.raw.count(b"\1")


def cached_bytes(path: str | Path) -> int:
    """Bytes of a file that are in the page cache."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return cached_of(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def drop_one(path: str | Path) -> int:
    """Drop a file's data; how many bytes of it stayed."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return cached_of(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)


def drop(paths: Iterable[str | Path]) -> None:
    """Have none of the files' data in the page cache."""
    stayed = [path for path in paths if drop_one(path)]
    if stayed:
        # Not yet written back, or in use by somebody for a moment.
        os.sync()
        stayed = [path for path in stayed if drop_one(path)]
    if stayed:
        raise Unable(f"the data of {len(stayed)} files stays in the page cache: {stayed[0]}, ...")


def drop_inodes(paths: Iterable[str | Path]) -> None:
    """Have the files' inodes, and the blocks they are in, read from the disk again.

    There is no such call for single files: what the whole host has cached is dropped.
    """
    drop(paths)
    try:
        DROP_CACHES.write_text("3\n")
    except OSError as error:
        raise Unable(f"only root can drop inodes: {error}") from None

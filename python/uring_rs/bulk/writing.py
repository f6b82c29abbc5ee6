"""Files that appear whole: `write_many` for many of them, `save` for a large one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from ..backend import way

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._native import SimKernel

__all__ = ["SaveResult", "WriteResult", "save", "write_many"]

_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

AT_FDCWD = -100
MAX_IN_FLIGHT = 4096
MAX_CHUNK = 1 << 30
# Below this, files are written faster through the page cache; above it direct writes take as long
# each time, while buffered ones take from two thirds of that to ten times as long, whatever the
# state of the memory that the page cache gets.
DIRECT_FROM = 64 << 20
_BUFFERED, _MAY, _MUST = "no", "may", "must"


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


@dataclass(frozen=True)
class WriteResult:
    """What `write_many` did."""

    files: int
    """Files that are under their names now."""

    bytes: int
    """Bytes in them."""

    errors: list[tuple[_Path, OSError]] = field(default_factory=list)
    """With `errors="collect"`: what failed, as (path, exception). A directory that could not be
    fsynced is there under its own path, and the files in it may not survive a power cut."""

    stats: dict[str, int] = field(default_factory=dict)
    """How: `plain` system calls that write, `ring` and `threads` requests, `enters` of the ring,
    `fsyncs` of files and `directory_fsyncs`."""


@dataclass(frozen=True)
class SaveResult:
    """What `save` did."""

    bytes: int
    """The file's size."""

    direct: bool
    """Did it go past the page cache?"""

    stats: dict[str, int] = field(default_factory=dict)
    """How: `plain` system calls, `ring` and `threads` requests, `enters` of the ring, and bytes
    that were `bounced` through aligned buffers."""


def _directory(dir_fd: int | _HasFileno | None) -> int:
    if dir_fd is None:
        return AT_FDCWD
    number = dir_fd if isinstance(dir_fd, int) else dir_fd.fileno()
    if not 0 <= number < 1 << 31:
        raise ValueError("dir_fd must be an open directory")
    return number


def _between(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, not {value}")
    return value


def write_many(
    items: Iterable[tuple[_Path, Buffer]],
    *,
    in_flight: int = 64,
    fsync: bool = False,
    mode: int = 0o666,
    overwrite: bool = True,
    errors: Literal["raise", "collect"] = "raise",
    dir_fd: int | _HasFileno | None = None,
    max_bytes: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> WriteResult:
    """Write many whole files: none is ever seen half-written under its name.

        uring_rs.write_many((f"out/{n}.json", encode(n)) for n in range(10_000))

    Each file is written under a temporary name in its own directory, `.NAME.XXXXXX.uring_rs`, and
    renamed when it is whole.

    **What holds when**

    - *Always*: under each name there is the old file, or the new one, or none if there was none.
      That includes errors, Ctrl-C and exceptions in `items`, after which no temporary file is left
      either, and the end of the process by `kill -9`, which leaves at most `in_flight` temporary
      files and whole files under their names.
    - `fsync=True`, *and the call has returned*: all files have their new contents and their names
      after a power cut, too. Each file is fsynced before it gets its name, and each directory
      after the last name in it was changed. (The directories themselves must have been made
      durable by whoever made them. With `errors="collect"`, all files that are not in `errors`.)
    - `fsync=True`, *power cut before it has returned*: under each name there is the old or the new
      file, whole, or none if there was none.
    - `fsync=False`, *power cut*: what the file system had written back by then. A file may have its
      new name and be empty or cut short.

    Args:
        items: pairs of path and contents, taken a few at a time as they are needed. Contents are
            anything with a contiguous buffer: bytes, bytearray, memoryview, NumPy arrays... They
            are not copied, and locked until their file is written. If a path comes twice, the
            last one counts.
        in_flight: files under way at a time, 1 to 4096. With 1, plain system calls only.
        fsync: see above.
        mode: permissions of new files, less the umask. A file that is replaced keeps its
            permissions, and where this process may give it away its owner (set-user-ID and
            set-group-ID bits go where it may not); hard links, extended attributes and access lists
            of the old file are not carried over.
        overwrite: replace what is there? False: FileExistsError, for a symbolic link as well.
            True: a symbolic link is replaced itself, what it points to is left alone; directories,
            devices, pipes and sockets are never replaced (IsADirectoryError, FileExistsError).
        errors: "raise": the first failure ends the call with an OSError that names the path;
            files that were done by then stay, those under way are dropped. "collect": go on, and
            report all failures in the result. What is wrong with `items` themselves (no pair, no
            buffer) is raised in either case, and what they raise too, after the files before it
            were written.
        dir_fd: where relative paths start: an open directory. Default: the working directory.
        max_bytes: contents held at a time, 64 MiB unless told otherwise. One item may be larger.
        require_uring: raise UringUnavailable where a ring is refused.
        kernel: a `SimKernel`, for tests.

    How: names and small files are done by plain system calls, which a ring would only hand to a
    worker one by one. With `fsync`, as many fsyncs as possible are under way at a time through a
    ring, or threads where rings are refused: the device merges them. `stats` tells.
    """
    from .._uring import _write_many

    if errors not in ("raise", "collect"):
        raise ValueError("errors must be 'raise' or 'collect'")
    _between("in_flight", in_flight, 1, MAX_IN_FLIGHT)
    _between("mode", mode, 0, 0o7777)
    limit = 64 << 20 if max_bytes is None else _between("max_bytes", max_bytes, 1, 1 << 62)
    done = _write_many(
        items,
        in_flight=in_flight,
        fsync=bool(fsync),
        mode=mode,
        overwrite=bool(overwrite),
        collect=errors == "collect",
        dir_fd=_directory(dir_fd),
        max_bytes=limit,
        way=way(require_uring),
        kernel=kernel,
    )
    return WriteResult(**done)


def _known_size(buffers: Iterable[Buffer]) -> int | None:
    """How many bytes, where that can be told without using an iterator up."""
    if isinstance(buffers, list | tuple):
        return sum(memoryview(each).nbytes for each in buffers)
    return None


def _how_direct(direct: bool | Literal["auto"], size: int | None, fsync: bool) -> str:
    if direct is True:
        return _MUST
    if direct is False:
        return _BUFFERED
    if direct != "auto":
        raise ValueError("direct must be True, False or 'auto'")
    # Without fsync nobody waits for the device.
    return _MAY if fsync and (size is None or size >= DIRECT_FROM) else _BUFFERED


def save(
    path: _Path,
    buffers: Iterable[Buffer],
    *,
    direct: bool | Literal["auto"] = "auto",
    fsync: bool = True,
    chunk: int = 1 << 20,
    depth: int = 4,
    size: int | None = None,
    mode: int = 0o666,
    overwrite: bool = True,
    dir_fd: int | _HasFileno | None = None,
    progress: Callable[[int], object] | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> SaveResult:
    """Write buffers one after the other as one file, which appears whole: a checkpoint, say.

        uring_rs.save("model.bin", [tensor.numpy() for tensor in state.values()])

    The file is written under a temporary name beside `path`, fsynced, and renamed; then the
    directory is fsynced. Until that, and after an error, Ctrl-C or an exception in `buffers`, the
    old file is in its place. What holds after a crash is what `write_many` promises, with `fsync`
    and without.

    Args:
        path: the file. Existing ones are replaced as `write_many` does.
        buffers: anything with a contiguous buffer, NumPy arrays for instance. They are taken as
            they are needed, and locked while they are written.
        direct: past the page cache (O_DIRECT)? Aligned memory then goes to the device as it is,
            the rest through aligned buffers, some of which are written while another is filled.
            True: OSError (EINVAL) where the file system has no direct I/O. "auto": where it was
            measured faster or steadier: with `fsync`, from 64 MiB on or if the size is unknown.
        fsync: have file and name survive a power cut when the call returns.
        chunk: bytes that go out at a time, 4096 to 2**30.
        depth: chunks under way at a time, 1 to 64. Memory used: (depth + 1) * chunk bytes at most.
        size: how many bytes all buffers have, if known; lists and tuples are asked. Space is set
            aside for that, so that a full disk is noticed before anything is written.
        mode, overwrite, dir_fd: as for `write_many`.
        progress: called with the bytes written so far, every now and then. What it raises ends
            the call.
        require_uring: raise UringUnavailable where a ring is refused.
        kernel: a `SimKernel`, for tests.

    Raises:
        OSError: it names the path. The old file is in its place, unless it is the directory that
            is named: then the new one is, and may not survive a power cut.
    """
    from .._uring import _save

    _between("chunk", chunk, 4096, MAX_CHUNK)
    _between("depth", depth, 1, 64)
    _between("mode", mode, 0, 0o7777)
    size = _known_size(buffers) if size is None else _between("size", size, 0, 1 << 62)
    done = _save(
        path,
        buffers,
        direct=_how_direct(direct, size, bool(fsync)),
        fsync=bool(fsync),
        chunk=chunk,
        depth=depth,
        size=size,
        mode=mode,
        overwrite=bool(overwrite),
        dir_fd=_directory(dir_fd),
        progress=progress,
        way=way(require_uring),
        kernel=kernel,
    )
    return SaveResult(**done)

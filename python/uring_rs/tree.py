"""Trees of files: `copy` one or a whole tree of them, ask for the status of many, walk.

None of it needs a ring. The kernel hands what a ring could do of this to threads of its own, which
costs more than it saves (measured), so this is plain system calls without Python in between: the
GIL is released, signals are handled while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, AnyStr, Literal, TypeAlias, overload

from ._native import TreeWalk, _copy, _stat_many
from .backend import way

if TYPE_CHECKING:
    from _typeshed import StrOrBytesPath

__all__ = ["CopyResult", "copy", "stat_many", "walk"]

CopyProgress: TypeAlias = Callable[[int, int | None, int], object]
_Errors: TypeAlias = Literal["raise", "yield"]


@dataclass(frozen=True)
class CopyResult:
    """What `copy` did."""

    target: str | bytes
    """Where the copy is: `dst`, or the name of `src` in the folder `dst`."""

    files: int = 0
    """Regular files copied, or streams written."""

    directories: int = 0
    """Folders made, or found there and given mode and times."""

    symlinks: int = 0
    """Symbolic links."""

    hard_links: int = 0
    """Names that became links to a file copied before, as they are in the source."""

    specials: int = 0
    """Named pipes, sockets and devices made anew."""

    by_reflink: int = 0
    """Bytes that are shared with the source until either is changed (FICLONE)."""

    by_copy_file_range: int = 0
    """Bytes that the kernel copied."""

    by_read_write: int = 0
    """Bytes that were read and written."""

    in_holes: int = 0
    """Bytes of holes, which stayed holes."""

    errors: tuple[OSError, ...] = ()
    """With `errors="collect"`: what failed, in no certain order."""

    @property
    def bytes(self) -> int:
        """Bytes of all files, however they were copied."""
        return self.by_reflink + self.by_copy_file_range + self.by_read_write + self.in_holes


def copy(
    src: StrOrBytesPath,
    dst: StrOrBytesPath,
    *,
    recursive: bool = False,
    progress: CopyProgress | None = None,
    errors: Literal["raise", "collect"] = "raise",
    specials: bool = True,
    threads: int | None = None,
) -> CopyResult:
    """Copy a file, or with `recursive` a tree; as `cp -p` and `cp -a` do.

    If `dst` is a folder, the copy goes into it under the name of `src`; to copy the content of a
    folder into one that exists, say `src/.`. What is there is overwritten, folders are merged; a
    folder is never replaced by anything else, nor copied into itself. Without `recursive` symbolic
    links are followed and folders refused.

    *Kept*: bytes, holes, permissions, times in nanoseconds; owner, group and extended attributes
    (access control lists among them) as far as this process may set them and the file system has
    them, silently less where not; with `recursive` also symbolic links as links, and hard links
    among the files copied (where one cannot be made there is a copy: `hard_links` tells how many
    were). `specials=False` makes named pipes, sockets and devices errors
    (EOPNOTSUPP) instead of making them anew. A set-user-ID bit is kept only with its owner.
    Not kept: attributes of symbolic links, `chattr` flags, birth times.

    *How*: blocks are shared where the file system can (FICLONE), else the kernel copies
    (copy_file_range), else they are read and written; the result counts each.

    *Never half a file*: a file gets its name when it is whole, with its mode and times; neither an
    error nor a signal nor the end of the process leaves part of one under its final name, and all
    but SIGKILL leave nothing under any. (A file that replaces another, or is made where the file
    system has no nameless files, is meanwhile called `.NAME.XXXXXX.uring_rs`.) What cannot be
    replaced is written in place, as by `cp`: devices and pipes, files with several names, and those
    in folders that take no new names. Folders are made with mode 0700 and get their own when they
    are full; after an error those not finished keep 0700.

    The kernel copies or shares the bytes where it can. From one file system to another it cannot:
    small files are then read and written, of large ones some pieces are read while others are
    written, by a ring or, where that is refused, by threads.

    Nothing is forced to the disk: what a power failure may take is as with `cp`.

    *Symbolic links and races*: `src` and `dst` themselves may lead through links, and a single file
    is written to where a link of its name in the folder `dst` leads, as by `cp`. Below them
    everything is reached from the descriptor of its folder, by one name, without following links: a
    link that somebody puts in the place of a file or folder, on either side, is copied as a link or
    replaced, or is an error, and never leads out of the tree. A source that changes while it is
    read is copied as it is found; a name that vanishes is an error (ENOENT).

    `progress(bytes_done, bytes_total, names_done)` is called in the calling thread at most twenty
    times a second, and once when all is done; `bytes_total` is None where it is not known
    beforehand, as for trees. An exception in it, or in a signal handler (Ctrl-C), ends the copy
    within about 50 ms, removes what is not whole, and is raised.

    Errors are OSError naming the file, or source and target (`filename`, `filename2`) where the
    call had both. The first one ends the copy; with `errors="collect"` it goes on, and they are in
    the result. `threads` is how many work, the calling one included (default: two where there are
    as many CPUs); jobs of a few files are done by the calling thread alone.
    """
    if errors not in ("raise", "collect"):
        raise ValueError(f"errors must be 'raise' or 'collect', not {errors!r}")
    if progress is not None and not callable(progress):
        raise TypeError("progress must be callable")
    given = os.fspath(src)
    as_bytes = isinstance(given, bytes)
    target, counts, problems = _copy(
        os.fsencode(given),
        os.fsencode(dst),
        bool(recursive),
        errors == "collect",
        bool(specials),
        threads,
        progress,
        way(require_uring=False),
    )

    def shown(path: bytes | None) -> str | bytes | None:
        return path if as_bytes or path is None else os.fsdecode(path)

    failed = tuple(
        OSError(number, why or os.strerror(number), shown(path), None, shown(other))
        for number, why, path, other in problems
    )
    if failed and errors == "raise":
        raise failed[0]
    return CopyResult(target if as_bytes else os.fsdecode(target), **counts, errors=failed)


@overload
def stat_many(
    paths: Iterable[StrOrBytesPath],
    *,
    follow_symlinks: bool = ...,
    dir_fd: int | None = ...,
    errors: Literal["raise"] = ...,
    threads: int | None = ...,
) -> list[os.stat_result]: ...
@overload
def stat_many(
    paths: Iterable[StrOrBytesPath],
    *,
    follow_symlinks: bool = ...,
    dir_fd: int | None = ...,
    errors: _Errors,
    threads: int | None = ...,
) -> list[os.stat_result | OSError]: ...
def stat_many(
    paths: Iterable[StrOrBytesPath],
    *,
    follow_symlinks: bool = True,
    dir_fd: int | None = None,
    errors: _Errors = "raise",
    threads: int | None = None,
) -> list[os.stat_result] | list[os.stat_result | OSError]:
    """The status of many files: `[os.stat(path) for path in paths]`, in one call.

    The results are `os.stat_result`, in the order of the paths, whatever the order in which they
    came. The first file that fails (in that order) raises its OSError; with `errors="yield"` the
    OSError stands in the list instead. Relative paths start from the current folder, or from
    `dir_fd`. With `follow_symlinks=False` symbolic links are told of themselves.

    The first few are timed: where the answers come from the kernel's memory the calling thread goes
    on alone, or with one thread for each CPU if there are thousands; where they come from a device,
    up to eight threads wait for it together. `threads` sets the number instead.
    """
    if errors not in ("raise", "yield"):
        raise ValueError(f"errors must be 'raise' or 'yield', not {errors!r}")
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError("paths must be an iterable of paths, not one path")
    return _stat_many(paths, bool(follow_symlinks), dir_fd, errors == "yield", threads)


@overload
def walk(
    top: AnyStr | os.PathLike[AnyStr],
    *,
    stat: Literal[True] = ...,
    follow_symlinks: bool = ...,
    errors: Literal["raise"] = ...,
    threads: int | None = ...,
) -> TreeWalk[AnyStr, os.stat_result]: ...
@overload
def walk(
    top: AnyStr | os.PathLike[AnyStr],
    *,
    stat: Literal[False],
    follow_symlinks: bool = ...,
    errors: Literal["raise"] = ...,
    threads: int | None = ...,
) -> TreeWalk[AnyStr, int]: ...
@overload
def walk(
    top: AnyStr | os.PathLike[AnyStr],
    *,
    stat: Literal[True] = ...,
    follow_symlinks: bool = ...,
    errors: Literal["yield"],
    threads: int | None = ...,
) -> TreeWalk[AnyStr, os.stat_result | OSError]: ...
@overload
def walk(
    top: AnyStr | os.PathLike[AnyStr],
    *,
    stat: bool = ...,
    follow_symlinks: bool = ...,
    errors: _Errors = ...,
    threads: int | None = ...,
) -> TreeWalk[AnyStr, os.stat_result | int | OSError]: ...
def walk(
    top: AnyStr | os.PathLike[AnyStr],
    *,
    stat: bool = True,
    follow_symlinks: bool = False,
    errors: _Errors = "raise",
    threads: int | None = None,
) -> TreeWalk[AnyStr, os.stat_result | int | OSError]:
    """Everything below a folder, as pairs of path and `os.stat_result`; the folder itself is not.

    All names in a folder come before what is in its folders; otherwise the order is the file
    system's. With `stat=False` nobody is asked for the status, and the second of the pair is only
    the type, for `stat.S_ISDIR` and its like. Paths begin with `top`, and are bytes if that is.

    Symbolic links are told of themselves and not entered; with `follow_symlinks` both, and a link
    to a folder that it is in itself is an OSError (ELOOP). What vanishes meanwhile is left out.
    A folder that cannot be read raises its OSError; with `errors="yield"` the pair is its path and
    that OSError, and the walk goes on.

    Memory is bounded by the largest number of folders in one folder, however many files there are:
    some hundred names are looked up at a time, by one thread or several as `stat_many` does. The
    walk holds a few folders open until it ends, is closed (`close()`) or dropped. It may be handed
    to another thread, but used by one at a time; a forked child must begin its own.
    """
    if errors not in ("raise", "yield"):
        raise ValueError(f"errors must be 'raise' or 'yield', not {errors!r}")
    path = os.fspath(top)
    return TreeWalk(
        os.fsencode(path),
        bool(stat),
        bool(follow_symlinks),
        errors == "yield",
        isinstance(path, bytes),
        threads,
    )

"""`read_many`: whole files, many at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from .._native import ReadMany, SimKernel
from ..backend import way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

__all__ = ["read_many"]

Path = TypeVar("Path", bound="str | bytes | os.PathLike[Any]")
Order = Literal["completion", "input"]


@overload
def read_many(
    paths: Iterable[Path],
    *,
    in_flight: int = 64,
    order: Order = "completion",
    max_bytes: int | None = None,
    errors: Literal["raise"] = "raise",
    out: None = None,
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> ReadMany[Path, bytes]: ...
@overload
def read_many(
    paths: Iterable[Path],
    *,
    in_flight: int = 64,
    order: Order = "completion",
    max_bytes: int | None = None,
    errors: Literal["yield"],
    out: None = None,
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> ReadMany[Path, bytes | OSError | ValueError]: ...
@overload
def read_many(
    paths: Iterable[Path],
    *,
    in_flight: int = 64,
    order: Order = "completion",
    max_bytes: int | None = None,
    errors: Literal["raise"] = "raise",
    out: Sequence[Buffer] | Buffer,
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> ReadMany[Path, memoryview]: ...
@overload
def read_many(
    paths: Iterable[Path],
    *,
    in_flight: int = 64,
    order: Order = "completion",
    max_bytes: int | None = None,
    errors: Literal["yield"],
    out: Sequence[Buffer] | Buffer,
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> ReadMany[Path, memoryview | OSError | ValueError]: ...
def read_many(
    paths: Iterable[Path],
    *,
    in_flight: int = 64,
    order: Order = "completion",
    max_bytes: int | None = None,
    errors: Literal["raise", "yield"] = "raise",
    out: Sequence[Buffer] | Buffer | None = None,
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> ReadMany[Path, Any]:
    """Read whole files, many at a time: an iterator of `(path, data)`.

        for path, data in uring_rs.read_many(paths):
            ...

    What is cached is read by plain system calls, the interpreter left once for 64 files or so; what
    has to wait, by a ring, or by threads where rings are refused. `stats` of the iterator tells
    what was done how. The iterator is a context manager; leaving it early, dropping it and
    `close()` all cancel what is under way. Several threads may share it: each result goes to one.

    A file's contents are those up to the size it had when it was opened, less if it has become
    shorter since. Files without a size (those of /proc) are read to their end.

    Args:
        paths: str, bytes or path objects; any iterable, a generator for example. It is consumed as
            it is needed, a batch at a time, by whichever thread asks for a result.
        in_flight: how many files are worked on at a time, 1 to 4096; fewer where the process may
            not have so many descriptors. With 1 there are plain system calls only.
        order: "completion" hands results out as they come, "input" in the order of the paths.
        max_bytes: the most bytes of files held at once, counting what is being read and what was
            not handed out yet. A larger file is an error (EFBIG). None: up to 64 MiB are read
            ahead, and a larger file is read alone.
        errors: "raise": the first file that cannot be read raises, which ends the iteration.
            "yield": its exception takes the place of the data, and the others go on.
        out: read into these buffers instead of new bytes: a list of writable buffers, one for each
            path, or one writable C-contiguous buffer with a row for each (an array of two or more
            dimensions). `data` is then a memoryview of the bytes filled. Each is exported from when
            its path is taken until its result is handed out. Not together with `max_bytes`.
        dir_fd: the directory that relative paths start from.
        require_uring: raise UringUnavailable where io_uring cannot be used.
        kernel: a simulated kernel, for tests.

    Raises:
        OSError: from the iterator: a file cannot be read; `filename` is its path as it was given.
            The subclass is that of the errno: FileNotFoundError, PermissionError and so on.
            EINVAL: it is a FIFO, a socket or a device. EFBIG: larger than `max_bytes`. ENOBUFS:
            larger than its buffer in `out`.
        ValueError: from the iterator: a path with a null byte, or more paths than buffers. At once:
            a number out of range.
        TypeError: something that is no path. What came before it is handed out first; the same
            holds for what the iterable itself raises.
        ForkedRing: the iterator was made before a fork, and used in the child.
    """
    return ReadMany(
        paths,
        in_flight=in_flight,
        order=order,
        max_bytes=max_bytes,
        errors=errors,
        out=out,
        dir_fd=dir_fd,
        way=way(require_uring),
        kernel=kernel,
    )

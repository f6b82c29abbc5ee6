"""Many ranges of files in one call."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, SupportsIndex, TypeAlias, overload

from .. import _native
from ..backend import way

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .._native import SimKernel

__all__ = ["Ranges", "read_ranges", "write_ranges"]


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


File: TypeAlias = "str | bytes | os.PathLike[Any] | int | _HasFileno"
"""A path, a descriptor, or an open file."""

Numbers: TypeAlias = "int | Iterable[int] | Buffer"
"""One number for all ranges, or one for each: array, NumPy, range, list."""

Direct: TypeAlias = "bool | Literal['auto']"


def _flat(memory: Buffer) -> memoryview:
    view = memoryview(memory)
    if view.nbytes == 0:
        # Cannot be cast where a dimension is 0.
        return memoryview(b"")
    return view.cast("B") if view.ndim > 1 or view.format != "B" else view


class Ranges(Sequence[memoryview]):
    """What `read_ranges` read: `ranges[i]` is a memoryview of exactly the bytes of range i.

    A view is made when it is asked for, so a million ranges cost no more than their numbers. As
    long as this object or a view is there, the memory that was read into stays locked.
    """

    # The texts are what help() and inspect show of a slot.
    __slots__ = {  # noqa: RUF023
        "out": "The memory that was read into: what was given, or what was made.",
        "eof": "The ranges that the end of their file cut short, in ascending order.",
        "errors": """The ranges that failed, with errors="yield". Of them, what was read before is
        there.""",
        "stats": """How it was done. Requests by carrier: `at_once` (cached), `plain` (a plain
        system call), `ring`, `threads`; `enters`, calls of io_uring_enter(2). Requests by way:
        `buffered` (through the page cache), `direct` (past it), `bounced` (those of them that went
        through memory of the engine's, for want of alignment). `merged`: ranges that were read
        together with the one before; `bytes`: all that was read.""",
        "_parts": None,
        "_sizes": None,
        "_starts": None,
        "_stride": None,
    }

    out: Any
    eof: Sequence[int]
    errors: dict[int, OSError]
    stats: dict[str, int]

    def __init__(
        self,
        out: Any,
        starts: array[int] | int | None,
        sizes: array[int],
        eof: Sequence[int],
        errors: dict[int, OSError],
        stats: dict[str, int],
    ) -> None:
        self.out, self.eof, self.errors, self.stats = out, eof, errors, stats
        self._sizes = sizes
        self._stride = starts if isinstance(starts, int) else 0
        self._starts = None if starts is None or isinstance(starts, int) else starts
        if starts is None:
            self._parts: list[memoryview] | memoryview = [_flat(buffer) for buffer in out]
        else:
            self._parts = _flat(out)

    @property
    def sizes(self) -> array[int]:
        """Bytes read of each range, as 64-bit numbers that NumPy sees without copying."""
        return self._sizes

    @property
    def complete(self) -> bool:
        """Was every range read in full?"""
        return not self.eof and not self.errors

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, index: SupportsIndex) -> memoryview: ...
    @overload
    def __getitem__(self, index: slice) -> list[memoryview]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> memoryview | list[memoryview]:
        if isinstance(index, slice):
            return [self._view(i) for i in range(*index.indices(len(self._sizes)))]
        at = index.__index__()
        if at < 0:
            at += len(self._sizes)
        if not 0 <= at < len(self._sizes):
            raise IndexError(f"range {index} of {len(self._sizes)}")
        return self._view(at)

    def _view(self, at: int) -> memoryview:
        if isinstance(self._parts, list):
            return self._parts[at][: self._sizes[at]]
        start = at * self._stride if self._starts is None else self._starts[at]
        return self._parts[start : start + self._sizes[at]]

    def __iter__(self) -> Iterator[memoryview]:
        parts = self._parts
        if isinstance(parts, list):
            for part, size in zip(parts, self._sizes, strict=True):
                yield part[:size]
            return
        starts: Iterable[int] = self._starts or range(
            0, len(self._sizes) * self._stride or 1, self._stride or 1
        )
        for start, size in zip(starts, self._sizes, strict=False):
            yield parts[start : start + size]

    def __repr__(self) -> str:
        text = f"{len(self)} ranges, {self.stats.get('bytes', 0)} bytes"
        if self.eof:
            text += f", {len(self.eof)} cut short by the end of file"
        if self.errors:
            text += f", {len(self.errors)} failed"
        return f"<Ranges: {text}>"


def read_ranges(
    files: File | Iterable[File],
    offsets: Numbers,
    sizes: Numbers,
    out: Buffer | list[Buffer] | None = None,
    *,
    index: Numbers | None = None,
    direct: Direct = "auto",
    depth: int = 64,
    errors: Literal["raise", "yield"] = "raise",
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> Ranges:
    """Read many ranges of one or more files, many at a time, in one call.

        views = uring_rs.read_ranges("features.bin", offsets, 4096)
        uring_rs.read_ranges("features.bin", offsets, 4096, out=ndarray)
        uring_rs.read_ranges(["a", "b"], offsets, sizes, index=which)

    Short reads are completed; a range is shorter than asked for only at the end of its file, which
    `eof` lists. The interpreter is free for other threads meanwhile, and Ctrl-C ends it.

    Args:
        files: a path, descriptor or open file for all ranges; or a sequence with one for each
            range; or, with `index`, a sequence of files. A path is opened when its first range
            comes up, and closed after its last.
        offsets: where each range begins in its file, in bytes: an int, or an integer array (array,
            NumPy, memoryview), a range or list. At most 2**24 ranges.
        sizes: how many bytes each range has: an int, or as many as there are offsets.
        out: writable, C-contiguous memory (bytearray, NumPy, mmap), filled densely in the order of
            the ranges: range i lies behind the sizes of those before it. Or a list of such buffers,
            one for each range. Default: new memory that begins on a page.
        index: for each range, the place of its file in `files`.
        direct: past the page cache (O_DIRECT)? "auto": what is cached is read from there, the rest
            directly where the file system can do that. True: all directly, or an error. False: all
            through the page cache. Alignment is taken care of: what is not aligned goes through
            memory of the engine's. Files that are open already are opened once more for it
            (/proc/self/fd).
        depth: requests under way at a time, 1 to 4096. With 1, plain system calls are made.
        errors: "raise": stop at the first range that fails. "yield": go on, and list them in
            `errors` of the result.
        require_uring: raise where io_uring is refused, rather than use threads.
        kernel: a simulated kernel, for tests.

    Returns: a `Ranges`, a sequence of memoryviews.

    Raises:
        OSError: naming the file and the range, whose number is in its attribute `range`.
        ValueError: what was given does not fit together.
        UringUnavailable: `require_uring`, and it is.

    Memory: `out` is locked during the call (a bytearray cannot be resized), and as long as the
    result is there.
    """
    if errors not in ("raise", "yield"):
        raise ValueError('errors must be "raise" or "yield"')
    memory, starts, done, eof, failed, stats = _native.read_ranges(
        files,
        index,
        offsets,
        sizes,
        out,
        direct,
        depth,
        errors == "raise",
        way(require_uring),
        kernel,
    )
    return Ranges(memory, starts, done, eof, failed, stats)


def write_ranges(
    files: File | Iterable[File],
    offsets: Numbers,
    data: Buffer | list[Buffer],
    sizes: Numbers | None = None,
    *,
    index: Numbers | None = None,
    direct: Direct = "auto",
    depth: int = 64,
    fsync: bool = False,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> dict[str, int]:
    """Write many ranges of one or more files in one call: the mirror image of `read_ranges`.

        uring_rs.write_ranges("features.bin", offsets, ndarray, fsync=True)

    Short writes are completed. The interpreter is free for other threads meanwhile, and Ctrl-C ends
    it, with some ranges written and others not.

    Args:
        files, index, depth, require_uring, kernel: as for `read_ranges`. A path that is not there
            is made; what is there is kept but for the ranges.
        offsets: where each range begins in its file, in bytes. Ranges of one file must not overlap.
        data: C-contiguous memory with the ranges one after the other, or a list of buffers, one for
            each range.
        sizes: how many bytes each range has. Default: the size of its buffer; or that of the one
            buffer, divided equally.
        direct: past the page cache (O_DIRECT)? True: whole pages directly, or an error. "auto": the
            same with `fsync` for ranges of 64 KiB and more on the average, where the file system
            can do that. What is not whole pages goes through the page cache, after all direct
            writes have ended, so neither overwrites the other. False: all through the page cache.
        fsync: flush each file at the end (fsync(2)): when the call returns, all of it is on the
            device. The directory of a new file is not flushed.

    Returns: how it was done, as `Ranges.stats`, and `flushes`.

    Raises:
        OSError: naming file and range. Its attributes: `range`, the number of the range; `written`,
            the bytes written of it without a gap from its beginning; `stats`, with all `bytes`
            written. Other ranges may have been written or not.
        ValueError: what was given does not fit together.
        UringUnavailable: `require_uring`, and it is.

    Memory: `data` is locked during the call. Changing it meanwhile changes what is written.
    """
    return _native.write_ranges(
        files, index, offsets, sizes, data, direct, depth, fsync, way(require_uring), kernel
    )

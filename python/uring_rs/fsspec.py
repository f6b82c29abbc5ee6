"""The file system `uring://` of fsspec: local files, many at a time.

    import fsspec, pandas

    fs = fsspec.filesystem("uring")
    parts = fs.cat_ranges(paths, starts, ends)      # one call, all ranges in flight together
    frame = pandas.read_parquet("uring:///data/table.parquet")

Needs fsspec (`pip install 'uring_rs[fsspec]'`), which finds it by its entry point. Calls for many
files or ranges go through `uring_rs.read_ranges`, `read_many` and `write_many`, and work by threads
where io_uring is refused. One file object is a plain Python file: one read at a time gains nothing.

An instance holds no ring and no descriptor, so it may be pickled, sent to Dask or Ray workers, used
from any thread and after a fork: each call makes what it needs, and ends it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Final, TypeAlias

from fsspec import AbstractFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK, Callback, NoOpCallback
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem
from fsspec.utils import isfilelike, stringify_path

from . import copy, read_many, read_ranges, stat_many, write_many

__all__ = ["UringFileSystem"]

_Bound: TypeAlias = "int | None"
_Pairs: TypeAlias = "list[tuple[str, str]]"

# What read_ranges fills and is then copied into bytes objects, at most at a time.
_BATCH: Final = 64 << 20
_COPIES: Final = 8


class UringFileSystem(AbstractFileSystem):
    """Local files, with every call for many files or many ranges carried out at once.

    Args:
        auto_mkdir: make missing folders of a file that is written, as `LocalFileSystem` has it.

    Not a subclass of fsspec's `LocalFileSystem` on purpose: Dask and others ask by type whether a
    file system is the plain local one, and then never use `cat_ranges`.
    """

    protocol: ClassVar[str] = "uring"
    root_marker: ClassVar[str] = "/"
    local_file: ClassVar[bool] = True

    def __init__(self, auto_mkdir: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.auto_mkdir = auto_mkdir

    @property
    def fsid(self) -> str:
        """Names what is stored, not how it is reached."""
        return "local"

    # What concerns one name at a time is what fsspec has for local files.
    info = LocalFileSystem.info
    ls = LocalFileSystem.ls
    isfile = LocalFileSystem.isfile
    isdir = LocalFileSystem.isdir
    lexists = LocalFileSystem.lexists
    created = LocalFileSystem.created
    modified = LocalFileSystem.modified
    mkdir = LocalFileSystem.mkdir
    makedirs = LocalFileSystem.makedirs
    rmdir = LocalFileSystem.rmdir
    rm_file = LocalFileSystem.rm_file
    rm = LocalFileSystem.rm
    mv = LocalFileSystem.mv
    link = LocalFileSystem.link
    symlink = LocalFileSystem.symlink
    islink = LocalFileSystem.islink
    touch = LocalFileSystem.touch
    chmod = LocalFileSystem.chmod
    unstrip_protocol = LocalFileSystem.unstrip_protocol
    _isfilestore = LocalFileSystem._isfilestore

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        path = stringify_path(path)
        for prefix in (f"{cls.protocol}://", f"{cls.protocol}:"):
            if path.startswith(prefix):
                path = path.removeprefix(prefix)
                break
        return LocalFileSystem._strip_protocol(path)

    @classmethod
    def _parent(cls, path: Any) -> str:
        return LocalFileSystem._parent(cls._strip_protocol(path))  # type: ignore[no-any-return]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> LocalFileOpener:
        path = self._strip_protocol(path)
        if self.auto_mkdir and any(letter in mode for letter in "wxa"):
            self.makedirs(self._parent(path), exist_ok=True)
        options.pop("block_size", None)
        return LocalFileOpener(path, mode, fs=self, **options)

    # ---- reading

    def cat_file(
        self, path: Any, start: _Bound = None, end: _Bound = None, **options: Any
    ) -> bytes:
        """The content of one file, or of a part of it; negative bounds count from its end."""
        if options:
            return bytes(super().cat_file(path, start, end, **options))
        path = self._strip_protocol(path)
        if start is None and end is None:
            ((_, content),) = read_many([path])
            return content
        (data,) = self.cat_ranges([path], [start], [end], on_error="raise")
        assert isinstance(data, bytes)
        return data

    def cat(
        self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any
    ) -> Any:
        """The content of one file, or a dict of the contents of many: see `read_many`."""
        if options:
            return super().cat(path, recursive=recursive, on_error=on_error, **options)
        paths: list[str] = self.expand_path(path, recursive=recursive)
        if not isinstance(path, list) and paths == [self._strip_protocol(path)]:
            return self.cat_file(paths[0])
        found: dict[str, bytes | Exception] = {}
        with read_many(paths, errors="yield") as reading:
            for name, data in reading:
                if isinstance(data, Exception) and on_error == "raise":
                    raise data
                if not isinstance(data, Exception) or on_error == "return":
                    found[name] = data
        return {name: found[name] for name in paths if name in found}

    def cat_ranges(
        self,
        paths: list[Any],
        starts: list[_Bound] | _Bound,
        ends: list[_Bound] | _Bound,
        max_gap: int | None = None,
        on_error: str = "return",
        **options: Any,
    ) -> list[bytes | Exception]:
        """The content of byte ranges of one or more files: see `read_ranges`.

        Args:
            paths: one for each range; a file may be named any number of times.
            starts, ends: one for each range, or one for all. None is the beginning or the end of
                the file, a negative number counts from its end, as in slices.
            on_error: "return" puts the exception in the place of the bytes, otherwise the first
                is raised.
        """
        if max_gap is not None:
            raise NotImplementedError("max_gap: ranges are read as they are given")
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        first = starts if isinstance(starts, list) else [starts] * len(paths)
        last = ends if isinstance(ends, list) else [ends] * len(paths)
        if len(first) != len(paths) or len(last) != len(paths):
            raise ValueError("paths, starts and ends must be of the same length")
        numbers: dict[Any, int] = {}
        index = [numbers.setdefault(path, len(numbers)) for path in paths]
        files = _Files([self._strip_protocol(path) for path in numbers])
        found = files.read(index, first, last)
        if on_error != "return":
            for each in found:
                if isinstance(each, Exception):
                    raise each
        return found

    def sizes(self, paths: Iterable[Any]) -> list[int | None]:
        """The size of each file, in bytes."""
        return [each.st_size for each in stat_many([self._strip_protocol(p) for p in paths])]

    # ---- writing and copying

    def pipe(self, path: Any, value: Any = None, **options: Any) -> None:
        """Write one file, or with a dict many: see `write_many`."""
        if not isinstance(path, dict) or options or self._intrans:
            super().pipe(path, value, **options)
            return
        names = {self._strip_protocol(name): data for name, data in path.items()}
        if self.auto_mkdir:
            for folder in {self._parent(name) for name in names}:
                self.makedirs(folder, exist_ok=True)
        write_many(names.items())

    def cp_file(self, path1: Any, path2: Any, _pairs: _Pairs | None = None, **options: Any) -> None:
        """Copy one file, or make the folder that a folder's copy is."""
        pair = self._strip_protocol(path1), self._strip_protocol(path2)
        if _pairs is not None:
            _pairs.append(pair)
        else:
            _copy_pairs([pair], parents=self.auto_mkdir)

    def copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        on_error: str | None = None,
        **options: Any,
    ) -> None:
        """Copy files and folders here, several at a time, as `uring_rs.copy` does each."""
        pairs: _Pairs = []
        super().copy(path1, path2, recursive, maxdepth, on_error, _pairs=pairs, **options)
        skip = recursive if on_error is None else on_error == "ignore"
        _copy_pairs(pairs, parents=self.auto_mkdir, skip_missing=skip)

    def get_file(
        self,
        rpath: Any,
        lpath: Any = None,
        callback: Callback = DEFAULT_CALLBACK,
        outfile: Any = None,
        _pairs: _Pairs | None = None,
        **options: Any,
    ) -> None:
        """Copy one file to a path, or into an open file."""
        if outfile is not None or isfilelike(lpath):
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **options)
            return
        self._gather(self._strip_protocol(rpath), os.fspath(lpath), callback, _pairs)

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy files and folders to paths outside, several at a time."""
        pairs: _Pairs = []
        super().get(rpath, lpath, recursive, maxdepth=maxdepth, _pairs=pairs, **options)
        _copy_pairs(pairs, callback)

    def put_file(
        self,
        lpath: Any,
        rpath: Any,
        callback: Callback = DEFAULT_CALLBACK,
        mode: str = "overwrite",
        _pairs: _Pairs | None = None,
        **options: Any,
    ) -> None:
        """Copy one file from a path."""
        target = self._strip_protocol(rpath)
        if mode == "create" and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        self._gather(os.fspath(lpath), target, callback, _pairs)

    def put(
        self,
        lpath: Any,
        rpath: Any,
        recursive: bool = False,
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy files and folders from paths outside, several at a time."""
        pairs: _Pairs = []
        super().put(lpath, rpath, recursive, maxdepth=maxdepth, _pairs=pairs, **options)
        _copy_pairs(pairs, callback)

    @staticmethod
    def _gather(source: str, target: str, callback: Callback, pairs: _Pairs | None) -> None:
        """Copy it, or leave that to the call for many files which this is a part of."""
        if pairs is not None:
            pairs.append((source, target))
        else:
            _copy_pairs([(source, target)], _OnlyChild(callback))


class _OnlyChild(NoOpCallback):
    """Stands above the callback of one file."""

    def __init__(self, child: Callback) -> None:
        super().__init__()
        self._child = child

    def branched(self, path_1: str, path_2: str, **options: Any) -> Callback:
        return self._child


def _copy_pairs(
    pairs: _Pairs,
    callback: Callback = DEFAULT_CALLBACK,
    *,
    parents: bool = True,
    skip_missing: bool = False,
) -> None:
    """Make each folder; copy each file, several of them at a time."""
    callback.set_size(len(pairs))
    files: list[tuple[str, str, int]] = []
    stats = stat_many([source for source, _ in pairs], errors="yield")
    for (source, target), status in zip(pairs, stats, strict=True):
        if isinstance(status, FileNotFoundError) and skip_missing:
            callback.relative_update(1)
        elif isinstance(status, OSError):
            raise status
        elif stat.S_ISDIR(status.st_mode):
            os.makedirs(target, exist_ok=True)
            callback.relative_update(1)
        elif os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
        else:
            files.append((source, target, status.st_size))
    if parents:
        for folder in {os.path.dirname(target) or "." for _, target, _ in files}:
            os.makedirs(folder, exist_ok=True)
    for source, target, size in _copied(files):
        with callback.branched(source, target) as child:
            child.set_size(size)
            child.relative_update(size)
        callback.relative_update(1)


def _copied(files: list[tuple[str, str, int]]) -> Iterator[tuple[str, str, int]]:
    """Copy them, and say so in their order. Each waits in a system call, without the GIL."""
    if len(files) < 2:
        for source, target, _ in files:
            copy(source, target)
        yield from files
        return
    with ThreadPoolExecutor(min(_COPIES, len(files)), "uring_rs-copy") as pool:
        running = [pool.submit(copy, source, target) for source, target, _ in files]
        try:
            for file, each in zip(files, running, strict=True):
                each.result()
                yield file
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _Files:
    """The files of one `cat_ranges`: their sizes where those are needed, and the ranges read."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._stats = stat_many(names, errors="yield")

    def read(
        self, index: Sequence[int], starts: Sequence[_Bound], ends: Sequence[_Bound]
    ) -> list[bytes | Exception]:
        """Each range's bytes, or why there are none."""
        found: list[bytes | Exception] = [b""] * len(index)
        rows: list[tuple[int, int, int]] = []
        for row, (number, start, end) in enumerate(zip(index, starts, ends, strict=True)):
            status = self._stats[number]
            if isinstance(status, OSError):
                found[row] = status
            elif not stat.S_ISREG(status.st_mode) or not status.st_size:
                found[row] = self._read_odd(number, start, end)
            else:
                offset, stop = _limits(start, end, status.st_size)
                if stop > offset:
                    rows.append((row, offset, stop - offset))
        for batch in _batches(rows):
            self._read_batch(batch, index, found)
        return found

    def _read_batch(
        self,
        batch: Sequence[tuple[int, int, int]],
        index: Sequence[int],
        found: list[bytes | Exception],
    ) -> None:
        files = [index[row] for row, _, _ in batch]
        offsets = [offset for _, offset, _ in batch]
        sizes = [size for _, _, size in batch]
        ranges = read_ranges(self._names, offsets, sizes, index=files, errors="yield")
        for (row, _, _), view in zip(batch, ranges, strict=True):
            found[row] = bytes(view)
        for place, error in ranges.errors.items():
            found[batch[place][0]] = error

    def _read_odd(self, number: int, start: _Bound, end: _Bound) -> bytes | Exception:
        """What has no size before it is read: a file of /proc, a device, or nothing at all."""
        try:
            with open(self._names[number], "rb") as file:
                data = file.read()
        except OSError as error:
            return error
        return data[start:end]


def _limits(start: _Bound, end: _Bound, size: int) -> tuple[int, int]:
    """Where a slice of so many bytes begins and ends."""
    first, last, _ = slice(start, end).indices(size)
    return first, last


def _batches(rows: Iterable[tuple[int, int, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Ranges, as many at a time as may be held twice."""
    batch: list[tuple[int, int, int]] = []
    total = 0
    for row in rows:
        if batch and total + row[2] > _BATCH:
            yield batch
            batch, total = [], 0
        batch.append(row)
        total += row[2]
    if batch:
        yield batch

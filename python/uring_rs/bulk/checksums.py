"""`checksum_many`: digests of many files, hashed while the next ones are being read."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Literal, Protocol, TypeVar, overload

from .._native import ReadMany, SimKernel
from ..backend import way

__all__ = ["checksum_many"]

Path = TypeVar("Path", bound="str | bytes | os.PathLike[Any]")
Order = Literal["completion", "input"]
Failure = OSError | ValueError

WINDOW = 16 << 20
"""Bytes read ahead. Files larger than that are streamed."""
HANDED = 256 << 10
"""What is larger is hashed by a thread: below, handing it over costs more than it gains."""
CHUNK = 1 << 20
"""A streamed file is read in pieces of this size,"""
AHEAD = 8 << 20
"""with the system reading this far ahead of them."""
RESULTS = 10_000
"""In input order, so many digests wait for one that takes long."""


class _Hasher(Protocol):
    def update(self, data: Any, /) -> None: ...
    def hexdigest(self) -> str: ...


Make = Callable[..., _Hasher]


def _maker(algorithm: str) -> Make:
    """What makes hashers of that name: hashlib's, else those of blake3 or xxhash if installed."""
    if algorithm in hashlib.algorithms_available:
        made = getattr(hashlib, algorithm, None)

        def make(data: Any = b"") -> _Hasher:
            if made is not None:
                hasher: _Hasher = made(data, usedforsecurity=False)
            else:
                hasher = hashlib.new(algorithm, data, usedforsecurity=False)
            return hasher

        # The variable length ones (SHAKE) have no digest without one.
        if hashlib.new(algorithm, usedforsecurity=False).digest_size:
            return make
    found: Make | None = None
    if algorithm == "blake3":
        found = _optional("blake3", "blake3")
    elif algorithm.startswith("xx"):
        found = _optional("xxhash", algorithm)
    if found is None:
        raise ValueError(f"there is no hash {algorithm!r} of a fixed size here")
    return found


def _optional(module: str, name: str) -> Make | None:
    try:
        return getattr(__import__(module), name, None)
    except ImportError:
        return None


class _Hashing:
    """The threads that hash what is large, and what they have not finished."""

    def __init__(self, make: Make, dir_fd: int | None, kernel: SimKernel | None) -> None:
        self.make, self.dir_fd, self.kernel = make, dir_fd, kernel
        self.stop = threading.Event()
        self.pool: ThreadPoolExecutor | None = None
        # What each holds besides its result: the bytes that wait to be hashed.
        self.waiting: deque[tuple[Any, Future[str] | str | Exception, int]] = deque()
        self.held = 0

    def submit(self, path: Any, work: Callable[..., str], what: Any, held: int) -> None:
        if self.pool is None:
            self.pool = ThreadPoolExecutor(os.cpu_count() or 1, "uring_rs-hash")
        try:
            future = self.pool.submit(work, what)
        except RuntimeError:
            # No thread can be started (a limit on processes, say): done here then. One that there
            # is may do it too, for nobody.
            future = Future()
            try:
                future.set_result(work(what))
            except Exception as error:
                future.set_exception(error)
        self.waiting.append((path, future, held))
        self.held += held

    def of_bytes(self, data: bytes) -> str:
        return self.make(data).hexdigest()

    def of_large(self, path: Any) -> str:
        """The digest of a file that is not read as a whole."""
        if self.kernel is not None:
            whole: ReadMany[Any, bytes] = ReadMany([path], kernel=self.kernel)
            return self.of_bytes(next(whole)[1])
        hasher, buffer = self.make(), memoryview(bytearray(CHUNK))
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.dir_fd)
        try:
            position = advised = 0
            while not self.stop.is_set():
                if advised < position + AHEAD:
                    os.posix_fadvise(fd, advised, AHEAD, os.POSIX_FADV_WILLNEED)
                    advised += AHEAD
                got = os.preadv(fd, [buffer], position)
                if got == 0:
                    break
                hasher.update(buffer[:got])
                position += got
        finally:
            os.close(fd)
        return hasher.hexdigest()

    def take(self, in_order: bool, most: int) -> Iterator[tuple[Any, str | Exception]]:
        """What is finished; waits until at most `most` bytes are held."""
        while self.waiting:
            found = None
            for place, (_, result, _) in enumerate(self.waiting):
                if not isinstance(result, Future) or result.done():
                    found = place
                    break
                if in_order:
                    break
            if found is None:
                if self.held <= most and len(self.waiting) < RESULTS:
                    return
                futures = [each for _, each, _ in self.waiting if isinstance(each, Future)]
                wait(futures[:1] if in_order else futures, return_when=FIRST_COMPLETED)
                continue
            path, result, held = self.waiting[found]
            del self.waiting[found]
            self.held -= held
            yield path, _outcome(result)

    def close(self) -> None:
        self.stop.set()
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)


def _outcome(result: Future[str] | str | Exception) -> str | Exception:
    if not isinstance(result, Future):
        return result
    try:
        return result.result()
    except Exception as error:
        return error


@overload
def checksum_many(
    paths: Iterable[Path],
    algorithm: str = "sha256",
    *,
    in_flight: int = 64,
    order: Order = "completion",
    errors: Literal["raise"] = "raise",
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> Generator[tuple[Path, str], None, None]: ...
@overload
def checksum_many(
    paths: Iterable[Path],
    algorithm: str = "sha256",
    *,
    in_flight: int = 64,
    order: Order = "completion",
    errors: Literal["yield"],
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> Generator[tuple[Path, str | Failure], None, None]: ...
def checksum_many(
    paths: Iterable[Path],
    algorithm: str = "sha256",
    *,
    in_flight: int = 64,
    order: Order = "completion",
    errors: Literal["raise", "yield"] = "raise",
    dir_fd: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> Generator[tuple[Path, Any], None, None]:
    """Digests of files, many at a time: an iterator of `(path, hexdigest)`.

        for path, digest in uring_rs.checksum_many(paths):
            print(digest, path)

    Files are hashed while others are being read: small ones as they come, larger ones by threads,
    one for each processor. Files beyond 16 MiB are streamed in pieces of 1 MiB, so that memory is
    bounded whatever their size. Closing the iterator (it is a generator) cancels what is under way.

    Args:
        paths: as for `read_many`.
        algorithm: any name that hashlib knows with a digest of fixed size; "blake3" or those of
            xxhash ("xxh64", "xxh3_128", ...) where those packages are installed.
        in_flight, order, errors, dir_fd, require_uring, kernel: as for `read_many`.

    Raises:
        ValueError: there is no such algorithm here.
        OSError: as for `read_many`.
    """
    if errors not in ("raise", "yield"):
        raise ValueError(f"errors must be 'raise' or 'yield', not {errors!r}")
    hashing = _Hashing(_maker(algorithm), dir_fd, kernel)
    results: ReadMany[Path, Any] = ReadMany(
        paths,
        in_flight=in_flight,
        order=order,
        max_bytes=WINDOW,
        errors="yield",
        dir_fd=dir_fd,
        way=way(require_uring),
        kernel=kernel,
    )
    return _digests(results, hashing, order == "input", errors == "raise")


def _digests(
    results: ReadMany[Path, Any], hashing: _Hashing, in_order: bool, raises: bool
) -> Generator[tuple[Path, Any], None, None]:
    try:
        for found in _found(results, hashing, in_order):
            if raises and isinstance(found[1], Exception):
                raise found[1]
            yield found
    finally:
        results.close()
        hashing.close()


def _found(
    results: ReadMany[Path, Any], hashing: _Hashing, in_order: bool
) -> Iterator[tuple[Path, str | Exception]]:
    make = hashing.make
    waiting = hashing.waiting
    for path, data in results:
        digest: str | Exception
        if isinstance(data, bytes):
            if len(data) > HANDED:
                hashing.submit(path, hashing.of_bytes, data, len(data))
                yield from hashing.take(in_order, WINDOW)
                continue
            digest = make(data).hexdigest()
        elif isinstance(data, OSError) and data.errno == errno.EFBIG:
            # It holds no more than a piece, but there shall not be any number of them.
            hashing.submit(path, hashing.of_large, path, CHUNK)
            yield from hashing.take(in_order, WINDOW)
            continue
        else:
            digest = data
        if waiting and in_order:
            waiting.append((path, digest, 0))
        else:
            yield path, digest
        if waiting:
            yield from hashing.take(in_order, WINDOW)
    yield from hashing.take(in_order, -1)

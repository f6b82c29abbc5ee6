"""A queue of file requests: prepare, commit, wait, and wake from outside.

    with uring_rs.IoQueue(64) as queue:
        queue.register(fd)
        queue.prepare(IoOp.READ, fd, 0, buffer, user="header")
        queue.commit()
        for done in queue.wait():
            print(done.user, done.result())

What the rings' own interface leaves to its user is settled here: any thread may call any method at
any time, a wait can be ended from anywhere, and where rings are refused threads do the same.
"""

from __future__ import annotations

import atexit
import mmap
import weakref
from collections.abc import Iterable
from enum import IntEnum, unique
from typing import TYPE_CHECKING, Self

from ._native import IoCompletion, SimKernel, _IoQueue
from .availability import is_supported as _is_supported
from .backend import way as _way

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["IoCompletion", "IoCompletions", "IoOp", "IoQueue"]


@unique
class IoOp(IntEnum):
    """What an `IoQueue` can be asked to do."""

    READ = 0
    """pread(2), or preadv(2) with a list of buffers."""

    WRITE = 1
    """pwrite(2), or pwritev(2) with a list of buffers."""

    SYNC = 2
    """fsync(2): what was written before, and is completed, is on the disk afterwards."""

    DATASYNC = 3
    """fdatasync(2): the same without the metadata that reading it back does not need."""

    DISCARD = 4
    """Give the space of a range back (a hole in a file, a discard of a block device): it reads as
    zeroes afterwards. EOPNOTSUPP where the file system has no holes."""


class IoCompletions(list[IoCompletion]):
    """What `IoQueue.wait` returns: a list, in the order in which the requests ended."""

    interrupted: bool = False
    """Whether wakeup() ended the wait. Each wake-up is told once, to one wait."""


class IoQueue(_IoQueue):
    """A queue of requests on files, which many threads may fill, empty and wake.

    Args:
        depth: requests that can be prepared, in flight, or ended and not collected yet: 1 to 32768.
        registered_buffers: a number of buffers of `buffer_size` bytes, page-aligned, to be made; or
            writable buffers, which stay locked until the queue is closed. The kernel is told of
            them once, so that it need not look up their pages at each request; any request whose
            memory lies within one of them profits. Where it refuses (RLIMIT_MEMLOCK), they are
            memory like any other: see `registered`.
        buffer_size: bytes of each of the buffers to be made.
        files: files that can be registered at a time.
        require_uring: raise UringUnavailable where rings are refused, instead of using threads.
        kernel: a SimKernel to run on instead of the real one.

    Any method may be called from any thread at any time. commit() hands over what all threads have
    prepared. Of several threads in wait(), each completion goes to one, and each wake-up to one. A
    queue made before fork() raises ForkedRing in the child.

    A request that was committed goes on when its thread ends.
    """

    _buffers: tuple[Buffer, ...]

    def __new__(
        cls,
        depth: int = 64,
        *,
        registered_buffers: int | Iterable[Buffer] = 0,
        buffer_size: int = 65536,
        files: int = 64,
        require_uring: bool = False,
        kernel: SimKernel | None = None,
    ) -> Self:
        way = _way(require_uring)
        if isinstance(registered_buffers, int):
            buffers = _made(registered_buffers, buffer_size)
        else:
            buffers = tuple(registered_buffers)
        queue = super().__new__(cls, depth, files, buffers, way, kernel)
        queue._buffers = buffers
        _open.add(queue)
        return queue

    @staticmethod
    def is_supported() -> bool:
        """Whether requests are carried out by io_uring here. Where not, threads do the same."""
        return _is_supported()

    @property
    def buffers(self) -> tuple[Buffer, ...]:
        """The buffers that were made or given for registration."""
        return self._buffers


def _made(count: int, size: int) -> tuple[Buffer, ...]:
    """So many buffers of that size, each of which begins at a page."""
    if count == 0:
        return ()
    if count < 0 or size < 1:
        raise ValueError("registered_buffers must be 0 or more, and buffer_size 1 or more")
    stride = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = memoryview(mmap.mmap(-1, count * stride))
    return tuple(whole[at : at + size] for at in range(0, count * stride, stride))


_open: weakref.WeakSet[IoQueue] = weakref.WeakSet()


def _still_open() -> list[IoQueue]:
    while True:
        try:
            return list(_open)
        except RuntimeError:
            # Another thread, which nobody has waited for, made one meanwhile.
            continue


def _close_all() -> None:
    """Before the interpreter ends: nothing is in flight then that uses its memory."""
    for queue in _still_open():
        # Does nothing where it is closed, and in a forked child.
        queue.close(timeout=1)


atexit.register(_close_all)

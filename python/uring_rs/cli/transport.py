"""How the reads and writes of the commands reach the kernel: a ring, or plain system calls."""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from ..availability import probe
from ..errors import UringUnavailable

if TYPE_CHECKING:
    from .._native import Ring
    from .engine import Task

__all__ = ["CURRENT", "Op", "RingTransport", "SyscallTransport", "Transport", "open_transport"]

CURRENT: Final = -1
"""The offset that means the file's own position: pipes, terminals, standard output."""

ENTRIES: Final = 64  # measured: batches of 16 to 64 are best, larger ones only spill the caches


class Op:
    """One read or write of a job, whole: short results are continued until it is done.

    `done` counts what was transferred, `error` is the errno that stopped it, or 0. A read that
    ends before `want` has met the end of the file.
    """

    __slots__ = (
        "done",
        "enough",
        "error",
        "fd",
        "offset",
        "once",
        "tag",
        "task",
        "views",
        "want",
        "writing",
    )

    def __init__(
        self, task: Task, fd: int, views: list[memoryview], offset: int, writing: bool
    ) -> None:
        self.task = task
        self.fd = fd
        self.views = views
        self.offset = offset
        self.writing = writing
        self.want = sum(map(len, views)) if len(views) > 1 else len(views[0])
        self.done = 0
        self.error = 0
        self.tag = 0
        self.enough = 0
        self.once = False

    def rest(self) -> list[memoryview]:
        """What is left to transfer."""
        skip = self.done
        if not skip:
            return self.views
        left = []
        for view in self.views:
            if skip >= len(view):
                skip -= len(view)
            else:
                left.append(view[skip:])
                skip = 0
        return left

    def position(self) -> int:
        """Where the rest begins in the file."""
        return self.offset if self.offset == CURRENT else self.offset + self.done


class Transport(Protocol):
    """Takes operations, gives them back with the kernel's result: bytes, or minus errno."""

    def start(self, op: Op) -> None:
        """Begin what is left of this operation."""

    def wait(self) -> Iterable[tuple[Op, int]]:
        """Wait for at least one of those begun."""

    def close(self) -> None:
        """End those begun; their memory is free afterwards."""


class RingTransport:
    """Through one ring; every operation begun is in flight at the same time."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def start(self, op: Op) -> None:
        views = op.rest()
        if op.writing:
            if len(views) > 1:
                self._ring.prep_writev(op.fd, views, op.position(), user_data=op)
            else:
                self._ring.prep_write(op.fd, views[0], op.position(), user_data=op)
        else:
            self._ring.prep_read(op.fd, views[0], op.position(), user_data=op)

    def wait(self) -> Iterator[tuple[Op, int]]:
        for completion in self._ring.completions(min=1):
            yield completion.user_data, completion.res

    def close(self) -> None:
        self._ring.close()


class SyscallTransport:
    """One operation at a time by preadv(2) and pwritev(2)."""

    def __init__(self) -> None:
        self._reads: deque[Op] = deque()
        self._writes: deque[Op] = deque()

    def start(self, op: Op) -> None:
        (self._writes if op.writing else self._reads).append(op)

    def wait(self) -> Iterator[tuple[Op, int]]:
        # Writes first: a read may block, and what has been read must be on its way by then.
        op = (self._writes or self._reads).popleft()
        yield op, self._run(op)

    def close(self) -> None:
        self._reads.clear()
        self._writes.clear()

    @staticmethod
    def _run(op: Op) -> int:
        views, position = op.rest(), op.position()
        while True:
            try:
                if position == CURRENT:
                    call = os.writev if op.writing else os.readv
                    return call(op.fd, views)
                if op.writing:
                    return os.pwritev(op.fd, views, position)
                return os.preadv(op.fd, views, position)
            except BlockingIOError:
                # A descriptor shared with someone who made it non-blocking; a ring waits too.
                poll = select.poll()
                poll.register(op.fd, select.POLLOUT if op.writing else select.POLLIN)
                poll.poll()
            except OSError as error:
                return -(error.errno or errno.EIO)


def _open_ring() -> Ring:
    """A ring that has done one round trip, so that a filter on any of its calls has shown."""
    from .._native import Ring

    ring = Ring(ENTRIES)
    try:
        ring.prep_nop()
        for _ in ring.completions(min=1):
            pass
    except BaseException:
        ring.close()
        raise
    return ring


def open_transport() -> tuple[Transport, str]:
    """A ring where one can be had; if not, plain system calls, and the reason."""
    from ..availability import is_disabled

    if is_disabled():
        return SyscallTransport(), probe().reason
    try:
        return RingTransport(_open_ring()), ""
    except UringUnavailable as error:
        return SyscallTransport(), error.reason or error.strerror or str(error)
    except OSError as error:
        # Whatever errno refuses a ring: hosts have been seen to give any of them.
        return SyscallTransport(), str(error)

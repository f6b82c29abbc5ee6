"""Runs many file jobs at once over one transport, in bounded memory.

A job is a generator. It begins reads and writes with `Engine.read` and `Engine.write`, as many as
it has buffers for, and each bare `yield` gives it the next of its own operations that is done:

    engine.read(fd, buffer, offset)
    op = yield

Operations are whole (see `Op`): a job never sees a short read, except at the end of the file.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from types import TracebackType
from typing import Final, Self, TypeAlias

from .transport import CURRENT, Op, Transport

__all__ = ["LARGE", "SMALL", "Engine", "Task", "failure", "read_file"]

Task: TypeAlias = Generator[None, Op, None]

SMALL: Final = 64 << 10
LARGE: Final = 512 << 10
WINDOW: Final = 8  # large buffers one file may have under way
JOBS: Final = 64
_COUNTS: Final = {SMALL: JOBS, LARGE: 2 * WINDOW}  # 12 MiB, and all in flight fit the ring

_RETRY: Final = (-errno.EINTR, -errno.EAGAIN)


def failure(number: int, path: bytes) -> OSError:
    """The exception that the equivalent call of module os would have raised."""
    return OSError(number, os.strerror(number), path)


class Engine:
    """The scheduler of jobs and the owner of their buffers. Use it in a `with` statement."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._free: dict[int, list[memoryview]] = {SMALL: [], LARGE: []}
        self._unmade = dict(_COUNTS)
        self._starved: dict[int, deque[Task]] = {SMALL: deque(), LARGE: deque()}
        self._fed: deque[Task] = deque()
        self._tasks: set[Task] = set()
        self._limit = _job_limit()
        self._pending = 0
        self._current: Task | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # The transport first: no request may be under way on what the jobs then close.
        self._transport.close()
        for task in self._tasks:
            task.close()
        self._tasks.clear()

    def run(self, tasks: Iterable[Task | None]) -> None:
        """Run these jobs, many at once. A None among them means: none for the moment."""
        source = iter(tasks)
        more = True
        while True:
            while more and len(self._tasks) < self._limit:
                try:
                    task = next(source)
                except StopIteration:
                    more = False
                    break
                if task is None:
                    break
                self._tasks.add(task)
                self._resume(task, None)
            while self._fed:
                self._resume(self._fed.popleft(), None)
            if self._pending:
                for op, result in self._transport.wait():
                    self._complete(op, result)
            elif not more and not self._tasks:
                return

    # ---- for jobs

    def read(
        self, fd: int, view: memoryview, offset: int, *, tag: int = 0, enough: int = 0
    ) -> None:
        """Fill this memory from a file; `enough` bytes are taken for all there is."""
        op = self._new(fd, [view], offset, False)
        op.tag = tag
        op.enough = enough
        self._start(op)

    def read_some(self, fd: int, view: memoryview, *, tag: int = 0) -> None:
        """Read what a pipe or terminal has; nothing means that it has ended."""
        op = self._new(fd, [view], CURRENT, False)
        op.tag = tag
        op.once = True
        self._start(op)

    def write(self, fd: int, views: Sequence[memoryview], offset: int, *, tag: int = 0) -> None:
        """Write all of this memory."""
        op = self._new(fd, list(views), offset, True)
        op.tag = tag
        self._start(op)

    def grab(self, size: int) -> memoryview | None:
        """A buffer of SMALL or LARGE bytes, if one is free."""
        if free := self._free[size]:
            return free.pop()
        if self._unmade[size]:
            self._unmade[size] -= 1
            return memoryview(bytearray(size))
        return None

    def take(self, size: int) -> Generator[None, Op, memoryview]:
        """Wait for a buffer. Only for a job with nothing under way."""
        while (buffer := self.grab(size)) is None:
            assert self._current is not None
            self._starved[size].append(self._current)
            yield
        return buffer

    def give(self, buffer: memoryview) -> None:
        """Give a buffer back."""
        size = len(buffer)
        self._free[size].append(buffer)
        if starved := self._starved[size]:
            self._fed.append(starved.popleft())

    # ---- within

    def _new(self, fd: int, views: list[memoryview], offset: int, writing: bool) -> Op:
        assert self._current is not None, "only a running job reads and writes"
        return Op(self._current, fd, views, offset, writing)

    def _start(self, op: Op) -> None:
        self._transport.start(op)
        self._pending += 1

    def _complete(self, op: Op, result: int) -> None:
        """Take one result; continue the operation or resume its job."""
        self._pending -= 1
        if result > 0:
            op.done += result
            if op.done < op.want and op.done != op.enough and not op.once:
                self._start(op)
                return
        elif result in _RETRY:
            self._start(op)
            return
        elif result < 0:
            op.error = -result
        elif op.writing:
            op.error = errno.EIO  # a file that takes nothing, and would for ever
        self._resume(op.task, op)

    def _resume(self, task: Task, op: Op | None) -> None:
        self._current = task
        try:
            if op is None:
                next(task)
            else:
                task.send(op)
        except StopIteration:
            self._tasks.discard(task)
        finally:
            self._current = None


def _job_limit() -> int:
    """As many jobs as there are descriptors for, at two each and some to spare."""
    with contextlib.suppress(ImportError, OSError):
        import resource

        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if soft != resource.RLIM_INFINITY:
            return max(1, min(JOBS, (soft - 32) // 2))
    return JOBS


def read_file(
    engine: Engine,
    fd: int,
    path: bytes,
    size: int,
    sink: Callable[[memoryview], object],
    *,
    stream: bool = False,
    start: int = 0,
) -> Generator[None, Op, int]:
    """Give the content of a file to `sink`, in order and without copying it.

    `size` is where the file is expected to end: reads run ahead up to there, but the end is where
    the file says, so files that grow or shrink, and those of /proc (size 0), come out right.
    A `stream` has no positions. Returns how much there was.
    """
    if stream:
        return (yield from _read_stream(engine, fd, path, sink))
    chunk = SMALL if size - start < SMALL else LARGE
    buffers = [(yield from engine.take(chunk))]
    free = list(buffers)
    position, issued, turn, total = start, 0, 0, 0
    arrived: dict[int, Op] = {}
    error = 0
    ended = False
    while True:
        # Ahead only where data is known to be; past that, one probe at a time.
        while not ended and (position < size or issued == turn):
            if not free and len(buffers) < WINDOW and position < size:
                if (another := engine.grab(chunk)) is None:
                    break
                buffers.append(another)
                free.append(another)
            if not free:
                break
            rest = size - position
            engine.read(fd, free.pop(), position, tag=issued, enough=rest if rest > 0 else 0)
            position += chunk
            issued += 1
        if issued == turn:
            break
        op = yield
        arrived[op.tag] = op
        while (due := arrived.pop(turn, None)) is not None:
            turn += 1
            if not ended:
                error = due.error
                if due.done and not error:
                    sink(due.views[0][: due.done])
                    total += due.done
                ended = bool(error) or due.done < due.want
            free.append(due.views[0])
    for buffer in buffers:
        engine.give(buffer)
    if error:
        raise failure(error, path)
    return total


def _read_stream(
    engine: Engine, fd: int, path: bytes, sink: Callable[[memoryview], object]
) -> Generator[None, Op, int]:
    """A pipe, socket or terminal: one read after another until it ends."""
    buffer = yield from engine.take(SMALL)
    total = 0
    while True:
        engine.read_some(fd, buffer)
        op = yield
        if op.error or not op.done:
            break
        total += op.done
        sink(buffer[: op.done])
    engine.give(buffer)
    if op.error:
        raise failure(op.error, path)
    return total

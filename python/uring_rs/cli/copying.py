"""Moving the bytes of one file into another."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterator
from typing import NamedTuple

from .engine import LARGE, SMALL, WINDOW, Engine, failure
from .progress import Progress
from .transport import CURRENT, Op

__all__ = ["Source", "copy_data", "copy_stream"]


class Source(NamedTuple):
    """An open file to copy from."""

    path: bytes
    fd: int
    status: os.stat_result


def copy_data(
    engine: Engine, source: Source, target: int, progress: Progress
) -> Generator[None, Op, None]:
    """Between files with positions: many chunks under way, and holes stay holes.

    The end is where the source says, so that a file which grows or shrinks meanwhile, or one of
    /proc (size 0), is copied as it is.
    """
    size = source.status.st_size
    sparse = source.status.st_blocks * 512 < size
    if sparse:
        os.ftruncate(target, size)
    chunk = SMALL if size < SMALL else LARGE
    buffers = [(yield from engine.take(chunk))]
    free = [0]
    places = _places(source.fd, size, chunk, sparse)
    place = next(places)
    under_way, error, ended = 0, 0, False
    while True:
        # Ahead only where data is known to be; past that, one probe at a time.
        while not ended and (place < size or not under_way):
            if not free and len(buffers) < WINDOW and place < size:
                if (another := engine.grab(chunk)) is None:
                    break
                free.append(len(buffers))
                buffers.append(another)
            if not free:
                break
            tag = free.pop()
            enough = max(size - place, 0)
            engine.read(source.fd, buffers[tag], place, tag=tag, enough=enough)
            under_way += 1
            place = next(places)
        if not under_way:
            break
        op = yield
        error = error or op.error
        if op.writing:
            progress.add(0, op.done)
        elif op.done and not error:
            ended = ended or op.done < op.want
            engine.write(target, [buffers[op.tag][: op.done]], op.offset, tag=op.tag)
            continue
        under_way -= 1
        free.append(op.tag)
        ended = ended or bool(error) or op.done < op.want
    for buffer in buffers:
        engine.give(buffer)
    if error:
        raise failure(error, source.path)


def _places(fd: int, size: int, chunk: int, sparse: bool) -> Iterator[int]:
    """Where to read: every chunk that has data, then on from the expected end without end."""
    place = 0
    while sparse and place < size:
        try:
            data = os.lseek(fd, place, os.SEEK_DATA)
            hole = os.lseek(fd, data, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                place = size  # nothing but a hole from here to the end
            break
        # Whole chunks, each of which ends where the next may begin.
        place = max(place, data - data % chunk)
        while place < hole:
            yield place
            place += chunk
    while True:
        yield place
        place += chunk


def copy_stream(
    engine: Engine, source: Source, target: int, progress: Progress
) -> Generator[None, Op, None]:
    """From or to a pipe, a device, a terminal: one piece after the other."""
    buffer = yield from engine.take(LARGE)
    while True:
        engine.read_some(source.fd, buffer)
        op = yield
        if op.error or not op.done:
            break
        engine.write(target, [buffer[: op.done]], CURRENT)
        op = yield
        if op.error:
            break
        progress.add(0, op.done)
    engine.give(buffer)
    if op.error:
        raise failure(op.error, source.path)

"""`uring-rs bench`: what a device gains from many requests at a time, compared with threads.

Random blocks of a file or block device, past the page cache where the file system can. It reads
only; `--write` makes a file of its own and removes it, and overwrites what exists only if told so
twice.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import importlib
import json
import mmap
import os
import random
import stat
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from .. import read_ranges, write_ranges
from .._version import __version__
from ..backend import backend
from .messages import Reporter
from .session import tell_backend

__all__ = ["check", "run"]

_MEMORY: Final = 64 << 20  # what one call reads into, at most
_SECTOR: Final = 512
_COLUMNS: Final = ("", "at a time", "per second", "MiB/s", "mean us", "CPU us", "x best threads")


@dataclasses.dataclass(frozen=True)
class Job:
    """What is measured."""

    path: str
    fd: int
    size: int
    block: int
    direct: bool
    write: bool
    seconds: float

    @property
    def blocks(self) -> int:
        return self.size // self.block

    def offsets(self, count: int) -> array[int]:
        """So many random places."""
        if self.write:
            # Ranges of one call must not overlap.
            places: Iterable[int] = random.sample(range(self.blocks), count)
        else:
            places = (random.randrange(self.blocks) for _ in range(count))
        return array("q", (place * self.block for place in places))

    def forget(self) -> None:
        """Through the page cache: what it has of the file must not count."""
        if not self.direct:
            os.fsync(self.fd)
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)


@dataclasses.dataclass(frozen=True)
class Point:
    """One measurement."""

    way: str
    at_a_time: int
    operations: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.operations / self.seconds

    def facts(self, block: int) -> dict[str, object]:
        """For programs."""
        return {
            "way": self.way,
            "at_a_time": self.at_a_time,
            "operations": self.operations,
            "seconds": self.seconds,
            "operations_per_second": self.per_second,
            "bytes_per_second": self.per_second * block,
            "mean_us": self.at_a_time / self.per_second * 1e6,
            "cpu_us": self.cpu_seconds / self.operations * 1e6,
        }

    def row(self, block: int, best_threads: float) -> list[str]:
        """For people."""
        return [
            self.way,
            str(self.at_a_time),
            f"{self.per_second:,.0f}",
            f"{self.per_second * block / (1 << 20):,.1f}",
            f"{self.at_a_time / self.per_second * 1e6:,.1f}",
            f"{self.cpu_seconds / self.operations * 1e6:,.1f}",
            f"{self.per_second / best_threads:.2f}" if best_threads else "",
        ]


def check(given: argparse.Namespace) -> str:
    """What is wrong with these arguments, if anything."""
    if given.yes_destroy and not given.write:
        return "--yes-destroy is for --write"
    if 0 in given.depths:
        return "--depths: at least 1 request at a time"
    if given.write and not given.yes_destroy and os.path.lexists(given.path):
        return (
            f"{given.path} exists, and --write would overwrite it: name a file that does not, or "
            "add --yes-destroy"
        )
    if given.block % _SECTOR and not given.buffered:
        return f"--block: a multiple of {_SECTOR}, unless --buffered"
    return ""


def _measure(way: str, at_a_time: int, work: Callable[[], int]) -> Point:
    begun, cpu = time.perf_counter(), time.process_time()
    operations = work()
    return Point(way, at_a_time, operations, time.perf_counter() - begun, time.process_time() - cpu)


def _by_calls(job: Job, depth: int) -> Point:
    """Many ranges in each call, so many of them under way at a time."""
    most = max(depth, min(65536, _MEMORY // job.block))
    if job.write:
        most = min(most, job.blocks)
    count = min(most, depth * 16)
    buffer = mmap.mmap(-1, most * job.block)
    if job.write:
        buffer.write(os.urandom(len(buffer)))

    def work() -> int:
        nonlocal count
        done, end = 0, time.perf_counter() + job.seconds
        # Once at least: on a busy machine the time may be over before it begins.
        while (now := time.perf_counter()) < end or not done:
            view = memoryview(buffer)[: count * job.block]
            offsets = job.offsets(count)
            if job.write:
                write_ranges(job.fd, offsets, view, job.block, direct=job.direct, depth=depth)
            else:
                read_ranges(job.fd, offsets, job.block, view, direct=job.direct, depth=depth)
            done += count
            # Calls long enough that how they begin and end does not count.
            if time.perf_counter() - now < job.seconds / 8:
                count = min(most, count * 2)
        return done

    job.forget()
    return _measure("uring_rs", depth, work)


def _by_threads(job: Job, threads: int) -> Point:
    """Each thread one system call after the other."""
    counts = [0] * threads
    errors: list[OSError] = []
    end = 0.0
    call = os.pwritev if job.write else os.preadv

    def thread(number: int) -> None:
        with mmap.mmap(-1, job.block) as buffer:
            if job.write:
                buffer.write(os.urandom(job.block))
            try:
                while (time.perf_counter() < end or not counts[number]) and not errors:
                    call(fd, [buffer], random.randrange(job.blocks) * job.block)
                    counts[number] += 1
            except OSError as error:
                errors.append(error)

    def work() -> int:
        nonlocal end
        end = time.perf_counter() + job.seconds
        running = [threading.Thread(target=thread, args=(n,)) for n in range(threads)]
        try:
            for each in running:
                each.start()
            for each in running:
                each.join()
        except BaseException:
            end = 0.0  # interrupted: they are to end, too
            for each in running:
                if each.ident:
                    each.join()
            raise
        return sum(counts)

    flags = os.O_CLOEXEC | (os.O_DIRECT if job.direct else 0)
    job.forget()
    fd = os.open(job.path, flags | (os.O_WRONLY if job.write else os.O_RDONLY))
    try:
        point = _measure("threads", threads, work)
    finally:
        os.close(fd)
    if errors:
        raise OSError(errors[0].errno, errors[0].strerror, job.path)
    return point


def _points(job: Job, threads: Sequence[int], depths: Sequence[int]) -> Iterator[Point]:
    for number in threads:
        if number:
            yield _by_threads(job, number)
    for depth in depths:
        yield _by_calls(job, depth)


def _takes_direct(path: str, block: int) -> bool:
    """Whether this file can be read past the page cache, in such blocks."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        return False
    try:
        with mmap.mmap(-1, block) as buffer:
            os.preadv(fd, [buffer], 0)
    except OSError as error:
        return error.errno != errno.EINVAL
    finally:
        os.close(fd)
    return True


@contextlib.contextmanager
def _target(given: argparse.Namespace) -> Iterator[int]:
    """The descriptor of what is read or written; a file made for it is gone afterwards."""
    if not given.write:
        fd = os.open(given.path, os.O_RDONLY | os.O_CLOEXEC)
        made = False
    elif given.yes_destroy and os.path.lexists(given.path):
        fd = os.open(given.path, os.O_RDWR | os.O_CLOEXEC)
        made = False
    else:
        # O_EXCL: should somebody else have made it since, it is not ours to overwrite.
        fd = os.open(given.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        made = True
    try:
        if made:
            _fill(fd, given.size)
        yield fd
    finally:
        os.close(fd)
        if made:
            os.unlink(given.path)


def _fill(fd: int, size: int) -> None:
    """With data that is really there: neither holes nor what is compressed away."""
    piece = os.urandom(1 << 20)
    while size > 0:
        size -= os.write(fd, piece[: min(size, len(piece))])
    os.fsync(fd)


def _job(given: argparse.Namespace, fd: int, report: Reporter) -> Job:
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise OSError(errno.EINVAL, "neither a file nor a block device", given.path)
    size = os.lseek(fd, 0, os.SEEK_END)
    if size < given.block:
        raise OSError(errno.EINVAL, f"smaller than a block of {given.block} bytes", given.path)
    direct = not given.buffered
    if direct and not _takes_direct(given.path, given.block):
        report.note("the file system cannot read past the page cache: going through it")
        direct = False
    return Job(given.path, fd, size, given.block, direct, given.write, given.seconds)


class _Table:
    """Rows as they come, by rich if it is installed."""

    def __init__(self, title: str) -> None:
        self._live: Any = None
        # Not as the table's own: that would be cut where the table ends, in the middle of a path.
        print(title, flush=True)
        try:
            table = importlib.import_module("rich.table")
            live = importlib.import_module("rich.live")
        except ImportError:
            self._print(_COLUMNS)
            return
        self._table = table.Table()
        for name in _COLUMNS:
            self._table.add_column(name, justify="right" if name else "left")
        self._live = live.Live(self._table, auto_refresh=False)
        self._live.start()

    def add(self, row: Sequence[str]) -> None:
        """One more."""
        if self._live is None:
            self._print(row)
        else:
            self._table.add_row(*row)
            self._live.refresh()

    def close(self) -> None:
        """That was all."""
        if self._live is not None:
            self._live.stop()

    @staticmethod
    def _print(row: Sequence[str]) -> None:
        widths = [max(10, len(name)) for name in _COLUMNS]
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells), flush=True)


def _as_json(job: Job, points: Sequence[Point]) -> str:
    facts = {
        "version": __version__,
        "path": job.path,
        "size": job.size,
        "block": job.block,
        "direct": job.direct,
        "write": job.write,
        "backend": str(backend()),
        "points": [point.facts(job.block) for point in points],
    }
    return json.dumps(facts, indent=2)


def run(given: argparse.Namespace, report: Reporter) -> None:
    """Measure, and print."""
    tell_backend(report)
    with _target(given) as fd:
        job = _job(given, fd, report)
        points = _points(job, given.threads, given.depths)
        if given.json:
            print(_as_json(job, list(points)))
            return
        what = "writes" if job.write else "reads"
        how = "O_DIRECT" if job.direct else "through the page cache"
        table = _Table(f"random {what} of {job.block} bytes, {how}: {job.path}")
        best = 0.0
        try:
            for point in points:
                if point.way == "threads":
                    best = max(best, point.per_second)
                    table.add(point.row(job.block, 0.0))
                else:
                    table.add(point.row(job.block, best))
        finally:
            table.close()

"""Whole files by concurrent.futures.ThreadPoolExecutor, the variant being how many threads.

Small files are given out 64 to a task: one to a task is several times slower than no threads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from harness.cells import Contestants, Job, Task
from harness.data import BLOCK
from harness.jobs import (
    MIB,
    CheckpointRead,
    Checksums,
    RangesInto,
    ReadFiles,
    ReadMemory,
    StatFiles,
)

from .bulk_os import read_file

PER_TASK = 64
T = TypeVar("T")
R = TypeVar("R")


def tasks(items: list[T]) -> list[list[T]]:
    return [items[at : at + PER_TASK] for at in range(0, len(items), PER_TASK)]


def read_files(paths: list[str]) -> list[bytes]:
    return [read_file(path) for path in paths]


def sum_files(paths: list[str]) -> list[tuple[str, str]]:
    return [(path, hashlib.sha256(read_file(path)).hexdigest()) for path in paths]


def add_sizes(paths: list[str]) -> int:
    return sum(os.stat(path).st_size for path in paths)


def in_threads(threads: int, work: Callable[[T], R], items: list[T]) -> Iterable[R]:
    """The pool is a part of the price, as is a ring."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, items)


def load_pool(job: Job) -> None:
    """Have the module's code loaded."""
    assert list(in_threads(2, int, [1, 2])) == [1, 2]


class Read(ReadFiles):
    warm_up = load_pool

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        self.threads = threads

    def run(self) -> None:
        total = 0
        for contents in in_threads(self.threads, read_files, tasks(self.paths)):
            for data in contents:
                total += len(data)
        self.total = total

    def pairs(self) -> Iterable[tuple[str, Any]]:
        lists = in_threads(self.threads, read_files, tasks(self.paths))
        contents = (data for some in lists for data in some)
        return zip(self.paths, contents, strict=True)


class ReadMapMemory(ReadMemory):
    """`pool.map` over all files: what was read waits until it is taken."""

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        self.threads = threads

    def pairs(self, paths: list[str]) -> Iterable[tuple[str, Any]]:
        some = tasks(paths) if len(paths) > 10_000 else [[path] for path in paths]
        lists = in_threads(self.threads, read_whole, some)
        return zip(paths, (data for contents in lists for data in contents), strict=True)


def read_whole(paths: list[str]) -> list[bytes]:
    contents = []
    for path in paths:
        with open(path, "rb") as file:
            contents.append(file.read())
    return contents


class DirectRanges(RangesInto):
    """preadv with O_DIRECT."""

    warm_up = load_pool

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        self.threads = threads
        self.items = tasks(list(zip(self.offsets, self.places, strict=True)))

    def read(self, items: list[tuple[int, memoryview]]) -> None:
        for offset, place in items:
            if os.preadv(self.fd, [place], offset) != BLOCK:
                raise OSError("short read")

    def run(self) -> None:
        self.fd = os.open(self.task.file, os.O_RDONLY | os.O_DIRECT)
        for _ in in_threads(self.threads, self.read, self.items):
            pass
        os.close(self.fd)


class DirectWhole(CheckpointRead):
    """preadv of a megabyte with O_DIRECT."""

    warm_up = load_pool

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        self.threads = threads

    def read(self, at: int) -> None:
        if os.preadv(self.fd, [self.view[at : at + MIB]], at) != MIB:
            raise OSError("short read")

    def run(self) -> None:
        self.fd = os.open(self.task.file, os.O_RDONLY | os.O_DIRECT)
        for _ in in_threads(self.threads, self.read, list(range(0, self.size, MIB))):
            pass
        os.close(self.fd)


class Sums(Checksums):
    warm_up = load_pool

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        self.threads = threads

    def run(self) -> None:
        for sums in in_threads(self.threads, sum_files, tasks(self.paths)):
            self.sums.update(sums)


class Stat(StatFiles):
    warm_up = load_pool

    def __init__(self, task: Task, threads: int) -> None:
        super().__init__(task)
        self.threads = threads

    def run(self) -> None:
        self.total = sum(in_threads(self.threads, add_sizes, tasks(self.paths)))


def by_threads(kind: Any, *counts: int) -> Any:
    return {str(threads): partial(kind, threads=threads) for threads in counts}


CONTESTANTS: Contestants = {
    "read_many_warm": by_threads(Read, 8, 32),
    "read_many_cold": by_threads(Read, 8, 32),
    "read_many_memory": by_threads(ReadMapMemory, 32),
    "read_ranges_cold": by_threads(DirectRanges, 32),
    "checksum_cold": by_threads(Sums, 32),
    "checkpoint_read": by_threads(DirectWhole, 4),
    "stat_many_warm": by_threads(Stat, 8),
    "stat_many_cold": by_threads(Stat, 32),
}

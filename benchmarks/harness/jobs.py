"""What all contestants of a job share: its names and memory, and how its result is verified."""

from __future__ import annotations

import filecmp
import hashlib
import mmap
import os
import sys
from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from .cells import Job, Measurement, Task
from .corpus import check_file, load_paths, number_of
from .data import BLOCK, WrongData, block, check_blocks
from .residency import cached_bytes
from .resident import peak_growth

__all__ = [
    "MIB",
    "CatRanges",
    "CheckpointRead",
    "CheckpointSave",
    "Checksums",
    "CopyFile",
    "CopyTree",
    "RangesInto",
    "ReadFiles",
    "ReadMemory",
    "StatFiles",
    "populated",
]

MIB = 1 << 20
STRIDE = 16
"""Of the blocks of a large file every so many are compared."""


def populated(size: int) -> mmap.mmap:
    """Aligned memory that is there already: what is measured is the transfer into it."""
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    return mmap.mmap(-1, size, flags=kind)


def check_large(data: memoryview, name: str) -> None:
    """A large file's content, in samples."""
    for number in range(0, len(data) // BLOCK, STRIDE):
        if data[number * BLOCK : (number + 1) * BLOCK] != block(number):
            raise WrongData(f"block {number} of {name} is not what it has to be")


class ReadFiles(Job):
    """Small files read whole: `run` leaves the number of bytes in `total`."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.paths = load_paths(task.file)
        self.total = 0

    def pairs(self) -> Iterable[tuple[str, Any]]:
        """Every file once more, by the same calls, with its content."""
        raise NotImplementedError

    def verify(self) -> None:
        wanted = self.task.count * BLOCK
        if self.total != wanted:
            raise WrongData(f"{self.total} bytes were read of {wanted}")
        seen = []
        for path, data in self.pairs():
            check_file(path, data)
            seen.append(path)
        self.check_order(seen)

    def check_order(self, seen: list[str]) -> None:
        if sorted(seen) != sorted(self.paths):
            raise WrongData("not every file was delivered exactly once")


class RangesInto(Job):
    """Random blocks of one file, each into its place in one piece of memory."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.offsets = task.offsets[: task.count]
        self.memory = populated(task.count * BLOCK)
        self.view = memoryview(self.memory)

    @cached_property
    def places(self) -> list[memoryview]:
        """The memory, block by block."""
        return [self.view[at : at + BLOCK] for at in range(0, len(self.view), BLOCK)]

    def verify(self) -> None:
        check_blocks(list(self.places), self.offsets)


class CatRanges(RangesInto):
    """cat_ranges of a file system of fsspec."""

    def __init__(self, task: Task, files: Any) -> None:
        self.files = files
        super().__init__(task)
        self.paths = [task.file] * task.count
        self.ends = [offset + BLOCK for offset in self.offsets]
        self.got: list[bytes] = []

    def warm_up(self) -> None:
        self.files.cat_ranges([sys.executable] * 2, [0, BLOCK], [BLOCK, 2 * BLOCK])

    def run(self) -> None:
        self.got = self.files.cat_ranges(self.paths, self.offsets, self.ends)

    def verify(self) -> None:
        check_blocks(list(self.got), self.offsets)


class CopyFile(Job):
    def verify(self) -> None:
        if not filecmp.cmp(self.task.file, self.task.new, shallow=False):
            raise WrongData("the copy is not the same")


class CopyTree(Job):
    def verify(self) -> None:
        source, copy = Path(self.task.file), Path(self.task.new)
        names = sorted(path.relative_to(source) for path in source.rglob("*"))
        if names != sorted(path.relative_to(copy) for path in copy.rglob("*")):
            raise WrongData("the copy has not the same names")
        for name in names:
            if (source / name).is_file():
                check_file(str(source / name), (copy / name).read_bytes())


class Checksums(Job):
    """`run` leaves the hexadecimal SHA-256 of each path in `sums`."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.paths = load_paths(task.file)
        self.sums: dict[str, str] = {}

    def verify(self) -> None:
        wanted = {path: hashlib.sha256(block(number_of(path))).hexdigest() for path in self.paths}
        if self.sums != wanted:
            raise WrongData("the sums are not those of the files")


class CheckpointRead(Job):
    """A large file into memory; how much of the file is in the page cache afterwards."""

    in_place = True
    """The whole of it is in `memory` at the end."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.size = task.count * MIB
        self.memory = populated(self.size if self.in_place else MIB)
        self.view = memoryview(self.memory)

    def notes(self) -> dict[str, float]:
        return {"cached": cached_bytes(self.task.file)}

    def verify(self) -> None:
        check_large(self.view, self.task.file)


class CheckpointSave(Job):
    """Sixteen pieces of memory into one new file."""

    PIECES = 16

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        size = task.count * MIB // self.PIECES
        self.pieces = [populated(size) for _ in range(self.PIECES)]
        for at, piece in enumerate(self.pieces):
            first = at * size // BLOCK
            piece[:] = b"".join(map(block, range(first, first + size // BLOCK)))

    def notes(self) -> dict[str, float]:
        return {"cached": cached_bytes(self.task.new)}

    def verify(self) -> None:
        with (
            open(self.task.new, "rb") as saved,
            mmap.mmap(saved.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            if len(view) != self.task.count * MIB:
                raise WrongData(f"{len(view)} bytes were written")
            check_large(view, self.task.new)


class StatFiles(Job):
    """`run` leaves the sum of all sizes in `total`."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.paths = load_paths(task.file)
        self.total = 0

    def verify(self) -> None:
        if self.total != len(self.paths) * BLOCK:
            raise WrongData(f"the sizes add up to {self.total}")


class ReadMemory(Measurement):
    """The most memory that reading many files adds. Each is hashed: who takes them is slow."""

    def __init__(self, task: Task) -> None:
        self.paths = load_paths(os.path.join(task.file, task.cell))
        self.count = task.count

    def pairs(self, paths: list[str]) -> Iterable[tuple[str, Any]]:
        raise NotImplementedError

    def take(self, paths: list[str]) -> int:
        taken = 0
        for _, data in self.pairs(paths):
            hashlib.sha256(data).digest()
            taken += 1
        return taken

    def measure(self) -> float:
        # Code and libraries are there before; of the data, no more than one file.
        self.take(self.paths[:1])
        for path, data in islice(self.pairs(self.paths[:1]), 1):
            if bytes(data[:BLOCK]) != block(number_of(path)):
                raise WrongData(f"what was read is not what {path} holds")
        taken = 0

        def take_all() -> None:
            nonlocal taken
            taken = self.take(self.paths)

        growth = peak_growth(take_all)
        if taken != self.count:
            raise WrongData(f"{taken} files were delivered of {self.count}")
        return growth

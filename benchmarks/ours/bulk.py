"""Whole files and trees: the functions that need no ring of one's own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from harness.cells import Contestants, Task, Unable
from harness.data import BLOCK, WrongData, check_blocks
from harness.jobs import (
    MIB,
    CatRanges,
    CheckpointRead,
    CheckpointSave,
    Checksums,
    CopyFile,
    CopyTree,
    RangesInto,
    ReadFiles,
    ReadMemory,
    StatFiles,
)

import uring_rs

IN_FLIGHT = 64
CHUNKS_IN_FLIGHT = 16


def function(name: str) -> Callable[..., Any]:
    """A function of the package, which older versions may lack."""
    found = getattr(uring_rs, name, None)
    if found is None:
        raise Unable(f"uring_rs {uring_rs.__version__} has no {name}")
    return found  # type: ignore[no-any-return]


def numbers(stats: dict[str, Any]) -> dict[str, float]:
    """What was done how: the result is to show that it was no fallback that was measured."""
    return {name: float(value) for name, value in stats.items() if isinstance(value, int)}


class ReadMany(ReadFiles):
    def __init__(self, task: Task, order: str = "completion") -> None:
        self.read_many = partial(function("read_many"), in_flight=IN_FLIGHT, order=order)
        self.order = order
        super().__init__(task)

    def warm_up(self) -> None:
        for _ in self.read_many([sys.executable, __file__]):
            pass

    def run(self) -> None:
        total = 0
        files = self.read_many(self.paths)
        for _, data in files:
            total += len(data)
        self.total, self.stats = total, files.stats

    def notes(self) -> dict[str, float]:
        return numbers(self.stats)

    def pairs(self) -> Iterable[tuple[str, Any]]:
        return self.read_many(self.paths)  # type: ignore[no-any-return]

    def check_order(self, seen: list[str]) -> None:
        super().check_order(seen)
        if self.order == "input" and seen != self.paths:
            raise WrongData("the files were not delivered in their order")


class ReadManyMemory(ReadMemory):
    def __init__(self, task: Task, order: str = "completion") -> None:
        self.read_many = partial(function("read_many"), in_flight=IN_FLIGHT, order=order)
        super().__init__(task)

    def pairs(self, paths: list[str]) -> Iterable[tuple[str, Any]]:
        return self.read_many(paths)  # type: ignore[no-any-return]


class ReadRanges(RangesInto):
    """In one call; which way is chosen, or told."""

    def __init__(self, task: Task, direct: bool | str = "auto") -> None:
        self.read_ranges = partial(function("read_ranges"), direct=direct, depth=IN_FLIGHT)
        super().__init__(task)
        self.column = array("q", self.offsets)

    def warm_up(self) -> None:
        self.read_ranges(sys.executable, [0, BLOCK], BLOCK, bytearray(2 * BLOCK))

    def run(self) -> None:
        self.stats = self.read_ranges(self.task.file, self.column, BLOCK, self.memory).stats

    def notes(self) -> dict[str, float]:
        return numbers(self.stats)


class UringFiles(CatRanges):
    """The file system that fsspec gets from us."""

    def __init__(self, task: Task) -> None:
        try:
            import fsspec
        except ImportError:
            raise Unable(f"fsspec is not installed in {sys.executable}") from None
        try:
            files = fsspec.filesystem("uring")
        except ValueError as error:
            raise Unable(f"fsspec: {error}") from None
        super().__init__(task, files)


class Copy(CopyFile):
    recursive = False

    def __init__(self, task: Task) -> None:
        self.copy = partial(function("copy"), recursive=self.recursive)
        super().__init__(task)

    def warm_up(self) -> None:
        with tempfile.TemporaryDirectory(dir=Path(self.task.new).parent) as directory:
            place = Path(directory, "from")
            place.mkdir()
            place.joinpath("file").write_bytes(b"content")
            source = place if self.recursive else place / "file"
            self.copy(str(source), f"{directory}/to")

    def run(self) -> None:
        self.copy(self.task.file, self.task.new)


class CopyRecursive(CopyTree, Copy):
    recursive = True


class ChecksumMany(Checksums):
    def __init__(self, task: Task) -> None:
        self.checksum_many = partial(function("checksum_many"), algorithm="sha256")
        super().__init__(task)

    def warm_up(self) -> None:
        dict(self.checksum_many([__file__]))

    def run(self) -> None:
        self.sums = dict(self.checksum_many(self.paths))


class SumCommand(Checksums):
    """The command, with the start of its interpreter."""

    def run(self) -> None:
        command = [sys.executable, "-m", "uring_rs", "sum", *self.paths]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        self.sums = {line[66:]: line[:64] for line in shown.splitlines()}


class Checkpoint(CheckpointRead):
    """Pieces of a megabyte, each into its place."""

    def __init__(self, task: Task, direct: bool | str = True) -> None:
        depth = CHUNKS_IN_FLIGHT
        self.read_ranges = partial(function("read_ranges"), direct=direct, depth=depth)
        super().__init__(task)
        self.offsets = array("q", range(0, self.size, MIB))

    def warm_up(self) -> None:
        self.read_ranges(sys.executable, [0, BLOCK], BLOCK, bytearray(2 * BLOCK))

    def run(self) -> None:
        self.stats = self.read_ranges(self.task.file, self.offsets, MIB, self.memory).stats

    def notes(self) -> dict[str, float]:
        return {**numbers(self.stats), **super().notes()}


class Stream(CheckpointRead):
    """Chunk after chunk; none is kept."""

    in_place = False

    def __init__(self, task: Task) -> None:
        kind = {"chunk": MIB, "depth": CHUNKS_IN_FLIGHT, "direct": True}
        self.stream = partial(function("stream"), **kind)
        super().__init__(task)

    def warm_up(self) -> None:
        for _ in self.stream(sys.executable):
            pass

    def run(self) -> None:
        total = 0
        for chunk in self.stream(self.task.file):
            total += len(chunk)
        if total != self.size:
            raise WrongData(f"{total} bytes were read of {self.size}")

    def verify(self) -> None:
        at = 0
        for chunk in self.stream(self.task.file):
            check_blocks([chunk[:BLOCK], chunk[-BLOCK:]], [at, at + len(chunk) - BLOCK])
            at += len(chunk)


class Save(CheckpointSave):
    def __init__(self, task: Task) -> None:
        self.save = partial(function("save"), direct=True, fsync=True)
        super().__init__(task)

    def warm_up(self) -> None:
        with tempfile.TemporaryDirectory(dir=Path(self.task.new).parent) as directory:
            self.save(f"{directory}/file", [bytes(BLOCK)])

    def run(self) -> None:
        self.save(self.task.new, self.pieces)


class StatMany(StatFiles):
    def __init__(self, task: Task) -> None:
        self.stat_many = function("stat_many")
        super().__init__(task)

    def warm_up(self) -> None:
        for _ in self.stat_many([__file__]):
            pass

    def run(self) -> None:
        total = 0
        for status in self.stat_many(self.paths):
            total += status.st_size
        self.total = total


CONTESTANTS: Contestants = {
    "read_many_warm": {"": ReadMany, "input": partial(ReadMany, order="input")},
    "read_many_cold": {"": ReadMany, "input": partial(ReadMany, order="input")},
    "read_many_memory": {"": ReadManyMemory, "input": partial(ReadManyMemory, order="input")},
    "read_ranges_cold": {
        "": ReadRanges,
        "direct": partial(ReadRanges, direct=True),
        "cached": partial(ReadRanges, direct=False),
    },
    "read_ranges_warm": {"": ReadRanges, "cached": partial(ReadRanges, direct=False)},
    "cat_ranges_cold": {"fsspec": UringFiles},
    "copy_file": {"": Copy},
    "copy_tree": {"": CopyRecursive},
    "checksum_cold": {"": ChecksumMany, "sum": SumCommand},
    "checkpoint_read": {
        "": Checkpoint,
        "auto": partial(Checkpoint, direct="auto"),
        "stream": Stream,
    },
    "checkpoint_save": {"": Save},
    "stat_many_warm": {"": StatMany},
    "stat_many_cold": {"": StatMany},
}

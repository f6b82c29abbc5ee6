"""Whole files and trees by the standard library, one after the other."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from typing import Any

from harness.cells import Contestants, Task
from harness.data import BLOCK
from harness.jobs import (
    MIB,
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


def read_file(path: str) -> bytes:
    """All of a small file, in three calls."""
    fd = os.open(path, os.O_RDONLY)
    data = os.read(fd, BLOCK + 1)
    os.close(fd)
    return data


class Read(ReadFiles):
    """os.open, os.read, os.close; the size is known beforehand."""

    def run(self) -> None:
        total = 0
        for path in self.paths:
            fd = os.open(path, os.O_RDONLY)
            data = os.read(fd, BLOCK + 1)
            os.close(fd)
            total += len(data)
        self.total = total

    def pairs(self) -> Iterable[tuple[str, Any]]:
        return ((path, read_file(path)) for path in self.paths)


class Open(ReadFiles):
    """open, read."""

    def run(self) -> None:
        total = 0
        for path in self.paths:
            with open(path, "rb") as file:
                data = file.read()
            total += len(data)
        self.total = total

    def pairs(self) -> Iterable[tuple[str, Any]]:
        for path in self.paths:
            with open(path, "rb") as file:
                yield path, file.read()


class OpenMemory(ReadMemory):
    def pairs(self, paths: list[str]) -> Iterable[tuple[str, Any]]:
        for path in paths:
            with open(path, "rb") as file:
                yield path, file.read()


class ReadInto(RangesInto):
    """seek, readinto, of one unbuffered file."""

    def run(self) -> None:
        with open(self.task.file, "rb", buffering=0) as file:
            for offset, place in zip(self.offsets, self.places, strict=True):
                file.seek(offset)
                if file.readinto(place) != BLOCK:
                    raise OSError("short read")

    def warm_up(self) -> None:
        len(self.places)


class PreadEach(RangesInto):
    """os.pread: new bytes for each, which are kept."""

    def run(self) -> None:
        fd = os.open(self.task.file, os.O_RDONLY)
        self.got = [os.pread(fd, BLOCK, offset) for offset in self.offsets]
        os.close(fd)

    def verify(self) -> None:
        self.view[:] = b"".join(self.got)
        super().verify()


class ShutilCopy(CopyFile):
    def run(self) -> None:
        shutil.copyfile(self.task.file, self.task.new)


class ShutilTree(CopyTree):
    def run(self) -> None:
        shutil.copytree(self.task.file, self.task.new)


class Hashlib(Checksums):
    def run(self) -> None:
        for path in self.paths:
            with open(path, "rb") as file:
                self.sums[path] = hashlib.sha256(file.read()).hexdigest()


class ReadIntoWhole(CheckpointRead):
    """A megabyte at a time, of one unbuffered file."""

    def run(self) -> None:
        with open(self.task.file, "rb", buffering=0) as file:
            for at in range(0, self.size, MIB):
                if file.readinto(self.view[at : at + MIB]) != MIB:
                    raise OSError("short read")


class Write(CheckpointSave):
    """write, and fsync of the file and of its directory."""

    def run(self) -> None:
        with open(self.task.new, "wb", buffering=0) as file:
            for piece in self.pieces:
                if file.write(piece) != len(piece):
                    raise OSError("short write")
            os.fsync(file.fileno())
        directory = os.open(os.path.dirname(self.task.new), os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


class Stat(StatFiles):
    def __init__(self, task: Task) -> None:
        super().__init__(task)

    def run(self) -> None:
        total = 0
        for path in self.paths:
            total += os.stat(path).st_size
        self.total = total


CONTESTANTS: Contestants = {
    "read_many_warm": {"read": Read, "open": Open},
    "read_many_cold": {"read": Read, "open": Open},
    "read_many_memory": {"open": OpenMemory},
    "read_ranges_cold": {"readinto": ReadInto},
    "read_ranges_warm": {"readinto": ReadInto, "pread": PreadEach},
    "copy_file": {"shutil": ShutilCopy},
    "copy_tree": {"shutil": ShutilTree},
    "checksum_cold": {"hashlib": Hashlib},
    "checkpoint_read": {"readinto": ReadIntoWhole},
    "checkpoint_save": {"write": Write},
    "stat_many_warm": {"stat": Stat},
    "stat_many_cold": {"stat": Stat},
}

"""The files that are read and written, and what must be in them."""

from __future__ import annotations

import array
import os
import random
import struct
from pathlib import Path

__all__ = ["BLOCK", "Scratch", "WrongData", "block", "check_blocks", "load_offsets"]

BLOCK = 4096
SIZES = {"reads": 256 << 20, "writes": 64 << 20}


class WrongData(AssertionError):
    """A contestant delivered something else than what is in the file."""


def block(number: int) -> bytes:
    """Block `number` of a data file; floor.h has the same formula."""
    word = (0x9E3779B97F4A7C15 * ((number + 1) & 0xFFFFFFFFFFFFFFFF)) & 0xFFFFFFFFFFFFFFFF
    return struct.pack("=Q", word) * (BLOCK // 8)


def check_blocks(got: list[bytes | bytearray | memoryview], offsets: list[int]) -> None:
    """Each of `got` must be the block at its offset."""
    if len(got) != len(offsets):
        raise WrongData(f"{len(got)} blocks where {len(offsets)} were asked for")
    for data, offset in zip(got, offsets, strict=True):
        if data != block(offset // BLOCK):
            raise WrongData(f"the data at offset {offset} is not what the file holds")


def load_offsets(path: str) -> list[int]:
    numbers = array.array("Q")
    numbers.frombytes(Path(path).read_bytes())
    return numbers.tolist()


class Scratch:
    """A directory with one data file for reads, one for writes, and their random offsets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def file(self, kind: str) -> Path:
        return self.directory / f"{kind}.data"

    def offsets(self, kind: str) -> Path:
        return self.directory / f"{kind}.offsets"

    def make(self, kind: str) -> None:
        """Write the file anew, in large pieces; every block is visited once by the offsets."""
        size = SIZES[kind]
        per_piece = (1 << 20) // BLOCK
        with self.file(kind).open("wb") as out:
            for piece in range(size >> 20):
                start = piece * per_piece
                out.write(b"".join(block(start + i) for i in range(per_piece)))
            out.flush()
            os.fsync(out.fileno())
        numbers = list(range(size // BLOCK))
        random.Random(kind).shuffle(numbers)
        offsets = array.array("Q", [number * BLOCK for number in numbers])
        self.offsets(kind).write_bytes(offsets.tobytes())

    def warm(self, kind: str) -> None:
        """Have the whole file in the page cache."""
        with self.file(kind).open("rb", buffering=0) as data:
            while data.read(1 << 20):
                pass

    def remove(self) -> None:
        for kind in SIZES:
            self.file(kind).unlink(missing_ok=True)
            self.offsets(kind).unlink(missing_ok=True)

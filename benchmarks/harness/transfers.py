"""What all contestants that read or write blocks of a file share."""

from __future__ import annotations

import mmap
import os
from typing import TypeAlias

from .cells import Cell, Task
from .data import BLOCK, WrongData, block, check_blocks

__all__ = ["Slot", "Transfer"]

Slot: TypeAlias = "bytearray | memoryview"

WINDOWS = 4
"""How many batches a verification looks at."""


class Transfer(Cell):
    """Reads or writes of single blocks at the given offsets, `depth` of them at a time.

    Without O_DIRECT a batch of the depth is submitted and taken, since page-cache transfers
    complete while they are submitted. With it the depth is kept in flight: wait for a quarter of
    what is in flight, take what there is, refill. The C programs do the same.
    """

    one_piece = False
    """The slots are to be parts of one buffer, as bulk calls want it."""

    def __init__(self, task: Task, writing: bool = False) -> None:
        self.task = task
        self.writing = writing
        self.direct = task.direct
        self.unit = self.depth = task.number
        self.most = len(task.offsets)
        flags = os.O_RDWR | (os.O_DIRECT if task.direct else 0)
        self.fd = os.open(task.file, flags)
        self.offsets: list[int] = []
        self.memory: mmap.mmap | bytearray | None = None
        self.slots: list[Slot] = self.make_slots()
        self.generation = 0

    def make_slots(self) -> list[Slot]:
        size = self.depth * BLOCK
        if self.direct:
            self.memory = mmap.mmap(-1, size)
        elif self.one_piece:
            self.memory = bytearray(size)
        if self.memory is None:
            return [bytearray(BLOCK) for _ in range(self.depth)]
        whole = memoryview(self.memory)
        return [whole[at : at + BLOCK] for at in range(0, size, BLOCK)]

    def prepare(self, ops: int) -> None:
        self.offsets = self.task.offsets[:ops]
        self.arrange()

    def arrange(self) -> None:
        """Bring `offsets` into the form that `run` wants."""

    def chunks(self) -> list[list[int]]:
        """The offsets, a depth at a time."""
        step = self.depth
        return [self.offsets[at : at + step] for at in range(0, len(self.offsets), step)]

    def blocks(self) -> list[bytes | bytearray | memoryview]:
        """What the last `depth` reads brought, in the order of their offsets."""
        return list(self.slots)

    def fill(self, contents: list[bytes]) -> None:
        """Have each slot hold what it is to write."""
        for slot, content in zip(self.slots, contents, strict=True):
            slot[:] = content

    def verify(self) -> None:
        offsets = self.task.offsets
        for window in range(WINDOWS):
            start = window * self.depth * 3 % (len(offsets) - self.depth)
            self.offsets = offsets[start : start + self.depth]
            self.arrange()
            if self.writing:
                self.verify_writes()
            else:
                self.run()
                check_blocks(self.blocks(), self.offsets)

    def verify_writes(self) -> None:
        """Write what was never written before, and look for it in the file."""
        self.generation += 1
        numbers = [(self.generation << 40) + os.getpid() + i for i in range(self.depth)]
        contents = [block(number) for number in numbers]
        self.fill(contents)
        self.run()
        plain = os.open(self.task.file, os.O_RDONLY)
        try:
            for offset, content in zip(self.offsets, contents, strict=True):
                if os.pread(plain, BLOCK, offset) != content:
                    raise WrongData(f"what was written at {offset} is not in the file")
        finally:
            os.close(plain)

    def close(self) -> None:
        os.close(self.fd)

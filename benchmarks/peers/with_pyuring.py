"""pyuring (ctypes over C): calls that do one thing and wait, and batches of reads."""

from __future__ import annotations

import importlib
import os
from itertools import repeat
from typing import Any

from harness.cells import Cell, Contestants, Task, Unable
from harness.data import BLOCK
from harness.transfers import Transfer

P: Any = importlib.import_module("pyuring")


class Nops(Cell):
    def __init__(self, task: Task) -> None:
        if task.number > 1:
            raise Unable("it does NOPs one at a time only")
        self.context = P.UringCtx(entries=64)

    def prepare(self, ops: int) -> None:
        self.times = ops

    def run(self) -> None:
        nop = self.context.nop
        for _ in repeat(None, self.times):
            nop()

    def verify(self) -> None:
        self.context.nop()

    def close(self) -> None:
        self.context.close()


class Reads(Transfer):
    """read_offsets: a batch of blocks into one bytes object."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.context = P.UringCtx(entries=256)

    def arrange(self) -> None:
        self.batches = self.chunks()

    def run(self) -> None:
        read, fd = self.context.read_offsets, self.fd
        for offsets in self.batches:
            self.last = read(fd, BLOCK, offsets)

    def blocks(self) -> list[bytes | bytearray | memoryview]:
        return [self.last[at : at + BLOCK] for at in range(0, len(self.last), BLOCK)]

    def close(self) -> None:
        self.context.close()
        super().close()


class Writes(Transfer):
    def __init__(self, task: Task) -> None:
        if task.number > 1:
            raise Unable("it does writes to an open file one at a time only")
        super().__init__(task)
        self.writing = True
        self.context = P.UringCtx(entries=64)
        self.content = bytes(BLOCK)

    def fill(self, contents: list[bytes]) -> None:
        self.content = contents[0]

    def run(self) -> None:
        write, fd, content = self.context.write, self.fd, self.content
        for offset in self.offsets:
            if write(fd, content, offset) != BLOCK:
                raise OSError("short write")


class OpenClose(Cell):
    def __init__(self, task: Task) -> None:
        self.entries = task.number

    def prepare(self, ops: int) -> None:
        self.times = ops

    def run(self) -> None:
        for _ in repeat(None, self.times):
            P.UringCtx(entries=self.entries).close()

    def verify(self) -> None:
        context = P.UringCtx(entries=self.entries)
        context.nop()
        context.close()


class Direct(Reads):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        try:
            self.context.read_offsets(self.fd, BLOCK, task.offsets[:1])
        except OSError as error:
            self.close()
            raise Unable(f"its buffers are not aligned: {os.strerror(error.errno or 0)}") from None


CONTESTANTS: Contestants = {
    "nop": {"": Nops},
    "reads_cached": {"": Reads},
    "reads_direct": {"": Direct},
    "writes_cached": {"": Writes},
    "open_close": {"": OpenClose},
}

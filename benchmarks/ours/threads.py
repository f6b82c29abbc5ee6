"""What other threads notice of a ring, and a ring of them."""

from __future__ import annotations

import os
from contextlib import ExitStack

from harness.cells import Cell, Contestants, Measurement, Task
from harness.ticker import Busy, delayed_byte, longest_stall_ms

from uring_rs import Ring

from .nops import Read

PIECE = 4 << 20
PIECES = 64


class OtherThreads(Measurement):
    def __init__(self, task: Task) -> None:
        self.task = task

    def measure(self) -> float:
        return self.waiting() if self.task.cell == "wait" else self.submitting()

    def waiting(self) -> float:
        read_end, child = delayed_byte(0.3)
        byte = bytearray(1)
        with Ring(8) as ring:
            ring.prep_read(read_end, byte)
            stall = longest_stall_ms(lambda: ring.submit(1))
            if [cqe.res for cqe in ring] != [1] or byte != b"x":
                raise AssertionError("the byte did not arrive")
        child.wait()
        os.close(read_end)
        return stall

    def submitting(self) -> float:
        fd = os.open(self.task.file, os.O_RDONLY)
        buffers = [bytearray(PIECE) for _ in range(PIECES)]
        with Ring(PIECES) as ring:
            for i, buffer in enumerate(buffers):
                ring.prep_read(fd, buffer, i * PIECE)
            stall = longest_stall_ms(lambda: ring.submit(PIECES))
            if [cqe.res for cqe in ring] != [PIECE] * PIECES:
                raise AssertionError("a read failed")
        os.close(fd)
        return stall


class BesideBusy(Cell):
    """One NOP at a time, alone or beside a busy thread."""

    def __init__(self, task: Task) -> None:
        self.nops = Read(Task("1"))
        self.busy = ExitStack()
        if task.cell != "alone":
            self.busy.enter_context(Busy())

    def prepare(self, ops: int) -> None:
        self.nops.prepare(ops)

    def run(self) -> None:
        self.nops.run()

    def verify(self) -> None:
        self.nops.verify()

    def close(self) -> None:
        self.busy.close()
        self.nops.close()


CONTESTANTS: Contestants = {
    "other_threads": {"": OtherThreads},
    "busy_thread": {"": BesideBusy},
}

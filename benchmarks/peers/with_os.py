"""Plain Python: os.pread, os.preadv, os.pwrite, os.pwritev, socket, and a loop without any I/O."""

from __future__ import annotations

import os
import socket
from itertools import repeat

from harness.cells import Cell, Contestants, Task, Unable
from harness.data import BLOCK, check_blocks
from harness.transfers import Slot, Transfer

from . import bulk_os


class Loop(Cell):
    """What the interpreter takes for a batch without any I/O: append, iterate, clear."""

    def __init__(self, task: Task) -> None:
        self.unit = self.batch = task.number

    def prepare(self, ops: int) -> None:
        self.batches = ops // self.batch

    def run(self) -> None:
        batch = self.batch
        for _ in repeat(None, self.batches):
            queue: list[int] = []
            append = queue.append
            for i in range(batch):
                append(i)
            for token in queue:  # noqa: B007
                pass

    def verify(self) -> None:
        self.prepare(self.batch)


class Pread(Transfer):
    """One after the other, whatever the depth; new bytes for each."""

    def __init__(self, task: Task) -> None:
        if task.direct:
            raise Unable("new bytes are not aligned")
        super().__init__(task)
        self.last: list[bytes | bytearray | memoryview] = []

    def run(self) -> None:
        pread, fd = os.pread, self.fd
        for offset in self.offsets:
            data = pread(fd, BLOCK, offset)  # noqa: F841

    def verify(self) -> None:
        for offset in self.task.offsets[:16]:
            check_blocks([os.pread(self.fd, BLOCK, offset)], [offset])


class OneBuffer(Transfer):
    """preadv into, or pwritev from, one buffer, one after the other."""

    def __init__(self, task: Task, writing: bool = False) -> None:
        super().__init__(task, writing)
        self.buffers: list[list[Slot]] = [[slot] for slot in self.slots]

    def run(self) -> None:
        call, fd = (os.pwritev if self.writing else os.preadv), self.fd
        if len(self.offsets) == self.depth:
            # A verification: all slots.
            for offset, slot in zip(self.offsets, self.buffers, strict=True):
                call(fd, slot, offset)
            return
        buffers = self.buffers[0]
        for offset in self.offsets:
            if call(fd, buffers, offset) != BLOCK:
                raise OSError("short transfer")


class Pwrite(Transfer):
    def __init__(self, task: Task) -> None:
        super().__init__(task, writing=True)

    def run(self) -> None:
        pwrite, fd, slots, depth = os.pwrite, self.fd, self.slots, self.depth
        if len(self.offsets) == depth:
            for offset, slot in zip(self.offsets, slots, strict=True):
                pwrite(fd, slot, offset)
            return
        slot = slots[0]
        for offset in self.offsets:
            if pwrite(fd, slot, offset) != BLOCK:
                raise OSError("short write")


class PingPong(Cell):
    unit = 2

    def __init__(self, task: Task) -> None:
        if task.cell == "armed":
            raise Unable("a blocking receive cannot come before its message")
        self.left, self.right = socket.socketpair()
        self.out, self.into = bytes(range(64)), bytearray(64)

    def prepare(self, ops: int) -> None:
        self.turns = ops // 2

    def run(self) -> None:
        pairs = (
            (self.left.send, self.right.recv_into),
            (self.right.send, self.left.recv_into),
        )
        out, into = self.out, self.into
        for _ in repeat(None, self.turns):
            for send, receive in pairs:
                if send(out) != 64 or receive(into) != 64:
                    raise OSError("message")

    def verify(self) -> None:
        self.prepare(2)
        self.run()
        if self.into != self.out:
            raise AssertionError("the message is not what was sent")

    def close(self) -> None:
        self.left.close()
        self.right.close()


CONTESTANTS: Contestants = {
    "nop": {"loop": Loop},
    "reads_cached": {"pread": Pread, "preadv": OneBuffer},
    "reads_direct": {"preadv": OneBuffer},
    "writes_cached": {"pwrite": Pwrite},
    "writes_direct": {"pwrite": Pwrite},
    "pingpong": {"socket": PingPong},
    **bulk_os.CONTESTANTS,
}

"""Reads and writes of blocks of a file."""

from __future__ import annotations

import mmap
from array import array
from functools import partial
from typing import Any

from harness.cells import Contestants, Task, Unable
from harness.data import BLOCK
from harness.transfers import Slot, Transfer

from uring_rs import CQE_SIZE, Ring, Sqe

ENTRIES = 256
PIECE = 4096
"""Rows of one run_* call where the ring is to be kept full."""


class PerOp(Transfer):
    """One prep_read or prep_write per block; every result is read."""

    def __init__(self, task: Task, writing: bool = False) -> None:
        self.ring = Ring(ENTRIES)
        super().__init__(task, writing)
        self.stage: Any = self.ring.prep_write if writing else self.ring.prep_read
        self.buffers: list[Any] = list(self.slots)

    def arrange(self) -> None:
        self.batches = self.chunks()

    def run(self) -> None:
        if self.direct:
            self.keep_full()
        else:
            self.batch_by_batch()

    def batch_by_batch(self) -> None:
        ring, stage, submit, fd = self.ring, self.stage, self.ring.submit, self.fd
        buffers, depth = self.buffers, self.depth
        for offsets in self.batches:
            for offset, buffer in zip(offsets, buffers):  # noqa: B905
                stage(fd, buffer, offset, user_data=offset)
            submit(depth)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841

    def keep_full(self) -> None:
        ring, stage, submit, fd = self.ring, self.stage, self.ring.submit, self.fd
        buffers, left = self.buffers, iter(self.offsets)
        idle = list(range(self.depth - 1, -1, -1))
        flying = 0
        while True:
            while idle and (offset := next(left, -1)) >= 0:
                slot = idle.pop()
                stage(fd, buffers[slot], offset, user_data=slot)
                flying += 1
            if not flying:
                return
            submit(flying // 4 or 1)
            for cqe in ring:
                if cqe.res != BLOCK:
                    raise OSError(-cqe.res, f"transfer of {BLOCK} bytes: {cqe.res}")
                idle.append(cqe.user_data)
                flying -= 1

    def close(self) -> None:
        self.ring.close()
        super().close()


class PerOpFixed(PerOp):
    """The same with registered buffers."""

    def __init__(self, task: Task, writing: bool = False) -> None:
        super().__init__(task, writing)
        self.stage = self.ring.prep_write_fixed if writing else self.ring.prep_read_fixed

    def make_slots(self) -> list[Slot]:
        self.pool = self.ring.buffer_pool(self.depth, BLOCK)
        self.taken = [self.pool.take() for _ in range(self.depth)]
        return [memoryview(buffer) for buffer in self.taken]

    def arrange(self) -> None:
        super().arrange()
        self.buffers = list(self.taken)


class Pushed(PerOp):
    """Sqe objects made beforehand, one for each offset; every result is read."""

    def __init__(self, task: Task, writing: bool = False) -> None:
        super().__init__(task, writing)
        self.make = Sqe.write if writing else Sqe.read

    def arrange(self) -> None:
        super().arrange()
        make, fd = self.make, self.fd
        self.made = [
            [
                make(fd, buffer, offset, user_data=offset)
                for offset, buffer in zip(offsets, self.buffers, strict=False)
            ]
            for offsets in self.batches
        ]

    def batch_by_batch(self) -> None:
        ring, push, submit, depth = self.ring, self.ring.push, self.ring.submit, self.depth
        for batch in self.made:
            for sqe in batch:
                push(sqe)
            submit(depth)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841


class Bulk(Transfer):
    """prep_read_batch or prep_write_batch, submit, reap_into; every result is read."""

    one_piece = True

    def __init__(self, task: Task, writing: bool = False) -> None:
        if task.direct:
            raise Unable("batch by batch: run_reads and run_writes keep the ring full")
        super().__init__(task, writing)
        self.ring = Ring(ENTRIES)
        self.stage: Any = self.ring.prep_write_batch if writing else self.ring.prep_read_batch
        self.records = bytearray(CQE_SIZE * self.depth)
        self.results = memoryview(self.records).cast("i")[2::4]

    def arrange(self) -> None:
        self.columns = [array("q", chunk) for chunk in self.chunks()]

    def run(self) -> None:
        stage, submit, reap = self.stage, self.ring.submit, self.ring.reap_into
        fd, memory, depth, records = self.fd, self.memory, self.depth, self.records
        for offsets in self.columns:
            stage(fd, memory, offsets)
            submit(depth)
            if reap(records) != depth:
                raise AssertionError("completions are missing")
            for res in self.results:  # noqa: B007
                pass

    def close(self) -> None:
        self.ring.close()
        super().close()


class Run(Transfer):
    """run_reads or run_writes; every result is read."""

    one_piece = True

    def __init__(self, task: Task, writing: bool = False) -> None:
        self.ring = Ring(ENTRIES)
        super().__init__(task, writing)
        self.call: Any = self.ring.run_writes if writing else self.ring.run_reads

    def make_slots(self) -> list[Slot]:
        self.rows = PIECE if self.direct else self.depth
        self.whole = self.make_memory(self.rows * BLOCK)
        view = memoryview(self.whole)
        return [view[at * BLOCK : (at + 1) * BLOCK] for at in range(self.depth)]

    def make_memory(self, size: int) -> Any:
        return mmap.mmap(-1, size) if self.direct else bytearray(size)

    def arrange(self) -> None:
        rows, offsets = self.rows, array("q", self.offsets)
        self.pieces: list[tuple[Any, array[int], array[int]]] = []
        for at in range(0, len(offsets), rows):
            column = offsets[at : at + rows]
            memory = self.whole
            if len(column) != rows:
                memory = memoryview(self.whole)[: len(column) * BLOCK]
            self.pieces.append((memory, column, array("i", [0]) * len(column)))

    def run(self) -> None:
        call, fd, depth = self.call, self.fd, self.depth
        for memory, offsets, results in self.pieces:
            call(fd, memory, offsets, results=results, depth=depth)
            for res in results:
                if res != BLOCK:
                    raise OSError(-res, f"transfer of {BLOCK} bytes: {res}")

    def close(self) -> None:
        self.ring.close()
        super().close()


class RunFixed(Run):
    """The same into one registered buffer."""

    def make_memory(self, size: int) -> Any:
        self.pool = self.ring.buffer_pool(1, size)
        return self.pool.take()

    def arrange(self) -> None:
        super().arrange()
        for at, (_, column, results) in enumerate(self.pieces):
            self.pieces[at] = (self.whole, column, results)

    def run(self) -> None:
        call, fd, depth = self.call, self.fd, self.depth
        for memory, offsets, results in self.pieces:
            call(fd, memory, offsets, BLOCK, results=results, depth=depth)
            for res in results:
                if res != BLOCK:
                    raise OSError(-res, f"transfer of {BLOCK} bytes: {res}")


SHAPES: dict[str, type[PerOp | Bulk | Run]] = {
    "": PerOp,
    "push": Pushed,
    "fixed": PerOpFixed,
    "bulk": Bulk,
    "run": Run,
    "run-fixed": RunFixed,
}
DIRECT_SHAPES = {name: SHAPES[name] for name in ("", "fixed", "run", "run-fixed")}

CONTESTANTS: Contestants = {
    "reads_cached": {**SHAPES},
    "reads_direct": {**DIRECT_SHAPES},
    "writes_cached": {name: partial(shape, writing=True) for name, shape in SHAPES.items()},
    "writes_direct": {name: partial(shape, writing=True) for name, shape in DIRECT_SHAPES.items()},
}

"""concurrent.futures.ThreadPoolExecutor with a thread per transfer in flight."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from harness.cells import Contestants, Measurement, Task, Unable
from harness.data import BLOCK
from harness.ticker import longest_stall_ms
from harness.transfers import Slot, Transfer

from . import bulk_threads


class Files(Transfer):
    def __init__(self, task: Task, writing: bool = False) -> None:
        super().__init__(task, writing)
        self.pool = ThreadPoolExecutor(self.depth)

    def one(self, place: tuple[int, Slot]) -> None:
        offset, slot = place
        call = os.pwritev if self.writing else os.preadv
        if call(self.fd, [slot], offset) != BLOCK:
            raise OSError("short transfer")

    def arrange(self) -> None:
        depth, slots = self.depth, self.slots
        # The same slot is used again `depth` later; what is read is looked at in verifications
        # only, where no slot is used twice.
        self.places = [(offset, slots[at % depth]) for at, offset in enumerate(self.offsets)]

    def run(self) -> None:
        for _ in self.pool.map(self.one, self.places):
            pass

    def close(self) -> None:
        self.pool.shutdown()
        super().close()


class OtherThreads(Measurement):
    def __init__(self, task: Task) -> None:
        if task.cell == "wait":
            raise Unable("a blocking read in a thread holds nobody up")
        self.file = task.file

    def measure(self) -> float:
        size = 4 << 20
        fd = os.open(self.file, os.O_RDONLY)
        buffers = [bytearray(size) for _ in range(64)]

        def read_all() -> None:
            with ThreadPoolExecutor(8) as pool:
                jobs = [
                    pool.submit(os.preadv, fd, [buffer], i * size)
                    for i, buffer in enumerate(buffers)
                ]
            if any(job.result() != size for job in jobs):
                raise AssertionError("a read failed")

        stall = longest_stall_ms(read_all)
        os.close(fd)
        return stall


CONTESTANTS: Contestants = {
    "reads_cached": {"": Files},
    "reads_direct": {"": Files},
    "writes_cached": {"": partial(Files, writing=True)},
    "writes_direct": {"": partial(Files, writing=True)},
    "other_threads": {"": OtherThreads},
    **bulk_threads.CONTESTANTS,
}

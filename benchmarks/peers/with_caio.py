"""caio: asyncio file I/O in C, on io_uring where there is one. As it comes, and without SQPOLL."""

from __future__ import annotations

import importlib
import os
from functools import partial
from typing import Any

from harness.cells import Contestants, Measurement, Task, Unable
from harness.data import BLOCK
from harness.looped import LoopedReads
from harness.ticker import longest_stall_ms

C: Any = importlib.import_module("caio.linux_uring_asyncio")
RING: Any = importlib.import_module("caio.linux_uring")


class Reads(LoopedReads):
    def __init__(self, task: Task, sqpoll: bool | None = None) -> None:
        self.options = {} if sqpoll is None else {"sqpoll": sqpoll}
        super().__init__(task)
        if task.direct:
            self.await_(self.try_direct())

    async def try_direct(self) -> None:
        try:
            await self.read(0, self.task.offsets[0])
        except (OSError, SystemError) as error:
            raise Unable(f"its buffers are not aligned ({type(error).__name__})") from None

    async def open(self) -> None:
        self.context = C.AsyncioContext(max(self.depth, 8), **self.options)

    async def read(self, slot: int, offset: int) -> bytes:
        data: bytes = await self.context.read(BLOCK, self.fd, offset)
        return data

    async def shut(self) -> None:
        self.context.close()


class OtherThreads(Measurement):
    def __init__(self, task: Task) -> None:
        if task.cell == "wait":
            raise Unable("its waiting is the event loop's")
        self.file = task.file

    def measure(self) -> float:
        fd = os.open(self.file, os.O_RDONLY)
        context = RING.Context(max_requests=64)
        size = 4 << 20
        reads = [RING.Operation.read(size, fd, i * size) for i in range(64)]

        def submit() -> None:
            context.submit(*reads)
            context.flush()

        stall = longest_stall_ms(submit)
        while any(len(read.get_value() or b"") != size for read in reads):
            context.process_events(64, 1, 1)
        os.close(fd)
        return stall


CONTESTANTS: Contestants = {
    "reads_cached": {"": Reads, "no-sqpoll": partial(Reads, sqpoll=False)},
    "reads_direct": {"": partial(Reads, sqpoll=False)},
    "other_threads": {"": OtherThreads},
}

"""Contestants that need an asyncio event loop: one task per transfer in flight."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine, Iterator
from typing import Any, TypeAlias

from .cells import Task
from .transfers import Transfer

__all__ = ["LoopedReads"]

Block: TypeAlias = "bytes | bytearray | memoryview"


class LoopedReads(Transfer):
    """`depth` tasks, each reading the next offset until there is none."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.last: list[Block] = [b""] * self.depth
        self.loop = asyncio.new_event_loop()
        self.await_(self.open())

    def await_(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def read(self, slot: int, offset: int) -> Block:
        """One block; `slot` says which of the tasks is asking."""

    async def shut(self) -> None:
        """Close what `open` opened."""

    async def reader(self, slot: int, offsets: Iterator[tuple[int, int]]) -> None:
        for at, offset in offsets:
            self.last[at % self.depth] = await self.read(slot, offset)

    async def all(self) -> None:
        offsets = enumerate(self.offsets)
        await asyncio.gather(*(self.reader(slot, offsets) for slot in range(self.depth)))

    def run(self) -> None:
        self.await_(self.all())

    def blocks(self) -> list[Block]:
        return self.last

    def close(self) -> None:
        self.await_(self.shut())
        self.loop.close()
        super().close()

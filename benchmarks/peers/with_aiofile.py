"""aiofile: files for asyncio, on caio."""

from __future__ import annotations

import importlib
from typing import Any

from harness.cells import Contestants
from harness.data import BLOCK
from harness.looped import LoopedReads

A: Any = importlib.import_module("aiofile")


class Reads(LoopedReads):
    async def open(self) -> None:
        self.file = A.AIOFile(self.task.file, "rb")
        await self.file.open()

    async def read(self, slot: int, offset: int) -> bytes:
        data: bytes = await self.file.read(BLOCK, offset)
        return data

    async def shut(self) -> None:
        await self.file.close()


CONTESTANTS: Contestants = {"reads_cached": {"": Reads}}

"""anyio: each call of a file object in a thread. Each task has a file of its own."""

from __future__ import annotations

import importlib
from typing import Any

from harness.cells import Contestants
from harness.data import BLOCK
from harness.looped import LoopedReads

A: Any = importlib.import_module("anyio")


class Reads(LoopedReads):
    async def open(self) -> None:
        path = self.task.file
        self.files = [await A.open_file(path, "rb", buffering=0) for _ in range(self.depth)]

    async def read(self, slot: int, offset: int) -> bytes:
        file = self.files[slot]
        await file.seek(offset)
        data: bytes = await file.read(BLOCK)
        return data

    async def shut(self) -> None:
        for file in self.files:
            await file.aclose()


CONTESTANTS: Contestants = {"reads_cached": {"": Reads}}

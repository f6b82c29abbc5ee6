"""fsspec's own local file system."""

from __future__ import annotations

import fsspec
from harness.cells import Contestants, Task
from harness.jobs import CatRanges


class LocalFiles(CatRanges):
    def __init__(self, task: Task) -> None:
        super().__init__(task, fsspec.filesystem("file"))


CONTESTANTS: Contestants = {"cat_ranges_cold": {"": LocalFiles}}

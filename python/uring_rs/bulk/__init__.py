"""Whole jobs on files: many at a time, in one call, with bounded memory.

These functions choose the fastest way by themselves: plain system calls for what is cached, a ring
for what has to wait, threads where rings are refused. `uring_rs.backend()` tells which it is.
"""

from __future__ import annotations

from .checksums import checksum_many
from .ranges import Ranges, read_ranges, write_ranges
from .reading import read_many
from .streaming import stream
from .writing import SaveResult, WriteResult, save, write_many

__all__ = [
    "Ranges",
    "SaveResult",
    "WriteResult",
    "checksum_many",
    "read_many",
    "read_ranges",
    "save",
    "stream",
    "write_many",
    "write_ranges",
]

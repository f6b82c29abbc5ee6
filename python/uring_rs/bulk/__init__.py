"""Whole jobs on files: many at a time, in one call, with bounded memory.

These functions choose the fastest way by themselves: plain system calls for what is cached, a ring
for what has to wait, threads where rings are refused. `uring_rs.backend()` tells which it is.
"""

from __future__ import annotations

from .reading import read_many
from .writing import SaveResult, WriteResult, save, write_many

__all__ = ["SaveResult", "WriteResult", "read_many", "save", "write_many"]

"""What a question is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Floor", "Group", "Question"]

Unit = Literal["ns", "us", "ms", "bytes"]
Group = Literal["ring", "files"]


@dataclass(frozen=True)
class Floor:
    """A C contestant: its name in the table, and the variant of the question's program."""

    name: str
    variant: str = ""


@dataclass(frozen=True)
class Question:
    name: str
    title: str
    unit: Unit
    per: str
    cells: tuple[str, ...]
    program: str | None = None
    floors: tuple[Floor, ...] = (Floor("c"),)
    seconds: float = 0.04
    """How long one repeat of a cell runs."""
    repeats: int = 3
    """How often a process repeats a cell; it reports the median."""
    file: Literal["", "reads", "writes"] = ""
    direct: bool = False
    pinned: bool = True
    """Contestants of one thread run on one CPU; where the kernel's threads help, on all."""
    rounds: int = 7
    timeout: float = 60.0
    group: Group = "ring"
    data: Literal["", "small", "half", "tree", "lists", "gigabyte"] = ""
    """What of the corpus it works on."""
    before: Literal["", "cold", "cold inodes", "fresh"] = ""
    """What is done before each process: the data dropped from the page cache, or the inodes as
    well, or what was written by the one before removed."""
    quick_rounds: int = 2

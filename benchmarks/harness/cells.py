"""What a contestant is made of: one object per cell of a question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Cell", "Contestants", "Factory", "Job", "Measurement", "Task", "Unable"]


class Unable(Exception):
    """This contestant cannot do this cell; the text says why."""


@dataclass(frozen=True)
class Task:
    """What a cell is made for."""

    cell: str
    file: str = ""
    direct: bool = False
    offsets: list[int] = field(default_factory=list)
    seconds: float = 0.04
    once: bool = False
    """The state of things (data on the disk, nothing written yet) is good for one run."""
    new: str = ""
    """Where what is written goes; nothing is there."""

    @property
    def number(self) -> int:
        """What a cell's name ends with: a batch, a depth, entries, ..."""
        return int(self.cell.split()[-1])

    @property
    def count(self) -> int:
        """What a job's cell begins with: how many files, ranges or pieces."""
        return int(self.cell.split()[0])


class Cell(ABC):
    """Timed work. `prepare` and `verify` are not timed."""

    unit: int = 1
    """Operations come in multiples of this."""
    most: int = 1 << 22
    """No more operations than this in one run."""

    @abstractmethod
    def prepare(self, ops: int) -> None:
        """Make ready for a run of `ops` operations."""

    @abstractmethod
    def run(self) -> None:
        """Do them."""

    @abstractmethod
    def verify(self) -> None:
        """Do some, and raise unless they really were done."""

    def close(self) -> None:  # noqa: B027 (many hold nothing)
        """Give back what the cell holds."""


class Job(ABC):
    """Work of a fixed size, timed as a whole. Everything but `run` is not timed."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def warm_up(self) -> None:  # noqa: B027 (many have nothing to load)
        """Have code and libraries loaded, without touching the data."""

    @abstractmethod
    def run(self) -> None: ...

    @abstractmethod
    def verify(self) -> None:
        """Raise unless what `run` did was right; the last thing that is called."""

    def notes(self) -> dict[str, float]:
        """Other numbers of the last run, by name."""
        return {}


class Measurement(ABC):
    """A cell that is not a cost per operation: it gives its value itself."""

    @abstractmethod
    def measure(self) -> float: ...


Factory: TypeAlias = Callable[[Task], "Cell | Job | Measurement"]
Contestants: TypeAlias = dict[str, dict[str, Factory]]
"""By question, then by variant ("" for the main one)."""

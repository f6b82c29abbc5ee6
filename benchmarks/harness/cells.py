"""What a contestant is made of: one object per cell of a question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Cell", "Contestants", "Factory", "Measurement", "Task", "Unable"]


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

    @property
    def number(self) -> int:
        """What a cell's name ends with: a batch, a depth, entries, ..."""
        return int(self.cell.split()[-1])


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


class Measurement(ABC):
    """A cell that is not a cost per operation: it gives its value itself."""

    @abstractmethod
    def measure(self) -> float: ...


Factory: TypeAlias = Callable[[Task], "Cell | Measurement"]
Contestants: TypeAlias = dict[str, dict[str, Factory]]
"""By question, then by variant ("" for the main one)."""

"""The questions: what is asked, in which cells, and how long each is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["QUESTIONS", "Floor", "Question"]

Unit = Literal["ns", "us", "ms", "bytes"]


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


DEPTHS = ("1", "32", "128")
TRANSFERS = (Floor("c"), Floor("c:fixed", "fixed"), Floor("c:syscall", "syscall"))

QUESTIONS = {
    question.name: question
    for question in (
        Question(
            "nop",
            "NOP: submit, wait, take the completion; by batch size",
            "ns",
            "operation",
            ("1", "8", "32", "128", "1024"),
            program="nop",
        ),
        Question(
            "reads_cached",
            "4 KiB random reads from the page cache, by depth",
            "ns",
            "read",
            DEPTHS,
            program="reads",
            floors=TRANSFERS,
            file="reads",
        ),
        Question(
            "reads_direct",
            "4 KiB random reads, O_DIRECT, by depth",
            "us",
            "read",
            DEPTHS,
            program="reads",
            floors=TRANSFERS,
            file="reads",
            direct=True,
            pinned=False,
            seconds=0.25,
            repeats=1,
        ),
        Question(
            "writes_cached",
            "4 KiB random overwrites in the page cache, by depth",
            "ns",
            "write",
            DEPTHS,
            program="writes",
            floors=TRANSFERS,
            file="writes",
            pinned=False,
            rounds=5,
        ),
        Question(
            "writes_direct",
            "4 KiB random overwrites, O_DIRECT, by depth",
            "us",
            "write",
            DEPTHS,
            program="writes",
            floors=TRANSFERS,
            file="writes",
            direct=True,
            pinned=False,
            seconds=0.2,
            repeats=1,
            rounds=5,
        ),
        Question(
            "pingpong",
            "64 bytes over a Unix socket pair, both ends in one thread",
            "ns",
            "message",
            ("inline", "armed"),
            program="pingpong",
            floors=(Floor("c"), Floor("c:syscall", "syscall")),
        ),
        Question(
            "in_flight",
            "cost per request as more are in flight",
            "ns",
            "operation",
            (
                "beside 32",
                "beside 1024",
                "beside 32768",
                "turnover 32",
                "turnover 1024",
                "turnover 32768",
            ),
            program="in_flight",
            rounds=5,
        ),
        Question(
            "rings",
            "one NOP at a time on many rings in turn, by number of rings",
            "ns",
            "operation",
            ("1", "10", "100", "1000"),
            program="rings",
            rounds=5,
        ),
        Question(
            "open_close",
            "open and close a ring, by its entries",
            "us",
            "ring",
            ("8", "256", "4096"),
            program="open_close",
        ),
        Question(
            "close",
            "close a ring with polls in flight: cancel, take their completions, close; by how many",
            "us",
            "close",
            ("64", "1024"),
            program="close",
            floors=(Floor("c"), Floor("c:each", "each")),
            repeats=1,
            rounds=5,
        ),
        Question(
            "memory",
            "resident memory of a ring of 256 entries, and of a waiting request",
            "bytes",
            "ring / request",
            ("ring", "request"),
            program="memory",
            rounds=3,
        ),
        Question(
            "selectors",
            "a call of select, with what is changed before it; Unix socket pairs",
            "ns",
            "call",
            (
                "1 of 1",
                "1 of 100",
                "100 of 100",
                "1 of 10000",
                "10000 of 10000",
                "wait of 1",
                "wait of 100",
                "wait of 10000",
                "modify 1 of 100",
                "modify 100 of 100",
                "modify 1000 of 5000",
                "flip 100 of 100",
                "register",
            ),
            program="selectors",
            rounds=7,
        ),
        Question(
            "echo",
            "64 bytes to an asyncio echo server and back over TCP, in one loop; by connections",
            "us",
            "message",
            ("1", "64", "1000"),
            floors=(),
            seconds=0.1,
        ),
        Question(
            "other_threads",
            "the longest another thread is held up: while one waits 0.3 s, and while it submits "
            "64 cached reads of 4 MiB",
            "ms",
            "",
            ("wait", "submit"),
            floors=(),
            pinned=False,
            rounds=5,
        ),
        Question(
            "busy_thread",
            "a NOP round trip alone, and beside a thread that never lets go of the interpreter",
            "us",
            "operation",
            ("alone", "beside a busy thread"),
            floors=(),
            pinned=False,
            seconds=0.2,
            repeats=1,
            rounds=5,
        ),
    )
}

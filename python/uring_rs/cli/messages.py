"""What the commands say on standard error, and what makes them fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

__all__ = ["Reporter", "shown"]


def shown(path: bytes) -> str:
    """A file name for a terminal: one line, and no byte that a terminal would obey."""
    text = os.fsdecode(path)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how os.fsdecode hands on a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


class Reporter:
    """Messages of one command: `uring-rs cat: path: No such file or directory`."""

    def __init__(self, command: str) -> None:
        self._prefix = f"uring-rs {command}: "
        self.failed = False
        self.print: Callable[[str], None] = _print
        """Where lines go; a progress display puts itself here."""

    def note(self, text: str) -> None:
        """Say something that is no failure."""
        self.print(self._prefix + text)

    def fail(self, text: str) -> None:
        """Say what failed; the command goes on, and ends with status 1."""
        self.failed = True
        self.note(text)

    def fail_at(self, path: bytes, problem: Exception | str) -> None:
        """Say what failed about one file."""
        what = (isinstance(problem, OSError) and problem.strerror) or str(problem)
        self.fail(f"{shown(path)}: {what}")


def _print(line: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

"""What every file command begins with: the transport, the engine, and standard output."""

from __future__ import annotations

import os
import sys

from .engine import Engine
from .messages import Reporter
from .transport import open_transport

__all__ = ["STDIN", "STDIN_NAME", "open_engine", "standard_output"]

STDIN = 0
STDIN_NAME = b"-"


def open_engine(report: Reporter) -> Engine:
    """An engine over a ring; where rings are refused over system calls, saying so once."""
    transport, why_not = open_transport()
    if why_not:
        report.note(f"io_uring is not used ({why_not}); doing the same by plain system calls")
    return Engine(transport)


def standard_output() -> int:
    """The descriptor of standard output, with nothing left in Python's own buffer."""
    if sys.stdout is None:
        # Closed by the caller. Its number may since have been given to any other file.
        raise OSError(9, os.strerror(9), "standard output")
    sys.stdout.flush()
    return sys.stdout.fileno()

"""What every file command begins with: standard output, and a word where io_uring is refused."""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Sequence
from typing import Final

from ..backend import backend
from .messages import Reporter

__all__ = [
    "STDIN",
    "STDIN_NAME",
    "read_on",
    "standard_output",
    "tell_backend",
    "write_all",
]

STDIN: Final = 0
STDIN_NAME: Final = b"-"

_PARTS: Final = 512  # buffers in one call, below IOV_MAX


def tell_backend(report: Reporter) -> None:
    """Say so where rings are refused: the work is the same, the time may not be."""
    found = backend()
    if found.name != "io_uring":
        report.note(f"io_uring is not used ({found.reason}); threads and system calls do the same")


def standard_output() -> int:
    """The descriptor of standard output, with nothing left in Python's own buffer."""
    if sys.stdout is None:
        # Closed by the caller. Its number may since have been given to any other file.
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
    sys.stdout.flush()
    return sys.stdout.fileno()


def write_all(fd: int, parts: Sequence[bytes | memoryview]) -> None:
    """Write all of this memory, in as few calls as the system lets us."""
    left = [view for part in parts if len(view := memoryview(part).cast("B"))]
    while left:
        try:
            done = os.writev(fd, left[:_PARTS])
        except BlockingIOError:
            # A descriptor shared with someone who made it non-blocking.
            _wait(fd, select.POLLOUT)
            continue
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None
        if not done:
            # A file that takes nothing, and would for ever.
            raise OSError(errno.EIO, os.strerror(errno.EIO), "standard output")
        while left and done >= len(left[0]):
            done -= len(left.pop(0))
        if done:
            left[0] = left[0][done:]


def read_on(fd: int, view: memoryview) -> int:
    """Read what there is at the current position; 0 at the end."""
    while True:
        try:
            return os.readv(fd, [view])
        except BlockingIOError:
            _wait(fd, select.POLLIN)


def _wait(fd: int, events: int) -> None:
    poll = select.poll()
    poll.register(fd, events)
    poll.poll()

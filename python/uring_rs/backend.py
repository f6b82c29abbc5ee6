"""By what the bulk functions work: io_uring, or threads where that is refused.

They give the same results either way. `backend()` tells which it is and why; the first time that a
job does without io_uring, one line at level INFO goes to the logger "uring_rs".
"""

from __future__ import annotations

import errno
import logging
import threading
from dataclasses import dataclass
from typing import Literal

from . import _native
from .availability import Availability, is_disabled, probe
from .errors import Cause, UringUnavailable

__all__ = ["Backend", "Way", "backend", "tell", "way"]

Way = Literal["auto", "ring", "threads"]

_logger = logging.getLogger("uring_rs")
_lock = threading.Lock()
_told = False


@dataclass(frozen=True)
class Backend:
    """What `backend()` found. Its name is what `str()` gives."""

    name: Literal["io_uring", "threads"]
    """What carries out requests that have to wait."""

    reason: str = ""
    """Why not io_uring, in one sentence; empty if it is."""

    hint: str = ""
    """How to change that, where it can be changed."""

    cause: str = ""
    """The reason in one word, for programs; empty if there is none."""

    def __str__(self) -> str:
        return self.name


def backend() -> Backend:
    """By what the bulk functions work here and now, and why.

    Never raises. It tries, so the answer is that of this moment: the next call may find a filter
    installed or a limit changed. `URING_RS_DISABLE=1` in the environment turns io_uring off.
    """
    found = probe()
    if found.ok:
        return Backend("io_uring")
    return Backend("threads", found.reason, found.hint, found.cause)


def way(require_uring: bool) -> Way:
    """Which ways are open to a job.

    Raises:
        UringUnavailable: `require_uring`, and io_uring is refused or turned off here.
    """
    if _native.import_error is not None:
        raise _native.unavailable()
    if require_uring:
        # Now, and not when the first request has to wait: cached data needs no ring.
        if found := probe():
            return "ring"
        raise _required(found)
    if not is_disabled():
        return "auto"
    tell(probe().reason)
    return "threads"


def _required(found: Availability) -> UringUnavailable:
    number = found.errno or errno.ENOSYS
    error = UringUnavailable(number, f"io_uring is required here: {found.reason}")
    error.reason, error.hint = found.reason, found.hint
    if is_disabled():
        error.cause = Cause.DISABLED
    # Elsewhere the errno stands for it: `found.cause` is finer than what errors have.
    return error


def tell(reason: str) -> None:
    """Say once, in the log, that io_uring is not used."""
    global _told
    with _lock:
        if _told:
            return
        _told = True
    _logger.info("io_uring is not used, threads do the same: %s", reason)

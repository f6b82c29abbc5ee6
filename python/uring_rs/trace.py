"""Where `URING_RS_TRACE=1` goes: one log record for each thing a ring does.

Records are written to the logger "uring_rs.trace" at level INFO. A program that has set up
logging decides about them as about any other; in one that has not, they go to standard error.
For another destination give the ring a callable: `Ring(trace=callable)`.
"""

from __future__ import annotations

import logging
import threading

__all__ = ["log_event"]

_logger = logging.getLogger("uring_rs.trace")
_lock = threading.Lock()
_prepared = False


class _Fields:
    """The facts of one event; made into text only if some handler wants the record."""

    __slots__ = ("_info",)

    def __init__(self, info: dict[str, object]) -> None:
        self._info = info

    def __str__(self) -> str:
        return " ".join(f"{name}={value!r}" for name, value in self._info.items())


def _prepare() -> None:
    """Make the records visible, once, without overriding what the program has configured."""
    global _prepared
    with _lock:
        if _prepared:
            return
        if _logger.level == logging.NOTSET:
            # The root logger's default would hide INFO, and the variable asked to see it.
            _logger.setLevel(logging.INFO)
        if not _logger.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
            _logger.addHandler(handler)
        _prepared = True


def log_event(event: str, info: dict[str, object]) -> None:
    """Log one event of a ring ("submit", "enter", "complete"...) with its facts.

    The record carries both as attributes, `uring_event` and `uring_info`, for a formatter or
    filter that wants more than the text.
    """
    if not _prepared:
        _prepare()
    if _logger.isEnabledFor(logging.INFO):
        extra = {"uring_event": event, "uring_info": info}
        _logger.info("%s %s", event, _Fields(info), extra=extra)

"""`uring-rs cp`: files and folder trees, by `uring_rs.copy`."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import fields
from types import FrameType
from typing import Any

from ..tree import CopyResult, copy
from .messages import Reporter, shown
from .progress import Progress, make_progress
from .session import tell_backend

__all__ = ["Terminated", "run"]

_HERE = (b"", b".", b"..")


class Terminated(BaseException):
    """SIGTERM or SIGHUP: leave, but not half a file behind."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Copier:
    """Copies one source after the other, and tells what fails."""

    def __init__(
        self, recursive: bool, as_json: bool, report: Reporter, progress: Progress
    ) -> None:
        self._recursive = recursive
        self._as_json = as_json
        self._report = report
        self._progress = progress
        self._made: set[bytes] = set()
        self._files = 0
        self._size = 0

    def copy(self, source: bytes, target: bytes, into: bool) -> None:
        name = os.path.basename(source.rstrip(b"/"))
        goal = os.path.join(target, name) if into and name not in _HERE else target
        if goal in self._made and not self._merges(source, goal):
            self._report.fail_at(source, f"would overwrite {shown(goal)}, just made")
            return
        if not self._recursive and os.path.isdir(source):
            self._report.fail_at(source, "is a directory, and -r was not given")
            return
        self._files = self._size = 0
        done = copy(
            source,
            target,
            recursive=self._recursive,
            progress=self._tell,
            errors="collect",
            specials=False,
        )
        for error in done.errors:
            self._fail(error)
        if self._as_json:
            print(json.dumps(_told(source, done)))
        if not done.errors:
            self._made.add(goal)

    def _merges(self, source: bytes, goal: bytes) -> bool:
        """Whether both are folders, which may be filled from several sources."""
        return self._recursive and os.path.isdir(source) and os.path.isdir(goal)

    def _tell(self, size: int, total: int | None, names: int) -> None:
        self._progress.add(names - self._files, size - self._size)
        self._files, self._size = names, size

    def _fail(self, error: OSError) -> None:
        path, other = error.filename, error.filename2
        what = error.strerror or str(error)
        if other is not None and error.errno == errno.EINVAL:
            # Ours: "is the same file", "cannot be copied into itself".
            what += f" as {shown(other)}" if what.endswith("file") else f", {shown(other)}"
        elif other is not None:
            what += f" (copying to {shown(other)})"
        self._report.fail_at(path, what)


def _told(source: bytes, done: CopyResult) -> dict[str, object]:
    """What was done with one source, as `cp --json` tells it."""
    told: dict[str, object] = {"source": os.fsdecode(source), "target": os.fsdecode(done.target)}
    told["bytes"] = done.bytes
    for field in fields(done):
        if field.name not in ("target", "errors"):
            told[field.name] = getattr(done, field.name)
    told["errors"] = len(done.errors)
    return told


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _catch_signals() -> dict[int, Any]:
    """Have termination end this as an exception, unless it is ignored (as under nohup)."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _terminate)
    return before


def _total(sources: Sequence[bytes], recursive: bool) -> int | None:
    """How many bytes there are to copy, where that can be known beforehand."""
    if recursive:
        return None
    try:
        return sum(os.stat(source).st_size for source in sources)
    except OSError:
        return None


def run(
    sources: Sequence[bytes], target: bytes, recursive: bool, as_json: bool, report: Reporter
) -> None:
    """Copy these files, or with `recursive` also directories, to the target or into it."""
    tell_backend(report)
    into = os.path.isdir(target)
    if len(sources) > 1 and not into:
        report.fail_at(target, "is no directory, as the target of several must be")
        return
    progress = make_progress(report, _total(sources, recursive))
    before = _catch_signals()
    copier = _Copier(recursive, as_json, report, progress)
    try:
        for source in sources:
            copier.copy(source, target, into)
    finally:
        progress.close()
        for number, handler in before.items():
            signal.signal(number, handler)

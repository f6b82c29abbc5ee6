"""How far a job is, on a terminal: by rich or tqdm if installed, else one plain line."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from .messages import Reporter

__all__ = ["Progress", "amount", "make_progress"]

_DELAY: Final = 0.4  # seconds: what is done sooner needs no display
_PERIOD: Final = 0.1


def amount(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


class Progress(Protocol):
    """Is told what has been done."""

    def add(self, files: int, size: int) -> None:
        """So many more files and bytes are done."""

    def close(self) -> None:
        """Take the display away."""


class _Silent:
    """Not a terminal."""

    def add(self, files: int, size: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Shown:
    """Counts, and from time to time shows the counts."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._plain_print = report.print
        report.print = self._print
        self._files = 0
        self._size = 0
        self._begun = time.monotonic()
        self._next = self._begun + _DELAY

    def add(self, files: int, size: int) -> None:
        self._files += files
        self._size += size
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PERIOD
            self._show(self._files, self._size, now - self._begun)

    def close(self) -> None:
        self._clear()
        self._report.print = self._plain_print

    def _print(self, line: str) -> None:
        self._clear()
        self._plain_print(line)

    def _show(self, files: int, size: int, seconds: float) -> None:
        raise NotImplementedError

    def _clear(self) -> None:
        raise NotImplementedError


class _Plain(_Shown):
    """One line, written over and over."""

    _width = 0

    def _show(self, files: int, size: int, seconds: float) -> None:
        line = f"{files} files, {amount(size)}, {amount(size / seconds)}/s"
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def _clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0


class _Rich(_Shown):
    """A bar where the total is known, a pulse where it is not."""

    def __init__(self, report: Reporter, rich: Callable[[str], Any], total: int | None) -> None:
        super().__init__(report)
        bars = rich("progress")
        self._console = rich("console").Console(stderr=True)
        self._bars = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.DownloadColumn(binary_units=True),
            bars.TransferSpeedColumn(),
            bars.TimeElapsedColumn(),
            console=self._console,
            transient=True,
            auto_refresh=False,  # no thread of its own: what is done tells often enough
        )
        self._task: Any = None
        self._total = total

    def _show(self, files: int, size: int, seconds: float) -> None:
        text = f"{files} files"
        if self._task is None:
            self._task = self._bars.add_task(text, total=self._total, completed=size)
            self._bars.start()
        self._bars.update(self._task, completed=size, description=text)
        self._bars.refresh()

    def _clear(self) -> None:
        # Started again by the next _show; a transient display leaves nothing behind.
        if self._task is not None:
            self._bars.stop()
            self._bars.remove_task(self._task)
            self._task = None


class _Tqdm(_Shown):
    """The bar that many know from their notebooks and trainings."""

    def __init__(self, report: Reporter, tqdm: Callable[..., Any], total: int | None) -> None:
        super().__init__(report)
        self._make: Callable[[int], Any] = lambda done: tqdm(
            total=total,
            initial=done,
            file=sys.stderr,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            leave=False,
            mininterval=0,  # we decide when there is something to show
            miniters=0,
        )
        self._bar: Any = None
        self._done = 0

    def _show(self, files: int, size: int, seconds: float) -> None:
        if self._bar is None:
            self._bar = self._make(self._done)
        self._bar.set_description(f"{files} files", refresh=False)
        self._bar.update(size - self._done)
        self._bar.refresh()
        self._done = size

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _find(name: str) -> Any:
    """A module, if it is installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def make_progress(report: Reporter, total: int | None, *, shown: bool = True) -> Progress:
    """The display for this terminal, or none if standard error is no terminal."""
    if not shown or sys.stderr is None or not sys.stderr.isatty():
        return _Silent()
    if _find("rich.progress"):
        return _Rich(report, lambda name: importlib.import_module(f"rich.{name}"), total)
    if tqdm := _find("tqdm"):
        return _Tqdm(report, tqdm.tqdm, total)
    return _Plain(report)

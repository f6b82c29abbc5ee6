"""The display of a copy: on a terminal alone, by rich if there is one, never in the way."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from uring_rs.cli import progress
from uring_rs.cli.messages import Reporter, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test sets."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_nothing_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    display = progress.make_progress(Reporter("cp"), None)
    clock[0] += 10
    display.add(1, 1000)
    display.close()
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("by", ["rich", "tqdm", "plain"])
def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch, clock: list[float], by: str) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    if by == "rich":
        pytest.importorskip("rich", reason="rich is not installed: no bar to test")
    else:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    if by == "tqdm":
        found = pytest.importorskip("tqdm", reason="tqdm is not installed: no bar to test")
        # Its own lock is one of processes, and starts a helper that keeps a pipe (Python 3.14).
        found.tqdm.set_lock(threading.RLock())
    elif by == "plain":
        monkeypatch.setitem(sys.modules, "tqdm", None)
    report = Reporter("cp")
    display = progress.make_progress(report, 2 << 20)
    display.add(1, 1 << 20)
    assert terminal.getvalue() == "", "what is quick needs no display"
    clock[0] += 1
    display.add(1, 0)
    assert "2 files" in terminal.getvalue()
    assert "1.0" in terminal.getvalue()
    report.fail_at(b"name", "went wrong")
    assert report.failed
    # The message has a line for itself: after a line break or a return to the line's begin.
    before, _, after = terminal.getvalue().partition("uring-rs cp: name: went wrong\n")
    assert before.endswith(("\r", "\n", "K", "h"))
    clock[0] += 1
    display.add(1, 5)
    assert "3 files" in terminal.getvalue()[len(before) :]
    assert after == ""
    display.close()
    report.note("done")
    assert terminal.getvalue().endswith("uring-rs cp: done\n")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 40, "3072.0 GiB"),
    ],
)
def test_amounts(size: int, text: str) -> None:
    assert progress.amount(size) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain name", "plain name"),
        ("schön".encode(), "schön"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"two\nlines", "two\\nlines"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe".encode(), "\\u202egnp.exe"),
    ],
)
def test_names_are_shown_on_one_line_and_obeyed_by_no_terminal(name: bytes, text: str) -> None:
    assert shown(name) == text

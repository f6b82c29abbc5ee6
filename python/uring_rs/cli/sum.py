"""`uring-rs sum`: checksums, in the format that `sha256sum -c` and its relatives check.

Many files are read and hashed at once by `checksum_many`; lines come out in the order of the names,
those of a folder sorted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from .. import checksum_many
from .messages import Reporter
from .progress import make_progress
from .session import STDIN, STDIN_NAME, read_on, standard_output, tell_backend
from .tree import walk

__all__ = ["algorithms", "line_of", "run"]

_PIECE: Final = 512 << 10  # of what is no plain file
_ESCAPES: Final = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}


def algorithms() -> list[str]:
    """The algorithms there are: all of hashlib's whose length is fixed."""
    return sorted(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake_"))


def line_of(digest: str, path: bytes) -> bytes:
    """One line of output. Names that would break it are escaped as coreutils does."""
    mark = b""
    if any(char in path for char in _ESCAPES):
        mark = b"\\"
        for char, escape in _ESCAPES.items():
            path = path.replace(char, escape)
    return mark + digest.encode("ascii") + b"  " + path + b"\n"


class _Sum:
    """Takes the names in turn, and writes their results in that order."""

    def __init__(self, names: Sequence[bytes], algorithm: str, as_json: bool, report: Reporter):
        self._names = deque(names)
        self._algorithm = algorithm
        self._as_json = as_json
        self._report = report
        self._taken = 0
        self._problems: deque[tuple[int, OSError]] = deque()  # of the walk, each before which path
        # Over lines that scroll by no display can stand.
        self._shown = not sys.stdout.isatty() and sys.stderr is not None and sys.stderr.isatty()
        self._progress = make_progress(report, None, shown=self._shown)

    def run(self) -> None:
        """All of them."""
        try:
            while self._names:
                told = 0
                self._taken = 0
                for path, digest in checksum_many(
                    self._plain_files(), self._algorithm, order="input", errors="yield"
                ):
                    self._tell_problems(told)
                    told += 1
                    self._tell(path, digest)
                self._tell_problems(told)
                if self._names:
                    self._tell(name := self._names.popleft(), self._read(name))
        finally:
            self._progress.close()
        sys.stdout.buffer.flush()

    def _plain_files(self) -> Iterator[bytes]:
        """The next names and what is below them, up to one that is no plain file."""
        while self._names:
            name = self._names[0]
            mode = _mode(name)
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                return
            self._names.popleft()
            if not stat.S_ISDIR(mode):
                self._taken += 1
                yield name
                continue
            for found in walk(name):
                if isinstance(found, OSError):
                    self._problems.append((self._taken, found))
                else:
                    self._taken += 1
                    yield found.path

    def _tell_problems(self, told: int) -> None:
        while self._problems and self._problems[0][0] <= told:
            error = self._problems.popleft()[1]
            self._tell(error.filename, error)

    def _read(self, name: bytes) -> str | Exception:
        """A pipe, a device, standard input: one read after another until it ends."""
        state = hashlib.new(self._algorithm, usedforsecurity=False)
        buffer = memoryview(bytearray(_PIECE))
        try:
            fd = os.dup(STDIN) if name == STDIN_NAME else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                while size := read_on(fd, buffer):
                    state.update(buffer[:size])
            finally:
                os.close(fd)
        except OSError as error:
            return error
        return state.hexdigest()

    def _tell(self, path: bytes, result: str | Exception) -> None:
        if isinstance(result, Exception):
            self._report.fail_at(path, result)
        if self._as_json:
            told = {"path": os.fsdecode(path), "algorithm": self._algorithm}
            told["error" if isinstance(result, Exception) else "digest"] = str(result)
            sys.stdout.buffer.write(json.dumps(told).encode("ascii") + b"\n")
        elif not isinstance(result, Exception):
            sys.stdout.buffer.write(line_of(result, path))
        if self._shown:
            with contextlib.suppress(OSError):
                self._progress.add(1, os.stat(path).st_size)


def _mode(name: bytes) -> int:
    """The kind of what has this name; 0 if that cannot be told, S_IFIFO for standard input."""
    if name == STDIN_NAME:
        return stat.S_IFIFO
    try:
        return os.stat(name).st_mode
    except OSError:
        return 0


def run(names: Sequence[bytes], algorithm: str, as_json: bool, report: Reporter) -> None:
    """Print the checksum of these files and of all files below these folders."""
    standard_output()
    tell_backend(report)
    _Sum(names or [STDIN_NAME], algorithm, as_json, report).run()

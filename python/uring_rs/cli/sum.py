"""`uring-rs sum`: checksums, in the format that `sha256sum -c` and its relatives check.

Many files are read and hashed at once; lines come out in the order of the names, those of a folder
sorted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from .engine import Engine, Task, failure, read_file
from .messages import Reporter
from .session import STDIN, STDIN_NAME, open_engine, standard_output
from .tree import walk

__all__ = ["algorithms", "line_of", "run"]

_AHEAD: Final = 4096  # results kept while an earlier, larger file is not done

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
    """Makes a job for every file, and puts their results in order."""

    def __init__(self, engine: Engine, algorithm: str, report: Reporter) -> None:
        self._engine = engine
        self._algorithm = algorithm
        self._report = report
        self._results: dict[int, tuple[bytes, str | OSError]] = {}
        self._begun = 0
        self._printed = 0

    def tasks(self, names: Sequence[bytes]) -> Iterator[Task | None]:
        """A job for every file, on demand; None where results must first be printed."""
        for name in names:
            if name != STDIN_NAME and os.path.isdir(name):
                for found in walk(name):
                    yield from self._task(found)
            else:
                yield from self._task(name)

    def _task(self, found: bytes | os.DirEntry[bytes] | OSError) -> Iterator[Task | None]:
        while self._begun - self._printed >= _AHEAD:
            yield None
        index = self._begun
        self._begun += 1
        if isinstance(found, OSError):
            self._result(index, found.filename, found)
        elif isinstance(found, bytes):
            yield self._job(index, found, 0)
        else:
            # What the walk saw as a plain file must not block, should it be a pipe by now.
            yield self._job(index, found.path, os.O_NONBLOCK)

    def _job(self, index: int, path: bytes, flags: int) -> Task:
        try:
            if path == STDIN_NAME:
                fd = os.dup(STDIN)
            else:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
            try:
                status = os.fstat(fd)
                if stat.S_ISDIR(status.st_mode):
                    raise failure(errno.EISDIR, path)
                stream = not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode))
                start = 0
                if path == STDIN_NAME and not stream:
                    start = os.lseek(fd, 0, os.SEEK_CUR)
                state = hashlib.new(self._algorithm, usedforsecurity=False)
                yield from read_file(
                    self._engine,
                    fd,
                    path,
                    status.st_size,
                    state.update,
                    stream=stream,
                    start=start,
                )
            finally:
                os.close(fd)
        except OSError as error:
            self._result(index, path, error)
        else:
            self._result(index, path, state.hexdigest())

    def _result(self, index: int, path: bytes, result: str | OSError) -> None:
        """Print this result and those waiting for it, or keep it until its turn."""
        self._results[index] = path, result
        while (due := self._results.pop(self._printed, None)) is not None:
            self._printed += 1
            path, result = due
            if isinstance(result, OSError):
                self._report.fail_at(path, result)
            else:
                sys.stdout.buffer.write(line_of(result, path))


def run(names: Sequence[bytes], algorithm: str, report: Reporter) -> None:
    """Print the checksum of these files and of all files below these folders."""
    standard_output()
    with open_engine(report) as engine:
        summer = _Sum(engine, algorithm, report)
        engine.run(summer.tasks(names or [STDIN_NAME]))
    sys.stdout.buffer.flush()

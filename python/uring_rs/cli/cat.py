"""`uring-rs cat`: files, one after the other, to standard output.

Small files are read many at a time by `read_many`, large ones ahead of the output by `stream`, and
what has no end to know of, a pipe or a terminal, piece by piece as it comes.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from .. import read_many, stream
from .messages import Reporter
from .session import STDIN, STDIN_NAME, read_on, standard_output, tell_backend, write_all

__all__ = ["run"]

_SMALL: Final = 2 << 20  # what is read in one piece
_RUN: Final = 2 << 20  # bytes in one write, about
_PIECE: Final = 512 << 10  # of a pipe


class _Cat:
    """The one job of the command."""

    def __init__(self, out: int, report: Reporter) -> None:
        self._out = out
        self._out_stat = os.fstat(out)
        self._report = report
        self._written = False

    def run(self, names: Sequence[bytes]) -> None:
        """Write them all; what fails is told in its place, and the rest is done."""
        for small, group in itertools.groupby(self._sorted_out(names), lambda found: found[1]):
            if small:
                self._many([name for name, _ in group])
                continue
            for name, _ in group:
                try:
                    self._one(name)
                except OSError as error:
                    if error.filename == "standard output" or isinstance(error, BrokenPipeError):
                        raise
                    self._report.fail_at(name, error)

    def _sorted_out(self, names: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
        """Each name, and whether it is a small file: looked at when its turn is near."""
        for name in names:
            if name == STDIN_NAME:
                yield name, False
                continue
            try:
                status = os.stat(name)
            except OSError:
                yield name, True  # read_many says why, in its place
                continue
            regular = stat.S_ISREG(status.st_mode)
            small = regular and status.st_size <= _SMALL and not self._is_output(status)
            yield name, small or stat.S_ISDIR(status.st_mode)

    def _is_output(self, status: os.stat_result) -> bool:
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, self._out_stat)

    def _write(self, parts: Sequence[bytes | memoryview]) -> None:
        if parts:
            self._written = True
            write_all(self._out, parts)

    def _many(self, names: Sequence[bytes]) -> None:
        parts: list[bytes | memoryview] = []
        size = 0
        with read_many(names, order="input", errors="yield") as reading:
            for name, data in reading:
                if isinstance(data, Exception):
                    self._write(parts)
                    parts, size = [], 0
                    self._report.fail_at(name, data)
                    continue
                parts.append(data)
                size += len(data)
                if size >= _RUN:
                    self._write(parts)
                    parts, size = [], 0
        self._write(parts)

    def _one(self, name: bytes) -> None:
        standard_input = name == STDIN_NAME
        fd = os.dup(STDIN) if standard_input else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            at = os.lseek(fd, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else 0
            if self._is_output(status) and (self._written or at < status.st_size):
                raise OSError(errno.EINVAL, "input file is output file", name)
            if standard_input or not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
                self._as_it_comes(fd)
            else:
                with stream(fd) as chunks:
                    for chunk in chunks:
                        self._write([chunk])
        finally:
            os.close(fd)

    def _as_it_comes(self, fd: int) -> None:
        """From the current position on, which moves along: whoever shares it goes on there."""
        buffer = memoryview(bytearray(_PIECE))
        while size := read_on(fd, buffer):
            self._write([buffer[:size]])


def run(names: Sequence[bytes], report: Reporter) -> None:
    """Write these files to standard output; `-`, or none at all, is standard input."""
    out = standard_output()
    tell_backend(report)
    _Cat(out, report).run(names or [STDIN_NAME])

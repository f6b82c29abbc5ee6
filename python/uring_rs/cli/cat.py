"""`uring-rs cat`: files, one after the other, to standard output.

The output is a queue of pieces, each with a buffer of its own. Reading runs ahead and fills many
pieces at once, of one large file or of many small ones; what is filled at the head of the queue is
written in runs, each run as one vectored write. A piece whose file goes on where nobody could know
(a pipe, a file of /proc, one that grew) is filled again and written again at the head.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence
from typing import Final

from .engine import LARGE, SMALL, Engine, Task, failure
from .messages import Reporter
from .session import STDIN, STDIN_NAME, open_engine, standard_output
from .transport import CURRENT, Op

__all__ = ["run"]

_PIECES: Final = 256  # how far reading may run ahead, buffers permitting
_PARTS: Final = 64  # pieces in one write, far below IOV_MAX
_RUN: Final = 2 << 20  # bytes in one write, about
_WRITE: Final = -1  # the tag of the write; reads have those of their pieces


class _Source:
    """A file being read, ahead of its place in the output."""

    __slots__ = ("at", "ended", "fd", "more", "path", "pieces", "reached", "size", "stream")

    def __init__(self, path: bytes, fd: int, size: int, at: int, stream: bool) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.at = at  # where the next piece begins
        self.reached = at  # how far it has been written
        self.stream = stream  # has no positions
        self.more = True  # has pieces yet to be begun
        self.pieces = 0  # begun and not yet out of the queue
        self.ended = False  # its end, or an error, has been met in the output


class _Piece:
    """A place in the output: a part of a file, or an error to be told there."""

    __slots__ = ("buffer", "error", "filled", "offset", "source", "view")

    def __init__(self, source: _Source | None, buffer: memoryview, offset: int) -> None:
        self.source = source
        self.buffer = buffer
        self.offset = offset
        self.view = buffer[:0]  # what has been read
        self.filled = False  # the read is done
        self.error: OSError | None = None


class _Cat:
    """The one job of the command."""

    def __init__(self, engine: Engine, names: Sequence[bytes], out: int, report: Reporter) -> None:
        self._engine = engine
        self._names = deque(names)
        self._report = report
        self._out = out
        self._out_stat = os.fstat(out)
        self._queue: deque[_Piece] = deque()
        self._reading: dict[int, _Piece] = {}
        self._tags = 0
        self._source: _Source | None = None  # the one whose pieces are being begun
        self._sources: set[_Source] = set()
        self._writing: list[_Piece] = []

    def job(self) -> Task:
        """Read ahead and write in order until all is written."""
        try:
            while True:
                self._read_ahead()
                self._write_on()
                if self._reading or self._writing:
                    op = yield
                    if op.tag == _WRITE:
                        self._written(op)
                    else:
                        self._filled(op)
                elif not self._names and not self._queue and self._source is None:
                    return
        finally:
            for source in self._sources:
                os.close(source.fd)

    # ---- reading ahead

    def _read_ahead(self) -> None:
        while len(self._queue) < _PIECES:
            if self._source is None and not self._open_next():
                return
            if self._source is not None and not self._begin_piece(self._source):
                return

    def _begin_piece(self, source: _Source) -> bool:
        """Begin the next piece of this file; False if there is no buffer for it."""
        rest = source.size - source.at
        buffer = self._engine.grab(SMALL if rest < SMALL else LARGE)
        if buffer is None:
            return False
        piece = _Piece(source, buffer, CURRENT if source.stream else source.at)
        source.pieces += 1
        source.at += len(buffer)
        if source.at > source.size:
            # Expected to end in this piece: go on to the next file without seeing it do so.
            source.more = False
            self._source = None
        self._queue.append(piece)
        self._fill(piece, rest)
        return True

    def _fill(self, piece: _Piece, rest: int) -> None:
        source = piece.source
        assert source is not None
        piece.filled = False
        self._tags += 1
        self._reading[self._tags] = piece
        if source.stream:
            self._engine.read_some(source.fd, piece.buffer, tag=self._tags)
        else:
            enough = max(rest, 0)
            self._engine.read(source.fd, piece.buffer, piece.offset, tag=self._tags, enough=enough)

    def _open_next(self) -> bool:
        """Go to the next name. False if there is none, or if it has to wait."""
        if not self._names:
            return False
        path = self._names[0]
        try:
            if self._must_wait(path):
                return False
            self._source = self._open(path)
        except OSError as error:
            self._tell(error)
        self._names.popleft()
        return True

    def _must_wait(self, path: bytes) -> bool:
        """Whether opening might block while output is owed to whoever feeds that pipe."""
        if not (self._queue or self._writing):
            return False
        # Standard input may be named twice, and is shared: it is read only in its turn.
        return path == STDIN_NAME or not stat.S_ISREG(os.stat(path).st_mode)

    def _open(self, path: bytes) -> _Source | None:
        standard_input = path == STDIN_NAME
        fd = os.dup(STDIN) if standard_input else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise failure(errno.EISDIR, path)
            stream = not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode))
            at = os.lseek(fd, 0, os.SEEK_CUR) if standard_input and not stream else 0
            if self._is_output(status) and (self._queue or self._writing or at < status.st_size):
                raise OSError(errno.EINVAL, "input file is output file", path)
        except BaseException:
            os.close(fd)
            raise
        source = _Source(path, fd, 0 if stream else status.st_size, at, stream)
        self._sources.add(source)
        return source

    def _is_output(self, status: os.stat_result) -> bool:
        return stat.S_ISREG(status.st_mode) and os.path.samestat(status, self._out_stat)

    def _tell(self, error: OSError) -> None:
        """Put an error in its place of the output, so that both come in order."""
        piece = _Piece(None, memoryview(b""), 0)
        piece.error = error
        piece.filled = True
        self._queue.append(piece)

    # ---- results

    def _filled(self, op: Op) -> None:
        piece = self._reading.pop(op.tag)
        piece.filled = True
        piece.view = piece.buffer[: op.done]
        if op.error:
            assert piece.source is not None
            piece.error = failure(op.error, piece.source.path)

    def _write_on(self) -> None:
        """Write what is filled at the head of the queue, unless a write is under way."""
        if self._writing:
            return
        size = 0
        while self._queue and self._queue[0].filled:
            piece = self._queue[0]
            source = piece.source
            if source is None or source.ended or piece.error or not len(piece.view):
                if self._writing:
                    break  # its turn comes when what is before it has been written
                self._queue.popleft()
                self._finish(piece)
                continue
            self._queue.popleft()
            self._writing.append(piece)
            size += len(piece.view)
            if self._goes_on(piece) or size >= _RUN or len(self._writing) == _PARTS:
                break
            # Short: the file ends here, even where more of it had been read ahead.
            source.ended = len(piece.view) < len(piece.buffer)
        if self._writing:
            views = [piece.view for piece in self._writing]
            self._engine.write(self._out, views, CURRENT, tag=_WRITE)

    def _goes_on(self, piece: _Piece) -> bool:
        """Whether the same file must be asked for more right after this piece."""
        source = piece.source
        assert source is not None
        if source.stream:
            return True
        last_begun = piece.offset + len(piece.buffer) > source.size
        return last_begun and len(piece.view) == len(piece.buffer)

    def _written(self, op: Op) -> None:
        if op.error == errno.EPIPE:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if op.error:
            raise OSError(op.error, os.strerror(op.error), "standard output")
        written, self._writing = self._writing, []
        for piece in written:
            assert piece.source is not None
            piece.source.reached = piece.offset + len(piece.view)
            if self._goes_on(piece):
                piece.offset += 0 if piece.offset == CURRENT else len(piece.view)
                self._queue.appendleft(piece)
                self._fill(piece, 0)
            else:
                self._finish(piece)

    def _finish(self, piece: _Piece) -> None:
        """This piece is out of the queue for good: its buffer and maybe its file are free."""
        source = piece.source
        if piece.error and not (source and source.ended):
            self._report.fail_at(os.fsencode(piece.error.filename), piece.error)
        if source is None:
            return
        if piece.error or len(piece.view) < len(piece.buffer):
            source.ended = True
            source.more = False
            if self._source is source:
                self._source = None
        self._engine.give(piece.buffer)
        source.pieces -= 1
        if not source.pieces and not source.more:
            if source.path == STDIN_NAME and not source.stream:
                # As cat does: whoever shares standard input goes on where this ended.
                os.lseek(source.fd, source.reached, os.SEEK_SET)
            self._sources.discard(source)
            os.close(source.fd)


def run(names: Sequence[bytes], report: Reporter) -> None:
    """Write these files to standard output; `-`, or none at all, is standard input."""
    out = standard_output()
    with open_engine(report) as engine:
        engine.run([_Cat(engine, names or [STDIN_NAME], out, report).job()])

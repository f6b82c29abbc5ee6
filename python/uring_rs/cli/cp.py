"""`uring-rs cp`: files and folder trees, with their modes and times.

The walk makes folders and links at once and hands out one job for each file; the jobs read and
write through the engine, many files at a time and many chunks of a large one. Folders get their
modes and times last, when nothing is made in them any more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import threading
from collections.abc import Generator, Iterator, Sequence
from types import FrameType
from typing import Any

from .copying import Source, copy_data, copy_stream
from .engine import Engine, Task
from .messages import Reporter, kind_of, shown
from .progress import Progress, make_progress
from .session import open_engine
from .target import Target, Unfinished, keep_mode, link_over
from .transport import Op

__all__ = ["Terminated", "run"]

_HERE = (b".", b"..")


class Terminated(BaseException):
    """SIGTERM or SIGHUP: leave, but not half a file behind."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Copier:
    """Walks the sources, and makes the jobs."""

    def __init__(self, engine: Engine, report: Reporter, progress: Progress) -> None:
        self._engine = engine
        self._report = report
        self._progress = progress
        self._folders: list[tuple[bytes, os.stat_result]] = []
        self._made: set[bytes] | None = None  # what has been made, if there are several sources
        self.unfinished = Unfinished()

    # ---- the walk

    def tasks(self, sources: Sequence[bytes], target: bytes, recursive: bool) -> Iterator[Task]:
        """A job for every file, on demand; folders and links are made on the way."""
        into = os.path.isdir(target)
        if len(sources) > 1:
            self._made = set()
            if not into:
                self._report.fail_at(target, "is no directory, as the target of several must be")
                return
        for source in sources:
            name = os.path.basename(source.rstrip(b"/"))
            name = b"." if name in _HERE else name
            goal = os.path.join(target, name) if into else target
            try:
                status = os.lstat(source) if recursive else os.stat(source)
                if not stat.S_ISDIR(status.st_mode):
                    yield from self._copy(source, goal, status, recursive, fresh=False)
                elif not recursive:
                    self._report.fail_at(source, "is a directory, and -r was not given")
                elif self._is_within(goal, status):
                    self._report.fail_at(source, f"cannot be copied into itself, {shown(goal)}")
                else:
                    yield from self._copy_tree(source, goal, status)
            except OSError as error:
                self._fail(source, error)

    def _copy_tree(self, folder: bytes, goal: bytes, status: os.stat_result) -> Iterator[Task]:
        # A stack rather than recursion: trees may be deeper than Python's own limit.
        stack = [(folder, goal, status)]
        while stack:
            folder, goal, status = stack.pop()
            try:
                fresh = self._make_folder(goal, status)
                with os.scandir(folder) as found:
                    entries = list(found)
            except OSError as error:
                self._fail(folder, error)
                continue
            for entry in entries:
                inner = os.path.join(goal, entry.name)
                try:
                    if entry.is_file(follow_symlinks=False):
                        yield from self._copy(entry.path, inner, None, True, fresh)
                        continue
                    inner_status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(inner_status.st_mode):
                        stack.append((entry.path, inner, inner_status))
                    else:
                        yield from self._copy(entry.path, inner, inner_status, True, fresh)
                except OSError as error:
                    self._fail(entry.path, error)

    def _make_folder(self, goal: bytes, status: os.stat_result) -> bool:
        """Make this folder, or take one that is there; True if it is new."""
        try:
            # Open to its owner until it is filled, and to nobody else until it has its mode.
            os.mkdir(goal, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(goal).st_mode):
                raise OSError(errno.ENOTDIR, "is there and is no directory", goal) from None
            return False
        self._folders.append((goal, status))
        return True

    def finish_folders(self) -> None:
        """Modes and times of the folders made, the innermost first."""
        for path, status in reversed(self._folders):
            try:
                os.chmod(path, keep_mode(status, os.stat(path)))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            except OSError as error:
                self._fail(path, error)

    def _is_within(self, goal: bytes, folder: os.stat_result) -> bool:
        """Whether the goal is that folder, or somewhere below it."""
        place = os.path.realpath(goal)
        while True:
            # What is not made yet is not that folder.
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(place), folder):
                    return True
            if (above := os.path.dirname(place)) == place:
                return False
            place = above

    def _fail(self, path: bytes, error: OSError) -> None:
        named = error.filename if isinstance(error.filename, bytes) else path
        self._report.fail_at(named, error)

    # ---- one file

    def _copy(
        self, path: bytes, goal: bytes, status: os.stat_result | None, walked: bool, fresh: bool
    ) -> Iterator[Task]:
        """Copy what is no folder. Without a status it is a plain file."""
        if self._made is not None:
            if goal in self._made:
                self._report.fail_at(path, f"would overwrite {shown(goal)}, just made")
                return
            self._made.add(goal)
        if status is None or stat.S_ISREG(status.st_mode) or not walked:
            yield self._job(path, goal, walked, fresh)
        elif stat.S_ISLNK(status.st_mode):
            self._copy_link(path, goal, status)
        else:
            self._report.fail_at(path, f"not copied: it is a {kind_of(status.st_mode)}")

    def _copy_link(self, path: bytes, goal: bytes, status: os.stat_result) -> None:
        text = os.readlink(path)
        try:
            os.symlink(text, goal)
        except FileExistsError:
            self._check(path, status, goal, os.lstat(goal))
            link_over(text, goal, self.unfinished)
        os.utime(goal, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
        self._progress.add(1, 0)

    def _job(self, path: bytes, goal: bytes, walked: bool, fresh: bool) -> Task:
        # What the walk saw as a plain file must not block, should it be a pipe by now.
        flags = os.O_NOFOLLOW | os.O_NONBLOCK if walked else 0
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
            try:
                yield from self._copy_open(fd, path, goal, fresh)
            finally:
                os.close(fd)
        except OSError as error:
            self._fail(path, error)

    def _copy_open(
        self, fd: int, path: bytes, goal: bytes, fresh: bool
    ) -> Generator[None, Op, None]:
        status = os.fstat(fd)
        existing = None if fresh else self._existing(path, status, goal)
        target = Target(goal, existing, self.unfinished)
        try:
            source = Source(path, fd, status)
            copy = copy_data if stat.S_ISREG(status.st_mode) and target.regular else copy_stream
            yield from copy(self._engine, source, target.fd, self._progress)
            target.finish(status)
        finally:
            target.abandon()
        self._progress.add(1, 0)

    def _existing(self, path: bytes, status: os.stat_result, goal: bytes) -> os.stat_result | None:
        """What is there already, if it may be overwritten."""
        try:
            there = os.stat(goal)
        except FileNotFoundError:
            if os.path.islink(goal):
                raise OSError(errno.ENOENT, "is a dangling symbolic link", goal) from None
            return None
        self._check(path, status, goal, there)
        return there

    @staticmethod
    def _check(path: bytes, status: os.stat_result, goal: bytes, there: os.stat_result) -> None:
        if os.path.samestat(status, there):
            raise OSError(errno.EINVAL, f"is the same file as {shown(path)}", goal)
        if stat.S_ISDIR(there.st_mode):
            raise OSError(errno.EISDIR, "is a directory, where a file should go", goal)


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


def run(sources: Sequence[bytes], target: bytes, recursive: bool, report: Reporter) -> None:
    """Copy these files, or with `recursive` also directories, to the target or into it."""
    engine = open_engine(report)
    progress = make_progress(report, _total(sources, recursive))
    copier = _Copier(engine, report, progress)
    before = _catch_signals()
    try:
        with engine:
            engine.run(copier.tasks(sources, target, recursive))
        copier.finish_folders()
    finally:
        copier.unfinished.remove_all()
        progress.close()
        for number, handler in before.items():
            signal.signal(number, handler)

"""Where one copied file goes: never half written under its own name.

A new file, or one that replaces another, is written under a temporary name in the same folder and
renamed when it is complete. What cannot be replaced that way is written in place, as `cp` does it:
devices and pipes, files with several names, and those in folders that take no new names.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from typing import Final

__all__ = ["Target", "Unfinished", "keep_mode", "link_over"]

_IN_PLACE: Final = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_NEW_NAMES: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class Unfinished:
    """The temporary names in use, so that an interruption at any point can remove them."""

    def __init__(self) -> None:
        self._names: set[bytes] = set()
        self._numbers = itertools.count()

    def name(self, folder: bytes) -> bytes:
        """A name nobody uses, already noted: it is about to be made."""
        name = b".uring-rs.%d.%d.part" % (os.getpid(), next(self._numbers))
        path = os.path.join(folder, name)
        self._names.add(path)
        return path

    def settled(self, path: bytes) -> None:
        """It has got its final name, or was never made."""
        self._names.discard(path)

    def remove(self, path: bytes) -> None:
        """Take one away."""
        with contextlib.suppress(OSError):
            os.unlink(path)
        self._names.discard(path)

    def remove_all(self) -> None:
        """Take away all there are."""
        for path in list(self._names):
            self.remove(path)


def keep_mode(source: os.stat_result, made: os.stat_result) -> int:
    """The permission bits of a copy: those of the source, but no privilege of another owner."""
    mode = stat.S_IMODE(source.st_mode)
    if source.st_uid != made.st_uid:
        mode &= ~stat.S_ISUID
    if source.st_gid != made.st_gid:
        mode &= ~stat.S_ISGID
    return mode


def link_over(text: bytes, path: bytes, unfinished: Unfinished) -> None:
    """Put a symbolic link in the place of a file."""
    temporary = unfinished.name(os.path.dirname(path))
    try:
        os.symlink(text, temporary)
        os.rename(temporary, path)
    except BaseException:
        unfinished.remove(temporary)
        raise
    unfinished.settled(temporary)


class Target:
    """One file being made. Ends with `finish`, or with `abandon`."""

    def __init__(
        self, path: bytes, existing: os.stat_result | None, unfinished: Unfinished
    ) -> None:
        self._unfinished = unfinished
        self._temporary: bytes | None = None
        self._path = path
        self.fd = -1
        self.regular = True
        if existing is None:
            self._open_temporary()
        elif not self._replace(existing):
            self.fd = os.open(path, _IN_PLACE)
            self.regular = stat.S_ISREG(os.fstat(self.fd).st_mode)

    def _replace(self, existing: os.stat_result) -> bool:
        """Begin a replacement for this file; False if it must be written in place."""
        if not stat.S_ISREG(existing.st_mode) or existing.st_nlink > 1:
            return False
        if not os.access(self._path, os.W_OK):
            # What may not be written may not be replaced either, whatever its folder allows.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self._path)
        # Through a symbolic link, so that the link stays and what it names is replaced.
        self._path = os.path.realpath(self._path)
        try:
            self._open_temporary()
            made = os.fstat(self.fd)
            if (made.st_uid, made.st_gid) != (existing.st_uid, existing.st_gid):
                os.fchown(self.fd, existing.st_uid, existing.st_gid)
        except OSError as error:
            self.abandon()
            if error.errno not in _NO_NEW_NAMES:
                raise
            return False
        return True

    def _open_temporary(self) -> None:
        folder = os.path.dirname(self._path)
        while True:
            temporary = self._unfinished.name(folder)
            try:
                # Nobody else may read it before it has its own mode.
                self.fd = os.open(temporary, _NEW, 0o600)
            except FileExistsError:
                self._unfinished.settled(temporary)  # left by an older process of this number
            except OSError as error:
                self._unfinished.settled(temporary)
                raise OSError(error.errno, error.strerror, self._path) from None
            else:
                self._temporary = temporary
                return

    def finish(self, source: os.stat_result) -> None:
        """Give it mode, times and its final name."""
        if self.regular:
            mode = stat.S_IMODE(source.st_mode)
            if mode & (stat.S_ISUID | stat.S_ISGID):
                mode = keep_mode(source, os.fstat(self.fd))
            os.fchmod(self.fd, mode)
            os.utime(self.fd, ns=(source.st_atime_ns, source.st_mtime_ns))
        fd, self.fd = self.fd, -1
        os.close(fd)  # some file systems tell of a failed write only here
        if self._temporary is not None:
            os.rename(self._temporary, self._path)
            self._unfinished.settled(self._temporary)
            self._temporary = None

    def abandon(self) -> None:
        """Leave nothing of what has not been finished. Harmless after `finish`."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with contextlib.suppress(OSError):
                os.close(fd)
        if self._temporary is not None:
            self._unfinished.remove(self._temporary)
            self._temporary = None

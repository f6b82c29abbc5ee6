"""The exceptions of uring_rs, and the causes they name.

Two kinds of failure are kept apart. What the *ring* refuses (set-up, a full queue, the wrong
thread...) is a `UringError`, whose `cause` says which of the known reasons it was. What the
*kernel answers to a request* is the plain standard exception that the equivalent system call
would raise (`FileNotFoundError`, `ConnectionResetError`...): see `Completion.result()`.

This module imports nothing of the package, so that the compiled half may import it at any time.
"""

from __future__ import annotations

import errno as _errno
from enum import StrEnum, auto, unique
from typing import ClassVar

__all__ = [
    "Cause",
    "ForkedRing",
    "InvalidEntries",
    "RingClosed",
    "RingCorrupted",
    "SubmissionQueueFull",
    "TooManyEntries",
    "UnsupportedOperation",
    "UringError",
    "UringUnavailable",
    "WrongThread",
    "ZeroEntries",
]


@unique
class Cause(StrEnum):
    """Why a ring refused: the errno, read with the knowledge of which call returned it."""

    TOO_MANY_ENTRIES = auto()
    """More entries than io_uring_setup(2) allows."""

    ZERO_ENTRIES = auto()
    """A ring of no entries."""

    PROCESS_QUOTA = auto()
    """EMFILE: this process has too many open files."""

    SYSTEM_QUOTA = auto()
    """ENFILE: the system has too many open files."""

    MEMORY = auto()
    """ENOMEM: no memory, or RLIMIT_MEMLOCK (counted before Linux 5.12)."""

    PERMISSION = auto()
    """EPERM, EACCES: sysctl, seccomp, an LSM, or a ring's own restrictions."""

    KERNEL_TOO_OLD = auto()
    """ENOSYS: no io_uring in this kernel, or a filter that says so."""

    QUEUE_FULL = auto()
    """No free submission entry, or too many requests unfinished."""

    BAD_FD = auto()
    """EBADF: the file descriptor is not open."""

    BAD_STATE = auto()
    """EBADFD: the ring is still disabled."""

    OVERCOMMITTED = auto()
    """EBUSY: completions must be taken before more can be submitted."""

    RESOURCES = auto()
    """EAGAIN: the kernel could not allocate a request; worth a retry."""

    INVALID = auto()
    """EINVAL: an argument this kernel does not accept."""

    BAD_ADDRESS = auto()
    """EFAULT: memory outside the process."""

    SHUTTING_DOWN = auto()
    """ENXIO: the ring is being torn down."""

    UNSUPPORTED = auto()
    """EOPNOTSUPP: not supported by this file or this ring."""

    WRONG_THREAD = auto()
    """EEXIST: a single-issuer ring used from another thread."""

    DROPPED = auto()
    """EBADR: the kernel ran out of memory and lost completions."""

    INTERRUPTED = auto()
    """EINTR: a signal arrived."""

    DISABLED = auto()
    """Switched off by the environment variable URING_RS_DISABLE."""

    OTHER = auto()
    """None of these; errno says what there is to say."""

    @classmethod
    def from_errno(cls, number: int | None) -> Cause:
        """The cause that this errno stands for when a ring call returns it."""
        return _BY_ERRNO.get(number, cls.OTHER) if number is not None else cls.OTHER


# EBADFD and EBADR exist on Linux only, and this module must be importable anywhere.
_BY_ERRNO = {
    _errno.EMFILE: Cause.PROCESS_QUOTA,
    _errno.ENFILE: Cause.SYSTEM_QUOTA,
    _errno.ENOMEM: Cause.MEMORY,
    _errno.EPERM: Cause.PERMISSION,
    _errno.EACCES: Cause.PERMISSION,
    _errno.ENOSYS: Cause.KERNEL_TOO_OLD,
    _errno.EBADF: Cause.BAD_FD,
    getattr(_errno, "EBADFD", 77): Cause.BAD_STATE,
    _errno.EBUSY: Cause.OVERCOMMITTED,
    _errno.EAGAIN: Cause.RESOURCES,
    _errno.EINVAL: Cause.INVALID,
    _errno.EFAULT: Cause.BAD_ADDRESS,
    _errno.ENXIO: Cause.SHUTTING_DOWN,
    _errno.EOPNOTSUPP: Cause.UNSUPPORTED,
    _errno.EEXIST: Cause.WRONG_THREAD,
    getattr(_errno, "EBADR", 53): Cause.DROPPED,
    _errno.EINTR: Cause.INTERRUPTED,
}


class UringError(OSError):
    """The base of everything a ring refuses.

    Made as `UringError(errno, message)`: `errno`, `strerror` and `filename` are those of
    `OSError`. Without an errno (a closed ring, say) they are None.
    """

    op: str | None = None
    """The operation that was being prepared ("READ"), where there was one."""

    _known: ClassVar[Cause | None] = None  # the cause of a class that has only one
    _cause: Cause | None = None

    @property
    def cause(self) -> Cause:
        """Which of the known reasons it was.

        That of the class where it has only one, else what the raiser said, else what errno means.
        """
        return self._cause or self._known or Cause.from_errno(self.errno)

    @cause.setter
    def cause(self, value: str) -> None:
        try:
            self._cause = Cause(value.lower())
        except ValueError:
            self._cause = Cause.OTHER


class UringUnavailable(UringError):
    """The kernel, or what guards it here, refuses to make a ring.

    `probe()` tells the same without raising.
    """

    reason: str = ""
    """What stands in the way, in one sentence."""

    hint: str = ""
    """How to remove it, or empty where nothing can be done from here."""


class InvalidEntries(UringError, ValueError):
    """The number of entries asked for cannot be had."""

    _known = Cause.INVALID


class ZeroEntries(InvalidEntries):
    """A ring needs at least one entry."""

    _known = Cause.ZERO_ENTRIES


class TooManyEntries(InvalidEntries):
    """More than 32768 submission entries, or 65536 completion entries."""

    _known = Cause.TOO_MANY_ENTRIES


class SubmissionQueueFull(UringError):
    """No room for another request.

    Either `sq_full="raise"` was asked for and the queue is full, or as many requests are
    unfinished as the completion queue has entries: take completions, then go on.
    """

    _known = Cause.QUEUE_FULL


class WrongThread(UringError, RuntimeError):
    """An owned ring was used from another thread than its own. `Ring(shared=True)` allows it."""

    _known = Cause.WRONG_THREAD


class ForkedRing(UringError, RuntimeError):
    """A ring made before fork() was used in the child. Make a new one there."""

    _known = Cause.BAD_STATE


class RingClosed(UringError, ValueError):
    """The ring has been closed."""

    _known = Cause.SHUTTING_DOWN


class UnsupportedOperation(UringError, NotImplementedError):
    """The running kernel lacks this operation."""

    _known = Cause.UNSUPPORTED

    since: tuple[int, int] | None = None
    """The first kernel that has it, (6, 7) say, where that is known."""


class RingCorrupted(UringError):
    """The rings hold what no correct kernel writes; the ring takes no more work."""

    _known = Cause.DROPPED

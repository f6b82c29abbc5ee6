"""A selector on io_uring, for `selectors` and asyncio.

    import asyncio
    from uring_rs.selectors import UringSelector

    loop = asyncio.SelectorEventLoop(UringSelector())

`UringSelector` does what `selectors.EpollSelector` does, by poll requests on a ring: changes of
interest are collected and reach the kernel with the next `select`, all of them in one system call,
and timeouts are as exact as the kernel's timer. Where rings are refused it works through epoll.
"""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _native
from .availability import is_disabled
from .errors import InvalidEntries, UringError

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    from ._native import SimKernel

__all__ = ["UringSelector"]

# As it is now: a program may have us be the default selector.
_STANDARD = selectors.DefaultSelector
_EVENTS = selectors.EVENT_READ | selectors.EVENT_WRITE


class _Map(Mapping["FileDescriptorLike", selectors.SelectorKey]):
    """What `get_map` gives: keys by file object, as they are at the moment of asking."""

    def __init__(self, selector: UringSelector) -> None:
        self._selector = selector

    def __len__(self) -> int:
        return len(self._selector._keys)

    def __getitem__(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        try:
            return self._selector._keys[self._selector._lookup(fileobj)]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def __iter__(self) -> Iterator[int]:
        return iter(self._selector._keys)


class UringSelector(selectors.BaseSelector):
    """A selector whose waiting is done by io_uring.

    Register, modify, unregister and select as with any selector; level-triggered. Where a ring is
    refused (an old kernel, seccomp, a sysctl, URING_RS_DISABLE), or stops working later, the
    standard library's selector does the work instead: `backend` says which, and `reason` why.

    A descriptor should be unregistered before it is closed, as `selectors` asks for: until then the
    kernel keeps its file open, where epoll would not.

    Threads: one selects at a time, any thread; others may register, modify and unregister
    meanwhile, which the waiting thread takes notice of at once (before Linux 6.13: within 50 ms). A
    second thread that selects at the same time is served by poll(2). In a forked child everything
    is armed anew on a ring of the child's own, by its first `select`.

    Args:
        entries: submission entries of the ring, 1 to 32768: so many changes and readiness checks
            reach the kernel in one system call. More descriptors than that can be watched; the
            completion queue grows with them.
        kernel: a SimKernel to run on, for tests; its descriptors are its own.

    Raises:
        ZeroEntries, TooManyEntries: not a number of entries. A refusal is no error.
    """

    def __init__(self, entries: int = 512, *, kernel: SimKernel | None = None) -> None:
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._map: _Map | None = _Map(self)
        self._ring: _native.PollSet | None = None
        self._standard: selectors.BaseSelector | None = None
        self._reason = ""
        if is_disabled():
            self._fall_back("disabled by URING_RS_DISABLE")
            return
        try:
            self._ring = _native.PollSet(entries, kernel)
        except InvalidEntries:
            raise
        except OSError as refusal:
            self._fall_back(str(refusal))

    @property
    def backend(self) -> str:
        """What does the waiting: "io_uring", or "epoll" (elsewhere than on Linux "kqueue", ...)."""
        if self._standard is None:
            return "io_uring"
        return type(self._standard).__name__.removesuffix("Selector").lower()

    @property
    def reason(self) -> str:
        """Why it is not io_uring, in one sentence; empty if it is."""
        return self._reason

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Watch a file for EVENT_READ, EVENT_WRITE or both. Returns its key.

        Raises:
            ValueError: the events are neither, or this is no file object.
            KeyError: it is registered already.
            PermissionError: it is a regular file, or another that is always ready.
            OSError: the descriptor is not open.
        """
        if not events or events & ~_EVENTS:
            raise ValueError(f"Invalid events: {events!r}")
        fd = self._lookup(fileobj)
        keys = self._keys
        if fd in keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        # There before it is watched: another thread may be selecting.
        key = keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        try:
            if self._ring is not None:
                self._ring.add(fd, events)
            else:
                self._std().register(fileobj, events, data)
        except BaseException:
            del keys[fd]
            raise
        return key

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """Watch a file no more. Returns the key it had.

        Raises:
            KeyError: it is not registered.
        """
        try:
            key = self._keys.pop(self._lookup(fileobj))
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None
        self._forget(key)
        return key

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        """Change the events a file is watched for, or the data of its key. Returns the new key.

        Where that fails the file is watched no more, as with the standard selectors.

        Raises:
            ValueError: the events are neither EVENT_READ nor EVENT_WRITE.
            KeyError: it is not registered.
            OSError: the descriptor is not open any more, or its number is another file's.
        """
        if not events or events & ~_EVENTS:
            raise ValueError(f"Invalid events: {events!r}")
        try:
            fd = self._lookup(fileobj)
            key = self._keys[fd]
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None
        if events != key.events:
            try:
                if self._ring is not None:
                    self._ring.change(fd, events)
                else:
                    self._std().modify(key.fileobj, events, data)
            except BaseException:
                self.unregister(key.fileobj)
                raise
        elif data == key.data:
            return key
        elif self._standard is not None:
            self._standard.modify(key.fileobj, events, data)
        key = self._keys[fd] = selectors.SelectorKey(key.fileobj, fd, events, data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until something is ready, at most `timeout` seconds; for ever if that is None.

        With a timeout that is not positive: only look. Signals whose handlers do not raise do not
        end the wait.

        Returns:
            (key, events) of each file that is ready; an empty list when the time is up.
        """
        ring = self._ring
        if ring is None:
            return self._std().select(timeout)
        try:
            return ring.poll(timeout, self._keys)
        except UringError:
            if ring.broken is None:
                raise
        # As for descriptors that poll requests do not work on; rare, and the wait begins anew.
        self._fall_back(str(ring.broken))
        return self._std().select(timeout)

    def close(self) -> None:
        """Let go of the ring and of all files. They are not closed."""
        if self._ring is not None:
            self._ring.close()
        if self._standard is not None:
            self._standard.close()
        self._keys.clear()
        self._map = None

    def get_key(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        """The key of a registered file.

        Raises:
            KeyError: it is not registered.
            RuntimeError: the selector is closed.
        """
        if self._map is None:
            raise RuntimeError("Selector is closed")
        return self._map[fileobj]

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        """A mapping of file objects to keys, always up to date; None once closed."""
        return self._map  # type: ignore[return-value]  # as the standard selectors have it

    def _lookup(self, fileobj: FileDescriptorLike) -> int:
        """The descriptor of a file object, or the one it was registered with if it is closed."""
        try:
            fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        except (AttributeError, TypeError, ValueError):
            error = ValueError(f"Invalid file object: {fileobj!r}")
        else:
            if fd >= 0:
                return fd
            error = ValueError(f"Invalid file descriptor: {fd}")
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key.fd
        raise error from None

    def _forget(self, key: selectors.SelectorKey) -> None:
        if self._ring is not None:
            self._ring.remove(key.fd)
        else:
            # Closed meanwhile, or before the standard selector took over.
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._std().unregister(key.fileobj)

    def _std(self) -> selectors.BaseSelector:
        if self._standard is None:
            self._fall_back("the ring is gone")
        assert self._standard is not None
        return self._standard

    def _fall_back(self, reason: str) -> None:
        """From now on let the standard library's selector do the waiting."""
        standard = _STANDARD()
        for key in self._keys.values():
            # One that was closed would be reported no more by epoll either.
            with contextlib.suppress(KeyError, ValueError, OSError):
                standard.register(key.fileobj, key.events, key.data)
        ring, self._ring = self._ring, None
        self._standard, self._reason = standard, reason
        if ring is not None:
            ring.close()

"""What the tests of the selector share."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from uring_rs.selectors import UringSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


def ready(selector: selectors.BaseSelector, timeout: float | None = 0) -> dict[int, int]:
    """What `select` says, by descriptor; each at most once."""
    found = selector.select(timeout)
    events = {key.fd: mask for key, mask in found}
    assert len(events) == len(found), found
    return events


def on_ring(entries: int = 32) -> UringSelector:
    """A selector that really is on a ring."""
    selector = UringSelector(entries)
    assert selector.backend == "io_uring", selector.reason
    return selector


def enters(selector: UringSelector) -> int:
    """How often the kernel was entered for the selector."""
    assert selector._ring is not None
    return selector._ring.counts[0]


@contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """So many connected pairs, which do not block."""
    made = [socket.socketpair() for _ in range(count)]
    for pair in made:
        for end in pair:
            end.setblocking(False)
    try:
        yield made
    finally:
        for pair in made:
            for end in pair:
                end.close()


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe, which does not block; ends that were closed are left alone."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    names = [os.readlink(f"/proc/self/fd/{fd}") for fd in ends]
    try:
        yield ends
    finally:
        for fd, name in zip(ends, names, strict=True):
            link = f"/proc/self/fd/{fd}"
            if os.path.lexists(link) and os.readlink(link) == name:
                os.close(fd)

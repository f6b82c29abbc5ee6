"""Small steps that the tests of this folder share."""

from __future__ import annotations

import os
import socket

import pytest

import uring_rs

# 4096 bytes, no two of which are equal within 256.
CONTENT = bytes(range(256)) * 16

Pair = tuple[socket.socket, socket.socket]


def one(ring: uring_rs.Ring) -> uring_rs.Completion:
    """Submit, wait for a completion, and take it: there must be exactly one."""
    return several(ring, 1)[0]


def several(ring: uring_rs.Ring, count: int) -> list[uring_rs.Completion]:
    """Submit, wait for so many completions, and take them: there must be no more."""
    ring.submit(wait=count)
    found = ring.reap()
    assert len(found) == count, found
    return found


def results(ring: uring_rs.Ring, count: int) -> dict[object, int]:
    """As several: what each user_data came to, for requests whose order is the kernel's affair."""
    found = several(ring, count)
    by_tag = {cqe.user_data: cqe.res for cqe in found}
    assert len(by_tag) == count, found
    return by_tag


def failed(cqe: uring_rs.Completion, kind: type[OSError], number: int) -> OSError:
    """The completion failed with this errno, and says so as the standard library would."""
    assert cqe.res == -number, cqe
    with pytest.raises(OSError, match=rf"\({cqe.op}\)$") as caught:
        cqe.result()
    assert type(caught.value) is kind
    assert caught.value.errno == number
    return caught.value


def idle(ring: uring_rs.Ring) -> None:
    """Nothing staged, in flight or unread: what was refused left nothing behind."""
    assert (ring.in_flight, ring.sq_ready, ring.cq_ready) == (0, 0, 0)
    assert ring.stray_completions == 0


class Pipe:
    """Both ends of a pipe."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()

    def feed(self, data: bytes = b"x") -> None:
        """Make the reading end readable."""
        assert os.write(self.into, data) == len(data)

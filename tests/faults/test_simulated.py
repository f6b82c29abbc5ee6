"""Rings of Python objects on the simulated kernel: each call fails, each request ends otherwise.

Whatever happens, every buffer and every object that a request kept is let go of exactly once.
"""

from __future__ import annotations

import errno
import gc
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

import uring_rs
from uring_rs import SimKernel, SqeFlags

pytestmark = pytest.mark.once

DATA = bytes(range(200)) * 2

ENTER = [errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOMEM, errno.EBADF, errno.EFAULT,
         errno.EINVAL, errno.ENXIO, errno.EPERM, errno.EACCES, errno.ENOSYS]  # fmt: skip
REGISTER = [errno.EINVAL, errno.EPERM, errno.ENOMEM, errno.EBUSY, errno.EINTR, errno.EAGAIN,
            errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP]  # fmt: skip
SETUP = [errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.EMFILE, errno.EINVAL, errno.EACCES]
MAP = [errno.ENOMEM, errno.EAGAIN, errno.EPERM, errno.ENODEV]
CALLS: dict[str, list[Any]] = {
    "enter": [*ENTER, "interrupt", "wake", ("short", 0), ("short", 1), ("short", 2)],
    "register": REGISTER,
    "setup": SETUP,
    "map": MAP,
}
REQUESTS: list[tuple[str, int]] = [
    *(("result", -code) for code in (errno.EIO, errno.EINTR, errno.EAGAIN, errno.ECANCELED)),
    ("result", 1), ("result", 0), ("late", 1), ("late", 2_000_000), ("twice", 0),
    ("more_after_end", 0), ("stranger", 0x7000_0000_0000_0700), ("stranger", 2**64 - 1 - 2**63),
]  # fmt: skip


class Token:
    """What a request keeps beside its buffer."""


class Bench:
    """What was given to requests, to see that it comes back."""

    def __init__(self, kernel: SimKernel) -> None:
        self.kernel = kernel
        self.buffers: list[bytearray] = []
        self.tokens: list[weakref.ref[Token]] = []
        self.seen: list[int] = []

    def buffer(self, size: int) -> bytearray:
        self.buffers.append(bytearray(size))
        return self.buffers[-1]

    def token(self) -> Token:
        token = Token()
        self.tokens.append(weakref.ref(token))
        return token

    def check(self, fds: list[int]) -> None:
        """Everything is let go of, and the kernel has nothing of it."""
        gc.collect()
        for buffer in self.buffers:
            buffer.append(0)
        assert [token for token in self.tokens if token() is not None] == []
        assert self.kernel.violations == []
        assert (self.kernel.live_maps, self.kernel.in_flight) == (0, 0)
        assert self.kernel.open_fds == fds


def take(ring: uring_rs.Ring, bench: Bench, most: int) -> None:
    """Take what completes, waiting for it if need be."""
    for _ in range(200):
        for cqe in ring.reap():
            bench.seen.append(id(cqe.request))
            if cqe.op == "READ" and cqe.res > 0:
                assert cqe.user_data is not None
        if ring.in_flight <= most:
            return
        ring.submit(wait=1)
    raise AssertionError("nothing ends")


def script(bench: Bench, shared: bool) -> None:
    """Requests of many kinds, and a close in the middle of the last."""
    kernel = bench.kernel
    fd, (reader, writer) = kernel.file("data", DATA), kernel.pipe()
    try:
        with uring_rs.Ring(4, shared=shared, kernel=kernel) as ring:
            for offset in range(6):
                into = bench.buffer(16)
                ring.prep_read(fd, into, offset, user_data=bench.token())
            ring.prep_write(fd, bytes(bench.buffer(8)), 300, flags=SqeFlags.IO_LINK)
            ring.prep_read(fd, bench.buffer(8), 0, user_data=bench.token())
            take(ring, bench, 0)
            slow = ring.prep_read(reader, bench.buffer(8), user_data=bench.token())
            poll = ring.prep_poll_add(reader, 1, multishot=True, user_data=bench.token())
            ring.prep_timeout(0.001, user_data=bench.token())
            ring.submit(wait=1)
            kernel.feed(reader, b"abc")
            while poll.live:
                # A cancellation may fail as any other request.
                ring.prep_cancel(poll, user_data=bench.token())
                take(ring, bench, 1)
                take(ring, bench, int(poll.live))
            take(ring, bench, 0)
            assert slow.live is False
            (handle,) = ring.register_buffers([bench.buffer(64)])
            ring.prep_read_fixed(fd, handle, 0, 8, user_data=bench.token())
            take(ring, bench, 0)
            del handle
            ring.unregister_buffers()
            for _ in range(3):
                ring.prep_read(reader, bench.buffer(8), user_data=bench.token())
            ring.submit()
            ring.prep_nop(user_data=bench.token())
    finally:
        for each in (fd, reader, writer):
            kernel.close(each)


def attempt(kernel: SimKernel, shared: bool) -> list[int]:
    """One run: the errnos that were told."""
    bench, told = Bench(kernel), []
    try:
        script(bench, shared)
    except OSError as error:
        told.append(error.errno or 0)
        # Its traceback has the frames of the script, with all that was in them.
        error.__traceback__ = None
        del error
    bench.check([])
    return told


def each_time(plan: Callable[[SimKernel, int], None], shared: bool) -> Iterator[list[int]]:
    """Run with the fault at the first place, the second, ..., until there is no such place."""
    for nth in count():
        kernel = SimKernel(nth, cold_percent=50)
        plan(kernel, nth)
        told = attempt(kernel, shared)
        if kernel.faults_left:
            return
        yield told
        # And later work succeeds.
        assert attempt(kernel, shared) == []
    raise AssertionError("it never ends")


@pytest.mark.parametrize("shared", [False, True])
def test_nothing_fails(shared: bool) -> None:
    assert attempt(SimKernel(1), shared) == []


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_each_call_fails(call: str, shared: bool) -> None:
    happened = 0
    for action in CALLS[call]:

        def plan(kernel: SimKernel, nth: int, action: Any = action) -> None:
            kernel.fail_call(call, nth, action)

        for told in each_time(plan, shared):
            happened += 1
            harmless = action in (errno.EINTR, errno.EBUSY) or not isinstance(action, int)
            if call == "enter" and harmless and action != ("short", 0):
                assert told == [], action
            expected = errno.EAGAIN if action == ("short", 0) else action
            assert set(told) <= {expected}, (action, told)
    assert happened > 3


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("what", "value"), REQUESTS)
def test_each_request_ends_otherwise(what: str, value: int, shared: bool) -> None:
    def plan(kernel: SimKernel, nth: int) -> None:
        kernel.fail_request(nth, what, value)

    happened = sum(told == [] for told in each_time(plan, shared))
    assert happened > 10

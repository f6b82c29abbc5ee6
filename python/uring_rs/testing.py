"""Helpers for testing programs that use rings: a simulated kernel, faults, a leak check.

    from uring_rs.testing import SimRing, leak_check

    def test_a_short_read_is_continued():
        with SimRing(8, seed=1) as ring, leak_check(ring):
            fd = ring.kernel.file("data", b"0123456789")
            ring.faults.transfer(4)                # the next request moves 4 bytes at most
            assert read_all(ring, fd) == b"0123456789"

A `SimKernel` behaves as Linux does as far as Linux promises anything, chooses by its seed where
it does not, and never sleeps: time is virtual. Its descriptors are its own: make them with
`kernel.file`, `kernel.pipe` and `kernel.socketpair`. Equal seeds and equal calls give equal
results, so a failure under one seed can be run again.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator
from typing import Any, Self

from ._native import Ring, SimKernel

__all__ = ["Faults", "Leak", "SimKernel", "SimRing", "leak_check"]


class Leak(AssertionError):
    """What `leak_check` raises: something is still held that should have been let go of."""


class Faults:
    """Things that go wrong in a simulated kernel, planned one at a time.

    `nth` counts from the moment of planning: 0 is the very next call, or the very next request
    the kernel takes. `left` tells how many planned faults have not happened yet.
    """

    def __init__(self, kernel: SimKernel) -> None:
        self._kernel = kernel

    @property
    def left(self) -> int:
        """Planned faults that have not happened yet."""
        return self._kernel.faults_left

    def enter(self, errno: int, *, nth: int = 0) -> None:
        """An io_uring_enter(2) fails with `errno` and does nothing: EAGAIN, EBUSY, ENOMEM..."""
        self._kernel.fail_call("enter", nth, errno)

    def setup(self, errno: int, *, nth: int = 0) -> None:
        """An io_uring_setup(2) fails with `errno`: making a ring is refused."""
        self._kernel.fail_call("setup", nth, errno)

    def register(self, errno: int, *, nth: int = 0) -> None:
        """An io_uring_register(2) fails with `errno`."""
        self._kernel.fail_call("register", nth, errno)

    def submit_only(self, count: int, *, nth: int = 0) -> None:
        """An enter takes at most `count` of the entries it is given (0: it fails with EAGAIN)."""
        self._kernel.fail_call("enter", nth, ("short", count))

    def interrupt(self, *, nth: int = 0) -> None:
        """A signal ends the wait of an enter."""
        self._kernel.fail_call("enter", nth, "interrupt")

    def wake_early(self, *, nth: int = 0) -> None:
        """The wait of an enter ends early, with what completions there are."""
        self._kernel.fail_call("enter", nth, "wake")

    def request(self, errno: int, *, nth: int = 0) -> None:
        """A request is not carried out, and ends with `errno`."""
        if errno <= 0:
            raise ValueError("errno must be positive, as those of the errno module")
        self._kernel.fail_request(nth, "result", -errno)

    def transfer(self, nbytes: int, *, nth: int = 0) -> None:
        """A read or write moves at most `nbytes`."""
        if nbytes < 0:
            raise ValueError("nbytes must not be negative")
        self._kernel.fail_request(nth, "result", nbytes)

    def late(self, seconds: float, *, nth: int = 0) -> None:
        """The last completion of a request comes so many virtual seconds late."""
        if seconds < 0:
            raise ValueError("seconds must not be negative")
        self._kernel.fail_request(nth, "late", int(seconds * 1e9))


class SimRing(Ring):
    """A ring on a simulated kernel.

    Args:
        entries: submission entries, as for Ring.
        seed: decides everything Linux leaves open, completion order above all.
        linux: the kernel to be like, (5, 11) or newer; (6, 18) is the default.
        kernel: an existing SimKernel, to have several rings on one; then `seed` and `linux`
            must be left alone.
        ring: everything else that Ring takes: cq_entries, flags, shared, sq_full, trace...

    `kernel` and `faults` are there to make files, let time pass, and let things go wrong.
    """

    kernel: SimKernel
    """The simulated kernel: its files, its time."""

    faults: Faults
    """What is to go wrong in it."""

    def __new__(
        cls,
        entries: int = 8,
        *,
        seed: int | None = None,
        linux: tuple[int, int] | None = None,
        kernel: SimKernel | None = None,
        **ring: Any,
    ) -> Self:
        if kernel is None:
            kernel = SimKernel(seed or 0, linux=linux)
        elif seed is not None or linux is not None:
            raise TypeError("seed and linux are chosen when the kernel is made")
        self = super().__new__(cls, entries, kernel=kernel, **ring)
        self.kernel = kernel
        self.faults = Faults(kernel)
        return self


def _descriptors() -> dict[int, str]:
    """The open descriptors of this process, with what each names."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        # The one that listed the folder is closed by now.
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _still_held(what: Ring | SimKernel, fds_before: list[int]) -> Iterator[str]:
    if isinstance(what, Ring):
        if what.in_flight:
            yield f"{what!r} has {what.in_flight} requests in flight"
        if what.stray_completions:
            yield f"{what!r} got {what.stray_completions} completions that nobody asked for"
        return
    if what.in_flight:
        yield f"the simulated kernel has {what.in_flight} requests in flight"
    if left := sorted(set(what.open_fds) - set(fds_before)):
        yield f"simulated descriptors left open: {left}"
    yield from (f"done to the simulated kernel: {what}" for what in what.violations)


@contextlib.contextmanager
def leak_check(*watched: Ring | SimKernel) -> Iterator[None]:
    """Raise Leak unless the block leaves everything as it found it.

    At the end of the block, after a collection, the process must have the same descriptors open
    as before it; each Ring given must have no request in flight; each SimKernel given must have
    the same simulated descriptors, no request in flight, and never have been misused. Nothing is
    checked when the block raises: the exception says more.

    Args:
        watched: rings and simulated kernels to look at besides.
    """
    kernels = [what.open_fds if isinstance(what, SimKernel) else [] for what in watched]
    before = _descriptors()
    yield
    gc.collect()
    after = _descriptors()
    found = [f"{fd} -> {name}" for fd, name in after.items() if before.get(fd) != name]
    leaks = [f"descriptors left open: {', '.join(found)}"] if found else []
    if gone := [fd for fd in before if fd not in after]:
        leaks.append(f"descriptors closed that the block did not open: {gone}")
    for what, fds in zip(watched, kernels, strict=True):
        leaks += _still_held(what, fds)
    if leaks:
        raise Leak("; ".join(leaks))

"""The two machines: all rules on the running kernel, and on a simulated one, in which moreover
things go wrong."""

from __future__ import annotations

import errno
from typing import Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

import uring_rs

from .rules import DRAIN, Rules, few, open_ring
from .worlds import RealWorld, SimWorld

sizes = st.sampled_from([(1, None), (2, None), (4, None), (8, None), (8, 8), (1, 1), (4, 64)])


class RealMachine(Rules):
    """A ring of the running kernel."""

    @initialize(size=sizes, shared=st.booleans(), full=st.sampled_from(["submit", "raise"]))
    def begin(
        self, size: tuple[int, int | None], shared: bool, full: Literal["submit", "raise"]
    ) -> None:
        self.world = RealWorld()
        self.open(*size, shared, full)


class SimMachine(Rules):
    """A ring of a simulated kernel, in which things go wrong."""

    @initialize(
        size=sizes,
        shared=st.booleans(),
        full=st.sampled_from(["submit", "raise"]),
        seed=st.integers(0, 2**32),
        linux=st.sampled_from([(6, 18), (6, 18), (6, 12), (5, 19), (5, 15), (5, 11)]),
        cold=st.sampled_from([0, 50]),
        start=st.sampled_from([None, 0, 2**32 - 1, 2**31 - 2]),
    )
    def begin(
        self,
        size: tuple[int, int | None],
        shared: bool,
        full: Literal["submit", "raise"],
        seed: int,
        linux: tuple[int, int],
        cold: int,
        start: int | None,
    ) -> None:
        self.world = SimWorld(seed, linux, cold, start)
        if linux < (6, 0):
            # All cancellations of such a kernel are requests, and wait behind a drain themselves:
            # with an earlier request that never ends, a close never does.
            self.allowed = 0xFF & ~DRAIN
        self.open(*size, shared, full)

    @property
    def kernel(self) -> uring_rs.SimKernel:
        assert self.world.kernel is not None
        return self.world.kernel

    @precondition(open_ring)
    @rule(seconds=st.sampled_from([1e-6, 1e-4, 0.002, 4000.0]))
    def advance(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: open_ring(self) and self.planned() < 3)
    @rule(
        nth=st.integers(0, 2),
        what=st.sampled_from(
            [errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOMEM, "interrupt", "wake"]
        ),
    )
    def fail_enter(self, nth: int, what: int | str) -> None:
        self.kernel.fail_call("enter", nth, what)

    @precondition(lambda self: open_ring(self) and self.planned() < 3)
    @rule(nth=st.integers(0, 2), count=st.integers(0, 4))
    def short_submit(self, nth: int, count: int) -> None:
        self.kernel.fail_call("enter", nth, ("short", count))

    @precondition(lambda self: open_ring(self) and self.model.queue)
    @rule(
        which=few,
        what=st.sampled_from(["error", "short", "late"]),
        late=st.sampled_from([1000, 1_000_000, 30_000_000]),
        size=st.sampled_from([4, 8, 16]),
    )
    def fail_request(self, which: int, what: str, late: int, size: int) -> None:
        """Plan the fate of a request that is in the queue, and so is sure to be taken."""
        nth = which % len(self.model.queue)
        req = self.model.queue[nth]
        if what == "short" and not req.size:
            return
        value = {"error": -errno.EIO, "short": size, "late": late}[what]
        self.kernel.fail_request(nth, "late" if what == "late" else "result", value)
        plan = ("late" if what == "late" else "result", value)
        self.model.planned[len(self.model.taken) + nth] = plan

"""Batches, runs and single requests in any mix, on the simulated kernel with its faults and on the
running one: every tag once, every byte in its place, and the account of requests always even."""

from __future__ import annotations

import contextlib
import errno
import struct
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import uring_rs
from helpers.ringmodel.worlds import RealWorld, SimWorld

ALL = settings().max_examples
LONG_ENOUGH = pytest.mark.timeout(120 + ALL * 0.4)

WORDS = 4096
FILE = struct.pack(f"<{WORDS}I", *range(WORDS))

UNWRITTEN = -(10**6)
"""No result is this."""

SLOW_MAX = 8
"""At most so many reads that wait for data, half of the smallest completion queue."""


class Step(NamedTuple):
    """One thing to do, with numbers whose meaning depends on what."""

    what: str
    a: int = 0
    b: int = 0


COUNTS = st.one_of(st.integers(0, 12), st.sampled_from([16, 17, 31, 40, 130, 300]))
DOING = [
    st.builds(Step, st.just("nops"), COUNTS),
    st.builds(Step, st.just("reads"), COUNTS, st.integers(0, WORDS - 301)),
    st.builds(Step, st.just("slow"), st.integers(1, 4)),
    st.builds(Step, st.just("feed"), st.integers(1, 4)),
    st.builds(Step, st.just("single"), st.integers(1, 5)),
    st.builds(Step, st.just("link"), st.integers(1, 3)),
    st.builds(Step, st.just("submit")),
    st.builds(Step, st.just("wait"), st.integers(1, 40)),
    st.builds(Step, st.just("iterate")),
    st.builds(Step, st.just("peek")),
    st.builds(Step, st.just("reap"), st.sampled_from([0, 1, 3, 64])),
    st.builds(Step, st.just("discard")),
    st.builds(Step, st.just("run nops"), COUNTS, st.integers(0, 20)),
    st.builds(Step, st.just("run reads"), COUNTS, st.integers(0, 20)),
    st.builds(Step, st.just("run writes"), COUNTS, st.integers(0, 20)),
]
CALL_FAULTS: list[Any] = [
    errno.EAGAIN, errno.EINTR, errno.EBUSY, "interrupt", "wake", ("short", 0), ("short", 1),
    ("short", 5),
]  # fmt: skip
EXTRAS = ["twice", "more_after_end", "stranger"]
FAULTS = [
    st.builds(Step, st.just("call fault"), st.integers(0, 5), st.sampled_from(range(8))),
    st.builds(Step, st.just("extra"), st.integers(0, 30), st.sampled_from(range(3))),
    st.builds(Step, st.just("late"), st.integers(0, 30), st.integers(1, 10**7)),
]


class Account:
    """A ring, what was asked of it, and what came of it."""

    def __init__(self, world: SimWorld | RealWorld, ring: uring_rs.Ring) -> None:
        self.world = world
        self.ring = ring
        self.file, _ = world.file("words", FILE)
        self.target, _ = world.file("target", bytes(len(FILE)))
        self.source = world.source(stream=False)
        self.total = 0
        """Requests that were staged and not taken back."""
        self.tags: dict[int, str] = {}
        """What each tag that may still come stands for."""
        self.tokens: set[int] = set()
        self.next = 1
        self.seen = 0
        self.slow = 0
        self.fed = 0
        self.broken: list[tuple[array[int], bytearray]] = []
        """Results and buffers of runs that did not get to their end."""
        self.silent_before = 0
        self.buffers: list[tuple[bytearray, int, int]] = []
        self.plans: dict[int, str] = {}
        """What is planned for a request, by its number among those the kernel takes."""

    # Asking.

    def do(self, step: Step) -> None:
        name = "do_" + step.what.replace(" ", "_")
        try:
            getattr(self, name)(step.a, step.b)
        except uring_rs.SubmissionQueueFull:
            event(f"full: {step.what}")
            self.reconcile()
        except uring_rs.UringError as error:
            # Only where that was planned.
            if error.errno != errno.EAGAIN or self.world.kernel is None:
                raise
            event(f"refused: {step.what}")
            self.reconcile()
        except ValueError as error:
            # The queue is full of one chain, and nothing fits behind it.
            if "a chain of linked requests must fit" not in str(error):
                raise
            assert self.balance() == 0
        self.check()

    def reconcile(self) -> None:
        """After a failure nobody knows how many were staged; but nothing is lost from here on."""
        self.total += self.balance()

    def begin(self, kind: str, count: int) -> int:
        """Tags for so many."""
        first = self.next
        self.next += count
        self.tags.update(dict.fromkeys(range(first, first + count), kind))
        return first

    def staged(self, first: int, count: int, asked: int) -> None:
        assert count <= asked
        self.total += count
        for tag in range(first + count, first + asked):
            del self.tags[tag]

    def do_nops(self, count: int, _: int) -> None:
        first = self.begin("nop", count)
        self.staged(first, self.ring.prep_nop_batch(count, tag=first), count)

    def do_reads(self, count: int, at: int) -> None:
        first = self.begin("read", count)
        buf = bytearray(4 * count)
        offsets = array("q", range(4 * at, 4 * (at + count), 4))
        self.buffers.append((buf, first, at))
        taken = self.ring.prep_read_batch(self.file, buf, offsets, 4, tag=first)
        self.staged(first, taken, count)

    def do_slow(self, count: int, _: int) -> None:
        if self.slow + count > SLOW_MAX:
            return
        self.slow += count
        first = self.begin("slow", count)
        buf = bytearray(4 * count)
        taken = self.ring.prep_read_batch(self.source.fd, buf, [-1] * count, tag=first)
        self.slow -= count - taken
        self.staged(first, taken, count)

    def do_feed(self, count: int, _: int) -> None:
        # No more than is asked for, or later reads would not be slow.
        count = min(count, self.slow - self.fed)
        if count > 0:
            self.fed += count
            self.world.feed(self.source, count)

    def do_single(self, count: int, _: int) -> None:
        for _ in range(count):
            token, self.next = self.next, self.next + 1
            self.tokens.add(token)
            self.ring.prep_nop(token)
            self.total += 1

    def do_link(self, count: int, _: int) -> None:
        for _ in range(count):
            token, self.next = self.next, self.next + 1
            self.tokens.add(token)
            self.ring.prep_nop(token, flags=uring_rs.SqeFlags.IO_LINK)
            self.total += 1

    # Going on.

    def do_submit(self, _: int, __: int) -> None:
        self.ring.submit()

    def do_wait(self, count: int, _: int) -> None:
        had = self.ring.wait(count, timeout=0.001)
        assert had <= self.ready()

    def do_discard(self, _: int, __: int) -> None:
        self.total -= self.ring.discard()
        # How many reads are still to be fed is not known any more.
        self.settle_slow()

    def settle_slow(self) -> None:
        while self.ring.in_flight and self.slow > self.fed:
            self.do_feed(1, 0)

    # Looking.

    def do_iterate(self, _: int, __: int) -> None:
        for cqe in self.ring:
            self.see_single(cqe)

    def do_peek(self, _: int, __: int) -> None:
        shown = self.ring.peek()
        # With nothing shown, something may come in between.
        assert shown is None or shown is self.ring.peek()

    def see_single(self, cqe: uring_rs.Completion) -> None:
        assert cqe.res in (0, -errno.ECANCELED)
        assert not cqe.more
        self.tokens.remove(cqe.user_data)
        self.seen += 1

    def do_reap(self, room: int, _: int) -> None:
        records = bytearray(uring_rs.CQE_SIZE * room)
        count = self.ring.reap_into(records)
        assert count <= room
        self.seen += count
        for tag, res, flags in list(struct.iter_unpack(uring_rs.CQE_FORMAT, records))[:count]:
            assert flags & uring_rs.CqeFlags.MORE == 0
            self.see_row(tag, res)

    def see_row(self, tag: int, res: int) -> None:
        kind = self.tags.pop(tag)
        if kind == "slow" and res > 0:
            self.slow -= 1
            self.fed -= 1
        assert res == {"nop": 0, "read": 4, "slow": 4}[kind] or res == -errno.ECANCELED
        for buf, first, at in self.buffers:
            if res == 4 and first <= tag < first + len(buf) // 4:
                row = tag - first
                assert buf[4 * row : 4 * row + 4] == FILE[4 * (at + row) : 4 * (at + row + 1)]

    # Running.

    def do_run_nops(self, count: int, depth: int) -> None:
        results = array("i", [UNWRITTEN] * count)
        self.run(results, bytearray(), lambda: self.ring.run_nops(
            count, results=results, depth=depth or None))  # fmt: skip
        assert list(results) == [0] * count

    def do_run_reads(self, count: int, depth: int) -> None:
        results = array("i", [UNWRITTEN] * count)
        buf = bytearray(4 * count)
        self.run(results, buf, lambda: self.ring.run_reads(
            self.file, buf, range(0, 4 * count, 4), 4, results=results, depth=depth or None
        ))  # fmt: skip
        self.first_may_be_cancelled(results)
        assert buf == FILE[: 4 * count] or results[0] < 0

    def do_run_writes(self, count: int, depth: int) -> None:
        results = array("i", [UNWRITTEN] * count)
        buf = bytearray(FILE[: 4 * count])
        self.run(results, buf, lambda: self.ring.run_writes(
            self.target, buf, range(0, 4 * count, 4), 4, results=results, depth=depth or None
        ))  # fmt: skip
        self.first_may_be_cancelled(results)
        if count and results[0] == 4:
            assert self.world.contents("target", self.target)[: 4 * count] == buf

    def first_may_be_cancelled(self, results: Sequence[int]) -> None:
        """It ends the chain that was open, if one was."""
        assert all(res == 4 for res in results[1:])
        assert not results or results[0] in (4, -errno.ECANCELED)

    def run(self, results: array[int], buf: bytearray, call: Any) -> None:
        before = self.balance()
        assert before == 0
        try:
            assert call() is results
        except uring_rs.UringError:
            # Its rows in flight will end without a word.
            self.silent_before += sum(res != UNWRITTEN for res in results)
            self.broken.append((results, buf))
            raise
        # Nothing holds them any more.
        results.append(0)
        del results[-1]
        buf.append(0)
        del buf[-1]

    # The account.

    def silent(self) -> int:
        """Rows of broken runs that have ended since."""
        written = sum(res != UNWRITTEN for results, _ in self.broken for res in results)
        return written - self.silent_before

    def ready(self) -> int:
        """What can be had now. To look for it may itself meet a planned fault."""
        for _ in self.plans_of_calls():
            with contextlib.suppress(uring_rs.UringError):
                return self.ring.cq_ready
        return self.ring.cq_ready

    def plans_of_calls(self) -> range:
        return range(self.world.kernel.faults_left if self.world.kernel is not None else 0)

    def balance(self) -> int:
        """Requests that there are more than there should be."""
        ready = self.ready()
        return self.ring.in_flight + ready + self.seen + self.silent() - self.total

    def check(self) -> None:
        assert self.balance() == 0
        assert self.ring.in_flight <= self.ring.cq_entries
        assert self.ring.sq_ready <= self.ring.in_flight
        assert self.ring.stray_completions <= len(self.plans)

    def finish(self) -> None:
        """Let all end, and look at everything."""
        if self.world.kernel is not None:
            # What is planned may hit what comes now.
            for _ in range(400):
                if not self.world.kernel.faults_left:
                    break
                self.do(Step("run nops", 1))
                self.do(Step("iterate"))
        for _ in range(10_000):
            self.settle_slow()
            self.do(Step("wait", 1000))
            self.do(Step("iterate"))
            self.do(Step("reap", 64))
            if not (self.ring.in_flight or self.ready()):
                break
        self.check()
        assert self.ring.in_flight == 0
        assert self.seen + self.silent() == self.total
        assert self.ring.stray_completions == self.extras()
        for results, buf in self.broken:
            results.append(0)
            buf.append(0)
        for buf, _, _ in self.buffers:
            buf.append(0)

    def extras(self) -> int:
        """Completions that the kernel made up."""
        if self.world.kernel is None:
            return 0
        taken = len(self.world.kernel.submitted)
        return sum(nth < taken and what in EXTRAS for nth, what in self.plans.items())


class SimAccount(Account):
    """With faults."""

    def do_call_fault(self, nth: int, which: int) -> None:
        assert self.world.kernel is not None
        self.world.kernel.fail_call("enter", nth, CALL_FAULTS[which])

    def do_extra(self, nth: int, which: int) -> None:
        # A stranger has the key of a batch that is none.
        self.plan(nth, EXTRAS[which], 3 | 0xABC << 32)

    def do_late(self, nth: int, by: int) -> None:
        self.plan(nth, "late", by)

    def plan(self, nth: int, what: str, value: int) -> None:
        assert self.world.kernel is not None
        self.world.kernel.fail_request(nth, what, value)
        self.plans[len(self.world.kernel.submitted) + nth] = what


def some(part: float) -> settings:
    return settings(
        max_examples=int(ALL * part),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


RINGS = st.fixed_dictionaries(
    {
        "entries": st.sampled_from([1, 2, 8, 64]),
        "cq_entries": st.sampled_from([16, 64, 256]),
        "shared": st.booleans(),
        "sq_full": st.sampled_from(["submit", "submit", "raise"]),
    }
)


def opened(choice: dict[str, Any], kernel: uring_rs.SimKernel | None) -> uring_rs.Ring:
    choice["cq_entries"] = max(choice["cq_entries"], choice["entries"])
    return uring_rs.Ring(choice.pop("entries"), kernel=kernel, **choice)


@LONG_ENOUGH
@some(1.0)
@given(
    seed=st.integers(0, 2**32),
    linux=st.sampled_from([(6, 18), (6, 1), (5, 19)]),
    cold=st.sampled_from([0, 50, 100]),
    start=st.sampled_from([0, 2**32 - 20]),
    choice=RINGS,
    steps=st.lists(st.one_of(*DOING, *FAULTS), min_size=1, max_size=60),
)
def test_on_the_simulated_kernel(
    seed: int,
    linux: tuple[int, int],
    cold: int,
    start: int,
    choice: dict[str, Any],
    steps: list[Step],
) -> None:
    world = SimWorld(seed, linux, cold, start)
    with opened(choice, world.kernel) as ring:
        account = SimAccount(world, ring)
        for step in steps:
            account.do(step)
        account.finish()
    world.finish()


@LONG_ENOUGH
@pytest.mark.requires_op("NOP")
@some(0.5)
@given(choice=RINGS, steps=st.lists(st.one_of(*DOING), min_size=1, max_size=60))
def test_on_the_running_kernel(choice: dict[str, Any], steps: list[Step]) -> None:
    world = RealWorld()
    with opened(choice, None) as ring:
        account = Account(world, ring)
        for step in steps:
            account.do(step)
        account.finish()
    world.finish()

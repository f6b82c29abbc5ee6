"""One shared ring, several threads: nothing lost, nothing doubled, every thread's chains in order
and never mixed with another's."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs import SqeFlags

ALL = settings().max_examples

plans = st.lists(
    st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans()), max_size=12),
    min_size=2,
    max_size=4,
)
"""For each thread its chains: how long, whether it reaps after it, whether by waiting."""


def work(
    ring: uring_rs.Ring,
    plan: list[tuple[int, bool, bool]],
    me: int,
    taking: threading.Lock,
    taken: list[tuple[int, int, int]],
) -> None:
    """Prepare the chains of one thread, and take completions, whosever they are."""
    for number, (length, takes, waits) in enumerate(plan):
        for position in range(length):
            linked = SqeFlags.IO_LINK if position < length - 1 else 0
            prepare(ring, (me, number, position), int(linked), taking, taken)
        if waits:
            ring.submit(wait=1, timeout=0.001)
        if takes:
            take(ring, taking, taken)


def prepare(
    ring: uring_rs.Ring,
    token: tuple[int, int, int],
    flags: int,
    taking: threading.Lock,
    taken: list[tuple[int, int, int]],
) -> None:
    """As many requests are unfinished as can be? Then something must be finished first."""
    while True:
        try:
            ring.prep_nop(token, flags=flags)
        except uring_rs.SubmissionQueueFull:
            ring.submit(wait=1, timeout=0.001)
            take(ring, taking, taken)
        else:
            return


def take(ring: uring_rs.Ring, taking: threading.Lock, taken: list[tuple[int, int, int]]) -> None:
    """One at a time, so that the order in which they are handed out is known."""
    while True:
        with taking:
            cqe = ring.pop()
            if cqe is None:
                return
            assert cqe.res == 0
            taken.append(cqe.user_data)


def run(ring: uring_rs.Ring, plans: list[list[tuple[int, bool, bool]]]) -> None:
    taking, taken = threading.Lock(), list[tuple[int, int, int]]()
    failed: list[BaseException] = []

    def guarded(me: int, plan: list[tuple[int, bool, bool]]) -> None:
        try:
            work(ring, plan, me, taking, taken)
            ring.submit()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(me, plan)) for me, plan in enumerate(plans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    expected = Counter(
        (me, number, position)
        for me, plan in enumerate(plans)
        for number, (length, _, _) in enumerate(plan)
        for position in range(length)
    )
    while len(taken) < expected.total():
        ring.submit(wait=1, timeout=5.0)
        before = len(taken)
        take(ring, taking, taken)
        assert len(taken) > before, f"lost: {expected - Counter(taken)}"
    assert Counter(taken) == expected
    for me, plan in enumerate(plans):
        for number in range(len(plan)):
            chain = [position for whose, which, position in taken if (whose, which) == (me, number)]
            assert chain == sorted(chain), "a chain out of order"
    assert ring.in_flight == 0
    assert ring.stray_completions == 0


@settings(max_examples=max(10, ALL // 20))
@given(plans, st.sampled_from([2, 4, 8]))
@pytest.mark.requires_op("NOP")
def test_threads_on_the_running_kernel(
    plans: list[list[tuple[int, bool, bool]]], entries: int
) -> None:
    # A chain needs as many entries as it has requests.
    with uring_rs.Ring(max(entries, 4), shared=True) as ring:
        run(ring, plans)


@settings(max_examples=max(10, ALL // 20))
@given(plans, st.sampled_from([4, 8]), st.integers(0, 2**32))
def test_threads_on_a_simulated_kernel(
    plans: list[list[tuple[int, bool, bool]]], entries: int, seed: int
) -> None:
    kernel = uring_rs.SimKernel(seed, patience_ms=2_000)
    with uring_rs.Ring(entries, shared=True, kernel=kernel) as ring:
        run(ring, plans)
    assert kernel.violations == []
    # Nobody's entry got into the middle of somebody else's chain.
    keys = [key for _, key in kernel.submitted if key & 0xFF == 0]
    assert len(keys) == len(set(keys))

"""A kernel that breaks its promises: what it says twice, too late or about nobody is counted and
harms nobody, and what it never says is waited for no longer than the caller wants."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs import UringError

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

ALL = settings().max_examples


class Token:
    """A user_data that can be watched."""


strangers = st.integers(2**62, 2**63 - 1).map(lambda key: key & ~0xFF)
"""Keys of slots that were used far more often than these tests use any."""

lies = st.one_of(
    st.tuples(st.just("twice"), st.just(0)),
    st.tuples(st.just("more_after_end"), st.just(0)),
    st.tuples(st.just("stranger"), strangers),
    st.tuples(st.just("lie"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("late"), st.integers(0, 10**9)),
)
STRAY = {"twice", "more_after_end", "stranger"}


@settings(max_examples=max(10, ALL // 10))
@given(
    st.lists(lies, min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.integers(0, 2**32),
)
def test_lies(lies: list[tuple[str, int]], reads: list[bool], seed: int) -> None:
    kernel = uring_rs.SimKernel(seed)
    fd = kernel.file("file", bytes(range(64)))
    for nth, (what, value) in enumerate(lies):
        kernel.fail_request(nth, what, value)
    buffers = [bytearray(8) for _ in lies]
    tokens: dict[int, Token] = {}
    came: Counter[int] = Counter()
    with uring_rs.Ring(4, kernel=kernel) as ring:
        for number, buffer in enumerate(buffers):
            tokens[number] = Token()
            if reads[number]:
                ring.prep_read(fd, buffer, 0, user_data=tokens[number])
            else:
                ring.prep_nop(tokens[number])
        while sum(came.values()) < len(lies):
            for cqe in ring.completions(1, 2.0):
                (number,) = [n for n, token in tokens.items() if token is cqe.user_data]
                came[number] += 1
                what, value = lies[number]
                assert cqe.res == (value if what == "lie" else 8 * reads[number])
        assert ring.reap() == []
        assert ring.in_flight == 0
        assert ring.stray_completions == sum(what in STRAY for what, _ in lies)
        assert came == Counter(range(len(lies)))
        for buffer in buffers:
            buffer.clear()
    refs = [weakref.ref(token) for token in tokens.values()]
    tokens.clear()
    del cqe
    assert [ref() for ref in refs] == [None] * len(refs)
    kernel.close(fd)
    assert (kernel.violations, kernel.open_fds, kernel.live_maps) == ([], [], 0)


@settings(max_examples=max(5, ALL // 50))
@given(st.integers(0, 3), st.integers(0, 2**32))
def test_a_completion_that_is_lost(nth: int, seed: int) -> None:
    """Its buffer stays locked, for ever if need be: who knows what the kernel does with it."""
    kernel = uring_rs.SimKernel(seed)
    fd = kernel.file("file", bytes(64))
    kernel.fail_request(nth, "lost")
    buffers = [bytearray(8) for _ in range(4)]
    ring = uring_rs.Ring(4, kernel=kernel)
    for number, buffer in enumerate(buffers):
        ring.prep_read(fd, buffer, 0, user_data=number)
    with pytest.raises(UringError) as caught:
        ring.submit(wait=4, timeout=1.0)
        ring.wait(4, timeout=1.0)
    assert caught.value.cause == uring_rs.Cause.DROPPED
    assert sorted(cqe.user_data for cqe in ring) == [n for n in range(4) if n != nth]
    assert ring.in_flight == 1
    with pytest.raises(BufferError):
        buffers[nth].clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ring.close(timeout=0.1)
        del ring
        gc.collect()
    assert {warning.category for warning in said} == {ResourceWarning}
    with pytest.raises(BufferError):
        buffers.pop(nth).clear()
    for buffer in buffers:
        buffer.clear()
    assert kernel.live_maps > 0

"""TIMEOUT, TIMEOUT_REMOVE and its update forms, LINK_TIMEOUT.

Times are either zero, or so long that the test would fail by its own limit before they were up:
what is tested is which event comes, not how long it takes.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from fractions import Fraction

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, results, several
from uring_rs import Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("TIMEOUT", "TIMEOUT_REMOVE", "LINK_TIMEOUT")

LONG = 10_000
CLOCKS = {
    "monotonic": time.CLOCK_MONOTONIC,
    "boottime": time.CLOCK_BOOTTIME,
    "realtime": time.CLOCK_REALTIME,
}
ETIME = errno.ETIME
CANCELED = -errno.ECANCELED


# --- when the time is up


def test_relative(ring: uring_rs.Ring) -> None:
    before = time.monotonic()
    ring.prep_timeout(0.02, user_data="t")
    cqe = one(ring)
    assert time.monotonic() - before >= 0.02
    assert (cqe.user_data, cqe.op, cqe.more) == ("t", "TIMEOUT", False)
    failed(cqe, OSError, ETIME)
    idle(ring)


@pytest.mark.parametrize("seconds", [0, 0.0, 1e-9, Fraction(1, 1000), True])
def test_kinds_of_numbers(ring: uring_rs.Ring, seconds: float) -> None:
    ring.prep_timeout(seconds)
    assert one(ring).res == -ETIME


def test_the_shorter_one_first(ring: uring_rs.Ring) -> None:
    ring.prep_timeout(0.02, user_data="second")
    ring.prep_timeout(0, user_data="first")
    ring.submit(wait=2)
    assert [cqe.user_data for cqe in ring] == ["first", "second"]


@pytest.mark.parametrize("clock", CLOCKS)
def test_absolute_on_each_clock(ring: uring_rs.Ring, clock: str) -> None:
    """A past time is up at once; a future one is not, on that clock and not on another."""
    now = time.clock_gettime(CLOCKS[clock])
    ring.prep_timeout(now + LONG, absolute=True, clock=clock, user_data="future")
    ring.prep_timeout(now + 0.01, absolute=True, clock=clock, user_data="soon")
    assert results(ring, 1) == {"soon": -ETIME}
    assert time.clock_gettime(CLOCKS[clock]) >= now + 0.01
    assert ring.in_flight == 1


@pytest.mark.parametrize("clock", CLOCKS)
def test_relative_on_each_clock(ring: uring_rs.Ring, clock: str) -> None:
    ring.prep_timeout(LONG, clock=clock, user_data="long")
    ring.prep_timeout(0.001, clock=clock, user_data="short")
    assert results(ring, 1) == {"short": -ETIME}
    assert ring.in_flight == 1


def test_expiry_breaks_a_link_or_not(ring: uring_rs.Ring) -> None:
    ring.prep_timeout(0, user_data="t", flags=SqeFlags.IO_LINK)
    ring.prep_nop("n")
    assert results(ring, 2) == {"t": -ETIME, "n": CANCELED}
    ring.prep_timeout(0, etime_success=True, user_data="t", flags=SqeFlags.IO_LINK)
    ring.prep_nop("n")
    assert results(ring, 2) == {"t": -ETIME, "n": 0}


# --- after so many completions


@pytest.mark.parametrize("count", [1, 2, 5])
def test_count(ring: uring_rs.Ring, count: int) -> None:
    ring.prep_timeout(LONG, count=count, user_data="t")
    ring.submit()
    for tag in range(count - 1):
        ring.prep_nop(tag)
        assert one(ring).user_data == tag
    ring.prep_nop("last")
    assert results(ring, 2) == {"last": 0, "t": 0}
    idle(ring)


def test_count_counts_what_is_swallowed(ring: uring_rs.Ring) -> None:
    ring.prep_timeout(LONG, count=1, user_data="t")
    ring.submit()
    ring.prep_nop("n", flags=SqeFlags.CQE_SKIP_SUCCESS)
    assert results(ring, 1) == {"t": 0}


def test_the_time_is_up_before_the_count(ring: uring_rs.Ring) -> None:
    ring.prep_timeout(0, count=5)
    assert one(ring).res == -ETIME


# --- remove and update


def test_remove(ring: uring_rs.Ring) -> None:
    request = ring.prep_timeout(LONG, user_data="t")
    ring.submit()
    ring.prep_timeout_remove(request, user_data="r")
    found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert (found["r"].result(), found["r"].op) == (0, "TIMEOUT_REMOVE")
    failed(found["t"], OSError, errno.ECANCELED)
    idle(ring)


def test_remove_too_late(ring: uring_rs.Ring) -> None:
    request = ring.prep_timeout(0)
    one(ring)
    ring.prep_timeout_remove(request)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    ring.prep_timeout_update(request, 0)
    failed(one(ring), FileNotFoundError, errno.ENOENT)


def test_remove_is_for_timeouts_only(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_read(pipe.out, bytearray(1))
    ring.submit()
    ring.prep_timeout_remove(request)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    assert ring.is_live(request)


def test_update_to_sooner_and_to_later(ring: uring_rs.Ring) -> None:
    request = ring.prep_timeout(LONG, user_data="t")
    ring.submit()
    ring.prep_timeout_update(request, LONG / 2, user_data="u")
    assert results(ring, 1) == {"u": 0}
    ring.prep_timeout_update(request, 0, user_data="u")
    assert results(ring, 2) == {"u": 0, "t": -ETIME}


@pytest.mark.parametrize("clock", CLOCKS)
def test_update_stays_on_the_clock(ring: uring_rs.Ring, clock: str) -> None:
    now = time.clock_gettime(CLOCKS[clock])
    request = ring.prep_timeout(now + LONG, absolute=True, clock=clock, user_data="t")
    ring.submit()
    ring.prep_timeout_update(request, now + 2 * LONG, absolute=True, user_data="u")
    assert results(ring, 1) == {"u": 0}
    ring.prep_timeout_update(request, now, absolute=True, user_data="u")
    assert results(ring, 2) == {"u": 0, "t": -ETIME}


def test_another_rings_request(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring]
) -> None:
    request = make_ring(4).prep_timeout(LONG)
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_timeout_remove(request)
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_timeout_update(request, 0)
    idle(ring)


# --- link timeouts


def test_link_timeout_runs_out(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="read", flags=SqeFlags.IO_LINK)
    ring.prep_link_timeout(0.001, user_data="limit")
    assert results(ring, 2) == {"read": CANCELED, "limit": -ETIME}
    idle(ring)


def test_link_timeout_in_time(ring: uring_rs.Ring, pipe: Pipe) -> None:
    pipe.feed()
    ring.prep_read(pipe.out, bytearray(1), user_data="read", flags=SqeFlags.IO_LINK)
    ring.prep_link_timeout(LONG, user_data="limit")
    assert results(ring, 2) == {"read": 1, "limit": CANCELED}


@pytest.mark.parametrize("clock", CLOCKS)
def test_link_timeout_absolute(ring: uring_rs.Ring, pipe: Pipe, clock: str) -> None:
    now = time.clock_gettime(CLOCKS[clock])
    ring.prep_read(pipe.out, bytearray(1), user_data="read", flags=SqeFlags.IO_LINK)
    ring.prep_link_timeout(now + 0.001, absolute=True, clock=clock, user_data="limit")
    assert results(ring, 2) == {"read": CANCELED, "limit": -ETIME}
    ring.prep_read(pipe.out, bytearray(1), user_data="read", flags=SqeFlags.IO_LINK)
    ring.prep_link_timeout(now + LONG, absolute=True, clock=clock, user_data="limit")
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    assert results(ring, 2) == {"read": 1, "limit": CANCELED}


def test_link_timeout_in_the_middle_of_a_chain(ring: uring_rs.Ring, pipe: Pipe) -> None:
    pipe.feed()
    ring.prep_read(pipe.out, bytearray(1), user_data=1, flags=SqeFlags.IO_LINK)
    ring.prep_link_timeout(LONG, user_data="limit", flags=SqeFlags.IO_LINK)
    ring.prep_nop(2)
    assert results(ring, 3) == {1: 1, "limit": CANCELED, 2: 0}


def test_link_timeout_without_a_link(ring: uring_rs.Ring) -> None:
    ring.prep_link_timeout(LONG)
    failed(one(ring), OSError, errno.EINVAL)


def test_update_of_a_link_timeout(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="read", flags=SqeFlags.IO_LINK)
    limit = ring.prep_link_timeout(LONG, user_data="limit")
    ring.submit()
    ring.prep_timeout_update(limit, LONG * 2, user_data="later")
    assert results(ring, 1) == {"later": 0}
    ring.prep_timeout_update(limit, 0, user_data="now")
    assert results(ring, 3) == {"now": 0, "limit": -ETIME, "read": CANCELED}
    idle(ring)


def test_update_of_a_link_timeout_absolute(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="read", flags=SqeFlags.IO_LINK)
    limit = ring.prep_link_timeout(LONG, clock="realtime", user_data="limit")
    ring.submit()
    ring.prep_timeout_update(limit, time.time() + LONG, absolute=True, user_data="later")
    assert results(ring, 1) == {"later": 0}
    ring.prep_timeout_update(limit, time.time(), absolute=True, user_data="now")
    assert results(ring, 3) == {"now": 0, "limit": -ETIME, "read": CANCELED}


# --- what is refused


def test_bad_times(ring: uring_rs.Ring) -> None:
    calls: list[Callable[..., object]] = [
        ring.prep_timeout,
        ring.prep_link_timeout,
        lambda seconds: ring.prep_timeout_update(request, seconds),
    ]
    request = ring.prep_timeout(LONG)
    ring.discard()
    for call in calls:
        for negative in (-1, -0.001, float("nan"), float("-inf")):
            with pytest.raises(ValueError, match="negative"):
                call(negative)
        for huge in (float("inf"), 1e300, 2**63, 2**64, 10**30):
            with pytest.raises(OverflowError):
                call(huge)
        for wrong in ("1", None, [1], 1j):
            with pytest.raises(TypeError):
                call(wrong)
    idle(ring)


@pytest.mark.parametrize("clock", ["", "MONOTONIC", "wall", "cpu"])
def test_bad_clocks(ring: uring_rs.Ring, clock: str) -> None:
    for prep in (ring.prep_timeout, ring.prep_link_timeout):
        with pytest.raises(ValueError, match="clock must be"):
            prep(1, clock=clock)  # type: ignore[operator]
    with pytest.raises(TypeError):
        ring.prep_timeout(1, clock=1)  # type: ignore[arg-type]
    idle(ring)


def test_bad_counts(ring: uring_rs.Ring) -> None:
    for count in (-1, 2**32):
        with pytest.raises(ValueError, match="count must be"):
            ring.prep_timeout(1, count=count)
    idle(ring)


# --- again and again


def test_multishot_ends_by_count(ring: uring_rs.Ring) -> None:
    request = ring.prep_timeout(0.001, multishot=True, count=4, user_data="t")
    ring.submit()
    seen = []
    while request.live:
        cqe = ring.wait_cqe()
        assert (cqe.user_data, cqe.res) == ("t", -ETIME)
        seen.append(cqe.more)
    assert seen == [True, True, True, False]
    idle(ring)


def test_multishot_goes_on_until_cancelled(ring: uring_rs.Ring) -> None:
    request = ring.prep_timeout(0.001, multishot=True, user_data="t")
    for _ in range(10):
        ring.submit(wait=1)
        cqe = ring.wait_cqe()
        assert (cqe.res, cqe.more) == (-ETIME, True)
    ring.prep_timeout_remove(request, user_data="r")
    ring.submit()
    while request.live:
        ring.wait()
        last = {cqe.user_data: (cqe.res, cqe.more) for cqe in ring}
    assert last["t"] == (CANCELED, False)


def test_multishot_keeps_its_distance(ring: uring_rs.Ring) -> None:
    before = time.monotonic()
    ring.prep_timeout(0.005, multishot=True, count=4)
    ring.submit(wait=4)
    assert time.monotonic() - before >= 0.02


def test_multishot_of_another_clock_and_as_an_entry(ring: uring_rs.Ring) -> None:
    sqe = Sqe.timeout(0.001, multishot=True, count=2, clock="boottime", etime_success=True)
    ring.push(sqe)
    assert [cqe.res for cqe in several(ring, 2)] == [-ETIME] * 2


def test_multishot_faster_than_anybody_reaps(ring: uring_rs.Ring) -> None:
    """It does not keep a call that takes what there is."""
    request = ring.prep_timeout(0, multishot=True, user_data="t")
    ring.submit(wait=3)
    for _ in range(3):
        assert {(cqe.user_data, cqe.res) for cqe in ring.reap()} <= {("t", -ETIME)}
    assert len(ring.reap(5)) <= 5
    if not request.live:  # there was no room for its next one
        ring.prep_timeout(0, multishot=True)
    ring.submit(wait=1)
    ring.close()
    for cqe in ring:
        assert cqe.res in (-ETIME, CANCELED)


def test_multishot_cannot_be_absolute(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="absolute"):
        ring.prep_timeout(time.monotonic(), multishot=True, absolute=True)
    idle(ring)


def test_nanoseconds(ring: uring_rs.Ring) -> None:
    """For clocks whose time a float cannot tell exactly."""
    before = time.monotonic_ns()
    ring.prep_timeout(ns=20_000_001, user_data="relative")
    ring.prep_timeout(ns=before + 10_000_000, absolute=True, user_data="absolute")
    late = ring.prep_timeout(100, user_data="updated")
    ring.prep_timeout_update(late, ns=30_000_000, user_data="update")
    ring.submit(wait=4)
    assert time.monotonic_ns() - before >= 30_000_000
    assert {cqe.user_data: cqe.res for cqe in ring} == {
        "relative": -errno.ETIME,
        "absolute": -errno.ETIME,
        "updated": -errno.ETIME,
        "update": 0,
    }
    for call in (ring.prep_timeout, ring.prep_link_timeout):
        with pytest.raises(TypeError, match="seconds, or ns"):
            call()
        with pytest.raises(TypeError, match="not both"):
            call(1, ns=1)
        for wrong in (1.5, "1", [1]):
            with pytest.raises(TypeError, match="ns must be an int"):
                call(ns=wrong)  # type: ignore[arg-type]
        for wrong in (-1, 2**63):
            with pytest.raises(ValueError, match="ns"):
                call(ns=wrong)
    assert ring.sq_ready == 0

"""Staging, flush, discard, submit with and without waiting, raw enter; full queues."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import uring_rs
from conformance.kit import Pipe, idle, one, results, several
from uring_rs import Cause, EnterFlags, SubmissionQueueFull

pytestmark = pytest.mark.requires_op("NOP", "READ", "TIMEOUT")

GETEVENTS = EnterFlags.GETEVENTS


def read(ring: uring_rs.Ring, pipe: Pipe, tag: object = "read") -> uring_rs.Request:
    return ring.prep_read(pipe.out, bytearray(1), user_data=tag)


# --- staging


def test_staged_requests(ring: uring_rs.Ring) -> None:
    requests = [ring.prep_nop(tag) for tag in range(3)]
    assert (ring.sq_ready, ring.sq_space, ring.in_flight, ring.cq_ready) == (3, 13, 3, 0)
    assert all(ring.is_live(request) for request in requests)
    assert ring.pop() is None
    assert ring.submit() == 3
    assert (ring.sq_ready, ring.sq_space) == (0, 16)
    assert [cqe.user_data for cqe in ring] == [0, 1, 2]
    assert not any(ring.is_live(request) for request in requests)
    idle(ring)


def test_submit_of_nothing(ring: uring_rs.Ring) -> None:
    assert ring.submit() == 0
    assert ring.submit(wait=0, timeout=0) == 0


def test_submit_is_by_position_or_name(ring: uring_rs.Ring) -> None:
    ring.prep_nop(1)
    assert ring.submit(1) == 1
    ring.prep_nop(2)
    assert ring.submit(1, 5.0) == 1
    assert [cqe.user_data for cqe in ring] == [1, 2]


def test_flush_shows_without_entering(ring: uring_rs.Ring) -> None:
    for tag in range(3):
        ring.prep_nop(tag)
    assert ring.flush() == 3
    assert (ring.sq_ready, ring.cq_ready) == (3, 0)
    assert ring.discard() == 0  # the kernel may have seen them: too late
    ring.prep_nop(3)
    assert ring.flush() == 4
    assert ring.submit() == 4
    assert [cqe.user_data for cqe in ring] == [0, 1, 2, 3]


def test_discard(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(4)
    request = ring.prep_read(pipe.out, buf)
    ring.prep_nop()
    assert ring.discard() == 2
    assert not ring.is_live(request)
    buf.append(0)
    idle(ring)
    assert ring.discard() == 0
    ring.prep_nop("next")
    assert one(ring).user_data == "next"
    pipe.feed()  # nobody reads it


def test_discard_leaves_what_is_submitted(ring: uring_rs.Ring, pipe: Pipe) -> None:
    read(ring, pipe)
    ring.submit()
    ring.prep_nop("staged")
    assert ring.discard() == 1
    pipe.feed()
    assert results(ring, 1) == {"read": 1}


def test_a_failed_builder_stages_nothing(ring: uring_rs.Ring) -> None:
    ring.prep_nop("before")
    for _ in range(100):
        with pytest.raises(TypeError):
            ring.prep_read("file", bytearray(1))  # type: ignore[arg-type]
    ring.prep_nop("after")
    assert [cqe.user_data for cqe in several(ring, 2)] == ["before", "after"]
    idle(ring)


def test_an_exception_in_the_body_discards(shared: bool, pipe: Pipe) -> None:
    ring = uring_rs.Ring(4, shared=shared)

    def body() -> None:
        with ring:
            ring.prep_write(pipe.into, b"never")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        body()
    assert ring.closed
    os.set_blocking(pipe.out, False)
    with pytest.raises(BlockingIOError):
        os.read(pipe.out, 100)


# --- waiting


def test_submit_and_wait(ring: uring_rs.Ring, pipe: Pipe) -> None:
    read(ring, pipe)
    ring.prep_nop("nop")
    assert ring.submit(wait=1) == 2
    assert ring.cq_ready == 1
    feeder = threading.Thread(target=pipe.feed)
    feeder.start()
    assert ring.submit(wait=2) == 0
    feeder.join()
    assert {cqe.user_data for cqe in ring} == {"nop", "read"}


def test_a_wait_counts_what_is_there_already(ring: uring_rs.Ring) -> None:
    for tag in range(4):
        ring.prep_nop(tag)
    ring.submit()
    assert ring.wait(1) == 4
    assert ring.wait(4) == 4
    assert ring.submit(wait=3) == 0


def test_wait_submits(ring: uring_rs.Ring) -> None:
    ring.prep_nop()
    assert ring.wait() == 1
    ring.prep_nop()
    assert ring.wait(min=0) >= 1
    assert ring.sq_ready == 0


def test_submit_counts_what_it_had_to_submit_first(
    make_ring: Callable[..., uring_rs.Ring],
) -> None:
    """A shared ring keeps an unfinished chain apart, and here there is no room for it; an owned
    one makes room while it is prepared."""
    ring = make_ring(2)
    ring.prep_nop(0)
    ring.prep_nop(1)
    ring.prep_nop(2, flags=uring_rs.SqeFlags.IO_LINK)
    assert ring.submit() == (3 if ring.shared else 1)
    assert results(ring, 3) == {0: 0, 1: 0, 2: 0}


def test_timeout_of_a_wait(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Not an error: fewer completions are the answer."""
    read(ring, pipe)
    ring.prep_nop("nop")
    before = time.monotonic()
    assert ring.submit(wait=2, timeout=0.02) == 2
    assert time.monotonic() - before >= 0.02
    assert ring.wait(2, 0.01) == 1
    assert ring.wait(2, timeout=0) == 1
    assert ring.submit(wait=2, timeout=0) == 0
    assert [cqe.user_data for cqe in ring] == ["nop"]
    pipe.feed()
    assert ring.wait(1, timeout=float("inf")) == 1


def test_no_timeout_where_nothing_lacks(ring: uring_rs.Ring) -> None:
    ring.prep_nop()
    assert ring.wait(1, timeout=0) == 1


def test_completions_come_before_the_timeout(ring: uring_rs.Ring) -> None:
    ring.prep_timeout(0.01)
    before = time.monotonic()
    assert ring.wait(1, timeout=1000) == 1
    assert time.monotonic() - before < 500


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": 1e300}, OverflowError),
        ({"timeout": "1"}, TypeError),
    ],
)
def test_bad_timeouts(
    ring: uring_rs.Ring, arguments: dict[str, Any], error: type[Exception]
) -> None:
    ring.prep_nop("staged")
    calls: list[Callable[..., object]] = [
        ring.submit,
        ring.wait,
        ring.wait_cqe,
        ring.completions,
    ]
    for call in calls:
        with pytest.raises(error):
            call(**arguments)
    assert one(ring).user_data == "staged"


@pytest.mark.parametrize("count", [-1, 2**32, "1", 1.0])
def test_bad_counts(ring: uring_rs.Ring, count: Any) -> None:
    for call in (ring.submit, ring.wait, ring.completions, ring.enter):
        with pytest.raises((OverflowError, TypeError)):
            call(count)
    idle(ring)


# --- raw enter


def test_enter(ring: uring_rs.Ring) -> None:
    for tag in range(3):
        ring.prep_nop(tag)
    assert ring.enter(2) == 2
    assert ring.sq_ready == 1
    assert [cqe.user_data for cqe in ring] == [0, 1]
    assert ring.enter(1, 1, GETEVENTS) == 1
    assert [cqe.user_data for cqe in ring] == [2]
    assert ring.enter(0) == 0
    assert ring.enter(10) == 0
    idle(ring)


def test_enter_waits(ring: uring_rs.Ring, pipe: Pipe) -> None:
    read(ring, pipe)
    assert ring.enter(1) == 1
    feeder = threading.Thread(target=pipe.feed)
    feeder.start()
    assert ring.enter(0, 1, GETEVENTS) == 0
    assert ring.cq_ready == 1
    feeder.join()


@pytest.mark.parametrize(
    "flags", [EnterFlags.ABS_TIMER, EnterFlags.REGISTERED_RING, EnterFlags.EXT_ARG_REG, 1 << 30]
)
def test_enter_flags_that_need_an_argument(ring: uring_rs.Ring, flags: int) -> None:
    ring.prep_nop("staged")
    with pytest.raises(ValueError, match="ABS_TIMER|REGISTERED_RING|EXT_ARG_REG|enter takes"):
        ring.enter(1, 0, flags)
    assert one(ring).user_data == "staged"


# --- full queues


def test_full_queue_submits_by_default(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    for tag in range(4):
        ring.prep_nop(tag)
    assert (ring.sq_ready, ring.sq_space) == (4, 0)
    ring.prep_nop(4)
    assert ring.sq_ready == 1
    assert [cqe.user_data for cqe in several(ring, 5)] == [0, 1, 2, 3, 4]


def test_full_queue_raises_if_asked_to(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4, sq_full="raise")
    buf = bytearray(4)
    for tag in range(4):
        ring.prep_nop(tag)
    for _ in range(2):
        with pytest.raises(SubmissionQueueFull, match="submit first") as caught:
            ring.prep_read(0, buf)
        assert caught.value.cause == Cause.QUEUE_FULL
        assert caught.value.errno == errno.EBUSY
    buf.append(0)  # no lock was left on it
    assert (ring.sq_ready, ring.in_flight) == (4, 4)
    assert ring.submit() == 4
    ring.prep_nop(4)
    assert [cqe.user_data for cqe in several(ring, 5)] == [0, 1, 2, 3, 4]


def test_sq_wait(ring: uring_rs.Ring) -> None:
    assert ring.sq_wait() == 16
    for tag in range(16):
        ring.prep_nop(tag)
    assert ring.sq_space == 0
    assert ring.sq_wait() == 16
    assert [cqe.user_data for cqe in several(ring, 16)] == list(range(16))


def test_sq_wait_submits_even_where_full_queues_raise(
    make_ring: Callable[..., uring_rs.Ring],
) -> None:
    ring = make_ring(2, sq_full="raise")
    for tag in range(2):
        ring.prep_nop(tag)
    assert ring.sq_wait() == 2
    ring.prep_nop(2)
    assert [cqe.user_data for cqe in several(ring, 3)] == [0, 1, 2]


@pytest.mark.parametrize("sq_full", ["submit", "raise"])
def test_unfinished_requests_are_bounded(
    make_ring: Callable[..., uring_rs.Ring], pipe: Pipe, sq_full: str
) -> None:
    """By the completion queue, which therefore cannot overflow."""
    ring = make_ring(4, cq_entries=8, sq_full=sq_full)
    for tag in range(8):
        read(ring, pipe, tag)
        ring.submit()
    buf = bytearray(4)
    for _ in range(2):
        with pytest.raises(SubmissionQueueFull, match="8 requests are in flight") as caught:
            ring.prep_read(pipe.out, buf)
        assert caught.value.cause == Cause.QUEUE_FULL
    buf.append(0)
    assert ring.in_flight == 8
    pipe.feed()
    assert ring.wait(1) == 1
    assert ring.in_flight == 7
    read(ring, pipe, 8)  # the completion need not even be read
    pipe.feed(b"x" * 8)
    assert set(results(ring, 9).values()) == {1}


def test_what_has_completed_makes_room(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4, cq_entries=4)
    for tag in range(100):
        ring.prep_nop(tag)
    ring.submit()
    assert [cqe.user_data for cqe in ring] == list(range(100))


def test_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    request = ring.prep_nop("discarded")
    sqe = uring_rs.Sqe.nop()
    ring.close()
    calls: list[Callable[[], object]] = [
        ring.submit,
        ring.flush,
        ring.discard,
        ring.wait,
        ring.wait_cqe,
        ring.completions,
        ring.sq_wait,
        ring.flush_overflow,
        ring.fileno,
        ring.prep_nop,
        ring.__enter__,
        ring.wake,
        lambda: ring.enter(0),
        lambda: ring.push(sqe),
        lambda: ring.push_many([sqe]),
        lambda: ring.prep_read(0, bytearray(1)),
    ]
    for call in calls:
        with pytest.raises(uring_rs.RingClosed, match="closed") as caught:
            call()
        assert isinstance(caught.value, ValueError)
    assert ring.closed
    assert not ring.is_live(request)
    assert (ring.sq_space, ring.sq_ready, ring.cq_ready, ring.in_flight) == (0, 0, 0, 0)
    assert (ring.sq_entries, ring.cq_entries) == (4, 8)
    assert (ring.pop(), ring.peek(), ring.reap(), list(ring)) == (None, None, [], [])
    ring.close()  # once more does nothing

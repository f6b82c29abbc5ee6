"""Taking completions: peek, pop, reap, iteration, wait_cqe, completions; overflow; watching."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, several
from uring_rs import SetupFlags

pytestmark = pytest.mark.requires_op("NOP", "READ", "POLL_ADD")

IN = select.POLLIN


def nops(ring: uring_rs.Ring, count: int) -> None:
    for tag in range(count):
        ring.prep_nop(tag)
    ring.submit(wait=count)


def test_iteration_takes_what_is_there_and_never_waits(ring: uring_rs.Ring, pipe: Pipe) -> None:
    assert list(ring) == []
    ring.prep_read(pipe.out, bytearray(1))
    nops(ring, 3)
    assert iter(ring) is ring
    assert [cqe.user_data for cqe in ring] == [0, 1, 2]
    assert list(ring) == []
    with pytest.raises(StopIteration):
        next(ring)


@pytest.mark.parametrize("look", ["pop", "peek", "next", "reap"])
def test_deferred_work_is_seen_without_a_wait(ring: uring_rs.Ring, pipe: Pipe, look: str) -> None:
    """Where the kernel holds completions back until the thread asks, it shows that it does."""
    if not ring.flags & SetupFlags.TASKRUN_FLAG:
        pytest.skip("a ring without SetupFlags.TASKRUN_FLAG holds nothing back")
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    # Nobody has entered the kernel since, so that only the flag can tell.
    ways = {"pop": ring.pop, "peek": ring.peek, "next": ring.__next__, "reap": ring.reap}
    found = ways[look]()
    cqe = found[0] if isinstance(found, list) else found
    assert isinstance(cqe, uring_rs.Completion)
    assert (cqe.user_data, cqe.res) == ("read", 1)


def test_iteration_can_be_left_and_taken_up_again(ring: uring_rs.Ring) -> None:
    nops(ring, 4)
    for cqe in ring:
        assert cqe.user_data == 0
        break
    assert ring.cq_ready == 3
    assert [cqe.user_data for cqe in ring] == [1, 2, 3]


def test_new_requests_during_iteration(ring: uring_rs.Ring) -> None:
    nops(ring, 1)
    seen = []
    for cqe in ring:
        seen.append(cqe.user_data)
        if len(seen) < 100:
            ring.prep_nop(len(seen))
            ring.submit()
    assert seen == list(range(100))


def test_peek_leaves_it(ring: uring_rs.Ring) -> None:
    assert ring.peek() is None
    nops(ring, 2)
    first = ring.peek()
    assert first is not None
    assert first.user_data == 0
    assert ring.peek() is first
    assert ring.cq_ready == 2
    assert ring.pop() is first
    second = ring.peek()
    assert second is not None
    assert second.user_data == 1
    assert next(ring) is second
    assert ring.peek() is None
    idle(ring)


@pytest.mark.parametrize(
    "take",
    [
        lambda ring: ring.pop(),
        next,
        lambda ring: ring.reap(1)[0],
        lambda ring: ring.wait_cqe(),
        lambda ring: next(iter(ring.completions())),
    ],
    ids=["pop", "next", "reap", "wait_cqe", "completions"],
)
def test_every_way_takes_the_peeked_one_first(
    ring: uring_rs.Ring, take: Callable[[uring_rs.Ring], uring_rs.Completion]
) -> None:
    nops(ring, 3)
    first = ring.peek()
    assert take(ring) is first
    assert take(ring).user_data == 1
    assert take(ring).user_data == 2
    assert ring.pop() is None


def test_pop(ring: uring_rs.Ring) -> None:
    assert ring.pop() is None
    nops(ring, 2)
    assert [cqe and cqe.user_data for cqe in (ring.pop(), ring.pop(), ring.pop())] == [0, 1, None]


def test_reap(ring: uring_rs.Ring) -> None:
    assert ring.reap() == []
    nops(ring, 5)
    assert ring.reap(0) == []
    assert [cqe.user_data for cqe in ring.reap(2)] == [0, 1]
    assert [cqe.user_data for cqe in ring.reap(max=100)] == [2, 3, 4]
    nops(ring, 3)
    assert [cqe.user_data for cqe in ring.reap()] == [0, 1, 2]
    with pytest.raises(OverflowError):
        ring.reap(-1)
    with pytest.raises(TypeError):
        ring.reap("all")  # type: ignore[arg-type]


def test_reap_in_between(ring: uring_rs.Ring) -> None:
    """Order holds over all the ways of taking."""
    nops(ring, 10)
    ring.peek()
    order = [*ring.reap(3), ring.pop(), next(ring), ring.wait_cqe(), *ring]
    assert [cqe.user_data for cqe in order if cqe] == list(range(10))


def test_wait_cqe(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_nop("nop")
    assert ring.wait_cqe().user_data == "nop"  # it submits, too
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match="no completion in time"):
            ring.wait_cqe(timeout)
    feeder = threading.Thread(target=pipe.feed)
    feeder.start()
    assert ring.wait_cqe(timeout=None).user_data == "read"
    feeder.join()
    idle(ring)


def test_completions(ring: uring_rs.Ring, pipe: Pipe) -> None:
    for tag in range(3):
        ring.prep_nop(tag)
    assert [cqe.user_data for cqe in ring.completions()] == [0, 1, 2]
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.prep_nop("nop")
    assert [cqe.user_data for cqe in ring.completions(min=2, timeout=0.01)] == ["nop"]
    pipe.feed()
    assert [cqe.user_data for cqe in ring.completions(1)] == ["read"]


def test_held_back_completions_count(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """A ring that defers its work has completions to be had before the kernel shows them."""
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.submit()
    assert ring.cq_ready == 0
    pipe.feed()
    assert ring.cq_ready == 1
    cqe = ring.pop()
    assert cqe is not None
    assert cqe.user_data == "read"


def test_close_leaves_completions_to_be_read(shared: bool, pipe: Pipe) -> None:
    ring = uring_rs.Ring(8, shared=shared)
    nops(ring, 2)
    assert ring.peek() is not None
    ring.prep_read(pipe.out, bytearray(1), user_data="cancelled")
    ring.submit()
    ring.close()
    assert ring.cq_ready == 3
    assert [cqe.user_data for cqe in ring] == [0, 1, "cancelled"]
    assert list(ring) == []


# --- watching the ring's descriptor


@pytest.mark.parametrize("kind", ["poll", "epoll", "select"])
def test_readable_when_there_are_completions(ring: uring_rs.Ring, pipe: Pipe, kind: str) -> None:
    def readable(timeout: float | None) -> bool:
        if kind == "select":
            return bool(select.select([ring], [], [], timeout)[0])
        watch = select.poll() if kind == "poll" else select.epoll()
        watch.register(ring, IN)
        try:
            return bool(watch.poll(timeout if timeout is None else int(timeout * 1000)))
        finally:
            if kind == "epoll":
                watch.close()  # type: ignore[union-attr]

    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.submit()
    assert not readable(0)
    pipe.feed()
    assert readable(None)
    assert [cqe.user_data for cqe in ring] == ["read"]
    assert not readable(0)


# --- more completions than the queue holds: only multishot requests can


@pytest.fixture
def overflowed(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> uring_rs.Ring:
    """A ring of four completions whose one multishot poll had more to report than that."""
    ring = make_ring(4, cq_entries=4)
    ring.prep_poll_add(pipe.out, IN, multishot=True, user_data="poll")
    ring.submit()
    for _ in range(20):
        pipe.feed()
        # Does the work that the ring defers, without taking completions off.
        ring.enter(0, 0, uring_rs.EnterFlags.GETEVENTS)
    return ring


def test_overflow_loses_nothing(overflowed: uring_rs.Ring, pipe: Pipe) -> None:
    """The poll ends when there is no room; its end is the last completion, and is not lost."""
    assert overflowed.cq_overflowed
    found = overflowed.reap()
    assert [cqe.user_data for cqe in found] == ["poll"] * len(found)
    assert [cqe.more for cqe in found] == [True] * (len(found) - 1) + [False]
    assert len(found) == 5
    assert all(cqe.result() == IN for cqe in found)
    assert not overflowed.cq_overflowed
    idle(overflowed)
    overflowed.prep_poll_add(pipe.out, IN, multishot=True, user_data="again")
    cqe = one(overflowed)
    assert (cqe.user_data, cqe.more) == ("again", True)


def test_flush_overflow(overflowed: uring_rs.Ring) -> None:
    assert overflowed.flush_overflow() == 5
    assert not overflowed.cq_overflowed
    assert overflowed.flush_overflow() == 5
    assert [cqe.more for cqe in overflowed] == [True] * 4 + [False]


@pytest.mark.parametrize(
    "take",
    [
        lambda ring: list(ring),
        lambda ring: ring.reap(),
        lambda ring: list(ring.completions(5)),
        lambda ring: [ring.wait_cqe() for _ in range(5)],
        lambda ring: [ring.pop() for _ in range(5)],
    ],
    ids=["iteration", "reap", "completions", "wait_cqe", "pop"],
)
def test_every_way_of_taking_flushes(
    overflowed: uring_rs.Ring,
    take: Callable[[uring_rs.Ring], list[uring_rs.Completion]],
) -> None:
    assert [cqe.more for cqe in take(overflowed)] == [True] * 4 + [False]


def test_overflow_by_several(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    ring = make_ring(4, cq_entries=4)
    for tag in "abc":
        ring.prep_poll_add(pipe.out, IN, multishot=True, user_data=tag)
    ring.submit()
    for _ in range(4):
        pipe.feed()
        ring.enter(0, 0, uring_rs.EnterFlags.GETEVENTS)
    found = ring.reap()
    for tag in "abc":
        mine = [cqe.more for cqe in found if cqe.user_data == tag]
        assert mine
        assert all(mine[:-1])
    ended = [cqe for cqe in found if not cqe.more]
    assert len(ended) == 3 - ring.in_flight
    assert ended


def test_requests_go_on_while_it_is_overflowed(overflowed: uring_rs.Ring) -> None:
    overflowed.prep_nop("nop")
    overflowed.submit()
    tags = [cqe.user_data for cqe in several(overflowed, 6)]
    assert tags == ["poll"] * 5 + ["nop"]


def test_close_while_it_is_overflowed(overflowed: uring_rs.Ring) -> None:
    overflowed.close()
    assert [cqe.more for cqe in overflowed] == [True] * 4 + [False]


def test_errors_of_completions_are_told_once_asked(ring: uring_rs.Ring, closed_fd: int) -> None:
    """Taking a failed completion raises nothing; result() does."""
    ring.prep_read(closed_fd, bytearray(1))
    ring.prep_nop()
    bad, good = several(ring, 2)
    failed(bad, OSError, 9)
    assert good.result() == 0

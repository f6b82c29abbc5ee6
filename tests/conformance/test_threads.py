"""Owned rings belong to the first thread that uses them, shared ones to all; waking a waiter."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

import uring_rs
from conformance.kit import Pipe, idle, one
from uring_rs import Cause, WrongThread

pytestmark = pytest.mark.requires_op("NOP", "READ")

T = TypeVar("T")


def elsewhere(call: Callable[[], T], name: str = "elsewhere") -> T:
    """Call in another thread; return, or raise, what came of it."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


# --- owned


def test_made_here_and_used_there() -> None:
    ring = uring_rs.Ring(4)

    def use() -> object:
        with ring:
            ring.prep_nop("there")
            return one(ring).user_data

    assert elsewhere(use) == "there"
    # sizes and flags are facts, not uses
    assert (ring.sq_entries, ring.cq_entries, ring.shared) == (4, 8, False)


def test_a_refused_use_makes_no_owner(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4)
    assert ring.sq_entries == 4
    assert ring.flags & uring_rs.SetupFlags.SINGLE_ISSUER
    ring.prep_nop("mine")
    with pytest.raises(WrongThread):
        elsewhere(ring.prep_nop)
    assert one(ring).user_data == "mine"


def calls_of(ring: uring_rs.Ring) -> dict[str, Callable[[], object]]:
    """Everything of a ring that is for its owner only."""
    sqe = uring_rs.Sqe.nop()
    request = ring.prep_nop()
    ring.discard()
    calls: dict[str, Callable[[], object]] = {
        name: getattr(ring, name)
        for name in (
            "submit", "flush", "discard", "wait", "wait_cqe", "completions", "sq_wait", "peek",
            "pop", "reap", "flush_overflow", "fileno", "close", "prep_nop", "prep_cancel_all",
            "unregister_eventfd", "__enter__", "__exit__", "__next__",
        )
    }  # fmt: skip
    for name in ("sq_space", "sq_ready", "cq_ready", "in_flight", "cq_overflowed", "closed"):
        calls[name] = lambda name=name: getattr(ring, name)  # type: ignore[misc]
    calls["enter"] = lambda: ring.enter(0)
    calls["push"] = lambda: ring.push(sqe)
    calls["push_many"] = lambda: ring.push_many([sqe])
    calls["supports"] = lambda: ring.supports("NOP")
    calls["is_live"] = lambda: ring.is_live(request)
    calls["prep_read"] = lambda: ring.prep_read(0, bytearray(1))
    calls["buffer_pool"] = lambda: ring.buffer_pool(1, 1)
    calls["register_eventfd"] = lambda: ring.register_eventfd(0)
    return calls


def test_every_method_refuses_another_thread(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4)
    me = threading.current_thread().name
    for name, call in calls_of(ring).items():
        with pytest.raises(WrongThread) as caught:
            elsewhere(call, name=f"not-the-owner-{name}")
        text = str(caught.value)
        assert f'"{me}"' in text, name
        assert f'"not-the-owner-{name}"' in text, name
        assert isinstance(caught.value, RuntimeError)
        assert (caught.value.errno, caught.value.cause) == (errno.EEXIST, Cause.WRONG_THREAD)
    ring.prep_nop("still mine")
    assert one(ring).user_data == "still mine"
    idle(ring)


def test_repr_from_another_thread(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4)
    ring.fileno()
    assert elsewhere(lambda: repr(ring)) == "<Ring entries=4 (not usable here)>"


def test_the_owner_is_gone() -> None:
    ring = uring_rs.Ring(4)
    elsewhere(ring.fileno, name="gone")
    with pytest.raises(WrongThread, match="which has ended"):
        ring.submit()
    with pytest.warns(ResourceWarning):
        del ring


def test_a_buffer_is_not_locked_by_a_refusal(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4)
    ring.fileno()
    buf = bytearray(4)
    with pytest.raises(WrongThread):
        elsewhere(lambda: ring.prep_read(0, buf))
    buf.append(0)


# --- shared


def test_shared_rings_are_for_all(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, shared=True)
    assert ring.shared
    ring.prep_nop("here")
    elsewhere(lambda: ring.prep_nop("there"))
    assert elsewhere(ring.submit) == 2
    assert elsewhere(lambda: ring.wait_cqe().user_data) == "here"
    assert ring.wait_cqe().user_data == "there"
    elsewhere(ring.close)
    assert ring.closed


def test_many_threads_at_once(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """Every request comes back exactly once, to whoever takes it."""
    ring = open_ring(16, shared=True)
    threads, each = 6, 500
    seen: list[list[object]] = [[] for _ in range(threads)]
    start = threading.Barrier(threads)

    def work(me: int) -> None:
        start.wait()
        for step in range(each):
            while True:
                try:
                    ring.prep_nop((me, step))
                    break
                except uring_rs.SubmissionQueueFull:
                    seen[me] += [cqe.user_data for cqe in ring]
            if step % 3 == 0:
                ring.submit()
            seen[me] += [cqe.user_data for cqe in ring]

    running = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    ring.submit()
    rest = [cqe.user_data for cqe in ring]
    everything = [tag for tags in [*seen, rest] for tag in tags]
    assert len(everything) == threads * each
    assert set(everything) == {(me, step) for me in range(threads) for step in range(each)}
    idle(ring)


def test_one_waits_another_submits(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, shared=True)
    got: list[object] = []
    waiter = threading.Thread(target=lambda: got.append(ring.wait_cqe().user_data))
    waiter.start()
    ring.prep_nop("from here")
    ring.submit()
    waiter.join()
    assert got == ["from here"]


def test_closing_sends_waiters_away(open_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    ring = open_ring(4, shared=True)
    ring.prep_read(pipe.out, bytearray(1))
    ring.submit()
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(ring.wait(2))
        except uring_rs.RingClosed as error:
            outcome.append(type(error))

    waiter = threading.Thread(target=wait)
    waiter.start()
    ring.close()
    waiter.join()
    assert outcome == [uring_rs.RingClosed]


# --- wake


@pytest.fixture
def wakeable(ring: uring_rs.Ring) -> uring_rs.Ring:
    try:
        ring.wake()
    except uring_rs.UnsupportedOperation as error:
        pytest.skip(f"the running kernel lacks IORING_REGISTER_SEND_MSG_RING: {error}")
    assert ring.wait() == 0
    return ring


def test_wake_from_another_thread(wakeable: uring_rs.Ring) -> None:
    """Whether it comes before or during the wait, the wait returns."""
    for _ in range(50):
        waker = threading.Thread(target=wakeable.wake)
        waker.start()
        assert wakeable.wait() == 0
        waker.join()
    idle(wakeable)


@pytest.mark.parametrize("count", [2, 5, 8])
def test_wake_ends_a_wait_for_many(wakeable: uring_rs.Ring, count: int) -> None:
    """The kernel lets a waiter sleep until there are as many completions as it wants, and a
    wake-up is one."""
    wakeable.wake()
    assert wakeable.wait(count) == 0
    for _ in range(50):
        waker = threading.Thread(target=wakeable.wake)
        waker.start()
        assert wakeable.wait(count) == 0
        waker.join()
    idle(wakeable)
    # None of what made the number full is left to end the next wait.
    wakeable.prep_timeout(0.02)
    assert wakeable.wait(1) == 1


def test_wake_outlasts_a_short_submit() -> None:
    """It is seen in one round of a submission, and ends those that follow."""
    kernel = uring_rs.SimKernel(0)
    with uring_rs.Ring(4, kernel=kernel) as ring:
        reader, _writer = kernel.pipe()
        ring.wake()
        assert ring.cq_ready == 0
        for _ in range(3):
            ring.prep_read(reader, bytearray(1))
        kernel.fail_call("enter", 0, ("short", 1))
        assert ring.wait(4) == 0
        assert ring.in_flight == 3
    assert kernel.violations == []


def test_wake_before_the_first_use(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """An owned ring is not even enabled before its owner comes."""
    ring = open_ring(4)
    try:
        for _ in range(3):
            elsewhere(ring.wake)
    except uring_rs.UnsupportedOperation as error:
        pytest.skip(f"the running kernel lacks IORING_REGISTER_SEND_MSG_RING: {error}")
    assert ring.wait() == 0
    ring.prep_timeout(0.02)
    assert ring.wait() == 1
    elsewhere(ring.wake)
    assert ring.wait(2) == 1


def test_wake_is_for_one_wait(wakeable: uring_rs.Ring) -> None:
    for _ in range(3):
        elsewhere(wakeable.wake)
    assert wakeable.wait() == 0
    wakeable.prep_timeout(0.02)
    assert wakeable.wait() == 1  # no wake-up is left to end it early
    wakeable.reap()


def test_every_wait_is_woken(wakeable: uring_rs.Ring, pipe: Pipe) -> None:
    wakeable.prep_read(pipe.out, bytearray(1))
    wakeable.submit()
    wakeable.wake()
    assert wakeable.submit(wait=1) == 0
    wakeable.wake()
    assert list(wakeable.completions(1)) == []
    wakeable.wake()
    with pytest.raises(TimeoutError):
        wakeable.wait_cqe()
    assert wakeable.in_flight == 1


def test_wake_takes_nothing_away(wakeable: uring_rs.Ring) -> None:
    wakeable.wake()
    wakeable.prep_nop("staged")
    assert wakeable.submit(wait=5) == 1
    assert [cqe.user_data for cqe in wakeable] == ["staged"]


def test_what_is_woken_is_no_completion(wakeable: uring_rs.Ring) -> None:
    wakeable.wake()
    assert wakeable.pop() is None
    assert wakeable.cq_ready == 0
    assert wakeable.peek() is None

"""Requests that go on: asking whether they do, finding, relabelling and rearming them."""

from __future__ import annotations

import errno
import gc
import os
import select
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pipe, idle, one, results, several
from helpers.child import run_child
from uring_rs import Sqe

pytestmark = pytest.mark.requires_op("POLL_ADD", "TIMEOUT", "NOP")

IN = select.POLLIN


# --- Request.live


def test_from_prep_to_completion(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop()
    assert request.live
    ring.submit(wait=1)
    assert request.live == ring.is_live(request)
    one(ring)
    assert not request.live
    assert not request.live
    ring.prep_nop()
    assert not request.live  # the slot is another's now
    one(ring)


def test_taken_back(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop()
    ring.discard()
    assert not request.live


def test_of_a_multishot_request(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.out, IN, multishot=True, user_data="m")
    ring.submit()
    for _ in range(3):
        pipe.feed()
        cqe = one(ring)
        assert cqe.more
        assert cqe.request.live
        assert request.live
    ring.prep_cancel(request)
    several(ring, 2)
    assert not request.live


def test_of_two_rings(make_ring: Callable[..., uring_rs.Ring]) -> None:
    here, there = make_ring(4), make_ring(4)
    first, second = here.prep_nop(), there.prep_nop()
    assert first.key == second.key
    here.discard()
    assert (first.live, second.live) == (False, True)
    there.discard()
    assert not second.live


def test_of_a_ring_that_is_gone(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = uring_rs.Ring(4)
    request = ring.prep_timeout(10_000)
    ring.submit()
    assert request.live
    ring.close()
    assert not request.live
    del ring
    gc.collect()
    assert not request.live


def test_from_another_thread(ring: uring_rs.Ring) -> None:
    request = ring.prep_timeout(10_000)
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(request.live)
        except uring_rs.WrongThread:
            answers.append("wrong thread")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [True if ring.shared else "wrong thread"]


def test_many_threads_ask(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(8, shared=True)
    lasting = ring.prep_timeout(10_000)
    ring.submit()
    answers: list[bool] = []

    def ask() -> None:
        for _ in range(500):
            answers.append(lasting.live)
            short = ring.prep_nop()
            ring.submit(wait=0)
            ring.reap()
            del short

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 2000


def test_in_a_forked_child() -> None:
    run_child(
        """
        import os, uring_rs
        with uring_rs.Ring(4) as ring:
            request = ring.prep_nop()
            if (pid := os.fork()) == 0:
                try:
                    request.live
                except uring_rs.ForkedRing:
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert request.live
        """
    )


# --- find


def test_find(ring: uring_rs.Ring, pipe: Pipe) -> None:
    mine, equal = ["x"], ["x"]
    found = [
        ring.prep_poll_add(pipe.out, IN, user_data=mine),
        ring.prep_timeout(10_000, user_data=mine),
        ring.push(Sqe.timeout(10_000, user_data=mine)),
    ]
    ring.prep_timeout(10_000, user_data=equal)
    untagged = ring.prep_timeout(10_000)
    ring.submit()
    assert set(ring.find(mine)) == set(found)
    assert {request.op for request in ring.find(mine)} == {"POLL_ADD", "TIMEOUT"}
    assert ring.find(None) == [untagged]
    assert ring.find(["x"]) == []


def test_cancel_what_is_found(ring: uring_rs.Ring, pipe: Pipe) -> None:
    client = object()
    for _ in range(3):
        ring.prep_poll_add(pipe.out, IN, user_data=client)
    ring.prep_poll_add(pipe.out, IN, user_data="another")
    ring.submit()
    for request in ring.find(client):
        ring.prep_cancel(request)
    found = several(ring, 6)
    assert [cqe.res for cqe in found if cqe.user_data is client] == [-errno.ECANCELED] * 3
    assert ring.find(client) == []
    assert len(ring.find("another")) == 1


# --- set_user_data


def test_set_user_data(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.out, IN, multishot=True, user_data="old")
    ring.submit()
    pipe.feed()
    assert one(ring).user_data == "old"
    new = object()
    ring.set_user_data(request, new)
    for _ in range(2):
        pipe.feed()
        assert one(ring).user_data is new
    assert ring.find(new) == [request]
    assert ring.find("old") == []
    ring.set_user_data(request, None)
    ring.prep_cancel(request, user_data="cancel")
    assert results(ring, 2) == {None: -errno.ECANCELED, "cancel": 0}


def test_set_user_data_lets_the_old_one_go(ring: uring_rs.Ring) -> None:
    class Token:
        def __del__(self) -> None:
            gone.append(ring.in_flight)  # the ring is not held meanwhile

    gone: list[int] = []
    request = ring.prep_timeout(10_000, user_data=Token())
    ring.set_user_data(request, 1)
    assert gone == [1]
    ring.discard()


def test_set_user_data_of_what_has_ended(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring, other = make_ring(4), make_ring(4)
    ended, foreign = ring.prep_nop("old"), other.prep_nop()
    one(ring)
    ring.prep_nop("new")  # in the same slot
    for request in (ended, foreign):
        with pytest.raises(ValueError, match="no such request"):
            ring.set_user_data(request, "wrong")
    with pytest.raises(TypeError, match="expected a Request"):
        ring.set_user_data(None, "wrong")  # type: ignore[arg-type]
    assert one(ring).user_data == "new"
    one(other)


# --- rearm


def test_rearm_stages_what_is_not_under_way(ring: uring_rs.Ring, pipe: Pipe) -> None:
    sqe = Sqe.poll_add(pipe.out, IN, multishot=True, user_data="p")
    first = ring.rearm(sqe)
    assert ring.rearm(sqe) == first
    assert ring.in_flight == 1
    ring.submit()
    for _ in range(3):
        pipe.feed()
        assert one(ring).more
        assert ring.rearm(sqe) == first
    ring.prep_cancel(first)
    several(ring, 2)
    os.read(pipe.out, 3)
    second = ring.rearm(sqe)
    assert second != first
    ring.submit()
    pipe.feed()
    assert one(ring).request == second
    assert ring.in_flight == 1


def test_rearm_in_a_loop(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """A one-shot request turned into one that goes on."""
    sqe = Sqe.poll_add(pipe.out, IN)
    seen = []
    for _ in range(4):
        ring.rearm(sqe)
        pipe.feed()
        for cqe in ring.completions(min=1):
            seen.append(os.read(pipe.out, 1))
            assert not cqe.more
    assert seen == [b"x"] * 4
    idle(ring)


def test_rearm_and_push_and_discard(ring: uring_rs.Ring) -> None:
    """What was pushed otherwise does not count, and what was taken back is not under way."""
    sqe = Sqe.timeout(10_000)
    pushed = ring.push(sqe)
    armed = ring.rearm(sqe)
    assert armed != pushed
    assert ring.rearm(sqe) == armed
    assert ring.discard() == 2
    assert ring.rearm(sqe) not in (armed, pushed)


def test_rearm_on_two_rings(make_ring: Callable[..., uring_rs.Ring]) -> None:
    here, there = make_ring(4), make_ring(4)
    sqe = Sqe.timeout(10_000)
    first = here.rearm(sqe)
    assert there.rearm(sqe) != first
    assert there.in_flight == here.in_flight == 1


def test_rearm_what_is_no_entry(ring: uring_rs.Ring) -> None:
    for wrong in (None, ring.prep_nop(), "sqe"):
        with pytest.raises(TypeError):
            ring.rearm(wrong)  # type: ignore[arg-type]
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.rearm(Sqe.nop())

"""Links, hard links, drain, async and skip-success: how one request waits for another."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one, results, several
from uring_rs import SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ", "WRITE", "OPENAT")

LINK, HARD, DRAIN = SqeFlags.IO_LINK, SqeFlags.IO_HARDLINK, SqeFlags.IO_DRAIN
ASYNC, SKIP = SqeFlags.ASYNC, SqeFlags.CQE_SKIP_SUCCESS
CANCELED = -errno.ECANCELED
ENOENT = -errno.ENOENT


def fail(ring: uring_rs.Ring, tag: object, flags: int = LINK) -> None:
    """Stage a request that will fail, and with it what is linked to it."""
    ring.prep_openat("/nonexistent/uring_rs", user_data=tag, flags=flags)


# --- links


def test_the_next_waits(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data=1, flags=LINK)
    ring.prep_nop(2, flags=LINK)
    ring.prep_nop(3)
    ring.prep_nop("beside")
    assert one(ring).user_data == "beside"
    pipe.feed()
    assert [cqe.user_data for cqe in several(ring, 3)] == [1, 2, 3]
    idle(ring)


def test_data_flows_along_the_chain(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(4)
    ring.prep_write(pipe.into, b"flow", user_data="w", flags=LINK)
    ring.prep_read(pipe.out, buf, user_data="r")
    assert [(cqe.user_data, cqe.res) for cqe in several(ring, 2)] == [("w", 4), ("r", 4)]
    assert buf == b"flow"


@pytest.mark.parametrize(("flag", "later"), [(LINK, CANCELED), (HARD, 0)])
def test_failure(ring: uring_rs.Ring, flag: SqeFlags, later: int) -> None:
    ring.prep_nop(1, flags=flag)
    fail(ring, 2, flag)
    ring.prep_nop(3, flags=flag)
    ring.prep_nop(4)
    ring.prep_nop("beside")
    assert results(ring, 5) == {1: 0, 2: ENOENT, 3: later, 4: later, "beside": 0}
    idle(ring)


@pytest.mark.parametrize(("flag", "later"), [(LINK, CANCELED), (HARD, 0)])
def test_short_transfer(ring: uring_rs.Ring, fd: int, flag: SqeFlags, later: int) -> None:
    """Fewer bytes than asked for break a link, as a failure does."""
    ring.prep_read(fd, bytearray(10), len(CONTENT) - 3, user_data="short", flags=flag)
    ring.prep_nop("next")
    assert results(ring, 2) == {"short": 3, "next": later}


def test_a_failure_inside_hard_links(ring: uring_rs.Ring) -> None:
    ring.prep_nop(1, flags=HARD)
    fail(ring, 2, HARD)
    fail(ring, 3, LINK)
    ring.prep_nop(4)
    assert results(ring, 4) == {1: 0, 2: ENOENT, 3: ENOENT, 4: CANCELED}


def test_two_chains_do_not_mix(ring: uring_rs.Ring) -> None:
    fail(ring, "a1")
    ring.prep_nop("a2")
    ring.prep_nop("b1", flags=LINK)
    ring.prep_nop("b2")
    assert results(ring, 4) == {"a1": ENOENT, "a2": CANCELED, "b1": 0, "b2": 0}


def test_a_submission_ends_the_chain(ring: uring_rs.Ring) -> None:
    fail(ring, 1)
    ring.submit()
    ring.prep_nop(2)
    assert results(ring, 2) == {1: ENOENT, 2: 0}


def test_discard_ends_the_chain(ring: uring_rs.Ring) -> None:
    fail(ring, 1)
    assert ring.discard() == 1
    ring.prep_nop(2)
    assert results(ring, 1) == {2: 0}


# --- chains and the size of the queue


def chain(ring: uring_rs.Ring, length: int) -> None:
    """A chain whose head fails, so that a chain that was cut shows."""
    fail(ring, 0)
    for tag in range(1, length):
        ring.prep_nop(tag, flags=LINK if tag < length - 1 else 0)


def broken(length: int) -> dict[object, int]:
    return {0: ENOENT} | dict.fromkeys(range(1, length), CANCELED)


@pytest.mark.parametrize("length", [2, 7, 8])
def test_as_long_as_the_queue(make_ring: Callable[..., uring_rs.Ring], length: int) -> None:
    ring = make_ring(8)
    for _ in range(3):
        chain(ring, length)
        assert results(ring, length) == broken(length)
    idle(ring)


def test_longer_than_the_queue(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8)
    with pytest.raises(ValueError, match="must fit into the submission queue"):
        chain(ring, 9)
    assert ring.in_flight > 0
    assert ring.discard() > 0
    idle(ring)
    chain(ring, 8)
    assert results(ring, 8) == broken(8)


@pytest.mark.parametrize("before", range(1, 8))
def test_across_an_automatic_submission(
    make_ring: Callable[..., uring_rs.Ring], before: int
) -> None:
    """The queue fills up in the middle of the chain, which must reach the kernel whole."""
    ring = make_ring(8)
    for tag in range(before):
        ring.prep_nop(("before", tag))
    chain(ring, 8)
    expected = broken(8) | {("before", tag): 0 for tag in range(before)}
    assert results(ring, 8 + before) == expected


def test_across_many_automatic_submissions(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8)
    found: list[tuple[object, int]] = []
    for turn in range(200):
        length = 2 + turn % 7
        fail(ring, (turn, 0))
        for tag in range(1, length):
            ring.prep_nop((turn, tag), flags=LINK if tag < length - 1 else 0)
        found += [(cqe.user_data, cqe.res) for cqe in ring]
    expected = {
        (turn, tag): ENOENT if tag == 0 else CANCELED
        for turn in range(200)
        for tag in range(2 + turn % 7)
    }
    while len(found) < len(expected):
        ring.submit(wait=1)
        found += [(cqe.user_data, cqe.res) for cqe in ring]
    assert len(found) == len(expected)
    assert dict(found) == expected


@pytest.mark.parametrize("before", range(1, 8))
def test_across_the_bound_of_requests_in_flight(
    make_ring: Callable[..., uring_rs.Ring], before: int
) -> None:
    """As many requests as the completion queue holds are staged in the middle of the chain."""
    ring = make_ring(8, cq_entries=8)
    for tag in range(before):
        ring.prep_nop(("before", tag))
    chain(ring, 8)
    expected = broken(8) | {("before", tag): 0 for tag in range(before)}
    ring.submit()
    found: list[uring_rs.Completion] = []
    while len(found) < len(expected):
        ring.wait(1)
        found += ring.reap()
    assert {cqe.user_data: cqe.res for cqe in found} == expected


def test_no_room_for_the_chain_beside_what_is_unfinished(
    make_ring: Callable[..., uring_rs.Ring], pipe: Pipe
) -> None:
    """Refused, rather than cut in two."""
    ring = make_ring(8, cq_entries=8)
    for tag in range(6):
        ring.prep_read(pipe.out, bytearray(1), user_data=tag)
    ring.submit()
    with pytest.raises(uring_rs.SubmissionQueueFull):
        chain(ring, 3)
    assert ring.in_flight == 8
    assert ring.discard() == 2
    pipe.feed(b"123456")
    assert results(ring, 6) == dict.fromkeys(range(6), 1)


def test_chains_of_threads_do_not_interleave(
    open_ring: Callable[..., uring_rs.Ring],
) -> None:
    """Two threads stage theirs in turns, and this one between them."""
    ring = open_ring(16, shared=True)
    turn = threading.Barrier(2)

    def stage(first: bool) -> None:
        name = "a" if first else "b"
        for step in range(4):
            if first:
                fail(ring, "a0") if step == 0 else ring.prep_nop(
                    f"a{step}", flags=LINK if step < 3 else 0
                )
                turn.wait()
                turn.wait()
            else:
                turn.wait()
                ring.prep_nop(f"{name}{step}", flags=LINK if step < 3 else 0)
                ring.prep_nop(f"alone{step}") if step == 3 else None
                turn.wait()

    threads = [threading.Thread(target=stage, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ring.prep_nop("mine")
    expected = {"a0": ENOENT, "a1": CANCELED, "a2": CANCELED, "a3": CANCELED}
    expected |= dict.fromkeys(["b0", "b1", "b2", "b3", "alone3", "mine"], 0)
    assert results(ring, 10) == expected
    idle(ring)


def test_an_open_chain_of_another_thread_is_left_open(
    open_ring: Callable[..., uring_rs.Ring],
) -> None:
    """A submission ends the chain of its own thread only."""
    ring = open_ring(8, shared=True)
    half, whole = threading.Event(), threading.Event()

    def stage() -> None:
        fail(ring, "head")
        half.set()
        whole.wait()
        ring.prep_nop("tail")

    thread = threading.Thread(target=stage)
    thread.start()
    half.wait()
    ring.prep_nop("mine")
    assert results(ring, 1) == {"mine": 0}
    assert ring.in_flight == 1
    whole.set()
    thread.join()
    assert results(ring, 2) == {"head": ENOENT, "tail": CANCELED}


# --- drain


def test_drain_waits_for_all_before_and_holds_all_after(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.prep_nop("drain", flags=DRAIN)
    ring.prep_nop("after")
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    assert [cqe.user_data for cqe in several(ring, 3)] == ["read", "drain", "after"]


def test_drain_with_nothing_before(ring: uring_rs.Ring) -> None:
    ring.prep_nop(1, flags=DRAIN)
    assert one(ring).res == 0


def test_drain_across_submissions(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.submit()
    ring.prep_nop("drain", flags=DRAIN)
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    assert [cqe.user_data for cqe in several(ring, 2)] == ["read", "drain"]


# --- async


def test_async(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    buf = bytearray(16)
    ring.prep_read(fd, buf, 16, user_data="file", flags=ASYNC)
    ring.prep_read(pipe.out, bytearray(4), user_data="pipe", flags=ASYNC)
    assert results(ring, 1) == {"file": 16}
    assert buf == CONTENT[16:32]
    pipe.feed(b"abc")
    assert results(ring, 1) == {"pipe": 3}


# --- skip-success, which the library does itself


def test_success_is_not_reported(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(4)
    request = ring.prep_read(pipe.out, buf, user_data="skipped", flags=SKIP)
    ring.submit()
    with pytest.raises(BufferError):
        buf.append(0)
    pipe.feed(b"data")
    ring.prep_nop("seen", flags=DRAIN)
    assert one(ring).user_data == "seen"
    assert not ring.is_live(request)
    assert buf == b"data"
    buf.append(0)
    idle(ring)


def test_failure_is_reported(ring: uring_rs.Ring) -> None:
    fail(ring, "failed", SKIP)
    assert results(ring, 1) == {"failed": ENOENT}


def test_skipped_members_of_a_chain(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_write(fd, b"abc", 0, user_data="w", flags=LINK | SKIP)
    ring.prep_fdatasync(fd, user_data="s", flags=LINK | SKIP)
    ring.prep_nop("end")
    assert results(ring, 1) == {"end": 0}
    idle(ring)


def test_drain_still_works_afterwards(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """The kernel refuses IO_DRAIN for good once it has seen CQE_SKIP_SUCCESS: it never does."""
    ring.prep_nop(flags=SKIP)
    ring.submit()
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.prep_nop("drain", flags=DRAIN)
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    assert [(cqe.user_data, cqe.res) for cqe in several(ring, 2)] == [("read", 1), ("drain", 0)]


def test_waits_do_not_count_what_is_skipped(ring: uring_rs.Ring) -> None:
    for tag in range(4):
        ring.prep_nop(tag, flags=SKIP if tag % 2 else 0)
    ring.prep_timeout(0, user_data="end")
    assert ring.wait(3) == 3
    assert [cqe.user_data for cqe in ring] == [0, 2, "end"]


def test_user_data_of_what_is_skipped_is_let_go(ring: uring_rs.Ring) -> None:
    gone = []

    class Tag:
        def __del__(self) -> None:
            gone.append(1)

    ring.prep_nop(Tag(), flags=SKIP)
    ring.prep_nop("end")
    assert one(ring).user_data == "end"
    assert gone == [1]

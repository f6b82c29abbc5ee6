"""Queues that are full: what waits is never lost, what does not fit is refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import uring_rs
from uring_rs import SqeFlags, SubmissionQueueFull


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_full_queue_raises_if_so_asked() -> None:
    with uring_rs.Ring(8, sq_full="raise") as ring:
        for number in range(8):
            ring.prep_nop(user_data=number)
        buf = bytearray(4)
        for _ in range(3):
            with pytest.raises(SubmissionQueueFull) as caught:
                ring.prep_read(0, buf, user_data="refused")
            assert caught.value.cause == uring_rs.Cause.QUEUE_FULL
        buf.append(0)
        assert (ring.sq_ready, ring.sq_space, ring.in_flight) == (8, 0, 8)
        assert ring.submit(wait=8) == 8
        assert [cqe.user_data for cqe in ring] == list(range(8))
        ring.prep_nop(user_data="fits again")
        ring.submit(wait=1)
        assert ring.pop().user_data == "fits again"


@pytest.mark.parametrize(
    ("shared", "sqpoll"), [(False, None), (True, None), (False, 5)], ids=["owned", "shared", "poll"]
)
def test_ten_thousand_nops_on_a_ring_of_8(shared: bool, sqpoll: int | None) -> None:
    with uring_rs.Ring(8, shared=shared, sqpoll_idle_ms=sqpoll) as ring:
        for number in range(10_000):
            while True:
                try:
                    ring.prep_nop(user_data=number)
                    break
                except SubmissionQueueFull:
                    # A poll thread has as many as can be unfinished, and is at it.
                    assert sqpoll
                    ring.wait(1)
        numbers = []
        ring.submit()
        while ring.in_flight:
            ring.wait(1)
            numbers += [cqe.user_data for cqe in ring]
        numbers += [cqe.user_data for cqe in ring]
    assert numbers == list(range(10_000))


def test_ten_thousand_idle_reads_on_a_ring_of_8(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with uring_rs.Ring(8) as ring:
        bufs = [bytearray(1) for _ in range(10_000)]
        taken = refused = 0
        for number, buf in enumerate(bufs):
            try:
                ring.prep_read(reader, buf, user_data=number)
                taken += 1
            except SubmissionQueueFull:
                refused += 1
        with pytest.raises(SubmissionQueueFull, match="cq_entries"):
            ring.prep_nop()
        assert (taken, refused) == (ring.cq_entries, 10_000 - ring.cq_entries)
        assert ring.in_flight == ring.cq_entries
        for buf in bufs[:taken]:
            with pytest.raises(BufferError):
                buf.append(0)
        for buf in bufs[taken:]:
            buf.append(0)

        # It recovers: what was taken completes, and as many fit again.
        os.write(writer, bytes(range(1, taken + 1)))
        ring.submit(wait=taken)
        done = {cqe.user_data: cqe.res for cqe in ring}
        assert done == dict.fromkeys(range(taken), 1)
        assert sorted(buf[0] for buf in bufs[:taken]) == list(range(1, taken + 1))
        for number in range(ring.cq_entries):
            ring.prep_nop(user_data=number)
        ring.submit(wait=ring.cq_entries)
        assert [cqe.user_data for cqe in ring] == list(range(ring.cq_entries))


def test_finished_requests_nobody_reads_do_not_count() -> None:
    with uring_rs.Ring(8) as ring:
        for number in range(5 * ring.cq_entries):
            ring.prep_nop(user_data=number)
        ring.submit(wait=1)
        assert [cqe.user_data for cqe in ring] == list(range(5 * ring.cq_entries))


@pytest.mark.parametrize("sq_full", ["submit", "raise"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_chain_longer_than_the_queue(sq_full: str, shared: bool) -> None:
    with uring_rs.Ring(4, cq_entries=64, shared=shared, sq_full=sq_full) as ring:
        staged = 0
        while True:
            try:
                ring.prep_nop(user_data=staged, flags=SqeFlags.IO_LINK)
            except (ValueError, SubmissionQueueFull):
                break
            staged += 1
        assert 3 <= staged <= 4
        ring.submit(wait=staged)
        assert [cqe.user_data for cqe in ring] == list(range(staged))


def test_a_batch_that_does_not_fit_stays_staged() -> None:
    with uring_rs.Ring(4, sq_full="raise") as ring:
        sqes = [uring_rs.Sqe.nop(user_data=number) for number in range(6)]
        with pytest.raises(SubmissionQueueFull):
            ring.push_many(sqes)
        assert ring.sq_ready == 4
        ring.submit(wait=4)
        assert [cqe.user_data for cqe in ring] == [0, 1, 2, 3]


def test_waiting_for_space() -> None:
    with uring_rs.Ring(4, sq_full="raise") as ring:
        for number in range(4):
            ring.prep_nop(user_data=number)
        assert ring.sq_space == 0
        assert ring.sq_wait() == 4
        ring.prep_nop(user_data=4)
        ring.submit(wait=5)
        assert [cqe.user_data for cqe in ring] == [0, 1, 2, 3, 4]

"""Bulk calls: many requests in one call, results row by row, beside requests made one by one."""

from __future__ import annotations

import gc
import os
import struct
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle

Opener = Callable[..., uring_rs.Ring]


def taken(ring: uring_rs.Ring, room: int = 1 << 12) -> list[tuple[int, int]]:
    """All records there are, as (tag, res), read in portions of `room`."""
    found: list[tuple[int, int]] = []
    records = bytearray(uring_rs.CQE_SIZE * room)
    while count := ring.reap_into(records):
        part = memoryview(records)[: count * uring_rs.CQE_SIZE]
        found += [(tag, res) for tag, res, _ in struct.iter_unpack(uring_rs.CQE_FORMAT, part)]
    return found


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 17, 1024, 1025, 100_000])
def test_nops_of_any_number_on_a_small_ring(make_ring: Opener, count: int) -> None:
    ring = make_ring(8)
    results = ring.run_nops(count)
    assert results == array("i", [0] * count)
    idle(ring)


@pytest.mark.parametrize("depth", [None, 1, 2, 7, 8, 16, 17, 1 << 20])
def test_a_depth_of_any_size(make_ring: Opener, fd: int, depth: int | None) -> None:
    ring = make_ring(8)
    buf = bytearray(4096)
    assert list(ring.run_reads(fd, buf, range(0, 4096, 16), depth=depth)) == [16] * 256
    assert buf == CONTENT
    idle(ring)


@pytest.mark.parametrize("depth", [-1, 1 << 40, "4", 1.5])
def test_no_depth_at_all(ring: uring_rs.Ring, depth: object) -> None:
    with pytest.raises((OverflowError, TypeError)):
        ring.run_nops(4, depth=depth)  # type: ignore[arg-type]
    idle(ring)


def test_many_more_reads_than_both_queues_hold(make_ring: Opener, tmp_path: Path) -> None:
    rows = 100_000
    path = tmp_path / "numbers"
    path.write_bytes(array("I", range(rows)).tobytes())
    ring = make_ring(8)
    numbers = array("I", bytes(4 * rows))
    backwards = range(4 * (rows - 1), -1, -4)
    with path.open("rb") as file:
        results = ring.run_reads(file, numbers, backwards)
    assert results == array("i", [4] * rows)
    assert numbers == array("I", range(rows - 1, -1, -1))
    idle(ring)


def test_many_more_writes_than_both_queues_hold(make_ring: Opener, tmp_path: Path) -> None:
    rows = 20_000
    numbers = array("I", range(rows))
    ring = make_ring(8)
    with (tmp_path / "numbers").open("w+b") as file:
        results = ring.run_writes(file, numbers, range(0, 4 * rows, 4))
        assert results == array("i", [4] * rows)
        assert file.read() == numbers.tobytes()
    idle(ring)


def test_one_row(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    assert ring.run_reads(fd, buf, 32) == array("i", [16])
    assert buf == CONTENT[32:48]


def test_the_file_position(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    assert ring.run_reads(fd, buf, -1) == array("i", [16])
    assert os.lseek(fd, 0, os.SEEK_CUR) == 16


def test_flags_of_all_rows(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(256)
    flags = uring_rs.SqeFlags.ASYNC
    assert list(ring.run_reads(fd, buf, range(0, 256, 16), flags=flags)) == [16] * 16
    assert buf == CONTENT[:256]
    assert list(ring.run_writes(fd, buf, range(0, 256, 16), flags=flags)) == [16] * 16
    assert ring.prep_nop_batch(4, flags=uring_rs.SqeFlags.IO_DRAIN) == 4
    ring.submit(wait=4)
    assert taken(ring) == [(0, 0), (1, 0), (2, 0), (3, 0)]


def test_tags_count_up_from_the_first(ring: uring_rs.Ring) -> None:
    assert ring.prep_nop_batch(3) == 3
    assert ring.prep_nop_batch(2, tag=1000) == 2
    assert ring.prep_nop_batch(2, tag=2**64 - 1) == 2
    ring.submit(wait=7)
    tags = [0, 1, 2, 1000, 1001, 2**64 - 1, 0]
    assert taken(ring) == [(tag, 0) for tag in tags]
    for tag in (-1, 2**64, "0"):
        with pytest.raises((OverflowError, TypeError)):
            ring.prep_nop_batch(1, tag=tag)  # type: ignore[arg-type]
    idle(ring)


def test_a_batch_is_staged_and_not_submitted(ring: uring_rs.Ring) -> None:
    assert ring.prep_nop_batch(5) == 5
    assert (ring.sq_ready, ring.in_flight, ring.cq_ready) == (5, 5, 0)
    assert taken(ring) == []
    assert ring.submit() == 5
    assert ring.cq_ready == 5
    assert ring.in_flight == 0
    assert len(taken(ring)) == 5
    idle(ring)


def test_a_batch_is_discarded(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(64)
    ring.prep_nop("first")
    assert ring.prep_read_batch(fd, buf, range(0, 64, 16)) == 4
    assert ring.discard() == 5
    buf.append(0)
    idle(ring)
    assert taken(ring) == []


def test_a_batch_larger_than_the_ring_is_submitted_as_it_is_staged(make_ring: Opener) -> None:
    ring = make_ring(8)
    assert ring.prep_nop_batch(1000) == 1000
    ring.submit()
    assert taken(ring, 7) == [(tag, 0) for tag in range(1000)]
    idle(ring)


def test_as_many_rows_as_can_be_in_flight(make_ring: Opener, pipe: Pipe) -> None:
    ring = make_ring(8, cq_entries=16)
    buf = bytearray(30)
    assert ring.prep_read_batch(pipe.out, buf, [-1] * 30) == 16
    assert ring.in_flight == 16
    with pytest.raises(uring_rs.SubmissionQueueFull, match="16 requests are in flight"):
        ring.prep_read_batch(pipe.out, bytearray(1), [-1])
    with pytest.raises(uring_rs.SubmissionQueueFull):
        ring.prep_nop()
    with pytest.raises(BufferError):
        buf.append(0)
    pipe.feed(bytes(range(16)))
    ring.submit(wait=16)
    # Which of them gets which byte is the kernel's affair.
    assert sorted(taken(ring)) == [(tag, 1) for tag in range(16)]
    # Only the rows that were staged were carried out.
    assert sorted(buf[:16]) == list(range(16))
    assert buf[16:] == bytes(14)
    # On from there.
    assert ring.prep_read_batch(pipe.out, memoryview(buf)[16:], [-1] * 14, tag=16) == 14
    pipe.feed(bytes(range(16, 30)))
    ring.submit(wait=14)
    assert sorted(taken(ring)) == [(tag, 1) for tag in range(16, 30)]
    assert sorted(buf) == list(range(30))


def test_singles_count_against_the_bound_of_a_batch(make_ring: Opener, pipe: Pipe) -> None:
    ring = make_ring(8, cq_entries=16)
    for _ in range(10):
        ring.prep_read(pipe.out, bytearray(1))
    assert ring.prep_read_batch(pipe.out, bytearray(30), [-1] * 30) == 6
    assert ring.in_flight == 16


def test_a_full_queue_raises_where_that_was_asked_for(make_ring: Opener) -> None:
    ring = make_ring(8, sq_full="raise")
    assert ring.prep_nop_batch(100) == 8
    with pytest.raises(uring_rs.SubmissionQueueFull, match="submit first"):
        ring.prep_nop_batch(1)
    assert ring.submit() == 8
    assert ring.prep_nop_batch(3, tag=8) == 3
    ring.submit()
    assert taken(ring) == [(tag, 0) for tag in range(11)]
    # Runs keep the ring full by themselves.
    assert ring.run_nops(100) == array("i", [0] * 100)


def test_more_batches_than_a_ring_can_have(make_ring: Opener, pipe: Pipe) -> None:
    ring = make_ring(8192)
    bufs = [bytearray(1) for _ in range(4097)]
    for number, buf in enumerate(bufs[:4096]):
        assert ring.prep_read_batch(pipe.out, buf, -1, tag=number) == 1
    with pytest.raises(uring_rs.SubmissionQueueFull, match="4096 batches are in flight"):
        ring.prep_read_batch(pipe.out, bufs[4096], -1)
    bufs[4096].append(0)
    with pytest.raises(uring_rs.SubmissionQueueFull):
        ring.run_nops(4)
    pipe.feed(bytes(100))
    ring.submit(wait=100)
    assert len(taken(ring)) == 100
    assert ring.run_nops(4) == array("i", [0] * 4)


def test_batches_that_ended_unseen_make_place_for_more(make_ring: Opener) -> None:
    ring = make_ring(8192)
    for number in range(10_000):
        assert ring.prep_nop_batch(1, tag=number) == 1
        ring.submit()
    assert taken(ring) == [(tag, 0) for tag in range(10_000)]


def test_waiting_counts_batches_where_both_kinds_count(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="never")
    ring.prep_nop_batch(3)
    assert ring.submit(wait=3) == 4
    assert ring.wait(3) == 3
    assert ring.wait(4, timeout=0.01) == 3
    assert ring.cq_ready == 3
    # Only single requests can be iterated over, so only those are waited for.
    with pytest.raises(TimeoutError):
        ring.wait_cqe(timeout=0.01)
    assert list(ring.completions(min=1, timeout=0.01)) == []
    pipe.feed()
    assert ring.wait_cqe().user_data == "never"
    assert len(taken(ring)) == 3


def test_singles_and_batches_keep_to_themselves(make_ring: Opener, fd: int) -> None:
    ring = make_ring(64)
    buf = bytearray(64)
    singles = [bytearray(4) for _ in range(8)]
    ring.prep_nop("before")
    ring.prep_read_batch(fd, buf, range(0, 64, 16), tag=100)
    for number, single in enumerate(singles):
        ring.prep_read(fd, single, number, user_data=single)
    ring.prep_nop_batch(3, tag=200)
    ring.prep_nop("after")
    assert ring.submit(wait=17) == 17
    seen = ring.reap()
    assert [cqe.res for cqe in seen] == [0, *[4] * 8, 0]
    assert [cqe.user_data for cqe in seen][::9] == ["before", "after"]
    for number, (cqe, single) in enumerate(zip(seen[1:9], singles, strict=True)):
        assert cqe.user_data is single
        assert single == CONTENT[number : number + 4]
    assert taken(ring) == [*((100 + row, 16) for row in range(4)), (200, 0), (201, 0), (202, 0)]
    assert buf == CONTENT[:64]
    idle(ring)


def test_singles_stay_in_order_through_a_run(make_ring: Opener) -> None:
    ring = make_ring(8)
    tokens = [object() for _ in range(12)]
    for token in tokens[:4]:
        ring.prep_nop(token)
    assert ring.run_nops(50) == array("i", [0] * 50)
    for token in tokens[4:8]:
        ring.prep_nop(token)
    ring.submit()
    assert ring.run_nops(5000) == array("i", [0] * 5000)
    for token in tokens[8:]:
        ring.prep_nop(token)
    ring.submit()
    seen = [cqe.user_data for cqe in ring]
    assert all(one is other for one, other in zip(seen, tokens, strict=True))
    idle(ring)


def test_a_peeked_completion_stays_first(ring: uring_rs.Ring) -> None:
    ring.prep_nop("first")
    ring.prep_nop("second")
    ring.submit(wait=2)
    shown = ring.peek()
    ring.run_nops(2000)
    assert ring.peek() is shown
    assert [cqe.user_data for cqe in ring] == ["first", "second"]


@pytest.mark.parametrize("count", [8, 100, 20_000])
def test_a_run_beside_requests_that_do_not_end(
    make_ring: Opener, pipe: Pipe, fd: int, count: int
) -> None:
    # As many as the depth: the run must have its own.
    ring = make_ring(8, cq_entries=16)
    bufs = [bytearray(1) for _ in range(15)]
    for number, buf in enumerate(bufs):
        ring.prep_read(pipe.out, buf, user_data=number)
    assert ring.run_nops(count) == array("i", [0] * count)
    assert ring.run_nops(count, depth=3) == array("i", [0] * count)
    buf = bytearray(count)
    assert ring.run_reads(fd, buf, 0, 1, results=bytearray(4 * count)) is not None
    assert ring.in_flight == 15
    pipe.feed(bytes(range(15)))
    ring.submit(wait=15)
    assert sorted(cqe.user_data for cqe in ring) == list(range(15))
    assert sorted(b"".join(bufs)) == list(range(15))


def test_a_run_waits_for_a_ring_that_others_have_filled(make_ring: Opener) -> None:
    ring = make_ring(8, cq_entries=16)
    for _ in range(16):
        ring.prep_timeout(0.05)
    assert ring.run_nops(100) == array("i", [0] * 100)
    ring.wait(16)
    assert len(ring.reap()) == 16


def test_a_run_behind_an_open_chain(make_ring: Opener) -> None:
    ring = make_ring(8)
    for count in (4, 8, 100, 5000):
        for number in range(3):
            ring.prep_nop(number, flags=uring_rs.SqeFlags.IO_LINK)
        assert ring.run_nops(count) == array("i", [0] * count)
        ring.submit()
        assert [cqe.user_data for cqe in ring] == [0, 1, 2]
    idle(ring)


def test_multishot_beside_a_run(make_ring: Opener, pipe: Pipe) -> None:
    ring = make_ring(8)
    poll = ring.prep_poll_add(pipe.out, 1, multishot=True, user_data="poll")
    ring.submit()
    for _ in range(3):
        pipe.feed()
        assert ring.run_nops(3000) == array("i", [0] * 3000)
    assert ring.is_live(poll)
    events = ring.reap()
    assert 1 <= len(events) <= 3
    assert all(cqe.more and cqe.user_data == "poll" for cqe in events)
    ring.prep_cancel(poll)
    ring.submit(wait=2)
    assert {cqe.op for cqe in ring} == {"POLL_ADD", "ASYNC_CANCEL"}
    idle(ring)


def test_wake_during_a_run_ends_the_next_wait(make_ring: Opener, pipe: Pipe) -> None:
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 13):
        pytest.skip("wake() needs Linux 6.13")
    ring = make_ring(8)
    ring.prep_read(pipe.out, bytearray(1))
    ring.wake()
    ring.run_nops(2000)
    assert ring.wait(1) == 0


def test_a_prepared_request_beside_a_batch(ring: uring_rs.Ring) -> None:
    sqe = uring_rs.Sqe.nop("pushed")
    for _ in range(3):
        ring.push(sqe)
        ring.prep_nop_batch(2)
    ring.submit(wait=9)
    assert [cqe.user_data for cqe in ring] == ["pushed"] * 3
    assert [tag for tag, _ in taken(ring)] == [0, 1] * 3


@pytest.mark.parametrize("room", [1, 2, 3, 31, 32, 33])
def test_reaping_in_portions(make_ring: Opener, room: int) -> None:
    ring = make_ring(64)
    # Twice, so that the queue of records wraps.
    for _ in range(2):
        ring.prep_nop_batch(32)
        ring.submit()
        records = bytearray(uring_rs.CQE_SIZE * room)
        assert ring.reap_into(records) == min(room, 32)
        ring.prep_nop_batch(32, tag=32)
        ring.submit()
        rest = taken(ring, room)
        assert rest == [(tag, 0) for tag in range(min(room, 32), 64)]


def test_records_of_no_size_take_nothing(ring: uring_rs.Ring) -> None:
    ring.prep_nop_batch(2)
    ring.submit()
    assert ring.reap_into(bytearray()) == 0
    assert ring.reap_into(array("q", [0] * 4)) == 2
    assert ring.reap_into(bytearray(16)) == 0


@pytest.mark.parametrize("size", [1, 15, 17, 31])
def test_records_must_be_whole(ring: uring_rs.Ring, size: int) -> None:
    ring.prep_nop_batch(2)
    ring.submit()
    odd = bytearray(size)
    with pytest.raises(BufferError, match="whole number of 16-byte records"):
        ring.reap_into(odd)
    odd.append(0)
    assert len(taken(ring)) == 2


def test_records_must_be_writable_memory(ring: uring_rs.Ring) -> None:
    ring.prep_nop_batch(1)
    ring.submit()
    for wrong in (bytes(16), memoryview(bytes(16)), memoryview(bytearray(64))[::2]):
        with pytest.raises(BufferError):
            ring.reap_into(wrong)
    for nothing in (None, 16, [0] * 16, "x" * 16):
        with pytest.raises(TypeError):
            ring.reap_into(nothing)  # type: ignore[arg-type]
    assert taken(ring) == [(0, 0)]


def test_records_as_numpy_sees_them(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    numpy = pytest.importorskip("numpy")
    dtype = uring_rs.cqe_dtype()
    assert dtype.itemsize == uring_rs.CQE_SIZE == struct.calcsize(uring_rs.CQE_FORMAT)
    fds = array("i", [fd, closed_fd, fd])
    ring.prep_read_batch(fds, bytearray(24), [0, 8, 4095], tag=2**63)
    ring.submit(wait=3)
    records = numpy.zeros(8, dtype)
    assert ring.reap_into(records) == 3
    records = records[:3]
    records.sort(order="tag")
    assert records["tag"].tolist() == [2**63, 2**63 + 1, 2**63 + 2]
    assert records["res"].tolist() == [8, -9, 1]
    assert records["flags"].tolist() == [0, 0, 0]
    # A part of an array is written in place.
    ring.prep_nop_batch(2, tag=7)
    ring.submit()
    records = numpy.zeros(8, dtype)
    assert ring.reap_into(records[3:]) == 2
    assert records["tag"].tolist() == [0, 0, 0, 7, 8, 0, 0, 0]


def test_an_array_of_records(ring: uring_rs.Ring, fd: int) -> None:
    records = uring_rs.CqeArray(4)
    assert len(records) == 4
    assert list(records) == [(0, 0, 0)] * 4
    ring.prep_read_batch(fd, bytearray(24), [0, 8, 4095], tag=2**64 - 1)
    ring.submit(wait=3)
    assert ring.reap_into(records) == 3
    assert sorted(records) == [(0, 0, 0), (0, 8, 0), (1, 1, 0), (2**64 - 1, 8, 0)]
    with pytest.raises(IndexError):
        records[4]
    view = memoryview(records)
    assert (view.itemsize, view.shape, view.strides, view.readonly) == (16, (4,), (16,), False)
    assert list(struct.iter_unpack(uring_rs.CQE_FORMAT, view)) == list(records)
    assert list(memoryview(records).cast("B")) == list(view.tobytes())
    for wrong in (0, 2**24 + 1):
        with pytest.raises(ValueError, match="length must be 1 to"):
            uring_rs.CqeArray(wrong)
    for wrong in (-1, 2**64):
        with pytest.raises(OverflowError):
            uring_rs.CqeArray(wrong)


def test_an_array_of_records_as_numpy_sees_it(ring: uring_rs.Ring) -> None:
    """With its fields' names, and without copying."""
    numpy = pytest.importorskip("numpy")
    records = uring_rs.CqeArray(3)
    seen = numpy.asarray(records)
    assert seen.dtype == uring_rs.cqe_dtype()
    assert seen.shape == (3,)
    ring.prep_nop_batch(2, tag=5)
    ring.submit(wait=2)
    assert ring.reap_into(records) == 2
    assert seen["tag"].tolist() == [5, 6, 0]
    seen["res"][1] = -7
    assert records[1] == (6, -7, 0)
    # What sees the memory keeps it.
    del records
    gc.collect()
    assert seen["tag"].tolist() == [5, 6, 0]


def test_an_eventfd_counts_batches(ring: uring_rs.Ring) -> None:
    event = os.eventfd(0)
    ring.register_eventfd(event)
    ring.prep_nop_batch(5)
    ring.submit()
    assert os.eventfd_read(event) >= 1
    ring.unregister_eventfd()
    os.close(event)


def test_a_poll_thread_serves_batches(open_ring: Opener, fd: int) -> None:
    ring = open_ring(8, sqpoll_idle_ms=1)
    assert ring.run_nops(3000) == array("i", [0] * 3000)
    buf = bytearray(4096)
    assert list(ring.run_reads(fd, buf, range(0, 4096, 16))) == [16] * 256
    assert buf == CONTENT
    done: list[tuple[int, int]] = []
    while len(done) < 100:
        # As many as can be in flight: the poll thread may not have come to the others yet.
        ring.submit(wait=ring.prep_nop_batch(100 - len(done), tag=len(done)))
        done += taken(ring)
    assert done == [(tag, 0) for tag in range(100)]

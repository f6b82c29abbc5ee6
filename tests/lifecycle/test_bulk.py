"""What bulk calls lock and let go of, and what other threads may do meanwhile."""

from __future__ import annotations

import gc
import mmap
import os
import struct
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from helpers.child import run_child

MODES = pytest.mark.parametrize("shared", [False, True], ids=["owned", "shared"])


class Buffer(bytearray):
    """A buffer that can be part of a cycle, and whose end can be seen."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def locked(buf: bytearray) -> bool:
    """Is the buffer exported, so that it cannot be resized?"""
    try:
        buf.append(0)
    except BufferError:
        return True
    del buf[-1]
    return False


def taken(ring: uring_rs.Ring) -> dict[int, int]:
    """The results of all records there are, by tag."""
    records = bytearray(uring_rs.CQE_SIZE * 4096)
    part = memoryview(records)[: ring.reap_into(records) * uring_rs.CQE_SIZE]
    return {tag: res for tag, res, _ in struct.iter_unpack(uring_rs.CQE_FORMAT, part)}


@MODES
@pytest.mark.parametrize("listed", [False, True])
def test_buffers_are_locked_exactly_while_rows_are_in_flight(
    pipe: tuple[int, int], shared: bool, listed: bool
) -> None:
    bufs = [bytearray(4) for _ in range(4)] if listed else [bytearray(16)]
    with uring_rs.Ring(8, shared=shared) as ring:
        assert ring.prep_read_batch(pipe[0], bufs if listed else bufs[0], [-1] * 4) == 4
        assert all(map(locked, bufs))
        ring.submit()
        for row in range(4):
            # Until the last row has ended, and somebody has looked.
            assert all(map(locked, bufs))
            os.write(pipe[1], b"data")
            ring.submit(wait=row + 1)
        assert not any(map(locked, bufs))
        assert taken(ring) == dict.fromkeys(range(4), 4)


@MODES
def test_reaping_lets_go(pipe: tuple[int, int], shared: bool) -> None:
    with uring_rs.Ring(8, shared=shared) as ring:
        looks: list[Callable[[], object]] = [
            lambda: taken(ring),
            lambda: ring.reap(),
            lambda: next(ring, None),
            lambda: ring.peek(),
            lambda: ring.cq_ready,
            lambda: ring.run_nops(3),
            lambda: ring.wait(1),
            lambda: ring.submit(wait=1),
        ]
        for look in looks:
            buf = bytearray(4)
            ring.prep_read_batch(pipe[0], buf, -1)
            ring.submit()
            os.write(pipe[1], b"data")
            assert locked(buf)
            look()
            assert not locked(buf)
            assert buf == b"data"
            taken(ring)


def test_references_go_back_to_where_they_were(pipe: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    files = [path.open("r+b"), path.open("r+b")]
    bufs = [bytearray(8), bytearray(8)]
    offsets, lengths, results = [0, 8], array("I", [8, 8]), array("i", [0, 0])
    with uring_rs.Ring(8) as ring, ring.buffer_pool(1, 16) as pool, pool.take() as fixed:
        watched = [*files, *bufs, files, bufs, offsets, lengths, results, fixed, ring]

        def counts() -> list[int]:
            return [sys.getrefcount(each) for each in watched]

        def work() -> None:
            ring.run_reads(files, bufs, offsets, lengths, results=results)
            ring.run_writes(files[0], bufs, offsets, lengths, results=results)
            ring.run_reads(files[0], fixed, offsets, 8)
            ring.prep_read_batch(files, bufs, offsets, lengths)
            ring.discard()
            ring.prep_write_batch(files[1], fixed, offsets, 8)
            ring.submit(wait=2)
            taken(ring)
            for wrong in ([0], [-9, 0], ["0", "8"]):
                with pytest.raises((ValueError, TypeError)):
                    ring.run_reads(files, bufs, wrong, lengths, results=results)  # type: ignore[arg-type]
            with pytest.raises(BufferError):
                ring.run_reads(files, fixed, offsets, 8, results=b"no place")

        before = counts()
        for _ in range(20):
            work()
        assert counts() == before
    for file in files:
        file.close()


def test_owners_are_collected_with_their_batch(pipe: tuple[int, int]) -> None:
    with uring_rs.Ring(8) as ring:
        buf = Buffer(4)
        gone = weakref.ref(buf)
        buf.itself = buf  # type: ignore[attr-defined]
        ring.prep_read_batch(pipe[0], buf, [-1] * 4)
        del buf
        ring.submit()
        gc.collect()
        # The kernel is to write to it.
        assert gone() is not None
        os.write(pipe[1], b"data")
        ring.submit(wait=4)
        gc.collect()
        assert gone() is None
        assert taken(ring) == dict.fromkeys(range(4), 1)


@MODES
def test_a_ring_dropped_with_a_batch_in_flight(pipe: tuple[int, int], shared: bool) -> None:
    staged, flying = bytearray(4), bytearray(4)
    ring = uring_rs.Ring(8, shared=shared)
    ring.prep_read_batch(pipe[0], flying, [-1] * 4)
    ring.submit()
    ring.prep_read_batch(pipe[0], staged, [-1] * 4)
    rings = [ring]
    del ring
    with pytest.warns(ResourceWarning, match="4 requests in flight and 4 staged"):
        rings.clear()
    assert not locked(staged)
    assert not locked(flying)


def test_a_ring_dropped_by_another_thread_with_a_batch_staged(pipe: tuple[int, int]) -> None:
    buf = bytearray(4)
    # Made here: without a GIL an object comes to its end in the thread that made it.
    rings = [uring_rs.Ring(8)]
    dropped = threading.Event()
    made = threading.Event()

    def work() -> None:
        rings[0].prep_read_batch(pipe[0], buf, [-1] * 4)
        made.set()
        dropped.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    made.wait(20)
    with pytest.warns(ResourceWarning, match="0 requests in flight and 4 staged"):
        rings.clear()
    assert not locked(buf)
    dropped.set()
    thread.join()


@MODES
def test_close_with_a_batch_in_flight_returns_and_unlocks(
    pipe: tuple[int, int], shared: bool
) -> None:
    bufs = [bytearray(4) for _ in range(12)]
    ring = uring_rs.Ring(8, shared=shared)
    assert ring.prep_read_batch(pipe[0], bufs, -1) == 12
    start = time.monotonic()
    ring.close()
    assert time.monotonic() - start < 5
    assert not any(map(locked, bufs))
    assert ring.in_flight == 0
    # Four were still staged: nothing came of them.
    assert set(taken(ring).values()) == {-125}


def test_threads_that_share_a_ring() -> None:
    file = os.memfd_create("numbers")
    numbers = array("I", range(4096))
    os.write(file, numbers.tobytes())
    wrong: list[object] = []

    with uring_rs.Ring(8, shared=True) as ring:

        def run(part: int) -> None:
            for _ in range(8):
                found = array("I", bytes(4 * 1024))
                offsets = range(4096 * part, 4096 * (part + 1), 4)
                results = ring.run_reads(file, found, offsets)
                if set(results) != {4} or found != numbers[1024 * part : 1024 * (part + 1)]:
                    wrong.append((part, results))

        threads = [threading.Thread(target=run, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        # Singles and batches of this thread between theirs.
        tokens, tags = [], {}
        for round in range(100):
            while True:
                try:
                    ring.prep_nop(round)
                    break
                except uring_rs.SubmissionQueueFull:
                    ring.wait(0)
            staged = 0
            while staged < 3:
                try:
                    staged += ring.prep_nop_batch(3 - staged, tag=3 * round + staged)
                except uring_rs.SubmissionQueueFull:
                    ring.wait(0)
            ring.submit()
            tokens += [cqe.user_data for cqe in ring]
            tags.update(taken(ring))
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        ring.submit()
        tokens += [cqe.user_data for cqe in ring]
        tags.update(taken(ring))
        assert wrong == []
        assert tokens == list(range(100))
        assert tags == dict.fromkeys(range(300), 0)
        assert ring.in_flight == 0
        assert ring.stray_completions == 0
    os.close(file)


def test_close_while_another_thread_runs(pipe: tuple[int, int]) -> None:
    for _ in range(5):
        ring = uring_rs.Ring(8, shared=True)
        buf = bytearray(100)
        ended: list[object] = []

        def run(ring: uring_rs.Ring = ring, buf: bytearray = buf, ended: list = ended) -> None:
            try:
                ended.append(ring.run_reads(pipe[0], buf, [-1] * 100))
            except uring_rs.RingClosed as error:
                ended.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        while ring.in_flight < 8:
            time.sleep(0)
        ring.close()
        thread.join(20)
        assert not thread.is_alive()
        assert isinstance(ended[0], uring_rs.RingClosed)
        ended.clear()
        assert not locked(buf)


@MODES
def test_other_threads_run_while_one_waits_in_a_run(pipe: tuple[int, int], shared: bool) -> None:
    turns = 0
    stop = threading.Event()
    with uring_rs.Ring(8, shared=shared) as ring:

        def turn() -> None:
            nonlocal turns
            while turns < 2000:
                turns += 1
            # Without its turns the run would never end.
            os.write(pipe[1], b"data" * 25)
            stop.set()

        thread = threading.Thread(target=turn)
        thread.start()
        assert list(ring.run_reads(pipe[0], bytearray(100), [-1] * 100)) == [1] * 100
        assert stop.wait(20)
        thread.join()


def test_other_threads_run_during_a_large_run() -> None:
    # All of it is copied within the calls: with the interpreter locked all would stand still.
    size, count = 4 << 20, 64
    file = os.memfd_create("cached")
    os.truncate(file, size)
    os.pwrite(file, b"end", size - 3)
    memory = mmap.mmap(-1, size * count)
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    with uring_rs.Ring(count) as ring:
        thread.start()
        while not ticks:
            time.sleep(0)
        start = time.monotonic()
        results = ring.run_reads(file, memory, [0] * count)
        end = time.monotonic()
        stop.set()
        thread.join()
    assert set(results) == {size}
    assert memory[-3:] == b"end"
    assert sum(start < at < end for at in ticks) > 50
    memory.close()
    os.close(file)


@MODES
def test_collections_during_a_run_of_another_thread(shared: bool) -> None:
    run_child(
        f"""
        import gc, os, threading, uring_rs
        file = os.memfd_create("content")
        os.write(file, bytes(range(256)) * 16)
        stop = False
        rings = [uring_rs.Ring(8, shared={shared}) for _ in range(2)]
        def run(ring):
            tokens = [[] for _ in range(8)]
            for token in tokens:
                token.append(tokens)
            while not stop:
                for token in tokens:
                    ring.prep_nop(token)
                buf = bytearray(4096 * 4)
                results = ring.run_reads(file, buf, [0] * 1024, 16)
                assert set(results) == {{16}}
                assert list(ring.run_nops(3000)) == [0] * 3000
                if {shared}:
                    # Whose they are is not told apart.
                    ring.reap()
                else:
                    ring.submit(wait=8)
                    assert all(cqe.user_data is token for cqe, token in zip(ring, tokens))
        threads = [threading.Thread(target=run, args=(rings[number % (2 - {shared})],))
                   for number in range(2)]
        for thread in threads: thread.start()
        for _ in range(300):
            gc.collect()
            gc.get_referents(*rings)
        stop = True
        for thread in threads: thread.join()
        for ring in rings:
            if {shared}:
                ring.close()
        """,
        timeout=50,
        options=["-W", "ignore"],
    )

"""Memory that is lent: given back by one thread while another begins to use it."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

import uring_rs
from helpers.together import THREADS, together

pytestmark = pytest.mark.once

ROUNDS = 200


def test_a_buffer_is_given_back_or_viewed_but_not_both() -> None:
    pool = uring_rs.AlignedPool(1, 4096)
    for _ in range(ROUNDS):
        buffer = pool.acquire()
        seen: list[str] = []

        def use(number: int, buffer: uring_rs.FixedBuffer = buffer, seen: list[str] = seen) -> None:
            if number % 2:
                try:
                    buffer.release()
                except BufferError:
                    return
                seen.append("released")
            else:
                try:
                    view = memoryview(buffer)
                except ValueError:
                    return
                # Nobody else can have it as long as there is a view.
                assert pool.available == 0
                seen.append("viewed")
                view.release()

        together(use, 4)
        buffer.release()
        assert pool.available == 1
        assert seen


def test_one_of_many_gives_a_buffer_back() -> None:
    pool = uring_rs.AlignedPool(2, 64)
    for _ in range(ROUNDS):
        buffer = pool.acquire()
        together(lambda _, buffer=buffer: buffer.release(), 4)  # type: ignore[misc]
        # Twice in the list, it would be lent to two.
        assert pool.available == 2
        assert {pool.acquire().index, pool.acquire().index} <= {0, 1}


def test_a_buffer_is_never_two_threads() -> None:
    pool = uring_rs.AlignedPool(THREADS // 2, 64)

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            try:
                buffer = pool.acquire()
            except BufferError:
                continue
            with buffer, memoryview(buffer) as view:
                view[:] = bytes([number]) * 64
                assert view == bytes([number]) * 64

    together(work)
    assert pool.available == THREADS // 2


@pytest.mark.requires_op("NOP")
def test_pooled_buffers_are_queued_once() -> None:
    with uring_rs.Ring(8, shared=True) as ring, ring.buffer_ring(4, 64, sending=True) as pool:
        for _ in range(ROUNDS // 4):
            buffer = pool.take()
            outcome: Counter[str] = Counter()
            lock = threading.Lock()

            def use(
                number: int,
                buffer: uring_rs.PooledBuffer = buffer,
                lock: threading.Lock = lock,
                outcome: Counter[str] = outcome,
            ) -> None:
                try:
                    if number % 2:
                        buffer.queue(8)
                    else:
                        buffer.release()
                        return
                except (BufferError, ValueError):
                    return
                with lock:
                    outcome["queued"] += 1

            together(use, 4)
            assert outcome["queued"] <= 1
            assert buffer.released
            if outcome["queued"]:
                break
        assert pool.available + pool.taken + pool.free == 4


def test_records_are_read_while_they_are_written() -> None:
    records = uring_rs.CqeArray(64)
    with uring_rs.Ring(64, shared=True) as ring:
        stop = threading.Event()

        def work(number: int) -> None:
            if number:
                while not stop.is_set():
                    assert all(
                        record[1:] == (0, 0) for record in map(records.__getitem__, range(64))
                    )
                return
            try:
                for round_ in range(ROUNDS):
                    assert ring.prep_nop_batch(64, tag=round_) == 64
                    ring.submit(wait=64)
                    taken = 0
                    while taken < 64:
                        taken += ring.reap_into(records)
            finally:
                stop.set()

        together(work, 4)

"""Bulk calls: columns that make no sense, memory locked and let go, runs that are broken off."""

from __future__ import annotations

import array
import gc
import os
import sys
import threading
from collections.abc import Iterator

import pytest

import uring_rs
from helpers.child import run_child


@pytest.fixture
def ring() -> Iterator[uring_rs.Ring]:
    with uring_rs.Ring(8) as ring:
        yield ring
        assert ring.in_flight == 0


@pytest.fixture
def zero() -> Iterator[int]:
    fd = os.open("/dev/zero", os.O_RDWR)
    yield fd
    os.close(fd)


BAD_COLUMNS = [
    ({"offsets": [0, -2]}, ValueError),
    ({"offsets": ["0", "1"]}, TypeError),
    ({"offsets": array.array("d", [0, 1])}, TypeError),
    ({"offsets": [1 << 63]}, OverflowError),
    ({"offsets": array.array("Q", [1 << 63])}, ValueError),
    ({"offsets": memoryview(bytes(4)).cast("B", (2, 2))}, TypeError),
    ({"offsets": None}, TypeError),
    ({"nbytes": [4, -1]}, ValueError),
    ({"nbytes": [1 << 32, 0]}, ValueError),
    ({"nbytes": 5}, ValueError),
    ({"nbytes": [8, 1]}, ValueError),
    ({"nbytes": [(1 << 32) - 1] * 2}, ValueError),
    ({"nbytes": [1, 2, 3]}, ValueError),
    ({"files": array.array("i", [-1, 0])}, ValueError),
    ({"files": array.array("q", [1 << 40, 0])}, ValueError),
    ({"files": [-1, 0]}, ValueError),
    ({"files": ["0", "1"]}, TypeError),
    ({"files": None}, TypeError),
    ({"files": [0]}, ValueError),
    ({"bufs": b"read-only"}, BufferError),
    ({"bufs": [bytearray(4), b"bytes"]}, BufferError),
    ({"bufs": [bytearray(4)]}, ValueError),
    ({"bufs": memoryview(bytearray(16))[::2]}, BufferError),
    ({"bufs": 3}, TypeError),
    ({"bufs": [bytearray(4), bytearray(4)], "nbytes": 5}, ValueError),
    ({"flags": uring_rs.SqeFlags.IO_LINK}, ValueError),
    ({"flags": uring_rs.SqeFlags.BUFFER_SELECT}, ValueError),
    ({"flags": 1 << 9}, ValueError),
]


@pytest.mark.parametrize(("wrong", "error"), BAD_COLUMNS, ids=repr)
def test_bad_columns(
    ring: uring_rs.Ring, zero: int, wrong: dict[str, object], error: type[Exception]
) -> None:
    buf = bytearray(8)
    arguments: dict[str, object] = {"files": zero, "bufs": buf, "offsets": [0, 4], **wrong}
    for call in (ring.prep_read_batch, ring.run_reads):
        with pytest.raises((error, BufferError) if error is BufferError else error):
            call(**arguments)
    assert ring.in_flight == 0
    buf.append(0)


def test_bad_results(ring: uring_rs.Ring, zero: int) -> None:
    buf = bytearray(8)
    for results in (bytes(8), bytearray(7), array.array("i", [0]), array.array("d", [0, 0]), 3):
        with pytest.raises((TypeError, BufferError)):
            ring.run_reads(zero, buf, [0, 4], results=results)
    for records in (bytes(64), 3, None):
        with pytest.raises((TypeError, BufferError)):
            ring.reap_into(records)
    for count in (-1, (1 << 24) + 1, 1 << 70):
        with pytest.raises((ValueError, OverflowError)):
            ring.prep_nop_batch(count)
    with pytest.raises((ValueError, OverflowError)):
        ring.run_nops(3, depth=-1)
    buf.append(0)


def test_refused_calls_let_go_of_their_buffers(zero: int) -> None:
    buf, results = bytearray(8), array.array("i", [0, 0])

    def refused(ring: uring_rs.Ring, error: type[Exception]) -> None:
        for call in (
            lambda: ring.prep_read_batch(zero, buf, [0, 4]),
            lambda: ring.prep_read_batch(zero, [buf, buf], 0),
            lambda: ring.run_reads(zero, buf, [0, 4], results=results),
            lambda: ring.run_writes(zero, [buf], 0),
        ):
            with pytest.raises(error):
                call()
        buf.append(0)
        buf.pop()
        results.append(0)
        results.pop()

    ring = uring_rs.Ring(8)
    ring.submit()
    thread = threading.Thread(target=refused, args=(ring, uring_rs.WrongThread))
    thread.start()
    thread.join()
    ring.close()
    refused(ring, uring_rs.RingClosed)
    before = sys.getrefcount(buf)
    refused(ring, uring_rs.RingClosed)
    assert sys.getrefcount(buf) == before


@pytest.mark.parametrize("end", ["complete", "close", "drop", "discard", "exit"])
def test_memory_of_a_batch_is_locked_until_its_last_request_ends(end: str) -> None:
    run_child(
        f"""
        import gc, os, sys, warnings, uring_rs
        warnings.simplefilter("ignore", ResourceWarning)
        end = "{end}"
        read, write = os.pipe()
        buf = bytearray(8)
        ring = uring_rs.Ring(8)
        assert ring.prep_read_batch(read, buf, [-1] * 4) == 4
        def locked():
            try:
                buf.append(0)
            except BufferError:
                return True
            del buf[8:]
            return False
        assert locked()
        if end == "discard":
            assert ring.discard() == 4
            assert not locked()
        ring.submit()
        assert locked() or end == "discard"
        if end == "exit":
            sys.exit(0)
        if end == "complete":
            os.write(write, b"aabbcc")
            while ring.in_flight > 1: ring.wait(1, 0.1); ring.reap_into(bytearray(16 * 8))
            assert locked()
            os.write(write, b"dd")
            while ring.in_flight: ring.wait(1, 0.1); ring.reap_into(bytearray(16 * 8))
            assert bytes(sorted(buf)) == b"aabbccdd"
        elif end == "close":
            ring.close()
        elif end == "drop":
            del ring
            gc.collect()
        assert not locked()
        """
    )


@pytest.mark.parametrize("how", ["signal", "close from a handler", "dropped"])
def test_a_run_that_is_broken_off(how: str) -> None:
    run_child(
        f"""
        import array, gc, os, signal, uring_rs, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        how = {how!r}
        class Enough(Exception):
            pass
        def handler(number, frame):
            if how == "close from a handler":
                ring.close()
            else:
                raise Enough
        signal.signal(signal.SIGALRM, handler)
        read, write = os.pipe()
        buf, results = bytearray(64), array.array("i", [77]) * 64
        ring = uring_rs.Ring(8)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            ring.run_reads(read, buf, [-1] * 64, 1, results=results)
        except (Enough, uring_rs.RingClosed):
            pass
        else:
            raise SystemExit("the run ended")
        if how == "signal":
            # The rows that the kernel has go on, and so does the lock on their memory.
            for thing in (buf, results):
                try:
                    thing.append(0)
                except BufferError:
                    continue
                raise SystemExit("not locked")
            staged = ring.in_flight
            assert 0 < staged <= 16, staged
            os.write(write, b"x" * staged)
            while ring.in_flight: ring.wait(1, 0.1)
            assert buf.count(b"x") == staged, buf
            assert list(results).count(1) == staged, results
        elif how == "dropped":
            del ring
            gc.collect()
        buf.append(0)
        results.append(0)
        if how != "dropped": ring.close()
        """
    )


@pytest.mark.parametrize("shared", [False, True])
def test_collections_and_threads_during_runs(shared: bool) -> None:
    run_child(
        f"""
        import array, gc, os, sys, threading, uring_rs
        sys.setswitchinterval(1e-5)
        zero = os.open("/dev/zero", os.O_RDONLY)
        class Node:
            def __init__(self): self.me = self
        with uring_rs.Ring(16, shared={shared}) as ring:
            stop = False
            def others():
                while not stop:
                    Node(); gc.collect(0); gc.get_referents(ring)
                    if {shared}:
                        try:
                            ring.prep_nop(user_data=Node())
                            ring.submit()
                        except uring_rs.SubmissionQueueFull:
                            pass
                        ring.reap()
            threads = [threading.Thread(target=others) for _ in range(2)]
            for thread in threads: thread.start()
            try:
                for step in range(40):
                    buf = bytearray(b"x" * 64 * 2000)
                    results = ring.run_reads(zero, buf, range(2000), 64)
                    assert results.tolist() == [64] * 2000
                    assert not any(buf)
            finally:
                stop = True
                for thread in threads: thread.join()
        """,
        timeout=50,
    )


def test_requests_beside_a_run_come_back_afterwards(ring: uring_rs.Ring, zero: int) -> None:
    for number in range(5):
        ring.prep_read(zero, bytearray(4), user_data=number)
    assert list(ring.run_nops(1000)) == [0] * 1000
    assert [cqe.user_data for cqe in ring] == list(range(5))


def test_files_of_a_generator_are_kept_open(ring: uring_rs.Ring) -> None:
    class Zero:
        def __init__(self) -> None:
            self.fd = os.open("/dev/zero", os.O_RDONLY)

        def fileno(self) -> int:
            return self.fd

        def __del__(self) -> None:
            os.close(self.fd)

    buf = bytearray(b"xxxx")
    files = (Zero() for _ in range(2))
    ring.prep_read_batch(files, buf, 0)
    gc.collect()
    ring.submit(wait=0)
    while ring.in_flight:
        ring.wait(1, 0.1)
    assert buf == bytes(4)
    assert ring.reap_into(bytearray(64)) == 2


def test_a_run_from_a_forked_child() -> None:
    run_child(
        """
        import os, uring_rs
        read, write = os.pipe()
        ring = uring_rs.Ring(8)
        buf = bytearray(4)
        ring.prep_read_batch(read, buf, [-1] * 4)
        ring.submit()
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (lambda: ring.run_nops(3), lambda: ring.prep_nop_batch(3),
                         lambda: ring.reap_into(bytearray(64))):
                try: call()
                except uring_rs.ForkedRing: refused += 1
            del ring
            os._exit(refused != 3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.write(write, b"data")
        while ring.in_flight: ring.wait(1, 0.1)
        assert bytes(sorted(buf)) == b"aadt", buf
        ring.close()
        """
    )

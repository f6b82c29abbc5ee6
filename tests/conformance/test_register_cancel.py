"""cancel_sync: cancelling without a request, waiting for what runs."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import Pair, Pipe, idle, one, several
from uring_rs import Op, SqeFlags

pytestmark = pytest.mark.requires_op("READ", "RECV", "TIMEOUT")

CANCELED = -errno.ECANCELED


def read(ring: uring_rs.Ring, pipe: Pipe, tag: object = "read") -> uring_rs.Request:
    return ring.prep_read(pipe.out, bytearray(4), user_data=tag)


def tags(ring: uring_rs.Ring, count: int) -> list[object]:
    """The user_data of so many cancelled requests, sorted."""
    found = several(ring, count)
    assert {cqe.res for cqe in found} <= {CANCELED}
    return sorted(str(cqe.user_data) for cqe in found)


def test_one_request(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(4)
    request = ring.prep_read(pipe.out, buf, user_data="read")
    ring.submit()
    with pytest.raises(BufferError):
        buf.append(0)
    assert ring.cancel_sync(request) == 1
    assert tags(ring, 1) == ["read"]
    buf.append(0)
    assert ring.cancel_sync(request) == 0
    idle(ring)


def test_nothing_there(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_nop()
    one(ring)
    assert ring.cancel_sync(request) == 0
    assert ring.cancel_sync(file=pipe.out) == 0
    assert ring.cancel_sync(op="READ", all=True) == 0
    assert ring.cancel_sync(all=True) == 0


def test_by_file(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    first, second = pipes(), pipes()
    for tag in ("a", "b", "c"):
        read(ring, first, tag)
    other = read(ring, second, "other")
    ring.submit()
    assert ring.cancel_sync(file=first.out, all=True) == 3
    assert tags(ring, 3) == ["a", "b", "c"]
    assert ring.is_live(other)
    assert ring.cancel_sync(file=second.out) == 1
    assert tags(ring, 1) == ["other"]


def test_by_operation(ring: uring_rs.Ring, pipe: Pipe, pair: Pair) -> None:
    read(ring, pipe)
    ring.prep_recv(pair[0], bytearray(4), user_data="recv")
    ring.prep_timeout(10_000, user_data="timeout")
    ring.submit()
    assert ring.cancel_sync(op="RECV") == 1
    assert tags(ring, 1) == ["recv"]
    assert ring.cancel_sync(op=Op.TIMEOUT, all=True) == 1
    assert tags(ring, 1) == ["timeout"]
    assert ring.cancel_sync(op=int(Op.READ), file=pipe.out) == 1
    assert tags(ring, 1) == ["read"]


def test_all_that_is_asked_must_match(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    first, second = pipes(), pipes()
    request = read(ring, first)
    ring.submit()
    assert ring.cancel_sync(request, file=second.out) == 0
    assert ring.cancel_sync(request, op="RECV") == 0
    assert ring.is_live(request)
    assert ring.cancel_sync(request, file=first.out, op="READ") == 1
    assert tags(ring, 1) == ["read"]


def test_everything(ring: uring_rs.Ring, pipe: Pipe, pair: Pair) -> None:
    for tag in ("a", "b"):
        read(ring, pipe, tag)
    ring.prep_recv(pair[0], bytearray(4), user_data="c")
    ring.submit()
    assert ring.cancel_sync(all=True) == 3
    assert tags(ring, 3) == ["a", "b", "c"]


def test_batches_too(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(8)
    ring.prep_read_batch(pipe.out, buf, [0, 0], 4)
    ring.submit()
    assert ring.cancel_sync(all=True) == 2
    ring.wait(2)
    records = bytearray(32)
    assert ring.reap_into(records) == 2
    buf.append(0)


def test_what_is_staged_is_not_looked_at(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = read(ring, pipe)
    assert ring.cancel_sync(request) == 0
    assert ring.sq_ready == 1
    pipe.feed(b"data")
    assert one(ring).res == 4


def test_linked_requests_go_with_it(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_read(pipe.out, bytearray(4), flags=SqeFlags.IO_LINK, user_data="a")
    ring.prep_nop(user_data="b")
    ring.submit()
    assert ring.cancel_sync(request) == 1
    assert tags(ring, 2) == ["a", "b"]


def test_of_another_ring(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    mine, other = make_ring(4), make_ring(4)
    request = read(other, pipe)
    other.submit()
    with pytest.raises(ValueError, match="belongs to another ring"):
        mine.cancel_sync(request)
    assert mine.cancel_sync(all=True) == 0
    assert other.is_live(request)


def test_bad_arguments(ring: uring_rs.Ring, closed_fd: int) -> None:
    with pytest.raises(TypeError, match="all=True"):
        ring.cancel_sync()
    for wrong in (1, "READ", object()):
        with pytest.raises(TypeError):
            ring.cancel_sync(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no operation"):
        ring.cancel_sync(op="nothing")
    for number in (-1, 256):
        with pytest.raises(OverflowError):
            ring.cancel_sync(op=number)
    with pytest.raises(ValueError, match="negative"):
        ring.cancel_sync(file=-1)
    with pytest.raises(ValueError, match="negative"):
        ring.cancel_sync(all=True, timeout=-1)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.cancel_sync(file=closed_fd)
    assert caught.value.errno == errno.EBADF


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.cancel_sync(all=True)


def test_from_other_threads(open_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    """Many threads cancel what one submits: every request ends once."""
    ring = open_ring(64, shared=True)
    rounds, width = 20, 16
    stop = threading.Event()

    def cancel() -> None:
        while not stop.is_set():
            ring.cancel_sync(op="READ", all=True)

    threads = [threading.Thread(target=cancel) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(rounds):
            for tag in range(width):
                read(ring, pipe, tag)
            found = several(ring, width)
            assert {cqe.user_data for cqe in found} == set(range(width))
            assert {cqe.res for cqe in found} == {CANCELED}
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_ring_is_closed_meanwhile(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(8, shared=True)
    started = threading.Event()
    found: list[str] = []

    def cancel() -> None:
        try:
            while True:
                ring.cancel_sync(all=True)
                started.set()
        except uring_rs.RingClosed:
            found.append("closed")

    thread = threading.Thread(target=cancel)
    thread.start()
    started.wait()
    ring.close()
    thread.join()
    assert found == ["closed"]


@pytest.mark.requires_op("OPENAT")
def test_waits_for_one_that_runs(ring: uring_rs.Ring, tmp_path: Path) -> None:
    """A worker that waits inside of open is interrupted, and its end awaited."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for _ in range(20):
        request = ring.prep_openat(fifo, os.O_RDONLY, flags=SqeFlags.ASYNC)
        ring.submit()
        assert ring.cancel_sync(request) == 1
        # Interrupted, in the kernel's own code for it (ERESTARTSYS) or in the outside one.
        assert one(ring).res in (CANCELED, -errno.EINTR, -512)


def test_one_that_does_not_end() -> None:
    """What the kernel says of a request that runs on is passed on when the time is up, and before
    that asked again."""
    sim = uring_rs.SimKernel()
    with uring_rs.Ring(8, kernel=sim) as ring:
        ring.prep_nop()
        one(ring)
        sim.fail_call("register", 0, errno.ETIME)
        with pytest.raises(TimeoutError, match="running"):
            ring.cancel_sync(all=True, timeout=0)
        sim.fail_call("register", 0, errno.ETIME)
        assert ring.cancel_sync(all=True) in (0, 1)
        sim.fail_call("register", 0, errno.EINTR)
        assert ring.cancel_sync(all=True) in (0, 1)
        assert sim.faults_left == 0


def test_does_not_wait_without_need(ring: uring_rs.Ring, pipe: Pipe) -> None:
    read(ring, pipe)
    ring.submit()
    began = time.monotonic()
    assert ring.cancel_sync(file=pipe.out, timeout=60) == 1
    assert time.monotonic() - began < 30
    assert tags(ring, 1) == ["read"]

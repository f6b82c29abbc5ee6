"""Exceptions in the body of `with`, buffers and objects that go away under a request."""

from __future__ import annotations

import array
import gc
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from helpers.child import run_child


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("shared", [False, True])
def test_an_exception_in_the_body(pipe: tuple[int, int], shared: bool) -> None:
    reader, writer = pipe
    idle, quiet = os.pipe()
    in_flight, staged = bytearray(4), b"staged"
    before = sys.getrefcount(staged)
    requests = []

    def body(ring: uring_rs.Ring) -> None:
        with ring:
            requests.append(ring.prep_read(idle, in_flight, user_data="in flight"))
            ring.submit()
            ring.prep_write(writer, staged)
            ring.prep_write(writer, staged)
            raise ZeroDivisionError

    ring = uring_rs.Ring(8, shared=shared)
    with pytest.raises(ZeroDivisionError):
        body(ring)
    (request,) = requests
    assert ring.closed
    # What was staged never ran.
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    assert sys.getrefcount(staged) == before
    # What was in flight was cancelled, and says so.
    (cqe,) = ring.reap()
    assert (cqe.user_data, cqe.res) == ("in flight", -125)
    assert cqe.request == request
    assert not ring.is_live(request)
    in_flight.append(0)
    os.write(quiet, b"late")
    assert in_flight == bytes(5)
    os.close(idle)
    os.close(quiet)


def test_leaving_the_body_does_not_submit(pipe: tuple[int, int]) -> None:
    with uring_rs.Ring(8) as ring:
        ring.prep_write(pipe[1], b"never")
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)
    assert ring.reap() == []


def test_what_was_published_and_not_taken_never_runs(pipe: tuple[int, int]) -> None:
    with uring_rs.Ring(8) as ring:
        ring.prep_write(pipe[1], b"never")
        assert ring.flush() == 1
        assert ring.discard() == 0
    with pytest.raises(BlockingIOError):
        os.read(pipe[0], 1)


MAKERS: dict[str, Callable[[], object]] = {
    "bytearray": lambda: bytearray(64),
    "array": lambda: array.array("b", bytes(64)),
    "mmap": lambda: mmap.mmap(-1, 64),
    "memoryview": lambda: memoryview(bytearray(64)),
    "slice": lambda: memoryview(bytearray(128))[32:96],
}

GROW: dict[str, Callable[..., object]] = {
    "bytearray": lambda b: b.append(0),
    "array": lambda b: b.append(0),
    "mmap": lambda b: b.close(),
    "memoryview": lambda b: b.release(),
    "slice": lambda b: b.release(),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_buffer_is_locked_from_prep_to_completion(kind: str, pipe: tuple[int, int]) -> None:
    buf, grow = MAKERS[kind](), GROW[kind]
    before = sys.getrefcount(buf)
    with uring_rs.Ring(8) as ring:
        ring.prep_read(pipe[0], buf)
        with pytest.raises(BufferError):
            grow(buf)
        ring.submit()
        with pytest.raises(BufferError):
            grow(buf)
        os.write(pipe[1], b"now")
        ring.wait()
        assert ring.pop().res == 3
        assert memoryview(buf)[:3].tobytes() == b"now"
        assert sys.getrefcount(buf) == before
        grow(buf)


def test_every_way_of_resizing_a_bytearray(pipe: tuple[int, int]) -> None:
    buf = bytearray(b"content")
    with uring_rs.Ring(8) as ring:
        ring.prep_read(pipe[0], buf)
        ring.submit()
        for change in (
            lambda: buf.extend(b"xy"),
            buf.clear,
            buf.pop,
            lambda: buf.insert(0, 1),
            lambda: buf.__iadd__(b"x"),
            lambda: buf.__imul__(2),
            lambda: buf.__delitem__(slice(0, 2)),
            lambda: buf.__setitem__(slice(0, 2), b"longer"),
            lambda: buf.remove(ord("c")),
            lambda: buf.__init__(100),
        ):
            with pytest.raises(BufferError):
                change()
    assert buf == b"content"
    buf.clear()


def test_objects_dropped_in_flight(pipe: tuple[int, int]) -> None:
    class Kept:
        """Something that can be seen to die."""

    class File(Kept):
        def fileno(self) -> int:
            return pipe[0]

    class Buffer(bytearray):
        pass

    with uring_rs.Ring(8) as ring:
        buf, token, file = Buffer(4), Kept(), File()
        alive = [weakref.ref(each) for each in (buf, token, file)]
        ring.prep_read(file, buf, user_data=token)
        del buf, token, file
        gc.collect()
        assert all(each() is not None for each in alive)
        ring.submit()
        gc.collect()
        assert all(each() is not None for each in alive)
        os.write(pipe[1], b"data")
        cqe = ring.wait_cqe()
        assert cqe.user_data is alive[1]()
        assert [each() is None for each in alive] == [True, False, True]
        del cqe
        assert alive[1]() is None


def test_a_dropped_request_runs_on(pipe: tuple[int, int]) -> None:
    with uring_rs.Ring(8) as ring:
        buf = bytearray(4)
        request = ring.prep_read(pipe[0], buf)
        ring.submit()
        del request
        gc.collect()
        os.write(pipe[1], b"data")
        assert ring.wait_cqe().res == 4
        assert buf == b"data"


def test_memory_of_dropped_buffers_is_not_reused_in_flight() -> None:
    # The peers wrote tens of thousands of bytes into other objects here.
    run_child(
        """
        import gc, os, uring_rs
        read, write = os.pipe()
        size, count = 2000, 16
        with uring_rs.Ring(count) as ring:
            for _ in range(count):
                ring.prep_read(read, bytearray(size))
            ring.submit()
            gc.collect()
            others = [bytearray(size) for _ in range(count * 8)]
            os.write(write, b"X" * (size * count))
            ring.wait(count)
            assert sum(cqe.res for cqe in ring) == size * count
            assert all(other == bytes(size) for other in others)
        """
    )


def test_results_that_nobody_takes(tmp_path: object) -> None:
    # Descriptors opened by requests that were never looked at are closed with the ring; the check
    # after every test sees them otherwise.
    for how in ("close", "skip", "drop"):
        ring = uring_rs.Ring(8)
        flags = uring_rs.SqeFlags.CQE_SKIP_SUCCESS if how == "skip" else 0
        for _ in range(4):
            ring.prep_openat("/dev/null", flags=flags)
        ring.submit()
        if how == "drop":
            with pytest.warns(ResourceWarning):
                del ring
        else:
            ring.close()

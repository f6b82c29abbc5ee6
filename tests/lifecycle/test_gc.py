"""The collector: it sees tokens, never buffers in flight, and may run at any moment."""

from __future__ import annotations

import gc
import os
import warnings
import weakref
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from helpers.child import run_child


class Thing:
    """Something to hang attributes on and to see die."""


class Buffer(bytearray):
    """A buffer that can be part of a cycle."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_tokens_are_shown_and_buffers_in_flight_are_not(pipe: tuple[int, int]) -> None:
    buf, file, token, done = Buffer(4), Thing(), Thing(), Thing()
    file.fileno = lambda: pipe[0]  # type: ignore[attr-defined]
    with uring_rs.Ring(8) as ring:
        ring.prep_nop(user_data=done)
        ring.submit(wait=1)
        shown = ring.peek()
        ring.prep_read(file, buf, user_data=token)
        for _ in range(2):
            found = gc.get_referents(ring)
            assert any(each is token for each in found)
            assert any(each is shown for each in found)
            assert not any(each is buf or each is file for each in found)
            assert not any(isinstance(each, memoryview) for each in found)
            ring.submit()
        sqe = uring_rs.Sqe.read(file, buf, user_data=token)
        found = gc.get_referents(sqe)
        assert any(each is token for each in found)
        assert not any(each is buf or each is file for each in found)


def test_a_cycle_through_a_buffer_in_flight_is_not_collected() -> None:
    # Where buffers are shown to the collector, it releases the memory under the kernel's hands:
    # 200 of 200 on CPython 3.13, a segmentation fault on 3.11 and 3.12.
    run_child(
        """
        import gc, os, resource, weakref, uring_rs
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        gc.disable()

        class Memory(bytearray):
            pass

        read, write = os.pipe()
        alive, views = [], []
        for _ in range(200):
            memory = Memory(64)
            view = memoryview(memory)
            ring = uring_rs.Ring(1)
            ring.prep_read(read, view)
            ring.submit()
            memory.ring = ring              # the exporter refers back to the ring
            holder = [ring, view]
            holder.append(holder)           # and a second garbage cycle refers to both
            alive.append(weakref.ref(memory))
            del memory, view, ring, holder
            gc.collect()
        assert all(ref() is not None for ref in alive)
        os.write(write, b"Z" * 64 * 200)
        for ref in alive:
            memory = ref()
            ring = memory.ring
            assert ring.wait_cqe().res == 64
            assert memory == b"Z" * 64
            ring.close()
        del memory, ring
        # Ended, they are garbage as any other.
        gc.collect()
        assert all(ref() is None for ref in alive)
        """,
        timeout=50,
    )


def _token(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    ring.prep_read(reader, bytearray(4), user_data=thing)
    ring.submit()


def _staged(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    ring.prep_read(reader, bytearray(4), user_data=thing)


def _unread(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    ring.prep_nop(user_data=thing)
    ring.submit(wait=1)


def _peeked(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    _unread(ring, thing, reader)
    ring.peek()


def _harvested(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    _unread(ring, thing, reader)
    assert ring.cq_ready == 1


def _taken(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    _unread(ring, thing, reader)
    thing.completion = ring.pop()  # type: ignore[attr-defined]


def _pool(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    thing.pool = ring.buffer_pool(1, 8)  # type: ignore[attr-defined]
    ring.prep_nop(user_data=thing)


def _sqe(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    thing.sqe = uring_rs.Sqe.nop(user_data=thing)  # type: ignore[attr-defined]


def _multishot(ring: uring_rs.Ring, thing: Thing, reader: int) -> None:
    ring.prep_poll_add(reader, 1, multishot=True, user_data=thing)
    ring.submit()


CYCLES: list[Callable[[uring_rs.Ring, Thing, int], None]] = [
    _token,
    _staged,
    _unread,
    _peeked,
    _harvested,
    _taken,
    _pool,
    _sqe,
    _multishot,
]


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("cycle", CYCLES, ids=lambda function: function.__name__)
def test_cycles_through_tokens_are_collected(
    cycle: Callable[[uring_rs.Ring, Thing, int], None], closed: bool, pipe: tuple[int, int]
) -> None:
    thing = Thing()
    ring = thing.ring = uring_rs.Ring(8)  # type: ignore[attr-defined]
    cycle(ring, thing, pipe[0])
    refs = weakref.ref(thing), weakref.ref(ring)
    if closed:
        ring.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del ring, thing
        gc.collect()
        gc.collect()
    assert [ref() for ref in refs] == [None, None]
    unclosed = [each for each in caught if "unclosed ring" in str(each.message)]
    assert len(unclosed) == (not closed)
    assert uring_rs._uring._graveyard() == 0


def test_a_cycle_through_the_trace_callable() -> None:
    class Tracer:
        def __call__(self, event: str, info: dict[str, object]) -> None:
            self.last = event

    tracer = Tracer()
    tracer.ring = uring_rs.Ring(4, trace=tracer)  # type: ignore[attr-defined]
    ref = weakref.ref(tracer)
    del tracer
    with pytest.warns(ResourceWarning):
        gc.collect()
    assert ref() is None


def test_a_trace_callable_that_the_collector_cleared() -> None:
    """The ring leads to the function but not back, so the collector clears the function and leaves
    the ring's end to the counts: it must not call what is no function any more."""
    run_child("""
        import gc, os, uring_rs, warnings
        warnings.simplefilter("ignore")
        read_end, write_end = os.pipe()
        for in_flight in (False, True) * 10:
            ring = uring_rs.Ring(4, trace=(lambda log: lambda *event: log.append(event))([]))
            ring.prep_read(read_end, bytearray(1))
            if in_flight:
                ring.submit()
            cycle = [ring]
            cycle.append(cycle)
            del ring, cycle
            gc.collect()
    """)


def test_a_subclass_with_attributes() -> None:
    class Mine(uring_rs.Ring):
        pass

    ring = Mine(8)
    ring.me, ring.pool = ring, ring.buffer_pool(1, 8)  # type: ignore[attr-defined]
    ref = weakref.ref(ring)
    ring.close()
    del ring
    gc.collect()
    assert ref() is None


def test_dropping_warns_and_cancels(pipe: tuple[int, int]) -> None:
    buf = bytearray(4)
    ring = uring_rs.Ring(8)
    ring.prep_read(pipe[0], buf)
    ring.submit()
    ring.prep_nop()
    with pytest.warns(ResourceWarning, match="1 requests in flight and 1 staged"):
        del ring
    buf.append(0)
    os.write(pipe[1], b"late")
    assert buf == bytes(5)


def test_a_warning_that_is_an_error_does_not_stop_the_teardown() -> None:
    child = run_child(
        """
        import os, uring_rs
        read, write = os.pipe()
        buf = bytearray(4)
        ring = uring_rs.Ring(8)
        ring.prep_read(read, buf)
        ring.submit()
        fd = ring.fileno()
        del ring
        buf.append(0)
        assert not os.path.lexists(f"/proc/self/fd/{fd}")
        """,
        options=["-W", "error"],
    )
    assert "ResourceWarning: unclosed ring" in child.stderr


WORK = """
import gc, os, sys, uring_rs
read, write = os.pipe()
null = os.open("/dev/null", os.O_RDWR)

class Node:
    def __init__(self):
        self.me = self

def work(rounds):
    for step in range(rounds):
        Node()
        with uring_rs.Ring(8, shared=step % 2 == 1) as ring:
            pool = ring.buffer_pool(2, 64)
            buf = bytearray(8)
            ring.prep_read(read, buf, user_data=Node())
            ring.prep_writev(null, [buf, b"x"], user_data=Node())
            ring.push(uring_rs.Sqe.read(null, buf, user_data=Node()))
            ring.prep_write_fixed(null, pool.take(), user_data=Node())
            ring.prep_openat("/dev/null", user_data="open")
            ring.submit(wait=4)
            for cqe in ring:
                user_data, res, flags = cqe
                repr(cqe.request)
                if user_data == "open": os.close(cqe.result())
            try:
                ring.prep_read(-1, buf)
            except ValueError:
                pass
            ring.prep_nop(user_data=Node())
        buf.append(0)
        pool.close()
"""


@pytest.mark.parametrize(
    "setting",
    [
        "gc.set_threshold(1)",
        "gc.set_threshold(1, 1, 1)",
        "gc.freeze(); gc.set_threshold(3)",
        "sys.settrace(lambda *args: (gc.collect(0), None)[1])",
        "sys.setprofile(lambda *args: (gc.collect(0), None)[1])",
        "gc.callbacks.append(lambda phase, info: uring_rs.Ring(1).close()); gc.set_threshold(5)",
    ],
)
def test_collections_at_every_moment(setting: str) -> None:
    run_child(f"{WORK}\nwork(2)\n{setting}\nwork(15)\nsys.settrace(None)\nsys.setprofile(None)\n")


def test_a_finalizer_during_a_collection_that_uses_a_live_ring(pipe: tuple[int, int]) -> None:
    seen = []

    class Late:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            ring.prep_nop(user_data="from a finalizer")
            seen.append(ring.submit(wait=1))  # and the read that was staged

    with uring_rs.Ring(8) as ring:
        ring.prep_read(pipe[0], bytearray(4), user_data=Late())
        Late()
        gc.collect()
        assert seen == [2]
        assert ring.pop().user_data == "from a finalizer"
    ring = uring_rs.Ring(8)
    assert ring.reap() == []
    gc.collect()
    ring.close()

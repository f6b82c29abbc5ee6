"""Registered files and buffers at the ends of things: rings, threads, processes."""

from __future__ import annotations

import gc
import os
import select
import threading
from pathlib import Path

import pytest

import uring_rs
from helpers.child import run_child

PRELUDE = """
    import gc, os, select, threading, uring_rs
    def hung_up(fd):
        poll = select.poll()
        poll.register(fd, 0)
        return bool(poll.poll(5000))
    reader, writer = os.pipe()
    def ring_with_resources(shared=False, entries=8):
        ring = uring_rs.Ring(entries, shared=shared)
        table = ring.register_files([writer, reader, None, None])
        os.close(writer)
        buf = bytearray(4096)
        (registered,) = ring.register_buffers([buf])
        ring.prep_openat("/dev/zero", direct=True)
        return ring, table, buf, registered, ring.wait_cqe().value
"""


def test_dropped_without_close() -> None:
    run_child(
        PRELUDE
        + """
    import warnings
    for shared in (False, True):
        reader, writer = os.pipe()
        ring, table, buf, registered, file = ring_with_resources(shared)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del ring, table
            gc.collect()
        assert [one.category for one in caught] == [ResourceWarning], caught
        assert hung_up(reader)
        assert file.closed and not registered.registered
        del registered
        buf.append(1)
        file.close()
        os.close(reader)
    """
    )


@pytest.mark.parametrize("end", ["", "os._exit(0)", "raise SystemExit(0)", "del ring"])
@pytest.mark.parametrize(
    "flight", ["", "ring.prep_read_fixed(table[1], registered); ring.submit()"]
)
def test_end_of_the_process(end: str, flight: str) -> None:
    run_child(
        PRELUDE
        + f"""
    import warnings
    warnings.simplefilter("ignore")
    ring, table, buf, registered, file = ring_with_resources()
    {flight}
    {end}
    """
    )


@pytest.mark.parametrize("shared", [False, True])
def test_forked_children_touch_nothing(shared: bool) -> None:
    run_child(
        PRELUDE
        + f"""
    ring, table, buf, registered, file = ring_with_resources({shared})
    sqe = uring_rs.Sqe.read(file, bytearray(4), 0)
    ring.prep_read(file, bytearray(4), 0)
    child = os.fork()
    if child == 0:
        for call in (lambda: ring.prep_read(file, bytearray(4), 0), lambda: ring.push(sqe),
                     lambda: ring.unregister_files(), lambda: ring.unregister_buffers(),
                     lambda: table.update(0, [0]), lambda: table.reserve()):
            try:
                call()
            except (uring_rs.ForkedRing, ValueError):
                continue
            os._exit(1)
        assert file.closed and table.closed
        file.close()
        table.close()
        table[0], repr(file), repr(table), repr(registered)
        del file, table, registered, sqe
        ring.close()
        del ring
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    got = bytearray(4)
    ring.push(sqe)
    ring.submit(wait=2)
    assert [cqe.res for cqe in ring] == [4, 4]
    ring.close()
    """
    )


def test_an_ended_thread_leaves_its_files() -> None:
    """The ring of a thread that has ended is closed by another; its files go with it."""
    kept: list[object] = []
    reader, writer = os.pipe()

    def work() -> None:
        ring = uring_rs.Ring(8)
        table = ring.register_files([writer])
        ring.register_buffers([bytearray(8)])
        kept.extend((ring, table, table[0]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    os.close(writer)
    ring = kept[0]
    assert isinstance(ring, uring_rs.Ring)
    ring.close()
    poll = select.poll()
    poll.register(reader, 0)
    assert poll.poll(5000)
    kept.clear()
    os.close(reader)


@pytest.mark.parametrize("shared", [False, True])
def test_given_up_rings_keep_what_is_in_flight(shared: bool) -> None:
    """With a deadline that passes, the memory in flight stays; the rest may go."""
    reader, writer = os.pipe()
    ring = uring_rs.Ring(8, shared=shared)
    buf, idle = bytearray(8), bytearray(8)
    used, unused = ring.register_buffers([buf, idle])
    assert used is not None
    file = ring.register_files([reader])[0]
    assert file is not None
    ring.prep_read_fixed(file, used)
    ring.submit()
    ring.close(0)
    del used, unused, file
    # Cancelled on the spot most often; else it is finished later.
    os.write(writer, b"x")
    del ring
    gc.collect()
    os.close(reader)
    os.close(writer)


def test_many_rounds_leave_nothing(tmp_path: Path) -> None:
    """Tables, files and buffers made and dropped in every order; see the descriptor check."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    bufs = [bytearray(64) for _ in range(4)]
    for round in range(50):
        with uring_rs.Ring(8, shared=bool(round % 2)) as ring:
            handles = ring.register_buffers(bufs)
            ring.register_files(4)
            for _ in range(3):
                ring.prep_openat(path, direct=True)
            ring.submit(wait=3)
            files = [cqe.value for cqe in ring][: round % 4]
            for file in files:
                ring.prep_read_fixed(file, handles[0], 0)  # type: ignore[arg-type]
            if round % 3 == 0:
                ring.unregister_buffers()
            if round % 5 == 0:
                handles = []
            if round % 7 == 0:
                ring.discard()
            ring.submit()
        del files, handles
    gc.collect()
    for buf in bufs:
        buf.append(0)
        del buf[-1]

"""Other threads run while one sleeps in the kernel, and while the kernel copies much."""

from __future__ import annotations

import mmap
import os
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import uring_rs

pytestmark = pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="there is no GIL to let go of"
)


@contextmanager
def ticking() -> Iterator[list[float]]:
    """A thread that notes the time as often as it gets to run."""
    ticks: list[float] = []
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    while not ticks:
        time.sleep(0)
    try:
        yield ticks
    finally:
        stop.set()
        thread.join()


def ticks_during(call: Callable[[], object]) -> int:
    """How often another thread got to run strictly within a call."""
    with ticking() as ticks:
        start = time.monotonic()
        call()
        end = time.monotonic()
    return sum(start < tick < end for tick in ticks)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("call", ["wait", "submit", "completions", "wait_cqe", "enter", "close"])
def test_other_threads_run_while_one_waits(call: str, shared: bool) -> None:
    reader, writer = os.pipe()
    with uring_rs.Ring(8, shared=shared) as ring:
        ring.prep_read(reader, bytearray(4))
        ring.prep_timeout(0.1)
        ring.submit()

        def wait() -> None:
            match call:
                case "wait":
                    ring.wait(1)
                case "submit":
                    ring.submit(wait=1, timeout=0.1)
                case "completions":
                    ring.completions(min=2, timeout=0.1)
                case "wait_cqe":
                    ring.wait_cqe()
                case "enter":
                    ring.enter(0, 1, uring_rs.EnterFlags.GETEVENTS)
                case "close":
                    ring.wait(2, 0.1)
                    ring.close()

        assert ticks_during(wait) > 100
    os.close(reader)
    os.close(writer)


def test_other_threads_run_during_a_large_submit(tmp_path: Path) -> None:
    # Cached reads are copied inside of submit: with the interpreter locked all would stand still.
    size, count = 4 << 20, 64
    path = tmp_path / "cached"
    path.write_bytes(bytes(range(256)) * (size // 256))
    expected = path.read_bytes()
    memory = mmap.mmap(-1, size * count)
    with path.open("rb") as file, uring_rs.Ring(count) as ring, memoryview(memory) as view:
        for number in range(count):
            part = view[number * size : (number + 1) * size]
            ring.prep_read(file, part, 0, user_data=part)
        assert ticks_during(ring.submit) > 50
        ring.wait(count)
        for cqe in ring:
            assert cqe.res == size
            assert cqe.user_data == expected
            cqe.user_data.release()
        del cqe, part
    memory.close()


def test_a_thread_submits_while_another_waits() -> None:
    reader, writer = os.pipe()
    with uring_rs.Ring(8, shared=True) as ring:
        ring.prep_read(reader, bytearray(4), user_data="idle")
        ring.submit()
        found: list[object] = []

        def wait() -> None:
            while len(found) < 101:
                try:
                    found.append(ring.wait_cqe(timeout=10).user_data)
                except uring_rs.RingClosed:
                    return

        thread = threading.Thread(target=wait)
        thread.start()
        for number in range(100):
            ring.prep_nop(user_data=number)
            ring.submit()
        ring.prep_write(writer, b"data", user_data="write")
        ring.submit()
        thread.join(20)
        assert not thread.is_alive()
        found += [cqe.user_data for cqe in ring.completions(min=102 - len(found), timeout=10)]
        assert [each for each in found if isinstance(each, int)] == list(range(100))
        assert {"idle", "write"} < set(found)
    os.close(reader)
    os.close(writer)

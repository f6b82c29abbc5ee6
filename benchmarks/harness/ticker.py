"""A thread that notices how long it is held up, and one that is always busy."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable

__all__ = ["Busy", "delayed_byte", "longest_stall_ms"]

TICK = 0.0005


def longest_stall_ms(action: Callable[[], object]) -> float:
    """The longest time between two ticks of another thread while `action` runs, in ms."""
    longest = 0
    started, stop = threading.Event(), threading.Event()

    def tick() -> None:
        nonlocal longest
        last = time.perf_counter_ns()
        started.set()
        while not stop.is_set():
            time.sleep(TICK)
            now = time.perf_counter_ns()
            longest, last = max(longest, now - last), now

    thread = threading.Thread(target=tick)
    thread.start()
    started.wait()
    action()
    stop.set()
    thread.join()
    return longest / 1e6


def delayed_byte(seconds: float) -> tuple[int, subprocess.Popen[bytes]]:
    """A pipe's read end, to which another process writes one byte after a while."""
    read_end, write_end = os.pipe()
    child = subprocess.Popen(["sh", "-c", f"sleep {seconds}; printf x"], stdout=write_end)
    os.close(write_end)
    return read_end, child


class Busy:
    """A thread that computes and never lets go of the interpreter, while in the `with`."""

    def __enter__(self) -> Busy:
        self.stop = False
        running = threading.Event()

        def spin() -> None:
            running.set()
            while not self.stop:
                pass

        self.thread = threading.Thread(target=spin)
        self.thread.start()
        running.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop = True
        self.thread.join()

"""Many threads at one thing, begun at the same moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

THREADS = 8


def together(work: Callable[[int], object], count: int = THREADS) -> None:
    """Call `work(0)`, `work(1)`, ... each in a thread of its own, and raise what one raised."""
    begin = threading.Barrier(count)
    problems: list[BaseException] = []

    def run(number: int) -> None:
        try:
            begin.wait()
            work(number)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    interval = sys.getswitchinterval()
    # Where there is a GIL, have it change hands often.
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if problems:
        raise problems[0]

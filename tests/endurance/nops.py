"""2^32 requests and more through one ring: its four indices go round on the real kernel.

    PYTHONPATH=tests python -m endurance.nops

The bulk of them by `run_nops`, each result looked at; those around the wrap one by one, each with a
result and a token of its own, so that a completion that is lost, doubled or another's shows. Where
the indices stand is read from the kernel's own copy, in /proc/self/fdinfo.
"""

from __future__ import annotations

import argparse
import array
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uring_rs
from helpers.evidence import record

WRAP = 1 << 32
CHUNK = 1 << 20
# So far before the wrap and after it, requests are made and taken one by one.
NEAR = 5000

Say = Callable[[str], object]


def indices(ring: uring_rs.Ring) -> dict[str, int]:
    """SqHead, SqTail, CqHead, CqTail as the kernel has them."""
    lines = Path(f"/proc/self/fdinfo/{ring.fileno()}").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(found[name]) for name in ("SqHead", "SqTail", "CqHead", "CqTail")}


def run_chunks(ring: uring_rs.Ring, count: int, say: Say) -> int:
    """So many NOPs by run_nops, every result of which must be 0."""
    zeros = bytes(4 * CHUNK)
    results = array.array("i", bytes(4 * CHUNK))
    view = memoryview(results)
    untouched = array.array("i", [-1]) * CHUNK
    done, told = 0, time.monotonic()
    while done < count:
        size = min(CHUNK, count - done)
        view[:size] = memoryview(untouched)[:size]
        ring.run_nops(size, results=view[:size])
        if view[:size].tobytes() != zeros[: 4 * size]:
            raise AssertionError(f"results other than 0 between NOP {done} and {done + size}")
        done += size
        if time.monotonic() - told >= 60:
            told = time.monotonic()
            say(f"{done} of {count} NOPs")
    return done


def batches(count: int) -> Iterator[range]:
    """1 to 200 at a time, so that batches begin and end at odd places of the queues."""
    start, size = 0, 1
    while start < count:
        yield range(start, min(start + size, count))
        start += size
        size = size % 200 + 7


def run_one_by_one(ring: uring_rs.Ring, count: int) -> int:
    """So many NOPs, each with its own result and token; they complete in order."""
    for numbers in batches(count):
        for number in numbers:
            ring.prep_nop(("nop", number), result=number)
        ring.submit(wait=len(numbers))
        got = [(cqe.user_data, cqe.res) for cqe in ring]
        wanted = [(("nop", number), number) for number in numbers]
        if got != wanted:
            raise AssertionError(f"completions are not those of {numbers}: {got}")
    return count


def soak(total: int, say: Say = print, last: int = CHUNK) -> dict[str, int | float]:
    """Push `total` NOPs through, then those across the wrap; what was measured."""
    began = time.monotonic()
    with uring_rs.Ring(256) as ring:
        done = run_chunks(ring, total - NEAR, say)
        bulk = time.monotonic() - began
        before = indices(ring)
        wanted = (total - NEAR) % WRAP
        if set(before.values()) != {wanted}:
            raise AssertionError(f"the kernel's indices are {before}, not {wanted}")
        done += run_one_by_one(ring, 2 * NEAR)
        after = indices(ring)
        wanted = (total + NEAR) % WRAP
        if set(after.values()) != {wanted}:
            raise AssertionError(f"the kernel's indices are {after}, not {wanted}")
        done += run_chunks(ring, last, say)
        if (ring.in_flight, ring.stray_completions, ring.cq_overflowed) != (0, 0, False):
            raise AssertionError(f"in flight or stray at the end: {ring!r}")
        at_end = indices(ring)
    return {
        "nops": done,
        "wraps": (total + NEAR) // WRAP,
        "index_before_wrap": before["SqTail"],
        "index_after_wrap": after["SqTail"],
        "index_at_end": at_end["SqTail"],
        "one_by_one": 2 * NEAR,
        "nops_per_second": round((total - NEAR) / bulk),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="2^32 NOPs through one ring.")
    parser.add_argument("--total", type=int, default=WRAP, help="NOPs up to the middle of the wrap")
    options = parser.parse_args()
    began = time.monotonic()
    figures = soak(options.total, lambda text: print(text, flush=True))
    if figures["wraps"] < 1:
        print("the indices did not wrap: nothing is recorded", figures)
        return
    seconds = time.monotonic() - began
    print(record("soak-nops", command="nox -s soak -- nops", seconds=seconds, figures=figures))


if __name__ == "__main__":
    main()

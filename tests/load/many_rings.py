"""Very many rings in one process, on to where each limit ends them. Run in a process of its own.

Past a limit the error names it; the rings there are go on working; all of them close, and then
there is room again.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import resource
import select
import time
from collections.abc import Iterator
from pathlib import Path

import uring_rs

ENTRIES = 8


def maps() -> int:
    return len(Path("/proc/self/maps").read_bytes().splitlines())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def use(ring: uring_rs.Ring, number: int) -> None:
    ring.prep_nop(number, result=number)
    ring.submit(wait=1)
    got = [(cqe.user_data, cqe.res) for cqe in ring]
    if got != [(number, number)]:
        raise AssertionError(f"ring {number} gave {got}")


def many(count: int) -> dict[str, int | float]:
    """All open at once, each with a request that waits on the same pipe."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 64)), hard))
    before = descriptors(), maps()
    reader, writer = os.pipe()
    began = time.monotonic()
    rings = [uring_rs.Ring(ENTRIES) for _ in range(count)]
    made = time.monotonic()
    for number, ring in enumerate(rings):
        ring.prep_poll_add(reader, select.POLLIN, user_data="poll")
        use(ring, number)
    used = time.monotonic()
    most_maps = maps()
    os.write(writer, b"x")
    for ring in rings:
        (cqe,) = ring.completions(min=1, timeout=60)
        if cqe.user_data != "poll" or cqe.res != select.POLLIN:
            raise AssertionError(f"not the poll: {cqe}")
    for number, ring in enumerate(rings):
        use(ring, number)
        ring.prep_poll_add(reader, select.POLLPRI, user_data="cancelled by close")
        ring.submit()
    closing = time.monotonic()
    for ring in rings:
        ring.close()
    closed = time.monotonic()
    os.close(reader)
    os.close(writer)
    rings.clear()
    if before != (descriptors(), maps()) and descriptors() != before[0]:
        raise AssertionError(f"descriptors and maps {before} before, {descriptors()}, {maps()}")
    return {
        "rings": count,
        "maps_at_most": most_maps,
        "maps_before": before[1],
        "maps_after": maps(),
        "made_per_second": round(count / (made - began)),
        "used_per_second": round(count / (used - made)),
        "closed_per_second": round(count / (closed - closing)),
    }


def soon() -> uring_rs.Ring:
    """A ring, once there is room: what a closed one had locked comes back after close(2)."""
    until = time.monotonic() + 5
    while True:
        try:
            return uring_rs.Ring(ENTRIES)
        except uring_rs.UringUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


def until_refused(cause: uring_rs.Cause, word: str, most: int = 100_000) -> dict[str, int]:
    """Rings until one is refused for this cause, in words that contain `word`; then as before."""
    rings: list[uring_rs.Ring] = []
    try:
        while len(rings) < most:
            rings.append(uring_rs.Ring(ENTRIES))
    except uring_rs.UringUnavailable as error:
        said = f"{error.reason} | {error.hint}"
        if error.cause is not cause or word not in said.lower():
            raise AssertionError(f"refused for {error.cause}: {said}") from error
    else:
        raise AssertionError(f"{most} rings and no limit reached")
    count = len(rings)
    # One gone is room for one. Some more gone, for what Python and malloc want meanwhile: at the
    # limit of mappings they have none either.
    rings.pop().close()
    rings.append(soon())
    for _ in range(5):
        rings.pop().close()
    for number, ring in enumerate(rings):
        use(ring, number)
    for ring in rings:
        ring.close()
    rings.clear()
    with uring_rs.Ring(ENTRIES) as ring:
        use(ring, 0)
    return {"rings": count}


def limit_descriptors(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@contextlib.contextmanager
def maps_used_up(left: int) -> Iterator[None]:
    """So many mappings of this process that the kernel allows only some more."""
    allowed = int(Path("/proc/sys/vm/max_map_count").read_text())
    with mmap.mmap(-1, (allowed + 2) * mmap.PAGESIZE) as held:
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        first = ctypes.c_char.from_buffer(held)
        start = ctypes.addressof(first)
        # Every second page is protected otherwise: neighbours of a kind would be one mapping.
        page = 0
        while protect(start + page * mmap.PAGESIZE, mmap.PAGESIZE, mmap.PROT_READ) == 0:
            page += 2
        if ctypes.get_errno() != errno.ENOMEM:
            raise OSError(ctypes.get_errno(), "mprotect")
        # What was given back to the kernel is two mappings less each time.
        for back in range(page - 2, page - 2 - left, -2):
            rights = mmap.PROT_READ | mmap.PROT_WRITE
            protect(start + back * mmap.PAGESIZE, mmap.PAGESIZE, rights)
        try:
            yield
        finally:
            del first

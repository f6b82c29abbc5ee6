"""What is measured between the windows of the churn, and what counts as a leak.

Exact gauges must stand where they stood after the warm-up, each time. The others drift by
themselves (caches fill, memory fragments): for them the medians of the first and of the last third
of the windows are compared, and more than what is allowed between them is a leak.
"""

from __future__ import annotations

import ctypes
import gc
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uring_rs

from .world import World

Gauges = dict[str, int]

EXACT = (
    "descriptors",
    "ring_descriptors",
    "ring_maps",
    "locked_kib",
    "pinned_kib",
    "threads",
    "poll_threads",
    "token_references",
    "buffers_exported",
    "ring_objects",
    "leaked_rings",
    "children",
    "scratch_files",
)
# Workers of the kernel go when they were idle for seconds, but for the last of each kind.
WORKERS_THAT_STAY = 2
# What a window may differ in from another without anything being lost.
ALLOWED = {
    # The C library keeps the stacks of ended threads, two mappings each, and arenas: as many as
    # there were threads at one time. Seen: 60 more in ten minutes, then no more.
    "maps": 96,
    "python_blocks": 1500,
    "collectable": 400,
    "heap_bytes": 256 << 10,
    "rss_kib": 8 << 10,
    "ring_room": 0,
}
# Falling is what is wrong with this one.
ROOM = "ring_room"
SETTLING = 20.0


class _MallInfo(ctypes.Structure):
    """struct mallinfo2."""

    _fields_ = (
        ("arena", ctypes.c_size_t),
        ("ordblks", ctypes.c_size_t),
        ("smblks", ctypes.c_size_t),
        ("hblks", ctypes.c_size_t),
        ("hblkhd", ctypes.c_size_t),
        ("usmblks", ctypes.c_size_t),
        ("fsmblks", ctypes.c_size_t),
        ("uordblks", ctypes.c_size_t),
        ("fordblks", ctypes.c_size_t),
        ("keepcost", ctypes.c_size_t),
    )


def heap_bytes() -> int:
    """Bytes that malloc has handed out and not got back, in all arenas; 0 where it cannot tell."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    ask.restype = _MallInfo
    info = ask()
    return int(info.uordblks) + int(info.hblkhd)


def _status() -> dict[str, int]:
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if value.strip().endswith(" kB"):
            found[name] = int(value.split()[0])
    return found


def _threads() -> tuple[int, int, int]:
    """Threads of ours, poll threads of the kernel, workers of the kernel."""
    ours = polling = workers = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            name = (task / "comm").read_text()
        except OSError:
            continue
        if name.startswith("iou-wrk"):
            workers += 1
        elif name.startswith("iou-sqp"):
            polling += 1
        else:
            ours += 1
    return ours, polling, workers


def _exported(buffer: bytearray) -> bool:
    try:
        buffer.append(0)
    except BufferError:
        return True
    buffer.pop()
    return False


def _children() -> int:
    try:
        # Looked at, not taken away: the next look must find it, too.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 1


def ring_room(most: int = 300) -> int:
    """How many rings this user may have at once, up to `most`: its account of locked memory.

    Only without privileges is anything counted, and then until the limit is reached.
    """
    rings: list[uring_rs.Ring] = []
    try:
        while len(rings) < most:
            rings.append(uring_rs.Ring(256))
    except OSError:
        pass
    finally:
        for ring in rings:
            ring.close()
    _wait_for_room()
    return len(rings)


def _wait_for_room() -> None:
    """The kernel gives back later what a closed ring was charged: on a busy machine much later."""
    deadline = time.monotonic() + SETTLING
    while time.monotonic() < deadline:
        try:
            rings = [uring_rs.Ring(256) for _ in range(8)]
        except OSError:
            time.sleep(0.01)
            continue
        for ring in rings:
            ring.close()
        return


def descriptors() -> list[str]:
    """What is open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return found


def measure(world: World) -> Gauges:
    """All of them, as they are now."""
    fds = descriptors()
    maps = Path("/proc/self/maps").read_text().splitlines()
    status = _status()
    ours, polling, workers = _threads()
    names = ("Ring", "_IoQueue", "IoQueue", "PollSet", "ReadMany", "Stream", "TreeWalk")
    objects = gc.get_objects()
    kinds = [type(each).__name__ for each in objects]
    return {
        "descriptors": len(fds),
        "ring_descriptors": sum("io_uring" in fd for fd in fds),
        "ring_maps": sum("io_uring" in line for line in maps),
        "locked_kib": status.get("VmLck", 0),
        "pinned_kib": status.get("VmPin", 0),
        "threads": ours,
        "poll_threads": polling,
        "workers": workers,
        "token_references": sum(sys.getrefcount(token) for token in world.tokens),
        "buffers_exported": sum(_exported(buffer) for buffer in world.buffers),
        "ring_objects": sum(kinds.count(name) for name in names),
        "leaked_rings": uring_rs._uring._graveyard(),
        "children": _children(),
        "scratch_files": sum(1 for _ in world.scratch.rglob("*")),
        "maps": len(maps),
        "python_blocks": sys.getallocatedblocks(),
        "collectable": len(objects),
        "heap_bytes": heap_bytes(),
        "rss_kib": status.get("VmRSS", 0),
    }


def settle(world: World, base: Gauges | None, patience: float = SETTLING) -> Gauges:
    """The gauges when everything is given back that takes a moment, or patience has run out."""
    deadline = time.monotonic() + patience
    while True:
        for _ in range(3):
            gc.collect()
        now = measure(world)
        quiet = base is None or all(now[name] == base[name] for name in EXACT)
        if (quiet and now["workers"] <= WORKERS_THAT_STAY) or time.monotonic() > deadline:
            now["ring_room"] = ring_room()
            return now
        time.sleep(0.05)


def judge(base: Gauges, windows: Sequence[Gauges]) -> list[str]:
    """What leaked, in words; nothing if nothing did. `base` is how things stood when warm."""
    if len(windows) < 3:
        return ["fewer than three windows prove nothing"]
    leaks = []
    for name in EXACT:
        off = [window[name] for window in windows if window[name] != base[name]]
        if off:
            leaks.append(f"{name}: {base[name]} at first, {off[-1]} after {len(off)} windows")
    workers = max(window["workers"] for window in windows)
    if workers > WORKERS_THAT_STAY:
        leaks.append(f"workers: {workers} of the kernel's threads did not go")
    for name, allowed in ALLOWED.items():
        drift = drift_of(name, windows)
        if drift > allowed:
            leaks.append(f"{name}: changed by {drift:.0f}, allowed are {allowed}")
    return leaks


def drift_of(name: str, windows: Sequence[Gauges]) -> float:
    """By how much a gauge is worse in the last third of the windows than in the first."""
    third = max(1, len(windows) // 3)
    early = statistics.median(window[name] for window in windows[:third])
    late = statistics.median(window[name] for window in windows[-third:])
    return early - late if name == ROOM else late - early

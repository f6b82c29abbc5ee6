"""Leaks planted on purpose: each must be found by the gauges, or they prove nothing."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import warnings
from collections.abc import Callable

import uring_rs

from .world import World, dropping

KEPT: list[object] = []


def descriptor(world: World) -> None:
    KEPT.append(os.open("/dev/null", os.O_RDONLY))


def ring(world: World) -> None:
    KEPT.append(uring_rs.Ring(4))


def reference(world: World) -> None:
    KEPT.append(world.tokens[0])


def export(world: World) -> None:
    KEPT.append(memoryview(world.buffers[0]))


def mapping(world: World) -> None:
    # Writable and not in turn, or the kernel makes one of neighbours.
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if len(KEPT) % 2 else 0)
    KEPT.extend(mmap.mmap(-1, 4096, prot=protection) for _ in range(60))


def blocks(world: World) -> None:
    KEPT.extend([str(number)] for number in range(1000, 2000))


def heap(world: World) -> None:
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    malloc.argtypes = [ctypes.c_size_t]
    KEPT.extend(malloc(16_000) for _ in range(20))


def resident(world: World) -> None:
    memory = mmap.mmap(-1, 6 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"x" * len(memory)
    KEPT.append(memory)


def locked(world: World) -> None:
    memory = mmap.mmap(-1, 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if ctypes.CDLL(None).mlock(ctypes.c_void_p(address), 4096) != 0:
        raise OSError("mlock")
    KEPT.append(memory)


def grave(world: World) -> None:
    """A ring that the library itself gives up: its thread ended with a request in flight."""
    reader, writer = os.pipe()
    KEPT.append((reader, writer))

    left: list[uring_rs.Ring] = []

    def work() -> None:
        ring = uring_rs.Ring(4)
        ring.prep_read(reader, bytearray(1))
        ring.submit()
        left.append(ring)

    worker = threading.Thread(target=work)
    with dropping():
        worker.start()
        worker.join()
        left.clear()


def child(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if os.fork() == 0:
            os._exit(0)


def thread(world: World) -> None:
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def file(world: World) -> None:
    (world.scratch / f"left{len(list(world.scratch.iterdir()))}").touch()


# What leaks, and the gauge that must say so.
PLANTS: dict[str, tuple[Callable[[World], None], str]] = {
    "descriptor": (descriptor, "descriptors"),
    "ring": (ring, "ring_descriptors"),
    "reference": (reference, "token_references"),
    "export": (export, "buffers_exported"),
    "mapping": (mapping, "maps"),
    "blocks": (blocks, "python_blocks"),
    "heap": (heap, "heap_bytes"),
    "resident": (resident, "rss_kib"),
    "locked": (locked, "locked_kib"),
    "grave": (grave, "leaked_rings"),
    "child": (child, "children"),
    "thread": (thread, "threads"),
    "file": (file, "scratch_files"),
}

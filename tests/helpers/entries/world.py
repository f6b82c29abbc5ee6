"""What the cases name in capitals: memory, requests, and registered things, as Python and C see it.

Made only when a case that can run names it, so that a library without such things runs the rest.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import re
import select
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import uring_rs
from helpers.entries.case import Case
from uring_rs import flags

ENTRY_SIZE = 64
SQES_OFFSET = 0x1000_0000
# The low bits of the user_data of a message from ring to ring.
MESSAGE_KIND = 5


def place(buf: Any) -> int:
    """Where a writable buffer is in memory."""
    view = memoryview(buf)
    return ctypes.addressof((ctypes.c_char * view.nbytes).from_buffer(view))


def _entry_maps() -> set[tuple[int, int]]:
    """Where in this process submission entries are mapped."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        match = re.match(r"(\w+)-(\w+) \S+ (\w+) \S+ \d+ +anon_inode:\[io_uring\]", line)
        if match and int(match[3], 16) == SQES_OFFSET:
            found.add((int(match[1], 16), int(match[2], 16)))
    return found


class World:
    """A ring that never submits, and what its requests are about."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        before = _entry_maps()
        # Some commands are for rings with large completions only; other requests do not mind.
        self.ring = self._stack.enter_context(uring_rs.Ring(16, flags=flags.SetupFlags.CQE32))
        ((self._start, end),) = _entry_maps() - before
        self._size = end - self._start
        self._values: dict[str, Any] = {}
        self._c: dict[str, str] = {}

    def close(self) -> None:
        """Give everything back."""
        self._values.clear()
        self._stack.close()

    # --- what there is

    def _memory(self, name: str, size: int) -> None:
        self._values[name] = bytearray(size)
        self._c[name] = f"((char *){place(self._values[name])}ULL)"

    def _request(self, name: str, prep: Callable[[], uring_rs.Request]) -> None:
        request = prep()
        self.ring.discard()
        self._values[name] = request
        self._c[name] = f"{request.key}ULL"

    def _fixed(self) -> None:
        pool = self._stack.enter_context(self.ring.buffer_pool(3, 4096))
        buffers = [self._stack.enter_context(pool.take()) for _ in range(3)]
        self._values["FIXED"] = buffers[2]
        self._c["FIXED"] = f"((char *){place(buffers[2])}ULL)"
        self._c["FIXED_INDEX"] = str(buffers[2].index)

    def _files(self, ring: uring_rs.Ring, reserved: str, direct: str = "") -> None:
        table = ring.register_files(8)
        # The kernel chooses other slots than those that are named.
        table.set_alloc_range(4, 4)
        self._values[reserved], self._c[reserved] = table.reserve(2), "2"
        if direct:
            (self._values[direct],), self._c[direct] = table.update(1, [0]), "1"

    def _pool(self, name: str, pool: Any) -> None:
        self._values[name] = self._stack.enter_context(pool)
        self._c[name] = str(pool.group)

    def _make(self, name: str) -> None:
        match name:
            case "BUF":
                self._memory(name, 100)
            case "BUF2":
                self._memory(name, 50)
            case "TIMEOUT":
                self._request(name, lambda: self.ring.prep_timeout(100))
            case "LIMIT":
                self._request(name, lambda: self.ring.prep_link_timeout(100))
            case "FIXED" | "FIXED_INDEX":
                self._fixed()
            case "DIRECT" | "RESERVED":
                self._files(self.ring, "RESERVED", "DIRECT")
            case "OTHER" | "OTHERS":
                other = self._stack.enter_context(uring_rs.Ring(1))
                self._values["OTHER"], self._c["OTHER"] = other, str(other.fileno())
                self._files(other, "OTHERS")
            case "POOL":
                self._pool(name, self.ring.buffer_ring(4, 512))
            case "SENDING":
                self._pool(name, self.ring.buffer_ring(4, 64, sending=True))
            case "LEGACY":
                self._pool(name, self.ring.provided_buffers(4, 64))
            case "MESSAGE_KIND":
                self._c[name] = str(MESSAGE_KIND)

    def provide(self, cases: Iterable[Case]) -> None:
        """Make what these cases name."""
        for name in sorted(set().union(*(case.names for case in cases))):
            if name not in self._c:
                self._make(name)

    def defines(self) -> str:
        """The names for C."""
        return "".join(f"#define {name} {text}\n" for name, text in self._c.items())

    # --- entries

    def _arguments(self, case: Case) -> tuple[list[Any], dict[str, Any]]:
        modules = {"select": select, "socket": socket, "struct": struct}
        names = {**vars(flags), **modules, **self._values}

        def value(node: Any) -> Any:
            expression = compile(ast.Expression(node), str(case), "eval")
            return eval(expression, names)

        positional = [value(node) for node in case.call.args]
        named = {each.arg: value(each.value) for each in case.call.keywords if each.arg}
        return positional, named

    def sqe(self, case: Case, **common: Any) -> uring_rs.Sqe:
        """The detached request; its entry is what memoryview() of it shows."""
        positional, named = self._arguments(case)
        made: uring_rs.Sqe = getattr(uring_rs.Sqe, case.method)(*positional, **named, **common)
        return made

    def staged(self, case: Case, **common: Any) -> bytes:
        """The entry that the ring's own builder writes for the kernel; valid until discard()."""
        positional, named = self._arguments(case)
        prep = getattr(self.ring, f"prep_{case.method}")
        request = prep(*positional, **named, **common)
        for start in range(self._start, self._start + self._size, ENTRY_SIZE):
            data = ctypes.string_at(start, ENTRY_SIZE)
            if struct.unpack_from("=Q", data, 32) == (request.key,):
                return data
        raise AssertionError(f"no entry has the key {request.key:#x}")

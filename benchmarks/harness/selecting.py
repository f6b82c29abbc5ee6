"""What is asked of a selector: the same loads for each, over Unix socket pairs.

Cells: "READY of COUNT" looks at COUNT descriptors, of which READY are and stay ready; "wait of
COUNT" writes to one of them, waits until that is noticed, and reads; "modify N of COUNT" changes
what N of them are watched for, and looks (none is ready, before or after); "flip N of COUNT" does
that where each becomes ready by it and the next time is not; "register" watches one, looks, and
watches it no more.
"""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
from collections.abc import Callable
from itertools import repeat

from .cells import Cell, Task, Unable

__all__ = ["Selecting"]

READ, BOTH = selectors.EVENT_READ, selectors.EVENT_READ | selectors.EVENT_WRITE
BEYOND = 100
"""Descriptors that the process has besides."""


def socket_pairs(count: int) -> list[tuple[socket.socket, socket.socket]]:
    """Pairs with `count` ends in all, none of which blocks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + BEYOND:
        if hard < count + BEYOND:
            raise Unable(f"RLIMIT_NOFILE is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    made = [socket.socketpair() for _ in range((count + 1) // 2)]
    for pair in made:
        for end in pair:
            end.setblocking(False)
    return made


class Selecting(Cell):
    def __init__(self, task: Task, make: Callable[[], selectors.BaseSelector]) -> None:
        words = task.cell.split()
        self.kind = words[0] if words[0].isalpha() else "ready"
        total = 1 if self.kind == "register" else task.number
        self.changed = int(words[1]) if self.kind in ("modify", "flip") else 0
        # One end of each pair where the other must stay full, else both.
        self.pairs = socket_pairs(2 * total if self.kind == "modify" else total)
        self.peers = {one: other for one, other in self.pairs}
        if self.kind != "modify":
            self.peers |= {other: one for one, other in self.pairs}
        self.ends = list(self.peers)[:total]
        self.selector = make()
        self.ready = int(words[0]) if self.kind == "ready" else 0
        self.turn = 0
        self.unit = 2 if self.changed else 1
        if self.kind == "modify":
            for end in self.ends:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        end.send(bytes(65536))
        if self.kind != "register":
            for end in self.ends:
                self.selector.register(end, READ)
        for end in self.ends[: self.ready]:
            self.peers[end].send(b"x")
        self.selector.select(0)

    def prepare(self, ops: int) -> None:
        self.ops = ops

    def run(self) -> None:
        getattr(self, f"run_{self.kind}")()

    def run_ready(self) -> None:
        select, ready = self.selector.select, self.ready
        for _ in repeat(None, self.ops):
            if len(select(0)) != ready:
                raise AssertionError("not what is ready")

    def run_wait(self) -> None:
        select, ends, peers = self.selector.select, self.ends, self.peers
        count = len(ends)
        for turn in range(self.turn, self.turn + self.ops):
            end = ends[turn * 7 % count]
            peers[end].send(b"x")
            ((key, _),) = select()
            key.fileobj.recv(1)  # type: ignore[union-attr]
        self.turn += self.ops

    def run_modify(self) -> None:
        select, modify = self.selector.select, self.selector.modify
        ends = self.ends[: self.changed]
        for _ in repeat(None, self.ops // 2):
            for events in (BOTH, READ):
                for end in ends:
                    modify(end, events)
                select(0)

    run_flip = run_modify

    def run_register(self) -> None:
        selector, (end,) = self.selector, self.ends
        for _ in repeat(None, self.ops):
            selector.register(end, READ)
            selector.select(0)
            selector.unregister(end)

    def verify(self) -> None:
        self.prepare(2)
        self.run()
        if self.kind == "register":
            return
        if self.changed:
            for end in self.ends[: self.changed]:
                self.selector.modify(end, BOTH)
            found = self.selector.select(0)
            if len(found) != (self.changed if self.kind == "flip" else 0):
                raise AssertionError(f"{len(found)} ready")
            for end in self.ends[: self.changed]:
                self.selector.modify(end, READ)
        found = self.selector.select(0)
        if {key.fileobj for key, _ in found} != set(self.ends[: self.ready]):
            raise AssertionError(f"{len(found)} ready, not {self.ready}")

    def close(self) -> None:
        self.selector.close()
        for pair in self.pairs:
            for end in pair:
                end.close()

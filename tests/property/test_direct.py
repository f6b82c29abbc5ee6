"""Direct descriptors under any order of opening, reading, closing and dropping.

A handle reaches its own file or none, and every slot comes back.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs import SqeFlags

SLOTS = 3
FILES = 4
# What may come of a read of a slot that was emptied, or in a chain that broke.
HARMLESS = {-errno.EBADF, -errno.ECANCELED}

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "read", "gated", "behind", "close", "prep_close", "drop", "update", "submit"]
            + ["reap", "discard", "feed", "sqe", "reserve"]
        ),
        st.integers(0, FILES - 1),
    ),
    max_size=30,
)


class World:
    """A ring with a small table, the handles there are, and what each must read."""

    def __init__(self, ring: uring_rs.Ring, folder: str) -> None:
        self.ring, self.folder = ring, folder
        self.table = ring.register_files(SLOTS)
        self.handles: list[tuple[uring_rs.DirectFile, int]] = []
        self.reading: dict[int, tuple[bytearray, int]] = {}
        self.sqes: list[uring_rs.Sqe] = []
        self.gate = os.pipe()
        self.count = 0

    def path(self, number: int) -> str:
        return os.path.join(self.folder, str(number))

    def do(self, action: str, number: int) -> None:
        """One step; what is refused clearly is as good as done."""
        with suppress(ValueError, uring_rs.SubmissionQueueFull):
            getattr(self, action)(number)

    def pick(self, number: int) -> tuple[uring_rs.DirectFile, int]:
        if not self.handles:
            raise ValueError
        return self.handles[number % len(self.handles)]

    def open(self, number: int) -> None:
        self.ring.prep_openat(self.path(number), direct=True, user_data=("open", number))

    def reserve(self, number: int) -> None:
        slot = self.table.reserve()
        self.ring.prep_openat(self.path(number), direct=slot, user_data=("open", number))

    def read(self, number: int, flags: int = 0) -> None:
        handle, expected = self.pick(number)
        self.count += 1
        buf = bytearray(8)
        self.ring.prep_read(handle, buf, 0, user_data=("read", self.count), flags=flags)
        self.reading[self.count] = buf, expected

    def gated(self, number: int) -> None:
        self.pick(number)
        self.ring.prep_read(self.gate[0], bytearray(1), flags=SqeFlags.IO_LINK)
        try:
            self.read(number)
        finally:
            self.ring.prep_nop()

    def behind(self, number: int) -> None:
        self.read(number, SqeFlags.ASYNC)

    def sqe(self, number: int) -> None:
        self.sqes = [uring_rs.Sqe.read(self.pick(number)[0], bytearray(8), 0)]

    def close(self, number: int) -> None:
        self.pick(number)[0].close()

    def prep_close(self, number: int) -> None:
        self.ring.prep_close(self.pick(number)[0])

    def drop(self, number: int) -> None:
        if self.handles:
            del self.handles[number % len(self.handles)]

    def update(self, number: int) -> None:
        there = self.table[number % SLOTS]
        if there is not None and there.reserved:
            return  # what is in there is its owner's affair
        with open(self.path(number), "rb") as file:
            (handle,) = self.table.update(number % SLOTS, [file])
        assert handle is not None
        self.handles.append((handle, number))

    def submit(self, number: int) -> None:
        self.ring.submit()

    def discard(self, number: int) -> None:
        self.ring.discard()

    def feed(self, number: int) -> None:
        os.write(self.gate[1], b"x")

    def reap(self, number: int) -> None:
        self.ring.submit()
        for cqe in self.ring:
            kind, key = cqe.user_data or (None, 0)
            if kind == "open" and cqe.res >= 0:
                self.handles.append((cqe.value, key))
            elif kind == "read":
                buf, expected = self.reading.pop(key)
                if cqe.res >= 0:
                    assert (cqe.res, bytes(buf)) == (8, b"file %03d" % expected)
                else:
                    assert cqe.res in HARMLESS, cqe

    def finish(self) -> None:
        """Everything ends, and every slot can be had again."""
        self.ring.discard()
        self.ring.prep_cancel_all()
        while self.ring.in_flight:
            self.ring.submit(wait=1)
            self.reap(0)
        self.handles.clear()
        self.sqes.clear()
        self.table.update(0, [None] * SLOTS)
        assert [self.table[slot] for slot in range(SLOTS)] == [None] * SLOTS
        for _ in range(SLOTS):
            self.open(0)
        self.ring.submit(wait=SLOTS)
        assert sorted(cqe.res for cqe in self.ring) == list(range(SLOTS))


@contextmanager
def world(shared: bool) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder, uring_rs.Ring(32, shared=shared) as ring:
        for number in range(FILES):
            with open(os.path.join(folder, str(number)), "w") as file:
                file.write(f"file {number:03}")
        made = World(ring, folder)
        try:
            yield made
        finally:
            for end in made.gate:
                os.close(end)


@pytest.mark.timeout(120 + settings().max_examples * 0.4)
@pytest.mark.requires_op("OPENAT", "CLOSE", "FILES_UPDATE")
@given(st.booleans(), ACTIONS)
def test_handles_reach_their_own_files(shared: bool, actions: list[tuple[str, int]]) -> None:
    with world(shared) as tested:
        for action, number in actions:
            tested.do(action, number)
        tested.finish()

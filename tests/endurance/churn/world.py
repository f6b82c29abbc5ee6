"""What the actions of the churn share: a seeded source of chance, files, and what must not leak."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import uring_rs

CONTENT = bytes(range(256)) * 64
PATIENCE = 30.0


class Token:
    """A user_data whose references are counted. It is never compared with ==."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        raise AssertionError("a token was compared")

    __hash__ = object.__hash__


class Abandon(Exception):
    """What the actions raise in the middle of things."""


class World:
    """Everything an action needs. What is in here stays; all else, an action has to give back."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.tokens = [Token(f"token {number}") for number in range(8)]
        self.buffers = [bytearray(4096) for _ in range(8)]
        self.files: list[Path] = []
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.tree = folder / "tree"
        for number in range(60):
            path = self.tree / f"d{number % 5}" / f"file{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(CONTENT[: self.rng.randrange(1, len(CONTENT))])
            self.files.append(path)
        (self.tree / "d0" / "link").symlink_to("file0")
        self.large = folder / "large"
        self.large.write_bytes(CONTENT * 64)

    def token(self) -> Token:
        return self.rng.choice(self.tokens)

    def chance(self, of: float = 0.5) -> bool:
        return self.rng.random() < of

    def few(self, low: int = 1, high: int = 8) -> int:
        return self.rng.randint(low, high)

    @contextlib.contextmanager
    def pipe(self) -> Iterator[tuple[int, int]]:
        ends = os.pipe()
        try:
            yield ends
        finally:
            os.close(ends[0])
            os.close(ends[1])

    @contextlib.contextmanager
    def sockets(
        self, family: int = socket.AF_UNIX
    ) -> Iterator[tuple[socket.socket, socket.socket]]:
        """A connected pair, of Unix sockets or over loopback."""
        if family == socket.AF_UNIX:
            left, right = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as server:
                left = socket.create_connection(server.getsockname())
                right, _ = server.accept()
        with left, right:
            yield left, right

    @contextlib.contextmanager
    def file(self) -> Iterator[int]:
        fd = os.open(self.rng.choice(self.files), os.O_RDWR)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def place(self) -> Iterator[Path]:
        """A folder for new files; whatever is left in it but temporary files is removed."""
        where = self.scratch / f"{self.rng.getrandbits(60):x}"
        where.mkdir()
        try:
            yield where
            strange = [each for each in where.rglob("*") if each.name.endswith(".uring_rs")]
            check(not strange, "temporary files left", strange)
        finally:
            remove(where)


def remove(where: Path) -> None:
    for each in sorted(where.rglob("*"), reverse=True):
        if each.is_dir() and not each.is_symlink():
            each.rmdir()
        else:
            each.unlink()
    where.rmdir()


def check(holds: object, *what: object) -> None:
    """As assert, also under -O."""
    if not holds:
        raise AssertionError(" ".join(map(str, what)))


@contextlib.contextmanager
def dropping() -> Iterator[None]:
    """For what leaves rings to the collector on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def take(ring: uring_rs.Ring, count: int) -> list[uring_rs.Completion]:
    """Submit, wait for so many completions, take them."""
    found: list[uring_rs.Completion] = []
    for _ in range(1000):
        ring.submit(wait=count - len(found), timeout=PATIENCE)
        got = ring.reap()
        check(got, "no completion in", PATIENCE, "s:", len(found), "of", count, ring)
        found += got
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} completions after 1000 waits")


def finish(ring: uring_rs.Ring) -> int:
    """Cancel whatever is in flight and take every completion. Returns how many there were."""
    done = 0
    until = time.monotonic() + PATIENCE
    while ring.in_flight or ring.cq_ready:
        if time.monotonic() > until:
            raise AssertionError(f"still in flight after {PATIENCE} s: {ring!r}")
        ring.prep_cancel_all()
        ring.submit(wait=1, timeout=1)
        ended = len(ring.reap())
        done += ended
        if ended == 1:
            # The cancellation alone: what a worker of the kernel has in hand ends in its own time.
            time.sleep(0.001)
    return done


Action = Callable[[World], int]
ACTIONS: dict[str, Action] = {}


def action(work: Action) -> Action:
    """One kind of thing the churn does; it returns how many operations that were."""
    ACTIONS[work.__name__] = work
    return work

"""Values that a program might pass by mistake, and some that it might mean, made of bytes."""

from __future__ import annotations

import array
import contextlib
import gc
import mmap
import os
import select
import socket
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import uring_rs
from uring_rs import flags

INTS = [
    0,
    1,
    2,
    3,
    7,
    8,
    63,
    64,
    255,
    256,
    4095,
    4096,
    65535,
    65536,
    -1,
    -2,
    -100,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    2**70,
    -(2**31),
    -(2**63),
    -(2**63) - 1,
]
FLOATS = [0.0, 0.001, 0.01, 1e-12, -1.0, -0.0, 1e300, float("nan"), float("inf"), -float("inf")]
TEXTS = ["", "a", "b", "missing", "folder/c", "x" * 300, "a\0b", "\udcff", ".", "..", "user.a"]
WORDS = [
    "auto",
    "ring",
    "threads",
    "monotonic",
    "boottime",
    "realtime",
    "submit",
    "raise",
    "return",
]
WORDS += ["input", "completion", "read", "nop", "enter", "setup", "register", "map", "twice", "lie"]
WORDS += [
    "EINTR",
    "EAGAIN",
    "short",
    "late",
    "lost",
    "sha256",
    "crc32",
    "xxh3",
    "static",
    "dynamic",
]
ENUMS = [value for value in vars(flags).values() if isinstance(value, type)]


class Source:
    """Bytes that decide; zeroes when they are used up."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def over(self) -> bool:
        return self.at >= len(self.data)

    def number(self, size: int = 1) -> int:
        found = self.data[self.at : self.at + size]
        self.at += size
        return int.from_bytes(found, "little")

    def pick(self, options: Any) -> Any:
        return options[self.number(1 if len(options) <= 256 else 2) % len(options)]

    def chance(self, of: int) -> bool:
        """One in so many, and never when the bytes are used up."""
        return not self.over and self.number() % of == 1


class Deed(Exception):
    """Raised by hostile objects."""


class Hostile:
    """Answers every protocol, and does something to the world before it does."""

    def __init__(self, world: World, answer: Any, deed: int) -> None:
        self.world, self.answer, self.deed = world, answer, deed

    def _act(self) -> Any:
        self.world.do(self.deed)
        return self.answer

    def __index__(self) -> Any:
        return self._act()

    def __float__(self) -> Any:
        self._act()
        return 0.001

    def __fspath__(self) -> Any:
        self._act()
        return "a"

    def fileno(self) -> Any:
        self._act()
        return self.world.fd()

    def __iter__(self) -> Any:
        self._act()
        yield self.answer
        self._act()
        yield bytearray(8)

    def __len__(self) -> int:
        self._act()
        return 2

    def __getitem__(self, at: Any) -> Any:
        self._act()
        return self.answer

    def __hash__(self) -> int:
        self._act()
        return 7

    def __eq__(self, other: object) -> bool:
        self._act()
        return True

    def __bool__(self) -> bool:
        self._act()
        return True

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._act()

    def __buffer__(self, flags: int, /) -> memoryview:
        self._act()
        return memoryview(bytearray(16))


class World:
    """The files, buffers and objects of one program."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.things: list[Any] = []
        self.disposable: list[int] = []
        self.open: list[Any] = []
        self.sim: uring_rs.SimKernel | None = None
        self.deeds = 0
        for name in ("a", "b"):
            with open(name, "wb") as file:
                file.write(bytes(range(256)) * 20)
        os.makedirs("folder", exist_ok=True)
        Path = PurePosixPath("folder") / "c"
        with open(Path, "wb") as file:
            file.write(b"c" * 100)
        self.file = os.open("a", os.O_RDWR)
        self.folder = os.open("folder", os.O_RDONLY | os.O_DIRECTORY)
        self.null = os.open("b", os.O_RDWR | os.O_APPEND)
        self.pipe = os.pipe()
        self.pair = socket.socketpair()
        self.epoll = select.epoll()
        self.event = os.eventfd(0, os.EFD_NONBLOCK)
        self.fds = [self.file, self.folder, self.null, *self.pipe, self.event]
        self.fds += [self.epoll.fileno(), *(sock.fileno() for sock in self.pair)]

    def fd(self) -> int:
        """A descriptor that anything may be done with but closing it, or one that there is not."""
        return self.source.pick([*self.fds, -1, 2**20, 2**31 - 1])

    def throwaway(self) -> int:
        """A descriptor that may be closed."""
        return os.dup(self.file)

    def ring(self) -> Any:
        rings = [thing for thing in self.things if isinstance(thing, uring_rs.Ring)]
        return self.source.pick(rings) if rings else None

    def do(self, deed: int) -> None:
        """What a hostile object does in the middle of a call; bounded, as it may come again."""
        self.deeds += 1
        if self.deeds > 50:
            return
        ring = self.ring()
        match deed % 9:
            case 0:
                raise Deed
            case 1 if ring is not None:
                ring.close()
            case 2:
                gc.collect()
            case 3 if ring is not None:
                with contextlib.suppress(uring_rs.SubmissionQueueFull):
                    ring.prep_nop()
                ring.submit()
            case 4 if ring is not None:
                ring.reap()
            case 5 if ring is not None:
                ring.discard()
            case 6 if self.things:
                self.things.pop(self.source.number() % len(self.things))
            case 7:
                for thing in self.things:
                    release = getattr(thing, "release", None)
                    if callable(release) and not isinstance(thing, uring_rs.AlignedPool):
                        with contextlib.suppress(BufferError, ValueError):
                            release()

    # ---- values -------------------------------------------------------------------------------

    def value(self, name: str, depth: int = 0) -> Any:
        """Something for the parameter `name`: most often of the right kind."""
        source = self.source
        if name in RIGHT and not source.chance(6):
            return RIGHT[name](self)
        return source.pick(ANY)(self, depth)

    def integer(self) -> int:
        source = self.source
        if source.chance(4):
            return source.number(8)
        return source.pick(INTS) if source.chance(3) else source.number() % 32

    def buffer(self) -> Any:
        source = self.source
        size = source.pick([0, 1, 8, 16, 64, 100, 512, 4096, 5000])
        match source.number() % 10:
            case 0 | 1 | 2:
                return bytearray(size)
            case 3:
                return bytes(size)
            case 4:
                return memoryview(bytearray(size + 8))[4:-4]
            case 5:
                return memoryview(bytearray(2 * size))[::2]
            case 6:
                return array.array(source.pick("bBhHiIqQfd"), [0] * (size // 8))
            case 7:
                return mmap.mmap(-1, 8192)
            case 8:
                return self.thing()
            case _:
                return memoryview(bytearray(16)).cast("B", (4, 4))

    def thing(self) -> Any:
        return self.source.pick(self.things) if self.things else None

    def one_of(self, *kinds: type) -> Any:
        found = [thing for thing in self.things if isinstance(thing, kinds)]
        return self.source.pick(found) if found else self.thing()

    def hostile(self, _depth: int = 0) -> Hostile:
        return Hostile(self, self.source.pick([0, 1, -1, "a", b"x", 2**70]), self.source.number())

    def sequence(self, depth: int) -> Any:
        if depth > 2:
            return []
        count = self.source.number() % 5
        items = [self.value("", depth + 1) for _ in range(count)]
        return self.source.pick([list, tuple, iter])(items)

    def address(self) -> Any:
        return self.source.pick(
            [
                ("127.0.0.1", 9),
                ("::1", 9, 0, 0),
                "sock",
                b"\0name",
                ("", 0),
                ("x", 1),
                (1, 2),
                ("1.2.3", 70000),
            ]
        )

    def file_like(self) -> Any:
        source = self.source
        match source.number() % 8:
            case 0 | 1 | 2 | 3:
                return self.fd()
            case 4:
                return source.pick(self.pair)
            case 5:
                return self.one_of(uring_rs.DirectFile)
            case 6:
                return self.hostile()
            case _:
                return None


def _timeout(world: World) -> Any:
    return world.source.pick([0, 0.001, 0.0, -1.0, 0.01, float("nan"), 1e300, None, "x"])


def _buffers(world: World) -> Any:
    count = world.source.number() % 4
    return [world.buffer() for _ in range(count)] if count else world.buffer()


def _integers(world: World) -> Any:
    count = world.source.number() % 5
    if count == 0:
        return world.integer()
    return world.source.pick([list, tuple, lambda items: array.array("q", [0] * count)])(
        [world.integer() for _ in range(count)]
    )


def _word(world: World) -> Any:
    return world.source.pick(WORDS)


def _path(world: World) -> Any:
    text = world.source.pick(TEXTS)
    return world.source.pick([str, os.fsencode, PurePosixPath])(text)


def _flag(world: World) -> Any:
    source = world.source
    if source.chance(2):
        return source.pick(list(source.pick(ENUMS)) or [0])
    return source.pick([0, 0, 1, 2, 4, 8, 16, 32, 2**31, -1])


def _any_object(world: World) -> Any:
    return world.source.pick([None, "data", 7, world, [], world.things])


def _tags(world: World) -> Any:
    return [world.source.number() for _ in range(world.source.number() % 4)]


def _kernel(world: World) -> Any:
    return world.sim


# What is given for these may be looked at, and is never to be closed.
FILE_NAMES = ["file", "sock", "fd", "epfd", "dir_fd", "src_dir_fd", "dst_dir_fd"]
RIGHT: dict[str, Callable[[World], Any]] = {
    **dict.fromkeys(FILE_NAMES, World.file_like),
    **dict.fromkeys(["buf", "data", "value", "pi", "records", "results", "out"], World.buffer),
    **dict.fromkeys(["bufs", "buffers", "parts", "items", "words"], _buffers),
    **dict.fromkeys(["offsets", "sizes", "cpus", "index", "offset", "nbytes"], _integers),
    **dict.fromkeys(["timeout", "seconds", "min_wait", "busy_poll"], _timeout),
    **dict.fromkeys(["path", "attribute", "top", "name", "src", "dst"], _path),
    **dict.fromkeys(["way", "order", "errors", "clock", "call", "what", "sq_full"], _word),
    **dict.fromkeys(["flags", "mode", "options", "mask", "events", "level"], _flag),
    "paths": lambda world: [_path(world) for _ in range(world.source.number() % 6)],
    "files": lambda world: [world.fd() for _ in range(world.source.number() % 4)],
    "user_data": _any_object,
    "tags": _tags,
    "kernel": _kernel,
    "address": World.address,
    "request": lambda world: world.one_of(uring_rs.Request),
    "pool": lambda world: world.one_of(uring_rs.BufferRing, uring_rs.ProvidedBuffers),
    "buffer": lambda world: world.one_of(uring_rs.FixedBuffer, uring_rs.RegisteredBuffer),
    "sqe": lambda world: world.one_of(uring_rs.Sqe),
    "sqes": lambda world: [world.one_of(uring_rs.Sqe) for _ in range(world.source.number() % 4)],
    "ring": lambda world: world.source.pick([world.ring(), 2**20, -1]),
    "source": World.ring,
    "attach_to": World.ring,
    "register": World.ring,
    "keys": lambda world: {fd: fd for fd in world.fds},
    "direct": lambda world: world.source.pick(
        [True, False, None, world.one_of(uring_rs.DirectFile)]
    ),
    "threads": lambda world: world.source.number() % 4,
    "count": lambda world: world.source.pick([0, 1, 2, 4, 8, 64, 1000, -1, 65535, 2**31]),
    "size": lambda world: world.source.pick([0, 1, 8, 64, 4096, -1, 2**20, 2**40]),
    "entries": lambda world: world.source.pick([1, 2, 8, 64, 0, -1, 2**16]),
    "depth": lambda world: world.source.pick([1, 2, 8, 0, -1, 5000]),
    "progress": World.hostile,
    "trace": World.hostile,
}
ANY: list[Callable[[World, int], Any]] = [
    lambda world, _: world.source.pick([100_000, -1, 2**31, 2**64, -(2**63)]),
    lambda world, _: world.source.pick(FLOATS),
    lambda world, _: world.source.pick(TEXTS),
    lambda world, _: world.source.pick([None, True, False, ..., int, b"", b"abc", {}, object()]),
    lambda world, _: world.buffer(),
    lambda world, _: world.thing(),
    lambda world, depth: world.sequence(depth),
    lambda world, depth: world.hostile(depth),
    lambda world, _: _flag(world),
    lambda world, _: _word(world),
]

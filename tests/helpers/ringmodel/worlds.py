"""Pipes, sockets and files to work on: those of the running kernel, and of a simulated one."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from typing import Protocol

import uring_rs

WORD = 4
"""All traffic is in words of so many bytes, and all sizes are multiples of it, so that a chunk
that went astray shows where it came from."""

FILLER = 0xFFFFFFFF


def words(data: bytes | bytearray | memoryview) -> list[int]:
    """The words in `data`."""
    return [word for (word,) in struct.iter_unpack("<I", data)]


class Source:
    """Something to read from: the stream 0, 1, 2, ... of words, fed from outside."""

    def __init__(self, fd: int, peer: int, stream: bool) -> None:
        self.fd = fd
        self.peer = peer
        self.stream = stream  # a socket, not a pipe
        self.fed = 0
        self.closed = False
        self.exact = True  # everything read from it is known
        self.seen: list[int] = []

    def next_words(self, count: int) -> bytes:
        self.fed += count
        return struct.pack(f"<{count}I", *range(self.fed - count, self.fed))


class Sink:
    """A small pipe to write to. Each buffer is full of its own number, counted where it arrives."""

    def __init__(self, fd: int, peer: int) -> None:
        self.fd = fd
        self.peer = peer
        self.arrived: list[int] = []


class World(Protocol):
    """What both kernels can do for a test."""

    @property
    def kernel(self) -> uring_rs.SimKernel | None: ...

    def source(self, stream: bool) -> Source: ...
    def sink(self) -> Sink: ...
    def file(self, name: str, contents: bytes) -> tuple[int, str]: ...
    def feed(self, source: Source, count: int) -> None: ...
    def hang_up(self, source: Source) -> None: ...
    def rest(self, source: Source) -> bytes: ...
    def stuff(self, sink: Sink) -> None: ...
    def drain(self, sink: Sink) -> None: ...
    def contents(self, name: str, fd: int) -> bytes: ...
    def pass_time(self, seconds: float) -> None: ...
    def close(self, fd: int) -> None: ...
    def finish(self) -> None: ...


class SimWorld:
    """Simulated descriptors, virtual time."""

    def __init__(
        self, seed: int, linux: tuple[int, int], cold_percent: int, start: int | None
    ) -> None:
        self.kernel: uring_rs.SimKernel = uring_rs.SimKernel(
            seed, linux=linux, cold_percent=cold_percent, start=start
        )
        self.fds: list[int] = []

    def source(self, stream: bool) -> Source:
        fd, peer = self.kernel.socketpair() if stream else self.kernel.pipe()
        self.fds += [fd, peer]
        return Source(fd, peer, stream)

    def sink(self) -> Sink:
        peer, fd = self.kernel.pipe()
        self.fds += [fd, peer]
        return Sink(fd, peer)

    def file(self, name: str, contents: bytes) -> tuple[int, str]:
        fd = self.kernel.file(name, contents)
        self.fds.append(fd)
        return fd, name

    def feed(self, source: Source, count: int) -> None:
        self.kernel.feed(source.fd, source.next_words(count))

    def hang_up(self, source: Source) -> None:
        source.closed = True
        self.close(source.peer)

    def rest(self, source: Source) -> bytes:
        return self.kernel.drain(source.fd)

    def stuff(self, sink: Sink) -> None:
        self.kernel.feed(sink.fd, struct.pack("<I", FILLER) * (65536 // WORD))

    def drain(self, sink: Sink) -> None:
        sink.arrived += [word for word in words(self.kernel.drain(sink.peer)) if word != FILLER]

    def contents(self, name: str, fd: int) -> bytes:
        return self.kernel.contents(name) or b""

    def pass_time(self, seconds: float) -> None:
        self.kernel.advance(seconds)

    def close(self, fd: int) -> None:
        if fd in self.fds:
            self.fds.remove(fd)
        self.kernel.close(fd)

    def finish(self) -> None:
        """Close what is left. Nothing may be left then, and nothing forbidden have been done."""
        for fd in list(self.fds):
            self.close(fd)
        assert not self.kernel.violations, self.kernel.violations
        assert self.kernel.in_flight == 0
        assert self.kernel.live_maps == 0
        assert self.kernel.open_fds == []


class RealWorld:
    """Descriptors of this process, the time on the wall."""

    kernel = None

    def __init__(self) -> None:
        self.before = set(os.listdir("/proc/self/fd"))
        self.fds: list[int] = []
        self.stuffers: dict[int, int] = {}

    def source(self, stream: bool) -> Source:
        if stream:
            ends = socket.socketpair()
            fd, peer = ends[0].detach(), ends[1].detach()
        else:
            fd, peer = os.pipe()
        self.fds += [fd, peer]
        return Source(fd, peer, stream)

    def sink(self) -> Sink:
        peer, fd = os.pipe()
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 4096)
        # A second description of the same pipe: O_NONBLOCK on the first would change what the
        # ring does with it.
        self.stuffers[fd] = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
        self.fds += [fd, peer, self.stuffers[fd]]
        return Sink(fd, peer)

    def file(self, name: str, contents: bytes) -> tuple[int, str]:
        fd = os.memfd_create(name)
        os.write(fd, contents)
        self.fds.append(fd)
        return fd, f"/proc/self/fd/{fd}"

    def feed(self, source: Source, count: int) -> None:
        # Far less than a pipe or a socket holds.
        os.write(source.peer, source.next_words(count))

    def hang_up(self, source: Source) -> None:
        source.closed = True
        self.close(source.peer)

    def rest(self, source: Source) -> bytes:
        return read_all(source.fd)

    def stuff(self, sink: Sink) -> None:
        try:
            while True:
                os.write(self.stuffers[sink.fd], struct.pack("<I", FILLER) * 128)
        except BlockingIOError:
            pass

    def drain(self, sink: Sink) -> None:
        sink.arrived += [word for word in words(read_all(sink.peer)) if word != FILLER]

    def contents(self, name: str, fd: int) -> bytes:
        return os.pread(fd, os.fstat(fd).st_size, 0)

    def pass_time(self, seconds: float) -> None:
        pass

    def close(self, fd: int) -> None:
        if fd in self.fds:
            self.fds.remove(fd)
        os.close(fd)

    def finish(self) -> None:
        """Close what is left. Then the same descriptors are open as before, and no ring mapped."""
        for fd in list(self.fds):
            self.close(fd)
        after = set(os.listdir("/proc/self/fd"))
        left, gone = after - self.before, self.before - after
        assert (left, gone) == (set(), set()), f"left open: {left}; closed besides: {gone}"
        with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
            assert [line for line in maps if "io_uring" in line] == []


def read_all(fd: int) -> bytes:
    """What can be read without blocking, by the only reader."""
    found = b""
    while select.select([fd], [], [], 0)[0]:
        chunk = os.read(fd, 65536)
        if not chunk:
            break
        found += chunk
    return found

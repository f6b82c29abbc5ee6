"""An echo server on one ring, and a crowd of clients on another: thousands of connections.

    PYTHONPATH=tests python -m load.echo --connections 10000

The server is a forked child: one multishot accept, one multishot receive for each connection into
one pool of buffers, a send for each part. The clients are in the parent, on one ring as well. Every
connection sends messages of its own, and every byte that comes back is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator

import uring_rs

RESET = struct.pack("ii", 1, 0)
SPARE = 64
PATIENCE = 60.0


def need_descriptors(count: int) -> None:
    """Raise the limit for this process; say so where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < count:
            raise SystemExit(f"{count} descriptors are needed, {hard} allowed (ulimit -n)")


def ring_for(connections: int) -> uring_rs.Ring:
    """In flight at a time: a receive and a send for each, and what accepts or connects."""
    return uring_rs.Ring(1024, cq_entries=min(65536, 4 * connections + 1024))


class Server:
    """Serves until nobody is connected any more and `expected` connections have been."""

    def __init__(self, listener: socket.socket, expected: int, buffers: int) -> None:
        self.listener, self.expected = listener, expected
        self.ring = ring_for(expected)
        self.pool = self.ring.buffer_ring(buffers, 512)
        self.open: set[int] = set()
        self.counts: Counter[str] = Counter()
        self.hungry: list[int] = []

    def run(self) -> None:
        with self.ring:
            self.ring.prep_multishot_accept(self.listener, user_data=("accept", -1))
            while self.counts["ended"] < self.expected:
                self.ring.submit(wait=1, timeout=PATIENCE)
                got = self.ring.reap()
                if not got:
                    raise AssertionError(f"nothing happened for {PATIENCE} s: {self.counts}")
                self.counts["overflowed"] += self.ring.cq_overflowed
                for cqe in got:
                    self.handle(cqe)
                # Those whose receive ended because the pool was empty, now that it is not.
                while self.hungry:
                    self.receive(self.hungry.pop())
            self.ring.submit()
            if self.pool.available != self.pool.count:
                raise AssertionError(f"buffers lost: {self.pool!r} has {self.pool.available}")

    def handle(self, cqe: uring_rs.Completion) -> None:
        kind, fd = cqe.user_data
        if kind == "accept":
            fd = cqe.result()
            self.open.add(fd)
            self.counts["accepted"] += 1
            self.counts["most_at_once"] = max(self.counts["most_at_once"], len(self.open))
            self.receive(fd)
            if not cqe.more:
                raise AssertionError(f"the multishot accept ended: {cqe}")
        elif kind == "recv":
            self.received(fd, cqe)

    def receive(self, fd: int) -> None:
        self.ring.prep_recv_multishot(fd, self.pool, user_data=("recv", fd))

    def received(self, fd: int, cqe: uring_rs.Completion) -> None:
        if cqe.res > 0:
            self.counts["parts"] += 1
            assert cqe.buffer is not None
            with cqe.buffer as view, memoryview(view) as data:
                self.ring.prep_send(fd, bytes(data), socket.MSG_WAITALL, user_data=("send", fd))
        if cqe.more:
            return
        if cqe.res == -errno.ENOBUFS or cqe.res > 0:
            self.counts["out_of_buffers"] += cqe.res < 0
            self.hungry.append(fd)
            return
        if cqe.res not in (0, -errno.ECONNRESET, -errno.EPIPE):
            cqe.result()
        self.counts["resets"] += cqe.res < 0
        self.counts["ended"] += 1
        self.open.remove(fd)
        os.close(fd)


class Crowd:
    """The clients: connect, talk in rounds, go."""

    def __init__(self, addresses: list[tuple[str, int]], count: int) -> None:
        self.addresses = addresses
        self.ring = ring_for(count)
        self.socks = [socket.socket() for _ in range(count)]
        self.buffers = [bytearray(200) for _ in range(count)]

    def done(self, count: int) -> Iterator[uring_rs.Completion]:
        """So many completions, without an error among them."""
        left = count
        while left:
            self.ring.submit(wait=1, timeout=PATIENCE)
            got = self.ring.reap()
            if not got:
                raise AssertionError(f"nothing happened for {PATIENCE} s, {left} are missing")
            for cqe in got:
                cqe.result()
                yield cqe
            left -= len(got)

    def connect(self) -> None:
        for number, sock in enumerate(self.socks):
            address = self.addresses[number % len(self.addresses)]
            self.ring.prep_connect(sock, address, user_data=number)
        seen = {cqe.user_data for cqe in self.done(len(self.socks))}
        if len(seen) != len(self.socks):
            raise AssertionError(f"{len(seen)} of {len(self.socks)} connected")

    def talk(self, turn: int) -> int:
        """Each sends a message and gets it back, all at the same time. How many bytes went."""
        messages = [f"{number}:{turn};".encode() * 9 for number in range(len(self.socks))]
        for number, sock in enumerate(self.socks):
            self.ring.prep_send(sock, messages[number], user_data=(number, "sent"))
            view = memoryview(self.buffers[number])[: len(messages[number])]
            flags = socket.MSG_WAITALL
            self.ring.prep_recv(sock, view, flags, user_data=(number, "received"))
        del view
        for cqe in self.done(2 * len(self.socks)):
            number, what = cqe.user_data
            if cqe.res != len(messages[number]):
                raise AssertionError(f"{what} {cqe.res} of {len(messages[number])} bytes")
            if what == "received" and not self.buffers[number].startswith(messages[number]):
                raise AssertionError(f"connection {number} got another's bytes")
        return sum(map(len, messages))

    def leave(self) -> None:
        """Every third with a reset."""
        for number, sock in enumerate(self.socks):
            if number % 3 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
        self.ring.close()


def serve(listeners: list[socket.socket], count: int, buffers: int, tell: int) -> None:
    """The child: serve, and write what was counted to a pipe."""
    server = Server(listeners[0], count, buffers)
    server.run()
    os.write(tell, repr(dict(server.counts)).encode())


def fork_server(listener: socket.socket, count: int, buffers: int) -> tuple[int, int]:
    """Start a child that serves. Returns its process id and what it will write its counts to."""
    hear, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            serve([listener], count, buffers, tell)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(tell)
    return child, hear


def run(connections: int, rounds: int, buffers: int = 1024) -> dict[str, int | float]:
    """The whole thing; what was measured. Both processes must end well."""
    need_descriptors(connections + SPARE)
    figures: dict[str, int | float] = {"connections": connections, "rounds": rounds}
    with socket.create_server(("0.0.0.0", 0), backlog=4096) as listener:
        port = listener.getsockname()[1]
        # Of one address there are no more than 28 000 ports.
        addresses = [(f"127.0.0.{1 + last}", port) for last in range(1 + connections // 5000)]
        child, hear = fork_server(listener, connections, buffers)
    try:
        crowd = Crowd(addresses, connections)
        began = time.monotonic()
        crowd.connect()
        connected = time.monotonic()
        moved = sum(crowd.talk(turn) for turn in range(rounds))
        talked = time.monotonic()
        crowd.leave()
        counts = _counts_of(child, hear)
        child = 0
    finally:
        os.close(hear)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    figures |= counts
    figures["connects_per_second"] = round(connections / (connected - began))
    figures["echoes"] = connections * rounds
    figures["echoes_per_second"] = round(connections * rounds / (talked - connected))
    figures["bytes_each_way"] = moved
    return figures


def _counts_of(child: int, hear: int) -> dict[str, int]:
    said = b""
    while part := os.read(hear, 65536):
        said += part
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise AssertionError(f"the server ended with status {status}")
    pairs = (pair.split(":") for pair in said.decode().strip("{}").split(","))
    return {name.strip(" '"): int(number) for name, number in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description="Thousands of connections on one ring.")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--buffers", type=int, default=1024)
    options = parser.parse_args()
    for name, value in run(options.connections, options.rounds, options.buffers).items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()

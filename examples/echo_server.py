"""An echo server: one request accepts all connections, one receives all messages of a connection.

The kernel puts what it receives into buffers of a pool, and the same buffer is sent back: no byte
is copied in Python. When the pool is empty, receiving ends by itself until buffers come back. So
that a client which sends and does not read cannot keep all of them, it gets a few; what the kernel
has received beyond those by then is copied, and no more is taken of it until it reads.

    python examples/echo_server.py 7777
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import uring_rs
from uring_rs import PooledBuffer, Request, Ring

ENOUGH = 4  # buffers of the pool that one connection may have


@dataclass(eq=False)
class Connection:
    """A client: what of its messages is not sent back yet."""

    fd: int
    receiving: Request | None = None
    sending: bool = False
    unsent: deque[PooledBuffer | bytes] = field(default_factory=deque)
    ended: bool = False


class EchoServer:
    """Serves a listening socket, in the thread that calls `run`, until `stop`."""

    def __init__(self, listener: socket.socket, buffers: int = 256, size: int = 4096) -> None:
        self.listener = listener
        self.buffers, self.size = buffers, size
        self.connections: set[Connection] = set()
        self.paused: set[Connection] = set()
        self.served = 0
        self._stop = os.eventfd(0, os.EFD_CLOEXEC)

    def stop(self) -> None:
        """End `run`. From any thread, or from a signal handler."""
        os.eventfd_write(self._stop, 1)

    def run(self) -> None:
        """Serve."""
        with Ring(256) as self.ring:
            self.pool = self.ring.buffer_ring(self.buffers, self.size)
            self.ring.prep_poll_add(self._stop, select.POLLIN, user_data=self._stop)
            self._accept()
            while all(cqe.user_data != self._stop for cqe in self._round()):
                pass
        # Closing the ring has cancelled all that was under way, so nobody uses these any more.
        for connection in self.connections:
            connection.unsent.clear()
            os.close(connection.fd)
        self.connections.clear()

    def close(self) -> None:
        """Let go of what `stop` uses, when nobody will call it any more."""
        os.close(self._stop)

    def _round(self) -> Iterator[uring_rs.Completion]:
        """Wait for something, and do what it asks for."""
        for cqe in self.ring.completions(min=1):
            match cqe.user_data:
                case "receive", connection:
                    self._received(connection, cqe)
                case "send", connection:
                    self._sent(connection, cqe)
                case self.listener:
                    self._accepted(cqe)
                case "accept":
                    self._accept()
            yield cqe
        # Buffers have come back meanwhile, perhaps.
        ready = [each for each in self.paused if len(each.unsent) < ENOUGH]
        for connection in ready[: self.pool.available]:
            self.paused.discard(connection)
            self._receive(connection)

    def _accepted(self, cqe: uring_rs.Completion) -> None:
        if cqe.res >= 0:
            connection = Connection(cqe.result())
            self.connections.add(connection)
            self._receive(connection)
        if cqe.res < 0:  # too many open files, say: again in a moment
            self.ring.prep_timeout(0.1, user_data="accept")
        elif not cqe.more:
            self._accept()

    def _accept(self) -> None:
        self.ring.prep_multishot_accept(self.listener, user_data=self.listener)

    def _receive(self, connection: Connection) -> None:
        about = ("receive", connection)
        connection.receiving = self.ring.prep_recv_multishot(
            connection.fd, self.pool, user_data=about
        )

    def _received(self, connection: Connection, cqe: uring_rs.Completion) -> None:
        if cqe.res > 0 and not connection.ended:
            few = len(connection.unsent) < ENOUGH
            connection.unsent.append(cqe.buffer if few else bytes(cqe.buffer))
            self._send(connection)
        if cqe.more:
            if len(connection.unsent) == ENOUGH:
                self.ring.prep_cancel(connection.receiving)
            return
        connection.receiving = None
        if cqe.res > 0 or cqe.res in (-errno.ENOBUFS, -errno.ECANCELED):
            self.paused.add(connection)  # until there is room
        else:  # the client has nothing more to say; what it said is yet to be sent back
            connection.ended = True
        self._finish(connection)

    def _send(self, connection: Connection) -> None:
        # One at a time: two sends to one socket may overtake each other.
        if connection.sending or not connection.unsent:
            return
        connection.sending = True
        self.ring.prep_send(
            connection.fd,
            connection.unsent[0],
            socket.MSG_WAITALL | socket.MSG_NOSIGNAL,
            user_data=("send", connection),
        )

    def _sent(self, connection: Connection, cqe: uring_rs.Completion) -> None:
        connection.sending = False
        whole = cqe.res == len(connection.unsent.popleft())
        self.served += whole
        if not whole:  # the client has gone
            connection.ended = True
            connection.unsent.clear()
            if connection.receiving:
                self.ring.prep_cancel(connection.receiving)
        self._send(connection)
        self._finish(connection)

    def _finish(self, connection: Connection) -> None:
        """Close a connection that nothing uses any more."""
        if connection.ended and not connection.sending and connection.receiving is None:
            self.paused.discard(connection)
            self.connections.discard(connection)
            os.close(connection.fd)


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 7777
    with (
        socket.create_server(("127.0.0.1", port), backlog=1024) as listener,
        contextlib.closing(EchoServer(listener)) as server,
    ):
        before = signal.signal(signal.SIGTERM, lambda *_: server.stop())
        print("listening on port", listener.getsockname()[1], flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.run()
        signal.signal(signal.SIGTERM, before)
        print("messages sent back:", server.served)


if __name__ == "__main__":
    main()

"""Messages back and forth over a socket pair."""

from __future__ import annotations

import socket
from itertools import repeat

from harness.cells import Cell, Contestants, Task

from uring_rs import Ring

SIZE = 64


class PingPong(Cell):
    unit = 2

    def __init__(self, task: Task) -> None:
        self.armed = task.cell == "armed"
        self.ring = Ring(64)
        self.left, self.right = socket.socketpair()
        self.out = bytes(range(SIZE))
        self.into = bytearray(SIZE)

    def prepare(self, ops: int) -> None:
        self.turns = ops // 2

    def run(self) -> None:
        ring, submit = self.ring, self.ring.submit
        send, recv = self.ring.prep_send, self.ring.prep_recv
        left, right, out, into = self.left.fileno(), self.right.fileno(), self.out, self.into
        armed = self.armed
        for _ in repeat(None, self.turns):
            for here, there in ((left, right), (right, left)):
                if armed:
                    recv(there, into)
                    submit()
                    send(here, out)
                else:
                    send(here, out)
                    recv(there, into)
                submit(2)
                for cqe in ring:
                    if cqe.res != SIZE:
                        raise OSError(-cqe.res, "message")

    def verify(self) -> None:
        self.into[:] = bytes(SIZE)
        self.prepare(2)
        self.run()
        if self.into != self.out:
            raise AssertionError("the message is not what was sent")

    def close(self) -> None:
        self.ring.close()
        self.left.close()
        self.right.close()


CONTESTANTS: Contestants = {"pingpong": {"": PingPong}}

"""asyncio, as it comes with Python: messages over a socket pair."""

from __future__ import annotations

import asyncio
import socket

from harness.cells import Cell, Contestants, Task, Unable


class PingPong(Cell):
    unit = 2

    def __init__(self, task: Task) -> None:
        if task.cell == "armed":
            raise Unable("measured as one: it tries at once and waits only if it must")
        self.left, self.right = socket.socketpair()
        self.left.setblocking(False)
        self.right.setblocking(False)
        self.out, self.into = bytes(range(64)), bytearray(64)
        self.loop = asyncio.new_event_loop()

    def prepare(self, ops: int) -> None:
        self.turns = ops // 2

    async def play(self) -> None:
        loop, out, into = self.loop, self.out, self.into
        for _ in range(self.turns):
            for here, there in ((self.left, self.right), (self.right, self.left)):
                await loop.sock_sendall(here, out)
                if await loop.sock_recv_into(there, into) != 64:
                    raise OSError("message")

    def run(self) -> None:
        self.loop.run_until_complete(self.play())

    def verify(self) -> None:
        self.prepare(2)
        self.run()
        if self.into != self.out:
            raise AssertionError("the message is not what was sent")

    def close(self) -> None:
        self.loop.close()
        self.left.close()
        self.right.close()


CONTESTANTS: Contestants = {"pingpong": {"": PingPong}}

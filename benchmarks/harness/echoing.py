"""An echo server and its clients in one asyncio loop, over TCP, by number of connections."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable

from .cells import Cell, Task

__all__ = ["Echo"]

SIZE = 64


class Server(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.write(data)


class Client(asyncio.Protocol):
    """Sends a message, waits until all of it is back, sends the next."""

    def __init__(self, cell: Echo) -> None:
        self.cell = cell
        self.message = bytes(range(SIZE))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def start(self, turns: int) -> None:
        self.turns, self.got = turns, 0
        self.transport.write(self.message)

    def data_received(self, data: bytes) -> None:
        if data != self.message:
            raise AssertionError("not what was sent")
        self.got += 1
        if self.got < self.turns:
            self.transport.write(self.message)
        else:
            self.cell.one_is_done()


class Echo(Cell):
    def __init__(self, task: Task, make: Callable[[], selectors.BaseSelector]) -> None:
        self.loop = asyncio.SelectorEventLoop(make())
        self.unit = task.number
        self.clients: list[Client] = []
        self.loop.run_until_complete(self.connect(task.number))

    async def connect(self, count: int) -> None:
        self.server = await self.loop.create_server(Server, "127.0.0.1", 0, backlog=1000)
        port = self.server.sockets[0].getsockname()[1]
        for _ in range(count):
            _, client = await self.loop.create_connection(lambda: Client(self), "127.0.0.1", port)
            self.clients.append(client)

    def prepare(self, ops: int) -> None:
        self.turns = ops // len(self.clients)

    def one_is_done(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.loop.stop()

    def run(self) -> None:
        self.left = len(self.clients)
        for client in self.clients:
            client.start(self.turns)
        self.loop.run_forever()

    def verify(self) -> None:
        self.prepare(2 * len(self.clients))
        self.run()
        if any(client.got != 2 for client in self.clients):
            raise AssertionError("messages are missing")

    def close(self) -> None:
        for client in self.clients:
            client.transport.close()
        self.server.close()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()

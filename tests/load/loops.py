"""asyncio on UringSelector with very many connections, server and clients in one process."""

from __future__ import annotations

import asyncio
import time

from load.echo import need_descriptors
from uring_rs.selectors import UringSelector


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
    except ConnectionResetError:
        pass
    finally:
        writer.close()


class Visitor:
    """One connection, which says who it is."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def connect(self, port: int, slots: asyncio.Semaphore) -> None:
        address = f"127.0.0.{1 + self.number // 5000}"
        async with slots:
            self.reader, self.writer = await asyncio.open_connection(address, port)

    async def talk(self, turn: int) -> None:
        message = f"{self.number}:{turn};".encode() * 5
        self.writer.write(message)
        if (got := await self.reader.readexactly(len(message))) != message:
            raise AssertionError(f"connection {self.number} got {got!r}")

    async def leave(self) -> None:
        if self.number % 3 == 0:
            self.writer.transport.abort()
        else:
            self.writer.close()
            await self.writer.wait_closed()


async def _visit(count: int, rounds: int) -> dict[str, int | float]:
    server = await asyncio.start_server(_serve, "0.0.0.0", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    async with server:
        visitors = [Visitor(number) for number in range(count)]
        slots = asyncio.Semaphore(500)
        began = time.monotonic()
        await asyncio.gather(*(visitor.connect(port, slots) for visitor in visitors))
        connected = time.monotonic()
        for turn in range(rounds):
            await asyncio.gather(*(visitor.talk(turn) for visitor in visitors))
        talked = time.monotonic()
        await asyncio.gather(*(visitor.leave() for visitor in visitors))
    return {
        "asyncio_connections": count,
        "asyncio_echoes": count * rounds,
        "asyncio_connects_per_second": round(count / (connected - began)),
        "asyncio_echoes_per_second": round(count * rounds / (talked - connected)),
    }


def run(connections: int, rounds: int) -> dict[str, int | float]:
    """Connect all, talk to all at once in rounds, go; what was measured."""
    need_descriptors(2 * connections + 64)
    selector = UringSelector()
    if selector.backend != "io_uring":
        raise AssertionError(f"not by io_uring: {selector.reason}")
    loop = asyncio.SelectorEventLoop(selector)
    try:
        figures = loop.run_until_complete(_visit(connections, rounds))
        if selector.backend != "io_uring":
            raise AssertionError(f"fell back: {selector.reason}")
        return figures
    finally:
        loop.close()

"""asyncio on `UringSelector`: an echo server and its clients, nothing else changed but the loop.

python examples/asyncio_server.py [clients]
"""

from __future__ import annotations

import asyncio
import sys

from uring_rs.selectors import UringSelector


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the client has nothing more to say."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def client(port: int, message: bytes) -> bytes:
    """Send a message, and return what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def serve(clients: int) -> int:
    """How many of so many clients got back what they had sent."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        messages = [b"message %d" % number for number in range(clients)]
        answers = await asyncio.gather(*(client(port, message) for message in messages))
    return sum(answer == message for answer, message in zip(answers, messages, strict=True))


def main() -> None:
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    selectors: list[UringSelector] = []

    def new_loop() -> asyncio.AbstractEventLoop:
        selectors.append(UringSelector())
        return asyncio.SelectorEventLoop(selectors[-1])

    with asyncio.Runner(loop_factory=new_loop) as runner:
        served = runner.run(serve(clients))
        print(f"{selectors[0].backend}: {served} of {clients} clients served")


if __name__ == "__main__":
    main()

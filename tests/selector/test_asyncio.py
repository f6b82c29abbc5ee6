"""CPython's own tests of asyncio, with the selector on a ring as the one that loops use."""

from __future__ import annotations

import asyncio
import importlib.util
import socket

import pytest

from helpers.child import run_child
from selector.kit import on_ring
from uring_rs.selectors import UringSelector

RUN = """
import sys, unittest, selectors
from uring_rs.selectors import UringSelector

made = []

class OnRing(UringSelector):
    def __init__(self):
        super().__init__()
        assert self.backend == "io_uring", self.reason
        made.append(None)

selectors.DefaultSelector = selectors.EpollSelector = OnRing
least, name, *patterns = sys.argv[1:]
loader = unittest.TestLoader()
loader.testNamePatterns = patterns or None
suite = loader.loadTestsFromName("test.test_asyncio." + name)
result = unittest.TextTestRunner(stream=sys.stdout).run(suite)
assert result.wasSuccessful()
assert result.testsRun - len(result.skipped) >= int(least), result
assert made, "no loop used it"
"""

# At least so many tests of each must have run, whatever the version of Python.
SHORT = {
    "test_events.EPollEventLoopTests": 18,
    "test_sock_lowlevel.EPollEventLoopTests": 9,
    "test_streams": 50,
    "test_server": 1,
}
# Of the first, which is long, what has to do with descriptors.
PATTERNS = [
    f"*{word}*"
    for word in (
        "accept",
        "connection_sock",
        "datagram",
        "pipe",
        "reader",
        "server_sock",
        "signal",
        "subprocess_exec",
        "subprocess_interactive",
        "writer",
    )
]
LONG = {
    "test_events": 180,
    "test_sendfile": 30,
    "test_sock_lowlevel": 27,
    "test_ssl": 10,
    "test_sslproto": 20,
    "test_subprocess": 60,
    "test_unix_events": 60,
    "test_base_events": 90,
    "test_locks": 30,
    "test_queues": 20,
    "test_timeouts": 15,
    "test_taskgroups": 20,
    "test_waitfor": 10,
}


def run(name: str, least: int, timeout: float, *patterns: str) -> None:
    if not importlib.util.find_spec("test") or not importlib.util.find_spec("test.test_asyncio"):
        pytest.skip("this interpreter came without its test package")
    # Their tests leave loops to the collector here and there.
    run_child(RUN, str(least), name, *patterns, timeout=timeout, options=["-W", "ignore"])


@pytest.mark.parametrize(("name", "least"), SHORT.items())
def test_theirs(name: str, least: int) -> None:
    run(name, least, 50, *(PATTERNS if "test_events" in name else ()))


@pytest.mark.soak
@pytest.mark.parametrize(("name", "least"), LONG.items())
def test_more_of_theirs(name: str, least: int) -> None:
    run(name, least, 300)


def test_an_echo_server() -> None:
    """Many connections at once, from the first byte to the end."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def talk(port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for size in (1, 1000, 300_000):
            message = bytes([number % 256]) * size
            writer.write(message)
            assert await reader.readexactly(size) == message
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await asyncio.gather(*(talk(port, number) for number in range(60)))

    def new_loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(on_ring())

    with asyncio.Runner(loop_factory=new_loop, debug=True) as runner:
        runner.run(main())


def test_readers_and_writers_of_a_loop() -> None:
    loop = asyncio.SelectorEventLoop(UringSelector())
    one, other = socket.socketpair()
    sent, seen = bytearray(), bytearray()

    def read() -> None:
        seen.extend(one.recv(100))
        if len(seen) == 3:
            loop.remove_reader(one)
            loop.stop()

    def write() -> None:
        sent.append(len(sent))
        other.send(sent[-1:])
        if len(sent) == 3:
            loop.remove_writer(other)

    one.setblocking(False)
    loop.add_reader(one, read)
    loop.add_writer(other, write)
    loop.run_forever()
    assert seen == sent == bytes(range(3))
    loop.close()
    one.close()
    other.close()

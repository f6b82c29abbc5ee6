"""The examples that are programs; and that each example is run by some test."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from helpers.child import TESTS, child_env, run_child
from uring_rs.testing import SimRing

from .conftest import EXAMPLES

Example = Callable[[str], ModuleType]

# Nothing in them differs between Pythons that the tests of what they use would not see.
pytestmark = pytest.mark.once


def run(name: str, *words: str) -> bytes:
    """What an example prints that is run as its text says."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *words]
    done = subprocess.run(command, capture_output=True, env=child_env(), timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_every_example_is_run_by_a_test() -> None:
    tests = [path.read_text() for path in TESTS.rglob("test_*.py")]
    for path in EXAMPLES.glob("*.py"):
        used = re.compile(rf'"{path.stem}(\.py)?"')
        assert any("example" in text and used.search(text) for text in tests), path.name


@pytest.fixture
def echo(example: Example) -> Iterator[tuple[Any, tuple[str, int]]]:
    """A server of few and small buffers, and its address."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = example("echo_server").EchoServer(listener, buffers=16, size=512)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server, listener.getsockname()
        finally:
            server.stop()
            thread.join()
            server.close()


def talk(address: tuple[str, int], data: bytes) -> bytes:
    """Send all of it, and everything that comes back."""
    with socket.create_connection(address) as sock:

        def send() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        answer = bytearray()
        while chunk := sock.recv(65536):
            answer += chunk
        sender.join()
        return bytes(answer)


def test_echo(echo: tuple[Any, tuple[str, int]]) -> None:
    _, address = echo
    answers: dict[bytes, bytes] = {}
    messages = [random.Random(n).randbytes(100_000) for n in range(6)]
    threads = [
        threading.Thread(target=lambda data=data: answers.update({data: talk(address, data)}))
        for data in messages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {data: data for data in messages}


def test_echo_to_a_client_that_does_not_read(echo: tuple[Any, tuple[str, int]]) -> None:
    server, address = echo
    with socket.create_connection(address) as deaf:
        deaf.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                deaf.send(bytes(65536))
        # What fits into no buffer stays outside: others are served all the same.
        assert talk(address, b"hello") == b"hello"
        # And it goes on when the client has come to its senses.
        deaf.setblocking(True)
        assert deaf.recv(1) == b"\0"
    assert talk(address, b"again") == b"again"
    assert server.pool.count == 16


def test_echo_where_descriptors_run_out() -> None:
    """In a process of its own: whom it cannot accept is served when others have gone."""
    done = run_child(
        """
        import errno, os, resource, socket, sys, threading
        sys.path.insert(0, sys.argv[1])
        import echo_server
        refused = threading.Event()
        class Server(echo_server.EchoServer):
            def _accepted(self, cqe):
                super()._accepted(cqe)
                if cqe.res == -errno.EMFILE:
                    refused.set()
        with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
            server = Server(listener)
            clients = [socket.socket() for _ in range(30)]
            # The kernel looks at the limit when an accept is prepared.
            limit = len(os.listdir("/proc/self/fd")) + 5
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            thread = threading.Thread(target=server.run)
            thread.start()
            for client in clients:
                client.connect(listener.getsockname())
            refused.wait()
            late = clients.pop()
            for client in clients:
                client.close()
            late.sendall(b"late")
            print(late.recv(4))
            late.close()
            server.stop()
            thread.join()
            server.close()
        """,
        str(EXAMPLES),
    )
    assert done.stdout == "b'late'\n"


def test_the_echo_server_as_a_program() -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLES / "echo_server.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=child_env(), text=True) as program:
        assert program.stdout
        port = int(program.stdout.readline().split()[-1])
        assert talk(("127.0.0.1", port), b"x" * 10) == b"x" * 10
        program.send_signal(signal.SIGTERM)
        assert program.stdout.read() == "messages sent back: 1\n"
    assert program.returncode == 0


def test_cat(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"first\n")
    (tmp_path / "two").write_bytes(random.Random(0).randbytes(3 << 20))
    printed = run("cat.py", str(tmp_path / "one"), str(tmp_path / "two"))
    assert printed == b"first\n" + (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 5_000_001])
def test_cp(tmp_path: Path, size: int) -> None:
    (tmp_path / "source").write_bytes(random.Random(size).randbytes(size))
    run("cp.py", str(tmp_path / "source"), str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()


def test_cp_with_short_transfers(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every transfer is short at some time nothing is lost or moved."""
    data = random.Random(1).randbytes(5000)
    module = example("cp")
    monkeypatch.setattr(module, "CHUNK", 1000)
    with SimRing(16, seed=3) as ring:
        source, target = ring.kernel.file("source", data), ring.kernel.file("target", b"")
        for nth, moved in enumerate([1, 999, 500, 7, 300, 20, 1000, 450, 3]):
            ring.faults.transfer(moved, nth=nth)
        module.copy(ring, source, target, len(data))
        assert ring.faults.left == 0
        assert ring.kernel.contents("target") == data


def test_checksums(tmp_path: Path) -> None:
    for name, data in {
        "a": b"same",
        "b/c": b"same",
        "d": b"diff",
        "e": b"alone!",
        "f": b"",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    shutil.copy(tmp_path / "d", tmp_path / "b" / "d")
    (tmp_path / "g").write_bytes(bytes(100_000))
    (tmp_path / "h").write_bytes(bytes(100_000))
    printed = run("checksums.py", str(tmp_path)).decode()
    groups = [sorted(part.split()) for part in printed.strip().split("\n\n")]
    place = str(tmp_path) + os.sep
    assert groups[0] == [place + "g", place + "h"]
    assert sorted(groups[1:]) == [[place + "a", place + "b/c"], [place + "b/d", place + "d"]]


def test_asyncio_server() -> None:
    printed = run("asyncio_server.py", "40").decode()
    assert printed.endswith(": 40 of 40 clients served\n")

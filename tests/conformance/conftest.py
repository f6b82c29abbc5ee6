"""Rings, files and sockets for the conformance tests: each operation in both thread modes."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pair, Pipe


@pytest.fixture(autouse=True)
def _ring_possible() -> None:
    found = uring_rs.probe()
    if not found.ok:
        pytest.skip(f"io_uring is refused here: {found.reason}")


@pytest.fixture(params=[False, True], ids=["owned", "shared"])
def shared(request: pytest.FixtureRequest) -> bool:
    """The thread mode; whatever uses it, or `ring`, runs once in each."""
    return bool(request.param)


@pytest.fixture
def open_ring() -> Iterator[Callable[..., uring_rs.Ring]]:
    """Opens rings with any arguments; they are closed after the test, and must then be whole."""
    with contextlib.ExitStack() as stack:

        def opened(*args: object, **kwargs: object) -> uring_rs.Ring:
            ring = uring_rs.Ring(*args, **kwargs)  # type: ignore[arg-type]
            stack.callback(_close_whole, ring)
            return ring

        yield opened


def _close_whole(ring: uring_rs.Ring) -> None:
    ring.close()
    assert ring.in_flight == 0
    assert ring.stray_completions == 0


@pytest.fixture
def make_ring(
    shared: bool, open_ring: Callable[..., uring_rs.Ring]
) -> Callable[..., uring_rs.Ring]:
    """Opens rings of the thread mode under test."""
    return lambda *args, **kwargs: open_ring(*args, shared=shared, **kwargs)


@pytest.fixture
def ring(make_ring: Callable[..., uring_rs.Ring]) -> uring_rs.Ring:
    """A ring of 16 entries in each thread mode."""
    return make_ring(16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of 4096 known bytes."""
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    """That file, open for reading and writing."""
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


@pytest.fixture
def pipes() -> Iterator[Callable[[], Pipe]]:
    """Makes pipes, closed after the test."""
    with contextlib.ExitStack() as stack:

        def made() -> Pipe:
            pipe = Pipe()
            stack.callback(os.close, pipe.out)
            stack.callback(os.close, pipe.into)
            return pipe

        yield made


@pytest.fixture
def pipe(pipes: Callable[[], Pipe]) -> Pipe:
    """An empty pipe: reading from it waits."""
    return pipes()


@pytest.fixture
def closed_fd() -> int:
    """A number that no open file has."""
    fd = os.open("/dev/null", os.O_RDONLY)
    # Out of the way of files that the test opens.
    high = 900
    os.dup2(fd, high)
    os.close(fd)
    os.close(high)
    return high


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected stream sockets."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def datagrams() -> Iterator[Pair]:
    """Two unix datagram sockets, connected to each other."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        yield left, right

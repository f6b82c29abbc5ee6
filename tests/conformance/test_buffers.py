"""Everything that has the buffer protocol is a buffer; what cannot be one is refused."""

from __future__ import annotations

import array
import ctypes
import mmap
import os
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

np: Any = numpy
needs_numpy = pytest.mark.skipif(np is None, reason="numpy is not installed")

pytestmark = pytest.mark.requires_op("READ", "WRITE", "READV", "WRITEV")

WIDTH = 4096


def _mmap() -> mmap.mmap:
    return mmap.mmap(-1, WIDTH)


WRITABLE: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(WIDTH),
    "memoryview": lambda: memoryview(bytearray(WIDTH)),
    "memoryview_slice": lambda: memoryview(bytearray(WIDTH + 20))[7 : WIDTH + 7],
    "memoryview_cast": lambda: memoryview(bytearray(WIDTH)).cast("I"),
    "array_bytes": lambda: array.array("B", bytes(WIDTH)),
    "array_doubles": lambda: array.array("d", bytes(WIDTH)),
    "mmap": _mmap,
    "ctypes": lambda: (ctypes.c_uint16 * (WIDTH // 2))(),
    "numpy": lambda: np.zeros(WIDTH, np.uint8),
    "numpy_matrix": lambda: np.zeros((16, WIDTH // 64), np.uint32),
    "numpy_row": lambda: np.zeros((3, WIDTH), np.uint8)[1],
}


def kinds(table: Mapping[str, object]) -> list[Any]:
    """The names in a table, those that need NumPy marked so."""
    return [pytest.param(k, marks=needs_numpy if "numpy" in k else ()) for k in table]


def content(buf: Any) -> bytes:
    return buf[:] if isinstance(buf, mmap.mmap) else memoryview(buf).tobytes()


def fill(buf: Any) -> None:
    view = memoryview(buf).cast("B")
    view[:] = CONTENT
    view.release()


@pytest.mark.parametrize("kind", kinds(WRITABLE))
@pytest.mark.parametrize("vector", [False, True], ids=["one", "vector"])
def test_read_into(ring: uring_rs.Ring, fd: int, kind: str, vector: bool) -> None:
    buf = WRITABLE[kind]()
    if vector:
        ring.prep_readv(fd, [buf], 0)
    else:
        ring.prep_read(fd, buf, 0)
    assert one(ring).result() == WIDTH
    assert content(buf) == CONTENT


@pytest.mark.parametrize("kind", kinds(WRITABLE))
@pytest.mark.parametrize("vector", [False, True], ids=["one", "vector"])
def test_write_from(ring: uring_rs.Ring, fd: int, kind: str, vector: bool) -> None:
    os.ftruncate(fd, 0)
    buf = WRITABLE[kind]()
    fill(buf)
    if vector:
        ring.prep_writev(fd, [buf], 0)
    else:
        ring.prep_write(fd, buf, 0)
    assert one(ring).result() == WIDTH
    assert os.pread(fd, WIDTH + 1, 0) == CONTENT


READ_ONLY: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CONTENT,
    "memoryview": lambda: memoryview(CONTENT),
    "readonly_view": lambda: memoryview(bytearray(CONTENT)).toreadonly(),
    "mmap": lambda: mmap.mmap(-1, WIDTH, prot=mmap.PROT_READ),
    "numpy": lambda: np.frombuffer(CONTENT, np.uint8),
}


@pytest.mark.parametrize("kind", kinds(READ_ONLY))
def test_write_from_read_only_memory(ring: uring_rs.Ring, fd: int, kind: str) -> None:
    os.ftruncate(fd, 0)
    buf = READ_ONLY[kind]()
    ring.prep_write(fd, buf, 0)
    assert one(ring).result() == WIDTH
    assert os.pread(fd, WIDTH + 1, 0) == content(buf)


@pytest.mark.parametrize("kind", kinds(READ_ONLY))
def test_read_only_memory_is_no_destination(
    ring: uring_rs.Ring, fd: int, kind: str, pair: Any
) -> None:
    buf = READ_ONLY[kind]()
    before = content(buf)
    for refuse in (
        lambda: ring.prep_read(fd, buf, 0),
        lambda: ring.prep_readv(fd, [buf], 0),
        lambda: ring.prep_recv(pair[0], buf),
        lambda: ring.prep_recvmsg(pair[0], [buf]),
        lambda: uring_rs.Sqe.read(fd, buf, 0),
    ):
        # The exporter's own words: numpy says ValueError, mmap TypeError before 3.12.
        with pytest.raises((BufferError, ValueError, TypeError), match=r"(?i)writ|read-?only"):
            refuse()
    idle(ring)
    assert content(buf) == before


STRIDED: dict[str, Callable[[], Any]] = {
    "memoryview": lambda: memoryview(bytearray(WIDTH))[::2],
    "reversed": lambda: memoryview(bytearray(WIDTH))[::-1],
    "numpy": lambda: np.zeros(WIDTH, np.uint8)[::2],
    "numpy_column": lambda: np.zeros((8, 8), np.uint8)[:, 1],
    "numpy_transposed": lambda: np.zeros((8, 4), np.uint8).T,
}


@pytest.mark.parametrize("kind", kinds(STRIDED))
def test_memory_with_gaps_is_refused(ring: uring_rs.Ring, fd: int, kind: str) -> None:
    buf = STRIDED[kind]()
    for refuse in (
        lambda: ring.prep_read(fd, buf, 0),
        lambda: ring.prep_write(fd, buf, 0),
        lambda: ring.prep_readv(fd, [buf], 0),
        lambda: ring.prep_writev(fd, [buf], 0),
    ):
        with pytest.raises((BufferError, ValueError), match="contiguous"):
            refuse()
    idle(ring)


@pytest.mark.parametrize("wrong", ["text", 5, None, [1, 2], object(), {1}])
def test_not_a_buffer(ring: uring_rs.Ring, fd: int, wrong: Any) -> None:
    for prep in (ring.prep_read, ring.prep_write, ring.prep_send, ring.prep_recv):
        with pytest.raises(TypeError, match="bytes-like"):
            prep(fd, wrong)
    idle(ring)


def test_released_memoryview(ring: uring_rs.Ring, fd: int) -> None:
    view = memoryview(bytearray(4))
    view.release()
    for prep in (ring.prep_read, ring.prep_write):
        with pytest.raises(ValueError, match="released"):
            prep(fd, view, 0)
    idle(ring)


# How each kind of object shows that something holds its memory.
MOVES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "bytearray": (lambda: bytearray(8), lambda buf: buf.append(0)),
    "bytearray_clear": (lambda: bytearray(8), lambda buf: buf.clear()),
    "array": (lambda: array.array("B", bytes(8)), lambda buf: buf.append(0)),
    "memoryview": (lambda: memoryview(bytearray(8)), lambda buf: buf.release()),
    "mmap": (lambda: mmap.mmap(-1, 8), lambda buf: buf.close()),
}


@pytest.mark.parametrize("kind", MOVES)
def test_locked_until_the_completion_is_taken(ring: uring_rs.Ring, pipe: Pipe, kind: str) -> None:
    make, move = MOVES[kind]
    buf = make()
    ring.prep_read(pipe.out, buf)
    with pytest.raises(BufferError):
        move(buf)
    ring.submit()
    with pytest.raises(BufferError):
        move(buf)
    pipe.feed(b"abc")
    assert one(ring).result() == 3
    assert content(buf)[:3] == b"abc"
    move(buf)


@pytest.mark.parametrize("kind", MOVES)
def test_unlocked_by_discard(ring: uring_rs.Ring, pipe: Pipe, kind: str) -> None:
    make, move = MOVES[kind]
    buf = make()
    ring.prep_read(pipe.out, buf)
    assert ring.discard() == 1
    move(buf)
    idle(ring)


def test_one_buffer_in_many_requests(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(8)
    view = memoryview(buf)
    ring.prep_read(pipe.out, view[:4])
    ring.prep_read(pipe.out, view[4:])
    del view
    ring.submit()
    pipe.feed(b"abcd")
    assert ring.wait(1) >= 1
    assert ring.pop() is not None
    with pytest.raises(BufferError):
        buf.append(0)
    pipe.feed(b"efgh")
    assert one(ring).result() == 4
    assert sorted(buf) == list(b"abcdefgh")
    buf.append(0)


def test_a_dropped_buffer_lives_on(ring: uring_rs.Ring, fd: int) -> None:
    """The write reads what the buffer held, though nobody else holds the buffer."""
    ring.prep_write(fd, bytes(b"kept" * 100), 0)
    garbage = [b"lost" * 100 for _ in range(100)]
    assert one(ring).result() == 400
    assert os.pread(fd, 400, 0) == b"kept" * 100
    assert len(garbage) == 100

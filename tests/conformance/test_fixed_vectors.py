"""READV_FIXED and WRITEV_FIXED: parts of one registered buffer."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one
from uring_rs import Sqe

pytestmark = pytest.mark.requires_op("READV_FIXED", "WRITEV_FIXED")

SIZE = 5000


@pytest.fixture
def pool(ring: uring_rs.Ring) -> Iterator[uring_rs.BufferPool]:
    with ring.buffer_pool(2, SIZE) as pool:
        yield pool


@pytest.fixture
def buf(pool: uring_rs.BufferPool) -> Iterator[uring_rs.FixedBuffer]:
    with pool.take() as buf:
        yield buf


def content(buf: uring_rs.FixedBuffer) -> bytes:
    with memoryview(buf) as view:
        return view.tobytes()


def test_read(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int) -> None:
    ring.prep_readv_fixed(fd, buf, [(100, 10), (0, 5), (SIZE - 3, 3)], 7, user_data="r")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op, cqe.value) == ("r", 18, "READV_FIXED", None)
    expected = bytearray(SIZE)
    expected[100:110], expected[:5], expected[-3:] = CONTENT[7:17], CONTENT[17:22], CONTENT[22:25]
    assert content(buf) == expected
    idle(ring)


def test_write(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int, path: Path) -> None:
    with memoryview(buf) as view:
        view[:10] = b"0123456789"
    parts = ((start, 2) for start in (8, 0, 4))
    ring.prep_writev_fixed(fd, buf, parts, 1)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (6, "WRITEV_FIXED")
    assert path.read_bytes()[:8] == CONTENT[:1] + b"890145" + CONTENT[7:8]


def test_own_position(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, pipe: Pipe) -> None:
    with memoryview(buf) as view:
        view[:4] = b"pipe"
    ring.prep_writev_fixed(pipe.into, buf, [(0, 2), (2, 2)])
    assert one(ring).result() == 4
    ring.prep_readv_fixed(pipe.out, buf, [(10, 3), (20, 3)])
    assert one(ring).result() == 4
    assert content(buf)[10:23] == b"pip" + bytes(7) + b"e" + bytes(2)


def test_the_end_of_the_file(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int) -> None:
    ring.prep_readv_fixed(fd, buf, [(0, 10), (10, 10)], len(CONTENT) - 13)
    assert one(ring).result() == 13
    ring.prep_readv_fixed(fd, buf, [(0, 10)], len(CONTENT))
    assert one(ring).result() == 0


def test_empty_parts(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int) -> None:
    ring.prep_readv_fixed(fd, buf, [(0, 0), (5, 2), (SIZE, 0)], 0)
    assert one(ring).result() == 2
    for parts in ([], [(0, 0)]):
        ring.prep_readv_fixed(fd, buf, parts, 0)
        assert one(ring).result() == 0


def test_most_parts(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int) -> None:
    ring.prep_readv_fixed(fd, buf, [(i, 1) for i in range(1024)], 0)
    assert one(ring).result() == 1024
    assert content(buf)[:1024] == CONTENT[:1024]
    with pytest.raises(ValueError, match="more than 1024 parts"):
        ring.prep_readv_fixed(fd, buf, [(i, 1) for i in range(1025)], 0)


def test_the_buffer_is_held(ring: uring_rs.Ring, pool: uring_rs.BufferPool, pipe: Pipe) -> None:
    buf = pool.take()
    request = ring.prep_readv_fixed(pipe.out, buf, [(0, 2), (2, 2)], user_data="r")
    ring.submit()
    with pytest.raises(BufferError, match="in flight"):
        buf.release()
    ring.prep_cancel(request, user_data="c")
    ring.submit(wait=2)
    found = {cqe.user_data: cqe.res for cqe in ring}
    assert found == {"c": 0, "r": -errno.ECANCELED}
    buf.release()
    idle(ring)


def test_sqe(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int) -> None:
    parts = [[2, 2], [0, 2]]
    sqe = Sqe.readv_fixed(fd, buf, (tuple(part) for part in parts), 0)  # type: ignore[misc]
    parts.clear()
    for _ in range(2):
        ring.push(sqe)
        assert one(ring).result() == 4
        assert content(buf)[:4] == CONTENT[2:4] + CONTENT[:2]
    ring.push(Sqe.writev_fixed(fd, buf, [(0, 4)], 0))
    assert one(ring).result() == 4
    assert os.pread(fd, 4, 0) == CONTENT[2:4] + CONTENT[:2]
    del sqe


def test_bad_arguments(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, fd: int) -> None:
    wrong: list[Any]
    for prep in (ring.prep_readv_fixed, ring.prep_writev_fixed, Sqe.readv_fixed):
        for part in ((-1, 1), (0, -1), (0, SIZE + 1), (SIZE, 1), (1, SIZE), (2**63 - 1, 2**63 - 1)):
            with pytest.raises(ValueError, match="a part is"):
                prep(fd, buf, [(0, 1), part])
        for wrong in ([5], [(1,)], [(1, 2, 3)], [("a", "b")], [None]):
            with pytest.raises((TypeError, ValueError)):
                prep(fd, buf, wrong)
        with pytest.raises(TypeError):
            prep(fd, buf, None)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="FixedBuffer"):
            prep(fd, bytearray(8), [(0, 1)])  # type: ignore[arg-type]
        with pytest.raises(OverflowError):
            prep(fd, buf, [(0, 2**64)])
        with pytest.raises(ValueError, match="offset"):
            prep(fd, buf, [(0, 1)], -2)
    buf.release()  # no use was left counted
    with pytest.raises(ValueError, match="given back"):
        ring.prep_readv_fixed(fd, buf, [(0, 1)])
    idle(ring)


def test_refusals(ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, closed_fd: int) -> None:
    ring.prep_readv_fixed(closed_fd, buf, [(0, 1)])
    failed(one(ring), OSError, errno.EBADF)
    idle(ring)


def test_buffers_of_another_ring(
    ring: uring_rs.Ring, buf: uring_rs.FixedBuffer, open_ring: Any, fd: int
) -> None:
    with pytest.raises(ValueError, match="another ring"):
        open_ring(4).prep_readv_fixed(fd, buf, [(0, 1)])

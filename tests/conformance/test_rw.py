"""READ, WRITE, READV, WRITEV: results, positions, refusals. For buffer types see test_buffers."""

from __future__ import annotations

import errno
import gc
import io
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one, results, several

pytestmark = pytest.mark.requires_op("READ", "WRITE", "READV", "WRITEV")

SIZE = len(CONTENT)


# --- reading


@pytest.mark.parametrize(("offset", "size"), [(0, SIZE), (0, 1), (100, 300), (SIZE - 1, 1)])
def test_read(ring: uring_rs.Ring, fd: int, offset: int, size: int) -> None:
    buf = bytearray(size)
    ring.prep_read(fd, buf, offset)
    cqe = one(ring)
    assert (cqe.result(), cqe.op, cqe.more) == (size, "READ", False)
    assert buf == CONTENT[offset : offset + size]
    idle(ring)


def test_short_read_at_the_end(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(b"\xff" * 100)
    ring.prep_read(fd, buf, SIZE - 30)
    assert one(ring).result() == 30
    assert buf == CONTENT[-30:] + b"\xff" * 70


@pytest.mark.parametrize("offset", [SIZE, SIZE + 1, 2**40])
def test_read_at_and_past_the_end(ring: uring_rs.Ring, fd: int, offset: int) -> None:
    buf = bytearray(b"same")
    ring.prep_read(fd, buf, offset)
    assert one(ring).result() == 0
    assert buf == b"same"


def test_read_at_the_own_position(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(1000)
    got = b""
    for expected in (1000, 1000, 1000, 1000, 96, 0):
        ring.prep_read(fd, buf)
        assert one(ring).result() == expected
        got += buf[:expected]
    assert got == CONTENT
    assert os.lseek(fd, 0, os.SEEK_CUR) == SIZE


def test_read_at_an_offset_leaves_the_position(ring: uring_rs.Ring, fd: int) -> None:
    os.lseek(fd, 7, os.SEEK_SET)
    ring.prep_read(fd, bytearray(100), offset=50)
    assert one(ring).result() == 100
    assert os.lseek(fd, 0, os.SEEK_CUR) == 7


def test_nbytes_limits_a_read(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(b"\xff" * 10)
    ring.prep_read(fd, buf, 5, 4)
    assert one(ring).result() == 4
    assert buf == CONTENT[5:9] + b"\xff" * 6


@pytest.mark.parametrize("method", ["prep_read", "prep_write"])
def test_nbytes_of_zero_and_empty_buffers(ring: uring_rs.Ring, fd: int, method: str) -> None:
    getattr(ring, method)(fd, bytearray(5), 0, 0)
    assert one(ring).result() == 0
    getattr(ring, method)(fd, bytearray(), 0)
    assert one(ring).result() == 0
    assert os.pread(fd, SIZE, 0) == CONTENT


def test_many_reads_at_once(ring: uring_rs.Ring, fd: int) -> None:
    bufs = [bytearray(256) for _ in range(16)]
    for index, buf in enumerate(bufs):
        ring.prep_read(fd, buf, index * 256, user_data=index)
    assert results(ring, 16) == dict.fromkeys(range(16), 256)
    assert b"".join(bufs) == CONTENT


def test_file_objects(ring: uring_rs.Ring, path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        buf = bytearray(10)
        ring.prep_read(file, buf, 0)
        assert one(ring).result() == 10
        assert buf == CONTENT[:10]


def test_a_file_object_is_held_while_in_flight(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Were it collected, its number could come to mean another file."""
    closed = []

    class Owner:
        def __init__(self) -> None:
            self.fd = os.dup(pipe.out)

        def fileno(self) -> int:
            return self.fd

        def __del__(self) -> None:
            os.close(self.fd)
            closed.append(self.fd)

    buf = bytearray(4)
    ring.prep_read(Owner(), buf)
    ring.submit()
    gc.collect()
    assert not closed
    pipe.feed(b"abcd")
    assert one(ring).result() == 4
    assert buf == b"abcd"
    assert closed


# --- writing


def test_write(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_write(fd, b"hello", 100)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (5, "WRITE")
    assert os.pread(fd, SIZE + 1, 0) == CONTENT[:100] + b"hello" + CONTENT[105:]
    idle(ring)


def test_write_past_the_end_leaves_a_hole(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_write(fd, b"end", SIZE + 10)
    assert one(ring).result() == 3
    assert os.pread(fd, 100, SIZE) == bytes(10) + b"end"


def test_write_at_the_own_position(ring: uring_rs.Ring, fd: int) -> None:
    os.lseek(fd, 10, os.SEEK_SET)
    for part in (b"abc", b"def"):
        ring.prep_write(fd, part)
        assert one(ring).result() == 3
    assert os.pread(fd, 6, 10) == b"abcdef"
    assert os.lseek(fd, 0, os.SEEK_CUR) == 16


def test_nbytes_limits_a_write(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_write(fd, b"abcdef", 0, nbytes=2)
    assert one(ring).result() == 2
    assert os.pread(fd, 3, 0) == b"ab" + CONTENT[2:3]


@pytest.mark.skipif(not hasattr(os, "RWF_APPEND"), reason="this Python was built without it")
def test_append_flag(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_write(fd, b"tail", 0, rw_flags=os.RWF_APPEND)
    assert one(ring).result() == 4
    assert os.pread(fd, 2 * SIZE, 0) == CONTENT + b"tail"


# --- several buffers


def test_readv(ring: uring_rs.Ring, fd: int) -> None:
    bufs = [bytearray(3), bytearray(0), bytearray(5)]
    ring.prep_readv(fd, bufs, 10)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (8, "READV")
    assert bufs == [CONTENT[10:13], b"", CONTENT[13:18]]


def test_readv_short_and_at_the_own_position(ring: uring_rs.Ring, fd: int) -> None:
    os.lseek(fd, SIZE - 5, os.SEEK_SET)
    bufs = [bytearray(3), bytearray(b"zzzz")]
    ring.prep_readv(fd, bufs)
    assert one(ring).result() == 5
    assert bufs == [CONTENT[-5:-2], CONTENT[-2:] + b"zz"]


def test_writev(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_writev(fd, [b"ab", bytearray(b"cde"), memoryview(b"xfgx")[1:3]], 20)
    cqe = one(ring)
    assert (cqe.result(), cqe.op) == (7, "WRITEV")
    assert os.pread(fd, 8, 20) == b"abcdefg" + CONTENT[27:28]


@pytest.mark.parametrize("method", ["prep_readv", "prep_writev"])
def test_vectors_from_any_iterable_and_up_to_1024(
    ring: uring_rs.Ring, fd: int, method: str
) -> None:
    bufs = [bytearray(CONTENT[i : i + 1]) for i in range(1024)]
    getattr(ring, method)(fd, (buf for buf in bufs), 0)
    assert one(ring).result() == 1024
    assert b"".join(bufs) == CONTENT[:1024]
    getattr(ring, method)(fd, [], 0)
    assert one(ring).result() == 0


@pytest.mark.parametrize("method", ["prep_readv", "prep_writev"])
def test_vectors_that_are_refused(ring: uring_rs.Ring, fd: int, method: str) -> None:
    prep = getattr(ring, method)
    good = bytearray(4)
    with pytest.raises(ValueError, match="1024"):
        prep(fd, [good] * 1025)
    with pytest.raises(TypeError):
        prep(fd, 5)
    with pytest.raises(TypeError):
        prep(fd, [good, 5])
    with pytest.raises(TypeError):
        prep(fd, [good, "text"])

    def broken() -> Any:
        yield good
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        prep(fd, broken())
    idle(ring)
    good.append(1)  # no lock was left on it


def test_readv_into_read_only_memory(ring: uring_rs.Ring, fd: int) -> None:
    good = bytearray(4)
    with pytest.raises(BufferError):
        ring.prep_readv(fd, [good, b"1234"], 0)
    idle(ring)
    good.append(1)


def test_vectors_are_locked_while_in_flight(ring: uring_rs.Ring, pipe: Pipe) -> None:
    bufs = [bytearray(2), bytearray(2)]
    ring.prep_readv(pipe.out, bufs)
    ring.submit()
    for buf in bufs:
        with pytest.raises(BufferError):
            buf.append(0)
    pipe.feed(b"abc")
    assert one(ring).result() == 3
    assert bufs == [b"ab", b"c\0"]
    for buf in bufs:
        buf.append(0)


# --- pipes: no position, and reads that wait


def test_pipe_read_waits_for_data(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(8)
    ring.prep_read(pipe.out, buf)
    ring.submit()
    assert ring.pop() is None
    assert ring.in_flight == 1
    pipe.feed(b"abc")
    assert one(ring).result() == 3
    assert buf[:3] == b"abc"


def test_nonblocking_descriptors_wait_all_the_same(ring: uring_rs.Ring, pipe: Pipe) -> None:
    os.set_blocking(pipe.out, False)
    buf = bytearray(8)
    ring.prep_read(pipe.out, buf)
    ring.submit()
    assert ring.pop() is None
    pipe.feed(b"abc")
    assert one(ring).result() == 3


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this Python was built without it")
def test_nowait_flag(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_read(pipe.out, bytearray(8), rw_flags=os.RWF_NOWAIT)
    failed(one(ring), BlockingIOError, errno.EAGAIN)


def test_pipe_end_of_file(ring: uring_rs.Ring) -> None:
    out, into = os.pipe()
    ring.prep_read(out, bytearray(8))
    ring.submit()
    os.close(into)
    assert one(ring).result() == 0
    os.close(out)


def test_pipe_without_a_reader(ring: uring_rs.Ring) -> None:
    out, into = os.pipe()
    os.close(out)
    ring.prep_write(into, b"x")
    failed(one(ring), BrokenPipeError, errno.EPIPE)
    os.close(into)


def test_pipe_write_then_read(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(8)
    ring.prep_write(pipe.into, b"through", user_data="w")
    assert one(ring).result() == 7
    ring.prep_read(pipe.out, buf, 0, user_data="r")
    assert one(ring).result() == 7
    assert buf == b"through\0"


# --- failures of the kernel


def test_wrong_direction(ring: uring_rs.Ring, path: Path) -> None:
    reader, writer = os.open(path, os.O_RDONLY), os.open(path, os.O_WRONLY)
    ring.prep_write(reader, b"x", 0)
    failed(one(ring), OSError, errno.EBADF)
    ring.prep_read(writer, bytearray(1), 0)
    failed(one(ring), OSError, errno.EBADF)
    os.close(reader)
    os.close(writer)


def test_closed_descriptor(ring: uring_rs.Ring, closed_fd: int) -> None:
    ring.prep_read(closed_fd, bytearray(4), 0, user_data=1)
    ring.prep_write(closed_fd, b"x", 0, user_data=2)
    ring.prep_readv(closed_fd, [bytearray(4)], 0, user_data=3)
    ring.prep_writev(closed_fd, [b"x"], 0, user_data=4)
    for cqe in several(ring, 4):
        failed(cqe, OSError, errno.EBADF)


def test_directory(ring: uring_rs.Ring, tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    ring.prep_read(fd, bytearray(4), 0)
    failed(one(ring), IsADirectoryError, errno.EISDIR)
    os.close(fd)


@pytest.mark.parametrize("keywords", [{"rw_flags": 1 << 30}, {"ioprio": 7 << 13}])
def test_flags_unknown_to_the_kernel(
    ring: uring_rs.Ring, fd: int, keywords: dict[str, int]
) -> None:
    buf = bytearray(b"same")
    ring.prep_read(fd, buf, 0, **keywords)
    assert one(ring).res in (-errno.EINVAL, -errno.EOPNOTSUPP)
    assert buf == b"same"


# --- bad arguments


@pytest.mark.parametrize("method", ["prep_read", "prep_write", "prep_readv", "prep_writev"])
class TestBadArguments:
    """Refused before anything is staged, for each of the four."""

    @pytest.fixture
    def prep(self, ring: uring_rs.Ring, method: str) -> Callable[..., object]:
        def call(file: object, *rest: object, **keywords: object) -> object:
            buf = bytearray(10)
            return getattr(ring, method)(
                file, [buf] if method.endswith("v") else buf, *rest, **keywords
            )

        return call

    @pytest.fixture(autouse=True)
    def _nothing_left(self, ring: uring_rs.Ring) -> Any:
        yield
        idle(ring)

    def test_file(self, prep: Callable[..., object], path: Path) -> None:
        with pytest.raises(ValueError, match="negative"):
            prep(-1)
        with pytest.raises(OverflowError):
            prep(2**40)
        for wrong in (None, "1", 1.0, [1], b"1"):
            with pytest.raises(TypeError):
                prep(wrong)
        file = path.open("rb")
        file.close()
        with pytest.raises(ValueError, match="closed file"):
            prep(file)
        with pytest.raises(io.UnsupportedOperation):
            prep(io.BytesIO())

    def test_fileno_that_misbehaves(self, prep: Callable[..., object]) -> None:
        class Odd:
            def __init__(self, answer: Any) -> None:
                self.answer = answer

            def fileno(self) -> Any:
                if self.answer is None:
                    raise ZeroDivisionError
                return self.answer

        with pytest.raises(ZeroDivisionError):
            prep(Odd(None))
        with pytest.raises(TypeError):
            prep(Odd("3"))
        with pytest.raises(ValueError, match="negative"):
            prep(Odd(-3))

    def test_offset(self, prep: Callable[..., object], fd: int) -> None:
        for offset in (-2, -(2**63)):
            with pytest.raises(ValueError, match="offset"):
                prep(fd, offset)
        for offset in (2**63, -(2**63) - 1):
            with pytest.raises(OverflowError):
                prep(fd, offset)
        for wrong in (1.0, "0", None):
            with pytest.raises(TypeError):
                prep(fd, wrong)

    def test_flags(self, prep: Callable[..., object], fd: int) -> None:
        for keyword, limit in (("rw_flags", 2**32), ("ioprio", 2**16)):
            for wrong in (-1, limit):
                with pytest.raises(OverflowError):
                    prep(fd, 0, **{keyword: wrong})

    def test_count(self, ring: uring_rs.Ring, method: str) -> None:
        with pytest.raises(TypeError):
            getattr(ring, method)()
        with pytest.raises(TypeError):
            getattr(ring, method)(1)


@pytest.mark.parametrize("method", ["prep_read", "prep_write"])
@pytest.mark.parametrize("nbytes", [-1, 11, 2**40])
def test_bad_nbytes(ring: uring_rs.Ring, fd: int, method: str, nbytes: int) -> None:
    buf = bytearray(10)
    with pytest.raises(ValueError, match="nbytes must be 0 to 10"):
        getattr(ring, method)(fd, buf, 0, nbytes)
    idle(ring)
    buf.append(1)


def test_buffer_of_four_gibibytes(ring: uring_rs.Ring, fd: int) -> None:
    flags = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0x4000)
    with mmap.mmap(-1, 2**32, flags=flags) as huge:
        for prep in (ring.prep_read, ring.prep_write):
            with pytest.raises(ValueError, match="4 GiB"):
                prep(fd, huge, 0)
        idle(ring)
        ring.prep_read(fd, huge, 0, nbytes=2**32 - 1)
        assert one(ring).result() == SIZE
        assert huge[:SIZE] == CONTENT

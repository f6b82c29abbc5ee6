"""What bulk calls read to and write from, the files they work on, and where results go."""

from __future__ import annotations

import mmap
import os
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, idle

Opener = Callable[..., uring_rs.Ring]

OFFSETS = [0, 3, 100, 7]


def test_pieces_of_one_buffer(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(b"-" * 20)
    # What is left over stays as it is.
    assert list(ring.run_reads(fd, buf, [0, 1, 2])) == [6] * 3
    assert buf == CONTENT[:6] + CONTENT[1:7] + CONTENT[2:8] + b"--"
    buf[:] = b"-" * 20
    assert list(ring.run_reads(fd, buf, [0, 1, 2], 4)) == [4] * 3
    assert buf == CONTENT[:4] + CONTENT[1:5] + CONTENT[2:6] + b"-" * 8
    buf[:] = b"-" * 20
    assert list(ring.run_reads(fd, buf, [0, 1, 2, 3], [3, 0, 10, 1])) == [3, 0, 10, 1]
    assert buf == CONTENT[:3] + CONTENT[2:12] + CONTENT[3:4] + b"-" * 6
    small = bytearray(2)
    assert list(ring.run_reads(fd, small, [0, 1, 2])) == [0] * 3
    assert small == bytes(2)


def test_pieces_beyond_the_buffer(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(20)
    for nbytes, total in ((7, 21), ([7, 7, 7], 21), ([2**32 - 1] * 3, 3 * (2**32 - 1))):
        for call in (ring.run_reads, ring.prep_read_batch, ring.run_writes):
            with pytest.raises(ValueError, match=f"the rows need {total} bytes, the buffer has 20"):
                call(fd, buf, [0, 1, 2], nbytes)
    buf.append(0)
    idle(ring)


def test_pieces_beyond_what_a_request_can_move(ring: uring_rs.Ring, fd: int) -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(1 << 33)  # nothing but a hole
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as huge:
            for bufs in (huge, [huge, huge]):
                with pytest.raises(ValueError, match="4 GiB - 1"):
                    ring.run_writes(fd, bufs, [0, 0])
            assert list(ring.run_writes(fd, [huge, huge], [0, 0], 1)) == [1, 1]
    idle(ring)


def test_a_list_of_buffers(ring: uring_rs.Ring, fd: int) -> None:
    bufs = [bytearray(5), array("H", [0] * 4), memoryview(bytearray(9))[2:], mmap.mmap(-1, 3)]
    assert list(ring.run_reads(fd, bufs, OFFSETS)) == [5, 8, 7, 3]
    assert [bytes(buf) for buf in bufs] == [
        CONTENT[at : at + size] for at, size in zip(OFFSETS, [5, 8, 7, 3], strict=True)
    ]
    assert list(ring.run_reads(fd, tuple(bufs), OFFSETS, [4, 0, 7, 1])) == [4, 0, 7, 1]
    with pytest.raises(ValueError, match="nbytes must be 0 to 3, the size of the buffer, not 4"):
        ring.run_reads(fd, bufs, OFFSETS, 4)
    assert list(ring.run_reads(fd, (buf for buf in bufs), OFFSETS, 3)) == [3] * 4
    bufs[0].append(0)  # type: ignore[union-attr]
    bufs[3].close()  # type: ignore[union-attr]


def test_the_same_buffer_more_than_once(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(4)
    assert list(ring.run_reads(fd, [buf] * 50, 8)) == [4] * 50
    assert buf == CONTENT[8:12]
    buf.append(0)


def test_numpy_buffers(ring: uring_rs.Ring, fd: int) -> None:
    numpy = pytest.importorskip("numpy")
    pages = numpy.zeros((4, 16), "u1")
    assert list(ring.run_reads(fd, pages, OFFSETS)) == [16] * 4
    assert [page.tobytes() for page in pages] == [CONTENT[at : at + 16] for at in OFFSETS]
    # Its rows, one by one, and every other of them.
    pages[:] = 0
    assert list(ring.run_reads(fd, list(pages[::2]), OFFSETS[:2])) == [16] * 2
    assert pages[2].tobytes() == CONTENT[3:19]
    assert not pages[1].any()
    for apart in (pages[:, ::2], pages[::2], pages.T):
        with pytest.raises((BufferError, ValueError), match="contiguous"):
            ring.run_reads(fd, apart, OFFSETS)
    pages.setflags(write=False)
    with pytest.raises((BufferError, ValueError), match="read-only"):
        ring.run_reads(fd, pages, OFFSETS)
    assert list(ring.run_writes(fd, pages, OFFSETS)) == [16] * 4


def test_what_can_only_be_read_is_no_destination(ring: uring_rs.Ring, fd: int) -> None:
    good = bytearray(8)
    for wrong in (bytes(16), memoryview(bytes(16)), memoryview(bytearray(16)).toreadonly()):
        with pytest.raises(BufferError):
            ring.run_reads(fd, wrong, 0)
        with pytest.raises(BufferError):
            ring.prep_read_batch(fd, [good, wrong], 0)
        # A source it is.
        assert list(ring.run_writes(fd, wrong, 0)) == [16]
    # The first of the list was let go of.
    good.append(0)
    idle(ring)


@pytest.mark.parametrize("wrong", [None, 16, "text", [bytearray(4), None], [[bytearray(4)]]])
def test_what_is_no_buffer(ring: uring_rs.Ring, fd: int, wrong: object) -> None:
    for call in (ring.run_reads, ring.run_writes, ring.prep_read_batch, ring.prep_write_batch):
        with pytest.raises(TypeError):
            call(fd, wrong, 0)  # type: ignore[arg-type]
    idle(ring)


def test_fixed_buffers(ring: uring_rs.Ring, fd: int, open_ring: Opener) -> None:
    with ring.buffer_pool(2, 4096) as pool, pool.take() as fixed, pool.take() as other:
        assert list(ring.run_reads(fd, fixed, range(0, 4096, 64))) == [64] * 64
        assert bytes(fixed) == CONTENT
        memoryview(other)[:16] = b"0123456789abcdef"
        assert list(ring.run_writes(fd, other, [4, 0], [4, 12])) == [4, 12]
        assert os.pread(fd, 16, 0) == b"456789abcdef"[:12] + CONTENT[12:16]
        # In a list they are buffers as any other.
        assert list(ring.run_reads(fd, [fixed, other], 4080)) == [16, 16]
        with pytest.raises(ValueError, match="belongs to another ring"):
            open_ring(4).run_reads(fd, fixed, 0)
        assert ring.prep_read_batch(fd, fixed, [0, 64], 64) == 2
        with pytest.raises(BufferError, match="a request in flight uses this buffer"):
            fixed.release()
        ring.submit(wait=2)
        assert ring.cq_ready == 2
    # Both were given back.
    with pytest.raises(ValueError, match="given back"):
        ring.run_reads(fd, fixed, 0)


def test_fixed_buffers_become_fixed_operations() -> None:
    kernel = uring_rs.SimKernel(1)
    file = kernel.file("content", CONTENT)
    with uring_rs.Ring(8, kernel=kernel) as ring, ring.buffer_pool(1, 64) as pool:
        with pool.take() as fixed:
            ring.run_reads(file, fixed, [0, 16], 16)
            ring.run_writes(file, fixed, [0, 16], 16)
        ring.run_reads(file, bytearray(4), 0)
        ring.run_writes(file, b"data", 0)
    ops = ["READ_FIXED"] * 2 + ["WRITE_FIXED"] * 2 + ["READ", "WRITE"]
    assert [op for op, _ in kernel.submitted] == ops
    assert kernel.violations == []


def test_files(ring: uring_rs.Ring, fd: int, path: Path) -> None:
    with path.open("rb") as one, path.open("rb", buffering=0) as two:
        for files in (one, [one, two], (fd, one), [fd, fd], array("i", [fd, one.fileno()])):
            buf = bytearray(8)
            assert list(ring.run_reads(files, buf, [0, 8])) == [4, 4]  # type: ignore[arg-type]
            assert buf == CONTENT[:4] + CONTENT[8:12]
        assert list(ring.run_reads((file for file in (one, two)), buf, [8, 8])) == [4, 4]
        assert buf == CONTENT[8:12] * 2


class Number(int):
    """A descriptor of a class of its own."""


def test_a_descriptor_of_another_class(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(4)
    assert list(ring.run_reads(Number(fd), buf, 0)) == [4]
    assert list(ring.run_reads([Number(fd)], buf, 0)) == [4]


@pytest.mark.parametrize("as_generator", [False, True])
@pytest.mark.parametrize("one", [False, True])
def test_files_are_held_open(
    ring: uring_rs.Ring, path: Path, one: bool, as_generator: bool
) -> None:
    # Without anybody else holding them, they would be closed as they are collected.
    class Held:
        """A file that is closed when it is collected."""

        def __init__(self) -> None:
            self.fd = os.open(path, os.O_RDONLY)

        def fileno(self) -> int:
            return self.fd

        def __del__(self) -> None:
            os.close(self.fd)

    buf = bytearray(8)
    files: list[Held] = [] if one else [Held(), Held()]
    if one:
        assert ring.prep_read_batch(Held(), buf, [0, 8]) == 2
    elif as_generator:
        assert ring.prep_read_batch((files.pop() for _ in range(2)), buf, [0, 8]) == 2  # type: ignore[arg-type]
    else:
        assert ring.prep_read_batch(files, buf, [0, 8]) == 2
    files.clear()
    ring.submit(wait=2)
    records = bytearray(32)
    assert ring.reap_into(records) == 2
    assert buf == CONTENT[:4] + CONTENT[8:12]


@pytest.mark.parametrize(
    ("files", "error"),
    [
        (-1, ValueError),
        ([0, -1], ValueError),
        (array("i", [0, -1]), ValueError),
        (array("q", [0, 2**31]), ValueError),
        (array("Q", [0, 2**63]), ValueError),
        (2**31, OverflowError),
        (None, TypeError),
        ([None, None], TypeError),
        ("ab", TypeError),
        (1.5, TypeError),
    ],
)
def test_what_is_no_file(ring: uring_rs.Ring, files: object, error: type[Exception]) -> None:
    buf = bytearray(8)
    with pytest.raises(error):
        ring.run_reads(files, buf, [0, 4])  # type: ignore[arg-type]
    buf.append(0)
    idle(ring)


def test_a_closed_file(ring: uring_rs.Ring, path: Path) -> None:
    with path.open("rb") as file:
        pass
    for files in (file, [file, file]):
        with pytest.raises(ValueError, match="closed file"):
            ring.run_reads(files, bytearray(8), [0, 4])
    idle(ring)


def test_results_of_the_callers_own(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    files = array("i", [fd, closed_fd, fd])
    expected = array("i", [4, -9, 2])
    offsets = [0, 4, 4094]
    ints = array("i", [77] * 4)
    assert ring.run_reads(files, bytearray(12), offsets, results=ints) is ints
    assert ints == expected + array("i", [77])
    raw = bytearray(12)
    assert ring.run_reads(files, bytearray(12), offsets, results=raw) is raw
    assert raw == expected.tobytes()
    view = memoryview(bytearray(13))[1:]
    assert ring.run_reads(files, bytearray(12), offsets, results=view) is view
    assert view == expected.tobytes()
    ints.append(0)
    raw.append(0)
    assert list(ring.run_nops(3, results=array("i", [7, 7, 7]))) == [0, 0, 0]


def test_results_in_numpy(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    numpy = pytest.importorskip("numpy")
    results = numpy.full(6, 77, "i4")
    files = array("i", [fd, closed_fd, fd])
    part = results[2:5]
    assert ring.run_reads(files, bytearray(12), [0, 4, 4094], results=part) is part
    assert results.tolist() == [77, 77, 4, -9, 2, 77]
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        ring.run_nops(3, results=results[::2])
    # The class of numbers NumPy has where nothing is said: half of it would be nonsense.
    with pytest.raises(BufferError, match="32-bit ints or of bytes, not of 8-byte items"):
        ring.run_nops(3, results=numpy.zeros(6, "i8"))


def test_results_that_cannot_be(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    small = bytearray(15)
    with pytest.raises(BufferError, match=r"room for 4 32-bit ints \(16 bytes\), not 15 bytes"):
        ring.run_reads(fd, buf, OFFSETS, results=small)
    for wrong in (bytes(16), memoryview(bytearray(32))[::2]):
        with pytest.raises(BufferError):
            ring.run_reads(fd, buf, OFFSETS, results=wrong)
    for code in "hHqQd":
        with pytest.raises(BufferError, match=r"not of [28]-byte items"):
            ring.run_nops(4, results=array(code, [0] * 16))
    for nothing in (16, [0] * 4, "x" * 16):
        with pytest.raises(TypeError):
            ring.run_reads(fd, buf, OFFSETS, results=nothing)  # type: ignore[arg-type]
    buf.append(0)
    small.append(0)
    idle(ring)


def test_results_beside_what_is_read(ring: uring_rs.Ring) -> None:
    # The rows lie where their results go: senseless, but nothing of it leaves the memory.
    with tempfile.TemporaryFile() as file:
        file.write(bytes(64))
        file.flush()
        both = bytearray(64)
        ring.run_reads(file, both, range(0, 64, 4), results=both)
        assert set(both) <= {0, 4}
        both.append(0)

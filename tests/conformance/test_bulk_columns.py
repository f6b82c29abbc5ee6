"""The columns of bulk calls: every form of numbers they may come in."""

from __future__ import annotations

import array as arrays
import ctypes
import itertools
import mmap
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, idle

Opener = Callable[..., uring_rs.Ring]

OFFSETS = [0, 3, 100, 7]
PIECES = b"".join(CONTENT[at : at + 4] for at in OFFSETS)


def reads(ring: uring_rs.Ring, fd: int, offsets: object, nbytes: object = None) -> bytes:
    """What four reads bring whose columns are these."""
    buf = bytearray(16)
    results = ring.run_reads(fd, buf, offsets, nbytes)  # type: ignore[arg-type]
    assert results == array("i", [4] * 4)
    # The same staged.
    again = bytearray(16)
    assert ring.prep_read_batch(fd, again, offsets, nbytes) == 4  # type: ignore[arg-type]
    ring.submit(wait=4)
    records = bytearray(64)
    assert ring.reap_into(records) == 4
    assert again == buf
    buf.append(0)
    again.append(0)
    idle(ring)
    return bytes(buf[:16])


@pytest.mark.parametrize("code", "bBhHiIlLqQ")
def test_arrays_of_every_code_of_integers(ring: uring_rs.Ring, fd: int, code: str) -> None:
    assert reads(ring, fd, array(code, OFFSETS)) == PIECES
    assert reads(ring, fd, array(code, OFFSETS), array(code, [4] * 4)) == PIECES
    if fd < 128:
        buf = bytearray(16)
        assert list(ring.run_reads(array(code, [fd] * 4), buf, OFFSETS)) == [4] * 4
        assert buf == PIECES


@pytest.mark.parametrize("code", "fd")
def test_arrays_of_anything_else(ring: uring_rs.Ring, fd: int, code: str) -> None:
    # To Python 3.15 the codes of characters are in decline.
    if code not in arrays.typecodes:
        pytest.skip(f"this Python has no array({code!r})")
    odd = array(code, [0, 1, 2, 3])
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(fd, bytearray(16), odd)
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(fd, bytearray(16), OFFSETS, odd)
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(odd, bytearray(16), OFFSETS)  # type: ignore[arg-type]
    idle(ring)


@pytest.mark.parametrize("code", ["@b", "B", "h", "@H", "i", "I", "l", "@L", "q", "Q", "n", "N"])
def test_memoryviews_of_every_format_of_integers(ring: uring_rs.Ring, fd: int, code: str) -> None:
    letter = code[-1]
    native = array({"n": "q", "N": "Q"}.get(letter, letter), OFFSETS)
    view = memoryview(native).cast("B").cast(code)  # type: ignore[call-overload]
    assert reads(ring, fd, view) == PIECES


@pytest.mark.parametrize("code", ["f", "d", "c", "?"])
def test_memoryviews_of_anything_else(ring: uring_rs.Ring, fd: int, code: str) -> None:
    view = memoryview(bytearray(32)).cast(code)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(fd, bytearray(16), view)
    idle(ring)


def test_bytes_are_an_array_of_small_integers(ring: uring_rs.Ring, fd: int) -> None:
    assert reads(ring, fd, bytes(OFFSETS)) == PIECES
    assert reads(ring, fd, bytearray(OFFSETS), b"\4\4\4\4") == PIECES


@pytest.mark.parametrize("kind", [ctypes.c_int16, ctypes.c_uint32, ctypes.c_int64])
def test_arrays_of_ctypes(ring: uring_rs.Ring, fd: int, kind: type) -> None:
    # Their format names the byte order.
    assert reads(ring, fd, (kind * 4)(*OFFSETS)) == PIECES


def test_sequences_and_iterables(ring: uring_rs.Ring, fd: int) -> None:
    assert reads(ring, fd, OFFSETS) == PIECES
    assert reads(ring, fd, tuple(OFFSETS), (4, 4, 4, 4)) == PIECES
    assert reads(ring, fd, {at: None for at in OFFSETS}) == PIECES
    assert reads(ring, fd, range(0, 16, 4)) == CONTENT[:16]
    assert reads(ring, fd, range(12, -1, -4), [4] * 4) == (
        CONTENT[12:16] + CONTENT[8:12] + CONTENT[4:8] + CONTENT[:4]
    )
    buf = bytearray(16)
    assert list(ring.run_reads(fd, buf, (at for at in OFFSETS))) == [4] * 4
    assert buf == PIECES


class Index:
    """An integer by its __index__ only."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def test_integers_of_other_classes(ring: uring_rs.Ring, fd: int) -> None:
    assert reads(ring, fd, [Index(at) for at in OFFSETS]) == PIECES
    assert reads(ring, fd, OFFSETS, uring_rs.SqeFlags.IO_LINK) == PIECES  # 4
    buf = bytearray(4)
    assert list(ring.run_reads(fd, buf, True)) == [4]
    assert buf == CONTENT[1:5]


@pytest.mark.parametrize("wrong", ["abcd", [0, 1.5, 2, 3], [0, None, 2, 3], 1.5, None, [[0]] * 4])
def test_what_is_no_column(ring: uring_rs.Ring, fd: int, wrong: object) -> None:
    buf = bytearray(16)
    with pytest.raises(TypeError):
        ring.run_reads(fd, buf, wrong)  # type: ignore[arg-type]
    if wrong is not None:
        with pytest.raises(TypeError):
            ring.run_reads(fd, buf, OFFSETS, wrong)  # type: ignore[arg-type]
    buf.append(0)
    idle(ring)


def test_an_exception_of_an_iterable_passes(ring: uring_rs.Ring, fd: int) -> None:
    def broken() -> Iterator[int]:
        yield 0
        raise ZeroDivisionError

    def broken_buffers() -> Iterator[bytearray]:
        yield buf
        raise ZeroDivisionError

    buf = bytearray(16)
    with pytest.raises(ZeroDivisionError):
        ring.run_reads(fd, buf, broken())
    with pytest.raises(ZeroDivisionError):
        ring.run_reads(fd, buf, OFFSETS, broken())
    with pytest.raises(ZeroDivisionError):
        ring.run_reads(fd, broken_buffers(), 0)  # type: ignore[arg-type]
    buf.append(0)
    idle(ring)


def test_an_endless_iterable_ends(ring: uring_rs.Ring, fd: int) -> None:
    with pytest.raises(ValueError, match="at most 16777216 rows"):
        ring.run_reads(fd, bytearray(16), itertools.repeat(0))


def test_too_many_rows(ring: uring_rs.Ring, fd: int) -> None:
    with pytest.raises(ValueError, match="at most 16777216 rows"):
        ring.run_nops(2**24 + 1)
    with pytest.raises(ValueError, match="at most 16777216 rows"):
        ring.prep_nop_batch(2**40)
    with mmap.mmap(-1, 2**24 + 1) as zeros, pytest.raises(ValueError, match="at most 16777216"):
        ring.run_reads(fd, bytearray(16), zeros)
    for count in (-1, 2**64):
        with pytest.raises(OverflowError):
            ring.run_nops(count)
    idle(ring)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([0, -2, 0, 0], "offset must be 0 or more"),
        (array("q", [0, -(2**62), 0, 0]), "offset must be 0 or more"),
        (-5, "offset must be 0 or more"),
        (array("Q", [0, 2**63, 0, 0]), "9223372036854775808 is too large"),
    ],
)
def test_offsets_out_of_range(ring: uring_rs.Ring, fd: int, column: object, message: str) -> None:
    buf = bytearray(16)
    with pytest.raises(ValueError, match=message):
        ring.run_reads(fd, buf, column)  # type: ignore[arg-type]
    buf.append(0)


@pytest.mark.parametrize("column", [2**63, [0, -(2**63) - 1, 0, 0], [2**70] * 4])
def test_offsets_beyond_64_bits(ring: uring_rs.Ring, fd: int, column: object) -> None:
    buf = bytearray(16)
    with pytest.raises(OverflowError):
        ring.run_reads(fd, buf, column)  # type: ignore[arg-type]
    buf.append(0)


def test_the_largest_offsets(ring: uring_rs.Ring, fd: int) -> None:
    # The kernel's answer, not ours: past the end of the file, or no offset at all.
    offsets = array("Q", [2**63 - 1, 2**62, 4096, 4095])
    assert list(ring.run_reads(fd, bytearray(4), offsets)) in (
        [0, 0, 0, 1],
        [-22, 0, 0, 1],
    )


@pytest.mark.parametrize("column", [-1, 2**32, [4, 4, -1, 4], array("Q", [4, 2**32, 4, 4])])
def test_lengths_out_of_range(ring: uring_rs.Ring, fd: int, column: object) -> None:
    buf = bytearray(16)
    with pytest.raises(ValueError, match=r"nbytes must be 0 to 2\*\*32 - 1, not "):
        ring.run_reads(fd, buf, OFFSETS, column)  # type: ignore[arg-type]
    buf.append(0)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("sign", "iu")
def test_numpy_arrays(ring: uring_rs.Ring, fd: int, size: int, sign: str) -> None:
    numpy = pytest.importorskip("numpy")
    column = numpy.array(OFFSETS, f"{sign}{size}")
    assert reads(ring, fd, column) == PIECES
    assert reads(ring, fd, column, numpy.full(4, 4, f"{sign}{size}")) == PIECES
    column.setflags(write=False)
    assert reads(ring, fd, column) == PIECES
    # Not aligned.
    raw = numpy.zeros(4 * size + 1, "u1")
    raw[1:] = column.view("u1")
    assert reads(ring, fd, raw[1:].view(column.dtype)) == PIECES


def test_numpy_numbers(ring: uring_rs.Ring, fd: int) -> None:
    numpy = pytest.importorskip("numpy")
    buf = bytearray(4)
    for one in (numpy.int64(8), numpy.uint8(8), numpy.array(8)):
        assert list(ring.run_reads(fd, buf, one)) == [4]
        assert buf == CONTENT[8:12]
    assert reads(ring, fd, OFFSETS, numpy.int32(4)) == PIECES
    assert reads(ring, fd, list(numpy.array(OFFSETS))) == PIECES
    with pytest.raises(TypeError):
        ring.run_reads(fd, buf, numpy.float64(8))


def test_numpy_arrays_of_another_shape(ring: uring_rs.Ring, fd: int) -> None:
    numpy = pytest.importorskip("numpy")
    buf = bytearray(16)
    with pytest.raises(ValueError, match="contiguous"):
        ring.run_reads(fd, buf, numpy.arange(8)[::2])
    with pytest.raises(TypeError, match="one-dimensional"):
        ring.run_reads(fd, buf, numpy.zeros((2, 2), "i8"))
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(fd, buf, numpy.zeros(4, bool))
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(fd, buf, numpy.zeros(4))
    with pytest.raises((TypeError, ValueError)):
        ring.run_reads(fd, buf, numpy.zeros(4, object))
    swapped = numpy.array(OFFSETS).astype(numpy.dtype("i4").newbyteorder("S"))
    with pytest.raises(TypeError, match="array of integers"):
        ring.run_reads(fd, buf, swapped)
    buf.append(0)
    idle(ring)


def test_views_with_gaps_or_of_more_dimensions(ring: uring_rs.Ring, fd: int) -> None:
    gaps = memoryview(array("q", OFFSETS * 2))[::2]
    square = memoryview(array("q", OFFSETS)).cast("B").cast("q", (2, 2))
    with pytest.raises(BufferError):
        ring.run_reads(fd, bytearray(16), gaps)
    with pytest.raises(TypeError, match="one-dimensional"):
        ring.run_reads(fd, bytearray(16), square)


def test_columns_are_copied(ring: uring_rs.Ring, fd: int) -> None:
    offsets, lengths, fds = array("q", OFFSETS), array("I", [4] * 4), array("i", [fd] * 4)
    buf = bytearray(16)
    assert ring.prep_read_batch(fds, buf, offsets, lengths) == 4
    for column in (offsets, lengths, fds):
        column[:] = array(column.typecode, [0] * 4)
        column.append(0)
    ring.submit(wait=4)
    assert buf == PIECES


def test_columns_of_different_lengths(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    bufs = [bytearray(4) for _ in range(4)]
    wrong: list[tuple[object, object, object, object]] = [
        ([fd] * 3, buf, OFFSETS, None),
        (fd, bufs[:3], OFFSETS, None),
        (fd, buf, OFFSETS, [4] * 3),
        ([fd] * 4, bufs, 0, [4] * 5),
        ([], buf, OFFSETS, None),
        (fd, [], OFFSETS, None),
    ]
    for call in (ring.run_reads, ring.prep_read_batch, ring.run_writes, ring.prep_write_batch):
        for columns in wrong:
            with pytest.raises(ValueError, match="equally many rows"):
                call(*columns)  # type: ignore[arg-type]
    for each in [buf, *bufs]:
        each.append(0)
    idle(ring)


def test_no_rows_at_all(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(16)
    results = bytearray(3)
    assert ring.run_reads(fd, buf, []) == array("i")
    assert ring.run_reads([], buf, 0) == array("i")
    assert ring.run_writes(fd, [], 0, results=results) is results
    assert ring.prep_read_batch(fd, buf, b"") == 0
    assert ring.prep_nop_batch(0) == 0
    buf.append(0)
    results.append(0)
    idle(ring)


def test_every_column_has_one_row_for_all(ring: uring_rs.Ring, fd: int, tmp_path: Path) -> None:
    bufs = [bytearray(2) for _ in range(3)]
    assert list(ring.run_reads(fd, bufs, 5)) == [2] * 3
    assert bufs == [CONTENT[5:7]] * 3
    other = tmp_path / "other"
    other.write_bytes(b"other")
    with other.open("rb") as file:
        buf = bytearray(8)
        assert list(ring.run_reads([fd, file], buf, 1)) == [4, 4]
        assert buf == CONTENT[1:5] + b"ther"
    buf = bytearray(8)
    assert list(ring.run_reads(fd, buf, 1, [1, 2, 5])) == [1, 2, 5]
    assert buf == CONTENT[1:2] + CONTENT[1:3] + CONTENT[1:6]

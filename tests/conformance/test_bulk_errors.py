"""What goes wrong in bulk calls: row by row, or as a whole, and what it leaves behind."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle

Opener = Callable[..., uring_rs.Ring]


def by_tag(ring: uring_rs.Ring) -> dict[int, int]:
    """The results of all records there are; each tag must be there once."""
    records = bytearray(uring_rs.CQE_SIZE * 1024)
    count = ring.reap_into(records)
    part = memoryview(records)[: count * uring_rs.CQE_SIZE]
    found = {tag: res for tag, res, _ in struct.iter_unpack(uring_rs.CQE_FORMAT, part)}
    assert len(found) == count
    return found


def test_each_row_fails_by_itself(
    ring: uring_rs.Ring, fd: int, closed_fd: int, tmp_path: Path
) -> None:
    write_only = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    folder = os.open(tmp_path, os.O_RDONLY)
    fds = [fd, closed_fd, write_only, folder, fd] * 20
    expected = [4, -errno.EBADF, -errno.EBADF, -errno.EISDIR, 4] * 20
    offsets = range(0, 400, 4)
    buf = bytearray(b"-" * 400)
    assert list(ring.run_reads(fds, buf, offsets)) == expected
    untouched = bytearray(b"-" * 400)
    for row, res in enumerate(expected):
        if res > 0:
            untouched[4 * row : 4 * row + 4] = CONTENT[4 * row : 4 * row + 4]
    assert buf == untouched
    staged = bytearray(400)
    assert ring.prep_read_batch(fds, staged, offsets, tag=5) == 100
    ring.submit(wait=100)
    assert by_tag(ring) == {5 + row: res for row, res in enumerate(expected)}
    os.close(write_only)
    os.close(folder)
    idle(ring)


def test_the_end_of_the_file_and_short_reads(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(5 * 100)
    offsets = [4096 - 100, 4096 - 99, 4095, 4096, 1 << 40]
    assert list(ring.run_reads(fd, buf, offsets)) == [100, 99, 1, 0, 0]
    assert buf[300:] == bytes(200)


def test_short_reads_and_writes_are_reported_as_they_are() -> None:
    kernel = uring_rs.SimKernel(3)
    file = kernel.file("content", CONTENT)
    with uring_rs.Ring(8, kernel=kernel) as ring:
        kernel.fail_request(2, "result", 7)
        kernel.fail_request(5, "result", -errno.EIO)
        buf = bytearray(16 * 8)
        assert list(ring.run_reads(file, buf, range(0, 128, 16))) == [
            16, 16, 7, 16, 16, -errno.EIO, 16, 16,
        ]  # fmt: skip
        assert buf[32:48] == CONTENT[32:39] + bytes(9)
        kernel.fail_request(0, "result", 3)
        assert list(ring.run_writes(file, b"abcdefgh", [0, 4])) == [3, 4]
    contents = kernel.contents("content")
    assert contents is not None
    assert contents[:8] == b"abc" + CONTENT[3:4] + b"efgh"
    assert kernel.violations == []


def test_writes_to_what_nobody_reads(ring: uring_rs.Ring) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    # The kernel raises no SIGPIPE that Python does not ignore.
    assert list(ring.run_writes(writer, b"12345678", [-1] * 4)) == [-errno.EPIPE] * 4
    os.close(writer)


@pytest.mark.parametrize(
    "flags",
    [uring_rs.SqeFlags.IO_LINK, uring_rs.SqeFlags.IO_HARDLINK, uring_rs.SqeFlags.CQE_SKIP_SUCCESS],
)
def test_flags_that_rows_cannot_have(
    ring: uring_rs.Ring, fd: int, flags: uring_rs.SqeFlags
) -> None:
    buf = bytearray(16)
    calls: list[Callable[[], object]] = [
        lambda: ring.prep_nop_batch(4, flags=flags),
        lambda: ring.prep_read_batch(fd, buf, 0, flags=flags),
        lambda: ring.prep_write_batch(fd, buf, 0, flags=flags),
        lambda: ring.run_reads(fd, buf, 0, flags=flags),
        lambda: ring.run_writes(fd, buf, 0, flags=flags | uring_rs.SqeFlags.ASYNC),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="cannot be linked or skip"):
            call()
    buf.append(0)
    idle(ring)


@pytest.mark.parametrize("flags", [uring_rs.SqeFlags.BUFFER_SELECT, 0x80, 1 << 20])
def test_flags_that_nothing_can_have(ring: uring_rs.Ring, flags: int) -> None:
    with pytest.raises(ValueError, match=r"BUFFER_SELECT|flags must be SqeFlags"):
        ring.prep_nop_batch(4, flags=flags)
    idle(ring)


def calls_on(fd: int, buf: bytearray) -> dict[str, Callable[[uring_rs.Ring], object]]:
    """Every bulk call, with arguments that an open ring would take."""
    return {
        "prep_nop_batch": lambda ring: ring.prep_nop_batch(2),
        "prep_read_batch": lambda ring: ring.prep_read_batch(fd, buf, [0, 8]),
        "prep_write_batch": lambda ring: ring.prep_write_batch(fd, buf, [0, 8]),
        "run_nops": lambda ring: ring.run_nops(2),
        "run_nops, none": lambda ring: ring.run_nops(0),
        "run_reads": lambda ring: ring.run_reads(fd, buf, [0, 8]),
        "run_writes": lambda ring: ring.run_writes(fd, buf, [0, 8]),
    }


def test_a_closed_ring_refuses(make_ring: Opener, fd: int) -> None:
    ring = make_ring(8)
    ring.close()
    buf = bytearray(16)
    for call in calls_on(fd, buf).values():
        with pytest.raises(uring_rs.RingClosed):
            call(ring)
    assert ring.reap_into(bytearray(64)) == 0
    buf.append(0)


def test_another_thread_is_refused(open_ring: Opener, fd: int) -> None:
    ring = open_ring(8)
    ring.run_nops(2)
    ring.prep_nop_batch(1)
    ring.submit()
    buf = bytearray(16)
    complaints: list[str] = []

    def elsewhere() -> None:
        calls = calls_on(fd, buf) | {"reap_into": lambda ring: ring.reap_into(bytearray(16))}
        for name, call in calls.items():
            with contextlib.suppress(uring_rs.WrongThread):
                complaints.append(f"{name}: {call(ring)!r}")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert complaints == []
    buf.append(0)
    assert by_tag(ring) == {0: 0}


def test_unread_records_stay_readable_after_close(make_ring: Opener, pipe: Pipe) -> None:
    ring = make_ring(16)
    buf = bytearray(4)
    ring.prep_nop_batch(3, tag=10)
    ring.prep_read_batch(pipe.out, buf, [-1] * 4, tag=20)
    ring.submit()
    ring.close()
    # Every row has ended, those that were waiting by cancellation.
    buf.append(0)
    expected = dict.fromkeys(range(10, 13), 0) | dict.fromkeys(range(20, 24), -errno.ECANCELED)
    assert by_tag(ring) == expected
    assert by_tag(ring) == {}
    assert ring.in_flight == 0


def test_an_exception_in_the_body_discards_staged_rows(make_ring: Opener, fd: int) -> None:
    buf = bytearray(b"-" * 16)
    ring = make_ring(8)
    ring.prep_read_batch(fd, buf, [0, 4, 8, 12])
    with pytest.raises(ZeroDivisionError), ring:
        raise ZeroDivisionError
    assert buf == b"-" * 16
    buf.append(0)
    assert by_tag(ring) == {}


def test_a_column_that_closes_the_ring(make_ring: Opener, fd: int) -> None:
    ring = make_ring(8)

    class Closing:
        def __index__(self) -> int:
            ring.close()
            return 0

    buf = bytearray(16)
    with pytest.raises(uring_rs.RingClosed):
        ring.run_reads(fd, buf, [0, Closing()])  # type: ignore[list-item]
    with pytest.raises(uring_rs.RingClosed):
        ring.prep_read_batch(fd, buf, [0, 4])
    buf.append(0)


def test_a_column_that_uses_the_ring(ring: uring_rs.Ring, fd: int) -> None:
    class Nested:
        def __init__(self, value: int) -> None:
            self.value = value

        def __index__(self) -> int:
            assert list(ring.run_nops(40)) == [0] * 40
            return self.value

    buf = bytearray(16)
    assert list(ring.run_reads(fd, buf, [Nested(0), Nested(8)])) == [8, 8]  # type: ignore[list-item]
    assert buf == CONTENT[:16]
    idle(ring)


@pytest.mark.parametrize("fault", ["EAGAIN", "ENOMEM", "ENXIO"])
def test_a_run_that_the_kernel_cuts_short(fault: str) -> None:
    kernel = uring_rs.SimKernel(5)
    file = kernel.file("content", CONTENT)
    number = getattr(errno, fault)
    with uring_rs.Ring(8, kernel=kernel) as ring:
        buf = bytearray(4096)
        results = array("i", [0] * 256)
        kernel.fail_call("enter", 3, number)
        with pytest.raises(uring_rs.UringError) as caught:
            ring.run_reads(file, buf, range(0, 4096, 16), results=results)
        assert caught.value.errno == number
        # Rows are in flight: what they write to stays where it is.
        assert 0 < ring.in_flight <= 16
        for held in (buf, results):
            with pytest.raises(BufferError):
                held.append(0)
        # They end with the next submission, and the ring is as good as before.
        while ring.in_flight:
            ring.submit()
            ring.reap()
        for held in (buf, results):
            held.append(0)
        done = [res for res in results if res]
        assert done == [16] * len(done)
        assert buf[: 16 * len(done)] == CONTENT[: 16 * len(done)]
        assert list(ring.run_nops(100)) == [0] * 100
        assert ring.stray_completions == 0
    assert kernel.violations == []


@pytest.mark.parametrize("fault", [errno.EINTR, errno.EBUSY, "interrupt", "wake", ("short", 3)])
@pytest.mark.parametrize("nth", range(6))
def test_a_run_that_the_kernel_disturbs(fault: object, nth: int) -> None:
    kernel = uring_rs.SimKernel(7)
    file = kernel.file("content", CONTENT)
    with uring_rs.Ring(8, kernel=kernel) as ring:
        buf = bytearray(4096)
        kernel.fail_call("enter", nth, fault)  # type: ignore[arg-type]
        assert list(ring.run_reads(file, buf, range(0, 4096, 16))) == [16] * 256
        assert buf == CONTENT
        idle(ring)
    assert kernel.violations == []


@pytest.mark.parametrize("what", ["twice", "more_after_end"])
def test_a_completion_too_many_is_a_stray(what: str) -> None:
    kernel = uring_rs.SimKernel(11)
    with uring_rs.Ring(8, kernel=kernel) as ring:
        for nth in (0, 3, 9):
            kernel.fail_request(nth, what)
        assert list(ring.run_nops(20)) == [0] * 20
        assert ring.stray_completions == 3
        kernel.fail_request(1, what)
        ring.prep_nop_batch(4, tag=40)
        ring.submit(wait=4)
        assert by_tag(ring) == dict.fromkeys(range(40, 44), 0)
        assert ring.stray_completions == 4
        assert ring.in_flight == 0
    assert kernel.violations == []


# What a key of a batch may look like: kind, element, batch, generation.
KEYS = [3 | 99 << 8, 3 | 5 << 32, 3 | 1 << 44, 3 | (1 << 55) - 1 << 8, (1 << 62) + 3]


@pytest.mark.parametrize("key", KEYS)
def test_a_completion_of_nobodys_is_a_stray(key: int) -> None:
    kernel = uring_rs.SimKernel(13)
    with uring_rs.Ring(8, kernel=kernel) as ring:
        kernel.fail_request(1, "stranger", key)
        assert list(ring.run_nops(20)) == [0] * 20
        assert ring.stray_completions == 1
        idle_but_for_strays = (ring.in_flight, ring.sq_ready, ring.cq_ready)
        assert idle_but_for_strays == (0, 0, 0)


def test_a_result_that_cannot_be() -> None:
    kernel = uring_rs.SimKernel(17)
    file = kernel.file("content", CONTENT)
    with uring_rs.Ring(8, kernel=kernel) as ring:
        kernel.fail_request(1, "lie", 2**31 - 1)
        buf = bytearray(b"-" * 12)
        assert list(ring.run_reads(file, buf, [0, 4, 8])) == [4, 2**31 - 1, 4]
        assert len(buf) == 12


def test_an_older_kernel_that_cancels_one_by_one() -> None:
    kernel = uring_rs.SimKernel(19, linux=(5, 19))
    reader, writer = kernel.pipe()
    buf = bytearray(40)
    with uring_rs.Ring(64, kernel=kernel) as ring:
        ring.prep_read_batch(reader, buf, [-1] * 40, tag=1)
        ring.submit()
        assert ring.in_flight == 40
    buf.append(0)
    assert by_tag(ring) == dict.fromkeys(range(1, 41), -errno.ECANCELED)
    assert kernel.violations == []
    kernel.close(reader)
    kernel.close(writer)

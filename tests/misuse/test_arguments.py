"""Arguments that make no sense: the named exception, nothing staged, nothing left locked."""

from __future__ import annotations

import array
import mmap
import os
import socket
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from helpers.child import run_child
from uring_rs import Sqe, SqeFlags

FOUR_GIB = 1 << 32
MAP_NORESERVE = 0x4000


@pytest.fixture
def ring() -> Iterator[uring_rs.Ring]:
    """A ring that must have nothing staged or in flight when the test ends."""
    with uring_rs.Ring(8) as ring:
        yield ring
        assert ring.in_flight == 0
        assert ring.sq_ready == 0


@pytest.fixture
def null() -> Iterator[int]:
    fd = os.open("/dev/null", os.O_RDWR)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"entries": 0}, uring_rs.ZeroEntries, "at least one"),
        ({"entries": -1}, ValueError, "negative"),
        ({"entries": 32_769}, uring_rs.TooManyEntries, "32768"),
        ({"entries": 1 << 40}, uring_rs.TooManyEntries, "32768"),
        ({"entries": 1 << 70}, OverflowError, None),
        ({"entries": 1.5}, TypeError, None),
        ({"entries": "8"}, TypeError, None),
        ({"entries": None}, TypeError, None),
        ({"cq_entries": 0}, ValueError, None),
        ({"cq_entries": -5}, ValueError, "negative"),
        ({"cq_entries": 65_537}, uring_rs.TooManyEntries, "65536"),
        ({"entries": 64, "cq_entries": 8}, ValueError, None),
        ({"flags": 1 << 31}, (ValueError, uring_rs.UringError), None),
        ({"flags": -1}, OverflowError, None),
        ({"sqpoll_idle_ms": 10, "sqpoll_cpu": 100_000}, (ValueError, uring_rs.UringError), None),
        ({"sq_full": "wait"}, ValueError, "sq_full"),
        ({"trace": 3}, TypeError, "callable"),
        ({"kernel": object()}, TypeError, None),
    ],
    ids=lambda value: repr(value) if isinstance(value, dict) else "",
)
def test_bad_rings(arguments: dict[str, object], error: type[Exception], says: str | None) -> None:
    with pytest.raises(error, match=says):
        uring_rs.Ring(**arguments)


def test_the_errors_of_entries_are_value_errors() -> None:
    for entries, error in ((0, uring_rs.ZeroEntries), (1 << 20, uring_rs.TooManyEntries)):
        with pytest.raises(uring_rs.InvalidEntries) as caught:
            uring_rs.Ring(entries)
        assert isinstance(caught.value, error)
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, uring_rs.UringError)


def _closed_file() -> object:
    file = open("/dev/null", "rb")  # noqa: SIM115
    file.close()
    return file


@pytest.mark.parametrize(
    ("file", "error"),
    [
        (-1, ValueError),
        (-100, ValueError),
        (1 << 40, OverflowError),
        (-(1 << 70), OverflowError),
        ("0", TypeError),
        (0.0, TypeError),
        (None, TypeError),
        (object(), TypeError),
        (_closed_file(), ValueError),
    ],
    ids=repr,
)
def test_what_is_no_file(ring: uring_rs.Ring, file: object, error: type[Exception]) -> None:
    buf = bytearray(8)
    calls: list[Callable[[], object]] = [
        lambda: ring.prep_read(file, buf),
        lambda: ring.prep_write(file, buf),
        lambda: ring.prep_readv(file, [buf]),
        lambda: ring.prep_fsync(file),
        lambda: ring.prep_close(file),
        lambda: ring.prep_accept(file),
        lambda: ring.prep_recv(file, buf),
        lambda: ring.prep_poll_add(file, 1),
        lambda: ring.prep_cancel_fd(file),
        lambda: ring.register_eventfd(file),
        lambda: Sqe.read(file, buf),
    ]
    for call in calls:
        with pytest.raises(error):
            call()
    buf.append(0)


def test_a_closed_socket(ring: uring_rs.Ring) -> None:
    sock = socket.socket()
    sock.close()
    with pytest.raises(ValueError, match="negative"):
        ring.prep_recv(sock, bytearray(8))


@pytest.mark.parametrize("flags", [0, SqeFlags.ASYNC])
def test_a_descriptor_that_is_not_open(ring: uring_rs.Ring, flags: int) -> None:
    # Only the kernel can tell: the request fails, the ring does not.
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    buf = bytearray(8)
    ring.prep_read(fd, buf, user_data="closed", flags=flags)
    ring.prep_read(2_000_000_000, buf, user_data="high", flags=flags)
    ring.submit(wait=2)
    for cqe in ring:
        with pytest.raises(OSError, match="READ") as caught:
            cqe.result()
        assert caught.value.errno == 9
    buf.append(0)


def test_offsets(ring: uring_rs.Ring, null: int) -> None:
    buf = bytearray(8)
    for offset, error in ((-2, ValueError), (-(1 << 62), ValueError), (1 << 63, OverflowError)):
        for call in (ring.prep_read, ring.prep_write, Sqe.read):
            with pytest.raises(error):
                call(null, buf, offset)
        with pytest.raises(error):
            ring.prep_readv(null, [buf], offset)
    for call in (ring.prep_fsync, ring.prep_sync_file_range):
        with pytest.raises(ValueError, match="offset"):
            call(null, offset=-1)
        with pytest.raises(ValueError, match="nbytes"):
            call(null, nbytes=-1)
        with pytest.raises(ValueError, match="nbytes"):
            call(null, nbytes=FOUR_GIB)
    buf.append(0)


def test_the_last_offset_there_is(ring: uring_rs.Ring, null: int) -> None:
    ring.prep_read(null, bytearray(8), (1 << 63) - 1)
    ring.submit(wait=1)
    assert ring.pop().res in (0, -22, -75)


def test_lengths(ring: uring_rs.Ring, null: int) -> None:
    buf = bytearray(8)
    for nbytes in (-1, 9, FOUR_GIB, (1 << 63) - 1):
        for call in (ring.prep_read, ring.prep_write, ring.prep_recv, ring.prep_send, Sqe.write):
            with pytest.raises(ValueError, match="nbytes must be 0 to 8"):
                call(null, buf, nbytes=nbytes)
    with pytest.raises(OverflowError):
        ring.prep_read(null, buf, nbytes=1 << 63)
    for call in (ring.prep_recvmsg,):
        for room in (-1, 1 << 30):
            with pytest.raises(ValueError, match="ancbufsize"):
                call(null, [buf], room)
    buf.append(0)


def test_destinations_must_be_writable(ring: uring_rs.Ring, null: int) -> None:
    view = memoryview(bytearray(8)).toreadonly()
    for source in (b"bytes", view, memoryview(b"bytes"), "text", 8, None, [1, 2], object()):
        error = (TypeError, BufferError)
        for call in (ring.prep_read, ring.prep_recv, Sqe.read):
            with pytest.raises(error):
                call(null, source)
        with pytest.raises(error):
            ring.prep_readv(null, [bytearray(4), source])
        with pytest.raises(error):
            ring.prep_recvmsg(null, [bytearray(4), source])
    assert view.tobytes() == bytes(8)


def test_buffers_must_be_contiguous(ring: uring_rs.Ring, null: int) -> None:
    for call in (ring.prep_read, ring.prep_write, Sqe.read):
        with pytest.raises(BufferError):
            call(null, memoryview(bytearray(8))[::2])


def test_a_released_memoryview(ring: uring_rs.Ring, null: int) -> None:
    view = memoryview(bytearray(8))
    view.release()
    for call in (ring.prep_read, ring.prep_write, ring.prep_recv, Sqe.write):
        with pytest.raises(ValueError, match="released"):
            call(null, view)
    with pytest.raises(ValueError, match="released"):
        ring.prep_readv(null, [bytearray(1), view])


def test_a_memoryview_cannot_be_released_in_flight() -> None:
    with uring_rs.Ring(8) as ring:
        first, second = os.pipe()
        view = memoryview(bytearray(8))
        ring.prep_read(first, view)
        ring.submit()
        with pytest.raises(BufferError):
            view.release()
        os.write(second, b"12345678")
        assert ring.wait_cqe().res == 8
        assert view.tobytes() == b"12345678"
        view.release()
        os.close(first)
        os.close(second)


def test_more_than_4_gib(ring: uring_rs.Ring, null: int) -> None:
    # Anonymous memory that is never touched: five gigabytes of it cost nothing.
    with mmap.mmap(-1, FOUR_GIB + (1 << 20), mmap.MAP_PRIVATE | MAP_NORESERVE) as huge:
        for call in (ring.prep_read, ring.prep_write, ring.prep_send, ring.prep_recv, Sqe.read):
            with pytest.raises(ValueError, match="4 GiB"):
                call(null, huge)
            with pytest.raises(ValueError, match="4 GiB"):
                call(null, huge, nbytes=FOUR_GIB)
        # A part of it is fine, be it a length or a slice beyond the first four.
        ring.prep_read(null, huge, nbytes=100)
        ring.submit(wait=1)
        assert ring.pop().res == 0
        with memoryview(huge)[FOUR_GIB : FOUR_GIB + 4] as end:
            with open("/dev/zero", "rb") as zero:
                end[0] = 1
                ring.prep_read(zero, end)
                ring.submit(wait=1)
                assert ring.pop().res == 4
            assert end.tobytes() == bytes(4)


def test_vectors(ring: uring_rs.Ring, null: int) -> None:
    buf = bytearray(1)
    with pytest.raises(ValueError, match="1024"):
        ring.prep_readv(null, [buf] * 1025)
    with pytest.raises(TypeError):
        ring.prep_readv(null, 3)
    with pytest.raises(TypeError):
        ring.prep_writev(null, [b"good", 3])

    def fails() -> Iterator[bytearray]:
        yield buf
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ring.prep_readv(null, fails())
    buf.append(0)


def test_flags_of_requests(ring: uring_rs.Ring, null: int) -> None:
    with pytest.raises(ValueError, match="SqeFlags"):
        ring.prep_nop(flags=1 << 7)
    with pytest.raises(ValueError, match="BUFFER_SELECT"):
        ring.prep_read(null, bytearray(1), flags=SqeFlags.BUFFER_SELECT)
    for flags in (-1, 1 << 32, 1.5, "LINK"):
        with pytest.raises((OverflowError, TypeError)):
            ring.prep_nop(flags=flags)
    with pytest.raises(OverflowError):
        ring.prep_nop(personality=1 << 16)
    # A personality that was never registered, and a table of files there is none of.
    ring.prep_nop(personality=5)
    ring.prep_read(0, bytearray(1), flags=SqeFlags.FIXED_FILE)
    ring.submit(wait=2)
    assert {cqe.res for cqe in ring} <= {-22, -9}


def test_times(ring: uring_rs.Ring) -> None:
    for call in (ring.prep_timeout, ring.prep_link_timeout, lambda t: ring.wait(timeout=t)):
        for seconds, error in (
            (-1, ValueError),
            (-0.001, ValueError),
            (float("nan"), ValueError),
            (1e300, OverflowError),
            (1 << 80, OverflowError),
            ("1", TypeError),
            ([], TypeError),
        ):
            with pytest.raises(error):
                call(seconds)
    with pytest.raises(ValueError, match="clock"):
        ring.prep_timeout(1.0, clock="sundial")
    with pytest.raises(ValueError, match="count"):
        ring.prep_timeout(1.0, count=-1)
    for call in (ring.submit, ring.wait, ring.completions):
        with pytest.raises(OverflowError):
            call(-1)
        with pytest.raises(TypeError):
            call(1.5)


def test_paths(ring: uring_rs.Ring) -> None:
    for path, error in (("a\0b", ValueError), (3, TypeError), (None, TypeError), ([], TypeError)):
        with pytest.raises(error):
            ring.prep_openat(path)
    ring.prep_openat("x" * 10_000)
    ring.submit(wait=1)
    with pytest.raises(OSError, match="OPENAT") as caught:
        ring.pop().result()
    assert caught.value.errno == 36


def test_addresses(ring: uring_rs.Ring) -> None:
    with socket.socket() as sock:
        for address, error in (
            (("localhost", 1), ValueError),
            (("127.0.0.1", -1), OverflowError),
            (("127.0.0.1", 65_536), OverflowError),
            (("127.0.0.1",), ValueError),
            (("::1", 1, 0, 0, 0), ValueError),
            ((1, 2), TypeError),
            (("::1", 1, -1), OverflowError),
            (5, TypeError),
            (b"x" * 200, ValueError),
        ):
            with pytest.raises(error):
                ring.prep_connect(sock, address)
        with pytest.raises(ValueError, match="too long"):
            ring.prep_sendmsg(sock, [b""], [(1, 1, bytes(1 << 21))])
        with pytest.raises((TypeError, ValueError)):
            ring.prep_sendmsg(sock, [b""], [(1, 1)])


def test_what_is_no_request(ring: uring_rs.Ring) -> None:
    with uring_rs.Ring(8) as other:
        foreign = other.prep_nop()
        for call in (
            ring.prep_cancel,
            ring.prep_poll_remove,
            ring.prep_timeout_remove,
            lambda r: ring.prep_poll_update(r, 1),
            lambda r: ring.prep_timeout_update(r, 1.0),
        ):
            for wrong in (None, 0, object(), "request", Sqe.nop()):
                with pytest.raises(TypeError):
                    call(wrong)
            with pytest.raises(ValueError, match="another ring"):
                call(foreign)
        assert not ring.is_live(foreign)
        for wrong in (None, Sqe, "nop", foreign):
            with pytest.raises(TypeError):
                ring.push(wrong)


def test_a_cancelled_request_that_is_gone(ring: uring_rs.Ring) -> None:
    gone = ring.prep_nop()
    ring.submit(wait=1)
    assert ring.pop().request == gone
    ring.prep_nop()
    ring.prep_cancel(gone, user_data="cancel")
    ring.submit(wait=2)
    assert [(cqe.user_data, cqe.res) for cqe in ring] == [(None, 0), ("cancel", -2)]


def test_pools(ring: uring_rs.Ring, null: int) -> None:
    for count, size in ((0, 1), (-1, 1), (16_385, 1), (1, 0), (1, -1), (1, (1 << 30) + 1)):
        with pytest.raises(ValueError, match="must be"):
            ring.buffer_pool(count, size)
    for wrong in (bytearray(8), None, array.array("b", [1])):
        with pytest.raises(TypeError, match="FixedBuffer"):
            ring.prep_read_fixed(null, wrong)
    with ring.buffer_pool(1, 4096) as pool:
        with pytest.raises(ValueError, match="pool already"):
            ring.buffer_pool(1, 4096)
        with pool.take() as buf:
            for start in (-1, 4097, 1 << 40):
                with pytest.raises(ValueError, match="start"):
                    ring.prep_read_fixed(null, buf, start=start)
            with pytest.raises(ValueError, match="nbytes must be 0 to 96"):
                ring.prep_read_fixed(null, buf, start=4000, nbytes=97)
            with uring_rs.Ring(8) as other, pytest.raises(ValueError, match="another ring"):
                other.prep_read_fixed(null, buf)
            with pytest.raises(BufferError, match="taken"):
                pool.take()
        with pytest.raises(ValueError, match="given back"):
            ring.prep_read_fixed(null, buf)
        with pytest.raises(ValueError, match="given back"):
            memoryview(buf)
        late = pool.take()
    with pytest.raises(ValueError, match="closed"):
        ring.prep_read_fixed(null, late)
    with pytest.raises(ValueError, match="closed"):
        pool.take()


def test_raw_enter(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="GETEVENTS"):
        ring.enter(0, 0, 1 << 8)
    for arguments in ((-1,), (0, -1), (0, 0, -1), (1 << 32,)):
        with pytest.raises(OverflowError):
            ring.enter(*arguments)
    assert ring.enter((1 << 32) - 1) == 0


def test_unknown_operations(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="JUMP"):
        ring.supports("JUMP")
    assert not ring.supports(255)
    for number in (-1, 256):
        with pytest.raises(OverflowError):
            ring.supports(number)


@pytest.mark.parametrize("name", ["Request", "Completion", "FixedBuffer", "BufferPool", "Sqe"])
def test_types_that_cannot_be_made_by_hand(name: str) -> None:
    run_child(
        f"""
        import copy, pickle, uring_rs
        kind = uring_rs.{name}
        for make in (kind, lambda: kind.__new__(kind), lambda: object.__new__(kind),
                     lambda: type("Sub", (kind,), {{}})()):
            try:
                make()
            except TypeError:
                continue
            raise SystemExit("made one")
        with uring_rs.Ring(8) as ring, ring.buffer_pool(1, 8) as pool:
            ring.prep_nop()
            ring.submit(wait=1)
            cqe = ring.pop()
            things = {{"Request": cqe.request, "Completion": cqe, "FixedBuffer": pool.take(),
                      "BufferPool": pool, "Sqe": uring_rs.Sqe.nop()}}
            for change in (copy.copy, copy.deepcopy, pickle.dumps):
                try:
                    change(things["{name}"])
                except TypeError:
                    continue
                raise SystemExit("copied one")
            class Other:
                pass
            try:
                things["{name}"].__class__ = Other
            except TypeError:
                pass
            else:
                raise SystemExit("changed its class")
            del things
        """
    )

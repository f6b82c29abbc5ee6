"""URING_CMD: the commands of sockets and block devices, and the raw form."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import Pair, failed, idle, one, results, several
from uring_rs import CqeFlags, SetupFlags, SocketOp, Sqe, UringCmdFlags

pytestmark = pytest.mark.requires_op("URING_CMD")

SOL_SOCKET = socket.SOL_SOCKET
SO_ATTACH_FILTER = SO_GET_FILTER = 26
SO_TIMESTAMPING = 37
# linux/net_tstamp.h
TX_SOFTWARE, SOFTWARE, OPT_ID, OPT_TSONLY = 1 << 1, 1 << 4, 1 << 7, 1 << 11


@pytest.fixture
def tcp() -> Iterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with client, server.accept()[0] as peer:
            yield client, peer


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    """A datagram socket that is connected to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        yield sock


@pytest.fixture
def null() -> Iterator[int]:
    """A file whose driver says yes to every command."""
    fd = os.open("/dev/null", os.O_RDWR)
    yield fd
    os.close(fd)


# --- how much there is


def test_bytes_in_and_out(ring: uring_rs.Ring, tcp: Pair) -> None:
    ring.prep_siocinq(tcp[1], user_data="in")
    ring.prep_siocoutq(tcp[0], user_data="out")
    assert results(ring, 2) == {"in": 0, "out": 0}
    tcp[0].send(b"12345")
    assert tcp[1].recv(1, socket.MSG_PEEK) == b"1"
    ring.prep_siocinq(tcp[1])
    cqe = one(ring)
    assert (cqe.result(), cqe.op, cqe.value) == (5, "URING_CMD", None)


def test_bytes_not_sent(ring: uring_rs.Ring, tcp: Pair) -> None:
    tcp[0].setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += tcp[0].send(bytes(1 << 16))
    ring.prep_siocoutq(tcp[0], user_data="out")
    ring.prep_siocinq(tcp[1], user_data="in")
    found = results(ring, 2)
    assert 0 < found["out"] <= sent
    assert 0 < found["in"] <= sent


def test_bytes_of_a_datagram(ring: uring_rs.Ring, udp: socket.socket) -> None:
    udp.send(b"first")
    udp.send(b"second one")
    ring.prep_siocinq(udp)
    assert one(ring).result() == 5


# --- options


def test_getsockopt(ring: uring_rs.Ring, tcp: Pair) -> None:
    for name in (socket.SO_TYPE, socket.SO_RCVBUF, socket.SO_ERROR, socket.SO_KEEPALIVE):
        ring.prep_getsockopt(tcp[0], SOL_SOCKET, name)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (4, tcp[0].getsockopt(SOL_SOCKET, name))
        assert (cqe.address, cqe.ancdata) == (None, [])


def test_getsockopt_as_bytes(ring: uring_rs.Ring, tcp: Pair) -> None:
    linger = struct.pack("ii", 1, 7)
    tcp[0].setsockopt(SOL_SOCKET, socket.SO_LINGER, linger)
    for buflen, expected in ((8, linger), (100, linger), (4, linger[:4]), (65536, linger)):
        ring.prep_getsockopt(tcp[0], SOL_SOCKET, socket.SO_LINGER, buflen)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (len(expected), expected)


def test_getsockopt_of_a_filter_does_not_overrun(ring: uring_rs.Ring, udp: socket.socket) -> None:
    """It is asked for in instructions, and comes in bytes: eight times as many."""
    program = b"".join(struct.pack("=HBBI", 6, 0, 0, 60_000 + n) for n in range(50))
    memory = ctypes.create_string_buffer(program)
    described = struct.pack("HxxxxxxQ", 50, ctypes.addressof(memory))
    udp.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, described)
    for _ in range(100):
        ring.prep_getsockopt(udp, SOL_SOCKET, SO_GET_FILTER, 50)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (50, program)
    ring.prep_getsockopt(udp, SOL_SOCKET, SO_GET_FILTER, 49)
    failed(one(ring), OSError, errno.EINVAL)
    udp.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", 4, memory_of(program)))
    for _ in range(100):
        ring.prep_getsockopt(udp, SOL_SOCKET, SO_GET_FILTER)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (4, struct.unpack("i", program[:4])[0])


KEPT: list[object] = []


def memory_of(data: bytes) -> int:
    """An address where these bytes are."""
    KEPT.append(ctypes.create_string_buffer(data))
    return ctypes.addressof(KEPT[-1])  # type: ignore[arg-type]


def test_setsockopt(ring: uring_rs.Ring, tcp: Pair) -> None:
    nodelay = (socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for value in (1, 0, True, struct.pack("i", 1), bytearray(4), memoryview(b"\1\0\0\0")):
        ring.prep_setsockopt(tcp[0], *nodelay, value)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (0, None)
        expected = value if isinstance(value, int) else struct.unpack("i", value)[0]
        assert bool(tcp[0].getsockopt(*nodelay)) == bool(expected)
    ring.prep_setsockopt(tcp[0], socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    assert one(ring).result() == 0
    assert tcp[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 5) == b"reno\0"


def test_the_value_is_copied(ring: uring_rs.Ring, tcp: Pair) -> None:
    value = bytearray(struct.pack("ii", 1, 5))
    ring.prep_setsockopt(tcp[0], SOL_SOCKET, socket.SO_LINGER, value)
    value[:] = bytes(8)
    value.append(0)  # it is not locked
    del value
    gc.collect()
    assert one(ring).result() == 0
    assert tcp[0].getsockopt(SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 5)


def test_an_option_set_and_read_in_a_chain(ring: uring_rs.Ring, udp: socket.socket) -> None:
    link = uring_rs.SqeFlags.IO_LINK
    ring.prep_setsockopt(udp, SOL_SOCKET, socket.SO_PRIORITY, 3, flags=link)
    ring.prep_getsockopt(udp, SOL_SOCKET, socket.SO_PRIORITY, flags=uring_rs.SqeFlags.ASYNC)
    assert [cqe.value for cqe in several(ring, 2)] == [None, 3]


def test_options_the_kernel_refuses(ring: uring_rs.Ring, tcp: Pair) -> None:
    ring.prep_getsockopt(tcp[0], SOL_SOCKET, 9999)
    cqe = one(ring)
    failed(cqe, OSError, errno.ENOPROTOOPT)
    assert cqe.value is None
    ring.prep_setsockopt(tcp[0], SOL_SOCKET, 9999, 1)
    failed(one(ring), OSError, errno.ENOPROTOOPT)
    ring.prep_setsockopt(tcp[0], SOL_SOCKET, socket.SO_LINGER, b"x")
    failed(one(ring), OSError, errno.EINVAL)
    ring.prep_setsockopt(tcp[0], SOL_SOCKET, socket.SO_RCVBUF, b"")
    failed(one(ring), OSError, errno.EINVAL)
    ring.prep_getsockopt(tcp[0], socket.IPPROTO_TCP, socket.TCP_NODELAY)
    cqe = one(ring)
    if cqe.res < 0:  # levels beside SOL_SOCKET may come to later kernels
        failed(cqe, OSError, errno.EOPNOTSUPP)


def test_bad_options(ring: uring_rs.Ring, tcp: Pair) -> None:
    sock = tcp[0]
    calls: list[tuple[type[Exception], Callable[[], object]]] = [
        (ValueError, lambda: ring.prep_getsockopt(sock, 1, 2, 0)),
        (ValueError, lambda: ring.prep_getsockopt(sock, 1, 2, -1)),
        (ValueError, lambda: ring.prep_getsockopt(sock, 1, 2, 65537)),
        (OverflowError, lambda: ring.prep_getsockopt(sock, 1, 2, 2**63)),
        (OverflowError, lambda: ring.prep_getsockopt(sock, 2**31, 2)),
        (OverflowError, lambda: ring.prep_getsockopt(sock, 1, -(2**31) - 1)),
        (TypeError, lambda: ring.prep_getsockopt(sock, 1, "2")),  # type: ignore[arg-type]
        (OverflowError, lambda: ring.prep_setsockopt(sock, 1, 2, 2**31)),
        (OverflowError, lambda: ring.prep_setsockopt(sock, 1, 2, -(2**31) - 1)),
        (TypeError, lambda: ring.prep_setsockopt(sock, 1, 2, "text")),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_setsockopt(sock, 1, 2, None)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_setsockopt(sock, 1, 2, 1.0)),  # type: ignore[arg-type]
        (ValueError, lambda: ring.prep_setsockopt(sock, 1, 2, bytes(65537))),
        (TypeError, lambda: ring.prep_siocinq("sock")),  # type: ignore[arg-type]
        (ValueError, lambda: ring.prep_siocinq(-1)),
    ]
    for error, call in calls:
        with pytest.raises(error):
            call()
    idle(ring)


def test_pushed_option_has_one_place_for_its_answer(ring: uring_rs.Ring, tcp: Pair) -> None:
    sqe = Sqe.getsockopt(tcp[0], SOL_SOCKET, socket.SO_PRIORITY)
    for value in (5, 0, 3):
        tcp[0].setsockopt(SOL_SOCKET, socket.SO_PRIORITY, value)
        ring.push(sqe)
        with pytest.raises(BufferError, match="in flight"):
            ring.push(sqe)
        assert one(ring).value == value
    again = Sqe.setsockopt(tcp[0], SOL_SOCKET, socket.SO_PRIORITY, 2)
    ring.push_many([again, again])
    assert [cqe.result() for cqe in several(ring, 2)] == [0, 0]


# --- names


def named(ring: uring_rs.Ring) -> uring_rs.Completion:
    cqe = one(ring)
    if cqe.res == -errno.EOPNOTSUPP:
        assert cqe.value is None
        pytest.skip(f"the running kernel ({os.uname().release}) has no getsockname command (6.19)")
    return cqe


def test_names(ring: uring_rs.Ring, tcp: Pair) -> None:
    ring.prep_getsockname(tcp[0])
    cqe = named(ring)
    assert (cqe.result(), cqe.value) == (0, tcp[0].getsockname())
    ring.prep_getpeername(tcp[0])
    assert named(ring).value == tcp[0].getpeername()
    sqe = Sqe.getpeername(tcp[1])
    for _ in range(2):
        ring.push(sqe)
        assert named(ring).value == tcp[1].getpeername()


def test_no_peer(ring: uring_rs.Ring) -> None:
    with socket.socket() as sock:
        ring.prep_getpeername(sock)
        failed(named(ring), OSError, errno.ENOTCONN)


# --- what takes no such commands


def test_files_without_commands(
    ring: uring_rs.Ring, pair: Pair, fd: int, closed_fd: int, tmp_path: Path
) -> None:
    for file, code in (
        (pair[0], errno.EOPNOTSUPP),  # unix sockets have none (6.18)
        (fd, errno.EOPNOTSUPP),
        (closed_fd, errno.EBADF),
    ):
        for prep in (
            lambda f=file: ring.prep_siocinq(f),
            lambda f=file: ring.prep_siocoutq(f),
            lambda f=file: ring.prep_getsockopt(f, SOL_SOCKET, socket.SO_TYPE),
            lambda f=file: ring.prep_setsockopt(f, SOL_SOCKET, socket.SO_PRIORITY, 1),
            lambda f=file: ring.prep_getsockname(f),
            lambda f=file: ring.prep_cmd_discard(f, 0, 4096),
            lambda f=file: ring.prep_uring_cmd(f, 77),
        ):
            prep()
            cqe = one(ring)
            if file is pair[0] and cqe.res >= 0:
                continue  # a later kernel may have them
            failed(cqe, OSError, code)
            assert cqe.value is None


# --- time stamps


def test_time_stamps_need_big_completions(ring: uring_rs.Ring, udp: socket.socket) -> None:
    with pytest.raises(ValueError, match="CQE32"):
        ring.prep_tx_timestamp(udp)
    sqe = Sqe.tx_timestamp(udp)
    with pytest.raises(ValueError, match="CQE32"):
        ring.push(sqe)
    idle(ring)


@pytest.mark.parametrize("size", [SetupFlags.CQE32, SetupFlags.CQE_MIXED])
def test_time_stamps(
    make_ring: Callable[..., uring_rs.Ring], udp: socket.socket, size: SetupFlags
) -> None:
    try:
        ring = make_ring(8, flags=size | SetupFlags.SUBMIT_ALL)
    except uring_rs.UringError as error:
        pytest.skip(f"the running kernel ({os.uname().release}) has no such completions: {error}")
    udp.setsockopt(SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)
    request = ring.prep_tx_timestamp(udp, user_data="stamps")
    ring.submit()
    early = ring.pop()
    if early is not None and early.res in (-errno.EOPNOTSUPP, -errno.EINVAL):
        pytest.skip(f"the running kernel ({os.uname().release}) has no time stamps (6.17)")
    assert early is None
    for number in range(3):
        before = time.time_ns()
        udp.send(b"data")
        cqe = one(ring)
        seconds, nanoseconds = cqe.big_cqe or (0, 0)
        assert before <= seconds * 10**9 + nanoseconds <= time.time_ns()
        assert (cqe.user_data, cqe.result(), cqe.more) == ("stamps", number, True)
        assert not cqe.flags & CqeFlags.TSTAMP_HW
    ring.prep_cancel(request, user_data="cancel")
    found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert found["stamps"].more is False
    failed(found["stamps"], OSError, errno.ECANCELED)


# --- discarding


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A block device over a file, and the file."""
    losetup = shutil.which("losetup")
    if losetup is None:
        pytest.skip("there is no losetup to make a block device with")
    backing = tmp_path / "disk"
    backing.write_bytes(b"\xaa" * (1 << 20))
    made = subprocess.run(
        [losetup, "--find", "--show", str(backing)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"no loop device can be had here: {made.stderr.strip()}")
    device = made.stdout.strip()
    yield device, backing
    subprocess.run([losetup, "--detach", device], check=True)


def test_discard(ring: uring_rs.Ring, disk: tuple[str, Path]) -> None:
    device, backing = disk
    fd = os.open(device, os.O_RDWR)
    try:
        ring.prep_cmd_discard(fd, 65536, 131072)
        cqe = one(ring)
        if cqe.res == -errno.EOPNOTSUPP:
            pytest.skip("this kernel or this file system cannot discard (6.12)")
        assert cqe.result() == 0
        ring.prep_cmd_discard(fd, 1, 512)
        failed(one(ring), OSError, errno.EINVAL)
    finally:
        os.close(fd)
    data = backing.read_bytes()
    assert data[:65536] == b"\xaa" * 65536
    assert data[65536 : 65536 + 131072] == bytes(131072)
    assert set(data[65536 + 131072 :]) == {0xAA}


def test_bad_discards(ring: uring_rs.Ring, null: int) -> None:
    for offset, nbytes in ((-1, 512), (0, -1), (2**64, 0)):
        with pytest.raises(OverflowError):
            ring.prep_cmd_discard(null, offset, nbytes)
    idle(ring)


# --- the raw form


def test_raw_command(ring: uring_rs.Ring, null: int, tcp: Pair) -> None:
    ring.prep_uring_cmd(null, 5)
    cqe = one(ring)
    assert (cqe.result(), cqe.op, cqe.value) == (0, "URING_CMD", None)
    tcp[0].send(b"123")
    assert tcp[1].recv(1, socket.MSG_PEEK) == b"1"
    ring.prep_uring_cmd(tcp[1], SocketOp.SIOCINQ)
    assert one(ring).result() == 3


def test_raw_command_with_addresses(ring: uring_rs.Ring, tcp: Pair) -> None:
    """Level and name at `addr`, the value's address in the bytes of its own."""
    value = bytearray(4)
    place = ctypes.addressof((ctypes.c_char * 4).from_buffer(value))
    gc.collect()  # what from_buffer exported
    ring.prep_uring_cmd(
        tcp[0],
        SocketOp.GETSOCKOPT,
        struct.pack("Q", place),
        addr=int.from_bytes(struct.pack("ii", SOL_SOCKET, socket.SO_TYPE), sys.byteorder),
        optlen=4,
        locks=[value, b"and more"],
    )
    with pytest.raises(BufferError):
        value.append(0)
    assert one(ring).result() == 4
    value.append(0)
    assert struct.unpack("i", value[:4])[0] == socket.SOCK_STREAM


def test_raw_command_with_a_registered_buffer(ring: uring_rs.Ring, null: int) -> None:
    with ring.buffer_pool(1, 4096) as pool:
        buf = pool.take()
        for flags in (0, UringCmdFlags.FIXED):
            ring.prep_uring_cmd(null, 1, fixed=buf, cmd_flags=flags)
            with pytest.raises(BufferError, match="in flight"):
                buf.release()
            assert one(ring).result() == 0
        buf.release()


def test_raw_commands_of_80_bytes(make_ring: Callable[..., uring_rs.Ring], null: int) -> None:
    data = bytes(range(1, 81))
    sqe = Sqe.uring_cmd(null, 1, data)
    with memoryview(sqe) as entry:
        assert entry.nbytes == 128
        assert entry[48:] == data
    with memoryview(Sqe.uring_cmd(null, 1, data[:20])) as entry:
        assert entry[48:] == data[:20] + bytes(60)
    ring = make_ring(8, flags=SetupFlags.SQE128 | SetupFlags.SUBMIT_ALL)
    for count in (80, 17, 16, 1):
        ring.prep_uring_cmd(null, 1, data[:count])
        assert one(ring).result() == 0
    with ring.buffer_pool(1, 64) as pool:
        buf = pool.take()
        ring.prep_uring_cmd(null, 1, data, fixed=buf)
        ring.push(sqe)
        assert [cqe.result() for cqe in several(ring, 2)] == [0, 0]
        buf.release()


def test_raw_commands_refused(
    ring: uring_rs.Ring, open_ring: Callable[..., uring_rs.Ring], null: int
) -> None:
    lock = bytearray(4)
    calls: list[tuple[type[Exception], Callable[[], object]]] = [
        (ValueError, lambda: ring.prep_uring_cmd(null, 1, bytes(17))),
        (ValueError, lambda: ring.prep_uring_cmd(null, 1, bytes(80))),
        (ValueError, lambda: ring.prep_uring_cmd(null, 1, bytes(81))),
        (ValueError, lambda: ring.push(Sqe.uring_cmd(null, 1, bytes(17)))),
        (TypeError, lambda: ring.prep_uring_cmd(null, 1, 5)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_uring_cmd(null, 1, "text")),  # type: ignore[arg-type]
        (OverflowError, lambda: ring.prep_uring_cmd(null, 2**32)),
        (OverflowError, lambda: ring.prep_uring_cmd(null, -1)),
        (OverflowError, lambda: ring.prep_uring_cmd(null, 1, addr=2**64)),
        (OverflowError, lambda: ring.prep_uring_cmd(null, 1, nbytes=2**32)),
        (ValueError, lambda: ring.prep_uring_cmd(null, 1, cmd_flags=UringCmdFlags.FIXED)),
        (ValueError, lambda: ring.prep_uring_cmd(null, 1, cmd_flags=4)),
        (TypeError, lambda: ring.prep_uring_cmd(null, 1, fixed=lock)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_uring_cmd(null, 1, locks=lock)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_uring_cmd(null, 1, locks=[lock, "text"])),  # type: ignore[list-item]
        (ValueError, lambda: ring.prep_uring_cmd(null, 1, locks=[lock] * 1025)),
    ]
    for error, call in calls:
        with pytest.raises(error):
            call()
    with contextlib.closing(open_ring(8)) as other, other.buffer_pool(1, 64) as pool:
        buf = pool.take()
        with pytest.raises(ValueError, match="another ring"):
            ring.prep_uring_cmd(null, 1, fixed=buf)
        buf.release()
    idle(ring)
    lock.append(0)  # no lock was left on it
    ring.prep_uring_cmd(null, 1, cmd_flags=UringCmdFlags.MULTISHOT)
    failed(one(ring), OSError, errno.EINVAL)  # it needs provided buffers

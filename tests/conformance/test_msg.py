"""SENDMSG and RECVMSG: several buffers, addresses, ancillary data, truncation."""

from __future__ import annotations

import array
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pair, failed, idle, one, results

pytestmark = pytest.mark.requires_op("SENDMSG", "RECVMSG")

INT = array.array("i").itemsize


def rights(*fds: int) -> tuple[int, int, array.array[int]]:
    return (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))


def received_fds(cqe: uring_rs.Completion) -> list[int]:
    fds = array.array("i")
    for level, kind, data in cqe.ancdata:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(data[: len(data) - len(data) % INT])
    return list(fds)


def test_several_buffers(ring: uring_rs.Ring, pair: Pair) -> None:
    ring.prep_sendmsg(pair[0], [b"ab", bytearray(b"cde"), memoryview(b"xfgx")[1:3]], user_data="s")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("s", 7, "SENDMSG")
    bufs = [bytearray(1), bytearray(4), bytearray(b"....")]
    ring.prep_recvmsg(pair[1], bufs, user_data="r")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("r", 7, "RECVMSG")
    assert bufs == [b"a", b"bcde", b"fg.."]
    assert (cqe.ancdata, cqe.msg_flags) == ([], 0)
    idle(ring)


def test_receive_first(ring: uring_rs.Ring, pair: Pair) -> None:
    bufs = [bytearray(2), bytearray(8)]
    ring.prep_recvmsg(pair[1], bufs, user_data="r")
    ring.submit()
    for buf in bufs:
        with pytest.raises(BufferError):
            buf.append(0)
    ring.prep_sendmsg(pair[0], [b"abc"], user_data="s")
    assert results(ring, 2) == {"s": 3, "r": 3}
    assert bufs == [b"ab", b"c" + bytes(7)]
    for buf in bufs:
        buf.append(0)


def test_no_buffers(ring: uring_rs.Ring, datagrams: Pair) -> None:
    ring.prep_sendmsg(datagrams[0], [])
    assert one(ring).result() == 0
    ring.prep_recvmsg(datagrams[1], [])
    assert one(ring).result() == 0


def test_end_of_the_stream(ring: uring_rs.Ring, pair: Pair) -> None:
    pair[0].close()
    ring.prep_recvmsg(pair[1], [bytearray(4)])
    cqe = one(ring)
    assert (cqe.result(), cqe.ancdata) == (0, [])


# --- addresses


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_addresses_of_datagrams(ring: uring_rs.Ring, family: int) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with (
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
    ):
        try:
            receiver.bind((host, 0))
        except OSError as error:
            pytest.skip(f"this host cannot bind to {host}: {error}")
        sender.bind((host, 0))
        ring.prep_sendmsg(sender, [b"to ", b"you"], address=receiver.getsockname())
        assert one(ring).result() == 6
        buf = bytearray(10)
        ring.prep_recvmsg(receiver, [buf])
        cqe = one(ring)
        assert (cqe.result(), cqe.address) == (6, sender.getsockname())
        assert buf[:6] == b"to you"


def test_addresses_of_unix_datagrams(ring: uring_rs.Ring, tmp_path: Any) -> None:
    abstract = b"\0uring_rs-msg-%d" % os.getpid()
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hidden,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unnamed,
    ):
        receiver.bind(str(tmp_path / "r"))
        named.bind(str(tmp_path / "s"))
        hidden.bind(abstract)
        for sender, expected in (
            (named, str(tmp_path / "s")),
            (hidden, abstract),
            (unnamed, None),
        ):
            ring.prep_sendmsg(sender, [b"x"], (), 0, str(tmp_path / "r"))
            assert one(ring).result() == 1
            ring.prep_recvmsg(receiver, [bytearray(4)])
            assert one(ring).address == expected


def test_no_address_of_a_stream(ring: uring_rs.Ring, pair: Pair) -> None:
    pair[0].send(b"x")
    ring.prep_recvmsg(pair[1], [bytearray(4)])
    assert one(ring).address is None


# --- ancillary data


def test_descriptors_travel(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    ring.prep_sendmsg(pair[0], [b"x"], [rights(fd)])
    assert one(ring).result() == 1
    ring.prep_recvmsg(pair[1], [bytearray(4)], socket.CMSG_SPACE(INT))
    cqe = one(ring)
    assert cqe.result() == 1
    assert cqe.msg_flags & socket.MSG_CTRUNC == 0
    (got,) = received_fds(cqe)
    assert got != fd
    assert os.path.sameopenfile(got, fd)
    assert os.pread(got, 10, 0) == CONTENT[:10]
    os.close(got)


def test_descriptors_both_ways_at_once(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    room = socket.CMSG_SPACE(2 * INT)
    for mine, theirs in (pair, pair[::-1]):
        ring.prep_recvmsg(mine, [bytearray(4)], room, user_data="r")
        ring.prep_sendmsg(theirs, [b"abc"], [rights(fd, fd)], user_data="s")
    ring.submit(wait=4)
    taken = ring.reap()
    assert [cqe.result() for cqe in taken].count(3) == 4
    fds = [got for cqe in taken if cqe.user_data == "r" for got in received_fds(cqe)]
    assert len(fds) == 4
    for got in fds:
        assert os.path.sameopenfile(got, fd)
        os.close(got)


def test_the_ancillary_data_sent_is_copied(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    control = bytearray(array.array("i", [fd]).tobytes())
    ring.prep_sendmsg(pair[0], [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, control)])
    control[:] = b"\xff" * INT
    control.append(0)  # and so it is not locked
    assert one(ring).result() == 1
    _, ancdata, _, _ = pair[1].recvmsg(4, socket.CMSG_SPACE(INT))
    (got,) = array.array("i", ancdata[0][2])
    assert os.path.sameopenfile(got, fd)
    os.close(got)


def test_credentials_of_the_peer(ring: uring_rs.Ring, pair: Pair) -> None:
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    pair[0].send(b"x")
    ring.prep_recvmsg(pair[1], [bytearray(4)], socket.CMSG_SPACE(12))
    ((level, kind, data),) = one(ring).ancdata
    assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
    assert list(array.array("i", data)) == [os.getpid(), os.getuid(), os.getgid()]


def test_several_control_messages(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ring.prep_sendmsg(pair[0], [b"x"], [rights(fd)])
    assert one(ring).result() == 1
    room = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(INT)
    ring.prep_recvmsg(pair[1], [bytearray(4)], room)
    cqe = one(ring)
    assert {kind for _, kind, _ in cqe.ancdata} == {socket.SCM_CREDENTIALS, socket.SCM_RIGHTS}
    for got in received_fds(cqe):
        os.close(got)


def test_no_room_for_control_messages(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    """MSG_CTRUNC tells it, and the kernel closes the descriptors it could not hand over."""
    before = len(os.listdir("/proc/self/fd"))
    pair[0].sendmsg([b"x"], [rights(fd)])
    ring.prep_recvmsg(pair[1], [bytearray(4)])
    cqe = one(ring)
    assert (cqe.result(), cqe.ancdata) == (1, [])
    assert cqe.msg_flags & socket.MSG_CTRUNC
    assert len(os.listdir("/proc/self/fd")) == before


def test_room_for_fewer_descriptors(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    pair[0].sendmsg([b"x"], [rights(fd, fd, fd, fd)])
    ring.prep_recvmsg(pair[1], [bytearray(4)], socket.CMSG_LEN(2 * INT))
    cqe = one(ring)
    assert cqe.msg_flags & socket.MSG_CTRUNC
    fds = received_fds(cqe)
    assert len(fds) == 2
    for got in fds:
        os.close(got)


def test_failed_control_messages(ring: uring_rs.Ring, pair: Pair, closed_fd: int) -> None:
    ring.prep_sendmsg(pair[0], [b"x"], [rights(closed_fd)])
    failed(one(ring), OSError, errno.EBADF)
    ring.prep_recvmsg(pair[1], [bytearray(4)], 0, socket.MSG_DONTWAIT)
    failed(one(ring), BlockingIOError, errno.EAGAIN)


# --- truncation and flags


def test_truncated_datagram(ring: uring_rs.Ring, datagrams: Pair) -> None:
    datagrams[0].send(b"0123456789")
    datagrams[0].send(b"0123456789")
    bufs = [bytearray(2), bytearray(2)]
    ring.prep_recvmsg(datagrams[1], bufs)
    cqe = one(ring)
    assert cqe.result() == 4
    assert cqe.msg_flags & socket.MSG_TRUNC
    assert bufs == [b"01", b"23"]
    ring.prep_recvmsg(datagrams[1], bufs, 0, socket.MSG_TRUNC)
    cqe = one(ring)
    assert cqe.result() == 10
    assert cqe.msg_flags & socket.MSG_TRUNC


def test_peek(ring: uring_rs.Ring, datagrams: Pair) -> None:
    datagrams[0].send(b"twice")
    for flags in (socket.MSG_PEEK, 0):
        buf = bytearray(5)
        ring.prep_recvmsg(datagrams[1], [buf], msg_flags=flags)
        assert one(ring).result() == 5
        assert buf == b"twice"


# --- what is refused


def test_bad_arguments(ring: uring_rs.Ring, pair: Pair) -> None:
    sock = pair[0]
    good = bytearray(4)
    calls: list[tuple[type[Exception], Callable[[], object]]] = [
        (TypeError, lambda: ring.prep_sendmsg(sock, 5)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_sendmsg(sock, [good, "text"])),  # type: ignore[list-item]
        (TypeError, lambda: ring.prep_recvmsg(sock, None)),  # type: ignore[arg-type]
        (BufferError, lambda: ring.prep_recvmsg(sock, [good, b"fixed"])),
        (ValueError, lambda: ring.prep_sendmsg(sock, [good] * 1025)),
        (ValueError, lambda: ring.prep_recvmsg(sock, [good] * 1025)),
        (ValueError, lambda: ring.prep_recvmsg(sock, [good], -1)),
        (ValueError, lambda: ring.prep_recvmsg(sock, [good], 2**20 + 1)),
        (OverflowError, lambda: ring.prep_recvmsg(sock, [good], 0, -1)),
        (OverflowError, lambda: ring.prep_sendmsg(sock, [good], (), 2**32)),
        (TypeError, lambda: ring.prep_sendmsg(sock, [good], 5)),  # type: ignore[arg-type]
        (ValueError, lambda: ring.prep_sendmsg(sock, [good], [(1, 2)])),  # type: ignore[list-item]
        (TypeError, lambda: ring.prep_sendmsg(sock, [good], [(1, "2", b"")])),  # type: ignore[list-item]
        (TypeError, lambda: ring.prep_sendmsg(sock, [good], [(1, 2, "text")])),  # type: ignore[list-item]
        (OverflowError, lambda: ring.prep_sendmsg(sock, [good], [(2**31, 2, b"")])),
        (ValueError, lambda: ring.prep_sendmsg(sock, [good], [(1, 2, bytes(2**20))])),
        (TypeError, lambda: ring.prep_sendmsg(sock, [good], (), 0, 5)),  # type: ignore[arg-type]
    ]
    for error, call in calls:
        with pytest.raises(error):
            call()
    idle(ring)
    good.append(1)  # no lock was left on it


def test_not_a_number_as_control_data(ring: uring_rs.Ring, pair: Pair) -> None:
    """bytes(5) is five zeroes: an int given for the data must not become them."""
    with pytest.raises(TypeError):
        ring.prep_sendmsg(pair[0], [b"x"], [(1, 2, 5)])  # type: ignore[list-item]
    idle(ring)


def test_not_a_socket(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    for number, code in ((fd, errno.ENOTSOCK), (closed_fd, errno.EBADF)):
        ring.prep_sendmsg(number, [b"x"])
        failed(one(ring), OSError, code)
        ring.prep_recvmsg(number, [bytearray(4)])
        cqe = one(ring)
        failed(cqe, OSError, code)
        assert (cqe.address, cqe.ancdata, cqe.msg_flags) == (None, [], 0)

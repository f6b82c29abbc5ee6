"""ACCEPT, CONNECT, SEND, RECV over TCP, UDP and unix sockets, with addresses of each family."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import Pair, failed, idle, one, results

pytestmark = pytest.mark.requires_op("ACCEPT", "CONNECT", "SEND", "RECV")

FAMILIES = ["v4", "v6", "path", "abstract"]


def listener(family: str, folder: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A bound socket of the family, listening if it is a stream one."""
    if family == "v6":
        try:
            sock = socket.socket(socket.AF_INET6, kind)
            sock.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"this host has no IPv6 loopback: {error}")
    elif family == "v4":
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("127.0.0.1", 0))
    else:
        sock = socket.socket(socket.AF_UNIX, kind)
        name = b"\0uring_rs-%d" % os.getpid()
        sock.bind(str(folder / "sock") if family == "path" else name)
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


@pytest.fixture(params=FAMILIES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    with listener(request.param, tmp_path) as sock:
        yield sock


@pytest.fixture
def tcp(tmp_path: Path) -> Iterator[socket.socket]:
    with listener("v4", tmp_path) as sock:
        yield sock


def named(client: socket.socket, folder: Path) -> None:
    """Give a unix client a name, so that there is one to be reported."""
    if client.family == socket.AF_UNIX:
        client.bind(str(folder / "client"))


# --- accept and connect


def test_accept_and_connect(ring: uring_rs.Ring, server: socket.socket, tmp_path: Path) -> None:
    ring.prep_accept(server, user_data="accept")
    ring.submit()
    assert ring.pop() is None
    with socket.socket(server.family) as client:
        named(client, tmp_path)
        ring.prep_connect(client, server.getsockname(), user_data="connect")
        ring.submit(wait=2)
        done = {cqe.user_data: cqe for cqe in ring}
        assert done["connect"].result() == 0
        assert (done["connect"].op, done["connect"].address) == ("CONNECT", None)
        accepted = done["accept"]
        assert accepted.op == "ACCEPT"
        assert accepted.address == client.getsockname()
        with socket.socket(fileno=accepted.result()) as peer:
            assert peer.getpeername() == client.getsockname()
            assert client.getpeername() == server.getsockname()
            client.sendall(b"hello")
            assert peer.recv(10) == b"hello"
    idle(ring)


def test_accept_of_an_unnamed_unix_client(ring: uring_rs.Ring, tmp_path: Path) -> None:
    with listener("path", tmp_path) as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(server.getsockname())
        ring.prep_accept(server)
        cqe = one(ring)
        assert cqe.address is None
        os.close(cqe.result())


def test_accept_from_an_abstract_client(ring: uring_rs.Ring, tmp_path: Path) -> None:
    name = b"\0uring_rs-client-%d" % os.getpid()
    with listener("path", tmp_path) as server, socket.socket(socket.AF_UNIX) as client:
        client.bind(name)
        client.connect(server.getsockname())
        ring.prep_accept(server)
        cqe = one(ring)
        assert cqe.address == name
        os.close(cqe.result())


@pytest.mark.parametrize(
    ("flags", "inheritable", "blocking"),
    [
        (None, False, True),
        (0, True, True),
        (socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, False, False),
    ],
)
def test_accept_flags(
    ring: uring_rs.Ring, tcp: socket.socket, flags: int | None, inheritable: bool, blocking: bool
) -> None:
    with socket.create_connection(tcp.getsockname()):
        if flags is None:
            ring.prep_accept(tcp)
        else:
            ring.prep_accept(tcp, flags)
        fd = one(ring).result()
        assert (os.get_inheritable(fd), os.get_blocking(fd)) == (inheritable, blocking)
        os.close(fd)


def test_accept_flags_unknown(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    ring.prep_accept(tcp, 1)
    failed(one(ring), OSError, errno.EINVAL)


def test_accept_several(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    for tag in range(3):
        ring.prep_accept(tcp, user_data=tag)
    ring.submit()
    clients = [socket.create_connection(tcp.getsockname()) for _ in range(3)]
    ring.submit(wait=3)
    found = ring.reap()
    assert {cqe.user_data for cqe in found} == {0, 1, 2}
    assert {cqe.address for cqe in found} == {client.getsockname() for client in clients}
    for fd in (cqe.result() for cqe in found):
        os.close(fd)
    for client in clients:
        client.close()


def test_accept_on_a_nonblocking_socket_waits(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    tcp.setblocking(False)
    ring.prep_accept(tcp)
    ring.submit()
    assert ring.pop() is None
    with socket.create_connection(tcp.getsockname()):
        os.close(one(ring).result())


def test_accept_where_nobody_listens(ring: uring_rs.Ring, pair: Pair) -> None:
    ring.prep_accept(pair[0])
    failed(one(ring), OSError, errno.EINVAL)


def test_connect_refused(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    address = tcp.getsockname()
    tcp.close()
    with socket.socket() as client:
        ring.prep_connect(client, address)
        failed(one(ring), ConnectionRefusedError, errno.ECONNREFUSED)


def test_connect_failures(ring: uring_rs.Ring, tcp: socket.socket, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        ring.prep_connect(client, str(tmp_path / "absent"))
        failed(one(ring), FileNotFoundError, errno.ENOENT)
        ring.prep_connect(client, ("127.0.0.1", 1))
        failed(one(ring), OSError, errno.EINVAL)
    with socket.create_connection(tcp.getsockname()) as client:
        ring.prep_connect(client, tcp.getsockname())
        failed(one(ring), OSError, errno.EISCONN)


def test_connect_by_number(ring: uring_rs.Ring, server: socket.socket) -> None:
    """A bare descriptor has no family: the address alone says it."""
    with socket.socket(server.family) as client:
        ring.prep_connect(client.fileno(), server.getsockname())
        assert one(ring).result() == 0
        assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (("localhost", 80), ValueError),
        (("256.0.0.1", 80), ValueError),
        (("127.0.0.1",), ValueError),
        (("::1", 80, 0, 0, 0), ValueError),
        (("127.0.0.1", -1), OverflowError),
        (("127.0.0.1", 65536), OverflowError),
        (("127.0.0.1", "80"), TypeError),
        ((1, 80), TypeError),
        (("::1", 80, -1, 0), OverflowError),
        ("x" * 108, ValueError),
        (b"\0" + b"x" * 108, ValueError),
        (80, TypeError),
        (None, TypeError),
        (["127.0.0.1", 80], TypeError),
    ],
)
def test_bad_addresses(ring: uring_rs.Ring, address: Any, error: type[Exception]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(error):
            ring.prep_connect(sock, address)
        if address is not None:
            with pytest.raises(error):
                ring.prep_send(sock, b"x", address=address)
            with pytest.raises(error):
                ring.prep_sendmsg(sock, [b"x"], address=address)
    idle(ring)


# --- send and receive


def test_send_and_receive(ring: uring_rs.Ring, server: socket.socket) -> None:
    with socket.socket(server.family) as client:
        client.connect(server.getsockname())
        with server.accept()[0] as peer:
            buf = bytearray(20)
            ring.prep_recv(peer, buf, user_data="recv")
            ring.prep_send(client, b"through the ring", user_data="send")
            assert results(ring, 2) == {"recv": 16, "send": 16}
            assert buf == b"through the ring\0\0\0\0"
            client.close()
            ring.prep_recv(peer, buf)
            cqe = one(ring)
            assert (cqe.result(), cqe.op) == (0, "RECV")
    idle(ring)


def test_nbytes(ring: uring_rs.Ring, pair: Pair) -> None:
    ring.prep_send(pair[0], b"abcdef", nbytes=4)
    assert one(ring).result() == 4
    buf = bytearray(b"......")
    ring.prep_recv(pair[1], buf, nbytes=3)
    assert one(ring).result() == 3
    assert buf == b"abc..."
    assert pair[1].recv(10) == b"d"


def test_message_flags(ring: uring_rs.Ring, pair: Pair) -> None:
    buf = bytearray(8)
    ring.prep_recv(pair[1], buf, socket.MSG_DONTWAIT)
    failed(one(ring), BlockingIOError, errno.EAGAIN)
    pair[0].send(b"abc")
    ring.prep_recv(pair[1], buf, socket.MSG_PEEK)
    assert one(ring).result() == 3
    assert pair[1].recv(8) == b"abc"


def test_waitall_fills_the_buffer(ring: uring_rs.Ring, pair: Pair) -> None:
    buf = bytearray(6)
    ring.prep_recv(pair[1], buf, socket.MSG_WAITALL)
    ring.submit()
    pair[0].send(b"abc")
    assert ring.pop() is None
    pair[0].send(b"defg")
    assert one(ring).result() == 6
    assert buf == b"abcdef"


def test_receive_on_a_nonblocking_socket_waits(ring: uring_rs.Ring, pair: Pair) -> None:
    pair[1].setblocking(False)
    buf = bytearray(8)
    ring.prep_recv(pair[1], buf)
    ring.submit()
    assert ring.pop() is None
    with pytest.raises(BufferError):
        buf.append(0)
    pair[0].send(b"late")
    assert one(ring).result() == 4
    buf.append(0)


def test_poll_first(ring: uring_rs.Ring, pair: Pair) -> None:
    pair[0].send(b"x")
    ring.prep_recv(pair[1], bytearray(8), ioprio=uring_rs.RecvSendFlags.POLL_FIRST)
    assert one(ring).result() == 1


def test_send_larger_than_the_socket_takes(ring: uring_rs.Ring, pair: Pair) -> None:
    """With MSG_WAITALL all of it goes, as fast as the peer reads."""
    data = os.urandom(4 << 20)
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(pair[1].recv(1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    ring.prep_send(pair[0], data, socket.MSG_WAITALL)
    assert one(ring).result() == len(data)
    reader.join()
    assert got == data


def test_the_peer_is_gone(ring: uring_rs.Ring, pair: Pair) -> None:
    pair[1].close()
    ring.prep_send(pair[0], b"x")
    failed(one(ring), BrokenPipeError, errno.EPIPE)


def test_connection_reset(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    with socket.create_connection(tcp.getsockname()) as client:
        peer = tcp.accept()[0]
        ring.prep_recv(client, bytearray(8))
        ring.submit()
        # Closing with nothing to linger for sends a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        failed(one(ring), ConnectionResetError, errno.ECONNRESET)


def test_not_connected_and_not_a_socket(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    with socket.socket() as sock:
        ring.prep_recv(sock, bytearray(4))
        failed(one(ring), OSError, errno.ENOTCONN)
        ring.prep_send(sock, b"x")
        failed(one(ring), BrokenPipeError, errno.EPIPE)
    for number, code in ((fd, errno.ENOTSOCK), (closed_fd, errno.EBADF)):
        for prep in (
            lambda n=number: ring.prep_recv(n, bytearray(4)),
            lambda n=number: ring.prep_send(n, b"x"),
            lambda n=number: ring.prep_accept(n),
            lambda n=number: ring.prep_connect(n, ("127.0.0.1", 80)),
        ):
            prep()
            failed(one(ring), OSError, code)


@pytest.mark.parametrize("nbytes", [-1, 5])
def test_bad_nbytes(ring: uring_rs.Ring, pair: Pair, nbytes: int) -> None:
    with pytest.raises(ValueError, match="nbytes"):
        ring.prep_recv(pair[0], bytearray(4), nbytes=nbytes)
    with pytest.raises(ValueError, match="nbytes"):
        ring.prep_send(pair[0], b"1234", nbytes=nbytes)
    idle(ring)


def test_closed_socket_objects(ring: uring_rs.Ring) -> None:
    sock = socket.socket()
    sock.close()
    calls: list[Callable[[], object]] = [
        lambda: ring.prep_recv(sock, bytearray(4)),
        lambda: ring.prep_send(sock, b"x"),
        lambda: ring.prep_accept(sock),
        lambda: ring.prep_connect(sock, ("127.0.0.1", 80)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="negative"):  # a closed socket's fileno() is -1
            call()
    idle(ring)


# --- datagrams


@pytest.mark.parametrize("family", FAMILIES)
def test_datagrams_to_an_address(ring: uring_rs.Ring, tmp_path: Path, family: str) -> None:
    with (
        listener(family, tmp_path, socket.SOCK_DGRAM) as receiver,
        socket.socket(receiver.family, socket.SOCK_DGRAM) as sender,
    ):
        named(sender, tmp_path)
        ring.prep_send(sender, b"datagram", address=receiver.getsockname())
        assert one(ring).result() == 8
        data, address = receiver.recvfrom(20)
        assert data == b"datagram"
        assert address == sender.getsockname() or address[1] == sender.getsockname()[1]
    idle(ring)


def test_datagrams_keep_their_bounds(ring: uring_rs.Ring, datagrams: Pair) -> None:
    for part in (b"one", b"", b"three"):
        ring.prep_send(datagrams[0], part)
        assert one(ring).result() == len(part)
    buf = bytearray(8)
    for expected in (3, 0, 5):
        ring.prep_recv(datagrams[1], buf)
        assert one(ring).result() == expected


def test_datagram_longer_than_the_buffer(ring: uring_rs.Ring, datagrams: Pair) -> None:
    for flags, expected in ((0, 4), (socket.MSG_TRUNC, 10)):
        datagrams[0].send(b"0123456789")
        buf = bytearray(4)
        ring.prep_recv(datagrams[1], buf, flags)
        assert one(ring).result() == expected
        assert buf == b"0123"


def test_datagram_without_a_destination(ring: uring_rs.Ring) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        ring.prep_send(sock, b"x")
        failed(one(ring), OSError, errno.EDESTADDRREQ)


def test_datagram_too_long(ring: uring_rs.Ring, tmp_path: Path) -> None:
    with listener("v4", tmp_path, socket.SOCK_DGRAM) as sock:
        ring.prep_send(sock, bytes(70_000), address=sock.getsockname())
        failed(one(ring), OSError, errno.EMSGSIZE)


def test_empty_host_and_broadcast(ring: uring_rs.Ring, tmp_path: Path) -> None:
    """The two names that stand for addresses, as in the socket module."""
    with listener("v4", tmp_path, socket.SOCK_DGRAM) as sock:
        ring.prep_send(sock, b"self", address=("", sock.getsockname()[1]))
        assert one(ring).result() == 4
        assert sock.recv(8) == b"self"
        ring.prep_send(sock, b"all", address=("<broadcast>", 9))
        failed(one(ring), PermissionError, errno.EACCES)  # SO_BROADCAST is off

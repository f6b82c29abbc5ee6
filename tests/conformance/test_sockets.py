"""SOCKET, BIND, LISTEN, SHUTDOWN, multishot ACCEPT, and the flags of sends and receives."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import Pair, failed, idle, one, results, several
from uring_rs import AcceptFlags, CqeFlags, RecvSendFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("SOCKET", "ACCEPT", "SHUTDOWN", "BIND", "LISTEN")

HOME = ("127.0.0.1", 0)


@pytest.fixture
def tcp() -> Iterator[socket.socket]:
    with socket.create_server(HOME) as sock:
        yield sock


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# --- making a socket, and giving it a name


@pytest.mark.parametrize(
    ("family", "kind", "proto"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, 0),
        (socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0),
    ],
)
def test_socket(ring: uring_rs.Ring, family: int, kind: int, proto: int) -> None:
    ring.prep_socket(family, kind, proto)
    cqe = one(ring)
    assert cqe.op == "SOCKET"
    with socket.socket(fileno=cqe.result()) as sock:
        assert (sock.family, sock.type) == (family, kind)
        assert sock.proto == proto or proto == 0
        assert (sock.get_inheritable(), sock.getblocking()) == (False, True)
    idle(ring)


def test_socket_by_default_and_nonblocking(ring: uring_rs.Ring) -> None:
    ring.prep_socket(user_data="default")
    ring.prep_socket(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK, user_data="nonblocking")
    for tag, fd in results(ring, 2).items():
        with socket.socket(fileno=fd) as sock:
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert os.get_blocking(fd) is (tag == "default")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((200,), errno.EAFNOSUPPORT),
        ((-1,), errno.EAFNOSUPPORT),
        ((socket.AF_INET, 1 << 6), errno.EINVAL),
        ((socket.AF_INET, -1), errno.EINVAL),
        ((socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_UDP), errno.EPROTONOSUPPORT),
        ((socket.AF_INET, socket.SOCK_STREAM, -1), errno.EINVAL),
    ],
)
def test_socket_that_cannot_be(ring: uring_rs.Ring, arguments: Any, code: int) -> None:
    ring.prep_socket(*arguments)
    failed(one(ring), OSError, code)


def test_socket_nobody_takes(shared: bool) -> None:
    before = descriptors()
    ring = uring_rs.Ring(8, shared=shared)
    for _ in range(3):
        ring.prep_socket()
    ring.submit(wait=3)
    ring.close()
    del ring
    gc.collect()
    assert descriptors() == before


def test_a_server_from_nothing(ring: uring_rs.Ring) -> None:
    ring.prep_socket()
    with socket.socket(fileno=one(ring).result()) as server, socket.socket() as client:
        ring.prep_bind(server, HOME, user_data="bind", flags=SqeFlags.IO_LINK)
        ring.prep_listen(server, user_data="listen")
        assert results(ring, 2) == {"bind": 0, "listen": 0}
        ring.prep_accept(server, user_data="accept")
        ring.prep_connect(client, server.getsockname(), user_data="connect")
        found = {cqe.user_data: cqe for cqe in several(ring, 2)}
        assert found["accept"].address == client.getsockname()
        os.close(found["accept"].result())
    idle(ring)


@pytest.mark.parametrize("name", ["path", "bytes", "abstract", "unnamed"])
def test_bind_unix(ring: uring_rs.Ring, tmp_path: Path, name: str) -> None:
    path = str(tmp_path / "sock")
    address: str | bytes = {
        "path": path,
        "bytes": os.fsencode(path),
        "abstract": b"\0uring_rs-bind-%d" % os.getpid(),
        "unnamed": "",  # the kernel chooses an abstract name
    }[name]
    with socket.socket(socket.AF_UNIX) as sock:
        ring.prep_bind(sock, address)
        assert one(ring).result() == 0
        if name == "unnamed":
            assert sock.getsockname()[:1] == b"\0"
        else:
            assert sock.getsockname() == (path if name == "bytes" else address)


def test_bind_six(ring: uring_rs.Ring) -> None:
    with socket.socket(socket.AF_INET6) as sock:
        ring.prep_bind(sock, ("::1", 0, 0, 0))
        cqe = one(ring)
        if cqe.res == -errno.EADDRNOTAVAIL:
            pytest.skip("this host has no IPv6 loopback")
        assert cqe.result() == 0
        assert sock.getsockname()[0] == "::1"


def test_bind_and_listen_failures(
    ring: uring_rs.Ring, tcp: socket.socket, fd: int, closed_fd: int
) -> None:
    with socket.socket() as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        ring.prep_bind(sock, tcp.getsockname())
        failed(one(ring), OSError, errno.EADDRINUSE)
        ring.prep_bind(sock, ("192.0.2.1", 0))
        failed(one(ring), OSError, errno.EADDRNOTAVAIL)
        ring.prep_listen(udp)
        failed(one(ring), OSError, errno.EOPNOTSUPP)
    for number, code in ((fd, errno.ENOTSOCK), (closed_fd, errno.EBADF)):
        for prep in (
            lambda n=number: ring.prep_bind(n, HOME),
            lambda n=number: ring.prep_listen(n),
            lambda n=number: ring.prep_shutdown(n, 0),
            lambda n=number: ring.prep_multishot_accept(n),
        ):
            prep()
            failed(one(ring), OSError, code)


def test_the_address_is_copied(ring: uring_rs.Ring, tmp_path: Path) -> None:
    """What it was given from may change between preparation and submission."""
    path = bytearray(os.fsencode(tmp_path / "sock"))
    with socket.socket(socket.AF_UNIX) as sock:
        ring.prep_bind(sock, bytes(path))
        path[:] = b"x" * len(path)
        gc.collect()
        assert one(ring).result() == 0
        assert Path(sock.getsockname()) == tmp_path / "sock"


def test_listen_backlog(ring: uring_rs.Ring) -> None:
    with socket.socket() as sock:
        sock.bind(HOME)
        for backlog in (0, -5, 1, 2**31 - 1):
            ring.prep_listen(sock, backlog)
            assert one(ring).result() == 0
        with pytest.raises(ValueError, match="backlog"):
            ring.prep_listen(sock, 2**31)
    idle(ring)


# --- shutting down


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_shutdown(ring: uring_rs.Ring, pair: Pair, how: int) -> None:
    buf = bytearray(4)
    ring.prep_recv(pair[0] if how != socket.SHUT_WR else pair[1], buf, user_data="recv")
    ring.submit()
    ring.prep_shutdown(pair[0], how, user_data="shutdown")
    assert results(ring, 2) == {"recv": 0, "shutdown": 0}
    ring.prep_send(pair[0], b"x")
    cqe = one(ring)
    if how == socket.SHUT_RD:
        assert cqe.result() == 1
    else:
        failed(cqe, BrokenPipeError, errno.EPIPE)


def test_shutdown_failures(ring: uring_rs.Ring, pair: Pair) -> None:
    with socket.socket() as sock:
        ring.prep_shutdown(sock, socket.SHUT_RDWR)
        failed(one(ring), OSError, errno.ENOTCONN)
    for how in (-1, 3, 2**63 - 1):
        with pytest.raises(ValueError, match="SHUT_RD"):
            ring.prep_shutdown(pair[0], how)
    idle(ring)


# --- accepting many


def test_multishot_accept(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    request = ring.prep_multishot_accept(tcp, user_data="accept")
    ring.submit()
    assert ring.pop() is None
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.create_connection(tcp.getsockname()))
            cqe = one(ring)
            assert (cqe.op, cqe.user_data, cqe.more, cqe.address) == (
                "ACCEPT",
                "accept",
                True,
                None,
            )
            assert cqe.request == request
            peer = stack.enter_context(socket.socket(fileno=cqe.result()))
            assert peer.getpeername() == client.getsockname()
            assert peer.get_inheritable() is False
        assert ring.is_live(request)
        ring.prep_cancel(request, user_data="cancel")
        found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert found["cancel"].result() == 0
    assert found["accept"].more is False
    failed(found["accept"], OSError, errno.ECANCELED)
    assert not ring.is_live(request)
    idle(ring)


def test_multishot_accept_of_those_that_wait(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    """SOCK_NONEMPTY says that there are more in the backlog."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(tcp.getsockname()))
        ring.prep_multishot_accept(tcp, socket.SOCK_NONBLOCK)
        found = several(ring, 3)
        for cqe in found:
            assert os.get_inheritable(cqe.result())
            assert not os.get_blocking(cqe.result())
            os.close(cqe.result())
    nonempty = [bool(cqe.flags & CqeFlags.SOCK_NONEMPTY) for cqe in found]
    assert nonempty == [True, True, False]
    ring.prep_cancel_all()
    several(ring, 2)


def test_multishot_accept_unix(ring: uring_rs.Ring, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "sock"))
        server.listen()
        ring.prep_multishot_accept(server)
        ring.submit()
        client.connect(server.getsockname())
        with socket.socket(fileno=one(ring).result()) as peer:
            client.close()
            assert peer.recv(1) == b""
        ring.prep_cancel_all(user_data="cancel")
        assert results(ring, 2) == {None: -errno.ECANCELED, "cancel": 1}


def test_multishot_accept_ends_with_the_listening(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    ring.prep_multishot_accept(tcp)
    ring.submit()
    tcp.shutdown(socket.SHUT_RDWR)
    cqe = one(ring)
    assert cqe.more is False
    failed(cqe, OSError, errno.EINVAL)
    idle(ring)


def test_multishot_accept_of_a_peer_that_has_gone(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    with socket.create_connection(tcp.getsockname()) as client:
        client.send(b"bye")
    ring.prep_multishot_accept(tcp)
    with socket.socket(fileno=one(ring).result()) as peer:
        assert peer.recv(10) == b"bye"
        assert peer.recv(10) == b""
    ring.prep_cancel_all()
    several(ring, 2)


@pytest.mark.parametrize("read", [0, 2], ids=["none read", "some read"])
def test_connections_nobody_takes(shared: bool, tcp: socket.socket, read: int) -> None:
    """Accepted and not looked at, they are closed with the ring (I10)."""
    clients = [socket.create_connection(tcp.getsockname()) for _ in range(4)]
    before = descriptors()
    ring = uring_rs.Ring(8, shared=shared)
    ring.prep_multishot_accept(tcp)
    ring.submit(wait=4)
    taken = [cqe.result() for cqe in (ring.pop() for _ in range(read)) if cqe]
    assert len(taken) == read
    ring.close()
    for fd in taken:
        os.close(fd)
    del ring
    gc.collect()
    assert descriptors() == before
    for client in clients:
        with client:
            assert client.recv(1) == b""  # the other end is closed


def test_connections_of_a_ring_that_is_dropped(shared: bool, tcp: socket.socket) -> None:
    with socket.create_connection(tcp.getsockname()) as client:
        before = descriptors()
        ring = uring_rs.Ring(8, shared=shared)
        ring.prep_multishot_accept(tcp)
        ring.submit(wait=1)
        held = [ring]
        del ring
        with pytest.warns(ResourceWarning):
            held.clear()
        gc.collect()
        assert descriptors() == before
        assert client.recv(1) == b""


def test_unread_connections_of_a_closed_ring(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    with socket.create_connection(tcp.getsockname()) as client:
        ring.prep_multishot_accept(tcp)
        ring.submit(wait=1)
        ring.close()
        first, last = ring.reap()
        with socket.socket(fileno=first.result()) as peer:
            assert peer.getpeername() == client.getsockname()
        failed(last, OSError, errno.ECANCELED)


def test_skipped_connections_are_closed(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    """Who does not want to see the completions cannot own the connections."""
    with socket.create_connection(tcp.getsockname()) as client:
        ring.prep_multishot_accept(tcp, flags=SqeFlags.CQE_SKIP_SUCCESS, user_data="accept")
        ring.submit()
        ring.prep_nop()
        one(ring)
        assert client.recv(1) == b""
    ring.prep_cancel_all(user_data="cancel")
    assert results(ring, 2) == {"accept": -errno.ECANCELED, "cancel": 1}


def test_more_connections_than_completions_fit(
    make_ring: Callable[..., uring_rs.Ring], tcp: socket.socket
) -> None:
    """An overflow may end the request, but no connection is lost."""
    ring = make_ring(2, cq_entries=2)
    clients = [socket.create_connection(tcp.getsockname()) for _ in range(12)]
    peers = []
    live = False
    while len(peers) < len(clients):
        if not live:
            ring.prep_multishot_accept(tcp)
        ring.submit(wait=1)
        for cqe in ring:
            peers.append(socket.socket(fileno=cqe.result()))
            live = cqe.more
    names = {peer.getpeername() for peer in peers}
    assert names == {client.getsockname() for client in clients}
    for sock in [*peers, *clients]:
        sock.close()


def test_multishot_accept_out_of_descriptors(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    with socket.socket() as client:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The request takes the limit with it when it is submitted.
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            ring.prep_multishot_accept(tcp)
            ring.submit()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        found = ring.reap()
        client.connect(tcp.getsockname())
        cqe = found[0] if found else one(ring)
        assert cqe.more is False
        failed(cqe, OSError, errno.EMFILE)


def test_accept_that_does_not_wait(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    for prep in (ring.prep_accept, ring.prep_multishot_accept):
        prep(tcp, ioprio=AcceptFlags.DONTWAIT)
        failed(one(ring), BlockingIOError, errno.EAGAIN)
        with socket.create_connection(tcp.getsockname()):
            prep(tcp, ioprio=AcceptFlags.POLL_FIRST)
            os.close(one(ring).result())
    ring.prep_cancel_all()
    several(ring, 2)


def test_pushed_multishot_accept(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    """It keeps no memory, so one entry may be in flight many times."""
    sqe = Sqe.multishot_accept(tcp, user_data="accept")
    first, second = ring.push(sqe), ring.push(sqe)
    ring.submit()
    with socket.create_connection(tcp.getsockname()):
        cqe = one(ring)
        assert cqe.request in (first, second)
        os.close(cqe.result())
    ring.prep_cancel_all()
    several(ring, 3)


def test_pushed_sockets(ring: uring_rs.Ring) -> None:
    sqe = Sqe.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ring.push_many([sqe, sqe])
    for cqe in several(ring, 2):
        os.close(cqe.result())


def test_bad_accept_flags(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    for ioprio in (AcceptFlags.MULTISHOT, 8, 1 << 15):
        with pytest.raises(ValueError, match=r"MULTISHOT|ioprio"):
            ring.prep_accept(tcp, ioprio=ioprio)
    with pytest.raises(ValueError, match="ioprio"):
        ring.prep_multishot_accept(tcp, ioprio=8)
    with pytest.raises(OverflowError):
        ring.prep_accept(tcp, ioprio=-1)
    ring.prep_multishot_accept(tcp, 1)
    failed(one(ring), OSError, errno.EINVAL)
    idle(ring)


# --- how sends and receives are run


def test_sendto(ring: uring_rs.Ring) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(HOME)
        ring.prep_sendto(sender, b"datagram", receiver.getsockname(), user_data="all")
        assert one(ring).result() == 8
        ring.prep_sendto(sender, b"datagram", receiver.getsockname(), 0, 4)
        assert one(ring).result() == 4
        assert [receiver.recv(20) for _ in range(2)] == [b"datagram", b"data"]
        with pytest.raises(TypeError):
            ring.prep_sendto(sender, b"datagram", None)  # type: ignore[arg-type]
    idle(ring)


@pytest.mark.parametrize("kind", ["stream", "datagram", "address"])
def test_vectorized_send(ring: uring_rs.Ring, pair: Pair, datagrams: Pair, kind: str) -> None:
    parts = [bytearray(b"one"), b"", memoryview(b"two")[1:], b"three"]
    with contextlib.ExitStack() as stack:
        if kind == "address":
            left, right = (
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                for _ in range(2)
            )
            right.bind(HOME)
            address = right.getsockname()
        else:
            (left, right), address = (pair if kind == "stream" else datagrams), None
        ring.prep_send(left, parts, address=address, ioprio=RecvSendFlags.SEND_VECTORIZED)
        with pytest.raises(BufferError):
            parts[0].append(0)  # type: ignore[union-attr]
        cqe = one(ring)
        if cqe.res == -errno.EINVAL:
            pytest.skip("this kernel has no vectorized sends (6.17)")
        assert cqe.result() == 10
        parts[0].append(0)  # type: ignore[union-attr]
        assert right.recv(20) == b"onewothree"
    idle(ring)


def test_vectorized_send_takes_no_lone_buffer(ring: uring_rs.Ring, pair: Pair) -> None:
    """The kernel would take its bytes for addresses, and send what is there."""
    forged = struct.pack("QQ", id(pair), 64)
    for data in (forged, bytearray(forged), memoryview(forged), [forged, 5], 5, ["text"]):
        for prep in (ring.prep_send, ring.prep_send_zc, Sqe.send, Sqe.send_zc):
            with pytest.raises(TypeError):
                prep(pair[0], data, ioprio=RecvSendFlags.SEND_VECTORIZED)  # type: ignore[operator]
    with pytest.raises(TypeError, match="nbytes"):
        ring.prep_send(pair[0], [forged], nbytes=1, ioprio=RecvSendFlags.SEND_VECTORIZED)
    with pytest.raises(ValueError, match="1024"):
        ring.prep_send(pair[0], [b"x"] * 1025, ioprio=RecvSendFlags.SEND_VECTORIZED)
    idle(ring)


def test_flags_that_do_not_go_with_the_operation(ring: uring_rs.Ring, pair: Pair) -> None:
    sock, buf = pair[0], bytearray(16)
    for flag in (*RecvSendFlags, RecvSendFlags(1 << 6), RecvSendFlags(1 << 15)):
        if flag == RecvSendFlags.POLL_FIRST:
            continue
        calls: list[Callable[[], object]] = [
            lambda: ring.prep_recv(sock, buf, ioprio=flag),  # noqa: B023
            lambda: ring.prep_sendmsg(sock, [buf], ioprio=flag),  # noqa: B023
            lambda: ring.prep_recvmsg(sock, [buf], ioprio=flag),  # noqa: B023
        ]
        if flag != RecvSendFlags.SEND_VECTORIZED:
            calls.append(lambda: ring.prep_send(sock, buf, ioprio=flag))  # noqa: B023
            calls.append(lambda: ring.prep_sendto(sock, buf, HOME, ioprio=flag))  # noqa: B023
        for call in calls:
            with pytest.raises(ValueError, match="RecvSendFlags"):
                call()
    idle(ring)
    buf.append(0)  # no lock was left on it


def test_receive_says_that_there_is_more(ring: uring_rs.Ring, tcp: socket.socket) -> None:
    with socket.create_connection(tcp.getsockname()) as client, tcp.accept()[0] as peer:
        client.send(b"abcdef")
        buf = bytearray(4)
        for expected in (True, False):
            ring.prep_recv(peer, buf, ioprio=RecvSendFlags.POLL_FIRST)
            cqe = one(ring)
            assert cqe.result() > 0
            assert bool(cqe.flags & CqeFlags.SOCK_NONEMPTY) is expected

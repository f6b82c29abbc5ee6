"""SEND_ZC and SENDMSG_ZC: two completions, and memory that is locked until the second.

To this host itself the network copies after all, and at once. What makes it keep the memory is a
peer that takes no more: then the data waits in the sender's queue, and so does the notification.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import uring_rs
from conformance.kit import Pair, failed, idle, one, several
from uring_rs import CqeFlags, NotifUsage, RecvSendFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("SEND_ZC", "SENDMSG_ZC")

HOME = ("127.0.0.1", 0)
MUCH = 350_000
"""More than a peer with a small buffer takes, less than the sender's queue holds."""


@pytest.fixture
def tcp() -> Iterator[Pair]:
    """A connection, the first end of which can queue far more than the second takes."""
    with socket.socket() as server, socket.socket() as sender:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        server.bind(HOME)
        server.listen()
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sender.connect(server.getsockname())
        with server.accept()[0] as receiver:
            yield sender, receiver


@pytest.fixture
def udp() -> Iterator[Pair]:
    """Two datagram sockets, the second of which has an address."""
    kind = socket.SOCK_DGRAM
    with socket.socket(type=kind) as sender, socket.socket(type=kind) as receiver:
        receiver.bind(HOME)
        yield sender, receiver


@pytest.fixture
def pool(ring: uring_rs.Ring) -> Iterator[uring_rs.BufferPool]:
    with ring.buffer_pool(2, MUCH) as pool:
        yield pool


def receive(sock: socket.socket, count: int) -> bytes:
    """Just so many bytes."""
    got = bytearray()
    while len(got) < count:
        part = sock.recv(count - len(got))
        assert part
        got += part
    return bytes(got)


def both(ring: uring_rs.Ring) -> tuple[uring_rs.Completion, uring_rs.Completion]:
    """The result of one send, and the notification after it."""
    result, notification = several(ring, 2)
    assert (result.more, result.flags & CqeFlags.NOTIF) == (True, 0)
    assert (notification.more, notification.flags & CqeFlags.NOTIF) == (False, CqeFlags.NOTIF)
    assert result.request == notification.request
    return result, notification


# --- the ways to send


def ways() -> dict[str, Callable[[Any, Any, Any, bytes], object]]:
    """Each way to send all of `data`, given ring, socket and a buffer of a pool that holds it."""
    return {
        "send_zc": lambda r, s, b, data: r.prep_send_zc(s, data),
        "send_zc, vectors": lambda r, s, b, data: r.prep_send_zc(
            s, [data[:1], data[1:]], ioprio=RecvSendFlags.SEND_VECTORIZED
        ),
        "send_zc_fixed": lambda r, s, b, data: r.prep_send_zc_fixed(s, b, nbytes=len(data)),
        "sendmsg_zc": lambda r, s, b, data: r.prep_sendmsg_zc(s, [data[:1], data[1:]]),
        "sendmsg_zc_fixed": lambda r, s, b, data: r.prep_sendmsg_zc_fixed(
            s, b, [(0, 1), (1, len(data) - 1)]
        ),
    }


@pytest.mark.parametrize("way", ways())
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_two_completions(
    ring: uring_rs.Ring,
    pool: uring_rs.BufferPool,
    tcp: Pair,
    udp: Pair,
    way: str,
    kind: str,
) -> None:
    sender, receiver = tcp if kind == "tcp" else udp
    if kind == "udp":
        sender.connect(receiver.getsockname())
    data = os.urandom(1000)
    buf = pool.take()
    memoryview(buf)[:1000] = data
    ways()[way](ring, sender, buf, data)
    result, notification = both(ring)
    assert result.op == notification.op == ("SEND_ZC" if "send_zc" in way else "SENDMSG_ZC")
    assert (result.result(), notification.result()) == (1000, 0)
    assert receive(receiver, 1000) == data
    buf.release()
    idle(ring)


def test_parts_of_registered_buffers(
    ring: uring_rs.Ring, pool: uring_rs.BufferPool, tcp: Pair
) -> None:
    buf = pool.take()
    memoryview(buf)[:10] = b"0123456789"
    ring.prep_send_zc_fixed(tcp[0], buf, nbytes=3, start=4)
    assert both(ring)[0].result() == 3
    ring.prep_sendmsg_zc_fixed(tcp[0], buf, iter([(8, 2), (0, 2), (5, 1)]))
    assert both(ring)[0].result() == 5
    assert receive(tcp[1], 8) == b"45689015"


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("way", ["send_zc", "vectors", "fixed", "sendmsg_zc", "sendmsg_zc_fixed"])
def test_to_an_address(
    ring: uring_rs.Ring, pool: uring_rs.BufferPool, family: str, way: str
) -> None:
    kind = socket.AF_INET if family == "v4" else socket.AF_INET6
    with (
        socket.socket(kind, socket.SOCK_DGRAM) as sender,
        socket.socket(kind, socket.SOCK_DGRAM) as receiver,
    ):
        try:
            receiver.bind(("127.0.0.1" if family == "v4" else "::1", 0))
        except OSError as error:
            pytest.skip(f"this host has no IPv6 loopback: {error}")
        to = receiver.getsockname()
        buf = pool.take()
        memoryview(buf)[:4] = b"data"
        if way == "send_zc":
            ring.prep_send_zc(sender, b"data", address=to)
        elif way == "vectors":
            flag = RecvSendFlags.SEND_VECTORIZED
            ring.prep_send_zc(sender, [b"da", b"ta"], address=to, ioprio=flag)
        elif way == "fixed":
            ring.prep_send_zc_fixed(sender, buf, nbytes=4, address=to)
        elif way == "sendmsg_zc":
            ring.prep_sendmsg_zc(sender, [b"da", b"ta"], address=to)
        else:
            ring.prep_sendmsg_zc_fixed(sender, buf, [(0, 4)], address=to)
        assert both(ring)[0].result() == 4
        assert receiver.recv(10) == b"data"


def test_usage_is_reported(ring: uring_rs.Ring, tcp: Pair) -> None:
    """To this host itself it is always copied."""
    ring.prep_send_zc(tcp[0], bytes(1000), ioprio=RecvSendFlags.SEND_ZC_REPORT_USAGE)
    notification = both(ring)[1]
    assert notification.result() == NotifUsage.ZC_COPIED
    assert notification.res & NotifUsage.ZC_COPIED
    assert "(E" not in repr(notification)  # it is no errno
    ring.prep_sendmsg_zc(tcp[0], [bytes(1000)], ioprio=RecvSendFlags.SEND_ZC_REPORT_USAGE)
    assert both(ring)[1].result() == NotifUsage.ZC_COPIED


def test_ancillary_data(ring: uring_rs.Ring, udp: Pair) -> None:
    sender, receiver = udp
    receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    tos = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 0x10))]
    ring.prep_sendmsg_zc(sender, [b"data"], tos, address=receiver.getsockname())
    assert both(ring)[0].result() == 4
    data, ancillary, _, _ = receiver.recvmsg(10, 100)
    assert (data, [item[2] for item in ancillary]) == (b"data", [b"\x10"])


def test_all_of_it_with_waitall(ring: uring_rs.Ring, tcp: Pair) -> None:
    data = os.urandom(4 << 20)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(receive(tcp[1], len(data))))
    reader.start()
    ring.prep_send_zc(tcp[0], data, socket.MSG_WAITALL)
    result, _ = both(ring)
    reader.join()
    assert result.result() == len(data)
    assert got == [data]


def test_in_a_worker_and_after_polling(ring: uring_rs.Ring, tcp: Pair) -> None:
    ring.prep_send_zc(tcp[0], b"worker", flags=SqeFlags.ASYNC)
    assert both(ring)[0].result() == 6
    ring.prep_send_zc(tcp[0], b"polled", ioprio=RecvSendFlags.POLL_FIRST)
    assert both(ring)[0].result() == 6
    assert receive(tcp[1], 12) == b"workerpolled"


def test_links_go_on_after_the_result(ring: uring_rs.Ring, tcp: Pair) -> None:
    ring.prep_send_zc(tcp[0], bytes(MUCH), flags=SqeFlags.IO_LINK, user_data="send")
    ring.prep_nop(user_data="next")
    found = several(ring, 2)
    assert [cqe.user_data for cqe in found] == ["send", "next"]
    assert found[0].more
    receive(tcp[1], MUCH)
    assert one(ring).flags & CqeFlags.NOTIF


# --- the memory until the notification


def test_buffers_are_locked_until_the_notification(ring: uring_rs.Ring, tcp: Pair) -> None:
    sender, receiver = tcp
    data = bytearray(os.urandom(MUCH))
    sent = bytes(data)
    request = ring.prep_send_zc(sender, data, user_data="send")
    result = one(ring)
    assert (result.result(), result.more) == (MUCH, True)
    assert ring.is_live(request)
    assert ring.in_flight == 1
    for _ in range(3):
        with pytest.raises(BufferError):
            data.append(0)
        gc.collect()
        assert ring.pop() is None
    assert receive(receiver, MUCH) == sent
    notification = one(ring)
    assert (notification.user_data, notification.flags) == ("send", CqeFlags.NOTIF)
    data.append(0)
    idle(ring)


@pytest.mark.parametrize("way", ["vectors", "sendmsg_zc"])
def test_each_of_many_buffers_is_locked(ring: uring_rs.Ring, tcp: Pair, way: str) -> None:
    parts = [bytearray(MUCH // 4) for _ in range(4)]
    if way == "vectors":
        ring.prep_send_zc(tcp[0], parts, ioprio=RecvSendFlags.SEND_VECTORIZED)
    else:
        ring.prep_sendmsg_zc(tcp[0], parts)
    assert one(ring).result() == MUCH
    for part in parts:
        with pytest.raises(BufferError):
            part.append(0)
    receive(tcp[1], MUCH)
    one(ring)
    for part in parts:
        part.append(0)


@pytest.mark.parametrize("way", ["send_zc_fixed", "sendmsg_zc_fixed"])
def test_registered_buffers_are_not_given_back(
    ring: uring_rs.Ring, pool: uring_rs.BufferPool, tcp: Pair, way: str
) -> None:
    buf = pool.take()
    if way == "send_zc_fixed":
        ring.prep_send_zc_fixed(tcp[0], buf)
    else:
        ring.prep_sendmsg_zc_fixed(tcp[0], buf, [(0, MUCH)])
    assert one(ring).result() == MUCH
    with pytest.raises(BufferError, match="in flight"):
        buf.release()
    receive(tcp[1], MUCH)
    one(ring)
    buf.release()


def test_the_memory_is_sent_though_nobody_has_it(ring: uring_rs.Ring, tcp: Pair) -> None:
    """Only the request holds it, and the collector leaves it alone."""

    class Mine(bytearray):
        """One that can be watched."""

    data = Mine(os.urandom(MUCH))
    sent, watched = bytes(data), weakref.ref(data)
    ring.prep_send_zc(tcp[0], data)
    del data
    one(ring)
    gc.collect()
    assert watched() is not None
    assert receive(tcp[1], MUCH) == sent
    one(ring)
    gc.collect()
    assert watched() is None


def test_two_sends_of_one_buffer(ring: uring_rs.Ring, tcp: Pair) -> None:
    data = bytearray(MUCH)
    sqe = Sqe.send_zc(tcp[0], data, user_data="send")
    ring.push_many([sqe, sqe])
    assert [cqe.more for cqe in several(ring, 2)] == [True, True]
    receive(tcp[1], 2 * MUCH)
    assert all(cqe.flags & CqeFlags.NOTIF for cqe in several(ring, 2))
    with pytest.raises(BufferError):
        data.append(0)  # the Sqe has it
    del sqe
    gc.collect()
    data.append(0)


def test_a_peer_that_goes_away_frees_the_memory(ring: uring_rs.Ring, tcp: Pair) -> None:
    data = bytearray(MUCH)
    ring.prep_send_zc(tcp[0], data)
    assert one(ring).result() == MUCH
    tcp[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp[1].close()  # a reset
    assert one(ring).flags & CqeFlags.NOTIF
    data.append(0)


def test_closing_waits_for_the_notification(shared: bool, tcp: Pair) -> None:
    data = bytearray(os.urandom(MUCH))
    sent = bytes(data)
    got: list[bytes] = []
    with uring_rs.Ring(8, shared=shared) as ring:
        ring.prep_send_zc(tcp[0], data)
        assert one(ring).result() == MUCH
        reader = threading.Thread(target=lambda: got.append(receive(tcp[1], MUCH)))
        reader.start()
        ring.close()
        data.append(0)
        reader.join()
        assert got == [sent]
        notification = ring.pop()
        assert notification is not None
        assert notification.flags & CqeFlags.NOTIF
        assert ring.in_flight == 0


def test_a_close_that_gives_up_leaks_the_memory(shared: bool) -> None:
    """What the network may still read is never freed; the rest of it goes with the peer."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        server.bind(HOME)
        server.listen()
        sender = stack.enter_context(socket.socket())
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sender.connect(server.getsockname())
        receiver = stack.enter_context(server.accept()[0])
        data = bytearray(MUCH)
        ring = uring_rs.Ring(8, shared=shared)
        ring.prep_send_zc(sender, data)
        assert one(ring).more
        with pytest.warns(ResourceWarning, match="could not be ended in time"):
            ring.close(timeout=0)
        with pytest.raises(BufferError):
            data.append(0)
        receive(receiver, MUCH)
        while uring_rs._uring._graveyard():
            pass
        data.append(0)


def test_skipped_successes(ring: uring_rs.Ring, tcp: Pair) -> None:
    """Neither completion of a success is shown, not even one that tells of a copy."""
    data = bytearray(MUCH)
    ring.prep_send_zc(
        tcp[0],
        data,
        ioprio=RecvSendFlags.SEND_ZC_REPORT_USAGE,
        flags=SqeFlags.CQE_SKIP_SUCCESS,
    )
    ring.submit()
    receive(tcp[1], MUCH)
    while ring.in_flight:
        ring.prep_nop(user_data="nop")
        assert one(ring).user_data == "nop"
    data.append(0)
    idle(ring)


# --- failures, and their notifications


def drained(ring: uring_rs.Ring) -> list[uring_rs.Completion]:
    """All completions of what is in flight."""
    ring.submit()
    found = ring.reap()
    while ring.in_flight:
        ring.wait()
        found += ring.reap()
    return found


def notified_failure(ring: uring_rs.Ring, kind: type[OSError], code: int) -> None:
    """The send failed; if that was said with `more`, a notification followed."""
    found = drained(ring)
    failed(found[0], kind, code)
    assert [cqe.more for cqe in found] == [True] * (len(found) - 1) + [False]
    if found[0].more:
        assert found[1].flags & CqeFlags.NOTIF
        assert found[1].result() == 0
    idle(ring)


def test_sockets_that_cannot(ring: uring_rs.Ring, pair: Pair, fd: int, closed_fd: int) -> None:
    for sock, code in (
        (pair[0], errno.EOPNOTSUPP),
        (fd, errno.ENOTSOCK),
        (closed_fd, errno.EBADF),
    ):
        for way in ("send_zc", "sendmsg_zc", "send_zc, vectors"):
            data = bytearray(10)
            ways()[way](ring, sock, None, data)  # type: ignore[arg-type]
            notified_failure(ring, OSError, code)
            data.append(0)


def test_the_peer_is_gone(ring: uring_rs.Ring, tcp: Pair) -> None:
    tcp[0].shutdown(socket.SHUT_WR)
    data = bytearray(10)
    ring.prep_send_zc(tcp[0], data)
    notified_failure(ring, BrokenPipeError, errno.EPIPE)
    data.append(0)


def test_datagram_too_long(ring: uring_rs.Ring, udp: Pair) -> None:
    data = bytearray(70_000)
    ring.prep_send_zc(udp[0], data, address=udp[1].getsockname())
    notified_failure(ring, OSError, errno.EMSGSIZE)
    ring.prep_send_zc(udp[0], b"x")
    notified_failure(ring, OSError, errno.EDESTADDRREQ)
    data.append(0)


def test_cancelled_while_it_waits(ring: uring_rs.Ring, tcp: Pair) -> None:
    sender = tcp[0]
    sender.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            sender.send(bytes(1 << 16))
    data = bytearray(MUCH)
    ring.prep_send_zc(sender, data, socket.MSG_DONTWAIT)
    notified_failure(ring, BlockingIOError, errno.EAGAIN)
    request = ring.prep_send_zc(sender, data, user_data="send")
    ring.submit()
    assert ring.pop() is None
    with pytest.raises(BufferError):
        data.append(0)
    ring.prep_cancel(request, user_data="cancel")
    found = drained(ring)
    cancel = [cqe for cqe in found if cqe.user_data == "cancel"]
    assert [cqe.result() for cqe in cancel] == [0]
    sends = [cqe for cqe in found if cqe.user_data == "send"]
    failed(sends[0], OSError, errno.ECANCELED)
    assert [cqe.more for cqe in sends] == [True] * (len(sends) - 1) + [False]
    data.append(0)
    idle(ring)


def test_unread_completions_of_a_closed_ring(ring: uring_rs.Ring, tcp: Pair) -> None:
    ring.prep_send_zc(tcp[0], b"data")
    ring.submit()
    ring.close()
    assert [cqe.more for cqe in ring.reap()] == [True, False]


# --- what is refused


def test_bad_arguments(
    ring: uring_rs.Ring,
    open_ring: Callable[..., uring_rs.Ring],
    pool: uring_rs.BufferPool,
    tcp: Pair,
) -> None:
    sock, data, buf = tcp[0], bytearray(10), pool.take()
    fixed = RecvSendFlags.FIXED_BUF
    calls: list[tuple[type[Exception], Callable[[], object]]] = [
        (ValueError, lambda: ring.prep_send_zc(sock, data, ioprio=fixed)),
        (ValueError, lambda: ring.prep_send_zc(sock, data, ioprio=RecvSendFlags.BUNDLE)),
        (ValueError, lambda: ring.prep_send_zc(sock, data, ioprio=1 << 9)),
        (ValueError, lambda: ring.prep_sendmsg_zc(sock, [data], ioprio=fixed)),
        (ValueError, lambda: ring.prep_sendmsg_zc(sock, [data], ioprio=1 << 5)),
        (ValueError, lambda: ring.prep_send_zc_fixed(sock, buf, ioprio=1 << 5)),
        (ValueError, lambda: ring.prep_send_zc(sock, data, nbytes=11)),
        (ValueError, lambda: ring.prep_send_zc(sock, data, nbytes=-1)),
        (TypeError, lambda: ring.prep_send_zc(sock, "text")),
        (TypeError, lambda: ring.prep_send_zc(sock, [data])),
        (TypeError, lambda: ring.prep_send_zc(sock, data, address=5)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_send_zc_fixed(sock, data)),  # type: ignore[arg-type]
        (ValueError, lambda: ring.prep_send_zc_fixed(sock, buf, start=MUCH + 1)),
        (ValueError, lambda: ring.prep_send_zc_fixed(sock, buf, nbytes=MUCH, start=1)),
        (TypeError, lambda: ring.prep_sendmsg_zc_fixed(sock, data, [(0, 1)])),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, 5)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [5])),  # type: ignore[list-item]
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [])),
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(0, MUCH + 1)])),
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(MUCH, 1)])),
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(-1, 1)])),
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(1, -1)])),
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(2**63 - 1, 2**63 - 1)])),
        (OverflowError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(2**63, 1)])),
        (ValueError, lambda: ring.prep_sendmsg_zc_fixed(sock, buf, [(0, 1)] * 1025)),
        (TypeError, lambda: ring.prep_sendmsg_zc(sock, [data], [(1, 2, 3)])),  # type: ignore[list-item]
    ]
    for error, call in calls:
        with pytest.raises(error):
            call()
    idle(ring)
    with pytest.raises(ValueError, match="another ring"):
        open_ring(8).prep_send_zc_fixed(sock, buf)
    data.append(0)  # no lock was left on it
    buf.release()


def test_hostile_parts(ring: uring_rs.Ring, pool: uring_rs.BufferPool, tcp: Pair) -> None:
    """What is run while arguments are looked at may use the ring, and may fail."""
    buf = pool.take()

    def parts() -> Iterator[tuple[int, int]]:
        ring.prep_nop()
        ring.submit()
        yield 0, 1
        with pytest.raises(BufferError):
            buf.release()
        raise KeyError("hostile")

    with pytest.raises(KeyError, match="hostile"):
        ring.prep_sendmsg_zc_fixed(tcp[0], buf, parts())
    one(ring)
    idle(ring)
    buf.release()

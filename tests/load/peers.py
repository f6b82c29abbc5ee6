"""Peers that are slow, do not read, vanish or never answer; nothing waits for them for ever.

Each case ends by its deadline with the error that a socket's user would expect, and afterwards the
ring is idle: nothing in flight, no memory locked. Run in a process of its own.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable

import uring_rs
from uring_rs import SqeFlags

RESET = struct.pack("ii", 1, 0)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
LATE = 20.0
# More than both ends' buffers hold together.
MUCH = bytes(8 << 20)
CASES: dict[str, Callable[[], None]] = {}


def case(function: Callable[[], None]) -> Callable[[], None]:
    CASES[function.__name__] = function
    return function


def pair() -> tuple[socket.socket, socket.socket]:
    """A TCP connection with small buffers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        left = socket.socket()
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        left.connect(server.getsockname())
        right, _ = server.accept()
    return left, right


def results(ring: uring_rs.Ring, count: int) -> list[tuple[object, int]]:
    """So many completions, sooner than LATE."""
    deadline = time.monotonic() + LATE
    got: list[tuple[object, int]] = []
    while len(got) < count:
        ring.submit(wait=1, timeout=max(0.0, deadline - time.monotonic()))
        new = [(cqe.user_data, cqe.res) for cqe in ring.reap()]
        if not new and time.monotonic() > deadline:
            raise AssertionError(f"{got} and no more after {LATE} s: {ring!r}")
        got += new
    return got


def same(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


@case
def byte_by_byte() -> None:
    """A receive of everything from a peer that sends single bytes; a timeout ends the last."""
    left, right = pair()
    with left, right, uring_rs.Ring(8) as ring:

        def send() -> None:
            for number in range(100):
                right.sendall(bytes([number]))

        right.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sender = threading.Thread(target=send)
        sender.start()
        buf = bytearray(100)
        ring.prep_recv(left, buf, socket.MSG_WAITALL, user_data="all")
        same(results(ring, 1), [("all", 100)])
        sender.join()
        same(buf, bytes(range(100)))
        right.sendall(b"12")
        time_out = ring.prep_recv(
            left, buf, socket.MSG_WAITALL, user_data="recv", flags=SqeFlags.IO_LINK
        )
        ring.prep_link_timeout(0.05, user_data="timeout")
        got = dict(results(ring, 2))
        # What had come is reported, or lost with the cancellation; never waited for.
        same(got["recv"] in (2, -errno.ECANCELED), True)
        same(ring.is_live(time_out), False)
        buf.append(0)


@case
def full_window() -> None:
    """Sends to a peer that does not read: cut short by a linked timeout, or by a cancellation."""
    left, right = pair()
    with left, right, uring_rs.Ring(8) as ring:
        data = bytearray(MUCH)
        ring.prep_send(left, data, socket.MSG_WAITALL, user_data="send", flags=SqeFlags.IO_LINK)
        ring.prep_link_timeout(0.05, user_data="timeout")
        got = dict(results(ring, 2))
        sent = got["send"]
        same(0 < sent < len(data) or sent == -errno.ECANCELED, True)
        data.append(0)
        request = ring.prep_send(left, data, socket.MSG_WAITALL, user_data="send")
        ring.submit()
        ring.prep_cancel(request, user_data="cancel")
        got = dict(results(ring, 2))
        same(got["send"] < len(data), True)
        data.append(0)


@case
def full_window_and_close() -> None:
    """The ring is closed with sends and receives that wait for such a peer."""
    left, right = pair()
    with left, right:
        data = bytearray(MUCH)
        ring = uring_rs.Ring(8)
        ring.prep_send(left, data, socket.MSG_WAITALL)
        ring.prep_recv(left, bytearray(10))
        ring.submit()
        began = time.monotonic()
        ring.close(timeout=LATE)
        same(time.monotonic() - began < LATE, True)
        data.append(0)


@case
def zero_copy_to_one_who_does_not_read() -> None:
    """The bytes are the kernel's until they are read: close() gives up when its time is over."""
    left, right = pair()
    with left, right:
        data = bytearray(MUCH)
        ring = uring_rs.Ring(8)
        ring.prep_send_zc(left, data)
        ring.submit()
        ring.wait(1, timeout=0.05)
        began = time.monotonic()
        ring.close(timeout=0.2)
        same(time.monotonic() - began < LATE, True)
        # Read, they come back, although the ring is gone.
        right.setblocking(False)
        deadline = time.monotonic() + LATE
        while uring_rs._uring._graveyard() and time.monotonic() < deadline:
            try:
                right.recv(1 << 20)
            except BlockingIOError:
                time.sleep(0.001)
            uring_rs.Ring(2).close()
        same(uring_rs._uring._graveyard(), 0)
        data.append(0)


@case
def reset_by_peer() -> None:
    """RST while a receive, a send and a zero-copy send wait: each gets the error."""
    for builder in ("prep_send", "prep_send_zc"):
        left, right = pair()
        with left, uring_rs.Ring(8) as ring:
            data = bytearray(MUCH)
            getattr(ring, builder)(left, data, socket.MSG_WAITALL, user_data="send")
            ring.prep_recv(left, bytearray(10), user_data="recv")
            ring.submit()
            right.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            right.close()
            deadline = time.monotonic() + LATE
            got = []
            while ring.in_flight and time.monotonic() < deadline:
                ring.wait(1, timeout=0.1)
                got += [(cqe.user_data, cqe.res) for cqe in ring]
            same(ring.in_flight, 0)
            data.append(0)
            # The socket tells its error once, to whichever request looks first; a send that
            # brought something says how much, and the others see an ended connection.
            received = [res for user, res in got if user == "recv"]
            same(received[0] in (0, -errno.ECONNRESET), True)
            same(all(res < len(MUCH) for _, res in got), True)
            ring.prep_send(left, b"x", user_data="later")
            (later,) = results(ring, 1)
            same(later[1] in (-errno.EPIPE, -errno.ECONNRESET), True)


@case
def refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = server.getsockname()
    with socket.socket() as sock, uring_rs.Ring(8) as ring:
        ring.prep_connect(sock, nobody, user_data="connect")
        same(results(ring, 1), [("connect", -errno.ECONNREFUSED)])


@case
def backlog_full() -> None:
    """A listener that accepts nobody: connects beyond its backlog wait, until their timeout."""
    with socket.socket() as server, uring_rs.Ring(32) as ring:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        socks = [socket.socket() for _ in range(4)]
        for number, sock in enumerate(socks):
            name = server.getsockname()
            ring.prep_connect(sock, name, user_data=number, flags=SqeFlags.IO_LINK)
            ring.prep_link_timeout(0.1, user_data=("timeout", number))
        got = dict(results(ring, 8))
        same({0, -errno.ECANCELED} >= {got[number] for number in range(4)}, True)
        same(-errno.ECANCELED in [got[number] for number in range(4)], True)
        # One more, ended by the ring's close.
        late = socket.socket()
        ring.prep_connect(late, server.getsockname())
        ring.submit()
        ring.close(timeout=LATE)
        for sock in (*socks, late):
            sock.close()


@case
def silent_receive() -> None:
    """Nothing ever comes: each way of giving up."""
    left, right = pair()
    with left, right, uring_rs.Ring(8) as ring:
        pool = ring.buffer_ring(4, 64)
        ring.prep_recv_multishot(left, pool, user_data="multishot")
        ring.prep_recv(left, bytearray(4), user_data="recv")
        ring.submit()
        same(ring.cancel_sync(file=left, all=True, timeout=LATE) >= 1, True)
        same({user for user, _ in results(ring, 2)}, {"multishot", "recv"})
        same(pool.available, 4)
        ring.prep_recv(left, bytearray(4), user_data="recv")
        ring.submit()
        # The other way round: the socket is shut down under the request.
        left.shutdown(socket.SHUT_RD)
        same(results(ring, 1), [("recv", 0)])


def in_own_network() -> None:
    """A network of our own, in which nothing but a loopback device is. OSError where refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare of the network")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)


def unplugged() -> dict[str, int]:
    """A peer whose network goes away in the middle: TCP_USER_TIMEOUT ends what waits for it."""
    in_own_network()
    left, right = pair()
    left.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
    with left, right, uring_rs.Ring(8) as ring:
        data = bytearray(MUCH)
        ring.prep_send(left, data[:10], user_data="first")
        same(results(ring, 1), [("first", 10)])
        subprocess.run(["ip", "link", "set", "lo", "down"], check=True, capture_output=True)
        ring.prep_recv(left, bytearray(10), user_data="recv")
        ring.prep_send(left, data, socket.MSG_WAITALL, user_data="send")
        got = dict(results(ring, 2))
        gone = (-errno.ETIMEDOUT, -errno.ENETUNREACH, -errno.ENETDOWN, -errno.EHOSTUNREACH)
        # As above: one of them may have been told, and the other sees an end.
        same(got["recv"] in (0, *gone) and got["send"] < len(data), True)
        data.append(0)
        ring.prep_send(left, b"x", user_data="later")
        same(results(ring, 1)[0][1] in (-errno.EPIPE, *gone), True)
        with socket.socket() as sock:
            ring.prep_connect(sock, ("10.1.2.3", 1), user_data="connect")
            same(results(ring, 1)[0][1] in gone, True)
    return {name: -res for name, res in got.items()}


def run_all() -> list[str]:
    for function in CASES.values():
        before = sorted(os.listdir("/proc/self/fd"))
        function()
        same(sorted(os.listdir("/proc/self/fd")), before)
    return list(CASES)

"""Pushing an Sqe: once, again and again, into several rings; one at a time where it is written."""

from __future__ import annotations

import errno
import gc
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pair, Pipe, failed, idle, one, several
from uring_rs import EpollOp, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")


def test_push(ring: uring_rs.Ring, fd: int) -> None:
    buf, tag = bytearray(4), object()
    sqe = Sqe.read(fd, buf, 4, user_data=tag)
    request = ring.push(sqe)
    assert request.op == "READ"
    cqe = one(ring)
    assert (cqe.result(), cqe.op, cqe.request) == (4, "READ", request)
    assert cqe.user_data is tag
    assert buf == CONTENT[4:8]
    assert memoryview(sqe)[32:40] == bytes(8)  # the key is the push's, not the entry's
    idle(ring)


def test_push_many_times(ring: uring_rs.Ring, fd: int) -> None:
    sqe = Sqe.write(fd, b"again", 0)
    for _ in range(1000):
        ring.push(sqe)
        assert one(ring).result() == 5
    requests = ring.push_many([sqe] * 16)
    assert len(set(requests)) == 16
    assert [cqe.result() for cqe in several(ring, 16)] == [5] * 16
    assert {type(request) for request in requests} == {uring_rs.Request}


def test_push_many_over_the_size_of_the_queue(ring: uring_rs.Ring) -> None:
    sqes = [Sqe.nop(tag) for tag in range(25)]
    requests = ring.push_many(iter(sqes))
    assert [cqe.request for cqe in several(ring, 25)] == requests
    assert ring.push_many(()) == []


def test_push_of_a_chain(ring: uring_rs.Ring) -> None:
    bad = Sqe.openat("/nonexistent/uring_rs", user_data=0, flags=SqeFlags.IO_LINK)
    ring.push_many([bad, Sqe.nop(1, flags=SqeFlags.IO_LINK), Sqe.nop(2)])
    assert [(cqe.user_data, cqe.res) for cqe in several(ring, 3)] == [
        (0, -errno.ENOENT),
        (1, -errno.ECANCELED),
        (2, -errno.ECANCELED),
    ]


def test_push_of_what_is_none(ring: uring_rs.Ring) -> None:
    for wrong in (None, 5, "nop", Sqe, bytes(64)):
        with pytest.raises(TypeError):
            ring.push(wrong)  # type: ignore[arg-type]
    for wrong in (None, 5, [5]):
        with pytest.raises(TypeError):
            ring.push_many(wrong)  # type: ignore[arg-type]
    idle(ring)

    def some() -> Iterator[Sqe]:
        yield Sqe.nop(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ring.push_many(some())
    assert one(ring).user_data == 1  # those before it stay staged


def test_skip_success(ring: uring_rs.Ring) -> None:
    ring.push(Sqe.nop("skipped", flags=SqeFlags.CQE_SKIP_SUCCESS))
    ring.push(Sqe.nop("seen"))
    assert one(ring).user_data == "seen"


def test_buffers_are_locked_while_it_lives(ring: uring_rs.Ring, fd: int) -> None:
    buf = bytearray(4)
    sqe = Sqe.read(fd, buf, 0)
    with pytest.raises(BufferError):
        buf.append(0)
    ring.push(sqe)
    one(ring)
    with pytest.raises(BufferError):
        buf.append(0)
    del sqe
    gc.collect()
    buf.append(0)


def test_dropped_while_in_flight(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(4)
    ring.push(Sqe.readv(pipe.out, [buf]))
    ring.submit()
    gc.collect()
    with pytest.raises(BufferError):
        buf.append(0)
    pipe.feed(b"late")
    assert one(ring).result() == 4
    assert buf == b"late"
    gc.collect()
    buf.append(0)


def test_in_several_rings(make_ring: Callable[..., uring_rs.Ring], fd: int) -> None:
    sqe = Sqe.write(fd, b"x", 0)
    for ring in (make_ring(4), make_ring(4)):
        ring.push(sqe)
        assert one(ring).result() == 1


def test_pool_buffers_of_another_ring(make_ring: Callable[..., uring_rs.Ring], fd: int) -> None:
    here, there = make_ring(4), make_ring(4)
    with here.buffer_pool(1, 4096) as pool:
        buf = pool.take()
        sqe = Sqe.read_fixed(fd, buf, 0)
        with pytest.raises(ValueError, match="another ring"):
            there.push(sqe)
        idle(there)
        here.push(sqe)
        assert one(here).result() == 4096
        with pytest.raises(BufferError, match="in flight"):
            buf.release()  # the entry may be pushed again
        del sqe
        gc.collect()
        buf.release()


# --- entries that the kernel writes its answer into


def test_recvmsg_one_at_a_time(ring: uring_rs.Ring, datagrams: Pair) -> None:
    buf = bytearray(8)
    sqe = Sqe.recvmsg(datagrams[1], [buf], 64)
    ring.push(sqe)
    for submit in (False, True):
        if submit:
            ring.submit()
        with pytest.raises(BufferError, match="RECVMSG Sqe is in flight"):
            ring.push(sqe)
    assert ring.in_flight == 1
    for text in (b"first", b"second"):
        datagrams[0].send(text)
        cqe = one(ring)
        assert cqe.result() == len(text)
        assert buf[: len(text)] == text
        ring.push(sqe)
        ring.submit()


def test_recvmsg_address_each_time(ring: uring_rs.Ring, tmp_path: Any) -> None:
    """The room for the address is whole again at each push, however short the last one was."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "receiver"))
        sqe = Sqe.recvmsg(receiver, [bytearray(4)], socket.CMSG_SPACE(4))
        for name in ("", "a", "a-longer-name", "b"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                if name:
                    sender.bind(str(tmp_path / name))
                sender.sendto(b"x", str(tmp_path / "receiver"))
                ring.push(sqe)
                cqe = one(ring)
                assert cqe.result() == 1
                assert cqe.address == (str(tmp_path / name) if name else None)


def test_recvmsg_control_each_time(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    """So is the room for ancillary data."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
    sqe = Sqe.recvmsg(pair[1], [bytearray(1)], socket.CMSG_SPACE(4))
    for ancdata in (rights, [], rights, rights, []):
        pair[0].sendmsg([b"x"], ancdata)
        ring.push(sqe)
        cqe = one(ring)
        assert cqe.msg_flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC) == 0
        got = [struct.unpack("i", data)[0] for _, _, data in cqe.ancdata]
        assert len(got) == len(ancdata)
        for number in got:
            assert os.path.sameopenfile(number, fd)
            os.close(number)


def test_accept_each_time(ring: uring_rs.Ring, tmp_path: Any) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "server"))
        server.listen()
        sqe = Sqe.accept(server)
        for name in ("", "a-long-name", "b", ""):
            ring.push(sqe)
            ring.submit()
            with pytest.raises(BufferError, match="ACCEPT Sqe is in flight"):
                ring.push(sqe)
            with socket.socket(socket.AF_UNIX) as client:
                if name:
                    client.bind(str(tmp_path / name))
                client.connect(str(tmp_path / "server"))
                cqe = one(ring)
                assert cqe.address == (str(tmp_path / name) if name else None)
                os.close(cqe.result())
                if name:
                    os.unlink(tmp_path / name)


def test_discarded_and_failed_pushes_end(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring], pair: Pair
) -> None:
    sqe = Sqe.recvmsg(pair[1], [bytearray(4)])
    ring.push(sqe)
    assert ring.discard() == 1
    closed = make_ring(4)
    closed.close()
    with pytest.raises(uring_rs.RingClosed):
        closed.push(sqe)
    full = make_ring(1, sq_full="raise")
    full.prep_nop()
    with pytest.raises(uring_rs.SubmissionQueueFull):
        full.push(sqe)
    pair[0].send(b"x")
    ring.push(sqe)
    assert one(ring).result() == 1


def test_one_per_ring_and_not_two_rings(
    make_ring: Callable[..., uring_rs.Ring], pair: Pair
) -> None:
    here, there = make_ring(4), make_ring(4)
    sqe = Sqe.recvmsg(pair[1], [bytearray(4)])
    here.push(sqe)
    here.submit()
    with pytest.raises(BufferError, match="in flight"):
        there.push(sqe)
    here.prep_cancel_all(user_data="cancel")
    found = {cqe.user_data: cqe for cqe in several(here, 2)}
    failed(found[None], OSError, errno.ECANCELED)
    pair[0].send(b"x")
    there.push(sqe)
    assert one(there).result() == 1


def test_epoll_ctl_again_and_again(ring: uring_rs.Ring, pipe: Pipe) -> None:
    with select.epoll() as epoll:
        add = Sqe.epoll_ctl(epoll, EpollOp.ADD, pipe.out, select.EPOLLIN)
        delete = Sqe.epoll_ctl(epoll, EpollOp.DEL, pipe.out)
        pipe.feed()
        for _ in range(3):
            ring.push(add)
            assert one(ring).result() == 0
            assert epoll.poll(0) == [(pipe.out, select.EPOLLIN)]
            ring.push(delete)
            assert one(ring).result() == 0
            assert epoll.poll(0) == []

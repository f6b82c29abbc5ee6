"""Provided buffers in their other modes: bundles, bit by bit, messages, sending, and by request."""

from __future__ import annotations

import array
import errno
import os
import random
import socket
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from conformance.kit import Pair, failed, idle, one, several
from uring_rs import SqeFlags

COUNT, SIZE = 8, 64


def kept(ring: uring_rs.Ring, pool: uring_rs.BufferRing) -> None:
    """No buffer is lost: what the kernel has by its own account, and what completions have."""
    assert ring.cq_ready == 0
    assert pool.available + pool.taken + pool.free == pool.count


def text(cqe: uring_rs.Completion) -> bytes:
    """What a completion's buffers hold; given back."""
    found = b""
    for view in cqe.buffers:
        found += bytes(view)
        view.release()
    return found


@pytest.fixture
def tcp() -> Iterator[Pair]:
    """Two connected TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        left = socket.create_connection(server.getsockname())
        right, _ = server.accept()
    with left, right:
        yield left, right


# Bundles


def test_a_bundle_fills_several_buffers(ring: uring_rs.Ring, tcp: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE)
    tcp[1].sendall(bytes(range(256)))
    ring.prep_recv(tcp[0], pool=pool, bundle=True)
    cqe = one(ring)
    assert cqe.res == 256
    assert [len(view) for view in cqe.buffers] == [64, 64, 64, 64]
    assert cqe.buffer is cqe.buffers[0]
    assert (pool.available, pool.taken) == (COUNT - 4, 4)
    assert text(cqe) == bytes(range(256))
    assert pool.available == COUNT


def test_bundles_after_buffers_came_back_in_another_order(ring: uring_rs.Ring, tcp: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE)
    chance = random.Random(7)
    data = chance.randbytes(40_000)
    sent = got = 0
    held: list[uring_rs.PooledBuffer] = []
    while got < len(data):
        if sent - got < SIZE:
            sent += tcp[1].send(data[sent : sent + chance.randrange(1, 400)])
        ring.prep_recv(tcp[0], pool=pool, bundle=True)
        cqe = one(ring)
        if cqe.res == -errno.ENOBUFS:
            assert held
        else:
            assert cqe.res > 0
            views = cqe.buffers
            assert b"".join(bytes(view) for view in views) == data[got : got + cqe.res]
            got += cqe.res
            held += views
            del views
        del cqe
        chance.shuffle(held)
        while len(held) > chance.randrange(COUNT):
            held.pop().release()
        kept(ring, pool)


def test_a_multishot_of_bundles(ring: uring_rs.Ring, tcp: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE)
    ring.prep_recv_multishot(tcp[0], pool, bundle=True)
    ring.submit()
    total = b""
    for number in range(20):
        data = bytes([number]) * (number * 11 + 1)
        tcp[1].sendall(data)
        while len(total) < sum(n * 11 + 1 for n in range(number + 1)):
            ring.submit(wait=1)
            for cqe in ring:
                assert cqe.more
                total += text(cqe)
        assert total.endswith(data)
        kept(ring, pool)
    tcp[1].close()
    cqe = one(ring)
    assert (cqe.res, cqe.more, cqe.buffers) == (0, False, [])
    kept(ring, pool)
    assert pool.available == COUNT


# Bit by bit


def test_incremental_receives_share_a_buffer(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.buffer_ring(2, 16, incremental=True)
    assert pool.incremental
    ring.prep_recv_multishot(pair[0], pool)
    ring.submit()
    views = []
    for data in (b"first", b"second", b"third"):
        pair[1].send(data)
        cqe = one(ring)
        assert cqe.buffer is not None
        views.append(cqe.buffer)
    # 5 + 6 + 5 bytes fill the first buffer to the last byte.
    assert [bytes(view) for view in views] == [b"first", b"second", b"third"]
    assert [view.id for view in views] == [0, 0, 0]
    assert (pool.available, pool.taken) == (1, 1)
    del cqe
    views.pop(1).release()
    assert pool.taken == 1  # others still have parts of it
    views.clear()
    assert (pool.available, pool.taken) == (2, 0)


def test_incremental_receives_of_all_lengths(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.buffer_ring(4, 100, incremental=True)
    chance = random.Random(3)
    held: list[tuple[uring_rs.PooledBuffer, bytes]] = []
    armed = False
    for _ in range(400):
        data = chance.randbytes(chance.randrange(1, 130))
        pair[1].send(data)
        got = b""
        while len(got) < len(data):
            if not armed:
                ring.prep_recv_multishot(pair[0], pool)
                armed = True
            ring.submit(wait=1)
            for cqe in ring:
                armed = cqe.more
                if cqe.res == -errno.ENOBUFS:
                    held.clear()
                    continue
                assert cqe.res > 0
                view = cqe.buffer
                assert view is not None
                got += bytes(view)
                held.append((view, bytes(view)))
                del view
            del cqe
        assert got == data
        assert all(bytes(view) == content for view, content in held)
        chance.shuffle(held)
        del held[chance.randrange(6) :]
        kept(ring, pool)


def test_incremental_bundles(ring: uring_rs.Ring, tcp: Pair) -> None:
    pool = ring.buffer_ring(4, 100, incremental=True)
    chance = random.Random(5)
    data = chance.randbytes(20_000)
    sent = got = 0
    while got < len(data):
        if sent == got:
            sent += tcp[1].send(data[sent : sent + chance.randrange(1, 350)])
        ring.prep_recv(tcp[0], pool=pool, bundle=True)
        cqe = one(ring)
        assert cqe.res > 0, cqe
        assert text(cqe) == data[got : got + cqe.res]
        got += cqe.res
        del cqe
        kept(ring, pool)


def test_what_incremental_pools_are_not_for(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.buffer_ring(2, 4096, incremental=True)
    for call in (
        lambda: ring.prep_read(pair[0], pool=pool),
        lambda: ring.prep_recvmsg(pair[0], pool=pool),
        lambda: ring.prep_recvmsg_multishot(pair[0], pool),
        lambda: ring.prep_recv(pair[0], pool=pool, flags=SqeFlags.ASYNC),
        lambda: ring.prep_recv(pair[0], pool=pool, msg_flags=socket.MSG_TRUNC),
        lambda: uring_rs.Sqe.recv_multishot(pair[0], pool, flags=SqeFlags.ASYNC),
    ):
        with pytest.raises(ValueError, match="incremental"):
            call()
    idle(ring)
    pool.close()


# Messages


def test_multishot_messages(ring: uring_rs.Ring) -> None:
    pool = ring.buffer_ring(COUNT, 512)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.bind(("127.0.0.1", 0))
        sender.bind(("127.0.0.1", 0))
        ring.prep_recvmsg_multishot(sock, pool)
        ring.submit()
        for size in (1, 300, 512 - 144):
            sender.sendto(b"x" * size, sock.getsockname())
            cqe = one(ring)
            assert (cqe.op, cqe.more) == ("RECVMSG", True)
            assert cqe.res == 144 + size
            assert cqe.address == sender.getsockname()
            assert (cqe.ancdata, cqe.msg_flags) == ([], 0)
            assert text(cqe) == b"x" * size
        sender.sendto(b"y" * 500, sock.getsockname())
        cqe = one(ring)
        assert cqe.msg_flags & socket.MSG_TRUNC
        assert text(cqe) == b"y" * (512 - 144)
    del cqe
    kept(ring, pool)


def test_empty_messages(ring: uring_rs.Ring) -> None:
    pool = ring.buffer_ring(COUNT, 512)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.bind(("127.0.0.1", 0))
        sender.bind(("127.0.0.1", 0))
        for multishot in (True, False):
            if multishot:
                ring.prep_recvmsg_multishot(sock, pool)
            else:
                ring.prep_recvmsg(sock, pool=pool)
            ring.submit()
            sender.sendto(b"", sock.getsockname())
            cqe = one(ring)
            # It is the end for the kernel, as a closed stream would be.
            assert (cqe.more, cqe.address) == (False, sender.getsockname())
            assert text(cqe) == b""
        ring.prep_recv_multishot(sock, pool)
        ring.submit()
        sender.sendto(b"", sock.getsockname())
        cqe = one(ring)
        assert (cqe.res, cqe.more, cqe.buffer) == (0, False, None)
    kept(ring, pool)
    assert pool.available == COUNT


def test_a_datagram_cut_to_the_buffer(ring: uring_rs.Ring, datagrams: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE)
    datagrams[1].send(b"x" * 100)
    ring.prep_recv(datagrams[0], pool=pool, msg_flags=socket.MSG_TRUNC)
    cqe = one(ring)
    # MSG_TRUNC has the kernel say more than there is: not believed.
    assert (cqe.res, text(cqe)) == (100, b"x" * SIZE)
    with pytest.raises(ValueError, match="MSG_TRUNC"):
        ring.prep_recv(datagrams[0], pool=pool, msg_flags=socket.MSG_TRUNC, bundle=True)
    kept(ring, pool)


@pytest.mark.parametrize("form", ["ring", "sqe"])
def test_multishot_messages_with_descriptors(
    ring: uring_rs.Ring, datagrams: Pair, form: str
) -> None:
    pool = ring.buffer_ring(COUNT, 512)
    room = socket.CMSG_SPACE(8)
    if form == "ring":
        ring.prep_recvmsg_multishot(datagrams[0], pool, room, with_address=False)
    else:
        sqe = uring_rs.Sqe.recvmsg_multishot(datagrams[0], pool, room, with_address=False)
        ring.push(sqe)
    ring.submit()
    for _ in range(3):
        with open(os.devnull) as file:
            numbers = array.array("i", [file.fileno(), file.fileno()])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)]
            datagrams[1].sendmsg([b"take ", b"these"], rights)
        cqe = one(ring)
        assert (cqe.address, text(cqe)) == (None, b"take these")
        ((level, kind, data),) = cqe.ancdata
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        for fd in array.array("i", data):
            os.close(fd)
    del cqe
    kept(ring, pool)


def test_descriptors_of_messages_nobody_read_are_closed(
    make_ring: Callable[..., uring_rs.Ring], datagrams: Pair
) -> None:
    ring = make_ring(8)
    pool = ring.buffer_ring(COUNT, 512)
    ring.prep_recvmsg_multishot(datagrams[0], pool, socket.CMSG_SPACE(4))
    with open(os.devnull) as file:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))]
        datagrams[1].sendmsg([b"x"], rights)
    ring.submit(wait=1)
    ring.close()
    # The check of descriptors after every test sees one left open.


def test_one_message(ring: uring_rs.Ring, datagrams: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE)
    for form in ("ring", "sqe", "sqe"):
        with open(os.devnull) as file:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))]
            datagrams[1].sendmsg([b"payload"], rights)
        room = socket.CMSG_SPACE(4)
        if form == "ring":
            ring.prep_recvmsg(datagrams[0], pool=pool, ancbufsize=room)
        else:
            ring.push(uring_rs.Sqe.recvmsg(datagrams[0], pool=pool, ancbufsize=room))
        cqe = one(ring)
        assert (cqe.res, text(cqe)) == (7, b"payload")
        ((_, _, data),) = cqe.ancdata
        os.close(array.array("i", data)[0])
    del cqe
    kept(ring, pool)


# Sending


def test_send_from_a_pool(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE, sending=True)
    assert pool.sending
    assert (pool.available, pool.taken, pool.free) == (0, 0, COUNT)
    pool.queue(b"one")
    buf = pool.take()
    assert len(buf) == SIZE
    memoryview(buf)[:3] = b"two"
    assert (pool.available, pool.taken, pool.free) == (1, 1, COUNT - 2)
    buf.queue(3)
    assert buf.released
    with pytest.raises(ValueError, match="given back"):
        buf.queue(3)
    for data in (b"one", b"two"):
        ring.prep_send(pair[0], pool=pool)
        cqe = one(ring)
        assert (cqe.res, cqe.op, text(cqe)) == (3, "SEND", data)
        assert pair[1].recv(10) == data
    ring.prep_send(pair[0], pool=pool)
    failed(one(ring), OSError, errno.ENOBUFS)
    assert pool.free == COUNT


def test_a_bundle_sends_all_that_is_queued(ring: uring_rs.Ring, tcp: Pair) -> None:
    pool = ring.buffer_ring(COUNT, SIZE, sending=True)
    for round_ in range(5):
        data = [bytes([number + round_]) * (number + 1) for number in range(COUNT)]
        for part in data:
            pool.queue(part)
        with pytest.raises(BufferError, match="free"):
            pool.queue(b"more")
        if round_ % 2:
            ring.prep_send_bundle(tcp[0], pool)
        else:
            ring.push(uring_rs.Sqe.send_bundle(tcp[0], pool))
        sent = b""
        more = True
        while more:
            cqe = one(ring)
            more = cqe.more
            if cqe.res > 0:
                sent += text(cqe)
            else:
                assert cqe.res == -errno.ENOBUFS
        assert sent == b"".join(data)
        assert tcp[1].recv(4096) == sent
        del cqe
        kept(ring, pool)
        assert pool.free == COUNT


def test_all_of_a_buffer_is_sent_though_the_peer_is_slow(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.buffer_ring(2, 2**20, sending=True)
    data = random.Random(9).randbytes(2**20)
    pool.queue(data)
    ring.prep_send(pair[0], pool=pool)
    ring.submit()
    got = b""
    while len(got) < len(data):
        got += pair[1].recv(2**16)
        ring.submit()
        ring.flush_overflow()
    cqe = one(ring)
    assert (cqe.res, got == data) == (2**20, True)
    del cqe
    assert pool.free == 2


def test_misuse_of_buffers_to_send(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.buffer_ring(1, 4, sending=True)
    for data in (b"", b"12345"):
        with pytest.raises(ValueError, match="length of data"):
            pool.queue(data)
    with pytest.raises(TypeError):
        pool.queue("text")  # type: ignore[arg-type]
    buf = pool.take()
    with pytest.raises(BufferError, match="none of the 1"):
        pool.take()
    for nbytes in (0, -1, 5):
        with pytest.raises(ValueError, match="nbytes"):
            buf.queue(nbytes)
    view = memoryview(buf)
    with pytest.raises(BufferError, match="memoryview"):
        buf.queue()
    view.release()
    with pytest.raises(ValueError, match="for sending"):
        ring.prep_recv(pair[0], pool=pool)
    del buf, view
    assert pool.free == 1
    buf = pool.take()
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        buf.queue()
    with pytest.raises(ValueError, match="closed"):
        pool.take()


# Handed over by requests


@pytest.fixture
def provided(ring: uring_rs.Ring) -> uring_rs.ProvidedBuffers:
    """A pool whose buffers are all with the kernel."""
    pool = ring.provided_buffers(COUNT, SIZE)
    assert (pool.provided, pool.taken, pool.free) == (0, 0, COUNT)
    ring.prep_provide_buffers(pool)
    assert one(ring).result() == 0
    assert (pool.provided, pool.taken, pool.free) == (COUNT, 0, 0)
    return pool


def test_provided_buffers_are_used_and_provided_again(
    ring: uring_rs.Ring, provided: uring_rs.ProvidedBuffers, pair: Pair
) -> None:
    for number in range(3 * COUNT):
        pair[1].send(b"%d" % number)
        ring.prep_recv(pair[0], pool=provided)
        cqe = one(ring)
        view = cqe.buffer
        assert view is not None
        assert bytes(view) == b"%d" % number
        assert (provided.provided, provided.taken) == (COUNT - 1, 1)
        with pytest.raises(BufferError, match="not free"):
            ring.prep_provide_buffers(provided, view.id, 1)
        view.release()
        assert (provided.provided, provided.free) == (COUNT - 1, 1)
        if number % 2:
            ring.prep_provide_buffers(provided, view.id, 1)
        else:
            ring.push(uring_rs.Sqe.provide_buffers(provided, view.id, 1))
        assert one(ring).result() == 0
    idle(ring)


def test_provided_buffers_with_a_multishot(
    ring: uring_rs.Ring, provided: uring_rs.ProvidedBuffers, pair: Pair
) -> None:
    ring.prep_recv_multishot(pair[0], provided)
    ring.submit()
    views = []
    for number in range(COUNT):
        pair[1].send(b"%d" % number)
        views.append(one(ring).buffer)
    assert [bytes(view or b"") for view in views] == [b"%d" % number for number in range(COUNT)]
    pair[1].send(b"x")
    failed(one(ring), OSError, errno.ENOBUFS)
    views.clear()
    assert provided.free == COUNT
    ring.prep_provide_buffers(provided)
    ring.prep_recv(pair[0], pool=provided)
    found = {cqe.op: cqe for cqe in several(ring, 2)}
    assert text(found["RECV"]) == b"x"


def test_removing_provided_buffers(ring: uring_rs.Ring, provided: uring_rs.ProvidedBuffers) -> None:
    with pytest.raises(BufferError, match="prep_remove_buffers"):
        provided.close()
    ring.prep_remove_buffers(provided, 3)
    assert one(ring).result() == 3
    # Which ones, the kernel did not say.
    assert (provided.provided, provided.free) == (COUNT, 0)
    ring.push(uring_rs.Sqe.remove_buffers(provided))
    assert one(ring).result() == COUNT - 3
    assert (provided.provided, provided.free) == (0, COUNT)
    ring.prep_remove_buffers(provided)
    assert one(ring).res in (0, -errno.ENOENT)
    provided.close()
    assert provided.closed
    assert ring.provided_buffers(1, 1).group == 0


def test_providing_what_is_not_free(
    ring: uring_rs.Ring, provided: uring_rs.ProvidedBuffers
) -> None:
    sqe = uring_rs.Sqe.provide_buffers(provided)
    for _ in range(2):
        with pytest.raises(BufferError, match="not free"):
            ring.push(sqe)
        with pytest.raises(BufferError, match="not free"):
            ring.prep_provide_buffers(provided, 2, 3)
    for first, count in ((-1, 1), (0, 0), (0, COUNT + 1), (COUNT, None), (2**62, 2**62)):
        with pytest.raises(ValueError, match="the pool has"):
            ring.prep_provide_buffers(provided, first, count)
    for count in (0, -1, 65536):
        with pytest.raises(ValueError, match="count"):
            ring.prep_remove_buffers(provided, count)
    idle(ring)
    # Taken back before the kernel saw it, they are free again.
    other = ring.provided_buffers(COUNT, SIZE)
    ring.prep_provide_buffers(other)
    assert other.provided == COUNT
    ring.discard()
    assert other.free == COUNT
    other.close()


def test_provided_buffers_lie_close(ring: uring_rs.Ring, pair: Pair) -> None:
    pool = ring.provided_buffers(3, 5)
    ring.prep_provide_buffers(pool)
    one(ring)
    pair[1].send(b"0123456789abcde")
    views = []
    for _ in range(3):
        ring.prep_recv(pair[0], pool=pool)
        views.append(one(ring).buffer)
    assert [bytes(view or b"") for view in views] == [b"01234", b"56789", b"abcde"]

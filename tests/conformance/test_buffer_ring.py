"""Rings of provided buffers: the kernel chooses, completions carry views, and all come back."""

from __future__ import annotations

import errno
import gc
import os
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import CONTENT, Pair, Pipe, failed, idle, one, several
from uring_rs import CqeFlags, SqeFlags

COUNT, SIZE = 4, 64


@pytest.fixture(params=[False, True], ids=["own", "kernel"])
def pool(ring: uring_rs.Ring, request: pytest.FixtureRequest) -> uring_rs.BufferRing:
    """Four buffers, their ring in our memory or in the kernel's."""
    return ring.buffer_ring(COUNT, SIZE, kernel_memory=request.param)


def whole(pool: uring_rs.BufferRing) -> None:
    """All buffers are with the kernel, which says so too."""
    assert (pool.available, pool.taken, pool.free) == (pool.count, 0, 0)


def received(cqe: uring_rs.Completion) -> bytes:
    """What a completion brought; the buffer is given back."""
    assert cqe.buffer is not None
    with cqe.buffer as view:
        assert len(view) == cqe.result()
        return bytes(view)


def test_facts(ring: uring_rs.Ring, pool: uring_rs.BufferRing) -> None:
    assert (pool.count, pool.size, pool.group) == (COUNT, SIZE, 0)
    assert (pool.incremental, pool.sending, pool.closed) == (False, False, False)
    whole(pool)
    assert repr(pool) == "<BufferRing 0 with 4 x 64 bytes>"
    other = ring.buffer_ring(3, 100)
    assert other.group == 1
    whole(other)
    other.close()
    other.close()
    assert (other.available, other.closed) == (0, True)
    assert repr(other).endswith("(closed)>")
    assert ring.buffer_ring(1, 1).group == 1


@pytest.mark.parametrize(
    ("count", "size"), [(0, 1), (-1, 1), (32769, 1), (1, 0), (1, -5), (1, 2**30 + 1), (2**70, 1)]
)
def test_sizes_the_kernel_does_not_have(ring: uring_rs.Ring, count: int, size: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        ring.buffer_ring(count, size)
    with pytest.raises((ValueError, OverflowError)):
        ring.provided_buffers(count if count != 32769 else 65536, size)


def test_more_than_memory(ring: uring_rs.Ring) -> None:
    with pytest.raises((ValueError, OSError)):
        ring.buffer_ring(32768, 2**30)
    assert ring.buffer_ring(32768, 1).available == 32768


@pytest.mark.parametrize("form", ["ring", "sqe"])
def test_recv(ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair, form: str) -> None:
    left, right = pair
    if form == "ring":
        ring.prep_recv(left, pool=pool, user_data="x")
    else:
        ring.push(uring_rs.Sqe.recv(left, pool=pool, user_data="x"))
    ring.submit()
    assert pool.available == COUNT  # waiting takes none
    right.send(b"hello")
    cqe = one(ring)
    assert (cqe.user_data, cqe.res, cqe.more) == ("x", 5, False)
    assert cqe.flags & CqeFlags.BUFFER
    view = cqe.buffer
    assert view is not None
    assert cqe.buffer is view
    assert cqe.buffers == [view]
    assert (len(view), bytes(view), view.released) == (5, b"hello", False)
    assert view.id == cqe.flags >> uring_rs.CQE_BUFFER_SHIFT
    assert (pool.available, pool.taken) == (COUNT - 1, 1)
    view.release()
    whole(pool)
    view.release()
    whole(pool)
    assert view.released
    with pytest.raises(ValueError, match="given back"):
        memoryview(view)
    with pytest.raises(ValueError, match="given back"), view:
        pass
    assert repr(view) == f"<PooledBuffer {view.id} of 5 bytes (given back)>"


def test_completions_without_buffers_have_none(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    ring.prep_nop()
    cqe = one(ring)
    assert (cqe.buffer, cqe.buffers) == (None, [])
    pair[1].close()
    ring.prep_recv(pair[0], pool=pool)
    cqe = one(ring)
    assert (cqe.res, cqe.buffer, cqe.buffers) == (0, None, [])
    whole(pool)


def test_nbytes_bounds_a_receive(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    pair[1].send(b"0123456789" * 10)
    ring.prep_recv(pair[0], nbytes=3, pool=pool)
    assert received(one(ring)) == b"012"
    ring.prep_recv(pair[0], pool=pool)
    assert received(one(ring)) == (b"0123456789" * 10)[3 : 3 + SIZE]
    whole(pool)


def test_a_view_is_writable_and_goes_back_with_the_last_reference(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    pair[1].send(b"abc")
    ring.prep_recv(pair[0], pool=pool)
    cqe = one(ring)
    view = memoryview(cqe.buffer)  # type: ignore[arg-type]
    assert (view.readonly, view.nbytes, view.c_contiguous) == (False, 3, True)
    view[0] = ord("X")
    buffer = cqe.buffer
    assert buffer is not None
    with pytest.raises(BufferError, match="memoryview"):
        buffer.release()
    with pytest.raises(BufferError, match="memoryview"), buffer:
        pass
    del cqe, buffer
    gc.collect()
    assert (bytes(view), pool.taken) == (b"Xbc", 1)
    part = view[1:]
    view.release()
    assert (bytes(part), pool.taken) == (b"bc", 1)
    part.release()
    del part, view
    whole(pool)


def test_a_completion_nobody_looks_at_gives_its_buffer_back(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    pair[1].send(b"abc")
    ring.prep_recv(pair[0], pool=pool)
    ring.submit(wait=1)
    assert ring.cq_ready == 1
    assert (pool.available, pool.taken) == (COUNT - 1, 1)
    ring.peek()
    one(ring)
    whole(pool)


def test_views_are_given_back_in_any_thread(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    for _ in range(3):
        pair[1].send(b"abc")
        ring.prep_recv(pair[0], pool=pool)
        view = one(ring).buffer
        assert view is not None
        thread = threading.Thread(target=view.release)
        thread.start()
        thread.join()
    whole(pool)


def test_every_buffer_again_and_again(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    held: list[uring_rs.PooledBuffer] = []
    for number in range(300):
        pair[1].send(b"%d" % number)
        ring.prep_recv(pair[0], pool=pool)
        view = one(ring).buffer
        assert view is not None
        assert bytes(view) == b"%d" % number
        held.append(view)
        if len(held) == COUNT:
            # Out of order.
            for at in (2, 0, 1, 0):
                held.pop(at).release()
    assert pool.available + pool.taken == COUNT


def test_multishot(ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair) -> None:
    left, right = pair
    request = ring.prep_recv_multishot(left, pool, user_data="m")
    ring.submit()
    for number in range(10):
        right.send(b"%d" % number)
        cqe = one(ring)
        assert (cqe.user_data, cqe.more, cqe.op) == ("m", True, "RECV")
        assert received(cqe) == b"%d" % number
        assert ring.is_live(request)
    right.close()
    cqe = one(ring)
    assert (cqe.res, cqe.more, cqe.buffer) == (0, False, None)
    assert not ring.is_live(request)
    whole(pool)
    idle(ring)


def test_multishot_ends_without_buffers_and_is_armed_again(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    left, right = pair
    ring.prep_recv(left, pool=pool, multishot=True)
    held = []
    for number in range(COUNT):
        right.send(b"%d" % number)
        held.append(one(ring).buffer)
    right.send(b"last")
    cqe = one(ring)
    failed(cqe, OSError, errno.ENOBUFS)
    assert (cqe.more, cqe.buffer, pool.available) == (False, None, 0)
    assert [bytes(view) for view in held if view] == [b"0", b"1", b"2", b"3"]
    held.pop().release()  # type: ignore[union-attr]
    ring.prep_recv(left, pool=pool, multishot=True)
    cqe = one(ring)
    assert (cqe.more, received(cqe)) == (True, b"last")
    held.clear()
    whole(pool)


def test_multishot_by_sqe_and_cancel(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    sqe = uring_rs.Sqe.recv_multishot(pair[0], pool)
    with pytest.raises(BufferError, match="Sqe"):
        pool.close()
    for _ in range(2):
        request = ring.push(sqe)
        pair[1].send(b"abc")
        assert received(one(ring)) == b"abc"
        ring.prep_cancel(request, user_data="c")
        found = {cqe.op: cqe for cqe in several(ring, 2)}
        assert found["RECV"].res == -errno.ECANCELED
        assert (found["RECV"].more, found["RECV"].buffer) == (False, None)
        whole(pool)
    del sqe
    pool.close()


def test_multishot_with_a_bound_on_each_and_on_all(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    pair[1].send(bytes(range(100)))
    ring.prep_recv_multishot(pair[0], pool, 0, 10, total=25)
    ring.submit(wait=1)
    found = ring.reap()
    while found[-1].more:
        found += several(ring, 1)
    # The one that reaches the bound is the last, and is not cut.
    assert [cqe.res for cqe in found] == [10, 10, 10]
    assert b"".join(received(cqe) for cqe in found) == bytes(range(30))
    whole(pool)


def test_read(ring: uring_rs.Ring, pool: uring_rs.BufferRing, fd: int, pipe: Pipe) -> None:
    ring.prep_read(fd, offset=10, nbytes=20, pool=pool)
    assert received(one(ring)) == CONTENT[10:30]
    ring.prep_read(fd, None, 0, pool=pool)
    assert received(one(ring)) == CONTENT[:SIZE]
    ring.prep_read(fd, offset=len(CONTENT), pool=pool)
    cqe = one(ring)
    assert (cqe.res, cqe.buffer) == (0, None)
    whole(pool)
    ring.prep_read(pipe.out, pool=pool)
    ring.submit()
    pipe.feed(b"piped")
    assert received(one(ring)) == b"piped"
    whole(pool)


def test_a_failed_read_gives_its_buffer_back(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, tmp_path: object, closed_fd: int
) -> None:
    directory = os.open(str(tmp_path), os.O_RDONLY)
    for file, flags in ((directory, SqeFlags(0)), (directory, SqeFlags.ASYNC), (closed_fd, 0)):
        ring.prep_read(file, offset=0, pool=pool, flags=flags)
        cqe = one(ring)
        assert cqe.res < 0
        assert cqe.buffer is None
        whole(pool)
    os.close(directory)


def test_async_reads(ring: uring_rs.Ring, pool: uring_rs.BufferRing, fd: int) -> None:
    for number in range(COUNT):
        ring.prep_read(fd, None, number, 8, pool=pool, flags=SqeFlags.ASYNC, user_data=number)
    for cqe in several(ring, COUNT):
        start = cqe.user_data
        assert received(cqe) == CONTENT[start : start + 8]
    whole(pool)


def test_read_multishot(ring: uring_rs.Ring, pool: uring_rs.BufferRing, pipe: Pipe) -> None:
    ring.prep_read_multishot(pipe.out, pool)
    ring.submit()
    for data in (b"one", b"two", b"three", b"four", b"five"):
        pipe.feed(data)
        cqe = one(ring)
        assert (cqe.op, cqe.more, received(cqe)) == ("READ_MULTISHOT", True, data)
    whole(pool)


def test_read_multishot_wants_what_can_be_polled(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, fd: int
) -> None:
    ring.push(uring_rs.Sqe.read_multishot(fd, pool))
    failed(one(ring), OSError, errno.EBADFD)
    whole(pool)


def test_an_empty_pool_refuses(ring: uring_rs.Ring, pair: Pair, fd: int) -> None:
    pool = ring.buffer_ring(1, SIZE)
    pair[1].send(b"abcdef")
    ring.prep_recv(pair[0], nbytes=3, pool=pool)
    held = one(ring)
    ring.prep_recv(pair[0], pool=pool)
    failed(one(ring), OSError, errno.ENOBUFS)
    ring.prep_read(fd, offset=0, pool=pool)
    failed(one(ring), OSError, errno.ENOBUFS)
    assert received(held) == b"abc"
    ring.prep_recv(pair[0], pool=pool)
    assert received(one(ring)) == b"def"


def test_skipped_completions_give_their_buffers_back(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    pair[1].send(b"abc")
    ring.prep_recv(pair[0], pool=pool, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop(flags=SqeFlags.IO_DRAIN)
    assert one(ring).op == "NOP"
    whole(pool)


def test_closing_the_pool(ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair) -> None:
    pair[1].send(b"abc")
    ring.prep_recv(pair[0], pool=pool)
    with pytest.raises(BufferError, match="1 requests"):
        pool.close()
    view = one(ring).buffer
    assert view is not None
    pool.close()
    assert (bytes(view), pool.taken, pool.free) == (b"abc", 1, 0)
    view.release()
    assert (pool.taken, pool.available) == (0, 0)
    with pytest.raises(ValueError, match="closed"):
        ring.prep_recv(pair[0], pool=pool)
    with pytest.raises(ValueError, match="closed"):
        uring_rs.Sqe.recv(pair[0], pool=pool)
    idle(ring)


def test_a_pool_in_use_is_left_to_the_ring(
    make_ring: Callable[..., uring_rs.Ring], pair: Pair
) -> None:
    with make_ring(8) as ring:
        with ring.buffer_ring(COUNT, SIZE) as pool:
            request = ring.prep_recv_multishot(pair[0], pool)
            ring.submit()
        assert not pool.closed
        with pool:
            ring.prep_cancel(request)
            ring.submit(wait=2)
            # What has ended uses it no more, whether or not somebody has looked.
        assert pool.closed
        with ring.provided_buffers(COUNT, SIZE) as other:
            ring.prep_provide_buffers(other)
            ring.submit(wait=1)
        assert not other.closed
    assert other.closed


def test_a_closed_ring_takes_no_requests(
    make_ring: Callable[..., uring_rs.Ring], pair: Pair
) -> None:
    ring = make_ring(8)
    pool = ring.buffer_ring(COUNT, SIZE)
    sqe = uring_rs.Sqe.recv(pair[0], pool=pool)
    ring.close()
    for call in (
        lambda: ring.push(sqe),
        lambda: ring.prep_recv(pair[0], pool=pool),
        lambda: ring.buffer_ring(1, 1),
        lambda: ring.provided_buffers(1, 1),
    ):
        with pytest.raises(uring_rs.RingClosed):
            call()
    with pytest.raises(ValueError, match="closed"):
        uring_rs.Sqe.recv(pair[0], pool=pool)
    pool.close()


def test_discarded_requests_let_go_of_the_pool(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    ring.prep_recv(pair[0], pool=pool)
    ring.prep_recv_multishot(pair[0], pool)
    assert ring.discard() == 2
    pool.close()


def test_a_dropped_pool_makes_room_for_another(ring: uring_rs.Ring, pair: Pair) -> None:
    for _ in range(3):
        pool = ring.buffer_ring(2, SIZE)
        assert pool.group == 0
        del pool
    # One that is used stays until the ring ends.
    ring.prep_recv_multishot(pair[0], ring.buffer_ring(2, SIZE))
    ring.submit()
    assert ring.buffer_ring(2, SIZE).group == 1
    pair[1].send(b"abc")
    assert received(one(ring)) == b"abc"


def test_views_outlive_the_ring(make_ring: Callable[..., uring_rs.Ring], pair: Pair) -> None:
    ring = make_ring(8)
    pool = ring.buffer_ring(COUNT, SIZE)
    ring.prep_recv_multishot(pair[0], pool)
    pair[1].send(b"first")
    seen = one(ring).buffer
    pair[1].send(b"second")
    ring.submit(wait=1)
    ring.close()
    assert (pool.closed, pool.available) == (True, 0)
    assert seen is not None
    assert bytes(seen) == b"first"
    unread = ring.reap()
    assert [cqe.res for cqe in unread][:1] == [6]
    assert bytes(unread[0].buffer or b"") == b"second"
    seen.release()
    del unread, ring, pool
    gc.collect()


def test_pools_belong_to_their_rings(make_ring: Callable[..., uring_rs.Ring], pair: Pair) -> None:
    pool = make_ring(8).buffer_ring(COUNT, SIZE)
    other = make_ring(8)
    with pytest.raises(ValueError, match="another ring"):
        other.prep_recv(pair[0], pool=pool)
    with pytest.raises(ValueError, match="another ring"):
        other.push(uring_rs.Sqe.recv(pair[0], pool=pool))
    idle(other)
    pool.close()


def test_arguments_that_do_not_fit(
    ring: uring_rs.Ring, pool: uring_rs.BufferRing, pair: Pair
) -> None:
    sock, buf = pair[0], bytearray(8)
    bad: list[tuple[type[Exception], Callable[[], object]]] = [
        (TypeError, lambda: ring.prep_recv(sock)),
        (TypeError, lambda: ring.prep_recv(sock, buf, pool=pool)),
        (TypeError, lambda: ring.prep_recv(sock, buf, multishot=True)),
        (TypeError, lambda: ring.prep_recv(sock, buf, bundle=True)),
        (TypeError, lambda: ring.prep_read(sock)),
        (TypeError, lambda: ring.prep_read(sock, buf, pool=pool)),
        (TypeError, lambda: ring.prep_recvmsg(sock)),
        (TypeError, lambda: ring.prep_send(sock)),
        (TypeError, lambda: ring.prep_recv(sock, pool=buf)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_recv_multishot(sock, None)),  # type: ignore[arg-type]
        (TypeError, lambda: ring.prep_provide_buffers(pool)),  # type: ignore[arg-type]
        (ValueError, lambda: ring.prep_recv(sock, pool=pool, nbytes=0)),
        (ValueError, lambda: ring.prep_recv(sock, pool=pool, nbytes=-1)),
        (ValueError, lambda: ring.prep_recv(sock, pool=pool, nbytes=2**31)),
        (ValueError, lambda: ring.prep_recv_multishot(sock, pool, total=0)),
        (ValueError, lambda: ring.prep_send(sock, pool=pool)),
        (ValueError, lambda: ring.prep_send_bundle(sock, pool)),
        (ValueError, lambda: pool.queue(b"x")),
        (ValueError, pool.take),
        (ValueError, lambda: ring.prep_recvmsg_multishot(sock, pool)),
        (ValueError, lambda: ring.prep_recvmsg(sock, pool=pool, ancbufsize=-1)),
        (ValueError, lambda: ring.buffer_ring(1, 1, incremental=True, sending=True)),
    ]
    for kind, call in bad:
        with pytest.raises(kind):
            call()
    idle(ring)
    pool.close()


def test_not_on_a_simulated_kernel() -> None:
    with uring_rs.Ring(8, kernel=uring_rs.SimKernel()) as ring:
        with pytest.raises(OSError, match="buffer ring"):
            ring.buffer_ring(4, 64)
        assert ring.in_flight == 0


def test_types_are_not_made_by_hand() -> None:
    for kind in (uring_rs.BufferRing, uring_rs.ProvidedBuffers, uring_rs.PooledBuffer):
        with pytest.raises(TypeError):
            kind()

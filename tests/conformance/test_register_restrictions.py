"""Restrictions: what a ring may do is said when it is made; the library lives with it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, results
from uring_rs import Op, RegisterOp, Restrictions, SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ", "WRITE")

REFUSED = -errno.EACCES


def test_operations(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    ring = make_ring(8, restrictions=Restrictions(sqe_ops=["NOP", Op.READ]))
    pipe.feed()
    ring.prep_nop(user_data="nop")
    ring.prep_read(pipe.out, bytearray(1), user_data="read")
    ring.prep_write(pipe.into, b"x", user_data="write")
    assert results(ring, 3) == {"nop": 0, "read": 1, "write": REFUSED}
    ring.prep_write(pipe.into, b"x")
    failed(one(ring), PermissionError, errno.EACCES)
    ring.register_iowq_max_workers()  # all of these are allowed
    idle(ring)


def test_register_operations(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, restrictions=Restrictions(register_ops=["PERSONALITY"]))
    personality = ring.register_personality()
    ring.prep_nop(personality=personality)
    assert one(ring).res == 0
    for refused in (
        lambda: ring.register_eventfd(0),
        ring.register_iowq_max_workers,
        lambda: ring.buffer_pool(1, 4096),
        lambda: ring.unregister_personality(personality),
    ):
        with pytest.raises(uring_rs.UringError, match="EACCES") as caught:
            refused()
        assert caught.value.errno == errno.EACCES
        assert caught.value.cause == uring_rs.Cause.PERMISSION
    with pytest.raises(uring_rs.UringError, match="restrictions do not allow"):
        ring.register_iowq_max_workers()


def test_allowed_flags(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, restrictions=Restrictions(sqe_flags_allowed=SqeFlags.IO_LINK))
    ring.prep_nop(flags=SqeFlags.IO_LINK, user_data="link")
    ring.prep_nop(user_data="linked")
    ring.prep_nop(flags=SqeFlags.ASYNC, user_data="async")
    assert results(ring, 3) == {"link": 0, "linked": 0, "async": REFUSED}


def test_required_flags(make_ring: Callable[..., uring_rs.Ring]) -> None:
    restrictions = Restrictions(sqe_flags_required=SqeFlags.ASYNC, sqe_flags_allowed=0)
    ring = make_ring(8, restrictions=restrictions)
    ring.prep_nop(flags=SqeFlags.ASYNC, user_data="async")
    ring.prep_nop(user_data="plain")
    ring.prep_nop(flags=SqeFlags.ASYNC | SqeFlags.IO_DRAIN, user_data="drain")
    assert results(ring, 3) == {"async": 0, "plain": REFUSED, "drain": REFUSED}


def test_everything_and_nothing(make_ring: Callable[..., uring_rs.Ring]) -> None:
    free = make_ring(8, restrictions=Restrictions())
    free.prep_nop(flags=SqeFlags.ASYNC)
    assert one(free).res == 0
    free.register_personality().close()
    bound = make_ring(8, restrictions=Restrictions(register_ops=[], sqe_ops=[]))
    bound.prep_nop()
    assert one(bound).res == REFUSED
    with pytest.raises(uring_rs.UringError, match="restrictions"):
        bound.register_personality()


def test_closing_needs_no_permission(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    """What is in flight is cancelled though the ring may neither cancel nor register anything."""
    ring = make_ring(8, restrictions=Restrictions(register_ops=[], sqe_ops=["READ"]))
    buf = bytearray(1)
    ring.prep_read(pipe.out, buf)
    ring.submit()
    ring.close()
    assert [cqe.res for cqe in ring] == [-errno.ECANCELED]
    buf.append(0)


def test_cancel_sync_is_always_allowed(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    ring = make_ring(8, restrictions=Restrictions(register_ops=[], sqe_ops=["READ"]))
    ring.prep_read(pipe.out, bytearray(1))
    ring.submit()
    assert ring.cancel_sync(all=True) == 1
    assert one(ring).res == -errno.ECANCELED


def test_closing_while_a_thread_waits(open_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    """The waiter comes out although the ring may not even do nothing."""
    ring = open_ring(8, shared=True, restrictions=Restrictions(register_ops=[], sqe_ops=["READ"]))
    ring.prep_read(pipe.out, bytearray(1))
    ring.submit()
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with pytest.raises(uring_rs.RingClosed):
            while True:
                ring.wait(2)

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.wait()
    ring.close()
    thread.join()


def test_the_descriptor_is_not_registered(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """It could not be taken back where UNREGISTER_RING_FDS is not allowed."""
    ring = make_ring(8, restrictions=Restrictions(register_ops=["RING_FDS"]))
    for _ in range(40):
        ring.prep_nop()
        one(ring)
    assert ring.registered_ring_fd is None


def test_wake_and_supports(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, restrictions=Restrictions(register_ops=[], sqe_ops=["NOP"]))
    ring.prep_nop()
    one(ring)
    ring.wake()
    assert ring.wait() == 0
    assert ring.supports("READ")  # the kernel has it, whatever the ring may do


def test_with_a_poll_thread(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(8, sqpoll_idle_ms=10, restrictions=Restrictions(sqe_ops=["NOP"]))
    ring.prep_nop(user_data="nop")
    ring.prep_read(0, bytearray(1), user_data="read")
    assert results(ring, 2) == {"nop": 0, "read": REFUSED}


def test_used_by_another_thread_than_made(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, restrictions=Restrictions(sqe_ops=["NOP"]))
    found: list[int] = []

    def use() -> None:
        ring.prep_nop()
        found.append(one(ring).res)
        ring.close()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [0]


def test_as_told(make_ring: Callable[..., uring_rs.Ring]) -> None:
    given = Restrictions(
        register_ops=["clock", RegisterOp.NAPI, 9],
        sqe_ops=["IORING_OP_NOP", 22],
        sqe_flags_allowed=SqeFlags.ASYNC,
    )
    assert given.register_ops == {RegisterOp.CLOCK, RegisterOp.NAPI, RegisterOp.PERSONALITY}
    assert given.sqe_ops == {Op.NOP, Op.READ}
    assert make_ring(4, restrictions=given).restrictions == given
    assert make_ring(4, restrictions=Restrictions()).restrictions == Restrictions()
    assert make_ring(4).restrictions is None


def test_bad_restrictions() -> None:
    for wrong in (
        {"sqe_ops": ["nothing"]},
        {"sqe_ops": [200]},
        {"register_ops": [-1]},
        {"register_ops": ["USE_REGISTERED_RING"]},
        {"sqe_flags_allowed": 1 << 7},
        {"sqe_flags_required": -1},
        {"sqe_flags_required": SqeFlags.CQE_SKIP_SUCCESS},
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            Restrictions(**wrong)  # type: ignore[arg-type]
    for wrong in ({"sqe_ops": "NOP"}, {"sqe_ops": 1}, {"register_ops": b"CLOCK"}):
        with pytest.raises(TypeError):
            Restrictions(**wrong)  # type: ignore[arg-type]
    before = os.listdir("/proc/self/fd")
    for wrong in ({}, "NOP", 1):
        with pytest.raises(TypeError, match="Restrictions"):
            uring_rs.Ring(4, restrictions=wrong)  # type: ignore[arg-type]
    assert os.listdir("/proc/self/fd") == before


def test_a_kernel_without() -> None:
    with pytest.raises(uring_rs.UringError) as caught:
        uring_rs.Ring(4, restrictions=Restrictions(), kernel=uring_rs.SimKernel())
    assert caught.value.errno in (errno.EINVAL, errno.EOPNOTSUPP)

"""Credentials registered with a ring: requests done as somebody else, and how long they last."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import failed, idle, one, several
from uring_rs import Sqe

pytestmark = pytest.mark.requires_op("NOP", "OPENAT")

NOBODY = 65534
INVALID = -errno.EINVAL


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """With the rights of nobody: for root only."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_requests_are_done_as_somebody_else(ring: uring_rs.Ring, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    path.chmod(0o600)
    with as_nobody():
        nobody = ring.register_personality()
    ring.prep_openat(path, os.O_RDONLY, personality=nobody)
    failed(one(ring), PermissionError, errno.EACCES)
    ring.push(Sqe.openat(path, os.O_RDONLY, personality=nobody))
    failed(one(ring), PermissionError, errno.EACCES)
    ring.prep_openat(path, os.O_RDONLY)
    os.close(one(ring).result())
    # And the other way round: nobody's thread, root's request.
    root = ring.register_personality()
    with as_nobody():
        with pytest.raises(PermissionError):
            os.open(path, os.O_RDONLY)
        ring.prep_openat(path, os.O_RDONLY, personality=root)
        fd = one(ring).result()
    os.close(fd)
    assert nobody.id != root.id


def test_as_object_and_as_number(ring: uring_rs.Ring) -> None:
    personality = ring.register_personality()
    assert personality.id > 0
    assert personality.__index__() == personality.id
    assert repr(personality) == f"<Personality id={personality.id}>"
    ring.prep_nop(personality=personality)
    ring.prep_nop(personality=personality.id)
    ring.push(Sqe.nop(personality=personality))
    assert [cqe.res for cqe in several(ring, 3)] == [0, 0, 0]


def test_close(ring: uring_rs.Ring) -> None:
    with ring.register_personality() as personality:
        ring.prep_nop(personality=personality)
        assert one(ring).res == 0
        assert not personality.closed
    assert personality.closed
    assert "closed" in repr(personality)
    personality.close()
    for use in (
        lambda: ring.prep_nop(personality=personality),
        lambda: Sqe.nop(personality=personality),
        lambda: ring.unregister_personality(personality),
        personality.__index__,
        personality.__enter__,
    ):
        with pytest.raises(ValueError, match="unregistered"):
            use()
    ring.prep_nop(personality=personality.id)
    assert one(ring).res == INVALID
    idle(ring)


def test_unregister(ring: uring_rs.Ring) -> None:
    first, second = ring.register_personality(), ring.register_personality()
    ring.unregister_personality(first)
    assert first.closed
    ring.unregister_personality(second.id)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.unregister_personality(second.id)
    assert caught.value.errno == errno.EINVAL
    for wrong in (-1, 1 << 16):
        with pytest.raises(OverflowError):
            ring.unregister_personality(wrong)
    with pytest.raises(TypeError):
        ring.unregister_personality(None)  # type: ignore[arg-type]


def test_dropped(ring: uring_rs.Ring) -> None:
    number = ring.register_personality().id
    gc.collect()
    ring.prep_nop(personality=number)
    assert one(ring).res == INVALID


def test_dropped_with_requests_staged(ring: uring_rs.Ring) -> None:
    """What is staged still finds its credentials; afterwards they go."""
    ring.prep_nop(personality=ring.register_personality())
    personality = ring.register_personality()
    number = personality.id
    ring.prep_nop(personality=personality)
    del personality
    gc.collect()
    assert [cqe.res for cqe in several(ring, 2)] == [0, 0]
    ring.register_personality().close()
    ring.prep_nop(personality=number)
    assert one(ring).res == INVALID


def test_of_another_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    mine, other = make_ring(4), make_ring(4)
    personality = other.register_personality()
    sqe = Sqe.nop(personality=personality)
    for use in (
        lambda: mine.prep_nop(personality=personality),
        lambda: mine.push(sqe),
        lambda: mine.unregister_personality(personality),
    ):
        with pytest.raises(ValueError, match="belongs to another ring"):
            use()
    request = mine.prep_nop()
    with pytest.raises(ValueError, match="belongs to another ring"):
        Sqe.cancel(request, personality=personality)
    one(mine)
    idle(mine)
    other.push(sqe)
    assert one(other).res == 0


def test_ring_closed_or_gone(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    personality = ring.register_personality()
    ring.close()
    personality.close()
    assert personality.closed
    with pytest.raises(uring_rs.RingClosed):
        ring.register_personality()
    gone = uring_rs.Ring(4)
    left = gone.register_personality()
    gone.close()
    del gone
    gc.collect()
    left.close()


def test_another_thread(ring: uring_rs.Ring) -> None:
    """On a ring of one thread others may neither register nor unregister, but drop."""
    personality = ring.register_personality()
    found: list[BaseException | None] = []

    def elsewhere() -> None:
        for call in (ring.register_personality, personality.close):
            try:
                call()
            except uring_rs.WrongThread as error:
                found.append(error)
            else:
                found.append(None)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [error is None for error in found] == [ring.shared, ring.shared]
    assert personality.closed is ring.shared


def test_in_a_child_of_fork(ring: uring_rs.Ring) -> None:
    personality = ring.register_personality()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            personality.close()
            status = 0
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    ring.prep_nop(personality=personality)
    assert one(ring).res == 0


def test_bad_personalities(ring: uring_rs.Ring) -> None:
    for wrong in (-1, 1 << 16):
        with pytest.raises(OverflowError):
            ring.prep_nop(personality=wrong)
    for wrong in (None, 1.0, "1"):
        with pytest.raises(TypeError):
            ring.prep_nop(personality=wrong)  # type: ignore[arg-type]
    idle(ring)

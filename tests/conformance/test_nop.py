"""NOP, and what every operation has in common: user_data, flags, personality."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import failed, idle, one, several
from uring_rs import SqeFlags

pytestmark = pytest.mark.requires_op("NOP")


def test_result(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop("tag")
    assert ring.submit() == 1
    cqe = ring.wait_cqe()
    assert (cqe.user_data, cqe.res, cqe.flags, cqe.op) == ("tag", 0, 0, "NOP")
    assert cqe.request == request
    idle(ring)


def test_inline_completions_keep_the_order_of_submission(ring: uring_rs.Ring) -> None:
    for tag in range(16):
        ring.prep_nop(tag)
    assert [cqe.user_data for cqe in several(ring, 16)] == list(range(16))


@pytest.mark.parametrize("tag", [None, 0, -1, 2**70, "text", b"", ("a", 1), object()])
def test_user_data_is_the_same_object(ring: uring_rs.Ring, tag: object) -> None:
    ring.prep_nop(user_data=tag)
    assert one(ring).user_data is tag


def test_one_user_data_for_many(ring: uring_rs.Ring) -> None:
    tag = object()
    requests = [ring.prep_nop(tag) for _ in range(5)]
    found = several(ring, 5)
    assert all(cqe.user_data is tag for cqe in found)
    assert [cqe.request for cqe in found] == requests


@pytest.mark.parametrize(
    "flags", [SqeFlags.ASYNC, SqeFlags.IO_DRAIN, SqeFlags.IO_LINK, SqeFlags.IO_HARDLINK]
)
def test_harmless_flags(ring: uring_rs.Ring, flags: SqeFlags) -> None:
    ring.prep_nop(flags=flags)
    assert one(ring).res == 0


@pytest.mark.parametrize("flags", [1 << 7, 1 << 8, 1 << 31])
def test_flags_that_are_none(ring: uring_rs.Ring, flags: int) -> None:
    with pytest.raises(ValueError, match="SqeFlags"):
        ring.prep_nop(flags=flags)
    idle(ring)


@pytest.mark.parametrize("flags", [-1, 1 << 32])
def test_flags_out_of_range(ring: uring_rs.Ring, flags: int) -> None:
    with pytest.raises(OverflowError):
        ring.prep_nop(flags=flags)
    idle(ring)


def test_buffer_select_needs_provided_buffers(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="BUFFER_SELECT"):
        ring.prep_nop(flags=SqeFlags.BUFFER_SELECT)
    idle(ring)


def test_personality_that_is_not_registered(ring: uring_rs.Ring) -> None:
    ring.prep_nop(personality=77)
    failed(one(ring), OSError, errno.EINVAL)


@pytest.mark.parametrize("personality", [-1, 1 << 16])
def test_personality_out_of_range(ring: uring_rs.Ring, personality: int) -> None:
    with pytest.raises(OverflowError):
        ring.prep_nop(personality=personality)
    idle(ring)


def test_wrong_keyword(ring: uring_rs.Ring) -> None:
    with pytest.raises(TypeError):
        ring.prep_nop(userdata=1)  # type: ignore[call-arg]
    idle(ring)


def test_ten_thousand_on_a_ring_of_eight(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8)
    seen = []
    for tag in range(10_000):
        ring.prep_nop(tag)
        seen += [cqe.user_data for cqe in ring]
    while len(seen) < 10_000:
        ring.submit(wait=1)
        seen += [cqe.user_data for cqe in ring]
    assert seen == list(range(10_000))
    idle(ring)


def test_ten_thousand_unread_on_a_ring_of_eight(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """What nobody reads waits in user space; it takes no place in the rings."""
    ring = make_ring(8)
    for tag in range(10_000):
        ring.prep_nop(tag)
    assert ring.wait(10_000) == 10_000
    assert [cqe.user_data for cqe in ring] == list(range(10_000))
    idle(ring)

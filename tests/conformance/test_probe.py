"""is_supported, probe and Ring.supports: what is there, by asking and not by guessing."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

import uring_rs
from uring_rs import Features, Op, SetupFlags


def test_supported() -> None:
    assert uring_rs.is_supported() is True


def test_probe() -> None:
    found = uring_rs.probe()
    assert found
    assert (found.ok, found.reason, found.hint, found.errno, found.cause) == (
        True,
        "",
        "",
        None,
        "",
    )
    assert found.kernel == os.uname().release
    assert type(found.features) is Features
    assert found.features & Features.NODROP
    assert type(found.setup_flags) is SetupFlags
    assert len(set(found.ops)) == len(found.ops)
    assert {"NOP", "READV", "WRITEV", "FSYNC", "POLL_ADD"} <= set(found.ops)
    assert found.environment["io_uring_disabled"] in (0, 1, None)
    assert found.environment["cpus"] == os.cpu_count() or found.environment["cpus"]


def test_probe_leaves_nothing() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(5):
        uring_rs.probe()
    assert os.listdir("/proc/self/fd") == before


def test_ring_and_probe_agree(ring: uring_rs.Ring) -> None:
    found = uring_rs.probe()
    assert tuple(op.name for op in Op if ring.supports(op)) == found.ops
    assert ring.features == found.features
    assert ring.flags & ~found.setup_flags == 0


def test_names_and_numbers(ring: uring_rs.Ring) -> None:
    for op in Op:
        assert ring.supports(op.name) is ring.supports(int(op)) is ring.supports(op)
    assert ring.supports("NOP") is ring.supports("IORING_OP_NOP") is True
    assert ring.supports(255) is False


def test_operations_that_are_none(ring: uring_rs.Ring) -> None:
    for name in ("", "IORING_OP_", "nothing"):
        with pytest.raises(ValueError, match="no operation"):
            ring.supports(name)
    for number in (-1, 256):
        with pytest.raises(OverflowError):
            ring.supports(number)
    for wrong in (None, 1.0, b"NOP"):
        with pytest.raises(TypeError):
            ring.supports(wrong)  # type: ignore[arg-type]


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.supports("NOP")


def test_every_builder_has_its_operation(ring: uring_rs.Ring) -> None:
    """What a builder's Sqe says it does is an operation that `supports` knows."""
    for sqe in (uring_rs.Sqe.nop(), uring_rs.Sqe.read(0, bytearray(1)), uring_rs.Sqe.cancel_all()):
        assert ring.supports(sqe.op)

"""query: what the kernel says of itself, against what rings and probes find."""

from __future__ import annotations

import os

import pytest

import uring_rs
from uring_rs import EnterFlags, Features, KernelInfo, Op, RegisterOp, SetupFlags, SqeFlags


@pytest.fixture
def info() -> KernelInfo:
    try:
        return uring_rs.query()
    except uring_rs.UnsupportedOperation as error:
        assert error.since == (6, 18)
        pytest.skip(str(error))


def test_types(info: KernelInfo) -> None:
    assert type(info.features) is Features
    assert type(info.setup_flags) is SetupFlags
    assert type(info.enter_flags) is EnterFlags
    assert type(info.sqe_flags) is SqeFlags
    assert info.request_ops >= 63
    assert info.register_ops >= 36
    assert info.queries >= 1


def test_agrees_with_the_probe(info: KernelInfo) -> None:
    found = uring_rs.probe()
    assert {op for op in Op if op.name in found.ops} <= {op for op in Op if info.has(op)}
    assert found.features & ~info.features == 0
    assert found.setup_flags == info.setup_flags
    assert len(found.register_ops) == len(set(found.register_ops)) > 0
    assert set(found.register_ops) == {op.name for op in RegisterOp if info.has(op)}


def test_agrees_with_a_ring(info: KernelInfo) -> None:
    with uring_rs.Ring(4) as ring:
        assert ring.features & ~info.features == 0
        assert ring.flags & ~info.setup_flags == 0


def test_has(info: KernelInfo) -> None:
    assert info.has(Op.NOP)
    assert info.has(RegisterOp.QUERY)
    assert not info.has(RegisterOp.USE_REGISTERED_RING)  # a flag, not an operation


def test_needs_no_ring(info: KernelInfo) -> None:
    before = os.listdir("/proc/self/fd")
    assert uring_rs.query() == info
    assert os.listdir("/proc/self/fd") == before

"""Zero-copy receive: built, and refused in words where the interface cannot."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pair, idle, one
from uring_rs import SetupFlags, Sqe

pytestmark = pytest.mark.requires_op("RECV_ZC")

DEFER = SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN | SetupFlags.SUBMIT_ALL


@pytest.fixture
def wide(open_ring: Callable[..., uring_rs.Ring]) -> uring_rs.Ring:
    """A ring with completions of 32 bytes, as zero-copy receive needs it."""
    return open_ring(8, flags=DEFER | SetupFlags.CQE32)


def test_an_interface_that_cannot(wide: uring_rs.Ring) -> None:
    for interface in ("lo", socket.if_nametoindex("lo")):
        with pytest.raises(uring_rs.UringError, match="cannot receive without copying") as caught:
            wide.register_ifq(interface, 0)
        assert caught.value.errno == errno.EOPNOTSUPP
        assert caught.value.cause == uring_rs.Cause.UNSUPPORTED
    wide.prep_nop()
    assert one(wide).res == 0


def test_no_such_interface(wide: uring_rs.Ring) -> None:
    with pytest.raises(OSError, match="no interface|No such device"):
        wide.register_ifq("no such", 0)
    with pytest.raises(uring_rs.UringError) as caught:
        wide.register_ifq(1 << 30, 0)
    assert caught.value.errno == errno.ENODEV


def test_rings_that_are_not_fit(
    ring: uring_rs.Ring, open_ring: Callable[..., uring_rs.Ring]
) -> None:
    with pytest.raises(ValueError, match="CQE32"):
        ring.register_ifq("lo", 0)
    with pytest.raises(ValueError, match="DEFER_TASKRUN"):
        open_ring(8, flags=SetupFlags.CQE32).register_ifq("lo", 0)


def test_bad_arguments(wide: uring_rs.Ring) -> None:
    for area in (0, -1, 1 << 40):
        with pytest.raises(ValueError, match="area"):
            wide.register_ifq("lo", 0, area=area)
    for entries in (0, 3, 1 << 16):
        with pytest.raises(ValueError, match="entries"):
            wide.register_ifq("lo", 0, entries=entries)
    for queue in (-1, 1 << 32):
        with pytest.raises(OverflowError):
            wide.register_ifq("lo", queue)
    for wrong in (None, 1.5, b"lo"):
        with pytest.raises(TypeError):
            wide.register_ifq(wrong, 0)  # type: ignore[arg-type]


def test_of_a_closed_ring(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(8, flags=DEFER | SetupFlags.CQE32)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.register_ifq("lo", 0)


def test_receiving_without_a_queue(wide: uring_rs.Ring, pair: Pair) -> None:
    wide.prep_recv_zc(pair[0], 0, user_data="ring")
    cqe = one(wide)
    assert (cqe.user_data, cqe.op, cqe.more) == ("ring", "RECV_ZC", False)
    assert cqe.res == -errno.EINVAL
    wide.push(Sqe.recv_zc(pair[0], 0, 100, user_data="sqe"))
    assert one(wide).res == -errno.EINVAL
    idle(wide)


def test_receiving_on_an_ordinary_ring(ring: uring_rs.Ring, pair: Pair) -> None:
    ring.prep_recv_zc(pair[0], 0)
    assert one(ring).res == -errno.EINVAL


def test_bad_receives(ring: uring_rs.Ring, pair: Pair) -> None:
    for nbytes in (-1, 1 << 32):
        with pytest.raises(ValueError, match="nbytes"):
            ring.prep_recv_zc(pair[0], 0, nbytes)
    for queue in (-1, 1 << 32):
        with pytest.raises(OverflowError):
            ring.prep_recv_zc(pair[0], queue)
    for wrong in (None, "0", 1.5):
        with pytest.raises(TypeError):
            ring.prep_recv_zc(pair[0], wrong)  # type: ignore[arg-type]
    idle(ring)

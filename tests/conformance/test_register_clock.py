"""The clock of waits, and the ring's place in its thread's table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import one

pytestmark = pytest.mark.requires_op("NOP", "TIMEOUT")


def test_waits_keep_time_on_either_clock(ring: uring_rs.Ring) -> None:
    assert ring.clock == "monotonic"
    for clock in ("boottime", "monotonic"):
        ring.register_clock(clock)  # type: ignore[arg-type]
        assert ring.clock == clock
        began = time.monotonic()
        assert ring.wait(timeout=0.02) == 0
        assert time.monotonic() - began >= 0.02


def test_requests_keep_their_own(ring: uring_rs.Ring) -> None:
    ring.register_clock("boottime")
    ring.prep_timeout(0.01, clock="monotonic")
    assert one(ring).op == "TIMEOUT"


def test_bad_clocks(ring: uring_rs.Ring) -> None:
    for wrong in ("realtime", "", "MONOTONIC"):
        with pytest.raises(ValueError, match="clock"):
            ring.register_clock(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.register_clock(1)  # type: ignore[arg-type]
    assert ring.clock == "monotonic"


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.register_clock("boottime")
    assert ring.clock == "monotonic"


def test_a_busy_ring_is_registered_with_its_thread(ring: uring_rs.Ring) -> None:
    assert ring.registered_ring_fd is None
    for _ in range(40):
        ring.prep_nop()
        one(ring)
    if ring.shared:
        assert ring.registered_ring_fd is None
    else:
        assert ring.registered_ring_fd in range(16)
    ring.close()
    assert ring.registered_ring_fd is None


def test_more_rings_than_places() -> None:
    """A thread has 16: the rest goes on by descriptor."""
    found: list[int | None] = []

    def use() -> None:
        rings = [uring_rs.Ring(2) for _ in range(20)]
        for ring in rings:
            for _ in range(20):
                ring.prep_nop()
                one(ring)
        found.extend(ring.registered_ring_fd for ring in rings)
        for ring in rings:
            ring.close()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert sorted(index for index in found if index is not None) == list(range(16))
    assert found.count(None) == 4

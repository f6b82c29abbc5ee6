"""Memory shared with the kernel, and wait arguments in it."""

from __future__ import annotations

import errno
import gc
import signal
import threading
import time
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pipe, one, several
from uring_rs import RegisterOp

pytestmark = pytest.mark.requires_op("NOP", "READ")

PAGE = 4096


@pytest.fixture(autouse=True)
def _regions() -> None:
    with uring_rs.Ring(4) as ring:
        try:
            ring.register_region(1)
        except uring_rs.UnsupportedOperation as error:
            pytest.skip(str(error))


# --- regions


def test_memory(ring: uring_rs.Ring) -> None:
    region = ring.register_region(PAGE + 1)
    assert len(region) % PAGE == 0
    assert len(region) > PAGE
    view = memoryview(region)
    assert (view.readonly, view.nbytes, view.itemsize) == (False, len(region), 1)
    assert not any(view)
    view[-4:] = b"last"
    assert bytes(region)[-4:] == b"last"
    assert repr(region) == f"<MemoryRegion {len(region)} bytes>"


def test_outlives_the_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    region = ring.register_region(PAGE)
    view = memoryview(region)
    del region
    ring.close()
    del ring
    gc.collect()
    view[0] = 7
    assert view[0] == 7


def test_goes_before_the_ring(ring: uring_rs.Ring) -> None:
    ring.register_region(PAGE)
    gc.collect()
    ring.prep_nop()
    assert one(ring).res == 0


def test_one_for_a_ring(ring: uring_rs.Ring) -> None:
    ring.register_region(PAGE)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.register_region(PAGE)
    assert caught.value.errno == errno.EBUSY


def test_bad_sizes(ring: uring_rs.Ring) -> None:
    for wrong in (0, -1, 1 << 40):
        with pytest.raises(ValueError, match="nbytes"):
            ring.register_region(wrong)
    for bad in (None, "1", 1.0):
        with pytest.raises(TypeError):
            ring.register_region(bad)  # type: ignore[arg-type]


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.register_region(PAGE)


# --- wait regions


def test_waits(make_ring: Callable[..., uring_rs.Ring], pipe: Pipe) -> None:
    ring = make_ring(8, wait_region=True)
    began = time.monotonic()
    assert ring.wait(timeout=0.02) == 0
    assert time.monotonic() - began >= 0.02
    ring.prep_nop()
    assert ring.wait(2, timeout=0.01) == 1
    assert ring.pop() is not None
    ring.prep_read(pipe.out, bytearray(4))
    pipe.feed(b"data")
    assert one(ring).res == 4
    with pytest.raises(TimeoutError):
        ring.wait_cqe(timeout=0)


def test_is_the_rings_region(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, wait_region=True)
    with pytest.raises(uring_rs.UringError) as caught:
        ring.register_region(PAGE)
    assert caught.value.errno == errno.EBUSY


def test_many_waiters(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """More threads than a page has places, each with a time of its own."""
    ring = open_ring(8, shared=True, wait_region=True)
    times: list[float] = []

    def wait(seconds: float) -> None:
        began = time.monotonic()
        ring.wait(timeout=seconds)
        times.append(time.monotonic() - began - seconds)

    threads = [threading.Thread(target=wait, args=(0.03 + n / 2000,)) for n in range(80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 80
    assert min(times) >= 0


def test_signals(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """A handler that waits on the same ring meanwhile does not disturb the wait."""
    ring = make_ring(8, wait_region=True)
    inner: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda *_: inner.append(ring.wait(timeout=0.001)))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        began = time.monotonic()
        ring.wait(timeout=0.1)
        assert time.monotonic() - began >= 0.1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert inner == [0]


def test_closing_with_requests_in_flight(
    make_ring: Callable[..., uring_rs.Ring], pipe: Pipe
) -> None:
    ring = make_ring(8, wait_region=True)
    for _ in range(4):
        ring.prep_read(pipe.out, bytearray(4))
    ring.submit()
    ring.close()
    assert [cqe.res for cqe in ring] == [-errno.ECANCELED] * 4


def test_with_restrictions(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """Both are said before the ring is enabled."""
    allowed = uring_rs.Restrictions(register_ops=[], sqe_ops=["NOP"])
    ring = make_ring(8, wait_region=True, restrictions=allowed)
    for _ in range(3):
        ring.prep_nop()
    assert [cqe.res for cqe in several(ring, 3)] == [0, 0, 0]
    assert ring.wait(timeout=0.001) == 0


def test_a_kernel_without() -> None:
    with pytest.raises(uring_rs.UringError) as caught:
        uring_rs.Ring(4, wait_region=True, kernel=uring_rs.SimKernel())
    assert caught.value.errno in (errno.EINVAL, errno.EOPNOTSUPP)


def test_is_known() -> None:
    assert uring_rs.query().has(RegisterOp.MEM_REGION)

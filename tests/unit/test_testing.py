"""uring_rs.testing: rings on a simulated kernel, faults, the leak check."""

from __future__ import annotations

import errno
import gc
import os

import pytest

import uring_rs
from uring_rs import UringError
from uring_rs.testing import Leak, SimKernel, SimRing, leak_check


def read(ring: SimRing, fd: int, size: int = 8) -> int:
    ring.prep_read(fd, bytearray(size), 0)
    (cqe,) = ring.completions(1)
    return cqe.res


def test_a_ring_with_its_kernel() -> None:
    with SimRing(4, seed=7, sq_full="raise") as ring:
        assert isinstance(ring, uring_rs.Ring)
        assert isinstance(ring.kernel, SimKernel)
        assert ring.sq_entries == 4
        assert read(ring, ring.kernel.file("data", b"12345678")) == 8


def test_the_same_seed_does_the_same() -> None:
    def order(seed: int) -> list[object]:
        with SimRing(16, seed=seed) as ring:
            fd = ring.kernel.file("data", bytes(64))
            for number in range(12):
                # Handed to workers, which get to them in an order of their own.
                ring.prep_read(fd, bytearray(8), 0, user_data=number, flags=uring_rs.SqeFlags.ASYNC)
            return [cqe.user_data for cqe in ring.completions(12)]

    orders = [order(seed) for seed in range(8)]
    assert orders == [order(seed) for seed in range(8)]
    assert len(set(map(tuple, orders))) > 1


def test_older_kernels() -> None:
    with SimRing(linux=(5, 11)) as ring:
        assert ring.flags == 0
    with pytest.raises(uring_rs.UringUnavailable, match="came with Linux 5.11") as caught:
        SimRing(linux=(5, 10))
    assert caught.value.cause is uring_rs.Cause.KERNEL_TOO_OLD
    assert "5.11 or newer" in caught.value.hint


def test_two_rings_on_one_kernel() -> None:
    kernel = SimKernel(seed=1)
    with SimRing(kernel=kernel) as one, SimRing(kernel=kernel) as other:
        reader, writer = kernel.pipe()
        into = bytearray(5)
        one.prep_read(reader, into)
        one.submit()
        other.prep_write(writer, b"hello")
        other.submit(wait=1)
        (cqe,) = one.completions(1)
        assert (cqe.result(), into) == (5, b"hello")
    for chosen in ({"seed": 1}, {"linux": (6, 1)}):
        with pytest.raises(TypeError, match="when the kernel is made"):
            SimRing(kernel=kernel, **chosen)  # type: ignore[arg-type]


def test_faults_of_requests() -> None:
    with SimRing() as ring:
        fd = ring.kernel.file("data", b"12345678")
        ring.faults.transfer(3)
        ring.faults.request(errno.EIO, nth=1)
        assert ring.faults.left == 2
        assert [read(ring, fd) for _ in range(3)] == [3, -errno.EIO, 8]
        ring.faults.late(0.5)
        ring.prep_nop()
        assert ring.wait(1, timeout=0.4) == 0
        assert ring.wait(1, timeout=0.2) == 1
        assert ring.faults.left == 0


def test_faults_of_calls() -> None:
    with SimRing() as ring:
        ring.prep_nop()
        ring.faults.enter(errno.EAGAIN)
        with pytest.raises(UringError) as caught:
            ring.submit()
        assert caught.value.cause == uring_rs.Cause.RESOURCES
        # Nothing was lost by it.
        assert ring.submit(wait=1) == 1
        ring.prep_nop()
        ring.prep_nop()
        ring.faults.submit_only(1)
        ring.faults.interrupt(nth=1)
        assert ring.submit(wait=3) == 2
        ring.faults.register(errno.ENOMEM)
        with pytest.raises(UringError):
            ring.buffer_pool(1, 4096)
        ring.faults.setup(errno.EPERM)
        with pytest.raises(uring_rs.UringUnavailable):
            SimRing(kernel=ring.kernel)
        ring.faults.wake_early()
        assert ring.wait(9, timeout=1.0) == 3
        assert ring.faults.left == 0


@pytest.mark.parametrize(("name", "value"), [("request", 0), ("transfer", -1), ("late", -1.0)])
def test_faults_that_make_no_sense(name: str, value: float) -> None:
    with SimRing() as ring, pytest.raises(ValueError, match="must"):
        getattr(ring.faults, name)(value)


def test_no_leak() -> None:
    with SimRing() as ring, leak_check(ring, ring.kernel):
        os.close(os.open("/dev/null", os.O_RDONLY))
        read_end, write_end = ring.kernel.pipe()
        ring.kernel.close(read_end)
        ring.kernel.close(write_end)


def test_descriptors_left_and_gone() -> None:
    with pytest.raises(Leak, match=r"left open: .*-> /dev/null"), leak_check():
        fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(Leak, match=f"did not open: \\[{fd}\\]"), leak_check():
        os.close(fd)


def test_what_the_block_raises_is_told_instead() -> None:
    with pytest.raises(ZeroDivisionError), leak_check():
        fd = os.open("/dev/null", os.O_RDONLY)
        raise ZeroDivisionError
    os.close(fd)


def test_requests_in_flight_are_leaks() -> None:
    with SimRing() as ring:
        reader, _writer = ring.kernel.pipe()
        in_flight = r"1 requests in flight; .*simulated kernel has 1"
        with pytest.raises(Leak, match=in_flight), leak_check(ring, ring.kernel):
            ring.prep_read(reader, bytearray(1))
            ring.submit()
        left = r"simulated descriptors left open: \[\d+\]"
        with pytest.raises(Leak, match=left), leak_check(ring.kernel):
            ring.kernel.file("more")
            ring.prep_cancel_all()
            ring.submit(wait=2)


def test_strays_and_misuse_are_leaks() -> None:
    stray = "1 completions that nobody asked for"
    with SimRing() as ring, pytest.raises(Leak, match=stray), leak_check(ring):
        ring.kernel.fail_request(0, "twice")
        ring.prep_nop()
        ring.submit(wait=1)
        ring.reap()


def test_the_ring_goes_with_its_kernel() -> None:
    ring = SimRing()
    kernel = ring.kernel
    ring.close()
    del ring
    gc.collect()
    assert kernel.open_fds == []

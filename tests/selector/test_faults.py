"""A simulated kernel in which things go wrong: nothing ready is lost, and nothing is made up."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from selector.kit import READ, WRITE, ready
from uring_rs.selectors import UringSelector
from uring_rs.testing import Faults, SimKernel, leak_check

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

SEEDS = range(12)


@contextmanager
def simulated(seed: int, entries: int = 4) -> Iterator[tuple[UringSelector, SimKernel, Faults]]:
    """A selector on a simulated kernel that must not have been misused."""
    kernel = SimKernel(seed)
    with leak_check(kernel), UringSelector(entries, kernel=kernel) as selector:
        assert selector.backend == "io_uring", selector.reason
        yield selector, kernel, Faults(kernel)
        for fd in kernel.open_fds:
            if fd in selector.get_map():
                selector.unregister(fd)
        selector.close()
        for fd in kernel.open_fds:
            kernel.close(fd)


@pytest.mark.parametrize("seed", SEEDS)
def test_level_triggered(seed: int) -> None:
    with simulated(seed) as (selector, kernel, _):
        reader, writer = kernel.pipe()
        selector.register(reader, READ)
        selector.register(writer, WRITE)
        assert ready(selector) == {writer: WRITE}
        kernel.feed(reader, b"xy")
        for _ in range(3):
            assert ready(selector, None) == {reader: READ, writer: WRITE}
        selector.unregister(writer)
        kernel.drain(reader)
        assert ready(selector) == {}
        # Virtual time: an hour passes at once.
        assert ready(selector, 3600) == {}
        kernel.close(writer)
        assert ready(selector, None) == {reader: READ}


@pytest.mark.parametrize(
    "fault", ["EAGAIN", "EBUSY", "ENOMEM", "EINTR", "interrupt", "wake", "short"]
)
@pytest.mark.parametrize("nth", range(4))
def test_enter_fails(fault: str, nth: int) -> None:
    action: int | str | tuple[str, int] = getattr(errno, fault, fault)
    for seed in SEEDS:
        with simulated(seed) as (selector, kernel, _):
            pipes = [kernel.pipe() for _ in range(10)]
            for reader, _ in pipes:
                selector.register(reader, READ)
            kernel.fail_call("enter", nth, ("short", 1) if action == "short" else action)
            for reader, _ in pipes:
                assert ready(selector) == {}
                kernel.feed(reader, b"x")
                assert ready(selector, None) == {reader: READ}
                kernel.drain(reader)
                selector.modify(reader, READ | WRITE)
                selector.modify(reader, READ)
                assert ready(selector, 1) == {}
            for reader, _ in pipes:
                kernel.feed(reader, b"x")
            everything = {reader: READ for reader, _ in pipes}
            assert ready(selector) == everything
            assert kernel.faults_left == 0
            assert selector.backend == "io_uring"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EBUSY])
def test_the_kernel_stays_short(number: int) -> None:
    """Enter fails again and again: what is ready is found all the same."""
    with simulated(1) as (selector, kernel, _):
        reader, _writer = kernel.pipe()
        selector.register(reader, READ)
        for nth in range(12):
            kernel.fail_call("enter", nth, number)
        assert ready(selector) == {}
        kernel.feed(reader, b"x")
        assert ready(selector) == {reader: READ}
        assert ready(selector, None) == {reader: READ}
        kernel.drain(reader)
        assert ready(selector, 0) == {}
        while kernel.faults_left:
            selector.select(0.001)
        kernel.feed(reader, b"x")
        assert ready(selector, None) == {reader: READ}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_late_completion_is_nobodys(seed: int) -> None:
    """The descriptor is unregistered, closed, its number used again, watched again: then the end of
    the first request comes."""
    with simulated(seed) as (selector, kernel, faults):
        faults.late(10.0)
        reader, writer = kernel.pipe()
        selector.register(reader, READ)
        assert ready(selector) == {}
        kernel.feed(reader, b"x")
        selector.unregister(reader)
        kernel.close(reader)
        again, _ = kernel.socketpair()
        assert again == reader
        selector.register(again, READ)
        assert ready(selector) == {}
        kernel.advance(20.0)
        assert ready(selector) == {}
        assert ready(selector, 1.0) == {}
        kernel.feed(again, b"x")
        assert ready(selector, None) == {again: READ}
        kernel.close(writer)


@pytest.mark.parametrize("what", ["twice", "more_after_end", "stranger"])
@pytest.mark.parametrize("seed", SEEDS)
def test_completions_that_nobody_asked_for(what: str, seed: int) -> None:
    with simulated(seed) as (selector, kernel, _):
        reader, _writer = kernel.pipe()
        for nth in range(3):
            # As a poll request's key, of a descriptor and generation that are not there.
            kernel.fail_request(nth, what, 7 << 32 | reader << 8 | 6)
        selector.register(reader, READ)
        for _ in range(4):
            assert ready(selector) == {}
            kernel.feed(reader, b"x")
            assert ready(selector) == {reader: READ}
            assert ready(selector, None) == {reader: READ}
            kernel.drain(reader)


@pytest.mark.parametrize("number", [errno.ECANCELED, errno.ENOMEM, errno.EAGAIN, errno.EINTR])
def test_a_request_fails_for_a_moment(number: int) -> None:
    with simulated(3) as (selector, kernel, faults):
        reader, _writer = kernel.pipe()
        faults.request(number)
        faults.request(number, nth=1)
        selector.register(reader, READ)
        assert ready(selector) == {}
        assert ready(selector, 1.0) == {}
        kernel.feed(reader, b"x")
        assert ready(selector, None) == {reader: READ}
        assert faults.left == 0


def test_a_descriptor_that_cannot_be_polled_for() -> None:
    """Files with many wait queues: the kernel refuses the request, and epoll takes over."""
    kernel = SimKernel(5)
    with UringSelector(kernel=kernel) as selector:
        reader, _ = kernel.pipe()
        selector.register(reader, READ)
        Faults(kernel).request(errno.EINVAL)
        assert selector.select(0) == []
        assert selector.backend == "epoll"
        assert f"descriptor {reader}" in selector.reason
        assert reader in selector.get_map()
        selector.unregister(reader)
    assert not kernel.violations


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.EMFILE])
def test_setup_is_refused(number: int) -> None:
    kernel = SimKernel(1)
    for nth in range(30):
        Faults(kernel).setup(number, nth=nth)
    with UringSelector(kernel=kernel) as selector:
        assert selector.backend == "epoll"
        assert selector.reason


@pytest.mark.parametrize("linux", [(5, 11), (5, 13), (5, 19), (6, 1), (6, 18)])
def test_older_kernels(linux: tuple[int, int]) -> None:
    for seed in SEEDS:
        kernel = SimKernel(seed, linux=linux)
        with leak_check(kernel), UringSelector(4, kernel=kernel) as selector:
            assert selector.backend == "io_uring", selector.reason
            pipes = [kernel.pipe() for _ in range(20)]
            for reader, writer in pipes:
                selector.register(reader, READ)
                selector.register(writer, WRITE)
            writable = {writer: WRITE for _, writer in pipes}
            assert ready(selector) == writable
            for _, writer in pipes:
                selector.unregister(writer)
            for reader, _ in pipes:
                kernel.feed(reader, b"x")
            assert ready(selector) == {reader: READ for reader, _ in pipes}
            for reader, writer in pipes:
                kernel.drain(reader)
                kernel.close(writer)
            assert ready(selector, None) == {reader: READ for reader, _ in pipes}
            for reader, _ in pipes:
                selector.unregister(reader)
            selector.close()
            for reader, _ in pipes:
                kernel.close(reader)

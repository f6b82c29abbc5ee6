"""What `selectors` says of every selector, and what is particular to descriptors."""

from __future__ import annotations

import errno
import os
import select
import selectors
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator

import pytest

import uring_rs
from selector.kit import READ, WRITE, enters, on_ring, pairs, pipe, ready
from uring_rs.selectors import UringSelector


@pytest.fixture(params=["io_uring", "epoll"])
def selector(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[UringSelector]:
    """On a ring, and where rings are refused."""
    if request.param == "epoll":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    with UringSelector() as made:
        assert made.backend == request.param, made.reason
        assert bool(made.reason) is (request.param == "epoll")
        yield made


@pytest.fixture
def standard() -> Iterator[selectors.EpollSelector]:
    with selectors.EpollSelector() as made:
        yield made


def outcome(call: object, *args: object) -> object:
    """What a call returns, or the type and errno of what it raises."""
    try:
        return call(*args)  # type: ignore[operator]
    except Exception as error:
        return type(error), getattr(error, "errno", None)


def test_the_same_objections(selector: UringSelector, standard: selectors.EpollSelector) -> None:
    closed = os.dup(0)
    os.close(closed)
    with tempfile.TemporaryFile() as regular, open("/dev/null") as null, pairs(1) as [(one, other)]:
        for each in (selector, standard):
            each.register(other, READ)
        for bad in (regular, null, closed, -1, "x", None, 3.5, 1 << 22):
            for call in ("register", "modify"):
                args = (bad, READ)
                ours = outcome(getattr(selector, call), *args)
                assert ours == outcome(getattr(standard, call), *args), (call, bad)
            for call in ("unregister", "get_key"):
                ours = outcome(getattr(selector, call), bad)
                assert ours == outcome(getattr(standard, call), bad), (call, bad)
        for events in (0, 4, -1, 1 << 20, "r", None):
            assert outcome(selector.register, one, events) == outcome(
                standard.register, one, events
            )
        for timeout in ("x", float("nan"), float("inf"), 1e300, [1]):
            ours = outcome(selector.select, timeout)
            assert isinstance(ours, tuple), ours
            assert issubclass(ours[0], (TypeError, ValueError, OverflowError))
        assert dict(selector.get_map()) == dict(standard.get_map())


def test_one_descriptor_by_two_names(selector: UringSelector) -> None:
    with pairs(1) as [(one, _)]:
        key = selector.register(one, READ, "data")
        with pytest.raises(KeyError, match="already registered"):
            selector.register(one.fileno(), WRITE)
        assert selector.get_key(one.fileno()) == key
        assert selector.get_map()[one] == key
        assert selector.unregister(one.fileno()) == key
        # Another number for the same file is another registration.
        with one.dup() as same:
            selector.register(one, WRITE)
            selector.register(same, WRITE)
            assert ready(selector) == {one.fileno(): WRITE, same.fileno(): WRITE}


def test_modify(selector: UringSelector) -> None:
    with pairs(1) as [(one, other)]:
        selector.register(one, READ, "a")
        assert ready(selector) == {}
        assert selector.modify(one, READ | WRITE, "b").data == "b"
        assert ready(selector) == {one.fileno(): WRITE}
        other.send(b"x")
        assert ready(selector) == {one.fileno(): READ | WRITE}
        selector.modify(one, READ, "c")
        assert [(key.data, mask) for key, mask in selector.select(0)] == [("c", READ)]
        same = selector.get_key(one)
        assert selector.modify(one, READ, "c") is same
        one.recv(1)
        assert ready(selector) == {}
        with pytest.raises(ValueError, match="Invalid events"):
            selector.modify(one, 0)
        with pytest.raises(KeyError):
            selector.modify(other, READ)


def test_a_failed_modify_unregisters(selector: UringSelector) -> None:
    with pipe() as (reader, writer):
        selector.register(writer, WRITE)
        os.close(writer)
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            selector.modify(writer, READ)
        assert caught.value.errno == errno.EBADF
        assert writer not in selector.get_map()
        selector.register(reader, READ)
        with pipe() as (other, _):
            # The number is another file's now.
            os.dup2(other, reader)
            with pytest.raises(FileNotFoundError):
                selector.modify(reader, READ | WRITE)
            os.close(reader)


def test_level_triggered(selector: UringSelector) -> None:
    with pairs(2) as [(one, other), (idle, _)]:
        selector.register(one, READ)
        selector.register(idle, READ)
        assert ready(selector) == {}
        other.send(b"xyz")
        for _ in range(5):
            assert ready(selector, None) == {one.fileno(): READ}
        one.recv(2)
        assert ready(selector, 1) == {one.fileno(): READ}
        one.recv(2)
        assert ready(selector) == {}
        assert ready(selector, 0.001) == {}


def test_what_was_read_meanwhile_is_not_reported(selector: UringSelector) -> None:
    with pairs(1) as [(one, other)]:
        selector.register(one, READ)
        assert ready(selector) == {}
        for _ in range(10):
            other.send(b"x")
            one.recv(1)
            assert ready(selector) == {}
            other.send(b"x")
            assert ready(selector) == {one.fileno(): READ}
            one.recv(1)


def test_a_full_pipe(selector: UringSelector) -> None:
    with pipe() as (reader, writer):
        selector.register(writer, WRITE)
        selector.register(reader, READ)
        assert ready(selector) == {writer: WRITE}
        filled = 0
        with pytest.raises(BlockingIOError):
            while True:
                filled += os.write(writer, bytes(65536))
        assert ready(selector) == {reader: READ}
        while filled:
            filled -= len(os.read(reader, 1 << 20))
        assert ready(selector) == {writer: WRITE}


def test_the_end_of_a_pipe(selector: UringSelector) -> None:
    with pipe() as (reader, writer):
        selector.register(reader, READ)
        assert ready(selector) == {}
        os.close(writer)
        assert ready(selector, 5) == {reader: READ}
        selector.unregister(reader)
    with pipe() as (reader, writer):
        selector.register(writer, WRITE)
        os.close(reader)
        assert ready(selector) == {writer: WRITE}
        selector.unregister(writer)


def test_unregistering_lets_go_of_the_file(selector: UringSelector) -> None:
    """What is closed after it was unregistered is closed for its peer, too."""
    for known in (False, True):
        with pipe() as (reader, writer):
            selector.register(reader, READ)
            selector.register(writer, READ)
            if known:
                assert ready(selector) == {}
            selector.unregister(writer)
            os.close(writer)
            assert select.select([reader], [], [], 0)[0] == [reader]
            selector.unregister(reader)


def test_closing_lets_go_of_the_files(selector: UringSelector) -> None:
    with pairs(100) as made:
        for one, _ in made:
            selector.register(one, READ)
        assert ready(selector) == {}
        selector.close()
        for one, other in made:
            one.close()
            assert other.recv(1) == b""


def test_a_reused_number_is_a_new_descriptor(selector: UringSelector) -> None:
    """Late news of what was closed is never taken for news of what has its number now."""
    with pairs(8) as made:
        numbers = [one.fileno() for one, _ in made]
        for one, _ in made:
            selector.register(one, READ)
        assert ready(selector) == {}
        for one, other in made:
            # Its request ends, and nobody has seen it yet.
            other.send(b"x")
            selector.unregister(one)
            one.close()
        with pairs(8) as new:
            again = [one for one, _ in new if one.fileno() in numbers]
            assert again
            for one in again:
                selector.register(one, READ)
            assert ready(selector) == {}
            assert ready(selector, 0.001) == {}
            for _, other in new:
                other.send(b"x")
            assert ready(selector, 1) == {one.fileno(): READ for one in again}
            for one in again:
                selector.unregister(one)


def test_closed_without_unregistering(selector: UringSelector) -> None:
    with pairs(2) as [(one, other), (two, _)]:
        selector.register(one, READ)
        selector.register(two, READ)
        assert ready(selector) == {}
        fd = one.fileno()
        one.close()
        with pytest.raises((BrokenPipeError, BlockingIOError)):
            # On a ring the file is open until its request has ended.
            while True:
                other.send(bytes(1000))
        assert ready(selector) == {}
        assert ready(selector, 0.001) == {}
        assert selector.unregister(one).fd == fd
        with pytest.raises(ValueError, match="Invalid file descriptor"):
            selector.unregister(one)


def test_half_closed_while_nothing_can_be_sent() -> None:
    """The kernel adds POLLRDHUP to what a request waits for; nobody asked for it."""
    with on_ring() as selector, pairs(1) as [(one, other)]:
        with pytest.raises(BlockingIOError):
            while True:
                one.send(bytes(65536))
        other.shutdown(socket.SHUT_WR)
        selector.register(one, WRITE)
        assert ready(selector) == {}
        before = enters(selector)
        assert ready(selector, 0.01) == {}
        assert ready(selector, 0.01) == {}
        assert enters(selector) - before <= 8, "it spins"
        selector.modify(one, READ | WRITE)
        assert ready(selector) == {one.fileno(): READ}
        selector.modify(one, WRITE)
        assert ready(selector) == {}

        def drain() -> None:
            with pytest.raises(BlockingIOError):
                while True:
                    other.recv(1 << 20)

        drainer = threading.Thread(target=drain)
        drainer.start()
        for _ in range(3):
            assert ready(selector, 5) == {one.fileno(): WRITE}
        drainer.join()


def test_eventfd_timerfd_and_selectors_in_selectors(selector: UringSelector) -> None:
    counter = os.eventfd(0, os.EFD_NONBLOCK)
    with selectors.EpollSelector() as inner, pairs(1) as [(one, other)]:
        inner.register(one, READ)
        selector.register(counter, READ)
        selector.register(inner, READ)
        assert ready(selector) == {}
        os.eventfd_write(counter, 1)
        assert ready(selector, 1) == {counter: READ}
        other.send(b"x")
        assert ready(selector, 1) == {counter: READ, inner.fileno(): READ}
        os.eventfd_read(counter)
        assert ready(selector) == {inner.fileno(): READ}
        selector.unregister(inner)
    os.close(counter)


def test_closed(selector: UringSelector) -> None:
    with pairs(1) as [(one, other)]:
        selector.register(one, READ)
        mapping = selector.get_map()
        selector.close()
        selector.close()
        assert selector.get_map() is None  # type: ignore[comparison-overlap]
        assert len(mapping) == 0
        with pytest.raises(RuntimeError, match="closed"):
            selector.get_key(one)
        with pytest.raises(ValueError, match="closed"):
            selector.select(0)
        with pytest.raises(ValueError, match="closed"):
            selector.register(other, READ)
        with pytest.raises(KeyError):
            selector.unregister(one)


def test_timeouts_are_not_cut_short(selector: UringSelector) -> None:
    with pairs(1) as [(one, _)]:
        selector.register(one, READ)
        for timeout in (0.0001, 0.0007, 0.0203):
            began = time.monotonic()
            assert ready(selector, timeout) == {}
            assert time.monotonic() - began >= timeout
        assert ready(selector, -1) == {}


class Stop(Exception):
    """What a handler raises."""


def test_a_signal_whose_handler_raises(selector: UringSelector) -> None:
    def handler(number: int, frame: object) -> None:
        raise Stop

    with pairs(1) as [(one, other)]:
        selector.register(one, READ)
        old = signal.signal(signal.SIGALRM, handler)
        try:
            with pytest.raises(Stop):
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                selector.select()
        finally:
            signal.signal(signal.SIGALRM, old)
        other.send(b"x")
        assert ready(selector, 5) == {one.fileno(): READ}


def test_a_signal_whose_handler_does_not_raise(selector: UringSelector) -> None:
    seen: list[int] = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)
        if len(seen) == 3:
            other.send(b"x")
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    with pairs(1) as [(one, other)]:
        selector.register(one, READ)
        old = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        try:
            assert ready(selector, None) == {one.fileno(): READ}
        finally:
            signal.signal(signal.SIGALRM, old)
        assert len(seen) == 3


def test_entries() -> None:
    with pytest.raises(uring_rs.ZeroEntries):
        UringSelector(0)
    with pytest.raises(uring_rs.TooManyEntries):
        UringSelector(1 << 20)
    with pytest.raises(ValueError, match="negative"):
        UringSelector(-1)
    with pytest.raises(TypeError):
        UringSelector("many")  # type: ignore[arg-type]


def test_collected_without_close() -> None:
    selector = on_ring()
    with pairs(3) as made:
        for one, _ in made:
            selector.register(one, READ, selector)
        assert ready(selector) == {}
        # A cycle through the key; the fixture finds the ring's descriptor if it stays.
        del selector


def test_steady_state_enters_once() -> None:
    """One system call of the ring's for each `select`, whatever changes in between."""
    with on_ring() as selector, pairs(20) as made:
        for one, _ in made:
            selector.register(one, READ)
        assert ready(selector) == {}
        before = enters(selector)
        for turn in range(50):
            one, other = made[turn % 20]
            for idle, _ in made[:5]:
                selector.modify(idle, READ | WRITE)
                selector.modify(idle, READ)
            other.send(b"x")
            assert ready(selector, None) == {one.fileno(): READ}
            one.recv(1)
        assert enters(selector) - before <= 2 * 50

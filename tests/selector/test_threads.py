"""One thread selects, others register, modify, unregister, close; and threads that take turns."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from selector.kit import READ, WRITE, enters, on_ring, pairs, ready
from uring_rs.selectors import UringSelector


class Selecting:
    """A thread in `select`, for which this waits until it has begun to."""

    def __init__(self, selector: UringSelector) -> None:
        self.outcome: object = None
        self.selector = selector
        before = enters(selector)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        while enters(selector) == before:
            os.sched_yield()

    def _run(self) -> None:
        try:
            self.outcome = ready(self.selector, 20)
        except BaseException as error:
            self.outcome = error

    def result(self) -> object:
        self.thread.join()
        return self.outcome


def test_registering_while_another_thread_waits() -> None:
    with on_ring() as selector, pairs(3) as made:
        idle = made[0][0]
        selector.register(idle, READ)
        for one, _ in made[1:]:
            waiting = Selecting(selector)
            selector.register(one, WRITE)
            assert waiting.result() == {one.fileno(): WRITE}
            selector.unregister(one)
        waiting = Selecting(selector)
        selector.modify(idle, READ | WRITE)
        assert waiting.result() == {idle.fileno(): WRITE}


def test_unregistering_while_another_thread_waits() -> None:
    with on_ring() as selector, pairs(2) as [(one, other), (two, three)]:
        selector.register(one, READ)
        selector.register(two, READ)
        waiting = Selecting(selector)
        selector.unregister(one)
        other.send(b"x")
        three.send(b"x")
        assert waiting.result() == {two.fileno(): READ}


def test_the_file_is_let_go_of_by_the_waiting_thread() -> None:
    with on_ring() as selector, pairs(2) as [(one, other), (two, three)]:
        selector.register(one, READ)
        selector.register(two, READ)
        waiting = Selecting(selector)
        selector.unregister(one)
        one.close()
        other.setblocking(True)
        assert other.recv(1) == b""
        three.send(b"x")
        assert waiting.result() == {two.fileno(): READ}


def test_closing_while_another_thread_waits() -> None:
    with on_ring() as selector, pairs(1) as [(one, _)]:
        selector.register(one, READ)
        waiting = Selecting(selector)
        selector.close()
        assert isinstance(waiting.result(), ValueError)


def test_two_threads_select_at_once() -> None:
    with on_ring() as selector, pairs(2) as [(one, other), (two, _)]:
        selector.register(one, READ)
        waiting = Selecting(selector)
        assert ready(selector) == {}
        assert ready(selector, 0.001) == {}
        selector.register(two, WRITE)
        assert ready(selector, None) == {two.fileno(): WRITE}
        assert waiting.result() == {two.fileno(): WRITE}
        selector.unregister(two)
        waiting = Selecting(selector)
        other.send(b"x")
        assert ready(selector, None) == {one.fileno(): READ}
        assert waiting.result() == {one.fileno(): READ}


def test_two_threads_select_in_turn_and_at_once() -> None:
    """Each takes over from the other, in the middle of its wait or not; both find what is there."""
    with on_ring() as selector, pairs(8) as made:
        for one, _ in made:
            selector.register(one, READ)
        one, other = made[0]
        failures: list[BaseException] = []

        def loop() -> None:
            try:
                for _ in range(300):
                    assert ready(selector, 0.0001) in ({}, {one.fileno(): READ})
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=loop) for _ in range(3)]
        for thread in threads:
            thread.start()
        other.send(b"x")
        for thread in threads:
            thread.join()
        assert not failures, failures
        assert selector.backend == "io_uring", selector.reason
        assert ready(selector, None) == {one.fileno(): READ}


def test_a_handler_that_selects() -> None:
    """What it was told is told to the interrupted call as well: it is still so."""
    with on_ring() as selector, pairs(1) as [(one, other)]:
        selector.register(one, READ)
        inner: list[object] = []

        def handler(number: int, frame: object) -> None:
            other.send(b"x")
            inner.append(ready(selector))

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            assert ready(selector, None) == {one.fileno(): READ}
        finally:
            signal.signal(signal.SIGALRM, old)
        assert inner == [{one.fileno(): READ}]


def in_thread(work: Callable[[], object]) -> object:
    """What `work` returns, in a thread of its own that ends then."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_threads_take_turns() -> None:
    """Each of them has ended when the next comes: the kernel has cancelled what it armed."""
    with on_ring() as selector, pairs(4) as made:
        for one, _ in made:
            selector.register(one, READ)
        for one, other in made * 3:
            assert in_thread(lambda: ready(selector)) == {}
            other.send(b"x")
            assert in_thread(lambda: ready(selector, None)) == {one.fileno(): READ}
            one.recv(1)
            assert ready(selector) == {}
        # Unregistered by another thread than the one whose ring it is on.
        one, other = made[0]
        assert ready(selector) == {}
        in_thread(lambda: selector.unregister(one))
        other.send(b"x")
        assert ready(selector) == {}
        assert in_thread(lambda: ready(selector)) == {}


def test_made_used_and_closed_in_different_threads() -> None:
    selector = in_thread(on_ring)
    assert isinstance(selector, UringSelector)
    with pairs(1) as [(one, other)]:
        selector.register(one, READ)
        assert in_thread(lambda: ready(selector)) == {}
        other.send(b"x")
        assert ready(selector, None) == {one.fileno(): READ}
        in_thread(selector.close)
        one.close()
        # Closed in another thread than the one it was armed by: let go of when the kernel gets to
        # it. The other side may still have the unread byte reported as a reset.
        other.setblocking(True)
        with pytest.raises(ConnectionResetError):
            other.recv(1)


def test_many_threads_change_what_one_waits_for() -> None:
    """Churn: nothing crashes, and what is ready in the end is reported."""
    with on_ring(8) as selector, pairs(40) as made:
        stop = threading.Event()

        def churn(part: int) -> None:
            mine = made[part::4]
            for turn in range(150):
                one, other = mine[turn % len(mine)]
                selector.register(one, WRITE if turn % 3 == 0 else READ)
                if turn % 2:
                    selector.modify(one, READ | WRITE)
                other.send(b"x")
                one.recv(1)
                selector.unregister(one)

        def loop() -> None:
            while not stop.is_set():
                selector.select(0.01)

        looping = threading.Thread(target=loop)
        looping.start()
        churning = [threading.Thread(target=churn, args=(part,)) for part in range(4)]
        for thread in churning:
            thread.start()
        for thread in churning:
            thread.join()
        stop.set()
        looping.join()
        for one, other in made:
            selector.register(one, READ)
            other.send(b"x")
        assert ready(selector, None) == {one.fileno(): READ for one, _ in made}

"""A selector against what poll(2) says, through everything that is done to descriptors."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from selector.kit import READ, WRITE, on_ring, ready
from uring_rs.selectors import UringSelector

EVENTS = st.sampled_from([READ, WRITE, READ | WRITE])
MOST = 12


def truth(fds: dict[int, int]) -> dict[int, int]:
    """What a level-triggered selector must say, by a fresh one each time."""
    with selectors.EpollSelector() as fresh:
        for fd, events in fds.items():
            fresh.register(fd, events)
        said = {key.fd: mask for key, mask in fresh.select(0)}
    poll = select.poll()
    for fd, events in fds.items():
        wanted = select.POLLIN if events & READ else 0
        poll.register(fd, wanted | (select.POLLOUT if events & WRITE else 0))
    assert {fd for fd, _ in poll.poll(0)} == set(said)
    return said


class Machine(RuleBasedStateMachine):
    """Descriptors that are made, used, watched, closed, and whose numbers are used again."""

    def __init__(self) -> None:
        super().__init__()
        self.selector: UringSelector = self.make()
        self.open: list[int] = []
        self.watched: dict[int, int] = {}

    def make(self) -> UringSelector:
        return on_ring(4)

    def teardown(self) -> None:
        self.selector.close()
        for fd in self.open:
            os.close(fd)

    def pick(self, number: int, among: list[int]) -> int:
        return among[number % len(among)]

    @precondition(lambda self: len(self.open) < MOST)
    @rule(pipe=st.booleans())
    def make_pair(self, pipe: bool) -> None:
        if pipe:
            self.open += os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            return
        for end in socket.socketpair():
            end.setblocking(False)
            self.open.append(end.detach())

    @precondition(lambda self: len(self.watched) < len(self.open))
    @rule(number=st.integers(0, MOST), events=EVENTS)
    def register(self, number: int, events: int) -> None:
        fd = self.pick(number, [fd for fd in self.open if fd not in self.watched])
        self.selector.register(fd, events, events)
        self.watched[fd] = events

    @precondition(lambda self: self.watched)
    @rule(number=st.integers(0, MOST), events=EVENTS)
    def modify(self, number: int, events: int) -> None:
        fd = self.pick(number, list(self.watched))
        self.selector.modify(fd, events, events)
        self.watched[fd] = events

    @precondition(lambda self: self.watched)
    @rule(number=st.integers(0, MOST))
    def unregister(self, number: int) -> None:
        fd = self.pick(number, list(self.watched))
        self.selector.unregister(fd)
        del self.watched[fd]

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0, MOST))
    def close(self, number: int) -> None:
        fd = self.pick(number, self.open)
        if self.watched.pop(fd, None):
            self.selector.unregister(fd)
        os.close(fd)
        self.open.remove(fd)

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0, MOST), full=st.booleans())
    def write(self, number: int, full: bool) -> None:
        fd = self.pick(number, self.open)
        # The wrong end of a pipe, one without a reader, one that is full.
        with contextlib.suppress(OSError):
            os.write(fd, b"x")
            while full:
                os.write(fd, bytes(4096))

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0, MOST), most=st.sampled_from([1, 1 << 20]))
    def read(self, number: int, most: int) -> None:
        fd = self.pick(number, self.open)
        with contextlib.suppress(OSError):
            while os.read(fd, most) and most > 1:
                pass

    @precondition(lambda self: self.open)
    @rule(number=st.integers(0, MOST), how=st.sampled_from([0, 1, 2]))
    def shutdown(self, number: int, how: int) -> None:
        fd = self.pick(number, self.open)
        if not os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as end:
            end.shutdown(how)

    @rule(timeout=st.sampled_from([0, 0.0001]))
    def select(self, timeout: float) -> None:
        said = {}
        for key, mask in self.selector.select(timeout):
            assert key.fd not in said
            assert key.data == key.events == self.watched[key.fd]
            said[key.fd] = mask
        assert said == truth(self.watched)

    @precondition(lambda self: truth(self.watched))
    @rule()
    def wait(self) -> None:
        assert ready(self.selector, None) == truth(self.watched)

    @invariant()
    def mapped(self) -> None:
        assert {fd: key.events for fd, key in self.selector.get_map().items()} == self.watched


class Fallback(Machine):
    """The same where a ring is refused, or is lost in the middle."""

    def make(self) -> UringSelector:
        return UringSelector(4)

    @rule()
    def lose_the_ring(self) -> None:
        self.selector._fall_back("for the test")


TestMachine = pytest.mark.timeout(120)(Machine.TestCase)
TestMachine.settings = settings(max_examples=60, stateful_step_count=30)
TestFallback = Fallback.TestCase
TestFallback.settings = settings(max_examples=12, stateful_step_count=25)

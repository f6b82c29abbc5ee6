"""Whatever is done to a queue, a model of it knows what comes back."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import uring_rs
from helpers.queueworlds import BLOCK, BLOCKS, SimWorld, ThreadWorld, World, supported
from uring_rs import IoOp

DEPTH = 6
places = st.integers(0, BLOCKS - 1)


class Request:
    """What the model knows of a request."""

    def __init__(self, op: IoOp, fd: int, block: int, buffers: list[bytearray]) -> None:
        self.op, self.fd, self.block, self.buffers = op, fd, block, buffers
        self.sent = b"".join(buffers)
        self.handle = 0
        self.asked = False

    def read(self) -> bytes:
        """What its buffers hold."""
        return b"".join(self.buffers)

    def locked(self) -> bool:
        """Whether every buffer is locked; none of them may be in between."""
        states = {is_locked(buffer) for buffer in self.buffers}
        assert len(states) == 1
        return states.pop()


class Fixed(Request):
    """A request on a part of a registered buffer."""

    def __init__(self, op: IoOp, fd: int, block: int, part: memoryview) -> None:
        super().__init__(op, fd, block, [])
        self.part = part
        self.sent = bytes(part)

    def read(self) -> bytes:
        return bytes(self.part)


def is_locked(buffer: bytearray) -> bool:
    try:
        buffer.append(0)
    except BufferError:
        return True
    del buffer[-1]
    return False


class QueueMachine(RuleBasedStateMachine):
    """Prepare, commit, wait, wake, cancel: nothing lost, nothing twice, nothing torn."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: set[int] = set()
        self.prepared: list[Request] = []
        self.out: dict[int, Request] = {}
        self.model: dict[int, list[bytes | None]] = {}
        self.rung = False
        self.faults = 0

    def make_world(self, seed: int) -> World:
        return World()

    @initialize(registered=st.booleans(), seed=st.integers(0, 999))
    def begin(self, registered: bool, seed: int) -> None:
        self.world = self.make_world(seed)
        self.queue = self.world.queue(DEPTH, files=2, registered_buffers=2 if registered else 0)
        for _ in range(2):
            fd = self.world.file()
            self.model[fd] = [bytes(BLOCK)] * BLOCKS
        self.queue.register(fd)
        self.registered.add(fd)

    def all(self) -> list[Request]:
        return [*self.prepared, *self.out.values()]

    def watch(self) -> None:
        """From here on, faults that happen are those of the call that follows."""
        self.faults = self.world.faults_left()

    def faults_happened(self) -> bool:
        """Whether a planned fault happened since `watch`."""
        return self.world.faults_left() < self.faults

    # Files

    @rule(which=st.integers(0, 1))
    def register(self, which: int) -> None:
        fd = sorted(self.model)[which]
        self.watch()
        try:
            self.queue.register(fd)
        except ValueError:
            assert fd in self.registered
        except OSError:
            assert self.faults_happened()
        else:
            assert fd not in self.registered
            self.registered.add(fd)

    @rule(which=st.integers(0, 1))
    def deregister(self, which: int) -> None:
        fd = sorted(self.model)[which]
        self.watch()
        try:
            self.queue.deregister(fd)
        except ValueError:
            assert any(request.fd == fd for request in self.all())
        except KeyError:
            assert fd not in self.registered
        except OSError:
            assert self.faults_happened()
        else:
            assert fd in self.registered
            assert not any(request.fd == fd for request in self.prepared)
            self.registered.remove(fd)

    # Requests

    def prepare(self, request: Request, offset: int | None, argument: Any) -> None:
        try:
            request.handle = self.queue.prepare(request.op, request.fd, offset, argument, request)
        except KeyError:
            assert request.fd not in self.registered
            return
        except uring_rs.SubmissionQueueFull:
            assert len(self.all()) == DEPTH
            return
        assert request.fd in self.registered
        assert len(self.all()) < DEPTH
        assert request.handle not in {other.handle for other in self.all()}
        self.prepared.append(request)

    def is_free(self, fd: int, block: int) -> bool:
        busy = ((r.fd, r.block) for r in self.all() if r.op not in (IoOp.SYNC, IoOp.DATASYNC))
        return (fd, block) not in set(busy)

    @rule(
        which=st.integers(0, 1),
        block=places,
        write=st.booleans(),
        fill=st.integers(1, 255),
        pieces=st.integers(0, 3),
    )
    def transfer(self, which: int, block: int, write: bool, fill: int, pieces: int) -> None:
        fd = sorted(self.model)[which]
        if not self.is_free(fd, block):
            return
        half = BLOCK // 2
        lengths = [[BLOCK], [BLOCK], [half, half], [half, 0, half]][pieces]
        buffers = [bytearray([fill] * length) for length in lengths]
        request = Request(IoOp.WRITE if write else IoOp.READ, fd, block, buffers)
        self.prepare(request, block * BLOCK, buffers if pieces else buffers[0])

    @rule(which=st.integers(0, 1), block=places, write=st.booleans(), view=st.integers(0, 1))
    def transfer_registered(self, which: int, block: int, write: bool, view: int) -> None:
        fd = sorted(self.model)[which]
        if not self.queue.buffers or not self.is_free(fd, block):
            return
        used = {r.block for r in self.all() if isinstance(r, Fixed)}
        if block in used:
            return
        part = memoryview(self.queue.buffers[view])[block * BLOCK : (block + 1) * BLOCK]
        request = Fixed(IoOp.WRITE if write else IoOp.READ, fd, block, part)
        self.prepare(request, block * BLOCK, part)

    @rule(which=st.integers(0, 1), data_only=st.booleans())
    def sync(self, which: int, data_only: bool) -> None:
        fd = sorted(self.model)[which]
        self.prepare(Request(IoOp.DATASYNC if data_only else IoOp.SYNC, fd, 0, []), None, None)

    @rule(which=st.integers(0, 1), block=places)
    def discard(self, which: int, block: int) -> None:
        fd = sorted(self.model)[which]
        if self.is_free(fd, block):
            self.prepare(Request(IoOp.DISCARD, fd, block, []), block * BLOCK, BLOCK)

    @rule()
    def commit(self) -> None:
        self.watch()
        try:
            taken = self.queue.commit()
        except OSError:
            assert self.faults_happened()
            taken = 0
        assert 0 <= taken <= len(self.prepared)
        if taken < len(self.prepared):
            assert self.faults_happened()
        for request in self.prepared[:taken]:
            self.out[request.handle] = request
        del self.prepared[:taken]
        assert self.queue.prepared == len(self.prepared)
        assert self.queue.in_flight <= len(self.out)

    # Completions

    def collect(self, completions: uring_rs.IoCompletions) -> None:
        for done in completions:
            request = done.user
            assert done.request == request.handle
            assert self.out.pop(done.request) is request, "handed out twice, or never committed"
            if request.buffers:
                assert not request.locked()
            self.account(request, done)

    def account(self, request: Request, done: uring_rs.IoCompletion) -> None:
        blocks = self.model[request.fd]
        if done.res < 0:
            assert done.error is not None
            assert done.error.errno == -done.res
            assert done.transferred == 0
            if done.res == -errno.ECANCELED:
                assert request.asked
            if request.op in (IoOp.WRITE, IoOp.DISCARD):
                blocks[request.block] = None
            return
        assert done.success
        assert done.result() == done.transferred == done.res
        if request.op == IoOp.DISCARD:
            blocks[request.block] = bytes(BLOCK)
        elif request.op == IoOp.WRITE:
            old = blocks[request.block]
            whole = done.res == len(request.sent) == BLOCK
            rest = old[done.res :] if old is not None else None
            known = whole or rest is not None
            blocks[request.block] = request.sent[: done.res] + (rest or b"") if known else None
        elif request.op == IoOp.READ:
            self.check_read(request, done.res)

    def check_read(self, request: Request, count: int) -> None:
        expected = self.model[request.fd][request.block]
        if expected is not None:
            assert request.read()[:count] == expected[:count]

    @rule(short=st.booleans())
    def look(self, short: bool) -> None:
        self.wait(0, 1 if short else None)

    @rule(count=st.integers(1, DEPTH))
    def wait_for_some(self, count: int) -> None:
        # What is out depends on the machine's speed, what is drawn must not.
        if self.out:
            self.wait(min(count, len(self.out)), None)

    def wait(self, least: int, most: int | None) -> None:
        self.watch()
        try:
            done = self.queue.wait(least, most)
        except OSError:
            assert self.faults_happened()
            return
        if not self.faults_happened():
            assert done.interrupted == self.rung
        else:
            assert self.rung or not done.interrupted
        assert done.interrupted or least <= len(done)
        assert most is None or len(done) <= most
        self.rung = self.rung and not done.interrupted
        self.collect(done)

    @rule(outside=st.booleans(), times=st.integers(1, 3))
    def wakeup(self, outside: bool, times: int) -> None:
        for _ in range(times):
            if outside:
                self.world.ring_from_outside(self.queue)
            else:
                self.queue.wakeup()
        self.rung = True

    @rule(which=st.integers(0, DEPTH - 1))
    def cancel(self, which: int) -> None:
        if not self.all():
            return
        request = self.all()[which % len(self.all())]
        self.watch()
        try:
            stopped = self.queue.cancel(request.handle)
        except OSError:
            assert self.faults_happened()
            request.asked = True
            return
        request.asked = True
        if request in self.prepared:
            assert stopped
            self.prepared.remove(request)
            self.out[request.handle] = request

    @rule(handle=st.integers(0, 2**64 - 1))
    def cancel_what_is_not_there(self, handle: int) -> None:
        if handle not in {request.handle for request in self.all()}:
            assert not self.queue.cancel(handle)

    @rule()
    def cancel_all(self) -> None:
        self.watch()
        try:
            count = self.queue.cancel_all()
        except OSError:
            assert self.faults_happened()
        else:
            assert len(self.prepared) <= count <= len(self.all())
        for request in self.all():
            request.asked = True
        for request in self.prepared:
            self.out[request.handle] = request
        self.prepared.clear()

    @invariant()
    def what_is_not_collected_is_locked(self) -> None:
        for request in self.all():
            if request.buffers:
                assert request.locked()

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        self.queue.close()
        for request in self.all():
            request.asked = True
            self.out[request.handle] = request
            assert not request.buffers or not request.locked()
        if self.out:
            self.collect(self.queue.wait())
        assert self.out == {}
        with pytest.raises(uring_rs.RingClosed):
            self.queue.wait(0)
        for fd, blocks in self.model.items():
            found = self.world.contents(fd)
            for at, block in enumerate(blocks):
                if block is not None:
                    assert found[at * BLOCK : (at + 1) * BLOCK] == block
        self.queue = None  # type: ignore[assignment]
        self.world.end()


class ThreadMachine(QueueMachine):
    def make_world(self, seed: int) -> World:
        return ThreadWorld()


ERRNOS = [errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EBADF, errno.EBUSY]
calls = st.sampled_from(
    [*(("enter", number) for number in ERRNOS), *(("register", number) for number in ERRNOS)]
    + [("enter", "interrupt"), ("enter", "wake"), *(("enter", ("short", n)) for n in range(3))]
)
requests = st.sampled_from(
    [("result", -errno.EIO), ("result", -errno.ENOSPC), ("result", 100), ("result", 0)]
    + [("result", -errno.ECANCELED), ("result", -errno.EINTR), ("twice", 0), ("more_after_end", 0)]
    + [("stranger", 77), ("late", 1_000_000)]
)


class SimMachine(QueueMachine):
    """On a simulated kernel, which fails where it is told to."""

    def make_world(self, seed: int) -> World:
        return SimWorld(seed, cold_percent=50)

    @rule(call=calls, nth=st.integers(0, 2))
    def fail_a_call(self, call: tuple[str, Any], nth: int) -> None:
        assert isinstance(self.world, SimWorld)
        self.world.kernel.fail_call(call[0], nth, call[1])

    @rule(what=requests, nth=st.integers(0, 2))
    def fail_a_request(self, what: tuple[str, int], nth: int) -> None:
        assert isinstance(self.world, SimWorld)
        self.world.kernel.fail_request(nth, *what)


few = settings(max_examples=40, stateful_step_count=30)
TestSim = SimMachine.TestCase
TestSim.settings = settings(max_examples=100, stateful_step_count=40)
TestThreads = ThreadMachine.TestCase
TestThreads.settings = few

if supported():
    TestRing = QueueMachine.TestCase
    TestRing.settings = few

"""Pools of provided buffers under everything at once, on the running kernel: no buffer is ever
lost, none is in two places, and what was sent is what the views hold."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import uring_rs

pytestmark = pytest.mark.skipif(not uring_rs.probe().ok, reason="io_uring is refused here")

ALL = settings().max_examples
SOCKETS = 3
PICK = st.integers(0, 2**16)


class Stream:
    """Two connected sockets, and what was sent and received."""

    def __init__(self) -> None:
        self.sock, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.chance = random.Random(0)
        self.sent = b""
        self.got = 0
        self.request: uring_rs.Request | None = None


class Pools(RuleBasedStateMachine):
    """One ring, one pool, a few streams of bytes."""

    @initialize(
        shared=st.booleans(),
        kind=st.sampled_from(["classic", "incremental", "legacy"]),
        # More than the completion queue has room for, too.
        count=st.one_of(st.integers(1, 6), st.just(40)),
        size=st.sampled_from([1, 7, 64, 100]),
        kernel_memory=st.booleans(),
    )
    def open(self, shared: bool, kind: str, count: int, size: int, kernel_memory: bool) -> None:
        self.ring = uring_rs.Ring(4, shared=shared)
        self.kind, self.count = kind, count
        self.pool: Any
        if kind == "legacy":
            self.pool = self.ring.provided_buffers(count, size)
        else:
            self.pool = self.ring.buffer_ring(
                count, size, incremental=kind == "incremental", kernel_memory=kernel_memory
            )
        self.streams = [Stream() for _ in range(SOCKETS)]
        self.unseen: list[uring_rs.Completion] = []
        self.held: list[tuple[uring_rs.PooledBuffer, bytes]] = []
        self.exported: list[tuple[memoryview, bytes]] = []

    def _idle(self, pick: int) -> Stream | None:
        stream = self.streams[pick % SOCKETS]
        return stream if stream.request is None else None

    @rule(pick=PICK, multishot=st.booleans(), bundle=st.booleans(), by_sqe=st.booleans())
    def arm(self, pick: int, multishot: bool, bundle: bool, by_sqe: bool) -> None:
        # One receive for each stream at a time: the order of several is nobody's promise.
        if (stream := self._idle(pick)) is None:
            return
        bundle = bundle and self.kind != "legacy"
        how: dict[str, Any] = {
            "pool": self.pool,
            "multishot": multishot,
            "bundle": bundle,
            "user_data": stream,
        }
        if by_sqe:
            stream.request = self.ring.push(uring_rs.Sqe.recv(stream.sock, **how))
        else:
            stream.request = self.ring.prep_recv(stream.sock, **how)

    @rule(pick=PICK, nbytes=st.integers(1, 400))
    def send(self, pick: int, nbytes: int) -> None:
        stream = self.streams[pick % SOCKETS]
        data = stream.chance.randbytes(nbytes)
        if len(stream.sent) - stream.got < 10_000:
            stream.sent += data[: stream.peer.send(data)]

    @rule()
    def submit(self) -> None:
        self.ring.submit()

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        stream = self.streams[pick % SOCKETS]
        if stream.request is not None:
            self.ring.prep_cancel(stream.request)
            self.ring.submit()

    @rule()
    def cancel_all(self) -> None:
        self.ring.prep_cancel_all()
        self.ring.submit()

    @rule()
    def discard(self) -> None:
        self.ring.discard()
        for stream in self.streams:
            if stream.request is not None and not self.ring.is_live(stream.request):
                # Taken back, or ended with a completion that is still to come.
                stream.request = stream.request if self._awaited(stream) else None

    def _awaited(self, stream: Stream) -> bool:
        self._reap()
        return stream.request is not None and self.ring.is_live(stream.request)

    @rule()
    def reap(self) -> None:
        self._reap()

    def _reap(self) -> None:
        self.ring.submit()
        for cqe in self.ring:
            if cqe.op != "RECV":
                continue
            stream = cqe.user_data
            if not cqe.more:
                stream.request = None
            if cqe.res < 0:
                assert cqe.res in (-errno.ENOBUFS, -errno.ECANCELED), cqe
                assert cqe.buffer is None
                continue
            assert cqe.res > 0
            self.unseen.append(cqe)

    @rule(pick=PICK)
    def look(self, pick: int) -> None:
        """Whatever comes first of a stream is looked at first: its bytes are compared."""
        if not self.unseen:
            return
        cqe = self.unseen.pop(0)
        stream = cqe.user_data
        views = cqe.buffers
        found = b"".join(bytes(view) for view in views)
        assert len(found) == cqe.res
        assert found == stream.sent[stream.got : stream.got + len(found)]
        stream.got += len(found)
        self.held += [(view, bytes(view)) for view in views]

    @rule(pick=PICK, nbytes=st.integers(1, 120), multishot=st.booleans(), bundle=st.booleans())
    def receive(self, pick: int, nbytes: int, multishot: bool, bundle: bool) -> None:
        """All of it at once, so that much is received in a short run."""
        self.arm(pick, multishot, bundle, by_sqe=False)
        self.send(pick, nbytes)
        self._reap()
        while self.unseen:
            self.look(0)

    @rule()
    def drop_unseen(self) -> None:
        for cqe in self.unseen:
            cqe.user_data.got += cqe.res
        self.unseen.clear()

    @precondition(lambda self: self.held)
    @rule(pick=PICK, how=st.sampled_from(["release", "with", "drop", "twice"]))
    def give_back(self, pick: int, how: str) -> None:
        view, content = self.held.pop(pick % len(self.held))
        assert bytes(view) == content
        if any(other.obj is view for other, _ in self.exported):
            with pytest.raises(BufferError):
                view.release()
            return
        if how == "with":
            with view:
                pass
        elif how != "drop":
            view.release()
            if how == "twice":
                view.release()
            assert view.released

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def export(self, pick: int) -> None:
        view, content = self.held[pick % len(self.held)]
        self.exported.append((memoryview(view), content))

    @precondition(lambda self: self.exported)
    @rule(pick=PICK)
    def release_export(self, pick: int) -> None:
        view, content = self.exported.pop(pick % len(self.exported))
        assert bytes(view) == content
        view.release()

    @precondition(lambda self: self.kind == "legacy")
    @rule(pick=PICK)
    def provide(self, pick: int) -> None:
        first = pick % self.count
        # Some of them may be in use.
        with contextlib.suppress(BufferError):
            self.ring.prep_provide_buffers(self.pool, first, 1 + pick % (self.count - first))

    @precondition(lambda self: self.kind == "legacy")
    @rule(count=st.integers(1, 6))
    def remove(self, count: int) -> None:
        self.ring.prep_remove_buffers(self.pool, count)

    @rule()
    def close_pool(self) -> None:
        requests = [stream.request for stream in self.streams if stream.request is not None]
        busy = any(self.ring.is_live(request) for request in requests)
        if busy:
            with pytest.raises(BufferError):
                self.pool.close()
            assert not self.pool.closed

    @invariant()
    def conserved(self) -> None:
        ready = self.ring.cq_ready  # all is taken off the ring now
        taken = self.pool.taken
        with_kernel = self.pool.provided if self.kind == "legacy" else self.pool.available
        if not (self.ring.shared and self.ring.cq_ready != ready):
            assert with_kernel + taken + self.pool.free == self.count
        mine = {view.id for view, _ in self.held} | {view.obj.id for view, _ in self.exported}
        if ready == 0 and not self.unseen:
            if self.kind == "incremental":
                assert taken <= len(mine)
            else:
                assert taken == len(mine)
        assert all(bytes(view) == content for view, content in self.held)
        assert all(bytes(view) == content for view, content in self.exported)

    def teardown(self) -> None:
        if not hasattr(self, "ring"):
            return
        self.ring.close()
        assert self.pool.closed
        # What nobody has read yet is still there.
        self.unseen += [cqe for cqe in self.ring if cqe.op == "RECV" and cqe.res > 0]
        while self.unseen:
            self.look(0)
        assert all(bytes(view) == content for view, content in self.held)
        self.held.clear()
        for view, content in self.exported:
            assert bytes(view) == content
            view.release()
        self.exported.clear()
        assert self.pool.taken == 0
        assert self.ring.stray_completions == 0
        for stream in self.streams:
            stream.sock.close()
            stream.peer.close()


Pools.TestCase.settings = settings(
    deadline=None,
    # Each opens and closes a ring and six sockets.
    max_examples=max(10, ALL // 2),
    stateful_step_count=50,
    suppress_health_check=list(HealthCheck),
)
TestPools = pytest.mark.timeout(120 + ALL * 2)(Pools.TestCase)

"""The rules: everything a program can do to a ring, and much that can happen to it."""

from __future__ import annotations

import gc
import select
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

import uring_rs
from uring_rs import EnterFlags, RingClosed, SqeFlags, SubmissionQueueFull

from .machine import Base
from .model import Buffer, Req

LINK, HARD = int(SqeFlags.IO_LINK), int(SqeFlags.IO_HARDLINK)
DRAIN, ASYNC = int(SqeFlags.IO_DRAIN), int(SqeFlags.ASYNC)
SKIP = int(SqeFlags.CQE_SKIP_SUCCESS)

few = st.integers(0, 7)
flags = st.sampled_from(
    [0, 0, 0, 0, LINK, LINK, HARD, ASYNC, SKIP, DRAIN, LINK | SKIP, HARD | SKIP, LINK | ASYNC]
    + [LINK | DRAIN, SKIP | ASYNC, HARD | DRAIN]
)
unlinked = st.sampled_from([0, 0, 0, ASYNC, SKIP, DRAIN])
tokens = st.sampled_from([2, 2, 2, 0, 0, 1])
"""A token of its own, the same as others have, or None."""

PAST, SOON, NEVER = 0.0, 0.001, 3600.0


def open_ring(self: Base) -> bool:
    return self.ring is not None and not self.closed


class Preparing(Base):
    """Requests of every kind."""

    @precondition(open_ring)
    @rule(flags=flags, token=tokens, via=st.booleans())
    def nop(self, flags: int, token: int, via: bool) -> None:
        self.prep(Req("NOP", flags), "nop", token=token, via=via)

    @precondition(open_ring)
    @rule(
        which=few,
        kind=st.sampled_from(["read", "readv", "recv", "recvmsg"]),
        bufs=st.lists(few, min_size=1, max_size=3),
        view=st.booleans(),
        flags=flags,
        token=tokens,
        via=st.booleans(),
    )
    def read(
        self,
        which: int,
        kind: str,
        bufs: list[int],
        view: bool,
        flags: int,
        token: int,
        via: bool,
    ) -> None:
        streams = [source for source in self.sources if source.stream or "recv" not in kind]
        source = streams[which % len(streams)]
        into = self.choose(self.filled, bufs if kind in ("readv", "recvmsg") else bufs[:1])
        size = sum(map(len, into))
        req = Req(kind.upper(), flags, bufs=into, fills=True, size=size, source=source)
        what: Any = [memoryview(buf) for buf in into] if view else list(into)
        if kind in ("read", "recv"):
            (what,) = what
        self.prep(req, kind, source.fd, what, token=token, via=via)

    @precondition(open_ring)
    @rule(which=few, bufs=st.lists(few, min_size=1, max_size=3), flags=flags, token=tokens)
    def write(self, which: int, bufs: list[int], flags: int, token: int) -> None:
        sink = self.sinks[which % len(self.sinks)]
        source = self.choose(self.numbered, bufs)
        req = Req("WRITEV", flags, bufs=source, size=sum(map(len, source)), sink=sink)
        what: Any = list(source)
        if len(bufs) == 1:
            req.op, (what,) = "WRITE", what
        self.prep(req, req.op.lower(), sink.fd, what, token=token, via=False)

    @precondition(open_ring)
    @rule(
        what=st.sampled_from(["read", "write", "fsync", "open", "open", "missing"]),
        which=few,
        flags=flags,
        token=tokens,
    )
    def use_file(self, what: str, which: int, flags: int, token: int) -> None:
        fd, path = self.file
        if what == "read":
            into = self.choose(self.filled, [which])
            req = Req("READ", flags, bufs=into, fills=True, size=len(into[0]))
            self.prep(req, "read", fd, into[0], 8 * which, token=token, via=False)
        elif what == "write":
            (source,) = self.choose(self.numbered, [which])
            req = Req("WRITE", flags, bufs=[source], size=32)
            self.prep(req, "write", fd, source, 32 * which, token=token, via=False)
        elif what == "fsync":
            self.prep(Req("FSYNC", flags), "fsync", fd, token=token, via=True)
        else:
            req = Req("OPENAT", flags, missing=what == "missing")
            path += "/none" if req.missing and self.world.kernel is None else ""
            path = "/no/such/file" if req.missing else path
            self.prep(req, "openat", path, token=token, via=False)

    @precondition(open_ring)
    @rule(which=few, multishot=st.booleans(), flags=flags, single=unlinked, token=tokens)
    def poll(self, which: int, multishot: bool, flags: int, single: int, token: int) -> None:
        source = self.sources[which % len(self.sources)]
        req = Req("POLL_ADD", single if multishot else flags, source=source, multishot=multishot)
        more = {"multishot": True} if multishot else {}
        self.prep(req, "poll_add", source.fd, select.POLLIN, token=token, via=False, **more)

    @precondition(open_ring)
    @rule(
        seconds=st.sampled_from([PAST, SOON, NEVER, NEVER]),
        count=st.sampled_from([0, 0, 1, 2, 5]),
        etime_success=st.booleans(),
        flags=flags,
        token=tokens,
    )
    def timeout(
        self, seconds: float, count: int, etime_success: bool, flags: int, token: int
    ) -> None:
        req = Req("TIMEOUT", flags, count=count, etime_success=etime_success)
        more = {"count": count, "etime_success": etime_success}
        self.prep(req, "timeout", seconds, token=token, via=False, **more)

    @precondition(open_ring)
    @rule(
        seconds=st.sampled_from([PAST, SOON, NEVER]),
        flags=st.sampled_from([0, 0, LINK, HARD, SKIP]),
        token=tokens,
    )
    def link_timeout(self, seconds: float, flags: int, token: int) -> None:
        """Behind a link or not, as it happens."""
        self.prep(Req("LINK_TIMEOUT", flags), "link_timeout", seconds, token=token, via=False)

    @precondition(open_ring)
    @rule(links=st.lists(st.sampled_from([LINK, HARD]), max_size=6), data=st.data())
    def chain(self, links: list[int], data: st.DataObject) -> None:
        """NOPs and reads, all in one chain."""
        for position, link in enumerate([*links, 0]):
            if data.draw(st.booleans()):
                self.prep(Req("NOP", link), "nop", token=2, via=False)
                continue
            source = self.sources[position % len(self.sources)]
            (buf,) = self.choose(self.filled, [position])
            req = Req("READ", link, bufs=[buf], fills=True, size=len(buf), source=source)
            self.prep(req, "read", source.fd, buf, token=2, via=False)

    @precondition(open_ring)
    @rule(
        which=st.integers(0, 40),
        what=st.sampled_from(["cancel", "cancel", "poll_remove", "timeout_remove"]),
        flags=flags,
        token=tokens,
    )
    def act(self, which: int, what: str, flags: int, token: int) -> None:
        """Cancel something, or try to; poll_remove and timeout_remove of what they cannot end is
        not an error of the caller's, and ends with ENOENT."""
        live = [req for req in self.model.live.values() if req.handle is not None]
        if not live:
            return
        target = live[which % len(live)]
        op = {"cancel": "ASYNC_CANCEL"}.get(what, what.upper())
        self.prep(Req(op, flags, target=target), what, target.handle, token=token, via=False)

    @precondition(open_ring)
    @rule(which=few, what=st.sampled_from(["fd", "all of fd", "all"]), flags=flags, token=tokens)
    def cancel_many(self, which: int, what: str, flags: int, token: int) -> None:
        req = Req("ASYNC_CANCEL", flags, everything=True)
        if what == "all":
            self.prep(req, "cancel_all", token=token, via=False)
            return
        fd = self.sources[which % len(self.sources)].fd
        everything = {"all": what == "all of fd"}
        self.prep(req, "cancel_fd", fd, token=token, via=False, **everything)

    def choose(self, buffers: list[Buffer], which: Iterable[int]) -> list[Buffer]:
        """Some of the buffers, none of them twice."""
        chosen: list[Buffer] = []
        for index in which:
            buffer = buffers[index % len(buffers)]
            if not any(buffer is other for other in chosen):
                chosen.append(buffer)
        return chosen


class Driving(Base):
    """Submitting, waiting, taking completions."""

    @precondition(open_ring)
    @rule(wait=st.sampled_from([0, 0, 1, 2, 9]), seconds=st.sampled_from([PAST, SOON]))
    def submit(self, wait: int, seconds: float) -> None:
        assert self.ring is not None
        queued = len(self.model.queue)
        before = len(self.model.taken)
        ring = self.ring
        timeout = seconds if wait else None
        count = self.take(lambda: ring.submit(wait, timeout))
        if count is not None:
            assert count == len(self.model.taken) - before
            if self.world.kernel is None:
                assert count == queued

    @precondition(open_ring)
    @rule(count=st.integers(1, 12))
    def burst(self, count: int) -> None:
        """NOPs, and a wait without a time limit for as many completions."""
        if self.model.tainted or self.model.open_chain() or self.planned():
            return
        assert self.ring is not None
        ring = self.ring
        if self.model.queue and self.model.queue[-1].linked:
            return
        reqs = [Req("NOP") for _ in range(count)]
        for req in reqs:
            self.prep(req, "nop", token=2, via=False)
        count = sum(req.handle is not None for req in reqs)
        if self.model.tainted or any(req.flags & DRAIN for req in self.model.queue):
            # They may have to wait for something that nobody brings about.
            return
        ready = self.take(lambda: ring.wait(count)) or 0
        assert self.model.queue == []
        if self.woken and ready < count:
            ready = self.take(lambda: ring.wait(count)) or 0
        assert ready >= count

    @precondition(open_ring)
    @rule()
    def flush(self) -> None:
        assert self.ring is not None
        if not self.model.fits():
            with pytest.raises(SubmissionQueueFull):
                self.ring.flush()
            return
        assert self.ring.flush() == len(self.model.queue)
        self.model.publish()

    @precondition(lambda self: open_ring(self) and not self.planned())
    @rule()
    def discard(self) -> None:
        assert self.ring is not None
        self.model.discard(self.ring.discard())

    @precondition(open_ring)
    @rule(count=st.integers(0, 9), getevents=st.booleans())
    def enter(self, count: int, getevents: bool) -> None:
        """The raw call, which may cut a chain in two."""
        assert self.ring is not None
        ring = self.ring
        if not self.model.fits():
            with pytest.raises(SubmissionQueueFull):
                ring.enter(count)
            return
        self.model.publish()
        with self.trouble_raw(count):
            ring.enter(count, 0, int(EnterFlags.GETEVENTS) if getevents else 0)

    @precondition(open_ring)
    @rule(which=few, count=st.integers(1, 6))
    def flood(self, which: int, count: int) -> None:
        """Events of a poll, and nobody takes their completions: the queue is soon full."""
        assert self.ring is not None
        source = self.sources[which % len(self.sources)]
        if source.closed or self.model.tainted or self.planned():
            return
        req = Req("POLL_ADD", source=source, multishot=True)
        more = {"multishot": True}
        self.prep(req, "poll_add", source.fd, select.POLLIN, token=2, via=False, **more)
        self.take(self.ring.submit)
        for _ in range(count):
            self.world.feed(source, 1)
            with self.trouble_raw(0):
                self.ring.enter(0, 0, int(EnterFlags.GETEVENTS))

    @precondition(open_ring)
    @rule()
    def sq_wait(self) -> None:
        assert self.ring is not None
        if self.model.open_chain() >= self.model.entries:
            return
        self.take(self.ring.sq_wait, room=True)

    @precondition(open_ring)
    @rule(how=st.sampled_from(["pop", "peek", "next", "some", "flush_overflow"]), count=few)
    def take_some(self, how: str, count: int) -> None:
        assert self.ring is not None
        ring = self.ring
        if how == "peek":
            shown = self.take(ring.peek)
            if shown is not None:
                assert self.shown is None or self.shown is shown
                self.shown = shown
        elif how == "some":
            taken = self.take(lambda: ring.reap(count)) or []
            assert len(taken) <= count
            self.got(taken)
        elif how == "flush_overflow":
            least = self.take(ring.flush_overflow)
            ready = self.take(lambda: ring.cq_ready)
            assert least is None or ready is None or ready >= least
        else:
            one = self.take(ring.pop if how == "pop" else lambda: next(ring, None))
            self.got([one] if one is not None else [])

    @precondition(open_ring)
    @rule(
        how=st.sampled_from(["reap", "reap", "iterate", "completions"]),
        least=st.integers(0, 3),
        seconds=st.sampled_from([PAST, SOON]),
    )
    def take_all(self, how: str, least: int, seconds: float) -> None:
        assert self.ring is not None
        ring, planned = self.ring, self.planned()
        taken: list[uring_rs.Completion] = []
        with self.trouble():
            if how == "reap":
                taken += ring.reap()
            else:
                # One by one, so that an error in between loses none.
                for cqe in ring if how == "iterate" else ring.completions(least, seconds):
                    taken.append(cqe)
        self.got(taken)
        # A look at the next one may be what starts the next of a chain, and so on.
        while (one := self.take(ring.pop)) is not None:
            self.got([one])
        if self.planned() == planned:
            self.nothing_held_back()

    @precondition(open_ring)
    @rule(wait=st.booleans())
    def wake(self, wait: bool) -> None:
        """A wake-up ends the next wait, and is no completion."""
        assert self.ring is not None
        ring = self.ring
        try:
            ring.wake()
        except uring_rs.UnsupportedOperation as error:
            assert error.since == (6, 13)
            assert self.world.kernel is not None
            return
        self.woken = True
        if wait and not self.planned():
            # Without a time limit: only the wake-up is sure to come.
            self.take(lambda: ring.wait(ring.cq_entries))
            self.woken = False

    @precondition(open_ring)
    @rule(which=few)
    def drop_handle(self, which: int) -> None:
        live = list(self.model.live.values())
        if live:
            live[which % len(live)].handle = None

    @precondition(lambda self: self.steps % 8 == 0)
    @rule()
    def collect(self) -> None:
        gc.collect()

    @precondition(open_ring)
    @rule(which=few)
    def use_buffers(self, which: int) -> None:
        """What is in flight can be looked at and changed, but not resized."""
        buffer = self.numbered[which % len(self.numbered)]
        buffer[0] = buffer[0]
        assert bytes(buffer) == bytes(buffer[:4]) * 8
        if buffer.locked():
            for change in (buffer.clear, buffer.pop, lambda: buffer.extend(b"x")):
                with pytest.raises(BufferError):
                    change()

    @precondition(lambda self: open_ring(self) and self.steps > 15)
    @rule(how=st.sampled_from(["close", "close", "with", "error", "drop", "collect"]))
    def finish(self, how: str) -> None:
        self.end(how)

    @precondition(lambda self: self.closed)
    @rule()
    def use_after_close(self) -> None:
        if self.ring is None:
            return
        ring = self.ring
        calls: list[Callable[[], object]] = [
            ring.submit,
            ring.flush,
            ring.discard,
            ring.wait,
            ring.fileno,
            ring.prep_cancel_all,
        ]
        calls += [lambda: ring.enter(1), lambda: ring.prep_read(0, self.filled[0]), ring.wake]
        calls += [lambda: ring.push(uring_rs.Sqe.nop()), ring.completions, ring.sq_wait]
        for call in calls:
            with pytest.raises(RingClosed):
                call()
        ring.close()
        assert (ring.pop(), ring.peek(), ring.reap(), list(ring)) == (None, None, [], [])
        assert (ring.cq_ready, ring.sq_ready, ring.sq_space, ring.in_flight) == (0, 0, 0, 0)


class Outside(Base):
    """What happens around the ring."""

    @precondition(open_ring)
    @rule(which=few, count=st.integers(1, 16))
    def feed(self, which: int, count: int) -> None:
        source = self.sources[which % len(self.sources)]
        if not source.closed:
            self.world.feed(source, count)

    @precondition(lambda self: open_ring(self) and self.steps > 10)
    @rule(which=few)
    def hang_up(self, which: int) -> None:
        source = self.sources[which % len(self.sources)]
        if not source.closed:
            self.world.hang_up(source)

    @precondition(open_ring)
    @rule(which=few, stuff=st.booleans())
    def sink(self, which: int, stuff: bool) -> None:
        sink = self.sinks[which % len(self.sinks)]
        (self.world.stuff if stuff else self.world.drain)(sink)


class Rules(Preparing, Driving, Outside):
    """All rules that both kernels know."""

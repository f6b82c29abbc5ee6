"""The state machine: a ring and its model, driven side by side by rules that hypothesis picks."""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

import uring_rs
from uring_rs import Ring, RingClosed, SubmissionQueueFull, UringError

from .model import Buffer, Model, Req, Token
from .worlds import World, words

T = TypeVar("T")

SOURCES = 3
SINKS = 2
FILLED = (8, 32, 64, 4)
"""Sizes of the buffers that are read into."""

NUMBERED = 4
"""How many buffers are written from; each holds its own number eight times."""


class Base(RuleBasedStateMachine):
    """The ring, the world, the model, and what must hold after every step. Rules are added by the
    classes in `rules`."""

    world: World
    ring: Ring | None
    allowed = 0xFF
    """The SqeFlags that requests may have."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = None
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.preparing: list[Req] = []
        self.shown: uring_rs.Completion | None = None
        self.watched: list[tuple[str, weakref.ref[Any]]] = []
        self.posted = 0
        self.steps = 0
        self.closed = False
        self.woken = False  # the next wait may end early
        self.unread_lost = False

    # --- beginning

    def open(
        self,
        entries: int,
        cq_entries: int | None,
        shared: bool,
        sq_full: Literal["submit", "raise"],
    ) -> None:
        """Make the ring and what it works on."""
        log = self.log
        self.ring = Ring(
            entries,
            cq_entries=cq_entries,
            shared=shared,
            sq_full=sq_full,
            kernel=self.world.kernel,
            # No reference to this machine: that would be a cycle through the ring.
            trace=lambda event, info: log.append((event, info)),
        )
        log.clear()
        self.watched.append(("ring", weakref.ref(self.ring)))
        self.full_raises = sq_full == "raise"
        self.model = Model(self.ring.sq_entries, shared)
        self.sources = [self.world.source(stream=i == 1) for i in range(SOURCES)]
        self.sinks = [self.world.sink() for _ in range(SINKS)]
        self.file = self.world.file("file", bytes(4096))
        self.filled = [self.buffer(size) for size in FILLED]
        self.numbered = [self.buffer(32, number) for number in range(1, NUMBERED + 1)]
        self.common = self.token()

    def buffer(self, size: int, number: int = 0) -> Buffer:
        buffer = Buffer(number.to_bytes(4, "little") * (size // 4))
        self.watched.append((f"buffer {size} {number}", weakref.ref(buffer)))
        return buffer

    def token(self) -> Token:
        token = Token()
        self.watched.append(("token", weakref.ref(token)))
        return token

    # --- calling the ring

    def absorb(self, room: bool) -> int:
        """Tell the model what the trace says was done. Returns how many entries were taken."""
        taken = 0
        log, self.log[:] = list(self.log), []
        for event, info in log:
            if event == "enter":
                taken += self.model.entered(info["to_submit"], info["result"], room)
            elif event == "prep":
                req = self.preparing.pop(0)
                req.key = info["key"]
                self.model.staged(req)
        return taken

    @contextlib.contextmanager
    def trouble(self, room: bool = False) -> Iterator[None]:
        """What the library does in here may fail with an error that was planned, if it was."""
        planned = self.planned()
        try:
            yield
        except (SubmissionQueueFull, RingClosed):
            raise
        except UringError:
            assert self.planned() < planned, "an error out of nowhere"
        finally:
            self.absorb(room)

    @contextlib.contextmanager
    def trouble_raw(self, count: int) -> Iterator[None]:
        """The same around a raw enter of so many entries."""
        planned = self.planned()
        try:
            yield
        except UringError:
            assert self.planned() < planned, "an error out of nowhere"
        finally:
            ((event, info),) = self.log
            self.log.clear()
            assert (event, info["to_submit"]) == ("enter", count)
            if isinstance(info["result"], int):
                assert info["result"] <= min(count, len(self.model.queue))
                self.model.take(info["result"])

    def planned(self) -> int:
        return 0 if self.world.kernel is None else self.world.kernel.faults_left

    def prep(self, req: Req, method: str, *args: Any, token: int, via: bool, **more: Any) -> None:
        """Prepare a request, by the ring's own method or by way of an Sqe."""
        assert self.ring is not None
        req.flags &= self.allowed
        req.token = self.common if token == 0 else None if token == 1 else self.token()
        more.update(user_data=req.token, flags=req.flags)
        self.preparing = [req]
        before = self.ring.in_flight
        try:
            with self.trouble(room=True):
                if via:
                    req.handle = self.ring.push(getattr(uring_rs.Sqe, method)(*args, **more))
                else:
                    req.handle = getattr(self.ring, f"prep_{method}")(*args, **more)
        except SubmissionQueueFull:
            full = len(self.model.queue) >= self.model.entries
            assert (self.full_raises and full) or self.ring.in_flight == self.ring.cq_entries
        except ValueError as error:
            assert "chain" in str(error)
            assert self.model.open_chain() >= self.model.entries - 1
        if req.handle is None:
            # Nothing stays of it, but earlier ones may have ended meanwhile.
            assert self.preparing == [req]
            assert self.ring.in_flight <= before
        else:
            assert self.preparing == []
            assert req.handle.key == req.key
            assert req.handle.op == req.op
        self.preparing = []

    def take(self, call: Callable[[], T], room: bool = False) -> T | None:
        """Call the ring; None if it failed as planned."""
        answer = None
        with self.trouble(room):
            answer = call()
        return answer

    # --- completions

    def got(self, cqes: list[uring_rs.Completion]) -> None:
        """These completions were handed out, in this order."""
        completed = self.world.kernel.completed if self.world.kernel and cqes else []
        for cqe in cqes:
            if self.shown is not None:
                assert cqe is self.shown, "what was peeked at was not what came next"
                self.shown = None
            if self.world.kernel:
                key, res, flags = self.next_posted(completed)
                assert (key, res, flags) == (cqe.request.key, cqe.res, cqe.flags)
            req = self.model.completed(cqe)
            if cqe.op == "OPENAT" and cqe.res >= 0:
                self.world.close(cqe.res)
            if req.handle is not None and req.ended and not self.closed:
                assert self.ring is not None
                assert not self.ring.is_live(req.handle)

    def next_posted(self, completed: list[tuple[int, int, int]]) -> tuple[int, int, int]:
        """The next completion that must be handed out, of those the simulated kernel posted."""
        while True:
            key, res, flags = completed[self.posted]
            self.posted += 1
            if key & 0xFF == 0 and not (self.model.by_key[key].skips and res >= 0):
                return key, res, flags

    def nothing_held_back(self) -> None:
        """All there was has been handed out: what is not live now succeeded in silence."""
        assert self.ring is not None
        if self.world.kernel:
            with contextlib.suppress(IndexError):
                raise AssertionError(f"lost: {self.next_posted(self.world.kernel.completed)}")
        for req in list(self.model.live.values()):
            if req.handle is not None and req.taken and not self.ring.is_live(req.handle):
                self.model.swallowed(req)

    # --- after every step

    @invariant()
    def consistent(self) -> None:
        """Slots, queue, locks: all as the model says."""
        self.steps += 1
        ring, model = self.ring, self.model
        if ring is None or self.closed:
            assert not any(buffer.locked() for buffer in self.filled + self.numbered)
            return
        assert ring.sq_ready == len(model.queue)
        apart = model.open_chain() if model.shared else 0
        assert ring.sq_space == model.entries - (len(model.queue) - apart)
        assert 0 <= ring.sq_space <= model.entries
        assert ring.stray_completions == 0
        live = [req for req in model.live.values() if self.is_live(req, True)]
        surely = [req for req in live if self.is_live(req, False)]
        assert len(surely) <= ring.in_flight <= len(live)
        assert ring.in_flight <= ring.cq_entries
        for req in model.queue:
            assert self.is_live(req, True), "staged, and gone"
        for buffer in self.filled + self.numbered:
            users = [req for req in live if req.shares([buffer])]
            locked = buffer.locked()
            assert users or not locked, "locked, and nobody uses it"
            if any(self.is_live(req, False) for req in users):
                assert locked, "in use, and not locked"

    def is_live(self, req: Req, unknown: bool) -> bool:
        """Whether the ring holds a request; `unknown` when nobody has its handle any more."""
        assert self.ring is not None
        return unknown if req.handle is None else self.ring.is_live(req.handle)

    # --- the end

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        if sys.exc_info()[0] is not None:
            # A rule failed, and that is what shall be told.
            self.abandon()
            return
        if not self.closed:
            self.end("close")
        self.check_bytes()
        self.world.finish()
        self.model.take_apart()
        self.model = self.sources = self.sinks = self.filled = self.numbered = None  # type: ignore[assignment]
        self.common = self.ring = self.shown = None  # type: ignore[assignment]
        if any(ref() is not None for _, ref in self.watched):
            gc.collect()
        left = [name for name, ref in self.watched if ref() is not None]
        assert not left, left

    def abandon(self) -> None:
        with contextlib.suppress(Exception):
            self.use_up_faults()
        if self.ring is not None:
            with contextlib.suppress(Exception):
                self.ring.close(1.0)
        # Its unread completions may be descriptors, which it closes when it goes.
        self.ring = self.shown = None
        with contextlib.suppress(Exception):
            self.world.finish()

    def end(self, how: str) -> None:
        """End the ring in one of the ways there are, and look at what is left."""
        if how in ("drop", "collect") or self.model.planned:
            # What was planned for a request must not happen to a cancellation of the ring's own.
            self.use_up_faults()
        for req in self.model.live.values():
            req.cancelled = True
        self.closed = True
        if how in ("drop", "collect"):
            self.let_die(how)
        else:
            self.close(how)

    def close(self, how: str) -> None:
        assert self.ring is not None
        model, ring = self.model, self.ring
        while not ring.closed or ring.in_flight:
            # A close that failed as planned is to be called again.
            with self.trouble():
                if how == "error":
                    with contextlib.suppress(ZeroDivisionError), ring:
                        raise ZeroDivisionError
                elif how == "with":
                    with ring:
                        pass
                else:
                    ring.close()
            how = "close"
        assert ring.closed
        assert ring.in_flight == 0
        self.absorb(room=False)
        model.forget(len(model.queue))
        self.got(list(ring))
        for req in list(model.live.values()):
            model.swallowed(req)
        if self.world.kernel:
            with contextlib.suppress(IndexError):
                raise AssertionError(f"lost: {self.next_posted(self.world.kernel.completed)}")

    def let_die(self, how: str) -> None:
        """Nobody closes the ring: it is collected, with a warning."""
        self.unread_lost = True
        self.shown = None
        ring, self.ring = self.ring, None
        if how == "collect":
            cycle: list[object] = [ring]
            cycle.append(cycle)
            del cycle
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del ring
            # The traceback of an exception that some step caught may hold it, too, in a cycle.
            if how == "collect" or not caught:
                gc.collect()
        assert [w.category for w in caught] == [ResourceWarning]
        self.log.clear()

    def use_up_faults(self) -> None:
        """Let the planned failures of calls happen: a close should not meet them here."""
        kernel = self.world.kernel
        assert self.ring is not None
        for _ in range(8):
            if kernel is None or kernel.faults_left == 0:
                return
            with contextlib.suppress(UringError):
                self.ring.submit()
            self.absorb(room=False)
            if self.model.fits():
                self.model.publish()
                with self.trouble_raw(0):
                    self.ring.enter(0)

    def check_bytes(self) -> None:
        """Every byte that was read or written arrived once."""
        for source in self.sources:
            if source.exact and not self.unread_lost:
                rest = words(self.world.rest(source))
                assert sorted(source.seen + rest) == list(range(source.fed))
        for sink in self.sinks:
            self.world.drain(sink)
            surely, perhaps = self.model.sent(sink)
            arrived = Counter(sink.arrived)
            if not self.unread_lost:
                assert arrived >= surely, "written, and not there"
                assert arrived <= surely + perhaps, "written, and not asked for"

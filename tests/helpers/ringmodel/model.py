"""What must be so, whatever the kernel does: order where Linux promises one, everything back once.

The model knows a ring only through what it was asked to do, its trace, and the completions it
hands out. Facts about order, and there are no others:

- the kernel takes entries in the order they were staged;
- NOPs complete in that order, as they complete while they are taken;
- a chain's completions come in its order; a failure or a short transfer cancels the rest, unless
  the link is a hard one; a link timeout may come at any time;
- before a drained request completes, all earlier ones have; later ones follow it.
"""

from __future__ import annotations

import errno
from collections import Counter
from dataclasses import dataclass, field

import uring_rs
from uring_rs import CqeFlags, SqeFlags

from . import results
from .worlds import Sink, Source, words

LINKS = SqeFlags.IO_LINK | SqeFlags.IO_HARDLINK


class Token:
    """A user_data that can be watched."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("tokens are told apart by identity alone")

    __hash__ = object.__hash__


class Buffer(bytearray):
    """Memory that can be watched. Sources are full of their own number."""

    number = -1

    def locked(self) -> bool:
        """Whether the interpreter refuses to resize it."""
        try:
            self.append(0)
        except BufferError:
            return True
        del self[-1]
        return False


@dataclass(eq=False)
class Chain:
    """Requests that the kernel took as one chain; a single request is a chain of one."""

    members: list[Req] = field(default_factory=list)
    reached: int = -1  # the last member that completed
    broken_at: int | None = None
    drained: bool = False
    invalid: bool = False

    def finished(self) -> bool:
        """Whether all of it has visibly completed; what is swallowed counts as if it had."""
        return all(req.ended or req.skips for req in self.members)


@dataclass(eq=False)
class Req:
    """One request, from its preparation to its last completion."""

    op: str
    flags: int = 0
    token: Token | None = None
    bufs: list[Buffer] = field(default_factory=list)
    fills: bool = False  # the kernel writes to `bufs`
    size: int = 0
    source: Source | None = None
    sink: Sink | None = None
    target: Req | None = None
    everything: bool = False  # a cancellation of more than one request
    multishot: bool = False
    etime_success: bool = False
    count: int = 0
    missing: bool = False

    handle: uring_rs.Request | None = None
    key: int = -1
    cut: bool = False  # its link was taken away
    order: int = -1
    chain: Chain | None = None
    position: int = 0
    fault: int | None = None
    late: bool = False
    inline: bool = False
    invalid: bool = False
    cancelled: bool = False  # somebody may have cancelled it
    dirty: bool = False  # its buffers have had other users
    ended: bool = False
    res: int | None = None
    discarded: bool = False

    @property
    def linked(self) -> bool:
        return bool(self.flags & LINKS) and not self.cut

    @property
    def skips(self) -> bool:
        return bool(self.flags & SqeFlags.CQE_SKIP_SUCCESS)

    @property
    def taken(self) -> bool:
        return self.order >= 0

    def may_be_cancelled(self) -> bool:
        """Whether somebody may have asked for it, or what came before it in its chain failed."""
        if self.cancelled:
            return True
        assert self.chain is not None
        if self.chain.invalid or self.chain.broken_at is not None:
            return True
        # What was swallowed may have been a short transfer.
        return any(req.skips for req in self.chain.members[: self.position])

    def surely_fails(self) -> bool:
        """Whether it cannot come to anything but an error."""
        chain = self.chain
        assert chain is not None
        if chain.invalid or (chain.broken_at is not None and self.position > chain.broken_at):
            return True
        if self.missing or (self.fault is not None and self.fault < 0):
            return True
        return self.op == "LINK_TIMEOUT" or (self.op == "TIMEOUT" and self.count == 0)

    def shares(self, bufs: list[Buffer]) -> bool:
        """Whether it uses one of these very buffers."""
        return any(mine is other for mine in self.bufs for other in bufs)

    def breaks_chain(self, res: int) -> bool:
        """Whether this result means that the rest of the chain is cancelled."""
        if self.op == "LINK_TIMEOUT" or not self.flags & LINKS:
            return False
        if self.flags & SqeFlags.IO_HARDLINK:
            return False
        if self.op in ("READ", "READV", "WRITE", "WRITEV") and res < self.size:
            return True
        return res < 0 and not (self.etime_success and res == -errno.ETIME)


class Model:
    """A ring as it must be."""

    def __init__(self, entries: int, shared: bool) -> None:
        self.entries = entries
        self.shared = shared
        self.queue: list[Req] = []  # staged or published, in the order of the queue
        self.unpublished = 0  # so many at its end can still be taken back
        self.taken: list[Req] = []
        self.by_key: dict[int, Req] = {}
        self.live: dict[int, Req] = {}  # those whose end has not been seen
        self.drained: list[Chain] = []
        self.inline: list[Req] = []
        self.tainted = False  # a drain makes the kernel start what follows from elsewhere
        self.planned: dict[int, tuple[str, int]] = {}  # faults by the order of the request

    # --- the way to the kernel

    def staged(self, req: Req) -> None:
        assert req.key not in self.by_key, "a key was given out twice"
        self.by_key[req.key] = req
        for other in self.live.values():
            if req.fills and other.fills and other.shares(req.bufs):
                other.dirty = req.dirty = True
        self.live[req.key] = req
        self.queue.append(req)
        self.unpublished += 1

    def publish(self) -> None:
        """All of the queue is shown to the kernel."""
        self.unpublished = 0
        if self.shared and self.queue:
            # Another thread's entry must not become part of the chain.
            self.queue[-1].cut = True

    def fits(self) -> bool:
        """Whether all of the queue can be shown at once. A shared ring keeps an unfinished chain
        apart, and does not let it in by halves."""
        return len(self.queue) <= self.entries

    def open_chain(self) -> int:
        """How many entries at the end of the queue are an unfinished chain that stays behind when
        the library makes room."""
        count = 0
        for req in reversed(self.queue[len(self.queue) - self.unpublished :]):
            if not req.linked:
                break
            count += 1
        return count

    def entered(self, to_submit: int, result: object, room: bool) -> int:
        """The kernel was entered; `room` to make room, or else with all there is. Returns how many
        entries it took."""
        if to_submit == 0:
            return 0
        room |= not self.fits()
        behind = self.open_chain() if room else 0
        assert to_submit == len(self.queue) - behind, "an entry was forgotten, or shown too early"
        if not room:
            self.publish()
        self.unpublished = behind
        count = result if isinstance(result, int) else 0
        assert 0 <= count <= to_submit
        self.take(count)
        return count

    def take(self, count: int) -> None:
        """The kernel takes the next `count` entries: a chain ends with them."""
        batch, self.queue = self.queue[:count], self.queue[count:]
        chain = Chain()
        for req in batch:
            req.chain = chain
            req.position = len(chain.members)
            chain.members.append(req)
            self.take_one(req)
            if not req.linked:
                self.close_chain(chain)
                chain = Chain()
        if chain.members:
            self.close_chain(chain)

    def take_one(self, req: Req) -> None:
        req.order = len(self.taken)
        self.taken.append(req)
        what, value = self.planned.pop(req.order, ("", 0))
        if what == "result":
            req.fault = value
        req.late = what == "late"
        for other in self.live.values():
            if other is not req and other.taken:
                req.cancelled |= other.everything
                other.cancelled |= req.everything
        if req.target is not None and not req.target.ended:
            req.target.cancelled = True

    def close_chain(self, chain: Chain) -> None:
        """All members are known: what the kernel refuses, and what it will drain."""
        for before, req in zip([None, *chain.members], chain.members, strict=False):
            if req.op == "LINK_TIMEOUT":
                if before is None or before.op == "LINK_TIMEOUT":
                    req.invalid = chain.invalid = True
                else:
                    before.cancelled = req.cancelled = True
        head = chain.members[0]
        plain = len(chain.members) == 1 and not chain.invalid
        drains = any(req.flags & SqeFlags.IO_DRAIN for req in chain.members)
        if self.tainted and plain and not drains:
            self.tainted = not all(req.ended or req is head for req in self.taken)
        if drains:
            self.tainted = True
            if not chain.invalid:
                chain.drained = True
                self.drained.append(chain)
        if head.op == "NOP" and plain and not self.tainted and not head.late:
            # The head of a chain that the end of a submission cut short is left to a worker.
            head.inline = not head.flags & (LINKS | SqeFlags.ASYNC | SqeFlags.CQE_SKIP_SUCCESS)
            if head.inline:
                self.inline.append(head)

    def discard(self, count: int) -> None:
        """`count` entries at the end of the queue were taken back."""
        assert count == self.unpublished
        self.forget(count)
        self.unpublished = 0

    def forget(self, count: int) -> None:
        for _ in range(count):
            req = self.queue.pop()
            req.discarded = True
            del self.live[req.key]

    # --- the way back

    def completed(self, cqe: uring_rs.Completion) -> Req:
        """A completion was handed out: is it one that can be?"""
        req = self.by_key.get(cqe.request.key)
        assert req is not None, f"{cqe} is nobody's"
        assert cqe.user_data is req.token, "somebody else's user_data"
        assert cqe.op == req.op
        assert req.taken, "a completion of what the kernel never got"
        assert not req.ended, "a completion after the last one"
        wrong = results.complaint(req, cqe.res, cqe.flags)
        assert wrong is None, f"{cqe}: {wrong}"
        assert not (req.skips and cqe.res >= 0), "a success that was to be skipped"
        self.check_order(req)
        assert cqe.more == bool(cqe.flags & CqeFlags.MORE)
        if not cqe.more:
            self.check_chain(req, cqe.res)
            self.end(req, cqe.res)
        self.account(req, cqe.res)
        return req

    def check_order(self, req: Req) -> None:
        if req.inline:
            assert self.inline.pop(0) is req, "NOPs completed out of order"
        chain = req.chain
        assert chain is not None
        if chain.invalid:
            return
        for other in self.drained:
            if other is not chain and other.members[-1].order < req.order:
                assert other.finished(), "overtook a drained request"
        if chain.drained:
            first = chain.members[0].order
            late = [r for r in self.taken[:first] if not (r.ended or r.skips)]
            assert late == [], "a drained request completed before earlier ones"

    def check_chain(self, req: Req, res: int) -> None:
        chain = req.chain
        assert chain is not None
        if req.op == "LINK_TIMEOUT":
            return
        # A late one of a broken chain is overtaken by the others that were cancelled with it.
        assert req.position > chain.reached or req.late, "a chain completed out of order"
        chain.reached = max(chain.reached, req.position)
        if chain.invalid:
            return
        if chain.broken_at is not None:
            assert res == -errno.ECANCELED, "the chain was broken before this request"
        elif req.breaks_chain(res):
            chain.broken_at = req.position

    def account(self, req: Req, res: int) -> None:
        """Where did the bytes go?"""
        if req.source is None or not req.fills or res <= 0:
            return
        if req.dirty:
            req.source.exact = False
            return
        data = b"".join(req.bufs)[:res]
        chunk = words(data)
        assert chunk == list(range(chunk[0], chunk[0] + len(chunk))), "a read with a hole"
        req.source.seen += chunk

    def swallowed(self, req: Req) -> None:
        """The success of a request that asked for silence."""
        assert req.skips
        assert req.taken
        assert not req.surely_fails(), "an error that nobody was told of"
        self.end(req, None)

    def end(self, req: Req, res: int | None) -> None:
        req.ended = True
        req.res = res
        del self.live[req.key]
        if res is None and req.source is not None:
            req.source.exact = False

    def sent(self, sink: Sink) -> tuple[Counter[int], Counter[int]]:
        """The words that must have arrived at a sink, and those that may have besides."""
        surely: Counter[int] = Counter()
        perhaps: Counter[int] = Counter()
        for req in self.taken:
            if req.sink is sink:
                payload = [word for buf in req.bufs for word in words(buf)][: req.size // 4]
                if req.res is None:
                    perhaps.update(payload)
                elif req.res > 0:
                    surely.update(payload[: req.res // 4])
        return surely, perhaps

    def take_apart(self) -> None:
        """Leave no cycles to the collector."""
        for req in self.by_key.values():
            req.chain = req.target = None

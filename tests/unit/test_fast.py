"""The hot calls have a fast way beside their full one: nothing but their speed may tell them apart.

A keyword that the fast way does not know by identity sends the same call the full way: a name that
was put together at run time, or an argument that only few calls have.
"""

from __future__ import annotations

import gc
import inspect
import itertools
import os
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import uring_rs
from uring_rs import Op, Ring, Sqe, SqeFlags

HOT = ("prep_nop", "prep_read", "prep_write", "push", "submit")

CONTENT = bytes(range(256)) * 16


class Int(int):
    """A subclass of int, which is not an exact one."""


class Index:
    """An integer by its __index__ only."""

    def __index__(self) -> int:
        return 4


class Loud:
    """What raises when it is looked at."""

    def __index__(self) -> int:
        raise ZeroDivisionError("looked at")

    def fileno(self) -> int:
        raise ZeroDivisionError("looked at")


INTS: list[object] = [
    0, 1, 4, -1, -2, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64,
    -(2**63), -(2**63) - 1, 10**30, True, False, None, Int(4), Int(-1), Index(), Loud(),
    1.0, 4.5, "4", b"4", [4], Op.READV, SqeFlags.ASYNC, SqeFlags.IO_LINK,
    SqeFlags.IO_LINK | SqeFlags.ASYNC, SqeFlags.CQE_SKIP_SUCCESS, SqeFlags.BUFFER_SELECT,
    SqeFlags.IO_DRAIN, SqeFlags(0),
]  # fmt: skip

TOKENS: list[object] = [None, 0, "token", (), object(), Ring, Loud()]


def apart(name: str) -> str:
    """The same name as another object, which nobody has interned."""
    other = "".join([name[:1], name[1:]])
    assert other is not name
    return other


class Bench:
    """A ring with something to read and write, and the outcome of a call on it."""

    def __init__(self) -> None:
        self.kernel = uring_rs.SimKernel(1)
        self.file = self.kernel.file("content", CONTENT)
        self.ring = Ring(8, kernel=self.kernel)

    def outcome(self, method: str, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        """All there is to see of one call and what comes of it."""
        try:
            answer = getattr(self.ring, method)(*args, **kwargs)
        except Exception as error:
            assert self.ring.in_flight == 0
            return type(error), error.args, str(error)
        seen: list[object] = [type(answer), self.ring.in_flight, self.ring.sq_ready]
        if isinstance(answer, uring_rs.Request):
            seen += [answer.op, self.ring.is_live(answer)]
        else:
            seen.append(answer)
        self.ring.submit()
        while self.ring.in_flight:
            # In virtual time.
            self.ring.wait(1, 0.001)
        seen += [self.kernel.submitted[-1:], self.kernel.completed[-1:]]
        seen += [(id(cqe.user_data), cqe.res, cqe.flags, cqe.op) for cqe in self.ring]
        assert self.ring.in_flight == 0
        return seen


@pytest.fixture
def benches() -> Iterator[Callable[[], Bench]]:
    made: list[Bench] = []

    def make() -> Bench:
        made.append(Bench())
        return made[-1]

    yield make
    for bench in made:
        bench.ring.close()
        assert bench.kernel.violations == []


def same(
    fast: Bench,
    full: Bench,
    method: str,
    args: tuple[object, ...],
    kwargs: dict[str, object],
    only_full: dict[str, object],
) -> None:
    """The same call both ways. `only_full` is what makes the other the full one."""
    bufs = [bytearray(arg) if isinstance(arg, bytearray) else arg for arg in args]
    one = fast.outcome(method, args, kwargs)
    other = full.outcome(
        method, tuple(bufs), {apart(name): value for name, value in (kwargs | only_full).items()}
    )
    assert one == other, (method, args, kwargs)
    assert args == tuple(bufs), "something else was read"
    for arg in (*args, *bufs):
        if isinstance(arg, bytearray):
            arg.append(0)
            del arg[-1]


# Known to the full way alone.
EXTRA = {"prep_nop": {"personality": 0}, "prep_read": {"rw_flags": 0}, "submit": {"timeout": None}}
EXTRA["prep_write"] = EXTRA["prep_read"]


def test_prep_nop_both_ways(benches: Callable[[], Bench]) -> None:
    fast, full = benches(), benches()
    extra = EXTRA["prep_nop"]
    for token in TOKENS:
        same(fast, full, "prep_nop", (token,), {}, extra)
        same(fast, full, "prep_nop", (), {"user_data": token}, extra)
    for flags in INTS:
        same(fast, full, "prep_nop", (), {"flags": flags}, extra)
        same(fast, full, "prep_nop", ("token",), {"flags": flags}, extra)
        same(fast, full, "prep_nop", (), {"flags": flags, "user_data": "token"}, extra)
    same(fast, full, "prep_nop", (), {}, extra)
    same(fast, full, "prep_nop", ("one", "two"), {}, extra)
    same(fast, full, "prep_nop", ("one",), {"user_data": "two"}, extra)
    same(fast, full, "prep_nop", (), {"unknown": 1}, extra)
    same(fast, full, "prep_nop", (), {"unknown": 1, "flags": 99999}, extra)


@pytest.mark.parametrize("method", ["prep_read", "prep_write"])
def test_prep_read_and_prep_write_both_ways(method: str, benches: Callable[[], Bench]) -> None:
    fast, full = benches(), benches()
    file, extra = fast.file, EXTRA[method]
    assert full.file == file

    def check(*args: object, **kwargs: object) -> None:
        same(fast, full, method, args, kwargs, extra)

    check()
    check(file)
    check(file, bytearray(4))
    check(file, bytearray(4), 8, 2, "token")
    for wrong in INTS:
        check(wrong, bytearray(4), 0)
        check(file, bytearray(8), wrong)
        check(file, bytearray(8), 0, wrong)
        check(file, bytearray(8), offset=wrong)
        check(file, bytearray(8), nbytes=wrong, offset=0)
        check(file, bytearray(8), 0, flags=wrong)
        check(file, bytearray(8), wrong, wrong, flags=wrong)
    for token in TOKENS:
        check(file, bytearray(8), 16, user_data=token)
    buffers = [b"bytes", bytearray(), memoryview(b"bytes"), memoryview(bytearray(9))[::2], "str",
               None, 4, [bytearray(4)], Loud()]  # fmt: skip
    for buf in buffers:
        check(file, buf, 0)
    for names in itertools.permutations(["offset", "nbytes", "user_data", "flags"]):
        check(file, bytearray(8), **{name: {"user_data": "token"}.get(name, 4) for name in names})
    check(file, bytearray(4), 8, offset=8)
    check(file, bytearray(4), 8, 2, nbytes=2)
    check(file, bytearray(4), buf=bytearray(4))
    check(file, file=file, buf=bytearray(4))
    check(file, bytearray(4), unknown=4)
    check(99, bytearray(4), 0)
    check(Loud(), bytearray(4), 0)


@pytest.mark.parametrize("method", ["prep_read", "prep_write"])
def test_all_arguments_by_name(method: str, benches: Callable[[], Bench]) -> None:
    bench = benches()
    buf = bytearray(CONTENT[8:16])
    request = getattr(bench.ring, method)(
        user_data="token", offset=8, nbytes=6, buf=buf, flags=SqeFlags.ASYNC, file=bench.file
    )
    assert request.op == method.removeprefix("prep_").upper()
    cqe = bench.ring.wait_cqe()
    assert (cqe.user_data, cqe.res) == ("token", 6)
    assert buf == CONTENT[8:16]


def test_submit_both_ways(benches: Callable[[], Bench]) -> None:
    fast, full = benches(), benches()
    extra = EXTRA["submit"]
    same(fast, full, "submit", (), {}, extra)
    same(fast, full, "submit", (0, None), {}, {})
    same(fast, full, "submit", (0, 0.5), {}, {})
    same(fast, full, "submit", (0, "soon"), {}, {})
    same(fast, full, "submit", (), {"unknown": 0}, extra)
    for wait in INTS:
        # So many would be waited for until the end of time.
        if isinstance(wait, Index) or (isinstance(wait, int) and 0 < wait < 2**32):
            continue
        same(fast, full, "submit", (wait,), {}, extra)
        same(fast, full, "submit", (), {"wait": wait}, extra)
        same(fast, full, "submit", (0,), {"wait": wait}, extra)
    for wait in (1, True, Int(1), SqeFlags.FIXED_FILE):
        for bench, more in ((fast, {}), (full, extra)):
            bench.ring.prep_nop("token")
            answer = bench.ring.submit(wait, **more)  # type: ignore[arg-type]
            assert (answer, type(answer)) == (1, int)
            assert [cqe.user_data for cqe in bench.ring] == ["token"]


def test_push_takes_prepared_requests_only(benches: Callable[[], Bench]) -> None:
    bench = benches()
    sqe = Sqe.nop("token", flags=SqeFlags.ASYNC)
    assert bench.ring.push(sqe).op == "NOP"
    assert bench.ring.wait_cqe().user_data == "token"
    for args, kwargs in [((), {}), ((sqe, sqe), {}), ((), {"sqe": sqe}), ((sqe,), {"sqe": sqe})]:
        with pytest.raises(TypeError, match=r"Ring\.push\(\)"):
            bench.ring.push(*args, **kwargs)
    for wrong in (None, 4, "nop", bytearray(64), Sqe):
        with pytest.raises(TypeError, match="Sqe"):
            bench.ring.push(wrong)  # type: ignore[arg-type]
    assert bench.ring.in_flight == 0


def test_the_fast_way_is_refused_as_the_full_one(benches: Callable[[], Bench]) -> None:
    closed, full, parent = benches(), benches(), benches()
    closed.ring.close()
    for _ in range(16):
        full.ring.prep_timeout(1000)
    full.ring.submit()
    raising = uring_rs.Ring(1, sq_full="raise", kernel=uring_rs.SimKernel(1))
    raising.prep_nop()
    parent.ring.prep_nop()
    parent.ring.discard()

    def outcomes(ring: Ring) -> list[list[object]]:
        found = []
        calls: list[Callable[[dict[str, Any]], object]] = [
            lambda more: ring.prep_nop(**more and EXTRA["prep_nop"]),  # type: ignore[arg-type]
            lambda more: ring.prep_read(0, bytearray(4), **more and EXTRA["prep_read"]),  # type: ignore[arg-type]
            lambda more: ring.prep_write(0, b"data", **more and EXTRA["prep_write"]),  # type: ignore[arg-type]
            lambda more: ring.push_many([Sqe.nop()]) if more else ring.push(Sqe.nop()),
        ]
        if ring is not full.ring and ring is not raising:
            calls.append(lambda more: ring.submit(**more and EXTRA["submit"]))  # type: ignore[arg-type]
        for call in calls:
            pair: list[object] = []
            for more in ({}, {"more": True}):
                with pytest.raises(uring_rs.UringError) as caught:
                    call(more)
                pair.append((type(caught.value), caught.value.errno, str(caught.value)))
            found.append(pair)
        return found

    results = outcomes(closed.ring) + outcomes(full.ring) + outcomes(raising)
    elsewhere: list[list[object]] = []
    thread = threading.Thread(target=lambda: elsewhere.extend(outcomes(parent.ring)))
    thread.start()
    thread.join()
    assert len(elsewhere) == 5
    for fast, slow in results + elsewhere:
        assert fast == slow
    kinds = [pair[0][0].__name__ for pair in results + elsewhere]  # type: ignore[index]
    expected = ["RingClosed"] * 5 + ["SubmissionQueueFull"] * 8 + ["WrongThread"] * 5
    assert kinds == expected
    raising.discard()
    raising.close()


SIGNATURES = {
    "prep_nop": "(self, /, user_data=None, *, result=None, file=None, buf=None, nop_flags=0, "
    "extra=None, flags=0, personality=0)",
    "prep_read": "(self, /, file, buf=None, offset=-1, nbytes=None, *, rw_flags=0, ioprio=0, "
    "pool=None, user_data=None, flags=0, personality=0)",
    "prep_write": "(self, /, file, buf, offset=-1, nbytes=None, *, rw_flags=0, ioprio=0, "
    "user_data=None, flags=0, personality=0)",
    "push": "(self, sqe, /)",
    "submit": "(self, /, wait=0, timeout=None, *, min_wait=None)",
}


@pytest.mark.parametrize("name", HOT)
def test_signatures_and_documentation_are_kept(name: str) -> None:
    method = getattr(Ring, name)
    assert str(inspect.signature(method)) == SIGNATURES[name]
    assert method.__name__ == name
    assert method.__qualname__ == f"Ring.{name}"
    assert method.__objclass__ is Ring
    assert type(method) is type(Ring.prep_fsync)
    documentation = inspect.getdoc(method)
    assert documentation
    assert "--" not in documentation.splitlines()[0]
    assert documentation[0].isupper()
    if name == "submit":
        assert "Returns: how many requests the kernel took." in documentation


@pytest.mark.parametrize("name", [*HOT, "__next__"])
def test_the_receiver_must_be_a_ring(name: str) -> None:
    method = getattr(Ring, name)
    for wrong in (None, 4, object(), Ring, Sqe.nop()):
        with pytest.raises(TypeError, match=f"'{name}' (requires a|for) 'uring_rs.Ring'"):
            method(wrong)
    with pytest.raises(TypeError):
        method()


def test_subclasses_take_both_ways(benches: Callable[[], Bench]) -> None:
    class Counting(Ring):
        """Counts what passes through it."""

        count = 0

        def prep_nop(self, *args: Any, **kwargs: Any) -> uring_rs.Request:
            self.count += 1
            return super().prep_nop(*args, **kwargs)

        def __next__(self) -> uring_rs.Completion:
            self.count += 10
            return super().__next__()

    with Counting(8, kernel=uring_rs.SimKernel(1)) as ring:
        ring.prep_nop("one")
        ring.prep_nop(user_data="two", personality=0)
        assert ring.submit(2) == 2
        assert [cqe.user_data for cqe in ring] == ["one", "two"]
        assert ring.count == 32
        assert Ring.__next__
        with pytest.raises(StopIteration):
            Ring.__next__(ring)


def test_iteration_ends_and_goes_on() -> None:
    with Ring(8, kernel=uring_rs.SimKernel(1)) as ring:
        assert next(ring, None) is None
        ring.prep_nop("one")
        assert next(ring, "none") == "none"
        ring.submit()
        found = iter(ring)
        assert found is ring
        assert next(found).user_data == "one"
        with pytest.raises(StopIteration):
            next(found)
        ring.prep_nop("two")
        ring.submit()
        assert [cqe.user_data for cqe in found] == ["two"]


def test_arguments_are_not_kept() -> None:
    tokens = [object() for _ in range(3)]
    buf = bytearray(8)
    flags = SqeFlags.ASYNC
    with Ring(8, kernel=(kernel := uring_rs.SimKernel(1))) as ring:
        file = kernel.file("content", CONTENT)
        watched = [*tokens, buf, flags, kernel, ring, "user_data", "flags"]
        sqe = Sqe.nop(tokens[2])
        before: list[int] = []
        for turn in range(51):
            if turn == 1:
                # The first one makes what is made once; and what earlier tests left must not be
                # let go of between the two counts.
                gc.collect()
                before = [sys.getrefcount(each) for each in watched]
            ring.prep_nop(tokens[0], flags=flags)
            ring.prep_read(file, buf, 0, user_data=tokens[1], flags=flags)
            ring.push(sqe)
            ring.submit(wait=3)
            for cqe in ring:
                assert cqe.user_data in tokens
            for wrong in ({"flags": "flags"}, {"unknown": buf}, {"offset": kernel}):
                with pytest.raises(TypeError):
                    ring.prep_read(file, buf, user_data=tokens[1], **wrong)
            with pytest.raises(ValueError, match="nbytes"):
                ring.prep_read(file, buf, nbytes=9, user_data=tokens[1])
            del cqe, wrong
        gc.collect()
        assert [sys.getrefcount(each) for each in watched] == before


WORK: dict[str, Callable[[Ring, int, bytearray, Sqe], None]] = {
    "nop": lambda ring, file, buf, sqe: [ring.prep_nop(buf) for _ in range(32)] and None,
    "read": lambda ring, file, buf, sqe: [ring.prep_read(file, buf, 0) for _ in range(32)] and None,
    "push": lambda ring, file, buf, sqe: [ring.push(sqe) for _ in range(32)] and None,
}


@pytest.mark.thread_unsafe(reason="counts what the whole process allocates")
@pytest.mark.parametrize("kind", [*WORK, "bulk"])
def test_steady_work_allocates_nothing(kind: str) -> None:
    buf = bytearray(16)
    records = bytearray(16 * 32)
    sqe = Sqe.nop(buf)
    file = os.open("/dev/zero", os.O_RDONLY)

    def batch(ring: Ring) -> None:
        if kind == "bulk":
            ring.prep_nop_batch(32)
            ring.submit(wait=32)
            assert ring.reap_into(records) == 32
            return
        WORK[kind](ring, file, buf, sqe)
        ring.submit(wait=32)
        for cqe in ring:
            assert cqe.res >= 0

    def blocks(ring: Ring, batches: int) -> int:
        """How many more blocks of memory there are after so many batches."""
        before = sys.getallocatedblocks()
        for _ in range(batches):
            batch(ring)
        return sys.getallocatedblocks() - before

    gc.disable()
    try:
        with Ring(32) as ring:
            for _ in range(50):
                batch(ring)
            # The interpreter's own caches come and go by a few.
            assert abs(min(blocks(ring, 200) for _ in range(3))) < 32
            tracemalloc.start()
            try:
                for _ in range(10):
                    batch(ring)
                start, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                for _ in range(100):
                    batch(ring)
                end, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    finally:
        gc.enable()
        os.close(file)
    assert end - start < 1024
    # Not even in between: the objects of a batch come from where those of the last one went.
    assert peak - start < 8192

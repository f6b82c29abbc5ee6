"""The trace switch: what a ring does, in order, told to a callable or to logging."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

import pytest

import uring_rs
from conformance.kit import Pipe, one, several
from helpers.child import run_child
from uring_rs import EnterFlags, SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")

Event = tuple[str, dict[str, Any]]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def traced(make_ring: Callable[..., uring_rs.Ring], events: list[Event]) -> uring_rs.Ring:
    return make_ring(8, trace=lambda name, info: events.append((name, info)))


def names(events: list[Event]) -> list[str]:
    return [name for name, _ in events]


def test_events_in_order(traced: uring_rs.Ring, events: list[Event]) -> None:
    fd = traced.fileno()
    assert events == [("open", {"fd": fd})]
    first = traced.prep_nop("a", flags=SqeFlags.ASYNC)
    second = traced.prep_openat("/nonexistent/uring_rs")
    several(traced, 2)
    traced.close()
    preps = [info for name, info in events if name == "prep"]
    assert preps == [
        {"op": "NOP", "key": first.key, "fd": -1, "flags": SqeFlags.ASYNC},
        {"op": "OPENAT", "key": second.key, "fd": -100, "flags": 0},
    ]
    completes = {info["key"]: info for name, info in events if name == "complete"}
    assert completes == {
        first.key: {"op": "NOP", "key": first.key, "res": 0, "flags": 0},
        second.key: {"op": "OPENAT", "key": second.key, "res": -errno.ENOENT, "flags": 0},
    }
    order = names(events)
    assert order[:4] == ["open", "prep", "prep", "enter"]
    assert order[-3:] == ["complete", "complete", "close"]
    assert set(order[3:-3]) == {"enter"}
    assert events[3][1]["to_submit"] == 2
    assert events[3][1]["result"] == 2
    assert events[-1] == ("close", {"fd": fd})


def test_enters(traced: uring_rs.Ring, events: list[Event], pipe: Pipe) -> None:
    traced.prep_read(pipe.out, bytearray(1))
    traced.submit()
    del events[:]
    assert traced.wait(1, timeout=0.001) == 0
    (enter,) = events
    assert enter[0] == "enter"
    assert enter[1]["min_complete"] == 1
    assert enter[1]["flags"] & EnterFlags.GETEVENTS
    assert enter[1]["result"] == "ETIME"
    del events[:]
    traced.enter(0)
    assert events == [("enter", {"to_submit": 0, "min_complete": 0, "flags": 0, "result": 0})]


def test_completions_are_told_when_they_are_taken(
    traced: uring_rs.Ring, events: list[Event]
) -> None:
    traced.prep_nop(1)
    traced.prep_nop(2)
    traced.submit(wait=2)
    assert "complete" not in names(events)
    traced.pop()
    assert names(events).count("complete") == 1
    assert traced.peek() is not None
    traced.pop()
    assert names(events).count("complete") == 2


def test_pushes(traced: uring_rs.Ring, events: list[Event]) -> None:
    request = traced.push(uring_rs.Sqe.nop())
    assert events[-1] == ("prep", {"op": "NOP", "key": request.key, "fd": -1, "flags": 0})


def test_what_is_refused_is_no_event(traced: uring_rs.Ring, events: list[Event]) -> None:
    del events[:]
    with pytest.raises(TypeError):
        traced.prep_read("file", bytearray(1))  # type: ignore[arg-type]
    assert events == []


def test_the_automatic_submission_is_told(traced: uring_rs.Ring, events: list[Event]) -> None:
    for _ in range(9):
        traced.prep_nop()
    order = names(events)
    assert order.index("enter") == 1 + 8
    assert order[-1] == "prep"
    assert order.count("enter") == 1


def test_the_callable_may_use_the_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    seen = []

    def look(name: str, info: dict[str, Any]) -> None:
        if name != "open":
            seen.append((name, ring.in_flight, ring.sq_ready))
        if name == "prep" and info["op"] == "NOP" and not nested:
            nested.append(ring.prep_timeout(0))

    nested: list[uring_rs.Request] = []
    ring = make_ring(4, trace=look)
    ring.prep_nop()
    assert seen[:2] == [("prep", 2, 2), ("prep", 2, 2)] or seen[0][0] == "prep"
    assert {cqe.op for cqe in several(ring, 2)} == {"NOP", "TIMEOUT"}
    assert seen[-1][0] == "complete"


def test_a_raising_callable_changes_nothing(
    make_ring: Callable[..., uring_rs.Ring], monkeypatch: pytest.MonkeyPatch, fd: int
) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", caught.append)

    def broken(name: str, info: object) -> None:
        raise ZeroDivisionError(name)

    ring = make_ring(4, trace=broken)
    buf = bytearray(4)
    ring.prep_read(fd, buf, 0, user_data="read")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result()) == ("read", 4)
    ring.close()
    assert ring.closed
    assert [type(args.exc_value) for args in caught] == [ZeroDivisionError] * len(caught)
    told = [str(args.exc_value) for args in caught]
    assert told[:3] == ["open", "prep", "enter"]
    assert told[-2:] == ["complete", "close"]
    assert all(args.object is broken for args in caught)


@pytest.mark.parametrize("wrong", [5, "text", [], {}])
def test_not_callable(wrong: Any) -> None:
    with pytest.raises(TypeError, match="trace must be callable"):
        uring_rs.Ring(4, trace=wrong)


CHILD = """
import uring_rs
with uring_rs.Ring(4) as ring:
    ring.prep_nop("tag")
    ring.submit(wait=1)
    print(len(ring.reap()))
"""


def test_by_environment() -> None:
    done = run_child(CHILD, env={"URING_RS_TRACE": "1"})
    assert done.stdout == "1\n"
    lines = [line.split(": ", 1) for line in done.stderr.splitlines()]
    assert {prefix for prefix, _ in lines} == {"uring_rs.trace"}
    order = [text.split()[0] for _, text in lines]
    assert order[:2] == ["open", "prep"]
    assert order[-2:] == ["complete", "close"]
    assert set(order[2:-2]) == {"enter"}
    assert "op='NOP'" in lines[1][1]
    assert "res=0" in lines[-2][1]


@pytest.mark.parametrize("value", ["", "0"])
def test_off_by_environment(value: str) -> None:
    done = run_child(CHILD, env={"URING_RS_TRACE": value})
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_callable_goes_before_the_environment() -> None:
    done = run_child(
        """
        import uring_rs
        with uring_rs.Ring(4, trace=lambda name, info: print(name)) as ring:
            pass
        """,
        env={"URING_RS_TRACE": "1"},
    )
    assert done.stdout.split() == ["open", "close"]
    assert done.stderr == ""

"""A closed ring: every call that needs an open one raises RingClosed, and nothing dies."""

from __future__ import annotations

import pytest

import uring_rs
from helpers.calls import FACTS, STANDING, all_calls
from helpers.child import run_child

NAMES = {
    name
    for name in dir(uring_rs.Ring)
    if not name.startswith("__") or name in ("__enter__", "__next__")
}


def test_the_list_of_calls_is_complete() -> None:
    with all_calls() as calls:
        listed = {name for name in calls.all if " " not in name}
        assert listed | set(FACTS) | {"close"} == NAMES


@pytest.mark.parametrize("shared", [False, True])
def test_each_call_on_a_closed_ring(shared: bool) -> None:
    ring = uring_rs.Ring(8, shared=shared)
    ring.close()
    with all_calls() as calls:
        for name, call in calls.opening.items():
            with pytest.raises(uring_rs.RingClosed, match="the ring is closed"):
                print(name, call(ring))
        for call in calls.reading.values():
            if call is not calls.reading["__next__"]:
                call(ring)
        with pytest.raises(StopIteration):
            next(ring)
    assert {name: getattr(ring, name) for name in STANDING} == {
        "closed": True,
        "sq_space": 0,
        "sq_ready": 0,
        "cq_ready": 0,
        "in_flight": 0,
        "cq_overflowed": False,
        "sq_needs_wakeup": False,
        "stray_completions": 0,
        "clock": "monotonic",
        "registered_ring_fd": None,
        "iowait": True,
        "files": None,
        "cq_eventfd_enabled": True,
    }
    assert all(hasattr(ring, name) for name in FACTS)
    assert "closed" in repr(ring)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.__enter__()
    assert ring.__exit__(None, None, None) is None


def test_refused_requests_leave_nothing_locked() -> None:
    ring = uring_rs.Ring(8)
    ring.close()
    buf = bytearray(8)
    for call in (ring.prep_read, ring.prep_recv):
        with pytest.raises(uring_rs.RingClosed):
            call(0, buf)
    buf.append(1)


@pytest.mark.parametrize("shared", [False, True])
def test_the_exception_is_made_with_the_ring_let_go(shared: bool) -> None:
    # Making an exception runs Python code, and the collector: both may use the very ring.
    run_child(
        f"""
        import uring_rs
        from uring_rs import errors

        ring = uring_rs.Ring(8, shared={shared})
        ring.close()
        made = []

        class Nosy(errors.RingClosed):
            def __init__(self, *args):
                super().__init__(*args)
                made.append((ring.in_flight, ring.cq_ready, ring.closed))

        errors.RingClosed = Nosy
        for call in (ring.prep_nop, ring.submit, ring.flush, ring.fileno, ring.wait, ring.discard,
                     lambda: ring.enter(0), lambda: ring.buffer_pool(1, 1), ring.wake):
            try:
                call()
            except Nosy:
                pass
        assert made == [(0, 0, True)] * 9, made
        """,
        timeout=10,
    )


def test_unread_completions_of_a_closed_ring() -> None:
    ring = uring_rs.Ring(8)
    for number in range(5):
        ring.prep_nop(user_data=number)
    ring.submit()
    assert ring.peek().user_data == 0
    ring.close()
    assert ring.cq_ready == 5
    assert ring.peek().user_data == 0
    assert [cqe.user_data for cqe in ring] == list(range(5))
    assert ring.pop() is None
    assert ring.reap() == []

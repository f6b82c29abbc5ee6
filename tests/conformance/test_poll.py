"""POLL_ADD once and again and again, POLL_REMOVE, and changing what is waited for."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pair, Pipe, failed, idle, one, results, several
from uring_rs import CqeFlags

pytestmark = pytest.mark.requires_op("POLL_ADD", "POLL_REMOVE")

IN, OUT, HUP, ERR = select.POLLIN, select.POLLOUT, select.POLLHUP, select.POLLERR
NEVER = select.POLLPRI  # nothing urgent ever comes out of a pipe


# --- once


def test_waits_until_ready(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_poll_add(pipe.out, IN, user_data="p")
    ring.submit()
    assert ring.pop() is None
    pipe.feed()
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.more, cqe.op) == ("p", IN, False, "POLL_ADD")
    pipe.feed()
    assert ring.pop() is None
    idle(ring)


def test_ready_already(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_poll_add(pipe.into, IN | OUT)
    assert one(ring).result() == OUT


def test_several_events_and_files(ring: uring_rs.Ring, pair: Pair, pipe: Pipe) -> None:
    pair[0].send(b"x")
    ring.prep_poll_add(pair[1], IN | OUT, user_data="socket")
    ring.prep_poll_add(pipe.into, OUT, user_data="pipe")
    assert results(ring, 2) == {"socket": IN | OUT, "pipe": OUT}


def test_the_other_end_closes(ring: uring_rs.Ring) -> None:
    out, into = os.pipe()
    ring.prep_poll_add(out, IN)
    ring.submit()
    os.close(into)
    assert one(ring).result() == HUP
    os.close(out)
    out, into = os.pipe()
    os.close(out)
    ring.prep_poll_add(into, 0)
    assert one(ring).result() == ERR  # reported though not asked for
    os.close(into)


def test_files_that_cannot_be_polled(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    """A regular file is always ready, as for poll(2)."""
    ring.prep_poll_add(fd, IN | OUT)
    assert one(ring).result() == IN | OUT
    ring.prep_poll_add(closed_fd, IN)
    failed(one(ring), OSError, errno.EBADF)


def test_bad_arguments(ring: uring_rs.Ring, pipe: Pipe) -> None:
    with pytest.raises(ValueError, match="negative"):
        ring.prep_poll_add(-1, IN)
    with pytest.raises(TypeError):
        ring.prep_poll_add(None, IN)  # type: ignore[arg-type]
    for events in (-1, 2**32):
        with pytest.raises(OverflowError):
            ring.prep_poll_add(pipe.out, events)
    with pytest.raises(TypeError):
        ring.prep_poll_add(pipe.out, "in")  # type: ignore[arg-type]
    for wrong in (None, 7, "p", ring):
        for prep in (ring.prep_poll_remove, lambda r: ring.prep_poll_update(r, IN)):
            with pytest.raises(TypeError, match="expected a Request"):
                prep(wrong)  # type: ignore[arg-type]
    idle(ring)


# --- multishot


def test_multishot_reports_every_event(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.out, IN, multishot=True, user_data="m")
    ring.submit()
    for _ in range(5):
        pipe.feed()
        cqe = one(ring)
        assert (cqe.user_data, cqe.result(), cqe.more) == ("m", IN, True)
        assert cqe.flags & CqeFlags.MORE
        assert cqe.request == request
        assert ring.is_live(request)
        assert ring.in_flight == 1
    ring.prep_poll_remove(request, user_data="r")
    last = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert last["r"].result() == 0
    assert not last["m"].more
    failed(last["m"], OSError, errno.ECANCELED)
    assert not ring.is_live(request)
    pipe.feed()
    assert ring.pop() is None
    idle(ring)


def test_multishot_data_that_was_there_before(ring: uring_rs.Ring, pipe: Pipe) -> None:
    pipe.feed()
    ring.prep_poll_add(pipe.out, IN, multishot=True)
    cqe = one(ring)
    assert (cqe.result(), cqe.more) == (IN, True)


def test_two_multishots_on_one_file(ring: uring_rs.Ring, pipe: Pipe) -> None:
    for tag in "ab":
        ring.prep_poll_add(pipe.out, IN, multishot=True, user_data=tag)
    ring.submit()
    for _ in range(3):
        pipe.feed()
        assert results(ring, 2) == {"a": IN, "b": IN}


# --- remove


def test_remove(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.out, IN, user_data="p")
    ring.submit()
    ring.prep_poll_remove(request, user_data="r")
    assert results(ring, 2) == {"p": -errno.ECANCELED, "r": 0}
    idle(ring)


def test_remove_too_late(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.into, OUT)
    assert one(ring).result() == OUT
    ring.prep_poll_remove(request)
    failed(one(ring), FileNotFoundError, errno.ENOENT)


def test_remove_is_for_polls_only(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_timeout(1000)
    ring.submit()
    ring.prep_poll_remove(request)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    assert ring.is_live(request)


def test_a_new_request_in_the_same_place_is_another(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Stale handles never hit whoever came later."""
    stale = ring.prep_poll_add(pipe.into, OUT)
    one(ring)
    fresh = ring.prep_poll_add(pipe.out, IN)
    ring.submit()
    ring.prep_poll_remove(stale)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    assert ring.is_live(fresh)


def test_another_rings_request(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring], pipe: Pipe
) -> None:
    other = make_ring(4)
    request = other.prep_poll_add(pipe.out, IN)
    other.submit()
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_poll_remove(request)
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_poll_update(request, OUT)
    assert not ring.is_live(request)
    assert other.is_live(request)
    idle(ring)


# --- update


def test_update_of_the_events(ring: uring_rs.Ring, pipe: Pipe) -> None:
    pipe.feed()
    request = ring.prep_poll_add(pipe.out, NEVER, user_data="p")
    ring.submit()
    assert ring.pop() is None
    ring.prep_poll_update(request, IN, user_data="u")
    assert results(ring, 2) == {"p": IN, "u": 0}
    idle(ring)


def test_update_that_ends_nothing(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.out, IN, user_data="p")
    ring.submit()
    ring.prep_poll_update(request, NEVER, user_data="u")
    assert results(ring, 1) == {"u": 0}
    pipe.feed()
    assert ring.pop() is None
    ring.prep_poll_update(request, IN | NEVER, user_data="u")
    assert results(ring, 2) == {"p": IN, "u": 0}


@pytest.mark.parametrize("multishot", [False, True], ids=["once", "multishot"])
def test_update_leaves_the_kind(ring: uring_rs.Ring, pipe: Pipe, multishot: bool) -> None:
    request = ring.prep_poll_add(pipe.out, NEVER, multishot=multishot, user_data="p")
    ring.submit()
    ring.prep_poll_update(request, IN, user_data="u")
    assert results(ring, 1) == {"u": 0}
    pipe.feed()
    cqe = one(ring)
    assert (cqe.result(), cqe.more) == (IN, multishot)
    assert ring.is_live(request) is multishot


def test_update_too_late(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = ring.prep_poll_add(pipe.into, OUT)
    one(ring)
    ring.prep_poll_update(request, IN)
    failed(one(ring), FileNotFoundError, errno.ENOENT)


# --- level-triggered


def test_level_is_passed_on(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """The kernel has the flag, and has refused it so far."""
    for more in ({}, {"multishot": True}):
        pipe.feed()
        ring.prep_poll_add(pipe.out, IN, level=True, **more)
        cqe = one(ring)
        assert cqe.res in (-errno.EINVAL, IN)
        if cqe.more:
            ring.prep_cancel(cqe.request)
            several(ring, 2)


def test_edge_triggered_multishot(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """What is still there is not reported again."""
    pipe.feed(b"several")
    ring.prep_poll_add(pipe.out, IN, multishot=True)
    assert one(ring).result() == IN
    ring.prep_nop("n")
    assert one(ring).user_data == "n"


def test_exclusive(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Of several that wait for a file so, fewer than all are told."""
    for _ in range(3):
        ring.prep_poll_add(pipe.out, IN | select.EPOLLEXCLUSIVE)
    ring.submit()
    pipe.feed()
    ring.submit(wait=1)
    assert 1 <= len(ring.reap()) < 3

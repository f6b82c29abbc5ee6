"""ASYNC_CANCEL: one request, by file, everything; too late, and of another ring."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import CONTENT, Pair, Pipe, failed, idle, one, results, several
from uring_rs import SqeFlags

pytestmark = pytest.mark.requires_op("ASYNC_CANCEL", "READ")

CANCELED = -errno.ECANCELED


def read(ring: uring_rs.Ring, pipe: Pipe, tag: object = "read") -> uring_rs.Request:
    return ring.prep_read(pipe.out, bytearray(4), user_data=tag)


# --- one request


def test_one_request(ring: uring_rs.Ring, pipe: Pipe) -> None:
    buf = bytearray(4)
    request = ring.prep_read(pipe.out, buf, user_data="read")
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert (found["cancel"].result(), found["cancel"].op) == (0, "ASYNC_CANCEL")
    failed(found["read"], OSError, errno.ECANCELED)
    buf.append(0)
    idle(ring)
    pipe.feed(b"data")
    assert os.read(pipe.out, 4) == b"data"  # nothing has been taken


def test_only_that_one(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    made = [pipes() for _ in range(3)]
    requests = [read(ring, pipe, tag) for tag, pipe in enumerate(made)]
    ring.submit()
    ring.prep_cancel(requests[1], user_data="cancel")
    assert results(ring, 2) == {"cancel": 0, 1: CANCELED}
    made[0].feed(b"ab")
    made[2].feed(b"abc")
    assert results(ring, 2) == {0: 2, 2: 3}


def test_in_the_same_submission(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_cancel(read(ring, pipe), user_data="cancel")
    assert results(ring, 2) == {"cancel": 0, "read": CANCELED}


@pytest.mark.parametrize(
    "stage",
    [
        lambda ring, pipe, pair: ring.prep_poll_add(pipe.out, select.POLLIN),
        lambda ring, pipe, pair: ring.prep_poll_add(pipe.out, select.POLLIN, multishot=True),
        lambda ring, pipe, pair: ring.prep_timeout(10_000),
        lambda ring, pipe, pair: ring.prep_recv(pair[0], bytearray(4)),
        lambda ring, pipe, pair: ring.prep_recvmsg(pair[0], [bytearray(4)], 64),
        lambda ring, pipe, pair: ring.prep_readv(pipe.out, [bytearray(4)]),
    ],
    ids=["poll", "multishot", "timeout", "recv", "recvmsg", "readv"],
)
def test_kinds_of_requests(
    ring: uring_rs.Ring,
    pipe: Pipe,
    pair: Pair,
    stage: Callable[[uring_rs.Ring, Pipe, Pair], uring_rs.Request],
) -> None:
    request = stage(ring, pipe, pair)
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    found = {cqe.user_data: cqe for cqe in several(ring, 2)}
    assert found["cancel"].result() == 0
    failed(found[None], OSError, errno.ECANCELED)
    assert not found[None].more
    idle(ring)


def test_with_a_worker(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """-EALREADY is no promise: a worker just busy with the read may still let it wait again."""
    for _ in range(100):
        request = ring.prep_read(pipe.out, bytearray(4), user_data="read", flags=SqeFlags.ASYNC)
        ring.submit()
        found: dict[object, list[int]] = {"cancel": [], "read": []}
        while not found["read"]:
            ring.prep_cancel(request, user_data="cancel")
            ring.submit(wait=1)
            for cqe in ring:
                found[cqe.user_data].append(cqe.res)
        while ring.in_flight:
            ring.wait(1)
            for cqe in ring:
                found[cqe.user_data].append(cqe.res)
        assert found["read"] in ([CANCELED], [-errno.EINTR])
        assert set(found["cancel"]) <= {0, -errno.EALREADY, -errno.ENOENT}


def test_accept(ring: uring_rs.Ring) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        request = ring.prep_accept(server, user_data="accept")
        ring.submit()
        ring.prep_cancel(request, user_data="cancel")
        found = {cqe.user_data: cqe for cqe in several(ring, 2)}
        assert found["cancel"].result() == 0
        failed(found["accept"], OSError, errno.ECANCELED)


def test_behind_a_link(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """A member of a waiting chain can be cancelled; those after it go with it."""
    ring.prep_read(pipe.out, bytearray(4), user_data="head", flags=SqeFlags.IO_LINK)
    ring.prep_nop("tail")
    ring.submit()
    ring.prep_cancel_fd(pipe.out, user_data="cancel")
    assert results(ring, 3) == {"cancel": 0, "head": CANCELED, "tail": CANCELED}


def test_too_late(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop()
    one(ring)
    ring.prep_cancel(request)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    idle(ring)


def test_a_stale_handle_hits_nobody(ring: uring_rs.Ring, pipe: Pipe) -> None:
    stale = ring.prep_nop()
    one(ring)
    fresh = read(ring, pipe)
    ring.submit()
    ring.prep_cancel(stale, user_data="cancel")
    assert results(ring, 1) == {"cancel": -errno.ENOENT}
    assert ring.is_live(fresh)
    pipe.feed(b"ok")
    assert results(ring, 1) == {"read": 2}


def test_a_discarded_request(ring: uring_rs.Ring, pipe: Pipe) -> None:
    request = read(ring, pipe)
    ring.discard()
    ring.prep_cancel(request)
    failed(one(ring), FileNotFoundError, errno.ENOENT)


def test_request_of_another_ring(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring], pipe: Pipe
) -> None:
    other = make_ring(4)
    request = read(other, pipe)
    other.submit()
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_cancel(request)
    with pytest.raises(ValueError, match="another ring"):
        ring.push(uring_rs.Sqe.cancel(request))
    idle(ring)
    assert other.is_live(request)


@pytest.mark.parametrize("wrong", [None, 0, "read", object()])
def test_not_a_request(ring: uring_rs.Ring, wrong: object) -> None:
    with pytest.raises(TypeError, match="expected a Request"):
        ring.prep_cancel(wrong)  # type: ignore[arg-type]
    idle(ring)


def test_a_completion_names_its_request(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_poll_add(pipe.out, select.POLLIN, multishot=True, user_data="poll")
    ring.submit()
    pipe.feed()
    ring.prep_cancel(one(ring).request, user_data="cancel")
    assert results(ring, 2) == {"cancel": 0, "poll": CANCELED}


# --- by file


def test_first_on_a_file(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    here, there = pipes(), pipes()
    for pipe, tag in ((here, "here"), (there, "there")):
        read(ring, pipe, tag)
    ring.submit()
    ring.prep_cancel_fd(here.out, user_data="cancel")
    assert results(ring, 2) == {"cancel": 0, "here": CANCELED}
    assert ring.in_flight == 1


def test_one_of_several_on_a_file(ring: uring_rs.Ring, pipe: Pipe) -> None:
    for tag in range(3):
        read(ring, pipe, tag)
    ring.submit()
    ring.prep_cancel_fd(pipe.out, user_data="cancel")
    found = results(ring, 2)
    assert found.pop("cancel") == 0
    assert list(found.values()) == [CANCELED]
    assert ring.in_flight == 2


def test_all_on_a_file(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    here, there = pipes(), pipes()
    for tag in range(3):
        read(ring, here, tag)
    read(ring, there, "there")
    ring.submit()
    ring.prep_cancel_fd(here.out, all=True, user_data="cancel")
    assert results(ring, 4) == {"cancel": 3} | dict.fromkeys(range(3), CANCELED)
    assert ring.in_flight == 1


def test_file_without_requests(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    ring.prep_cancel_fd(fd)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    ring.prep_cancel_fd(fd, all=True)
    assert one(ring).result() == 0
    ring.prep_cancel_fd(closed_fd)
    failed(one(ring), OSError, errno.EBADF)
    with pytest.raises(ValueError, match="negative"):
        ring.prep_cancel_fd(-1)
    with pytest.raises(TypeError):
        ring.prep_cancel_fd("file")  # type: ignore[arg-type]
    idle(ring)


# --- everything


def test_everything(ring: uring_rs.Ring, pipe: Pipe, pair: Pair) -> None:
    read(ring, pipe, 0)
    ring.prep_poll_add(pipe.out, select.POLLIN, multishot=True, user_data=1)
    ring.prep_recv(pair[0], bytearray(4), user_data=2)
    ring.prep_timeout(10_000, user_data=3)
    ring.submit()
    ring.prep_cancel_all(user_data="cancel")
    assert results(ring, 5) == {"cancel": 4} | dict.fromkeys(range(4), CANCELED)
    idle(ring)


def test_nothing_to_cancel(ring: uring_rs.Ring) -> None:
    ring.prep_cancel_all()
    assert one(ring).result() == 0
    idle(ring)


def test_other_rings_are_left_alone(
    ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring], pipe: Pipe
) -> None:
    other = make_ring(4)
    request = read(other, pipe)
    other.submit()
    ring.prep_cancel_all(user_data=1)
    ring.prep_cancel_fd(pipe.out, all=True, user_data=2)
    assert results(ring, 2) == {1: 0, 2: 0}
    assert other.is_live(request)


def test_what_is_done_is_not_undone(ring: uring_rs.Ring, fd: int) -> None:
    """Completed but unread: the cancel comes too late and changes nothing."""
    buf = bytearray(4)
    request = ring.prep_read(fd, buf, 0, user_data="read")
    ring.submit(wait=1)
    ring.prep_cancel(request, user_data="cancel")
    assert results(ring, 2) == {"read": 4, "cancel": -errno.ENOENT}
    assert buf == CONTENT[:4]


# --- by operation


def test_by_operation(ring: uring_rs.Ring, pipe: Pipe) -> None:
    read(ring, pipe)
    ring.prep_timeout(10_000, user_data="timeout")
    ring.prep_poll_add(pipe.out, select.POLLIN, user_data="poll")
    ring.submit()
    ring.prep_cancel_op("POLL_ADD", user_data="cancel")
    assert results(ring, 2) == {"poll": CANCELED, "cancel": 0}
    ring.prep_cancel_op("timeout", user_data="cancel")
    assert results(ring, 2) == {"timeout": CANCELED, "cancel": 0}
    ring.prep_cancel_op(22, user_data="cancel")  # READ
    assert results(ring, 2) == {"read": CANCELED, "cancel": 0}
    ring.prep_cancel_op("READ")
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    idle(ring)


def test_by_operation_the_first_or_all(ring: uring_rs.Ring, pipe: Pipe) -> None:
    for tag in range(4):
        read(ring, pipe, tag)
    ring.prep_poll_add(pipe.out, select.POLLIN, user_data="poll")
    ring.submit()
    ring.prep_cancel_op("READ", user_data="cancel")
    assert len(results(ring, 2)) == 2
    ring.prep_cancel_op("READ", all=True, user_data="cancel")
    assert results(ring, 4)["cancel"] == 3
    assert ring.in_flight == 1


def test_by_operation_and_file(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    one_, two = pipes(), pipes()
    for pipe in (one_, two):
        read(ring, pipe, ("read", pipe.out))
        ring.prep_poll_add(pipe.out, select.POLLIN, user_data=("poll", pipe.out))
    ring.submit()
    ring.prep_cancel_op("READ", file=two.out, all=True, user_data="cancel")
    assert results(ring, 2) == {("read", two.out): CANCELED, "cancel": 1}
    assert ring.in_flight == 3


def test_by_operation_as_an_entry(ring: uring_rs.Ring, pipe: Pipe) -> None:
    sqe = uring_rs.Sqe.cancel_op("READ", file=pipe.out, user_data="cancel")
    for _ in range(2):
        read(ring, pipe)
        ring.submit()
        ring.push(sqe)
        assert results(ring, 2) == {"read": CANCELED, "cancel": 0}


def test_by_operation_bad_arguments(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match='no operation "FLY"'):
        ring.prep_cancel_op("FLY")
    with pytest.raises(OverflowError):
        ring.prep_cancel_op(256)
    for wrong in (None, 1.5):
        with pytest.raises(TypeError):
            ring.prep_cancel_op(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        ring.prep_cancel_op("READ", file=-1)
    idle(ring)

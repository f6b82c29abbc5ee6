"""Other sizes for the queues of a ring in use (REGISTER_RESIZE_RINGS)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one, several
from uring_rs import SetupFlags, SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")

DEFERRED = SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN | SetupFlags.NO_SQARRAY


@pytest.fixture(autouse=True)
def _resizing() -> None:
    with uring_rs.Ring(1) as ring:
        try:
            ring.resize(2)
        except (uring_rs.UnsupportedOperation, ValueError) as error:
            pytest.skip(f"the running kernel ({os.uname().release}): {error}")


@pytest.fixture
def ring(open_ring: Callable[..., uring_rs.Ring]) -> uring_rs.Ring:
    return open_ring(4)


LAYOUTS = [
    DEFERRED,
    DEFERRED | SetupFlags.SUBMIT_ALL | SetupFlags.TASKRUN_FLAG,
    DEFERRED | SetupFlags.SQE128,
    DEFERRED | SetupFlags.CQE32,
    DEFERRED | SetupFlags.SQE128 | SetupFlags.CQE_MIXED,
    DEFERRED | SetupFlags.NO_MMAP,
    DEFERRED | SetupFlags.NO_MMAP | SetupFlags.REGISTERED_FD_ONLY,
]


@pytest.mark.parametrize("flags", LAYOUTS, ids=repr)
def test_every_layout(
    open_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe, flags: SetupFlags
) -> None:
    """In flight, staged and unread requests go through every change of size."""
    missing = flags & ~uring_rs.probe().setup_flags
    if missing:
        pytest.skip(f"the running kernel lacks the set-up flags {missing!r}")
    ring = open_ring(4, flags=flags)
    waiting = bytearray(8)
    ring.prep_read(pipe.out, waiting, user_data="waits")
    ring.submit()
    big = flags & (SetupFlags.CQE32 | SetupFlags.CQE_MIXED)
    for turn, (sq, cq) in enumerate([(8, 64), (64, 64), (2, 4), (128, 1024), (4, 8)]):
        extra = (turn, 1) if big else None
        ring.prep_nop("unread", extra=extra)
        ring.submit()
        staged = bytearray(4)
        ring.prep_read(fd, staged, turn, user_data="staged")
        ring.prep_nop("last", extra=extra)
        ring.resize(sq, cq)
        assert (ring.sq_entries, ring.cq_entries) == (sq, cq)
        assert (ring.in_flight, ring.sq_ready) == (3, 2)
        unread = ring.pop()
        assert unread is not None
        assert (unread.user_data, unread.big_cqe) == ("unread", extra)
        found = {cqe.user_data: cqe for cqe in several(ring, 2)}
        assert (found["staged"].res, found["last"].res) == (4, 0)
        assert found["last"].big_cqe == extra
        assert staged == CONTENT[turn : turn + 4]
        with pytest.raises(BufferError):
            waiting.clear()
    pipe.feed(b"at last")
    cqe = one(ring)
    assert (cqe.user_data, cqe.res, waiting[:7]) == ("waits", 7, b"at last")
    idle(ring)


def test_all_new_places_are_used(ring: uring_rs.Ring) -> None:
    ring.resize(256, 512)
    requests = [ring.prep_timeout(60, user_data=tag) for tag in range(512)]
    ring.submit()
    assert ring.in_flight == 512
    assert len({request.key for request in requests}) == 512
    with pytest.raises(uring_rs.SubmissionQueueFull, match="512 requests are in flight"):
        ring.prep_nop()
    for request in requests[:256]:
        assert ring.is_live(request)


def test_requests_stay_where_they_are(ring: uring_rs.Ring, pipes: Callable[[], Pipe]) -> None:
    """The kernel has their addresses: of the buffers, and of what is copied into the request."""
    waiting = []
    for tag in range(6):
        pipe, buf = pipes(), [bytearray(2), bytearray(2)]
        ring.prep_readv(pipe.out, buf, user_data=tag)
        waiting.append((pipe, buf))
    ring.submit()
    for size in (64, 4096, 32768, 8):
        ring.resize(size)
        for tag in range(size // 2):
            ring.prep_nop(("between", tag))
        ring.submit(wait=size // 2)
        assert len(ring.reap()) == size // 2
    for pipe, _ in waiting:
        pipe.feed(b"abcd")
    found = several(ring, 6)
    assert sorted(cqe.user_data for cqe in found) == list(range(6))
    assert all(buf == [b"ab", b"cd"] for _, buf in waiting)
    idle(ring)


def test_smaller_than_what_is_in_flight(ring: uring_rs.Ring) -> None:
    """They go on; new ones must wait until there is room."""
    ring.resize(16, 32)
    requests = [ring.prep_timeout(60, user_data=tag) for tag in range(32)]
    ring.submit()
    ring.resize(2, 4)
    assert ring.in_flight == 32
    with pytest.raises(uring_rs.SubmissionQueueFull, match="4 requests are in flight"):
        ring.prep_nop()
    ring.close()
    assert sorted(cqe.user_data for cqe in ring) == list(range(32))
    assert len(requests) == 32


def test_more_completions_than_the_new_size(ring: uring_rs.Ring) -> None:
    """Those there are were read already: they are not the new queue's affair."""
    ring.resize(64, 128)
    for tag in range(100):
        ring.prep_nop(tag)
    ring.submit()
    ring.resize(1, 2)
    assert [cqe.user_data for cqe in ring] == list(range(100))
    idle(ring)


def test_overflowed_completions(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_poll_add(pipe.out, 1, multishot=True, user_data="poll")
    ring.submit()
    for _ in range(3 * ring.cq_entries):
        pipe.feed()
        ring.enter(0, 0, uring_rs.EnterFlags.GETEVENTS)
    ring.resize(16, 64)
    seen = []
    while ring.in_flight:
        ring.submit(wait=1, timeout=0.02)
        found = ring.reap()
        seen += found
        if not found:
            break
    assert seen
    assert {cqe.user_data for cqe in seen} == {"poll"}


def test_an_open_chain_stays_open(ring: uring_rs.Ring, pipe: Pipe) -> None:
    ring.prep_nop("first", flags=SqeFlags.IO_LINK)
    ring.prep_read(pipe.out, bytearray(4), user_data="second", flags=SqeFlags.IO_LINK)
    ring.resize(8)
    ring.prep_nop("third")
    ring.submit(wait=1)
    assert [cqe.user_data for cqe in ring] == ["first"]
    pipe.feed(b"abcd")
    assert [cqe.user_data for cqe in several(ring, 2)] == ["second", "third"]


def test_batches(ring: uring_rs.Ring, fd: int) -> None:
    assert ring.prep_nop_batch(3, tag=7) == 3
    ring.resize(64, 128)
    ring.submit(wait=3)
    records = bytearray(48)
    assert ring.reap_into(records) == 3
    assert list(ring.run_nops(1000, depth=128)) == [0] * 1000
    ring.resize(2, 4)
    buf = bytearray(64)
    assert list(ring.run_reads(fd, buf, range(0, 64, 4))) == [4] * 16
    assert buf == CONTENT[:64]
    idle(ring)


def test_discarded_after_resizing(ring: uring_rs.Ring) -> None:
    buf = bytearray(4)
    ring.prep_read(0, buf, user_data="staged")
    ring.prep_nop()
    ring.resize(64)
    assert ring.discard() == 2
    buf.clear()
    idle(ring)


def test_too_small_for_what_is_staged(ring: uring_rs.Ring) -> None:
    for tag in range(4):
        ring.prep_nop(tag)
    with pytest.raises(uring_rs.SubmissionQueueFull):
        ring.resize(2)
    assert (ring.sq_entries, ring.sq_ready) == (4, 4)
    assert [cqe.user_data for cqe in several(ring, 4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ((0,), uring_rs.ZeroEntries),
        ((4, 0), uring_rs.ZeroEntries),
        ((-1,), ValueError),
        ((32769,), uring_rs.TooManyEntries),
        ((4, 65537), uring_rs.TooManyEntries),
        ((8, 4), ValueError),
        (("8",), TypeError),
        ((8.0,), TypeError),
        ((), TypeError),
    ],
)
def test_bad_sizes(ring: uring_rs.Ring, sizes: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        ring.resize(*sizes)
    assert (ring.sq_entries, ring.cq_entries) == (4, 8)
    ring.prep_nop()
    one(ring)


@pytest.mark.parametrize(
    "arguments", [{"shared": True}, {"flags": 0}, {"sqpoll_idle_ms": 1}], ids=repr
)
def test_rings_that_cannot(
    open_ring: Callable[..., uring_rs.Ring], arguments: dict[str, Any]
) -> None:
    ring = open_ring(4, **arguments)
    with pytest.raises(ValueError, match="DEFER_TASKRUN"):
        ring.resize(8)


def test_a_ring_with_an_index_array(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, flags=DEFERRED & ~SetupFlags.NO_SQARRAY)
    with pytest.raises(ValueError, match="NO_SQARRAY"):
        ring.resize(8)
    ring.prep_nop("unharmed")
    assert one(ring).user_data == "unharmed"


def test_disabled_or_closed(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, flags=DEFERRED | SetupFlags.R_DISABLED)
    with pytest.raises(uring_rs.UringError, match="enable"):
        ring.resize(8)
    ring.enable()
    ring.resize(8)
    ring.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.resize(16)


def test_a_simulated_kernel_without_it() -> None:
    with uring_rs.Ring(4, kernel=uring_rs.SimKernel(1)) as ring:
        ring.prep_nop("staged")
        with pytest.raises(uring_rs.UnsupportedOperation) as caught:
            ring.resize(64)
        assert caught.value.since == (6, 13)
        assert ring.sq_entries == 4
        ring.submit(wait=1)
        assert [cqe.user_data for cqe in ring] == ["staged"]


def test_rounded_up_as_by_setup(ring: uring_rs.Ring) -> None:
    ring.resize(5)
    assert (ring.sq_entries, ring.cq_entries) == (8, 16)
    ring.resize(5, 9)
    assert (ring.sq_entries, ring.cq_entries) == (8, 16)


def test_maps_come_back(ring: uring_rs.Ring) -> None:
    def mapped() -> int:
        with open("/proc/self/maps") as maps:
            return sum("io_uring" in line for line in maps)

    before = mapped()
    for turn in range(100):
        ring.resize(64 if turn % 2 else 1024)
    assert mapped() == before

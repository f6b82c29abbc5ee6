"""Making rings: sizes, flags, layouts, the kernel's poll thread; what a ring says of itself."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one, several
from uring_rs import Cause, Features, SetupFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")


# --- sizes


@pytest.mark.parametrize(("asked", "got"), [(1, 1), (2, 2), (3, 4), (64, 64), (100, 128)])
def test_entries(make_ring: Callable[..., uring_rs.Ring], asked: int, got: int) -> None:
    ring = make_ring(asked)
    assert (ring.sq_entries, ring.cq_entries) == (got, 2 * got)
    assert (ring.sq_space, ring.sq_ready) == (got, 0)
    ring.prep_nop(1)
    assert one(ring).user_data == 1


def test_default_size(open_ring: Callable[..., uring_rs.Ring]) -> None:
    assert open_ring().sq_entries == 64


@pytest.mark.parametrize(("asked", "got"), [(4, 4), (5, 8), (4096, 4096)])
def test_cq_entries(make_ring: Callable[..., uring_rs.Ring], asked: int, got: int) -> None:
    ring = make_ring(4, cq_entries=asked)
    assert (ring.sq_entries, ring.cq_entries) == (4, got)
    assert ring.flags & SetupFlags.CQSIZE


def test_the_largest(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(32768)
    assert (ring.sq_entries, ring.cq_entries) == (32768, 65536)
    for tag in range(1000):
        ring.prep_nop(tag)
    assert [cqe.user_data for cqe in several(ring, 1000)] == list(range(1000))


def test_zero_entries(shared: bool) -> None:
    for arguments in ({"entries": 0}, {"entries": 4, "cq_entries": 0}):
        with pytest.raises(uring_rs.ZeroEntries) as caught:
            uring_rs.Ring(**arguments, shared=shared)
        assert isinstance(caught.value, ValueError)
        assert caught.value.cause == Cause.ZERO_ENTRIES
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "arguments",
    [
        {"entries": 32769},
        {"entries": 2**62},
        {"entries": 4, "cq_entries": 65537},
        {"entries": 4, "cq_entries": 2**40},
    ],
)
def test_too_many_entries(arguments: dict[str, int]) -> None:
    with pytest.raises(uring_rs.TooManyEntries, match="the kernel allows") as caught:
        uring_rs.Ring(**arguments)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert caught.value.cause == Cause.TOO_MANY_ENTRIES


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"entries": -1}, ValueError),
        ({"entries": 4, "cq_entries": -1}, ValueError),
        ({"entries": 8, "cq_entries": 4}, ValueError),
        ({"entries": 2**63}, OverflowError),
        ({"entries": "8"}, TypeError),
        ({"entries": 8.0}, TypeError),
        ({"entries": None}, TypeError),
        ({"cq_entries": "8"}, TypeError),
        ({"flags": -1}, OverflowError),
        ({"flags": 2**32}, OverflowError),
        ({"flags": "SQPOLL"}, TypeError),
        ({"sqpoll_idle_ms": -1}, OverflowError),
        ({"sqpoll_cpu": -1}, OverflowError),
        ({"sq_full": "wait"}, ValueError),
        ({"sq_full": True}, TypeError),
        ({"trace": 5}, TypeError),
        ({"kernel": object()}, TypeError),
        ({"no_such": 1}, TypeError),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        uring_rs.Ring(**arguments)


def test_no_descriptor_is_left_by_a_refusal(open_ring: Callable[..., uring_rs.Ring]) -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        with pytest.raises((uring_rs.UringError, ValueError)):
            uring_rs.Ring(4, flags=1 << 31)
    assert os.listdir("/proc/self/fd") == before


# --- flags and features


def test_best_flags_by_default(ring: uring_rs.Ring) -> None:
    """Only what this kernel knows is expected of it."""
    known = uring_rs.probe().setup_flags
    owned = SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN | SetupFlags.TASKRUN_FLAG
    wanted = SetupFlags.SUBMIT_ALL | SetupFlags.NO_SQARRAY
    if not ring.shared:
        wanted |= owned
    else:
        assert not ring.flags & owned
    if wanted & ~known:
        pytest.skip(f"the running kernel lacks the set-up flags {wanted & ~known!r}")
    assert ring.flags & wanted == wanted


def test_types_of_the_facts(ring: uring_rs.Ring) -> None:
    assert type(ring.flags) is SetupFlags
    assert type(ring.features) is Features
    assert ring.features == uring_rs.probe().features
    assert ring.features & Features.NODROP
    assert ring.features & Features.EXT_ARG
    assert type(ring.shared) is bool
    assert (ring.closed, ring.cq_overflowed, ring.sq_needs_wakeup) == (False, False, False)
    assert (ring.in_flight, ring.sq_ready, ring.cq_ready, ring.stray_completions) == (0, 0, 0, 0)


# Each with the flags that the kernel reports besides.
LAYOUTS = [
    SetupFlags(0),
    SetupFlags.CLAMP,
    SetupFlags.SUBMIT_ALL,
    SetupFlags.NO_SQARRAY,
    SetupFlags.COOP_TASKRUN,
    SetupFlags.COOP_TASKRUN | SetupFlags.TASKRUN_FLAG,
    SetupFlags.SQE128,
    SetupFlags.CQE32,
    SetupFlags.SQE128 | SetupFlags.CQE32 | SetupFlags.NO_SQARRAY,
]
SINGLE = [
    SetupFlags.SINGLE_ISSUER,
    SetupFlags.SINGLE_ISSUER | SetupFlags.R_DISABLED,
    SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN,
    SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN | SetupFlags.CQE32,
]


def _needs(flags: SetupFlags) -> None:
    missing = flags & ~uring_rs.probe().setup_flags
    if missing:
        pytest.skip(f"the running kernel lacks the set-up flags {missing!r}")


def _works(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    """More turns than the rings have entries, so that every place is used."""
    for turn in range(3 * ring.cq_entries):
        buf = bytearray(4)
        ring.prep_read(fd, buf, turn, user_data=turn)
        ring.prep_nop("nop")
        assert {cqe.user_data: cqe.res for cqe in several(ring, 2)} == {turn: 4, "nop": 0}
        assert buf == CONTENT[turn : turn + 4]
    ring.prep_read(pipe.out, bytearray(4), user_data="pipe")
    ring.submit()
    assert ring.pop() is None
    pipe.feed(b"abc")
    assert one(ring).res == 3
    idle(ring)


@pytest.mark.parametrize("flags", LAYOUTS, ids=repr)
def test_layouts(
    make_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe, flags: SetupFlags
) -> None:
    _needs(flags)
    ring = make_ring(4, flags=flags)
    assert ring.flags & flags == flags
    _works(ring, fd, pipe)


@pytest.mark.parametrize("flags", SINGLE, ids=repr)
def test_single_issuer_layouts(
    open_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe, flags: SetupFlags
) -> None:
    _needs(flags)
    ring = open_ring(4, flags=flags)
    assert ring.flags & flags == flags
    ring.enable()
    _works(ring, fd, pipe)
    with pytest.raises(ValueError, match="SINGLE_ISSUER"):
        uring_rs.Ring(4, flags=flags, shared=True)


def test_clamp(open_ring: Callable[..., uring_rs.Ring]) -> None:
    assert open_ring(10**6, flags=SetupFlags.CLAMP).sq_entries == 32768


def test_polled_io(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """Few devices can be polled, but NOP can, everywhere."""
    ring = open_ring(4, flags=SetupFlags.IOPOLL)
    ring.prep_nop("polled")
    assert one(ring).user_data == "polled"
    with pytest.raises(ValueError, match="FSYNC is not possible on an IOPOLL ring"):
        ring.prep_fsync(1)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (SetupFlags.DEFER_TASKRUN, "DEFER_TASKRUN needs SINGLE_ISSUER"),
        (SetupFlags.SQPOLL | SetupFlags.COOP_TASKRUN, "SQPOLL excludes"),
        (SetupFlags.TASKRUN_FLAG, "TASKRUN_FLAG needs"),
        (SetupFlags.HYBRID_IOPOLL, "HYBRID_IOPOLL needs"),
        (SetupFlags.ATTACH_WQ, "attach_to"),
    ],
)
def test_flags_that_do_not_go_together(flags: SetupFlags, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        uring_rs.Ring(4, flags=flags)


def test_flags_unknown_to_the_kernel() -> None:
    """What they would do to the queues nobody can know, so they do not reach it."""
    with pytest.raises(ValueError, match="0x80000000 are not known"):
        uring_rs.Ring(4, flags=1 << 31)


def test_without_submit_all_nothing_is_lost(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """The kernel stops after an invalid entry; the rest is submitted all the same."""
    ring = make_ring(8, flags=0)
    for tag in range(6):
        ring.prep_nop(tag, personality=99 if tag in (1, 3) else 0)
    assert ring.submit() == 6
    found = ring.reap()
    assert [(cqe.user_data, cqe.res) for cqe in found] == [
        (tag, -errno.EINVAL if tag in (1, 3) else 0) for tag in range(6)
    ]


def test_repr(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(8)
    fd = ring.fileno()
    assert repr(ring) == f"<Ring entries=8 fd={fd} staged=0 in_flight=0 ready=0>"
    ring.prep_nop()
    assert re.search("staged=1 in_flight=1", repr(ring))
    ring.submit()
    ring.close()
    assert repr(ring) == "<Ring entries=8 closed in_flight=0 ready=1>"


# --- the kernel's poll thread


@pytest.fixture
def polled(make_ring: Callable[..., uring_rs.Ring]) -> uring_rs.Ring:
    """A ring whose poll thread sleeps after a millisecond."""
    return make_ring(8, sqpoll_idle_ms=1)


def asleep(ring: uring_rs.Ring) -> None:
    """Until the poll thread sleeps; the test's own limit bounds it."""
    while not ring.sq_needs_wakeup:
        time.sleep(0)


def test_sqpoll(polled: uring_rs.Ring, fd: int) -> None:
    assert polled.flags & SetupFlags.SQPOLL
    for turn in range(50):
        buf = bytearray(4)
        polled.prep_read(fd, buf, turn, user_data=turn)
        assert polled.submit(wait=1) == 1
        cqe = polled.pop()
        assert cqe is not None
        assert (cqe.user_data, cqe.res) == (turn, 4)
        assert buf == CONTENT[turn : turn + 4]
    idle(polled)


def test_sqpoll_many_more_than_it_has_entries(polled: uring_rs.Ring) -> None:
    seen = []
    for tag in range(2000):
        polled.prep_nop(tag)
        seen += [cqe.user_data for cqe in polled]
    while len(seen) < 2000:
        polled.submit(wait=1)
        seen += [cqe.user_data for cqe in polled]
    assert seen == list(range(2000))


def test_sqpoll_wakes_the_thread_up(polled: uring_rs.Ring) -> None:
    """submit does it where it is needed; flush leaves it to sq_wakeup."""
    for _ in range(3):
        asleep(polled)
        polled.prep_nop("submit")
        assert one(polled).user_data == "submit"
    asleep(polled)
    polled.prep_nop("flush")
    assert polled.flush() == 1
    assert polled.sq_ready == 1
    assert polled.pop() is None
    polled.sq_wakeup()
    while polled.cq_ready == 0:
        time.sleep(0)
    cqe = polled.pop()
    assert cqe is not None
    assert cqe.user_data == "flush"


def test_sqpoll_flush_submits_while_it_is_awake(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, sqpoll_idle_ms=60_000)
    ring.prep_nop("first")
    one(ring)
    ring.prep_nop("flushed")
    ring.flush()
    while ring.cq_ready == 0:
        time.sleep(0)
    assert [cqe.user_data for cqe in ring] == ["flushed"]


def test_sqpoll_wait_for_space(polled: uring_rs.Ring) -> None:
    for turn in range(200):
        polled.prep_nop(turn)
        if polled.sq_space == 0:
            assert polled.sq_wait() > 0
    while polled.in_flight or polled.cq_ready:
        polled.reap()
        if polled.in_flight:
            polled.submit(wait=1)


def test_sqpoll_chain(polled: uring_rs.Ring, fd: int) -> None:
    polled.prep_write(fd, b"abc", 0, user_data=1, flags=uring_rs.SqeFlags.IO_LINK)
    buf = bytearray(3)
    polled.prep_read(fd, buf, 0, user_data=2)
    assert [cqe.user_data for cqe in several(polled, 2)] == [1, 2]
    assert buf == b"abc"


def test_sqpoll_cpu(make_ring: Callable[..., uring_rs.Ring]) -> None:
    cpu = min(os.sched_getaffinity(0))
    ring = make_ring(4, sqpoll_idle_ms=1, sqpoll_cpu=cpu)
    assert ring.flags & SetupFlags.SQ_AFF
    ring.prep_nop(1)
    one(ring)
    with open(f"/proc/self/fdinfo/{ring.fileno()}") as info:
        facts = dict(re.findall(r"^(\w+):\t(\S+)$", info.read(), re.MULTILINE))
    if "SqThreadCpu" not in facts:
        pytest.skip("the running kernel does not show SqThreadCpu in fdinfo")
    assert int(facts["SqThreadCpu"]) == cpu


def test_sqpoll_cpu_that_is_not_there() -> None:
    with pytest.raises(uring_rs.UringError) as caught:
        uring_rs.Ring(4, sqpoll_cpu=100_000)
    assert caught.value.errno == errno.EINVAL


def test_sq_wakeup_without_a_poll_thread(ring: uring_rs.Ring) -> None:
    ring.sq_wakeup()
    assert ring.sq_needs_wakeup is False

"""Every way of setting a ring up and of entering it: flags alone, together, and refused."""

from __future__ import annotations

import errno
import gc
import mmap
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one, several
from uring_rs import EnterFlags, Features, SetupFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")

OWN = SetupFlags.NO_MMAP
UNREACHABLE = SetupFlags.NO_MMAP | SetupFlags.REGISTERED_FD_ONLY
DEFERRED = SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN


def _needs(flags: SetupFlags) -> None:
    missing = flags & ~uring_rs.probe().setup_flags
    if missing:
        pytest.skip(f"the running kernel lacks the set-up flags {missing!r}")


def _works(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    """More turns than the queues have entries, and a request that waits."""
    for turn in range(3 * ring.cq_entries):
        buf = bytearray(4)
        ring.prep_read(fd, buf, turn, user_data=turn)
        ring.prep_nop("nop")
        assert {cqe.user_data: cqe.res for cqe in several(ring, 2)} == {turn: 4, "nop": 0}
        assert buf == CONTENT[turn : turn + 4]
    buf = bytearray(8)
    ring.prep_read(pipe.out, buf, user_data="pipe")
    ring.submit()
    assert ring.pop() is None
    with pytest.raises(BufferError):
        buf.clear()
    pipe.feed(b"abc")
    assert one(ring).res == 3
    buf.clear()
    idle(ring)


# --- each flag, and what it goes together with

SHARED = [
    SetupFlags.SUBMIT_ALL,
    SetupFlags.COOP_TASKRUN,
    SetupFlags.COOP_TASKRUN | SetupFlags.TASKRUN_FLAG,
    SetupFlags.NO_SQARRAY,
    SetupFlags.CLAMP,
    OWN,
    OWN | SetupFlags.NO_SQARRAY | SetupFlags.SQE128 | SetupFlags.CQE32,
    SetupFlags.SQPOLL,
    SetupFlags.SQPOLL | OWN,
    SetupFlags.CQE_MIXED,
]
OWNED = [
    SetupFlags.SINGLE_ISSUER,
    SetupFlags.SINGLE_ISSUER | SetupFlags.COOP_TASKRUN | SetupFlags.TASKRUN_FLAG,
    SetupFlags.SINGLE_ISSUER | SetupFlags.SQPOLL,
    DEFERRED,
    DEFERRED | SetupFlags.TASKRUN_FLAG | SetupFlags.SUBMIT_ALL,
    DEFERRED | SetupFlags.COOP_TASKRUN | SetupFlags.NO_SQARRAY,
    DEFERRED | OWN,
    DEFERRED | OWN | SetupFlags.SQE128 | SetupFlags.CQE_MIXED,
    UNREACHABLE,
    UNREACHABLE | DEFERRED | SetupFlags.NO_SQARRAY,
    UNREACHABLE | SetupFlags.SQPOLL,
]


@pytest.mark.parametrize("flags", SHARED, ids=repr)
def test_flags(
    make_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe, flags: SetupFlags
) -> None:
    _needs(flags)
    ring = make_ring(4, flags=flags)
    assert ring.flags & flags == flags
    _works(ring, fd, pipe)


@pytest.mark.parametrize("flags", OWNED, ids=repr)
def test_flags_of_one_thread(
    open_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe, flags: SetupFlags
) -> None:
    _needs(flags)
    ring = open_ring(4, flags=flags)
    assert ring.flags & flags == flags
    _works(ring, fd, pipe)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"flags": SetupFlags.DEFER_TASKRUN}, "DEFER_TASKRUN needs SINGLE_ISSUER"),
        ({"flags": SetupFlags.TASKRUN_FLAG}, "TASKRUN_FLAG needs COOP_TASKRUN or DEFER"),
        ({"flags": SetupFlags.HYBRID_IOPOLL}, "HYBRID_IOPOLL needs IOPOLL"),
        ({"flags": SetupFlags.SQ_AFF}, "SQ_AFF .* needs SQPOLL"),
        ({"flags": SetupFlags.SQ_AFF | SetupFlags.SQPOLL}, "use sqpoll_cpu"),
        ({"flags": SetupFlags.CQSIZE}, "use cq_entries"),
        ({"flags": SetupFlags.ATTACH_WQ}, "use attach_to"),
        ({"flags": SetupFlags.REGISTERED_FD_ONLY}, "REGISTERED_FD_ONLY needs NO_MMAP"),
        ({"flags": SetupFlags.CQE32 | SetupFlags.CQE_MIXED}, "CQE32 excludes CQE_MIXED"),
        ({"flags": SetupFlags.CQE_MIXED, "entries": 1, "cq_entries": 1}, "at least 2 cq_entries"),
        ({"flags": DEFERRED | SetupFlags.SQPOLL}, "SQPOLL excludes"),
        ({"flags": DEFERRED, "sqpoll_idle_ms": 1}, "SQPOLL excludes"),
        ({"flags": SetupFlags.COOP_TASKRUN, "sqpoll_cpu": 0}, "SQPOLL excludes"),
        ({"flags": SetupFlags.SINGLE_ISSUER, "shared": True}, "cannot be SINGLE_ISSUER"),
        ({"flags": UNREACHABLE, "shared": True}, "cannot be REGISTERED_FD_ONLY"),
        ({"flags": 1 << 19}, "SQE_MIXED is not supported"),
        ({"flags": 1 << 20}, "SQ_REWIND is not supported"),
        ({"flags": 1 << 21}, "0x200000 are not known"),
    ],
)
def test_refused_with_a_reason(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        uring_rs.Ring(**{"entries": 4, **arguments})


def test_clamp(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(10**6, cq_entries=10**7, flags=SetupFlags.CLAMP)
    assert (ring.sq_entries, ring.cq_entries) == (32768, 65536)


# --- memory of our own


@pytest.mark.parametrize("entries", [1, 64, 1024, 32768])
def test_own_memory_of_every_size(open_ring: Callable[..., uring_rs.Ring], entries: int) -> None:
    ring = open_ring(entries, flags=OWN | DEFERRED)
    for tag in range(100):
        ring.prep_nop(tag)
        assert one(ring).user_data == tag


def test_own_memory_comes_back() -> None:
    def mapped() -> int:
        gc.collect()
        return len(Path("/proc/self/maps").read_bytes().splitlines())

    with uring_rs.Ring(64, flags=OWN):
        pass
    before = mapped()
    for _ in range(50):
        with uring_rs.Ring(64, flags=OWN) as ring:
            ring.prep_nop()
            one(ring)
    assert mapped() <= before + 2


def _free_huge_pages() -> int:
    found = re.search(r"^HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def test_huge_pages(open_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe) -> None:
    if not _free_huge_pages():
        with pytest.raises(uring_rs.UringError, match="nr_hugepages") as caught:
            uring_rs.Ring(64, huge_pages=True)
        assert caught.value.errno == errno.ENOMEM
        return
    ring = open_ring(8, huge_pages=True)
    assert ring.flags & OWN
    _works(ring, fd, pipe)


def test_a_child_does_not_see_the_memory(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, flags=OWN)
    ring.prep_nop("staged")
    child = os.fork()
    if child == 0:
        refused = False
        try:
            ring.submit()
        except uring_rs.ForkedRing:
            refused = True
        os._exit(0 if refused else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert one(ring).user_data == "staged"


# --- a ring without a descriptor


def test_no_descriptor(open_ring: Callable[..., uring_rs.Ring]) -> None:
    before = os.listdir("/proc/self/fd")
    ring = open_ring(4, flags=UNREACHABLE | DEFERRED)
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ValueError, match="no descriptor"):
        ring.fileno()
    with pytest.raises(ValueError, match="cannot be woken"):
        ring.wake()
    with pytest.raises(ValueError, match="no descriptor to attach to"):
        uring_rs.Ring(4, attach_to=ring)
    assert ring.supports("NOP")
    with ring.buffer_pool(1, 4096) as pool, pool.take() as buffer:
        assert len(buffer) == 4096


def test_places_in_the_table_come_back() -> None:
    """A thread has 16 of them."""
    for _ in range(40):
        with uring_rs.Ring(4, flags=UNREACHABLE) as ring:
            ring.prep_nop()
            one(ring)
    with uring_rs.Ring(4) as ordinary:
        for _ in range(40):
            ordinary.prep_nop()
            one(ordinary)


def test_all_places_taken() -> None:
    rings = []
    try:
        with pytest.raises(uring_rs.UringError) as caught:
            rings.extend(uring_rs.Ring(1, flags=UNREACHABLE) for _ in range(17))
        assert caught.value.errno == errno.EBUSY
    finally:
        for ring in rings:
            ring.close()


def test_only_its_maker_uses_it(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, flags=UNREACHABLE)
    caught: list[BaseException] = []

    def intrude() -> None:
        try:
            ring.prep_nop()
        except uring_rs.WrongThread as error:
            caught.append(error)

    thread = threading.Thread(target=intrude)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_a_child_keeps_its_descriptors(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """The ring's number is no descriptor: a child must not take it for one and close it."""
    open_ring(4, flags=UNREACHABLE)
    child = os.fork()
    if child == 0:
        whole = all(os.fstat(fd) for fd in range(3))
        os._exit(0 if whole else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_without_a_descriptor(open_ring: Callable[..., uring_rs.Ring], fd: int, pipe: Pipe) -> None:
    """What is registered is registered with this ring, not with what has its number by chance."""
    _needs(UNREACHABLE)
    rings = [open_ring(4, flags=UNREACHABLE) for _ in range(4)]
    for number, ring in enumerate(rings):
        assert ring.supports("READ")
        table = ring.register_files([fd, None])
        with pytest.raises(ValueError, match="already"):
            ring.register_files(1)
        table.update(1, [pipe.out])
        for slot in (0, 1):
            file = table[slot]
            assert file is not None
            file.close()
        table.set_alloc_range(1, 1)
        ring.prep_openat("/dev/null", os.O_RDONLY, direct=True)
        cqe = one(ring)
        assert cqe.res == 1
        cqe.value.close()
        with ring.buffer_pool(1, 4096) as pool, pool.take() as fixed:
            ring.prep_read_fixed(fd, fixed, number)
            assert one(ring).res == 4096 - number
        table.close()
        with ring.buffer_ring(2, 64):
            pass
        with pytest.raises(ValueError, match="no descriptor to map"):
            ring.buffer_ring(2, 64, kernel_memory=True)
        idle(ring)


def test_its_thread_ends(run_child: Callable[..., Any]) -> None:
    """The ring goes with its thread's table. Whoever closes it later must not touch the ring that
    has the same place in a table of its own."""
    run_child(
        """
        import os, threading, warnings
        import uring_rs
        from uring_rs import SetupFlags
        warnings.simplefilter("ignore", ResourceWarning)
        flags = SetupFlags.NO_MMAP | SetupFlags.REGISTERED_FD_ONLY
        left = []
        out, into = os.pipe()
        def make():
            idle = uring_rs.Ring(4, flags=flags)
            busy = uring_rs.Ring(4, flags=flags)
            busy.prep_read(out, bytearray(4))
            busy.submit()
            left.extend([idle, busy])
        mine = [uring_rs.Ring(4, flags=flags) for _ in range(3)]
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        for ring in left:
            ring.close(timeout=1)
        for ring in mine:
            ring.prep_nop("mine")
            assert ring.wait_cqe().user_data == "mine"
            ring.close()
        os.write(into, b"abcd")
        """
    )


# --- sharing workers


def _poll_thread(ring: uring_rs.Ring) -> str:
    with open(f"/proc/self/fdinfo/{ring.fileno()}") as info:
        return dict(re.findall(r"^(\w+):\t(\S+)$", info.read(), re.MULTILINE))["SqThread"]


def test_attach_shares_the_poll_thread(open_ring: Callable[..., uring_rs.Ring]) -> None:
    first = open_ring(4, sqpoll_idle_ms=50)
    second = open_ring(4, sqpoll_idle_ms=50, attach_to=first)
    alone = open_ring(4, sqpoll_idle_ms=50)
    assert second.flags & SetupFlags.ATTACH_WQ
    for ring in (first, second, alone):
        ring.prep_nop("polled")
        assert one(ring).user_data == "polled"
    assert _poll_thread(first) == _poll_thread(second) != _poll_thread(alone)
    first.close()
    second.prep_nop("still there")
    assert one(second).user_data == "still there"


def test_attach_of_plain_rings(make_ring: Callable[..., uring_rs.Ring], fd: int) -> None:
    first = make_ring(4)
    second = make_ring(4, attach_to=first)
    assert second.flags & SetupFlags.ATTACH_WQ
    buf = bytearray(4)
    second.prep_read(fd, buf, 0, flags=uring_rs.SqeFlags.ASYNC)
    assert one(second).res == 4


def test_attach_to_what_cannot_be(open_ring: Callable[..., uring_rs.Ring]) -> None:
    plain = open_ring(4)
    with pytest.raises(ValueError, match="no poll thread"):
        uring_rs.Ring(4, sqpoll_idle_ms=1, attach_to=plain)
    simulated = uring_rs.Ring(4, kernel=uring_rs.SimKernel(1))
    with simulated, pytest.raises(ValueError, match="another kernel"):
        uring_rs.Ring(4, attach_to=simulated)
    plain.close()
    with pytest.raises(uring_rs.RingClosed):
        uring_rs.Ring(4, attach_to=plain)
    with pytest.raises(TypeError):
        uring_rs.Ring(4, attach_to=5)  # type: ignore[arg-type]


# --- beginning disabled


@pytest.mark.parametrize(
    "flags", [SetupFlags(0), SetupFlags.SINGLE_ISSUER, DEFERRED, SetupFlags.SQPOLL], ids=repr
)
def test_disabled_until_enabled(open_ring: Callable[..., uring_rs.Ring], flags: SetupFlags) -> None:
    ring = open_ring(4, flags=flags | SetupFlags.R_DISABLED)
    assert ring.flags & SetupFlags.R_DISABLED
    ring.prep_nop("early")
    with pytest.raises(uring_rs.UringError, match=r"call enable\(\)") as caught:
        ring.submit(wait=1)
    assert caught.value.errno == errno.EBADFD
    assert ring.in_flight == 1
    ring.enable()
    ring.enable()
    assert one(ring).user_data == "early"
    idle(ring)


@pytest.mark.parametrize("flags", [SetupFlags(0), DEFERRED, SetupFlags.SQPOLL], ids=repr)
def test_closed_before_it_was_enabled(flags: SetupFlags) -> None:
    buf = bytearray(4)
    with uring_rs.Ring(4, flags=flags | SetupFlags.R_DISABLED) as ring:
        ring.prep_read(0, buf)
        ring.flush()
    buf.clear()


def test_a_shared_ring_begins_disabled(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, flags=SetupFlags.R_DISABLED, shared=True)
    thread = threading.Thread(target=ring.enable)
    thread.start()
    thread.join()
    ring.prep_nop("enabled elsewhere")
    assert one(ring).user_data == "enabled elsewhere"


# --- polling for completions


@pytest.fixture
def direct(path: Path) -> Iterator[int]:
    """The file, open past the page cache."""
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    "flags",
    [
        SetupFlags.IOPOLL,
        SetupFlags.IOPOLL | SetupFlags.HYBRID_IOPOLL,
        SetupFlags.IOPOLL | DEFERRED,
        SetupFlags.IOPOLL | SetupFlags.SQPOLL,
    ],
    ids=repr,
)
def test_polled_reads(
    open_ring: Callable[..., uring_rs.Ring], direct: int, flags: SetupFlags
) -> None:
    """Work where the disk has poll queues, and are refused by name where it has none."""
    _needs(flags)
    ring = open_ring(4, flags=flags)
    with mmap.mmap(-1, 4096) as buf:
        for _ in range(10):
            ring.prep_read(direct, buf, 0)
            cqe = one(ring)
            if cqe.res != 4096:
                with pytest.raises(OSError, match=r"not supported \(READ\)") as caught:
                    cqe.result()
                assert caught.value.errno == errno.EOPNOTSUPP
            else:
                assert buf[:] == CONTENT
    idle(ring)


def test_polled_rings_take_some_operations_only(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, flags=SetupFlags.IOPOLL)
    buf = bytearray(4)
    left, right = socket.socketpair()
    with left, right:
        for refused in (
            lambda: ring.prep_recv(left, buf),
            lambda: ring.prep_send(left, b"data"),
            lambda: ring.prep_timeout(1),
            lambda: ring.prep_poll_add(left, 1),
            lambda: ring.prep_fsync(left),
            lambda: ring.push(uring_rs.Sqe.close(left)),
        ):
            with pytest.raises(ValueError, match="not possible on an IOPOLL ring"):
                refused()
        # What was refused keeps nothing.
        buf.clear()
    ring.prep_nop("allowed")
    assert one(ring).user_data == "allowed"
    assert list(ring.run_nops(20)) == [0] * 20
    idle(ring)


def test_a_wait_on_a_polled_ring_ends(open_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = open_ring(4, flags=SetupFlags.IOPOLL)
    assert ring.submit(wait=1, timeout=0.02) == 0
    ring.prep_nop("there")
    ring.submit()
    assert ring.wait(min=5, timeout=0.02) == 1


# --- entering


def test_min_wait(ring: uring_rs.Ring) -> None:
    """Enough of waiting for many, once there is one."""
    ring.prep_nop("there")
    ring.prep_timeout(60, user_data="never")
    start = time.monotonic()
    assert ring.submit(wait=2, timeout=30, min_wait=0.01) == 2
    assert 0.01 <= time.monotonic() - start < 10
    assert [cqe.user_data for cqe in ring] == ["there"]


def test_min_wait_over_before_the_first(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Then the first ends it."""
    ring.prep_read(pipe.out, bytearray(4), user_data="pipe")
    ring.prep_timeout(0.05, user_data="timer")
    assert ring.wait(min=5, timeout=30, min_wait=0.001) == 1
    assert [cqe.user_data for cqe in ring.completions(min=0)] == ["timer"]
    start = time.monotonic()
    found = list(ring.completions(min=3, timeout=0.02, min_wait=0.001))
    assert found == []
    assert time.monotonic() - start >= 0.02


def test_min_wait_is_met_early(ring: uring_rs.Ring) -> None:
    for tag in range(3):
        ring.prep_timeout(0.001, user_data=tag)
    start = time.monotonic()
    ring.submit(wait=3, timeout=60, min_wait=30)
    assert time.monotonic() - start < 10
    assert len(ring.reap()) == 3


@pytest.mark.parametrize(
    ("min_wait", "error"), [(-1, ValueError), ("1", TypeError), (float("nan"), ValueError)]
)
def test_bad_min_wait(ring: uring_rs.Ring, min_wait: Any, error: type[Exception]) -> None:
    for call in (ring.submit, ring.wait, ring.completions):
        with pytest.raises(error):
            call(1, 0.01, min_wait=min_wait)


def test_min_wait_where_the_kernel_has_none() -> None:
    with uring_rs.Ring(4, kernel=uring_rs.SimKernel(1, linux=(6, 1))) as ring:
        assert not ring.features & Features.MIN_TIMEOUT
        ring.prep_nop("there")
        ring.prep_timeout(60)
        assert ring.submit(wait=2, timeout=30, min_wait=0.01) == 2
        assert ring.cq_ready == 1


def test_absolute_time(ring: uring_rs.Ring) -> None:
    if not ring.features & Features.MIN_TIMEOUT:
        pytest.skip("the running kernel lacks ABS_TIMER (6.12, with FEAT_MIN_TIMEOUT)")
    flags = EnterFlags.GETEVENTS | EnterFlags.ABS_TIMER
    end = time.monotonic() + 0.02
    assert ring.enter(0, 1, flags, timeout=end) == 0
    assert time.monotonic() >= end
    # A time that has passed.
    assert ring.enter(0, 1, flags, timeout=end) == 0
    ring.prep_nop()
    assert ring.enter(1, 1, flags | EnterFlags.EXT_ARG, timeout=end + 60) == 1
    assert len(ring.reap()) == 1


def test_enter_with_limits(ring: uring_rs.Ring) -> None:
    start = time.monotonic()
    assert ring.enter(0, 1, EnterFlags.GETEVENTS, timeout=0.02) == 0
    assert time.monotonic() - start >= 0.02
    ring.prep_nop()
    ring.enter(1)
    ring.enter(0, 5, EnterFlags.GETEVENTS, timeout=30, min_wait=0.001)
    assert time.monotonic() - start < 10
    assert len(ring.reap()) == 1


def test_signals_blocked_while_waiting(run_child: Callable[..., Any]) -> None:
    run_child(
        """
        import signal, threading, time
        import uring_rs
        from uring_rs import EnterFlags
        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(time.monotonic()))
        with uring_rs.Ring(4) as ring:
            ring.submit()
            start = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            ring.enter(0, 1, EnterFlags.GETEVENTS, timeout=30)
            assert len(seen) == 1 and seen[0] - start < 20
            start = time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            ring.enter(0, 1, EnterFlags.GETEVENTS, timeout=0.2, sigmask=[signal.SIGALRM])
            assert time.monotonic() - start >= 0.2
            assert len(seen) == 2
        """
    )


def test_flags_of_enter_that_are_not_the_callers(ring: uring_rs.Ring) -> None:
    for flags, why in [
        (EnterFlags.REGISTERED_RING, "REGISTERED_RING"),
        (EnterFlags.EXT_ARG_REG, "EXT_ARG_REG"),
        (EnterFlags.ABS_TIMER, "ABS_TIMER needs a timeout"),
        (1 << 30, "enter takes"),
    ]:
        with pytest.raises(ValueError, match=why):
            ring.enter(0, 0, flags)
    for signals in ([0], [65], [-1]):
        with pytest.raises(ValueError, match="not a signal"):
            ring.enter(0, 0, 0, sigmask=signals)
    with pytest.raises(TypeError):
        ring.enter(0, 0, 0, sigmask=int(signal.SIGINT))  # type: ignore[arg-type]


def test_iowait(ring: uring_rs.Ring) -> None:
    assert ring.iowait is True
    if not ring.features & Features.NO_IOWAIT:
        with pytest.raises(uring_rs.UnsupportedOperation):
            ring.iowait = False
        return
    ring.iowait = False
    assert ring.iowait is False
    ring.prep_timeout(0.001)
    ring.submit(wait=1)
    assert len(ring.reap()) == 1
    ring.iowait = True
    assert ring.iowait is True
    assert ring.enter(0, 0, EnterFlags.GETEVENTS | EnterFlags.NO_IOWAIT) == 0


def test_no_iowait_reaches_the_kernel() -> None:
    events: list[dict[str, Any]] = []

    def trace(event: str, info: dict[str, Any]) -> None:
        if event == "enter" and info["min_complete"]:
            events.append(info)

    with uring_rs.Ring(4, trace=trace) as ring:
        if not ring.features & Features.NO_IOWAIT:
            pytest.skip("the running kernel lacks FEAT_NO_IOWAIT (6.15)")
        for counts in (True, False):
            ring.iowait = counts
            ring.prep_timeout(0.001)
            ring.submit(wait=1)
            ring.reap()
    assert not events[0]["flags"] & EnterFlags.NO_IOWAIT
    assert events[-1]["flags"] & EnterFlags.NO_IOWAIT

"""close() means cancelled, drained, then closed: no memory changes after it, in whatever state."""

from __future__ import annotations

import os
import re
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest

import uring_rs
from helpers.child import run_child

# Each state leaves requests under way that write into `bufs`, with `refill()` making data for the
# idle ones after the close.
STATES = {
    "idle reads": """
        read, write = os.pipe()
        bufs = [mmap.mmap(-1, 4096) for _ in range(16)]
        ring = uring_rs.Ring(16)
        for buf in bufs: ring.prep_read(read, buf)
        ring.submit()
        def refill(write=write): os.write(write, b"X" * 4096 * 16)
    """,
    "workers": """
        read, write = os.pipe()
        bufs = [mmap.mmap(-1, 4096) for _ in range(16)]
        ring = uring_rs.Ring(16)
        for buf in bufs: ring.prep_read(read, buf, flags=uring_rs.SqeFlags.ASYNC)
        ring.submit()
        def refill(write=write): os.write(write, b"X" * 4096 * 16)
    """,
    "worker reading a large file": """
        big = open(path, "rb")
        bufs = [mmap.mmap(-1, 48 << 20) for _ in range(2)]
        ring = uring_rs.Ring(16)
        for buf in bufs: ring.prep_read(big, buf, 0, flags=uring_rs.SqeFlags.ASYNC)
        ring.submit()
        def refill(): pass
    """,
    "direct": """
        big = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECT", 0))
        bufs = [mmap.mmap(-1, 1 << 20) for _ in range(32)]
        ring = uring_rs.Ring(32)
        for at, buf in enumerate(bufs): ring.prep_read(big, buf, at << 20)
        ring.submit()
        def refill(): pass
    """,
    "polled": """
        read, write = os.pipe()
        bufs = [mmap.mmap(-1, 4096) for _ in range(16)]
        ring = uring_rs.Ring(16, sqpoll_idle_ms=50)
        for buf in bufs: ring.prep_read(read, buf)
        ring.submit()
        def refill(write=write): os.write(write, b"X" * 4096 * 16)
    """,
    "multishot and chains": """
        read, write = os.pipe()
        bufs = [mmap.mmap(-1, 4096) for _ in range(6)]
        ring = uring_rs.Ring(16)
        ring.prep_poll_add(read, 1, multishot=True)
        for buf in bufs: ring.prep_read(read, buf, flags=uring_rs.SqeFlags.IO_LINK)
        ring.prep_nop(flags=uring_rs.SqeFlags.IO_DRAIN)
        ring.prep_timeout(1000)
        ring.submit()
        def refill(write=write): os.write(write, b"X" * 4096 * 6)
    """,
    "registered": """
        read, write = os.pipe()
        ring = uring_rs.Ring(16)
        pool = ring.buffer_pool(16, 4096)
        bufs = [pool.take() for _ in range(16)]
        for buf in bufs: ring.prep_read_fixed(read, buf)
        ring.submit()
        def refill(write=write): os.write(write, b"X" * 4096 * 16)
    """,
}

HOW = {
    "close": "ring.close()",
    "with": "with ring: pass",
    "raise": "try:\n    with ring: raise ZeroDivisionError\nexcept ZeroDivisionError: pass",
    "del": "warnings.simplefilter('ignore'); pool = None; del ring",
    "gc": "warnings.simplefilter('ignore'); pool = None; cycle = [ring]; cycle.append(cycle); "
    "del ring, cycle; gc.collect()",
    "shared thread": "thread = threading.Thread(target=ring.close); thread.start(); thread.join()",
}

# Whatever the kernel still has to say to these pages, it says within this half second: then they
# are compared, and so is the memory that others get after them.
CHECK = """
def contents():
    return {how: [hashlib.sha256(memoryview(buf)).digest() for buf in bufs]
            for how, bufs in all_bufs.items()}
# A ring that is dropped waits only a moment for what cannot be cancelled, then keeps its memory.
deadline = time.monotonic() + 20
while uring_rs._uring._graveyard():
    assert time.monotonic() < deadline, "never finished"
    time.sleep(0.001)
before = contents()
for refill in refills: refill()
deadline = time.monotonic() + 0.5
while time.monotonic() < deadline:
    now = contents()
    assert now == before, [how for how in now if now[how] != before[how]]
    time.sleep(0.1)
for how, bufs in all_bufs.items():
    if hasattr(bufs[0], "close"):
        size = len(bufs[0])
        for buf in bufs: buf.close()          # nobody has them locked any more
        others = [mmap.mmap(-1, size) for _ in bufs]
        time.sleep(0.01)
        assert not any(any(memoryview(other)[::4096]) for other in others), how
assert uring_rs._uring._graveyard() == 0
left = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
        if os.path.lexists(f"/proc/self/fd/{fd}")]
assert not any("io_uring" in link for link in left), left
with open("/proc/self/maps") as maps:
    assert "io_uring" not in maps.read()
"""

IMPORTS = """
import gc, hashlib, mmap, os, sys, threading, time, warnings, uring_rs
path, all_bufs, refills = sys.argv[1], {}, []
"""


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """48 MiB without a zero byte, on a disk."""
    path = tmp_path_factory.mktemp("teardown") / "big"
    path.write_bytes(bytes(range(1, 256)) * (48 * (1 << 20) // 255 + 1))
    return str(path)


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_written_after_the_close(state: str, big_file: str) -> None:
    parts = [IMPORTS]
    for how, closing in HOW.items():
        setup = textwrap.dedent(STATES[state])
        if how == "shared thread":
            setup = re.sub(r"uring_rs\.Ring\((\d+)", r"uring_rs.Ring(\1, shared=True", setup)
        parts += [setup, closing, f"all_bufs[{how!r}] = bufs; refills.append(refill)"]
    run_child("\n".join([*parts, CHECK]), big_file, timeout=50)


def test_closing_in_time_or_keeping_the_memory(big_file: str) -> None:
    run_child(
        """
        import gc, mmap, os, sys, warnings, uring_rs
        big = open(sys.argv[1], "rb")
        for attempt in range(50):
            bufs = [mmap.mmap(-1, 48 << 20) for _ in range(2)]
            ring = uring_rs.Ring(8)
            for buf in bufs: ring.prep_read(big, buf, 0, flags=uring_rs.SqeFlags.ASYNC)
            ring.submit()
            # One that a worker has begun can no longer be cancelled, only waited for.
            while not bufs[0][0]: os.sched_yield()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ring.close(timeout=0.0)
            assert ring.closed
            if caught:
                break
            for buf in bufs: buf.close()
        else:
            raise SystemExit("the reads always ended in time")
        (message,) = caught
        assert message.category is ResourceWarning
        assert "could not be ended in time" in str(message.message), message
        assert uring_rs._uring._graveyard() <= 1
        try:
            ring.prep_nop()
        except uring_rs.RingClosed:
            pass
        # The reads end by themselves, and then the ring does.
        del ring
        gc.collect()
        while uring_rs._uring._graveyard():
            pass
        for buf in bufs: buf.close()
        assert not any("io_uring" in os.readlink(f"/proc/self/fd/{fd}") for fd in range(3, 20)
                       if os.path.lexists(f"/proc/self/fd/{fd}"))
        """,
        big_file,
        timeout=40,
    )


def test_a_second_close_finishes_what_the_first_gave_up(big_file: str) -> None:
    run_child(
        """
        import mmap, sys, warnings, uring_rs
        warnings.simplefilter("ignore")
        big = open(sys.argv[1], "rb")
        buf = mmap.mmap(-1, 48 << 20)
        ring = uring_rs.Ring(8)
        ring.prep_read(big, buf, 0, user_data="read", flags=uring_rs.SqeFlags.ASYNC)
        ring.submit()
        ring.close(timeout=0)
        ring.close()
        (cqe,) = ring.reap()
        assert cqe.user_data == "read"
        assert cqe.res in (48 << 20, -125, -4), cqe
        buf.close()
        assert uring_rs._uring._graveyard() == 0
        """,
        big_file,
    )


def test_close_with_a_timeout_is_quick_when_all_can_be_cancelled() -> None:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for timeout in (0, 0.0, 0.5, 10):
            ring = uring_rs.Ring(8)
            bufs = [bytearray(4) for _ in range(8)]
            for buf in bufs:
                ring.prep_read(reader, buf)
            ring.submit()
            start = time.monotonic()
            ring.close(timeout)
            assert time.monotonic() - start < 0.5
            assert [cqe.res for cqe in ring] == [-125] * 8
            for buf in bufs:
                buf.append(0)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("flag", [uring_rs.SqeFlags.IO_HARDLINK, uring_rs.SqeFlags.IO_DRAIN])
def test_what_ends_one_after_the_other_ends_in_time(flag: int, shared: bool) -> None:
    """Each request starts when the one before it was cancelled, and then needs cancelling itself;
    a ring that is only dropped waits a tenth of a second for all of them."""
    read, write = os.pipe()
    buffers = [bytearray(8) for _ in range(16)]
    ring = uring_rs.Ring(16, shared=shared)
    for buffer in buffers[1:]:
        ring.prep_read(read, buffer, flags=int(flag))
    ring.prep_read(read, buffers[0])
    ring.submit()
    with pytest.warns(ResourceWarning) as caught:
        del ring
    assert [str(each.message).split(" ")[0] for each in caught] == ["unclosed"]
    for buffer in buffers:
        buffer.clear()
    os.close(read)
    os.close(write)


def test_close_refuses_bad_timeouts_and_stays_open() -> None:
    with uring_rs.Ring(8) as ring:
        for timeout, error in ((-1, ValueError), (float("nan"), ValueError), ("1", TypeError)):
            with pytest.raises(error):
                ring.close(timeout)
        assert not ring.closed


def test_unprivileged() -> None:
    run_child(
        """
        import os, uring_rs
        from helpers.host import become_nobody
        read, write = os.pipe()
        early = uring_rs.Ring(8)
        buf = bytearray(4)
        early.prep_read(read, buf)
        early.submit()
        become_nobody()
        late = uring_rs.Ring(8)
        late.prep_read(read, buf)
        late.submit()
        for ring in (early, late):
            ring.close()
            assert ring.reap()[0].res == -125
        buf.append(0)
        """
    )


def test_a_thousand_rings() -> None:
    before = len(os.listdir("/proc/self/fd"))
    maps = Path("/proc/self/maps").read_text().count("io_uring")
    for number in range(1000):
        ring = uring_rs.Ring(2)
        ring.prep_nop()
        if number % 2:
            ring.submit()
        if number % 3:
            ring.close()
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                del ring
    assert len(os.listdir("/proc/self/fd")) == before
    assert Path("/proc/self/maps").read_text().count("io_uring") == maps
    assert uring_rs._uring._graveyard() == 0


def test_what_outlives_a_ring() -> None:
    reader, writer = os.pipe()
    ring = uring_rs.Ring(8)
    request = ring.prep_read(reader, bytearray(4), user_data="kept")
    sqe = uring_rs.Sqe.nop()
    with ring.buffer_pool(1, 64) as pool:
        fixed = pool.take()
        view = memoryview(fixed)
    ring.submit()
    ring.close()
    cqe = ring.pop()
    iterator = iter(ring)
    del ring
    assert (request.op, cqe.user_data, cqe.res) == ("READ", "kept", -125)
    assert cqe.request == request
    assert bytes(memoryview(sqe)[:1]) == b"\0"
    with uring_rs.Ring(8) as other:
        assert not other.is_live(request)
        with pytest.raises(ValueError, match="another ring"):
            other.prep_cancel(request)
        with pytest.raises(ValueError, match="closed"):
            other.prep_read_fixed(reader, fixed)
    view[:2] = b"ok"
    view.release()
    fixed.release()
    assert next(iterator, None) is None
    os.close(reader)
    os.close(writer)


def test_waiting_and_closing_by_turns() -> None:
    reader, writer = os.pipe()
    for _ in range(200):
        ring = uring_rs.Ring(4, shared=True)
        ring.prep_read(reader, bytearray(1))
        ring.submit()
        ended: list[object] = []

        def wait(ring: uring_rs.Ring = ring, ended: list[object] = ended) -> None:
            try:
                ended.append(ring.wait(1))
            except uring_rs.RingClosed:
                ended.append("closed")

        thread = threading.Thread(target=wait)
        thread.start()
        ring.close()
        thread.join(10)
        assert ended in ([1], ["closed"])
    os.close(reader)
    os.close(writer)

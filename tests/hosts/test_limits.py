"""Users without privileges and with little lockable memory, as most processes are."""

from __future__ import annotations

import pytest

from helpers.child import run_child

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

NOBODY = """
import sys
import uring_rs
from helpers.host import become_nobody, limit_lockable_memory
"""

COPY = """
import os, tempfile
def copy_something(**options):
    data = os.urandom(50_000)
    with tempfile.TemporaryFile() as source, uring_rs.Ring(8, **options) as ring:
        source.write(data)
        source.flush()
        buf = bytearray(len(data))
        ring.prep_read(source, buf, offset=0)
        ring.submit(wait=1)
        assert [cqe.result() for cqe in ring] == [len(data)]
        assert buf == data
        ring.prep_write(source, buf, offset=len(data))
        ring.submit(wait=1)
        assert [cqe.result() for cqe in ring] == [len(data)]
    return True
"""


def test_an_unprivileged_user_has_rings() -> None:
    run_child(
        NOBODY
        + COPY
        + """
become_nobody()
assert uring_rs.probe().ok, uring_rs.probe()
assert copy_something() and copy_something(shared=True)
"""
    )


def test_little_lockable_memory_is_enough_for_a_small_ring() -> None:
    run_child(
        NOBODY
        + COPY
        + """
limit_lockable_memory(64 << 10)
become_nobody()
assert copy_something()
"""
    )


@pytest.mark.parametrize("limit", [0, 4096])
def test_no_lockable_memory_is_named(limit: int) -> None:
    """Too little for any ring: ENOMEM, told apart from a machine that is out of memory."""
    done = run_child(
        NOBODY
        + f"""
limit_lockable_memory({limit})
become_nobody()
found = uring_rs.probe()
assert not found.ok and not uring_rs.is_supported()
try:
    uring_rs.Ring(8)
except uring_rs.UringUnavailable as error:
    assert error.cause is uring_rs.Cause.MEMORY, error.cause
    assert error.reason and error.hint
    print(error.reason, "|", error.hint)
else:
    raise AssertionError("a ring without memory to lock")
print(found.reason, "|", found.hint)
"""
    )
    for line in done.stdout.splitlines():
        assert "memlock" in line.lower(), line
        assert "ulimit -l" in line or "RLIMIT_MEMLOCK" in line, line


def test_more_rings_than_the_limit_allows() -> None:
    """The one too many says so; those that exist go on working, and room comes back on close."""
    run_child(
        NOBODY
        + """
limit_lockable_memory(256 << 10)
become_nobody()
rings = []
try:
    while len(rings) < 1000:
        rings.append(uring_rs.Ring(64))
except uring_rs.UringUnavailable as error:
    assert error.cause is uring_rs.Cause.MEMORY, error.cause
    assert "memlock" in error.reason.lower(), error.reason
else:
    raise AssertionError("a thousand rings within 256 KiB")
assert rings
for number, ring in enumerate(rings):
    ring.prep_nop(number)
    ring.submit(wait=1)
    assert [cqe.user_data for cqe in ring] == [number]
for ring in rings:
    ring.close()
# What a closed ring was charged comes back some milliseconds later: the library waits for it.
with uring_rs.Ring(64) as ring:
    ring.prep_nop("again")
    ring.submit(wait=1)
    assert ring.pop().user_data == "again"
"""
    )


def test_a_large_ring_shrinks_to_what_the_limit_allows() -> None:
    """ENOMEM at setup is answered with fewer entries, and the property tells how many."""
    run_child(
        NOBODY
        + """
limit_lockable_memory(64 << 10)
become_nobody()
with uring_rs.Ring(4096) as ring:
    assert 8 <= ring.sq_entries < 4096, ring.sq_entries
    assert ring.cq_entries >= ring.sq_entries
    done = 0
    for number in range(1000):
        ring.prep_nop(number)
        done += len(ring.reap())
    while ring.in_flight:
        ring.submit(wait=1)
        done += len(ring.reap())
    assert done == 1000, done
"""
    )


def test_registered_buffers_past_the_limit() -> None:
    """A pool that does not fit in lockable memory is refused with the cause, the ring lives on."""
    run_child(
        NOBODY
        + """
limit_lockable_memory(128 << 10)
become_nobody()
with uring_rs.Ring(8) as ring:
    try:
        ring.buffer_pool(64, 1 << 16)
    except uring_rs.UringError as error:
        assert error.cause is uring_rs.Cause.MEMORY, error.cause
    else:
        raise AssertionError("four MiB registered under a limit of 128 KiB")
    ring.prep_nop("alive")
    ring.submit(wait=1)
    assert ring.pop().user_data == "alive"
"""
    )


def test_out_of_descriptors() -> None:
    run_child(
        """
        import errno, os, resource
        import uring_rs
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            uring_rs.Ring(8)
        except uring_rs.UringUnavailable as error:
            assert error.errno == errno.EMFILE
            assert error.cause is uring_rs.Cause.PROCESS_QUOTA
            assert error.reason and error.hint
        else:
            raise AssertionError("a ring without a descriptor")
        found = uring_rs.probe()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert found.reason or found.ok
        uring_rs.Ring(8).close()
        """
    )

"""Hosts whose sandbox refuses io_uring, with each errno that sandboxes are known to answer."""

from __future__ import annotations

import errno
import os

import pytest

from helpers.child import run_child

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

# EPERM: Docker and containerd; ENOSYS: older ones, gVisor; EACCES: LSMs; EOPNOTSUPP, EINVAL: seen.
REFUSALS = [errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL]
refusals = pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.__getitem__)

REFUSE = """
import sys
from helpers.seccomp import refuse_io_uring
refuse_io_uring(int(sys.argv.pop(1)))
"""


@refusals
def test_probe_names_the_cause(number: int) -> None:
    done = run_child(
        REFUSE
        + """
import uring_rs
found = uring_rs.probe()
assert not found.ok and not uring_rs.is_supported()
assert found.hint
print(found.reason)
""",
        str(number),
    )
    reason = done.stdout
    # Two names for one number: ENOTSUP and EOPNOTSUPP.
    names = {name for name in dir(errno) if getattr(errno, name) == number}
    assert any(name in reason for name in names) or os.strerror(number) in reason
    if number == errno.EPERM:
        # The sysctl is 0 here, else the next test of this file could not run either: what is
        # left to refuse with EPERM is a filter.
        assert "seccomp" in reason


@refusals
def test_ring_raises_with_reason_and_hint(number: int) -> None:
    run_child(
        REFUSE
        + """
import uring_rs
number = int(sys.argv.pop(1))
for entries in (1, 64):
    try:
        uring_rs.Ring(entries)
    except uring_rs.UringUnavailable as error:
        assert error.errno == number, error
        assert error.reason and error.hint, error
        assert error.reason in str(error)
        assert isinstance(error, OSError) and isinstance(error, uring_rs.UringError)
        assert isinstance(error.cause, uring_rs.Cause)
    else:
        raise AssertionError("a ring in spite of the filter")
""",
        str(number),
        str(number),
    )


@refusals
def test_nothing_leaks_from_refused_rings(number: int) -> None:
    run_child(
        REFUSE
        + """
import gc, os, uring_rs
def attempt():
    try:
        uring_rs.Ring(8)
    except uring_rs.UringUnavailable:
        return
    raise AssertionError("a ring in spite of the filter")
def maps():
    with open("/proc/self/maps") as lines:
        return sum("io_uring" in line for line in lines)
attempt()
gc.collect()
before = os.listdir("/proc/self/fd"), maps()
for _ in range(100):
    attempt()
gc.collect()
assert (os.listdir("/proc/self/fd"), maps()) == before
""",
        str(number),
    )


@pytest.mark.parametrize("call", [426, 427], ids=["enter", "register"])
def test_a_filter_on_one_call_alone(call: int) -> None:
    """Setup passes and the rest is refused: no crash, no hang, an error that says so."""
    done = run_child(
        f"""
        import errno, os, uring_rs
        from helpers.seccomp import refuse_io_uring
        refuse_io_uring(errno.EPERM, {call}, {call})
        found = uring_rs.probe()
        print(found.ok, found.reason)
        try:
            with uring_rs.Ring(8) as ring:
                ring.prep_nop("token")
                ring.submit(wait=1)
                print([cqe.user_data for cqe in ring])
        except OSError as error:
            assert isinstance(error, uring_rs.UringError), repr(error)
            assert error.errno == errno.EPERM, error
            print("refused")
        """
    )
    probe, outcome = done.stdout.splitlines()
    # The two must tell the same: what probe promises a ring does.
    assert (probe.startswith("True"), outcome) in {(True, "['token']"), (False, "refused")}


def test_a_filter_installed_later() -> None:
    """A ring that exists when the filter comes: errors, then an exit that does not hang."""
    run_child(
        """
        import errno, os, uring_rs
        from helpers.seccomp import refuse_io_uring
        ring = uring_rs.Ring(8)
        read_end, write_end = os.pipe()
        buf = bytearray(8)
        ring.prep_read(read_end, buf)
        ring.submit()
        refuse_io_uring(errno.EPERM)
        ring.prep_nop()
        try:
            ring.submit()
        except OSError as error:
            assert error.errno == errno.EPERM, error
        else:
            raise AssertionError("a submit in spite of the filter")
        try:
            ring.close(timeout=0.2)
        except OSError:
            pass
        os.write(write_end, b"late")  # what is leaked, not freed, may still be written
        """,
        timeout=20,
        options=["-W", "ignore::ResourceWarning"],
    )

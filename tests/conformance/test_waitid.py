"""WAITID: children that exit, are killed, stop and go on."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator

import pytest

import uring_rs
from conformance.kit import failed, idle, one, results
from uring_rs import Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("WAITID")


class Child:
    """A process that lives until its input ends."""

    def __init__(self) -> None:
        out, self.into = os.pipe()
        self.pid = os.posix_spawn(
            "/bin/cat",
            ["cat"],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, out, 0)],
            setpgroup=0,
        )
        os.close(out)

    def end(self) -> None:
        """Have it exit with status 0."""
        os.close(self.into)
        self.into = -1

    def clean_up(self) -> None:
        if self.into >= 0:
            self.end()
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.clean_up()


def exits(status: int) -> int:
    """The number of a process that exits with this status."""
    return os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {status}"], {})


def gone(pid: int) -> bool:
    """Whether there is no such child any more."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_exit_status(ring: uring_rs.Ring, status: int) -> None:
    pid = exits(status)
    ring.prep_waitid(os.P_PID, pid, os.WEXITED, user_data="w")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("w", 0, "WAITID")
    info = cqe.value
    assert type(info) is os.waitid_result
    assert info == (pid, os.getuid(), signal.SIGCHLD, status, os.CLD_EXITED)
    assert info.si_pid == pid
    assert info.si_status == status
    assert gone(pid)
    idle(ring)


def test_the_same_as_the_system_call(ring: uring_rs.Ring) -> None:
    pid = exits(3)
    expected = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    ring.prep_waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert one(ring).value == expected
    assert not gone(pid)
    ring.prep_waitid(os.P_PID, pid, os.WEXITED)
    assert one(ring).value == expected
    assert gone(pid)


def test_waits(ring: uring_rs.Ring, child: Child) -> None:
    request = ring.prep_waitid(os.P_PID, child.pid, os.WEXITED)
    ring.submit()
    assert ring.pop() is None
    assert request.live
    child.end()
    assert one(ring).value.si_code == os.CLD_EXITED
    assert not request.live
    idle(ring)


def test_killed(ring: uring_rs.Ring, child: Child) -> None:
    ring.prep_waitid(os.P_PID, child.pid, os.WEXITED)
    ring.submit()
    os.kill(child.pid, signal.SIGKILL)
    info = one(ring).value
    assert (info.si_code, info.si_status) == (os.CLD_KILLED, signal.SIGKILL)


def test_stopped_and_continued(ring: uring_rs.Ring, child: Child) -> None:
    ring.prep_waitid(os.P_PID, child.pid, os.WSTOPPED)
    ring.submit()
    os.kill(child.pid, signal.SIGSTOP)
    info = one(ring).value
    assert (info.si_code, info.si_status) == (os.CLD_STOPPED, signal.SIGSTOP)
    ring.prep_waitid(os.P_PID, child.pid, os.WCONTINUED)
    ring.submit()
    os.kill(child.pid, signal.SIGCONT)
    info = one(ring).value
    assert (info.si_code, info.si_status) == (os.CLD_CONTINUED, signal.SIGCONT)


def test_several_children(ring: uring_rs.Ring) -> None:
    pids = {exits(status): status for status in range(5)}
    for pid in pids:
        ring.prep_waitid(os.P_PID, pid, os.WEXITED, user_data=pid)
    ring.submit(wait=5)
    found = {cqe.user_data: cqe.value for cqe in ring}
    assert {info.si_pid: info.si_status for info in found.values()} == pids
    assert all(info.si_pid == pid for pid, info in found.items())


def test_by_group(ring: uring_rs.Ring, child: Child) -> None:
    ring.prep_waitid(os.P_PGID, child.pid, os.WEXITED)
    ring.submit()
    child.end()
    assert one(ring).value.si_pid == child.pid


def test_any_child(ring: uring_rs.Ring) -> None:
    pid = exits(4)
    ring.prep_waitid(os.P_ALL, 0, os.WEXITED)
    info = one(ring).value
    assert (info.si_pid, info.si_status) == (pid, 4)


def test_by_pidfd(ring: uring_rs.Ring, child: Child) -> None:
    pidfd = os.pidfd_open(child.pid)

    class File:
        def fileno(self) -> int:
            return pidfd

    try:
        ring.prep_waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        ring.submit()
        child.end()
        assert one(ring).value.si_pid == child.pid
        ring.prep_waitid(os.P_PIDFD, File(), os.WEXITED)
        assert one(ring).value.si_pid == child.pid
    finally:
        os.close(pidfd)


def test_nothing_to_report(ring: uring_rs.Ring, child: Child) -> None:
    """Success without a child, as os.waitid, which gives None too."""
    ring.prep_waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG)
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (0, None)


def test_no_such_child(ring: uring_rs.Ring) -> None:
    ring.prep_waitid(os.P_PID, os.getpid(), os.WEXITED)
    cqe = one(ring)
    failed(cqe, ChildProcessError, errno.ECHILD)
    assert cqe.value is None


def test_cancel_leaves_the_child(ring: uring_rs.Ring, child: Child) -> None:
    request = ring.prep_waitid(os.P_PID, child.pid, os.WEXITED, user_data="wait")
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    assert results(ring, 2) == {"wait": -errno.ECANCELED, "cancel": 1}
    child.end()
    assert os.waitpid(child.pid, 0) == (child.pid, 0)


def test_close_while_waiting(make_ring: Callable[..., uring_rs.Ring], child: Child) -> None:
    with make_ring(4) as ring:
        ring.prep_waitid(os.P_PID, child.pid, os.WEXITED)
        ring.submit()
    child.end()
    assert os.waitpid(child.pid, 0) == (child.pid, 0)


def test_as_an_entry(ring: uring_rs.Ring) -> None:
    sqe = Sqe.waitid(os.P_ALL, 0, os.WEXITED, user_data="w")
    for status in (5, 6):
        pid = exits(status)
        ring.push(sqe)
        cqe = one(ring)
        assert (cqe.user_data, cqe.value.si_pid, cqe.value.si_status) == ("w", pid, status)


def test_an_entry_takes_one_answer_at_a_time(ring: uring_rs.Ring, child: Child) -> None:
    sqe = Sqe.waitid(os.P_PID, child.pid, os.WEXITED)
    ring.push(sqe)
    with pytest.raises(BufferError, match="in flight"):
        ring.push(sqe)
    child.end()
    assert one(ring).value.si_pid == child.pid


def test_unseen(ring: uring_rs.Ring) -> None:
    """Without a completion the child is reaped all the same."""
    pid = exits(0)
    ring.prep_waitid(os.P_PID, pid, os.WEXITED, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("n", flags=SqeFlags.IO_DRAIN)
    assert one(ring).user_data == "n"
    assert gone(pid)
    idle(ring)


def test_bad_arguments(ring: uring_rs.Ring) -> None:
    pid = os.getpid()
    for idtype in (-1, 4, 99, 2**32):
        with pytest.raises(ValueError, match="idtype"):
            ring.prep_waitid(idtype, pid, os.WEXITED)
    for options in (0, os.WNOHANG, os.WNOWAIT | os.WNOHANG):
        with pytest.raises(ValueError, match="WEXITED"):
            ring.prep_waitid(os.P_PID, pid, options)
    for options in (os.WEXITED | 1 << 20, -1, 2**32 | os.WEXITED):
        with pytest.raises(ValueError, match="options"):
            ring.prep_waitid(os.P_PID, pid, options)
    for idtype in (os.P_PID, os.P_PGID, os.P_PIDFD):
        with pytest.raises(ValueError, match="negative"):
            ring.prep_waitid(idtype, -1, os.WEXITED)
    with pytest.raises(OverflowError):
        ring.prep_waitid(os.P_PID, 2**31, os.WEXITED)
    for wrong in (None, "1", 1.5):
        with pytest.raises(TypeError):
            ring.prep_waitid(os.P_PID, wrong, os.WEXITED)  # type: ignore[arg-type]
    idle(ring)

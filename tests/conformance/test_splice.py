"""SPLICE and TEE."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pair, Pipe, failed, idle, one
from uring_rs import SpliceFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("SPLICE", "TEE")

Pipes = Callable[[], Pipe]


class Held:
    """A copy of a descriptor, closed when nobody holds the object any more."""

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)

    def fileno(self) -> int:
        return self.fd

    def __del__(self) -> None:
        os.close(self.fd)


def test_from_a_file(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    ring.prep_splice(fd, pipe.into, 100, 7, user_data="s")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op, cqe.value) == ("s", 100, "SPLICE", None)
    assert os.read(pipe.out, 200) == CONTENT[7:107]
    assert os.lseek(fd, 0, os.SEEK_CUR) == 0  # the offset was ours, not the file's
    idle(ring)


def test_to_a_file(ring: uring_rs.Ring, fd: int, pipe: Pipe, path: Path) -> None:
    pipe.feed(b"into the file")
    ring.prep_splice(pipe.out, fd, 4, offset_dst=100)
    assert one(ring).result() == 4
    ring.prep_splice(pipe.out, fd, 100, -1, 0)
    assert one(ring).result() == 9
    assert path.read_bytes()[:10] == b" the file" + CONTENT[9:10]
    assert path.read_bytes()[99:105] == CONTENT[99:100] + b"into" + CONTENT[104:105]


def test_own_positions(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    os.lseek(fd, 10, os.SEEK_SET)
    ring.prep_splice(fd, pipe.into, 5)
    assert one(ring).result() == 5
    assert os.read(pipe.out, 10) == CONTENT[10:15]
    assert os.lseek(fd, 0, os.SEEK_CUR) == 15


def test_between_pipes(ring: uring_rs.Ring, pipes: Pipes) -> None:
    first, second = pipes(), pipes()
    first.feed(b"passed on")
    ring.prep_splice(first.out, second.into, 6, splice_flags=SpliceFlags.MOVE | SpliceFlags.MORE)
    assert one(ring).result() == 6
    assert os.read(second.out, 100) == b"passed"
    assert os.read(first.out, 100) == b" on"


def test_to_a_socket(ring: uring_rs.Ring, fd: int, pipe: Pipe, pair: Pair) -> None:
    """What splicing is for: a file to a socket, through a pipe, as one chain."""
    left, right = pair
    ring.prep_splice(fd, pipe.into, 1000, 0, user_data=1, flags=SqeFlags.IO_LINK)
    ring.prep_splice(pipe.out, left, 1000, user_data=2)
    ring.submit(wait=2)
    assert [(cqe.user_data, cqe.result()) for cqe in ring] == [(1, 1000), (2, 1000)]
    assert right.recv(2000) == CONTENT[:1000]


def test_the_end_of_a_file(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    ring.prep_splice(fd, pipe.into, 100, len(CONTENT))
    assert one(ring).result() == 0
    ring.prep_splice(fd, pipe.into, 100, len(CONTENT) - 3)
    assert one(ring).result() == 3
    ring.prep_splice(fd, pipe.into, 0, 0)
    assert one(ring).result() == 0


def test_the_end_of_a_pipe(ring: uring_rs.Ring, pipes: Pipes) -> None:
    second = pipes()
    out, into = os.pipe()
    os.close(into)
    for prep in (ring.prep_splice, ring.prep_tee):
        prep(out, second.into, 10)
        assert one(ring).result() == 0
    os.close(out)


def test_tee(ring: uring_rs.Ring, pipes: Pipes) -> None:
    first, second = pipes(), pipes()
    first.feed(b"twice")
    ring.prep_tee(first.out, second.into, 100, user_data="t")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("t", 5, "TEE")
    ring.prep_tee(first.out, second.into, 3)
    assert one(ring).result() == 3
    assert os.read(second.out, 100) == b"twicetwi"
    assert os.read(first.out, 100) == b"twice"


def test_sqe(ring: uring_rs.Ring, fd: int, pipes: Pipes) -> None:
    first, second = pipes(), pipes()
    splice = Sqe.splice(fd, first.into, 3, 5)
    ring.push_many([splice, splice])
    ring.submit(wait=2)
    assert [cqe.result() for cqe in ring] == [3, 3]
    ring.push(Sqe.tee(first.out, second.into, 100))
    assert one(ring).result() == 6
    assert os.read(second.out, 10) == CONTENT[5:8] * 2


def test_waits_for_data(ring: uring_rs.Ring, pipes: Pipes) -> None:
    first, second = pipes(), pipes()
    for prep in (ring.prep_splice, ring.prep_tee):
        prep(first.out, second.into, 10)
        ring.submit()
        assert ring.in_flight == 1
        first.feed(b"late")
        assert ring.wait_cqe(timeout=20).result() == 4
        assert os.read(second.out, 10) == b"late"


@pytest.mark.parametrize("op", ["splice", "tee"])
def test_nonblock(ring: uring_rs.Ring, pipes: Pipes, op: str) -> None:
    first, second = pipes(), pipes()
    prep = getattr(ring, f"prep_{op}")
    prep(first.out, second.into, 10, splice_flags=SpliceFlags.NONBLOCK)
    failed(one(ring), BlockingIOError, errno.EAGAIN)
    first.feed(b"x")
    prep(first.out, second.into, 10, splice_flags=SpliceFlags.NONBLOCK)
    assert one(ring).result() == 1


@pytest.mark.parametrize("op", ["splice", "tee"])
@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
def test_cancelled_while_it_waits(ring: uring_rs.Ring, pipes: Pipes, op: str, full: bool) -> None:
    first, second = pipes(), pipes()
    if full:
        first.feed(b"x")
        second.feed(bytes(fcntl.fcntl(second.into, fcntl.F_GETPIPE_SZ)))
    request = getattr(ring, f"prep_{op}")(first.out, second.into, 10, user_data="waits")
    ring.submit()
    ring.prep_cancel(request, user_data="cancel")
    ring.submit(wait=2)
    found = {cqe.user_data: cqe for cqe in ring}
    # Found waiting for a worker it is cancelled; in the worker it is interrupted.
    assert found["cancel"].res in (0, -errno.EALREADY)
    waits = found["waits"]
    assert waits.res in (-errno.ECANCELED, -errno.EINTR, -512), waits
    if waits.res != -errno.ECANCELED:
        with pytest.raises(InterruptedError):
            waits.result()
    idle(ring)


def test_closing_ends_it(shared: bool, pipes: Pipes) -> None:
    first, second = pipes(), pipes()
    with uring_rs.Ring(4, shared=shared) as ring:
        ring.prep_splice(first.out, second.into, 10)
        ring.submit()
    assert ring.in_flight == 0
    first.feed(b"mine")
    assert os.read(first.out, 10) == b"mine"


def test_both_files_are_held(ring: uring_rs.Ring, pipes: Pipes) -> None:
    before = set(os.listdir("/proc/self/fd"))
    first, second = pipes(), pipes()
    opened = set(os.listdir("/proc/self/fd"))
    ring.prep_splice(Held(first.out), Held(second.into), 10)
    ring.submit()
    gc.collect()
    assert len(set(os.listdir("/proc/self/fd"))) == len(opened) + 2
    first.feed(b"held")
    assert ring.wait_cqe(timeout=20).result() == 4
    assert set(os.listdir("/proc/self/fd")) == opened
    ring.prep_tee(Held(first.out), Held(second.into), 10)
    ring.discard()
    with pytest.raises(TypeError):
        ring.prep_tee(None, Held(second.into), 10)  # type: ignore[arg-type]
    assert set(os.listdir("/proc/self/fd")) == opened
    assert before < opened


def test_refusals(ring: uring_rs.Ring, fd: int, pipe: Pipe, closed_fd: int) -> None:
    ring.prep_splice(fd, fd, 10, 0, 100)  # no pipe among them
    failed(one(ring), OSError, errno.EINVAL)
    ring.prep_splice(pipe.out, fd, 10, 0)  # a pipe has no offset
    failed(one(ring), OSError, errno.ESPIPE)
    ring.prep_tee(fd, pipe.into, 10)
    failed(one(ring), OSError, errno.EINVAL)
    for ends in ((closed_fd, pipe.into), (pipe.out, closed_fd)):
        for prep in (ring.prep_splice, ring.prep_tee):
            prep(*ends, 10)
            failed(one(ring), OSError, errno.EBADF)
    ring.prep_splice(3, pipe.into, 10, splice_flags=SpliceFlags.FD_IN_FIXED)
    failed(one(ring), OSError, errno.EBADF)  # nothing is registered there
    idle(ring)


def test_bad_arguments(ring: uring_rs.Ring, pipe: Pipe) -> None:
    for prep in (ring.prep_splice, ring.prep_tee, Sqe.splice, Sqe.tee):
        for wrong, error in ((-1, ValueError), ("0", TypeError), (None, TypeError)):
            for ends in ((wrong, pipe.into), (pipe.out, wrong)):
                with pytest.raises(error):
                    prep(*ends, 10)  # type: ignore[arg-type]
        for nbytes in (-1, 1 << 32):
            with pytest.raises(ValueError, match="nbytes"):
                prep(pipe.out, pipe.into, nbytes)
        with pytest.raises(ValueError, match="splice_flags does not take the bits 0x10"):
            prep(pipe.out, pipe.into, 1, splice_flags=0x11)
    for offsets in ((-2, 0), (0, -2)):
        with pytest.raises(ValueError, match="offset"):
            ring.prep_splice(pipe.out, pipe.into, 1, *offsets)
    idle(ring)

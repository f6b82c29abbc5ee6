"""PIPE: pipes made by the ring, and whose they are."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import failed, idle, one, several
from uring_rs import Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("PIPE")

O_EXCL = os.O_EXCL


def close(ends: tuple[int, int]) -> None:
    for end in ends:
        os.close(end)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_makes_a_pipe(ring: uring_rs.Ring) -> None:
    ring.prep_pipe(user_data="p")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("p", 0, "PIPE")
    out, into = cqe.value
    assert os.write(into, b"data") == 4
    assert os.read(out, 10) == b"data"
    assert not os.get_inheritable(out)
    assert not os.get_inheritable(into)
    close((out, into))
    idle(ring)


def test_the_same_each_time(ring: uring_rs.Ring) -> None:
    ring.prep_pipe()
    cqe = one(ring)
    ends = cqe.value
    assert isinstance(ends, tuple)
    assert cqe.value == ends
    del cqe
    os.fstat(ends[0])  # they outlive the completion
    close(ends)


@pytest.mark.parametrize(
    ("flags", "status"), [(0, 0), (os.O_NONBLOCK, os.O_NONBLOCK), (os.O_DIRECT, os.O_DIRECT)]
)
def test_flags(ring: uring_rs.Ring, flags: int, status: int) -> None:
    for cloexec in (0, os.O_CLOEXEC):
        ring.prep_pipe(flags | cloexec)
        out, into = one(ring).value
        assert os.get_inheritable(out) == (cloexec == 0)
        assert fcntl.fcntl(into, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_DIRECT) == status
        close((out, into))


@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_APPEND, 1 << 30, 1 << 40, -1])
def test_flags_that_are_none(ring: uring_rs.Ring, flags: int) -> None:
    with pytest.raises(ValueError, match="pipe_flags"):
        ring.prep_pipe(flags)
    idle(ring)


def test_bad_arguments(ring: uring_rs.Ring) -> None:
    for wrong in (None, "0", 1.5):
        with pytest.raises(TypeError):
            ring.prep_pipe(wrong)  # type: ignore[arg-type]
    idle(ring)


def test_no_descriptors_left(ring: uring_rs.Ring) -> None:
    ring.submit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = descriptors()
    free = os.dup(0)  # the lowest number there is
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        ring.prep_pipe()
        cqe = one(ring)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    failed(cqe, OSError, errno.EMFILE)
    assert cqe.value is None
    assert descriptors() == before


# --- pipes that nobody asks for


def test_never_looked_at(ring: uring_rs.Ring) -> None:
    before = descriptors()
    for _ in range(3):
        ring.prep_pipe()
    found = several(ring, 3)
    assert len(descriptors() - before) == 6
    ends = found[1].value
    del found
    assert len(descriptors() - before) == 2
    close(ends)


def test_without_a_completion(ring: uring_rs.Ring) -> None:
    before = descriptors()
    ring.prep_pipe(flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("n")
    ring.submit(wait=1)
    assert ring.pop().user_data == "n"  # type: ignore[union-attr]
    assert ring.pop() is None
    assert descriptors() == before


def test_unread_when_the_ring_closes(shared: bool) -> None:
    before = descriptors()
    with uring_rs.Ring(4, shared=shared) as ring:
        ring.prep_pipe()
        ring.submit(wait=1)
        ring.prep_pipe()
        ring.submit(wait=2)
        assert ring.peek() is not None
    cqe = ring.pop()
    assert cqe is not None
    del ring
    out, into = cqe.value
    os.write(into, b"x")
    close((out, into))
    assert descriptors() == before
    os.fstat(0)  # a result of 0 is no descriptor


def test_staged_only(make_ring: Callable[..., uring_rs.Ring]) -> None:
    before = descriptors()
    with make_ring(4) as ring:
        ring.prep_pipe()
        assert ring.discard() == 1
        ring.prep_pipe()
    assert descriptors() == before


# --- prepared entries


def test_as_an_entry(ring: uring_rs.Ring) -> None:
    """Each push makes a pipe of its own, even while the last one's completion is kept."""
    sqe = Sqe.pipe(os.O_NONBLOCK, user_data="p")
    kept = []
    for _ in range(3):
        ring.push(sqe)
        kept.append(one(ring))
    pairs = [cqe.value for cqe in kept[:2]]
    assert len({end for pair in pairs for end in pair}) == 4
    with pytest.raises(BlockingIOError):
        os.read(pairs[0][0], 1)
    for pair in pairs:
        close(pair)
    del kept  # closes the third


def test_an_entry_takes_one_answer_at_a_time(ring: uring_rs.Ring) -> None:
    sqe = Sqe.pipe()
    ring.push(sqe)
    with pytest.raises(BufferError, match="in flight"):
        ring.push(sqe)
    assert one(ring).result() == 0

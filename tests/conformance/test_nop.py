"""NOP, and what every operation has in common: user_data, flags, personality."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import failed, idle, one, results, several
from uring_rs import NopFlags, SetupFlags, SqeFlags

pytestmark = pytest.mark.requires_op("NOP")


def test_result(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop("tag")
    assert ring.submit() == 1
    cqe = ring.wait_cqe()
    assert (cqe.user_data, cqe.res, cqe.flags, cqe.op) == ("tag", 0, 0, "NOP")
    assert cqe.request == request
    idle(ring)


def test_inline_completions_keep_the_order_of_submission(ring: uring_rs.Ring) -> None:
    for tag in range(16):
        ring.prep_nop(tag)
    assert [cqe.user_data for cqe in several(ring, 16)] == list(range(16))


@pytest.mark.parametrize("tag", [None, 0, -1, 2**70, "text", b"", ("a", 1), object()])
def test_user_data_is_the_same_object(ring: uring_rs.Ring, tag: object) -> None:
    ring.prep_nop(user_data=tag)
    assert one(ring).user_data is tag


def test_one_user_data_for_many(ring: uring_rs.Ring) -> None:
    tag = object()
    requests = [ring.prep_nop(tag) for _ in range(5)]
    found = several(ring, 5)
    assert all(cqe.user_data is tag for cqe in found)
    assert [cqe.request for cqe in found] == requests


@pytest.mark.parametrize(
    "flags", [SqeFlags.ASYNC, SqeFlags.IO_DRAIN, SqeFlags.IO_LINK, SqeFlags.IO_HARDLINK]
)
def test_harmless_flags(ring: uring_rs.Ring, flags: SqeFlags) -> None:
    ring.prep_nop(flags=flags)
    assert one(ring).res == 0


@pytest.mark.parametrize("flags", [1 << 7, 1 << 8, 1 << 31])
def test_flags_that_are_none(ring: uring_rs.Ring, flags: int) -> None:
    with pytest.raises(ValueError, match="SqeFlags"):
        ring.prep_nop(flags=flags)
    idle(ring)


@pytest.mark.parametrize("flags", [-1, 1 << 32])
def test_flags_out_of_range(ring: uring_rs.Ring, flags: int) -> None:
    with pytest.raises(OverflowError):
        ring.prep_nop(flags=flags)
    idle(ring)


def test_buffer_select_needs_provided_buffers(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="BUFFER_SELECT"):
        ring.prep_nop(flags=SqeFlags.BUFFER_SELECT)
    idle(ring)


def test_personality_that_is_not_registered(ring: uring_rs.Ring) -> None:
    ring.prep_nop(personality=77)
    failed(one(ring), OSError, errno.EINVAL)


@pytest.mark.parametrize("personality", [-1, 1 << 16])
def test_personality_out_of_range(ring: uring_rs.Ring, personality: int) -> None:
    with pytest.raises(OverflowError):
        ring.prep_nop(personality=personality)
    idle(ring)


def test_wrong_keyword(ring: uring_rs.Ring) -> None:
    with pytest.raises(TypeError):
        ring.prep_nop(userdata=1)  # type: ignore[call-arg]
    idle(ring)


def test_ten_thousand_on_a_ring_of_eight(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8)
    seen = []
    for tag in range(10_000):
        ring.prep_nop(tag)
        seen += [cqe.user_data for cqe in ring]
    while len(seen) < 10_000:
        ring.submit(wait=1)
        seen += [cqe.user_data for cqe in ring]
    assert seen == list(range(10_000))
    idle(ring)


def test_ten_thousand_unread_on_a_ring_of_eight(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """What nobody reads waits in user space; it takes no place in the rings."""
    ring = make_ring(8)
    for tag in range(10_000):
        ring.prep_nop(tag)
    assert ring.wait(10_000) == 10_000
    assert [cqe.user_data for cqe in ring] == list(range(10_000))
    idle(ring)


# --- pretending


@pytest.mark.parametrize("result", [0, 1, -errno.ENOENT, 2**31 - 1, -(2**31)])
def test_an_injected_result(ring: uring_rs.Ring, result: int) -> None:
    ring.prep_nop("n", result=result)
    assert tuple(one(ring)) == ("n", result, 0)


def test_an_injected_error_breaks_a_link(ring: uring_rs.Ring) -> None:
    ring.prep_nop("first", result=-errno.EIO, flags=SqeFlags.IO_LINK)
    ring.prep_nop("second")
    assert results(ring, 2) == {"first": -errno.EIO, "second": -errno.ECANCELED}


def test_looks_a_file_up(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    ring.prep_nop(file=fd, result=5)
    assert one(ring).result() == 5
    ring.prep_nop(file=closed_fd)
    failed(one(ring), OSError, errno.EBADF)
    ring.prep_nop(file=3, flags=SqeFlags.FIXED_FILE)  # there are no registered files
    failed(one(ring), OSError, errno.EBADF)


def test_looks_a_buffer_up(ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring]) -> None:
    with ring.buffer_pool(2, 4096) as pool, pool.take() as buf:
        ring.prep_nop(buf=buf)
        with pytest.raises(BufferError):
            buf.release()
        assert one(ring).result() == 0
        with pytest.raises(ValueError, match="another ring"):
            make_ring(4).prep_nop(buf=buf)


def test_task_work(ring: uring_rs.Ring) -> None:
    ring.prep_nop("n", nop_flags=NopFlags.TW, result=3)
    assert tuple(one(ring)) == ("n", 3, 0)


def test_large_completions_need_a_ring_of_them(
    ring: uring_rs.Ring, open_ring: Callable[..., uring_rs.Ring]
) -> None:
    for more in ({"nop_flags": NopFlags.CQE32}, {"extra": (1, 2)}):
        ring.prep_nop(**more)  # type: ignore[arg-type]
        failed(one(ring), OSError, errno.EINVAL)
    large = open_ring(4, flags=SetupFlags.CQE32)
    large.prep_nop("n", result=4, extra=(2**64 - 1, 0))
    assert one(large).res == 4


def test_pretending_as_an_entry(ring: uring_rs.Ring) -> None:
    sqe = uring_rs.Sqe.nop("n", result=-errno.EIO, nop_flags=NopFlags.TW)
    for _ in range(2):
        ring.push(sqe)
        assert tuple(one(ring)) == ("n", -errno.EIO, 0)


def test_bad_pretences(ring: uring_rs.Ring) -> None:
    for flag in NopFlags:
        if flag not in (NopFlags.TW, NopFlags.CQE32):
            with pytest.raises(ValueError, match="nop_flags"):
                ring.prep_nop(nop_flags=flag)
    for flags in (1 << 6, 1 << 31):
        with pytest.raises(ValueError, match="nop_flags"):
            ring.prep_nop(nop_flags=flags)
    for result in (2**31, -(2**31) - 1):
        with pytest.raises(ValueError, match="result"):
            ring.prep_nop(result=result)
    for extra in ((1,), (1, 2, 3), 5):
        with pytest.raises((TypeError, ValueError)):
            ring.prep_nop(extra=extra)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="FixedBuffer"):
        ring.prep_nop(buf=bytearray(4))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.prep_nop(file="file")  # type: ignore[arg-type]
    idle(ring)

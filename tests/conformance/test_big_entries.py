"""Entries of 128 bytes and completions of 32: SQE128, CQE32, CQE_MIXED."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one, several
from uring_rs import CqeFlags, SetupFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")

WORDS = (0x0123456789ABCDEF, 2**64 - 1)


def _needs(flags: SetupFlags) -> None:
    missing = flags & ~uring_rs.probe().setup_flags
    if missing:
        pytest.skip(f"the running kernel lacks the set-up flags {missing!r}")


def _big_nop(ring: uring_rs.Ring, tag: object, extra: tuple[int, int] = WORDS) -> None:
    """A NOP with a 32-byte completion, which came with Linux 6.18."""
    _needs(SetupFlags.CQE_MIXED)
    ring.prep_nop(tag, extra=extra)


# --- completions of 32 bytes


def test_no_big_completions_on_a_plain_ring(ring: uring_rs.Ring) -> None:
    ring.prep_nop("plain")
    assert one(ring).big_cqe is None
    _big_nop(ring, "big")
    cqe = one(ring)
    assert (cqe.res, cqe.big_cqe) == (-errno.EINVAL, None)
    idle(ring)


def test_cqe32(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """Every completion has the two words; most operations leave them zero."""
    ring = make_ring(4, flags=SetupFlags.CQE32)
    for turn in range(3 * ring.cq_entries):
        ring.prep_nop(turn)
        cqe = one(ring)
        assert (cqe.user_data, cqe.res, cqe.big_cqe) == (turn, 0, (0, 0))
        _big_nop(ring, turn, (turn, ~turn & 2**64 - 1))
        cqe = one(ring)
        assert (cqe.user_data, cqe.res, cqe.big_cqe) == (turn, 0, (turn, ~turn & 2**64 - 1))
        assert not cqe.flags & CqeFlags.F_32
    idle(ring)


@pytest.mark.parametrize("period", [1, 2, 3, 5])
def test_cqe_mixed(make_ring: Callable[..., uring_rs.Ring], period: int) -> None:
    """One in `period` is big: big ones meet the end of the queue at every place."""
    _needs(SetupFlags.CQE_MIXED)
    ring = make_ring(4, cq_entries=8, flags=SetupFlags.CQE_MIXED)
    seen = []
    for tag in range(200):
        if tag % period == 0:
            _big_nop(ring, tag, (tag, tag + 1))
        else:
            ring.prep_nop(tag)
        if tag % 3 == 0:
            ring.submit()
            seen += ring.reap()
    ring.submit()
    seen += ring.reap()
    assert [cqe.user_data for cqe in seen] == list(range(200))
    for tag, cqe in enumerate(seen):
        big = tag % period == 0
        assert cqe.res == 0
        assert cqe.big_cqe == ((tag, tag + 1) if big else None)
        assert bool(cqe.flags & CqeFlags.F_32) is big
    idle(ring)


def test_mixed_overflow(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """Big completions that find the queue full wait outside it as small ones do."""
    _needs(SetupFlags.CQE_MIXED)
    ring = make_ring(8, cq_entries=8, flags=SetupFlags.CQE_MIXED)
    for tag in range(8):
        _big_nop(ring, tag, (tag, 0))
    ring.submit()
    assert ring.cq_overflowed
    found = several(ring, 8)
    assert [(cqe.user_data, cqe.big_cqe) for cqe in found] == [(n, (n, 0)) for n in range(8)]
    idle(ring)


@pytest.mark.parametrize("flags", [SetupFlags.CQE32, SetupFlags.CQE_MIXED], ids=repr)
def test_deferred(open_ring: Callable[..., uring_rs.Ring], pipe: Pipe, flags: SetupFlags) -> None:
    _needs(flags)
    flags |= SetupFlags.SINGLE_ISSUER | SetupFlags.DEFER_TASKRUN | SetupFlags.NO_SQARRAY
    ring = open_ring(4, flags=flags)
    buf = bytearray(4)
    ring.prep_read(pipe.out, buf, user_data="pipe")
    ring.submit()
    pipe.feed(b"abcd")
    cqe = one(ring)
    assert (cqe.user_data, cqe.res, buf) == ("pipe", 4, b"abcd")
    assert cqe.big_cqe == ((0, 0) if flags & SetupFlags.CQE32 else None)
    # The export went with the completion, which carries the two words beside it.
    buf.clear()
    idle(ring)


@pytest.mark.parametrize("flags", [SetupFlags.CQE32, SetupFlags.CQE_MIXED], ids=repr)
def test_big_completions_wait_for_a_bulk_run(
    make_ring: Callable[..., uring_rs.Ring], flags: SetupFlags
) -> None:
    """A run takes everything off the ring; what is not its own is handed out later, whole."""
    _needs(flags)
    ring = make_ring(8, flags=flags)
    for tag in range(3):
        _big_nop(ring, tag, (tag, 7))
    ring.submit()
    assert list(ring.run_nops(100)) == [0] * 100
    assert [(cqe.user_data, cqe.big_cqe) for cqe in ring] == [(n, (n, 7)) for n in range(3)]
    assert ring.prep_nop_batch(4, tag=10) == 4
    ring.submit(wait=4)
    records = bytearray(64)
    assert ring.reap_into(records) == 4
    idle(ring)


def test_unread_big_completions_of_a_closed_ring(
    make_ring: Callable[..., uring_rs.Ring],
) -> None:
    _needs(SetupFlags.CQE_MIXED)
    ring = make_ring(4, flags=SetupFlags.CQE_MIXED)
    _big_nop(ring, "big")
    ring.submit()
    ring.close()
    assert [cqe.big_cqe for cqe in ring] == [WORDS]


def test_skipped_and_peeked(make_ring: Callable[..., uring_rs.Ring]) -> None:
    _needs(SetupFlags.CQE_MIXED)
    ring = make_ring(4, flags=SetupFlags.CQE_MIXED)
    ring.prep_nop("not seen", extra=WORDS, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("seen", extra=WORDS)
    ring.submit()
    shown = ring.peek()
    assert shown is not None
    assert shown.big_cqe == WORDS
    assert ring.pop() is shown
    idle(ring)


def test_big_with_polling(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """A kernel thread takes 128-byte entries and answers with 32-byte completions."""
    flags = SetupFlags.SQE128 | SetupFlags.CQE32 | SetupFlags.SQPOLL
    ring = make_ring(4, flags=flags, sqpoll_idle_ms=50)
    for turn in range(20):
        _big_nop(ring, turn, (turn, 1))
        assert one(ring).big_cqe == (turn, 1)


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ((1,), ValueError),
        ((1, 2, 3), ValueError),
        ((-1, 0), OverflowError),
        ((0, 2**64), OverflowError),
        (5, TypeError),
        (("1", 2), TypeError),
    ],
)
def test_bad_extra(ring: uring_rs.Ring, extra: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        ring.prep_nop(extra=extra)  # type: ignore[arg-type]
    idle(ring)


# --- entries of 128 bytes


WIDE = [
    SetupFlags.SQE128,
    SetupFlags.SQE128 | SetupFlags.NO_SQARRAY,
    SetupFlags.SQE128 | SetupFlags.CQE32 | SetupFlags.SUBMIT_ALL,
]


@pytest.mark.parametrize("flags", WIDE, ids=repr)
def test_every_place_is_used(
    make_ring: Callable[..., uring_rs.Ring], fd: int, flags: SetupFlags
) -> None:
    _needs(flags)
    ring = make_ring(4, flags=flags)
    for turn in range(20):
        buf = bytearray(4)
        ring.prep_nop(("first", turn))
        ring.prep_read(fd, buf, turn, user_data=turn)
        ring.prep_nop(("last", turn))
        found = {cqe.user_data: cqe.res for cqe in several(ring, 3)}
        assert found == {("first", turn): 0, turn: 4, ("last", turn): 0}
        assert buf == CONTENT[turn : turn + 4]
    idle(ring)


def _entries(ring: uring_rs.Ring) -> bytes:
    """The submission entries, read where the kernel reads them."""
    name = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) .* 10000000 .*anon_inode:\[io_uring\]")
    with open("/proc/self/maps") as maps:
        places = [found.groups() for line in maps if (found := name.match(line))]
    assert len(places) == 1, "one ring is open"
    start, end = (int(text, 16) for text in places[0])
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        return os.pread(memory, end - start, start)
    finally:
        os.close(memory)


def test_second_halves_are_clean(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """Whatever was there before, the entry's second half says nothing it was not asked to."""
    ring = make_ring(4, flags=SetupFlags.SQE128)
    for tag in range(10):
        ring.prep_nop(tag)
        ring.prep_nop128(user_data=tag)
        several(ring, 2)
    entries = _entries(ring)
    for at in range(0, 4 * 128, 128):
        assert entries[at] in (0, 63)
        assert entries[at + 64 : at + 128] == bytes(64)


def _nop128(cqe: uring_rs.Completion) -> bool:
    """Whether the kernel knows 128-byte NOPs; otherwise it must have refused this one."""
    assert cqe.res in (0, -errno.EINVAL), cqe
    return cqe.res == 0


def test_nop128(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4, flags=SetupFlags.SQE128 | SetupFlags.SUBMIT_ALL)
    for turn in range(9):
        ring.prep_nop128(user_data=turn)
        ring.push(Sqe.nop128(user_data="pushed"))
        ring.prep_nop("plain")
        found = {cqe.user_data: cqe for cqe in several(ring, 3)}
        assert found["plain"].res == 0
        assert _nop128(found[turn]) is _nop128(found["pushed"])
    idle(ring)


def test_wide_entries_in_a_chain(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(8, flags=SetupFlags.SQE128 | SetupFlags.SUBMIT_ALL)
    ring.prep_nop("first", flags=SqeFlags.IO_LINK)
    ring.prep_nop128(user_data="wide", flags=SqeFlags.IO_LINK)
    ring.prep_nop("last")
    found = {cqe.user_data: cqe for cqe in several(ring, 3)}
    known = _nop128(found["wide"])
    assert found["last"].res == (0 if known else -errno.ECANCELED)
    ring.prep_nop128(user_data="taken back", flags=SqeFlags.IO_LINK)
    assert ring.discard() == 1
    idle(ring)


def test_wide_entries_need_a_wide_ring(ring: uring_rs.Ring) -> None:
    with pytest.raises(ValueError, match="SQE128"):
        ring.prep_nop128()
    sqe = Sqe.nop128(user_data=object())
    for _ in range(2):
        with pytest.raises(ValueError, match="SQE128"):
            ring.push(sqe)
    idle(ring)


def test_an_sqe_shows_all_its_bytes() -> None:
    assert len(memoryview(Sqe.nop())) == 64
    wide = memoryview(Sqe.nop128())
    assert (len(wide), wide[0], wide.readonly) == (128, 63, True)

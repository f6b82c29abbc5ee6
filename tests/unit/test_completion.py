"""Completion: what it says, what cannot be done to it, what it must survive."""

from __future__ import annotations

import copy
import errno
import gc
import itertools
import os
import pickle
import select
import sys
import sysconfig
import weakref
from collections.abc import Iterator

import pytest

import uring_rs

pytestmark = pytest.mark.requires_op("NOP")

BATCH = 64


class Thing:
    """An object that can be referred to weakly and be part of a cycle."""

    cqe: uring_rs.Completion


@pytest.fixture
def ring() -> Iterator[uring_rs.Ring]:
    with uring_rs.Ring(BATCH) as ring:
        yield ring


def nop(ring: uring_rs.Ring, user_data: object = None) -> uring_rs.Completion:
    ring.prep_nop(user_data=user_data)
    ring.submit(wait=1)
    cqe = ring.pop()
    assert cqe is not None
    return cqe


def nops(ring: uring_rs.Ring, user_data: object, count: int = BATCH) -> list[uring_rs.Completion]:
    for _ in range(count):
        ring.prep_nop(user_data=user_data)
    ring.submit(wait=count)
    found = ring.reap()
    assert len(found) == count
    return found


def failed(ring: uring_rs.Ring) -> uring_rs.Completion:
    """A completion with -ENOENT."""
    ring.prep_openat("/nonexistent/uring_rs", user_data="lost")
    ring.submit(wait=1)
    cqe = ring.pop()
    assert cqe is not None
    return cqe


# --- what a completion says


def test_attributes(ring: uring_rs.Ring) -> None:
    thing = Thing()
    cqe = nop(ring, thing)
    assert cqe.user_data is thing
    assert (cqe.res, cqe.flags) == (0, 0)
    assert type(cqe.res) is int
    assert type(cqe.flags) is int
    assert cqe.op == "NOP"
    assert cqe.more is False
    assert cqe.result() == 0


def test_attributes_that_only_some_operations_have(ring: uring_rs.Ring) -> None:
    cqe = nop(ring)
    assert cqe.address is None
    assert cqe.ancdata == []
    assert cqe.ancdata is not cqe.ancdata
    assert cqe.msg_flags == 0


def test_user_data_defaults_to_none(ring: uring_rs.Ring) -> None:
    ring.prep_nop()
    ring.submit(wait=1)
    cqe = ring.pop()
    assert cqe is not None
    assert cqe.user_data is None


@pytest.mark.requires_op("WRITE")
def test_each_completion_has_its_own_result(ring: uring_rs.Ring) -> None:
    # Equal results share an int object and unequal ones must not.
    readable, writable = os.pipe()
    try:
        seen = []
        for size in (5, 5, 300, 5, 300, 300, 0, 4000, 5):
            ring.prep_write(writable, b"x" * size, user_data=size)
            ring.submit(wait=1)
            cqe = ring.pop()
            assert cqe is not None
            seen.append(cqe)
        assert [cqe.res for cqe in seen] == [cqe.user_data for cqe in seen]
        assert [cqe.result() for cqe in seen] == [cqe.user_data for cqe in seen]
    finally:
        os.close(readable)
        os.close(writable)


@pytest.mark.requires_op("POLL_ADD")
def test_more_and_flags_of_a_multishot_request(ring: uring_rs.Ring) -> None:
    readable, writable = os.pipe()
    try:
        request = ring.prep_poll_add(readable, select.POLLIN, multishot=True, user_data="poll")
        ring.submit()
        os.write(writable, b"x")
        ring.wait(1)
        cqe = ring.pop()
        assert cqe is not None
        assert cqe.more is True
        assert cqe.flags & uring_rs.CqeFlags.MORE
        assert cqe.request == request
        assert "flags=MORE" in repr(cqe)
        assert cqe.res & select.POLLIN
    finally:
        ring.close()
        os.close(readable)
        os.close(writable)


@pytest.mark.requires_op("OPENAT")
def test_result_raises_what_the_errno_stands_for(ring: uring_rs.Ring) -> None:
    cqe = failed(ring)
    assert cqe.res == -errno.ENOENT
    with pytest.raises(FileNotFoundError) as caught:
        cqe.result()
    assert type(caught.value) is FileNotFoundError
    assert caught.value.errno == errno.ENOENT
    assert caught.value.strerror == f"{os.strerror(errno.ENOENT)} (OPENAT)"
    # Asking again raises another one: an exception carries a traceback.
    with pytest.raises(FileNotFoundError) as again:
        cqe.result()
    assert again.value is not caught.value


@pytest.mark.requires_op("OPENAT")
def test_repr(ring: uring_rs.Ring) -> None:
    assert repr(nop(ring, "x")) == "<Completion NOP res=0 user_data='x'>"
    assert repr(failed(ring)) == "<Completion OPENAT res=-2 (ENOENT) user_data='lost'>"


def test_repr_of_a_completion_that_contains_itself(ring: uring_rs.Ring) -> None:
    box: list[object] = []
    cqe = nop(ring, box)
    box.append(cqe)
    inner = "<Completion NOP res=0 user_data=...>"
    assert repr(cqe) == f"<Completion NOP res=0 user_data=[{inner}]>"
    box.clear()


def test_repr_passes_on_what_user_data_does(ring: uring_rs.Ring) -> None:
    class Odd:
        def __init__(self, text: str | None) -> None:
            self.text = text

        def __repr__(self) -> str:
            if self.text is None:
                raise ZeroDivisionError
            return self.text

    assert repr(nop(ring, Odd("\ud800\N{SNOWMAN}"))).endswith("user_data=\ud800\N{SNOWMAN}>")
    cqe = nop(ring, Odd(None))
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            repr(cqe)


# --- unpacking


def test_unpacks(ring: uring_rs.Ring) -> None:
    thing = Thing()
    user_data, res, flags = nop(ring, thing)
    assert user_data is thing
    assert (res, flags) == (0, 0)
    assert tuple(nop(ring, 7)) == (7, 0, 0)
    assert list(nop(ring, 7)) == [7, 0, 0]
    with pytest.raises(ValueError, match="unpack"):
        _, _ = nop(ring)
    with pytest.raises(ValueError, match="unpack"):
        _, _, _, _ = nop(ring)


def test_index_and_length(ring: uring_rs.Ring) -> None:
    cqe = nop(ring, "x")
    assert len(cqe) == 3
    assert [cqe[i] for i in range(3)] == ["x", 0, 0]
    assert [cqe[i] for i in (-3, -2, -1)] == ["x", 0, 0]
    for index in (3, -4, 256, 257, sys.maxsize, -sys.maxsize):
        with pytest.raises(IndexError):
            cqe[index]
    with pytest.raises(TypeError):
        cqe["res"]


def test_match(ring: uring_rs.Ring) -> None:
    assert uring_rs.Completion.__match_args__ == ("user_data", "res", "flags")
    match nop(ring, "x"):
        case uring_rs.Completion("x", 0, flags):
            assert flags == 0
        case other:
            pytest.fail(f"not matched: {other}")


def test_iterators_are_independent_and_keep_what_they_need(ring: uring_rs.Ring) -> None:
    thing = Thing()
    alive = weakref.ref(thing)
    cqe = nop(ring, thing)
    del thing
    assert list(itertools.product(cqe, cqe))[:4] == [
        (cqe.user_data, cqe.user_data), (cqe.user_data, 0), (cqe.user_data, 0), (0, cqe.user_data)
    ]  # fmt: skip
    iterator = iter(cqe)
    assert iter(iterator) is iterator
    del cqe
    gc.collect()
    assert next(iterator) is alive()
    assert list(iterator) == [0, 0]
    # Exhausted is exhausted.
    assert list(iterator) == []
    del iterator
    gc.collect()
    assert alive() is None


# --- what cannot be done to them


@pytest.mark.parametrize("cls", [uring_rs.Completion, uring_rs.Request])
def test_types_are_sealed(cls: type) -> None:
    with pytest.raises(TypeError, match="cannot create"):
        cls()
    # These would have fields that point nowhere.
    with pytest.raises(TypeError, match="not safe|cannot create"):
        object.__new__(cls)
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Sub", (cls,), {})
    with pytest.raises(TypeError, match="immutable type"):
        cls.added = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Thing().__class__ = cls
    assert cls.__module__ == "uring_rs"


def test_objects_are_sealed(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop(user_data="x")
    ring.submit(wait=1)
    cqe = ring.pop()
    names = ["user_data", "res", "flags", "more", "op", "request", "address"]
    for owner, name in [
        *((cqe, name) for name in names),
        *((request, name) for name in ("op", "key")),
    ]:
        value = getattr(owner, name)
        with pytest.raises(AttributeError):
            setattr(owner, name, 1)
        with pytest.raises(AttributeError):
            delattr(owner, name)
        assert getattr(owner, name) == value
    for owner in (cqe, request):
        with pytest.raises(AttributeError):
            owner.added = 1  # type: ignore[union-attr]
        with pytest.raises(TypeError):
            owner.__class__ = Thing
        with pytest.raises(TypeError):
            copy.copy(owner)
        with pytest.raises(TypeError):
            pickle.dumps(owner)


def test_completions_compare_by_identity(ring: uring_rs.Ring) -> None:
    one, other = nop(ring, 1), nop(ring, 1)
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2
    assert one != tuple(one)


def test_sizes(ring: uring_rs.Ring) -> None:
    # A handful of words: these are the objects made by the million.
    cqe = nop(ring)
    assert sys.getsizeof(cqe) <= 128
    assert sys.getsizeof(cqe.request) <= 64


# --- references and the collector


def test_references_return_to_base(ring: uring_rs.Ring) -> None:
    thing = Thing()
    nops(ring, thing)
    watched = (thing, uring_rs.Completion, uring_rs.Request)
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(500):
        for cqe in nops(ring, thing):
            user_data, _, _ = cqe
            assert user_data is cqe[0] is cqe.user_data is thing
            assert cqe.request.op == cqe.op
    del cqe, user_data
    after = [sys.getrefcount(one) for one in watched]
    # The type counts what lies in the freelist, too: a few, not one for each of 32 000.
    assert after[0] == before[0]
    assert all(now - then < BATCH for now, then in zip(after, before, strict=True))


@pytest.mark.skipif(
    bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="objects are not reused on interpreters without a GIL",
)
def test_dead_completions_are_reused(ring: uring_rs.Ring) -> None:
    nops(ring, None)
    before = sys.getallocatedblocks()
    held = nops(ring, None)
    grown = sys.getallocatedblocks() - before
    assert len(held) == BATCH
    assert grown < BATCH // 2


def test_dead_completions_beyond_the_stock_are_freed(ring: uring_rs.Ring) -> None:
    def hold_and_drop() -> None:
        held = [nops(ring, None) for _ in range(10)]
        assert sum(map(len, held)) == 10 * BATCH

    hold_and_drop()
    blocks, references = sys.getallocatedblocks(), sys.getrefcount(uring_rs.Completion)
    hold_and_drop()
    grown = sys.getallocatedblocks() - blocks, sys.getrefcount(uring_rs.Completion) - references
    assert grown[0] < BATCH // 2
    # Without a GIL an object's birth is counted in a table of its thread's, its end at the type.
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert grown[1] == 0


def test_the_collector_is_spared_what_cannot_be_in_a_cycle(ring: uring_rs.Ring) -> None:
    assert gc.is_tracked(nop(ring, Thing()))
    assert gc.is_tracked(nop(ring, []))
    assert gc.is_tracked(nop(ring, nop(ring)))
    for user_data in (None, 5, "x", b"x", 1.5):
        cqe = nop(ring, user_data)
        assert not gc.is_tracked(cqe)
        assert not gc.is_tracked(iter(cqe))


def test_a_cycle_through_user_data_is_collected(ring: uring_rs.Ring) -> None:
    alive = []
    for _ in range(100):
        thing = Thing()
        thing.cqe = nop(ring, thing)
        alive.append(weakref.ref(thing))
    del thing
    gc.collect()
    assert not any(ref() for ref in alive)


def test_a_cycle_through_an_iterator_is_collected(ring: uring_rs.Ring) -> None:
    class Box(list[object]):
        pass

    box = Box()
    alive = weakref.ref(box)
    box.append(iter(nop(ring, box)))
    del box
    gc.collect()
    assert alive() is None


def test_a_finaliser_in_a_cycle_sees_a_whole_completion(ring: uring_rs.Ring) -> None:
    seen: list[object] = []

    class Last:
        cqe: uring_rs.Completion

        def __del__(self) -> None:
            seen.append((self.cqe.user_data is self, self.cqe.res, self.cqe.op))

    last = Last()
    last.cqe = nop(ring, last)
    del last
    gc.collect()
    assert seen == [(True, 0, "NOP")]


def test_user_data_dies_with_its_completion(ring: uring_rs.Ring) -> None:
    thing = Thing()
    alive = weakref.ref(thing)
    cqe = nop(ring, thing)
    del thing
    gc.collect()
    assert alive() is not None
    del cqe
    assert alive() is None


def test_a_dying_user_data_may_use_the_ring(ring: uring_rs.Ring) -> None:
    # It runs while the completion that held it is being buried, and wants another one.
    seen = []

    class Again:
        def __del__(self) -> None:
            seen.append(nop(ring, Thing()).result())

    for _ in range(300):
        nop(ring, Again())
    assert seen == [0] * 300


def test_collection_at_every_allocation(ring: uring_rs.Ring) -> None:
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(300):
            box: list[object] = [number]
            held = nops(ring, box, 8)
            box.extend(held)
            box.extend(iter(cqe) for cqe in held)
            assert [cqe.user_data for cqe in held] == [box] * 8
            assert [res for _, res, _ in held] == [0] * 8
            assert len({cqe.request for cqe in held}) == 8
    finally:
        gc.set_threshold(*threshold)

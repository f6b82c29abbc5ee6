"""Request: the name of one request of one ring."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import uring_rs

pytestmark = pytest.mark.requires_op("NOP")

BATCH = 64


@pytest.fixture
def ring() -> Iterator[uring_rs.Ring]:
    with uring_rs.Ring(BATCH) as ring:
        yield ring


def test_request_equality_and_hash(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop()
    another = ring.prep_nop()
    ring.submit(wait=2)
    first, second = ring.reap()
    assert first.request == request
    assert hash(first.request) == hash(request)
    assert first.request is not request
    assert second.request == another
    assert request != another
    assert {request: 1, another: 2}[first.request] == 1
    assert request != request.key
    assert request.key == first.request.key
    with pytest.raises(TypeError):
        request < another  # type: ignore[operator] # noqa: B015


def test_requests_of_two_rings_differ(ring: uring_rs.Ring) -> None:
    with uring_rs.Ring(BATCH) as other:
        here = [ring.prep_nop() for _ in range(8)]
        there = [other.prep_nop() for _ in range(8)]
        assert all(one != other for one in here for other in there)
        assert len({*here, *there}) == 16
        # The same place in two rings: equal numbers, different names.
        assert {request.key for request in here} & {request.key for request in there}


def test_request_hashes_spread(ring: uring_rs.Ring) -> None:
    # A dictionary of requests uses the low bits, where the keys of one ring are all alike.
    requests = [ring.prep_nop() for _ in range(BATCH)]
    assert len({hash(request) & 255 for request in requests}) > BATCH // 2


def test_request_says_what_it_is(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop()
    assert request.op == "NOP"
    assert 0 <= request.key < 2**64
    assert re.fullmatch(r"<Request NOP key=0x[0-9a-f]+>", repr(request))
    assert repr(request) == f"<Request NOP key={request.key:#x}>"


def test_request_is_stale_after_its_end(ring: uring_rs.Ring) -> None:
    request = ring.prep_nop()
    assert ring.is_live(request)
    ring.submit(wait=1)
    ring.reap()
    assert not ring.is_live(request)


@pytest.mark.parametrize("wrong", [5, None, "READ", object(), uring_rs.Request])
def test_only_a_request_is_a_request(ring: uring_rs.Ring, wrong: object) -> None:
    name = type(wrong).__name__
    with pytest.raises(TypeError, match=f"expected a Request.*'{name}'"):
        ring.is_live(wrong)  # type: ignore[arg-type]


def test_a_completion_is_not_a_request(ring: uring_rs.Ring) -> None:
    ring.prep_nop()
    ring.submit(wait=1)
    with pytest.raises(TypeError, match=r"expected a Request.*'Completion'"):
        ring.is_live(ring.pop())  # type: ignore[arg-type]

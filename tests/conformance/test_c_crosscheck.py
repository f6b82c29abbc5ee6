"""Every builder's entry, all 64 bytes, beside the one that C makes of the same arguments.

C is liburing where its header is installed, and tests/abi/prep.h, written from the manual pages, in
any case. Addresses of what the library copies are not compared but followed: what they lead to is.
`ABI_INCLUDE=DIR` names a folder with newer headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.entries import compiler
from helpers.entries.cases import CASES
from helpers.entries.compare import differences
from helpers.entries.compiler import Entry
from helpers.entries.world import World
from uring_rs import SqeFlags

HERE = [(number, case) for number, case in enumerate(CASES) if case.there]
COMMON = {"flags": SqeFlags.IO_LINK, "personality": 3}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The ring and the memory that the cases are about."""
    made = World()
    made.provide(case for _, case in HERE)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["prep.h", "liburing"])
def entries(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, Entry]:
    """What C makes of the cases."""
    liburing = request.param == "liburing"
    if reason := compiler.missing(liburing):
        pytest.skip(reason)
    folder: Path = tmp_path_factory.mktemp("entries")
    # After the preparing, since that sets every field.
    common = "sqe->flags |= IOSQE_IO_LINK; sqe->personality = 3"
    texts = {number: f"{case.c}; {common}" for number, case in HERE}
    return compiler.ask(folder, texts, world.defines(), liburing=liburing)


@pytest.fixture
def expected(entries: dict[int, Entry], request: pytest.FixtureRequest) -> Entry:
    """The entry of one case."""
    number, case = request.node.callspec.params["numbered"]
    if number not in entries:
        pytest.skip(f"these headers are too old for {', '.join(sorted(case.helpers))}")
    return entries[number]


@pytest.mark.parametrize("numbered", HERE, ids=lambda numbered: str(numbered[1]))
def test_entry_is_that_of_c(numbered, world: World, expected: Entry) -> None:
    _, case = numbered
    if not case.of_ring_only:
        sqe = world.sqe(case, **COMMON)
        told = differences(bytes(memoryview(sqe)), expected)
        assert not told, "\n".join(["Sqe", *told])
        del sqe
    try:
        told = differences(world.staged(case, **COMMON), expected)
        assert not told, "\n".join(["Ring", *told])
    finally:
        world.ring.discard()


def test_own_c_covers_every_case(world: World, tmp_path: Path) -> None:
    """Nothing but headers of before 6.1 makes prep.h say less than the cases ask."""
    if reason := compiler.missing(False):
        pytest.skip(reason)
    texts = {number: case.c for number, case in HERE}
    found = compiler.ask(tmp_path, texts, world.defines(), liburing=False)
    assert [str(case) for number, case in HERE if number not in found] == []

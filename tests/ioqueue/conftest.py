"""Where the queue of a test is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.queueworlds import SimWorld, ThreadWorld, World, supported


@pytest.fixture(params=["ring", "threads", "sim"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each kind of queue."""
    yield from _world(request.param)


@pytest.fixture(params=["ring", "threads"])
def real_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Queues on files of the running kernel, in whose time threads live."""
    yield from _world(request.param)


def _world(name: str) -> Iterator[World]:
    if name == "ring" and not supported():
        pytest.skip("io_uring is refused here")
    world = {"ring": World, "threads": ThreadWorld, "sim": SimWorld}[name]()
    yield world
    world.end()

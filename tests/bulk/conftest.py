"""The bulk functions are tested twice: over io_uring, and where that is turned off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(params=["ring", "threads"])
def carrier(request: pytest.FixtureRequest) -> Iterator[str]:
    """By what requests that have to wait are carried out."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "threads":
            patch.setenv("URING_RS_DISABLE", "1")
        yield request.param

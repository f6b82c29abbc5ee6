"""The program of the 2^32 NOPs, as far as it goes in a moment."""

from __future__ import annotations

import pytest

import uring_rs
from endurance import nops


@pytest.mark.once
def test_some_nops_through_one_ring() -> None:
    if not uring_rs.is_supported():
        pytest.skip(f"io_uring is refused here: {uring_rs.probe().reason}")
    figures = nops.soak(2 * nops.NEAR + 70_000, last=1000)
    assert figures["nops"] == 3 * nops.NEAR + 71_000
    assert figures["index_before_wrap"] == nops.NEAR + 70_000
    assert figures["index_at_end"] == figures["nops"]
    assert figures["wraps"] == 0

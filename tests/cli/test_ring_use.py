"""What cat and sum read and write goes through the ring, and many requests at a time."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Traced: TypeAlias = Callable[..., tuple[bytes, Counter[str], int]]

PREP = re.compile(r"uring_rs\.trace: prep .*\bop='(\w+)'")


@pytest.fixture
def traced(uring: Any) -> Traced:
    """Runs a command and tells its output, its requests by operation, and the largest batch."""

    def run(*words: str | Path) -> tuple[bytes, Counter[str], int]:
        out, said = uring(*words, URING_RS_TRACE="1")
        ops: Counter[str] = Counter()
        batch = largest = 0
        for line in said:
            if found := PREP.match(line):
                ops[found[1]] += 1
                batch += 1
            elif "uring_rs.trace: enter" in line:
                largest, batch = max(largest, batch), 0
        if uring.plain:
            assert not ops
        return out, ops, largest

    return run


def test_cat(uring: Any, traced: Traced, odd_tree: Path) -> None:
    names = sorted(odd_tree.glob("*.bin"))
    out, ops, largest = traced("cat", *names)
    assert out == b"".join(path.read_bytes() for path in names)
    if not uring.plain:
        assert ops["READ"] >= len(names) + 9  # the largest takes ten
        assert ops["WRITE"] + ops["WRITEV"] >= 1
        assert largest > 8


def test_sum(uring: Any, traced: Traced, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).write_bytes(os.urandom(100))
    out, ops, largest = traced("sum", tmp_path)
    assert len(out.splitlines()) == 200
    if not uring.plain:
        assert ops["READ"] == 200  # one each, not one more to find the end
        assert largest > 32

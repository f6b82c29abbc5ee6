"""The disk of `examples/block_device.py`, on a ring and on threads."""

from __future__ import annotations

import pytest

from helpers import run_child
from helpers.queueworlds import supported
from helpers.readme import ROOT

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

EXAMPLE = ROOT / "examples" / "block_device.py"


def run_example(seconds: float, **env: str) -> str:
    code = f"PATH = {str(EXAMPLE)!r}\nimport runpy, sys\nrunpy.run_path(PATH, run_name='__main__')"
    ran = run_child(code, str(seconds), options=["-W", "error"], env=env, timeout=60 + seconds)
    return ran.stdout


@pytest.mark.parametrize("way", ["ring", "threads"])
def test_the_disk_holds_what_was_written(way: str) -> None:
    if way == "ring" and not supported():
        pytest.skip("io_uring is refused here")
    said = run_example(1.0, **({} if way == "ring" else {"URING_RS_DISABLE": "1"}))
    assert said.startswith("io_uring: " if way == "ring" else "threads: ")
    assert "every sector as it should be" in said

"""What the README says of speed was measured: its tables are those of the newest results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = (BENCHMARKS / "results", BENCHMARKS / "results" / "files")


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="not in a checkout")
@pytest.mark.parametrize("results", [place for place in RESULTS if place.is_dir()])
def test_the_readme_has_the_numbers_of_the_newest_result(results: Path) -> None:
    newest = max(results.glob("*.json"))
    command = [sys.executable, "summary.py", newest, "--check"]
    done = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, f"run benchmarks/summary.py {newest}\n{done.stderr}"

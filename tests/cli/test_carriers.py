"""`uring-rs cat` leaves its work to the functions for many files, and those to who is allowed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from helpers.child import run_child

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

# Runs a command, and prints what each of its jobs says of how it was done.
SPY = """
import io, json, os, sys
import uring_rs.cli
from uring_rs.cli import cat

name, *words = sys.argv[1:]
real, jobs = getattr(cat, name), []

def spy(*args, **options):
    jobs.append(real(*args, **options))
    return jobs[-1]

setattr(cat, name, spy)
status = uring_rs.cli.main(words)
sys.stdout.flush()
print(json.dumps([dict(job.stats) for job in jobs]), file=sys.stderr)
sys.exit(status)
"""


def uncached(path: Path) -> None:
    """Nothing of this file in the page cache, where the system lets us."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def jobs(uring: Any, *words: str) -> list[dict[str, int]]:
    """The statistics of each job of a command."""
    env = {"URING_RS_DISABLE": "1"} if uring.plain else {}
    done = run_child(SPY, *words, env=env)
    found: list[dict[str, int]] = json.loads(done.stderr.splitlines()[-1])
    for stats in found:
        assert stats["ring" if uring.plain else "threads"] == 0
    return found


def test_many_files_are_one_job(uring: Any, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / str(number)).write_bytes(os.urandom(5000))
        uncached(tmp_path / str(number))
    names = [str(path) for path in tmp_path.iterdir()]
    (stats,) = jobs(uring, "read_many", "cat", *names)
    # Each file took at least one request, whoever carried it out.
    assert sum(stats[way] for way in ("at_once", "plain", "ring", "threads")) >= 200


def test_a_large_file_is_read_ahead(uring: Any, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(9 << 20))
    uncached(tmp_path / "large")
    (stats,) = jobs(uring, "stream", "cat", str(tmp_path / "large"))
    assert sum(stats[way] for way in ("at_once", "plain", "ring", "threads")) >= 1

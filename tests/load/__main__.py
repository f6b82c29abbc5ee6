"""The long forms of the load tests, each in a process of its own; `nox -s load` records them.

PYTHONPATH=tests python -m load [PART ...]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uring_rs
from helpers.evidence import record
from helpers.host import become_nobody

from . import descriptors, echo, full_disk, loops, many_rings, peers, storms

Figures = dict[str, int | float]


def connections() -> Figures:
    found = echo.run(10_000, 10)
    if not found["accepted"] == found["ended"] == found["most_at_once"] == 10_000:
        raise AssertionError(found)
    return found


def asyncio_connections() -> Figures:
    return loops.run(5000, 5)


def rings() -> Figures:
    return dict(many_rings.many(1000))


def rings_to_the_descriptors() -> Figures:
    many_rings.limit_descriptors(2000)
    found = many_rings.until_refused(uring_rs.Cause.PROCESS_QUOTA, "rlimit_nofile")
    return {"rings_within_2000_descriptors": found["rings"]}


def rings_to_the_mappings() -> Figures:
    """As many rings as vm.max_map_count allows, with nothing else in the way."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many_rings.limit_descriptors(hard)
    found = many_rings.until_refused(uring_rs.Cause.MEMORY, "vm.max_map_count")
    return {"rings_within_max_map_count": found["rings"]}


def rings_to_the_lockable_memory() -> Figures:
    become_nobody()
    found = many_rings.until_refused(uring_rs.Cause.MEMORY, "rlimit_memlock")
    return {"rings_within_memlock": found["rings"]}


def overflow_of_messages() -> Figures:
    return storms.messages(200_000)


def overflow_of_multishots() -> Figures:
    return dict(storms.multishots(5000))


def no_descriptor_left() -> Figures:
    descriptors.accepts()
    with tempfile.TemporaryDirectory() as folder:
        said = descriptors.exhaust(Path(folder), 10)
    refused = sum(result != "done" for results in said.values() for result in results)
    return {"jobs_short_of_descriptors": len(said), "emfile_errors": refused}


def full_disks() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        found = full_disk.fill_up(Path(folder))
    return {"jobs_on_a_full_disk": len(full_disk.WORKS), "enospc_errors": sum(found.values())}


def slow_and_dead_peers() -> Figures:
    turns = 20
    for _ in range(turns):
        cases = peers.run_all()
    peers.unplugged()
    return {"peer_cases": len(cases) + 1, "peer_runs": turns * len(cases) + 1}


PARTS: dict[str, Callable[[], Figures]] = {
    part.__name__: part
    for part in (
        connections,
        asyncio_connections,
        rings,
        rings_to_the_descriptors,
        rings_to_the_mappings,
        rings_to_the_lockable_memory,
        overflow_of_messages,
        overflow_of_multishots,
        no_descriptor_left,
        full_disks,
        slow_and_dead_peers,
    )
}


def run_apart(name: str) -> Figures:
    """One part, in a fresh interpreter."""
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "load", "--here", name],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Figures = json.loads(ran.stdout.splitlines()[-1])
    print(f"{name}, {time.monotonic() - began:.0f} s: {found}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="The long forms of the load tests.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all, recorded")
    parser.add_argument("--here", choices=PARTS, help="run this one in this process")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(PARTS[options.here]()))
        return
    began = time.monotonic()
    figures: Figures = {}
    for name in options.parts or PARTS:
        figures |= run_apart(name)
    if not options.parts:
        seconds = time.monotonic() - began
        print(record("load", command="nox -s load", seconds=seconds, figures=figures))


if __name__ == "__main__":
    main()

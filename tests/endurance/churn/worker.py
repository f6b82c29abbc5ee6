"""The process that churns: a random mix of actions, measured after each window.

It writes one JSON line for each thing that `__main__` is to know, and judges nothing.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from helpers.host import become_user, limit_lockable_memory

# For their actions.
from . import files, net, others, rings  # noqa: F401
from .gauges import descriptors, settle
from .plants import PLANTS
from .world import ACTIONS, World

# No action takes a second; a process that hangs shows where.
HANGING = 120
LOCKABLE = 4 << 20
FAILURES_BEFORE_THE_END = 20


def tell(kind: str, **facts: object) -> None:
    print(json.dumps({"kind": kind, **facts}), flush=True)


def wear_out_interned() -> None:
    """Have CPython make its table of interned strings anew.

    It does so when names have come and gone often enough, once in ten minutes of this, and the new
    one is half a megabyte larger, three times what it holds.
    """
    for number in range(50_000):
        sys.intern(f"interned-{number}")


class Churn:
    """Runs actions and counts them."""

    def __init__(self, world: World, names: list[str], plants: list[str]) -> None:
        self.world, self.names, self.plants = world, names, plants
        self.actions: Counter[str] = Counter()
        self.operations = self.failures = 0

    def act(self, name: str) -> None:
        faulthandler.dump_traceback_later(HANGING, exit=True)
        state = self.world.rng.getstate()
        try:
            self.operations += ACTIONS[name](self.world)
        except Exception:
            self.failures += 1
            tell("failure", action=name, state=hash(state), text=traceback.format_exc())
            del state
        self.actions[name] += 1
        faulthandler.cancel_dump_traceback_later()

    def window(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.failures <= FAILURES_BEFORE_THE_END:
            self.act(self.world.rng.choice(self.names))
        for plant in self.plants:
            PLANTS[plant][0](self.world)

    def warm_up(self, rounds: int) -> None:
        """Each action in its turn, some times, so that all caches are full."""
        for _ in range(rounds):
            for name in self.names:
                self.act(name)
        wear_out_interned()


def churn(options: argparse.Namespace, folder: Path) -> None:
    world = World(folder, options.seed)
    names = [name for name in ACTIONS if options.only in ("", name)]
    work = Churn(world, names, options.plant)
    work.warm_up(options.warm_up)
    base = settle(world, None)
    # Once more with the gauges themselves warm.
    base = settle(world, None)
    tell("base", gauges=base, operations=work.operations, user=os.getuid())
    ends = time.monotonic() + options.seconds
    windows = 0
    # However slow this machine is, so many are needed to tell anything.
    while (time.monotonic() < ends or windows < 3) and work.failures <= FAILURES_BEFORE_THE_END:
        windows += 1
        work.window(options.window)
        gauges = settle(world, base, options.patience)
        counts = {"operations": work.operations, "actions": work.actions.total()}
        tell("window", gauges=gauges, kinds=len(work.actions), **counts)
        if gauges["descriptors"] != base["descriptors"]:
            print("open:", *descriptors(), sep="\n  ", flush=True)
    tell("end", kinds=dict(work.actions))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--window", type=float, required=True)
    parser.add_argument("--patience", type=float, default=20.0)
    parser.add_argument("--warm-up", type=int, default=4)
    parser.add_argument("--only", default="")
    parser.add_argument("--plant", action="append", default=[], choices=sorted(PLANTS))
    return parser.parse_args(arguments)


def main() -> None:
    options = parse(sys.argv[1:])
    faulthandler.enable()
    # A user of our own: what is locked is counted by user, and others run tests here.
    with tempfile.TemporaryDirectory(prefix="uring_rs-churn-") as name:
        if os.geteuid() == 0:
            user = 1_000_000 + os.getpid()
            os.chown(name, user, user)
            become_user(user)
        # So that the limit is reached with some hundred rings, and not with thousands.
        limit_lockable_memory(LOCKABLE)
        churn(options, Path(name))


if __name__ == "__main__":
    main()

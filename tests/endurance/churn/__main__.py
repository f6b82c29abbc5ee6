"""An hour of everything at random, watched for leaks.

    PYTHONPATH=tests python -m endurance.churn --minutes 60 --record

Started as root, the process that churns is a user without privileges, so that the kernel accounts
for the memory that rings lock; this one keeps its own, and reads the kernel's log and slabs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import time
from typing import Any

from helpers.child import child_env
from helpers.evidence import record

from .gauges import ALLOWED, EXACT, Gauges, drift_of, judge

TROUBLE = re.compile(
    r"WARNING|BUG|Oops|KASAN|UBSAN|refcount_t|general protection|hung task|blocked for more"
    r"|segfault|soft lockup|leak"
)
SHOWN = ("descriptors", "maps", "threads", "workers", "rss_kib", "heap_bytes", "python_blocks")


def kernel_log() -> list[str] | None:
    """The kernel's log, or None where it cannot be read."""
    try:
        ran = subprocess.run(
            ["dmesg"], capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.splitlines() if ran.returncode == 0 else None


def slab_kib() -> int:
    """The kernel's own memory that it cannot give back, of all processes together."""
    with open("/proc/meminfo") as lines:
        found = dict(line.split(":", 1) for line in lines)
    return int(found["SUnreclaim"].split()[0])


class Report:
    """What the churning process has told so far."""

    def __init__(self) -> None:
        self.base: Gauges = {}
        self.windows: list[Gauges] = []
        self.failures: list[str] = []
        self.slabs: list[int] = [slab_kib()]
        self.operations = self.actions = self.kinds = 0
        self.ended = False
        self.began = self.told = time.monotonic()

    def take(self, line: str) -> None:
        try:
            facts: dict[str, Any] = json.loads(line)
        except ValueError:
            print(line, end="", flush=True)
            return
        kind = facts["kind"]
        if kind == "base":
            self.base = facts["gauges"]
            print(f"as user {facts['user']}, warm: {self.base}", flush=True)
        elif kind == "window":
            self.window(facts)
        elif kind == "failure":
            self.failures.append(facts["action"])
            print(f"{facts['action']} failed:\n{facts['text']}", flush=True)
        elif kind == "end":
            self.ended = True
            print(f"actions: {facts['kinds']}", flush=True)

    def window(self, facts: dict[str, Any]) -> None:
        self.windows.append(facts["gauges"])
        self.operations, self.actions = facts["operations"], facts["actions"]
        self.kinds = facts["kinds"]
        self.slabs.append(slab_kib())
        now = time.monotonic()
        if now - self.told >= 55 or len(self.windows) == 1:
            self.told = now
            some = ", ".join(f"{name} {self.windows[-1][name]}" for name in SHOWN)
            print(
                f"{(now - self.began) / 60:5.1f} min: {self.actions} actions, "
                f"{self.operations} operations; {some}, slab_kib {self.slabs[-1]}",
                flush=True,
            )

    def figures(self) -> dict[str, int | float | str]:
        found: dict[str, int | float | str] = {
            "windows": len(self.windows),
            "kinds_of_action": self.kinds,
            "actions": self.actions,
            "operations": self.operations,
            "failures": len(self.failures),
        }
        for name in (*EXACT, *ALLOWED):
            found[f"{name}_start"] = self.base[name]
            found[f"{name}_end"] = self.windows[-1][name]
        for name in ALLOWED:
            found[f"{name}_drift"] = drift_of(name, self.windows)
        found["kernel_slab_kib_start"], found["kernel_slab_kib_end"] = self.slabs[0], self.slabs[-1]
        return found


def run(options: argparse.Namespace) -> int:
    report = Report()
    log_before = kernel_log() if options.log == "yes" else None
    command = [sys.executable, "-X", "dev" if options.dev else "faulthandler", "-m"]
    command += ["endurance.churn.worker", f"--seed={options.seed}"]
    command += [
        f"--seconds={options.seconds or 60 * options.minutes}",
        f"--window={options.window}",
    ]
    command += [f"--patience={options.patience}", f"--only={options.only}"]
    command += [f"--warm-up={options.warm_up}"]
    command += [f"--plant={name}" for name in options.plant]
    print(f"seed {options.seed}", flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_env()) as child:
        assert child.stdout is not None
        for line in child.stdout:
            report.take(line)
    seconds = time.monotonic() - report.began
    problems = [f"{name} failed" for name in report.failures]
    if child.returncode != 0 or not report.ended:
        problems.append(f"the churning process ended with {child.returncode}")
    if report.base:
        problems += judge(report.base, report.windows)
    news, readable = kernel_news(log_before)
    problems += [f"kernel log: {line}" for line in news]
    for problem in problems:
        print(f"LEAK OR FAILURE: {problem}", flush=True)
    print(f"{len(problems)} problems in {report.actions} actions, {seconds:.0f} s", flush=True)
    if options.record and report.windows:
        figures = {**report.figures(), "problems": len(problems), "seed": options.seed}
        figures["kernel_log"] = readable
        print(record("soak-churn", command=options.record, seconds=seconds, figures=figures))
    return 1 if problems else 0


def kernel_news(before: list[str] | None) -> tuple[list[str], str]:
    """What the kernel complained about since, and whether it could be asked."""
    after = kernel_log()
    if before is None or after is None:
        return [], "not readable"
    known = set(before)
    news = [line for line in after if line not in known and TROUBLE.search(line)]
    return news, f"{len(news)} complaints"


def main() -> None:
    parser = argparse.ArgumentParser(description="Random work, watched for leaks.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=0.0, help="instead of minutes")
    parser.add_argument("--log", choices=("yes", "no"), default="yes", help="look at dmesg, too")
    parser.add_argument("--window", type=float, default=20.0, help="seconds between measurements")
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds things may take to go"
    )
    parser.add_argument("--warm-up", type=int, default=4, help="rounds of all actions before")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--only", default="", help="one action, by name")
    parser.add_argument("--plant", action="append", default=[], help="a leak that must be found")
    parser.add_argument("--dev", action="store_true", help="Python's development mode")
    parser.add_argument("--record", default="", metavar="COMMAND", help="write the evidence")
    sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()

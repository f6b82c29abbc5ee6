"""The same scripts under strace(1), whose faults come by another way: a cross-check.

    python -m helpers.realfaults.traced [--json FILE] [--minutes N] [--seed N]

Under strace a program runs from its very beginning, so the calls are counted first, up to a mark
and from it on, and it is those after the mark that fail. ptrace is slow: this is a sample.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers.child import TESTS, child_env
from helpers.realfaults.campaign import ERRNOS, Campaign, Script, _child
from helpers.realfaults.scripts import SCRIPTS
from helpers.realfaults.supervisor import Armed, Fault, Outcome

# What one thread does, the one that runs the script.
CALLS = (
    "io_uring_setup", "io_uring_enter", "io_uring_register", "openat2", "preadv2", "pwritev2",
    "statx", "fsync", "fallocate", "ftruncate", "copy_file_range", "renameat2", "linkat",
    "getdents64", "fchmod", "utimensat", "eventfd2",
)  # fmt: skip

MARK = "/uring_rs-mark-"


class Marked(Armed):
    """Not a switch, but marks in the trace."""

    def __enter__(self) -> None:
        with contextlib.suppress(OSError):
            os.stat(f"{MARK}begin")

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            os.stat(f"{MARK}end")


def child(name: str, top: str) -> None:
    """What strace runs."""
    folders = [Path(top) / "first", Path(top) / "second"]
    for folder in folders:
        folder.mkdir()
    print(_child(SCRIPTS[name], *folders, Marked()))


def strace(script: Script, *words: str) -> tuple[Outcome, str]:
    """One run: what became of it, and the trace."""
    with tempfile.TemporaryDirectory(prefix="uring_rs-traced-") as top:
        log = Path(top) / "log"
        program = "import sys; from helpers.realfaults.traced import child; child(*sys.argv[1:])"
        command = ["strace", "-f", "-qq", "-o", str(log), *words, sys.executable, "-c", program]
        try:
            done = subprocess.run(
                [*command, script.name, top], cwd=TESTS, env=child_env(), capture_output=True,
                timeout=120,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Outcome(ended=None), ""
        # The last line is the report; what failed first may have been printed before it.
        told = done.stdout.strip().splitlines()[-1:] or [done.stderr]
        return Outcome(ended=done.returncode, told=told[0]), log.read_text(errors="replace")


def counts(script: Script) -> dict[str, tuple[int, int]]:
    """Of each call: how many the main thread makes before the mark, and after it up to the next.

    Without those that other threads make too: strace counts anew for each, so that a fault meant
    for the main one would come to all of them, and after the mark as well.
    """
    outcome, trace = strace(script, "-e", f"trace={','.join(CALLS)},newfstatat,stat")
    if outcome.ended != 0:
        raise AssertionError(f"{script.name}: {outcome}")
    main = trace.split(maxsplit=1)[0]
    found: dict[str, list[int]] = {name: [0, 0, 0] for name in CALLS}
    phase, shared = 0, set()
    for line in trace.splitlines():
        pid, _, call = line.partition(" ")
        phase += MARK in call
        name = call.strip().partition("(")[0]
        if pid != main:
            shared.add(name)
        elif name in found and phase < 3:
            found[name][phase] += 1
    return {
        name: (before, made)
        for name, (before, made, _) in found.items()
        if made and name not in shared
    }


def within(trace: str) -> int:
    """How many faults there were between the marks."""
    parts = trace.split(MARK)
    return parts[1].count("(INJECTED)") if len(parts) > 1 else 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not shutil.which("strace"):
        print("strace is not installed here")
        return 77
    began = time.monotonic()
    dice = random.Random(options.seed)
    judge = Campaign()
    todo = []
    calls: collections.Counter[str] = collections.Counter()
    for script in SCRIPTS.values():
        for name, (before, made) in counts(script).items():
            calls[name] += made
            for nth in range(made):
                for code in ERRNOS[name]:
                    todo.append((script, Fault(name, nth, getattr(errno, code)), before))
    dice.shuffle(todo)
    runs, missed, wrong = 0, 0, 0
    for script, fault, before in todo:
        if time.monotonic() - began > options.minutes * 60:
            break
        code = errno.errorcode[fault.errno]
        assert fault.nth is not None
        inject = f"inject={fault.name}:error={fault.errno}:when={before + fault.nth + 1}"
        trace = f"trace={fault.name},newfstatat,stat"
        outcome, trace = strace(script, "-e", trace, "-e", inject)
        runs += 1
        outcome.happened = within(trace)
        if outcome.happened == 0 and outcome.ended is not None:
            # There were fewer calls this time: it was reached after the mark, or not at all.
            missed += 1
            continue
        report = {}
        with contextlib.suppress(ValueError):
            report = json.loads(outcome.told)
        problems = judge.problems(script, [fault], outcome, report)
        if problems:
            wrong += 1
            print(f"{script.name}; {fault.name} {fault.nth} {code}: {problems}", flush=True)
    figures = {
        "scripts": len(SCRIPTS), "calls": sum(calls.values()), "kinds_of_calls": len(calls),
        "faults_possible": len(todo), "runs": runs, "missed": missed, "wrong": wrong,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

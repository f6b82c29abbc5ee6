"""Measure uring_rs against C and against other ways from Python. See README.md beside this file.

    python benchmarks/run.py [--quick] [--only QUESTION ...] [--json OUT] [--rounds N]

Run it with the interpreter that has the release wheel of uring_rs installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import environment, machine
from harness.bars import judge
from harness.data import Scratch
from harness.questions import QUESTIONS, Question
from harness.report import print_bars, print_question
from harness.rounds import Plan, run_question

HERE = Path(__file__).parent
QUICK_ROUNDS = 2
SCALES = {"ns": 1.0, "us": 1000.0, "ms": 1.0, "bytes": 1.0}
BUSY = 0.5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about two minutes; rough")
    parser.add_argument("--only", nargs="+", metavar="QUESTION", choices=list(QUESTIONS))
    parser.add_argument("--rounds", type=int, help="rounds of every question")
    parser.add_argument("--json", type=Path, metavar="OUT", help="default: results/<commit>.json")
    parser.add_argument("--venv", type=Path, default=Path(tempfile.gettempdir()) / "uring_rs-peers")
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp/uring_rs-benchmarks"))
    parser.add_argument("--cpu", type=int, default=(os.cpu_count() or 1) - 1, help="to pin to")
    parser.add_argument("--no-chart", action="store_true")
    return parser.parse_args()


def ask(plan: Plan, question: Question, rounds: int) -> dict[str, Any]:
    outcome = run_question(plan, question, rounds)
    order = [who.name for who in plan.contestants(question)]
    summary = outcome.summary(SCALES[question.unit])
    return {
        "title": question.title,
        "unit": question.unit,
        "per": question.per,
        "cells": list(question.cells),
        "rounds": rounds,
        "contestants": {name: summary[name] for name in order if name in summary},
        "unable": outcome.unable,
        "failed": outcome.failed,
    }


def rounds_of(question: Question, options: argparse.Namespace) -> int:
    if options.rounds:
        return int(options.rounds)
    return min(QUICK_ROUNDS, question.rounds) if options.quick else question.rounds


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    questions = [QUESTIONS[name] for name in options.only or QUESTIONS]
    module = environment.release_build()
    programs = environment.compile_floors(options.scratch / "floors", questions)
    peers = environment.Environment(options.venv)
    peers.make()
    scratch = Scratch(options.scratch)
    cpu = options.cpu if shutil.which("taskset") else None
    plan = Plan(peers, programs, scratch, options.quick, cpu)
    for name, reason in peers.skipped.items():
        print(f"skipped: {name}: {reason}")
    load = machine.load()
    if load > BUSY:
        print(f"note: the load average is {load:.2f}; on a busy machine the spread is wide")
    started = time.monotonic()
    result: dict[str, Any] = {
        "schema": 1,
        "date": machine.now(),
        "commit": machine.commit(),
        "module": str(module),
        "quick": options.quick,
        "pinned_to_cpu": cpu,
        "machine": machine.facts(options.scratch),
        "versions": {"uring_rs": environment.our_version(), **peers.versions},
        "skipped": peers.skipped,
        "load": {"before": load},
        "questions": {},
    }
    try:
        for kind in sorted(environment.uses_files(questions)):
            scratch.make(kind)
            scratch.warm(kind)
        for question in questions:
            asked = ask(plan, question, rounds_of(question, options))
            result["questions"][question.name] = asked
            print_question(question.name, asked)
    finally:
        scratch.remove()
    tables = {name: asked["contestants"] for name, asked in result["questions"].items()}
    result["bars"] = [asdict(bar) for bar in judge(tables)]
    result["load"]["after"] = machine.load()
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def write(result: dict[str, Any], options: argparse.Namespace) -> Path:
    path: Path = options.json or HERE / "results" / f"{result['commit'] or 'unknown'}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def chart(path: Path, options: argparse.Namespace) -> None:
    """With whichever interpreter has matplotlib."""
    for python in (sys.executable, str(options.venv / "bin" / "python")):
        command = [python, "-P", str(HERE / "chart.py"), str(path)]
        probe = [python, "-P", "-c", "import matplotlib"]
        if subprocess.run(probe, capture_output=True).returncode == 0:
            subprocess.run(command, check=True)
            return
    print("no chart: matplotlib is not installed")


def main() -> int:
    options = arguments()
    try:
        result = measure_all(options)
    except environment.NotMeasurable as reason:
        print(f"run.py: {reason}", file=sys.stderr)
        return 2
    print_bars(result["bars"])
    path = write(result, options)
    print(
        f"\n{result['seconds']:.0f} s; load {result['load']['before']:.2f} before and "
        f"{result['load']['after']:.2f} after; written to {path}"
    )
    if not options.no_chart:
        chart(path, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

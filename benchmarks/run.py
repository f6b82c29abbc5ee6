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
from typing import Any, get_args

from harness import environment, machine
from harness.bars import judge
from harness.corpus import Corpus
from harness.data import Scratch
from harness.question import Group
from harness.questions import QUESTIONS, Question
from harness.report import print_bars, print_question
from harness.rounds import Plan, run_question

HERE = Path(__file__).parent
GROUPS: tuple[Group, ...] = get_args(Group)
WHERE = "default: results/<commit>.json, results/files/<commit>.json if only files are asked about"
SCALES = {"ns": 1.0, "us": 1000.0, "ms": 1.0, "bytes": 1.0}
BUSY = 0.5


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about two minutes; rough")
    choices = [*GROUPS, *QUESTIONS]
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="QUESTION",
        choices=choices,
        help=f"some of {', '.join(choices)}; {' and '.join(GROUPS)} are all questions of a kind",
    )
    parser.add_argument("--rounds", type=int, help="rounds of every question")
    parser.add_argument("--json", type=Path, metavar="OUT", help=WHERE)
    parser.add_argument("--venv", type=Path, default=Path(tempfile.gettempdir()) / "uring_rs-peers")
    parser.add_argument("--scratch", type=Path, default=Path("/var/tmp/uring_rs-benchmarks"))
    parser.add_argument("--cpu", type=int, default=(os.cpu_count() or 1) - 1, help="to pin to")
    parser.add_argument("--no-chart", action="store_true")
    return parser.parse_args()


def ask(plan: Plan, question: Question, rounds: int) -> dict[str, Any]:
    started = time.monotonic()
    outcome = run_question(plan, question, rounds)
    order = [who.name for who in plan.contestants(question)]
    summary = outcome.summary(SCALES[question.unit])
    return {
        "title": question.title,
        "unit": question.unit,
        "per": question.per,
        "cells": list(question.cells),
        "rounds": rounds,
        "ops": outcome.ops,
        "seconds": round(time.monotonic() - started, 1),
        "contestants": {name: summary[name] for name in order if name in summary},
        "unable": outcome.unable,
        "failed": outcome.failed,
    }


def rounds_of(question: Question, options: argparse.Namespace) -> int:
    if options.rounds:
        return int(options.rounds)
    return min(question.quick_rounds, question.rounds) if options.quick else question.rounds


def asked_for(options: argparse.Namespace) -> list[Question]:
    if not options.only:
        return list(QUESTIONS.values())
    wanted = set(options.only)
    return [one for one in QUESTIONS.values() if wanted & {one.name, one.group}]


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    questions = asked_for(options)
    module = environment.release_build()
    programs = environment.compile_floors(options.scratch / "floors", questions)
    peers = environment.Environment(options.venv, {question.group for question in questions})
    peers.make()
    scratch = Scratch(options.scratch)
    corpus = Corpus(options.scratch / "corpus")
    cpu = options.cpu if shutil.which("taskset") else None
    plan = Plan(peers, programs, scratch, corpus, options.quick, cpu)
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
        "backend": environment.backend(),
        "skipped": peers.skipped,
        "load": {"before": load},
        "questions": {},
    }
    try:
        for kind in sorted(environment.uses_files(questions)):
            scratch.make(kind)
            scratch.warm(kind)
        if "files" in peers.groups:
            corpus.make({question.data for question in questions})
        for question in questions:
            asked = ask(plan, question, rounds_of(question, options))
            result["questions"][question.name] = asked
            print_question(question.name, asked)
    finally:
        scratch.remove()
        corpus.remove()
    tables = {name: asked["contestants"] for name, asked in result["questions"].items()}
    result["bars"] = [asdict(bar) for bar in judge(tables)]
    result["load"]["after"] = machine.load()
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def write(result: dict[str, Any], options: argparse.Namespace) -> Path:
    only_files = all(QUESTIONS[name].group == "files" for name in result["questions"])
    results = HERE / "results" / ("files" if only_files else "")
    path: Path = options.json or results / f"{result['commit'] or 'unknown'}.json"
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

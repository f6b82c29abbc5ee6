"""Processes in rounds: every contestant once per round, in turn, in reverse every other round."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import PEERS

from .cells import Unable
from .corpus import Corpus
from .data import Scratch
from .environment import Environment
from .questions import Question

__all__ = ["Contestant", "Outcome", "Plan", "run_question"]

WORKER = Path(__file__).parent.parent / "worker.py"
LISTING = "import importlib, json, sys; sys.path.append(sys.argv[1]); " + (
    "found = importlib.import_module(sys.argv[2]).CONTESTANTS; "
    "print(json.dumps({question: list(names) for question, names in found.items()}))"
)


@dataclass(frozen=True)
class Contestant:
    """One process per round."""

    name: str
    python: str = ""
    adapter: str = ""
    variant: str = ""
    program: Path | None = None
    pinned: bool = True


@dataclass
class Outcome:
    """What all rounds of a question came to."""

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    cpu: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    ops: dict[str, int] = field(default_factory=dict)
    unable: dict[str, dict[str, str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, line: dict[str, Any]) -> None:
        if "unable" in line:
            self.unable.setdefault(name, {})[line["cell"]] = line["unable"]
            return
        self.rounds.setdefault(name, {}).setdefault(line["cell"], []).append(line["value"])
        self.cpu.setdefault(name, {}).setdefault(line["cell"], []).append(line["cpu"])
        self.ops[line["cell"]] = line["ops"]
        for note, value in line.get("notes", {}).items():
            notes = self.notes.setdefault(name, {}).setdefault(line["cell"], {})
            notes.setdefault(note, []).append(value)

    def summary(self, scale: float) -> dict[str, dict[str, dict[str, Any]]]:
        """Medians and spread by contestant and cell, in the unit of the question."""
        table: dict[str, dict[str, dict[str, Any]]] = {}
        for name, cells in self.rounds.items():
            for cell, values in cells.items():
                cpu = statistics.median(self.cpu[name][cell])
                notes = self.notes.get(name, {}).get(cell, {})
                table.setdefault(name, {})[cell] = {
                    "median": statistics.median(values) / scale,
                    "min": min(values) / scale,
                    "max": max(values) / scale,
                    "cpu": cpu / scale,
                    "rounds": [value / scale for value in values],
                    **{note: statistics.median(values) for note, values in notes.items()},
                }
        return table


class Plan:
    """Who takes part in which question, and how a process is started."""

    def __init__(
        self,
        environment: Environment,
        programs: dict[str, Path],
        scratch: Scratch,
        corpus: Corpus,
        quick: bool,
        cpu: int | None,
    ) -> None:
        self.environment = environment
        self.programs = programs
        self.scratch = scratch
        self.corpus = corpus
        self.quick = quick
        self.taskset = ["taskset", "-c", str(cpu)] if cpu is not None else []
        self.listed = {"ours": self._list(sys.executable, "ours")}
        for peer in PEERS:
            if peer.name not in environment.skipped and environment.wants(peer):
                listed = self._list(environment.python, peer.module)
                if listed is None:
                    continue
                self.listed[peer.name] = listed

    def _list(self, python: str, module: str) -> Any:
        command = [python, "-P", "-c", LISTING, str(WORKER.parent), module]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["?"])[-1]
            if module == "ours":
                raise RuntimeError(done.stderr)
            self.environment.skipped[module.removeprefix("peers.with_")] = reason
            return None
        return json.loads(done.stdout)

    def contestants(self, question: Question) -> list[Contestant]:
        """C first, then ours, then the peers."""
        found = []
        if question.name in self.programs:
            for floor in question.floors:
                program = self.programs[question.name]
                found.append(Contestant(floor.name, variant=floor.variant, program=program))
        for variant in self.listed["ours"].get(question.name, ()):
            name = f"uring_rs:{variant}" if variant else "uring_rs"
            found.append(Contestant(name, sys.executable, "ours", variant))
        for peer in PEERS:
            for variant in self.listed.get(peer.name, {}).get(question.name, ()):
                name = f"{peer.name}:{variant}" if variant else peer.name
                python = self.environment.python
                found.append(Contestant(name, python, peer.module, variant, pinned=peer.pinned))
        return found

    def file(self, question: Question) -> Path | None:
        """What the question is to work on."""
        if question.data:
            return self.corpus.place(question.data)
        kind = question.file or ("reads" if question.name == "other_threads" else "")
        return self.scratch.file(kind) if kind else None

    def before(self, question: Question) -> None:
        """Once before every process."""
        if question.before:
            self.corpus.before(question, self.file(question))

    def command(self, question: Question, who: Contestant) -> list[str]:
        file = str(self.file(question) or "")
        offsets = str(self.scratch.offsets(question.file)) if question.file else ""
        once, new = bool(question.before), str(self.corpus.new)
        seconds = question.seconds / 3 if self.quick else question.seconds
        repeats = 1 if self.quick else question.repeats
        if who.program:
            arguments = [
                f"variant={who.variant}",
                f"seconds={seconds}",
                f"repeats={repeats}",
                f"direct={int(question.direct)}",
                f"cells={','.join(question.cells)}",
            ]
            arguments += [f"file={file}"] if file else []
            arguments += [f"offsets={offsets}"] if offsets else []
            if question.group == "files":
                arguments += [f"once={int(once)}", f"new={new}"]
            command = [str(who.program), *arguments]
        else:
            job = {
                "adapter": who.adapter,
                "variant": who.variant,
                "question": question.name,
                "cells": question.cells,
                "seconds": seconds,
                "repeats": repeats,
                "file": file,
                "offsets": offsets,
                "direct": question.direct,
                "once": once,
                "new": new,
            }
            command = [who.python, "-P", str(WORKER), json.dumps(job)]
        pinned = who.pinned and question.pinned and shutil.which("taskset")
        return [*(self.taskset if pinned else []), *command]


def run_question(plan: Plan, question: Question, rounds: int) -> Outcome:
    """All rounds of one question."""
    outcome = Outcome()
    contestants = plan.contestants(question)
    if question.before == "fresh":
        # Whoever writes first waits for memory from the machine's host; that is not asked.
        plan.before(question)
        run_process(plan.command(question, contestants[0]), question, contestants[0], Outcome())
    for number in range(rounds):
        order = contestants if number % 2 == 0 else contestants[::-1]
        for who in order:
            if who.name in outcome.failed:
                continue
            try:
                plan.before(question)
            except Unable as reason:
                for cell in question.cells:
                    outcome.add(who.name, {"cell": cell, "unable": str(reason)})
            else:
                run_process(plan.command(question, who), question, who, outcome)
    return outcome


def run_process(command: list[str], question: Question, who: Contestant, outcome: Outcome) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=question.timeout)
    except subprocess.TimeoutExpired:
        outcome.failed[who.name] = f"took more than {question.timeout:.0f} s"
        return
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            outcome.add(who.name, json.loads(line))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        outcome.failed[who.name] = last

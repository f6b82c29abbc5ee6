"""Runs the fuzz targets beside each other, keeps what they find, and records what they did.

    run.py --minutes N --binaries FOLDER [--face PYTHON] [--targets NAME...] [--keep]

`nox -s fuzz` builds everything and calls this. Needs the standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
RUST_TARGETS = ("completions", "entries", "jobs", "parsers", "schedules")
FACE = "face"
NICE = os.environ.get("FUZZ_NICE", "15")
# One input that takes longer hangs.
INPUT_SECONDS = 60
# Rounds after a finding: a target that falls over at once is not tried for ever.
ROUNDS = 20
# Inputs of the face that are kept: it has no merging that works from within its folder.
FACE_KEPT = 64


@dataclass
class Run:
    """One target, and what came of it."""

    name: str
    command: list[str]
    folder: Path
    until: float
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    executions: int = 0
    seconds: float = 0.0
    edges: int = 0
    rounds: int = 0
    began: float = 0.0

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def log(self) -> Path:
        # Not in the folder: the face clears that.
        return self.folder.parent / f"{self.name}-{self.rounds}.log"

    def start(self) -> None:
        left = max(1, int(self.until - time.monotonic()))
        self.rounds += 1
        self.began = time.monotonic()
        log = self.log().open("wb")
        command = ["nice", "-n", NICE, *self.command, f"-max_total_time={left}"]
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **self.env}, cwd=self.folder
        )

    def over(self) -> bool:
        """Has it ended, and shall it not be started anew?"""
        assert self.process is not None
        if self.process.poll() is None:
            return False
        self.take_down()
        if time.monotonic() + 5 > self.until or self.rounds >= ROUNDS:
            return True
        self.start()
        return False

    def take_down(self) -> None:
        self.seconds += time.monotonic() - self.began
        text = self.log().read_text(errors="replace")
        # The last of "#123  NEW  cov: 45 ..." and "#123: cov: ..." says both.
        counted = re.findall(r"^#(\d+)\b.*?\bcov: (\d+)", text, re.MULTILINE)
        done = re.findall(
            r"^(?:Done (\d+) runs|stat::number_of_executed_units:\s+(\d+))", text, re.M
        )
        numbers = [int(number) for pair in done for number in pair if number]
        self.executions += max(numbers + [int(n) for n, _ in counted[-1:]], default=0)
        self.edges = max([self.edges, *(int(cov) for _, cov in counted)])

    def findings(self) -> list[Path]:
        kinds = ("crash-", "leak-", "oom-", "timeout-")
        return sorted(path for path in self.artifacts.iterdir() if path.name.startswith(kinds))


def rust_run(name: str, binaries: Path, state: Path, until: float) -> Run:
    folder = state / name
    for part in ("corpus", "artifacts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    kept = [str(FUZZ / part / name) for part in ("corpus", "regressions")]
    kept = [path for path in kept if Path(path).is_dir()]
    options = [
        f"-artifact_prefix={folder / 'artifacts'}/",
        f"-timeout={INPUT_SECONDS}",
        "-rss_limit_mb=3000",
        "-len_control=10",
        "-max_len=2000",
        "-print_final_stats=1",
        f"-report_slow_units={INPUT_SECONDS}",
    ]
    command = [str(binaries / name), str(folder / "corpus"), *kept, *options]
    # What is in flight when a ring ends unseen is leaked, never freed: that is the rule.
    return Run(name, command, folder, until, {"ASAN_OPTIONS": "detect_leaks=0"})


def face_run(python: str, guided: bool, state: Path, until: float) -> Run:
    folder = state / FACE
    shutil.rmtree(folder / "corpus", ignore_errors=True)
    for part in ("corpus", "artifacts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for part in ("corpus", "regressions"):
        for path in sorted((FUZZ / part / FACE).glob("*")):
            shutil.copy(path, folder / "corpus")
    # Without any, it would be long before an input were long enough to be a program.
    for number in range(32):
        data = random.Random(number).randbytes(40 + 12 * number)
        (folder / "corpus" / f"seed-{number}").write_bytes(data)
    for path in (folder, folder / "corpus", folder / "artifacts"):
        path.chmod(0o777)
    command = [python, str(FUZZ / "python" / "face.py"), str(folder)]
    if guided:
        command += ["corpus", "-artifact_prefix=artifacts/", f"-timeout={INPUT_SECONDS}"]
        command += ["-rss_limit_mb=3000", "-len_control=10", "-max_len=600"]
        command += ["-print_final_stats=1"]
    else:
        command += ["--random", str(time.time_ns() % 2**32), str(int(until - time.monotonic()))]
    return Run(FACE, command, folder, until)


def merge(run: Run) -> None:
    """What reaches all the edges that any input does becomes the corpus."""
    kept = FUZZ / "corpus" / run.name
    if run.name == FACE:
        found = sorted((run.folder / "corpus").iterdir(), key=lambda path: path.stat().st_mtime)
        chosen = [path for path in found if path.stat().st_size <= 400][-FACE_KEPT:]
    else:
        fresh = run.folder / "merged"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        parts = [str(fresh), str(kept), str(run.folder / "corpus")]
        kept.mkdir(parents=True, exist_ok=True)
        command = [run.command[0], "-set_cover_merge=1", "-use_counters=0", *parts]
        subprocess.run(command, env={**os.environ, **run.env}, check=True, capture_output=True)
        chosen = list(fresh.iterdir())
    contents = {hashlib.sha1(data).hexdigest(): data for data in (p.read_bytes() for p in chosen)}
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for name, data in contents.items():
        (kept / name[:16]).write_bytes(data)


def figures_of(runs: list[Run], known: dict[str, int]) -> dict[str, int | float | str]:
    """What is recorded."""
    figures: dict[str, int | float | str] = {}
    for run in runs:
        kept = [path for path in (FUZZ / "corpus" / run.name).glob("*") if path.is_file()]
        figures[f"{run.name}_executions"] = run.executions
        figures[f"{run.name}_seconds"] = round(run.seconds)
        figures[f"{run.name}_edges"] = run.edges
        figures[f"{run.name}_findings"] = len(run.findings()) - known[run.name]
        figures[f"{run.name}_inputs"] = len(kept)
        figures[f"{run.name}_bytes"] = sum(path.stat().st_size for path in kept)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--binaries", type=Path, required=True, help="where the targets were built")
    parser.add_argument("--state", type=Path, required=True, help="where runs keep what they find")
    parser.add_argument("--face", help="a Python with uring_rs; none: the face is left out")
    parser.add_argument("--guided", action="store_true", help="that Python has atheris")
    parser.add_argument("--targets", nargs="*", default=[*RUST_TARGETS, FACE])
    parser.add_argument("--keep", action="store_true", help="leave fuzz/corpus and evidence alone")
    asked = parser.parse_args()
    began = time.monotonic()
    until = began + asked.minutes * 60
    runs = []
    for name in asked.targets:
        if name != FACE:
            runs.append(rust_run(name, asked.binaries.resolve(), asked.state.resolve(), until))
        elif asked.face:
            runs.append(face_run(asked.face, asked.guided, asked.state.resolve(), until))
    known = {run.name: len(run.findings()) for run in runs}
    for run in runs:
        run.start()
    left = list(runs)
    while left:
        time.sleep(1)
        left = [run for run in left if not run.over()]
    took = time.monotonic() - began
    if not asked.keep:
        for run in runs:
            merge(run)
    figures = figures_of(runs, known)
    print("\n".join(f"{key}: {value}" for key, value in figures.items()))
    if not asked.keep:
        sys.path.insert(0, str(FUZZ.parent / "tests"))
        from helpers import evidence

        command = f"nox -s fuzz -- --minutes {asked.minutes:g}"
        evidence.record("fuzz", command=command, seconds=took, figures=figures)
    found = [path for run in runs for path in run.findings()[known[run.name] :]]
    for path in found:
        print(f"a finding: {path}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

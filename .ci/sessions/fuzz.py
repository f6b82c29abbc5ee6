"""Fuzzing: the Rust targets under libFuzzer and AddressSanitizer, the Python face by atheris."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import nox
from common import PROJECT, ROOT, TARGET, cargo, first_python, host_triple, install_wheel

sys.path.insert(0, str(ROOT / "tests"))

FUZZ = ROOT / "fuzz"
RUST_TARGETS = ("completions", "entries", "jobs", "parsers", "schedules")
FACE = "face"

# What cargo-fuzz passes, too: edges, comparisons and the depth of the stack are seen.
COVERAGE = (
    "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 "
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters "
    "-Cllvm-args=-sanitizer-coverage-pc-table "
    "-Cllvm-args=-sanitizer-coverage-trace-compares"
)
CHECKS = "--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1"
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

    def start(self) -> None:
        left = max(1, int(self.until - time.monotonic()))
        self.rounds += 1
        self.began = time.monotonic()
        log = (self.folder / f"log-{self.rounds}").open("wb")
        command = ["nice", "-n", "15", *self.command, f"-max_total_time={left}"]
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
        text = (self.folder / f"log-{self.rounds}").read_text(errors="replace")
        # The last of "#123  NEW  cov: 45 ..." and "#123: cov: ..." says both.
        counted = re.findall(r"^#(\d+)\b.*?\bcov: (\d+)", text, re.MULTILINE)
        done = re.findall(
            r"^(?:Done (\d+) runs|stat::number_of_executed_units:\s+(\d+))", text, re.M
        )
        numbers = [int(number) for pair in done for number in pair if number]
        self.executions += max(numbers + [int(n) for n, _ in counted[-1:]], default=0)
        self.edges = max([self.edges, *(int(cov) for _, cov in counted)])

    def findings(self) -> list[Path]:
        return sorted(path for path in self.artifacts.iterdir() if path.is_file())


def build_rust(session: nox.Session) -> Path:
    """All targets, on stable Rust: only the sanitizer's flag is behind the nightly switch."""
    out = TARGET / "fuzz"
    flags = {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": f"{COVERAGE} {CHECKS}"}
    arguments = ["--release", "--bins", "--target", host_triple()]
    manifest = ["--manifest-path", str(FUZZ / "Cargo.toml")]
    cargo(session, "build", *manifest, *arguments, CARGO_TARGET_DIR=str(out), **flags)
    return out / host_triple() / "release"


def build_face(session: nox.Session) -> bool:
    """The extension with coverage, if there is an atheris for this Python; else without."""
    session.install(*nox.project.dependency_groups(PROJECT, "build"), "numpy")
    try:
        session.install("atheris")
    except nox.command.CommandFailed:
        session.log("no atheris for this Python: the face gets random programs")
        install_wheel(session)
        return False
    # Named, so that build scripts go without.
    env = {"RUSTFLAGS": COVERAGE, "CARGO_BUILD_TARGET": host_triple()}
    install_wheel(session, **env, CARGO_TARGET_DIR=str(TARGET / "face"))
    return True


def rust_run(name: str, binaries: Path, until: float) -> Run:
    folder = TARGET / "fuzz-runs" / name
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
    ]
    command = [str(binaries / name), str(folder / "corpus"), *kept, *options]
    # What is in flight when a ring ends unseen is leaked, never freed: that is the rule.
    return Run(name, command, folder, until, {"ASAN_OPTIONS": "detect_leaks=0"})


def face_run(python: str, guided: bool, until: float, seconds: int) -> Run:
    folder = TARGET / "fuzz-runs" / FACE
    shutil.rmtree(folder / "corpus", ignore_errors=True)
    for part in ("corpus", "artifacts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for part in ("corpus", "regressions"):
        for path in sorted((FUZZ / part / FACE).glob("*")):
            shutil.copy(path, folder / "corpus")
    for path in (folder, folder / "corpus", folder / "artifacts"):
        path.chmod(0o777)
    command = [python, str(FUZZ / "python" / "face.py"), str(folder)]
    if guided:
        command += ["corpus", "-artifact_prefix=artifacts/", f"-timeout={INPUT_SECONDS}"]
        command += ["-rss_limit_mb=3000", "-len_control=10", "-max_len=600"]
        command += ["-print_final_stats=1"]
    else:
        command += ["--random", str(time.time_ns() % 2**32), str(seconds)]
    return Run(FACE, command, folder, until)


def merge(session: nox.Session, run: Run) -> None:
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
        session.run(*command, env=run.env, external=True, silent=True)
        chosen = list(fresh.iterdir())
    contents = {hashlib.sha1(data).hexdigest(): data for data in (p.read_bytes() for p in chosen)}
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for name, data in contents.items():
        (kept / name[:16]).write_bytes(data)


@nox.session(python=first_python(), default=False)
def fuzz(session: nox.Session) -> None:
    """All fuzz targets beside each other: nox -s fuzz -- --minutes 60."""
    from helpers import evidence

    parser = argparse.ArgumentParser(prog="nox -s fuzz --")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--targets", nargs="*", default=[*RUST_TARGETS, FACE])
    parser.add_argument("--keep", action="store_true", help="leave fuzz/corpus and evidence alone")
    asked = parser.parse_args(session.posargs)
    binaries = build_rust(session) if set(asked.targets) - {FACE} else TARGET
    guided = build_face(session) if FACE in asked.targets else False
    seconds = int(asked.minutes * 60)
    began = time.monotonic()
    until = began + seconds
    python = str(Path(session.bin) / "python")
    runs = []
    for name in asked.targets:
        if name == FACE:
            runs.append(face_run(python, guided, until, seconds))
        else:
            runs.append(rust_run(name, binaries, until))
    known = {run.name: len(run.findings()) for run in runs}
    for run in runs:
        run.start()
    left = list(runs)
    while left:
        time.sleep(1)
        left = [run for run in left if not run.over()]
    took = time.monotonic() - began
    found = [path for run in runs for path in run.findings()[known[run.name] :]]
    figures: dict[str, int | float | str] = {"findings": len(found), "guided_face": int(guided)}
    for run in runs:
        if not asked.keep:
            merge(session, run)
        kept = list((FUZZ / "corpus" / run.name).glob("*"))
        figures[f"{run.name}_executions"] = run.executions
        figures[f"{run.name}_seconds"] = round(run.seconds)
        figures[f"{run.name}_edges"] = run.edges
        figures[f"{run.name}_findings"] = len(run.findings()) - known[run.name]
        figures[f"{run.name}_inputs"] = len(kept)
        figures[f"{run.name}_bytes"] = sum(path.stat().st_size for path in kept)
    session.log("\n".join(f"{key}: {value}" for key, value in figures.items()))
    if not asked.keep:
        command = f"nox -s fuzz -- --minutes {asked.minutes:g}"
        evidence.record("fuzz", command=command, seconds=took, figures=figures)
    for path in found:
        session.warn(f"a finding: {path}")
    if found:
        session.error("put what was found into fuzz/regressions, and mend it")

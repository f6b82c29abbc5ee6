"""What is measured and with what: the build of uring_rs, the peers' environment, the C programs."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from peers import PEERS, Peer

from .question import Group
from .questions import QUESTIONS, Question

__all__ = ["FLOORS", "Environment", "NotMeasurable", "compile_floors", "release_build"]

FLOORS = Path(__file__).parent.parent / "floors"
FLOOR_SOURCES = ("uring_raw.h", "floor.h", "jobs.h", "transfers.c")


class NotMeasurable(Exception):
    """Why nothing can be measured here."""


def release_build() -> Path:
    """The compiled module of uring_rs in this interpreter; refuses one that is not optimised."""
    try:
        from uring_rs import _uring
    except ImportError as error:
        raise NotMeasurable(
            f"uring_rs is not installed in {sys.executable} ({error}). Build and install a "
            "release wheel:\n    maturin build --release -o dist && pip install dist/*.whl"
        ) from None
    path = Path(_uring.__file__)
    # Checks that the standard library has in debug builds only.
    if b"unsafe precondition" in path.read_bytes():
        raise NotMeasurable(
            f"{path} is a debug build (maturin develop makes one). Install a release wheel:\n"
            "    maturin build --release -o dist && pip install --force-reinstall dist/*.whl"
        )
    return path


def compile_floors(directory: Path, questions: list[Question]) -> dict[str, Path]:
    """Compile each question's program anew if its source has changed. By question."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise NotMeasurable("there is no C compiler, and without C there is nothing to compare to")
    directory.mkdir(parents=True, exist_ok=True)
    shared = max((FLOORS / name).stat().st_mtime for name in FLOOR_SOURCES)
    programs = {}
    for question in questions:
        if not question.program:
            continue
        source = FLOORS / f"{question.program}.c"
        program = directory / question.program
        if not program.exists() or program.stat().st_mtime < max(shared, source.stat().st_mtime):
            command = [
                compiler,
                "-O2",
                "-Wall",
                "-Wno-unused-function",
                "-pthread",
                "-o",
                str(program),
                str(source),
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise NotMeasurable(f"{source.name} does not compile:\n{done.stderr}")
        programs[question.name] = program
    return programs


@dataclass
class Environment:
    """A virtual environment of our own, with every peer that can be installed."""

    directory: Path
    groups: set[Group]
    """Which groups of questions are asked: who takes part in none is not installed."""
    skipped: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        return str(self.directory / "bin" / "python")

    def wants(self, peer: Peer) -> bool:
        return not self.groups.isdisjoint(peer.groups)

    def make(self) -> None:
        if not Path(self.python).exists():
            print(f"making {self.directory} for the peers", flush=True)
            self._call([sys.executable, "-m", "venv", str(self.directory)])
        present = self._installed()
        for peer in PEERS:
            if peer.requires and self.wants(peer) and peer.name not in present:
                print(f"installing {peer.requires}", flush=True)
                self._install(peer.name, peer.requires)
        if "matplotlib" not in present:
            self._install("matplotlib", "matplotlib")
        installed = self._installed()
        names = [peer.name for peer in PEERS if peer.requires]
        self.versions = {name: installed[name] for name in names if name in installed}

    def _install(self, name: str, requirement: str) -> None:
        pip = [self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        done = self._call([*pip, requirement], check=False)
        if done.returncode:
            # An older version may have a wheel where the newest has only sources.
            done = self._call([*pip, "--only-binary", ":all:", requirement], check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
            self.skipped[name] = f"cannot be installed: {(lines or ['pip failed'])[-1]}"

    def _installed(self) -> dict[str, str]:
        done = self._call([self.python, "-m", "pip", "list", "--format", "json"])
        return {item["name"].lower(): item["version"] for item in json.loads(done.stdout)}

    def _call(self, command: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, capture_output=True, text=True)
        if check and done.returncode:
            raise NotMeasurable(f"{' '.join(command)} failed:\n{done.stderr}")
        return done


def our_version() -> str:
    return importlib.metadata.version("uring_rs")


def backend() -> str:
    """What the functions on whole files use here, so that a fallback is not taken for a ring."""
    tell = getattr(importlib.import_module("uring_rs"), "backend", None)
    return str(tell()) if tell else ""


def uses_files(questions: list[Question]) -> set[str]:
    """Which data files these questions need."""
    kinds = {question.file for question in questions if question.file}
    return kinds | ({"reads"} if QUESTIONS["other_threads"] in questions else set())

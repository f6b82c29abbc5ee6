"""Long runs that look for what builds up: leaks, indices that go round, crowds, limits."""

from __future__ import annotations

import argparse

import nox
from common import NOT_HERE, PROJECT, ROOT, first_python, install_wheel


@nox.session(python=first_python(), default=False)
def soak(session: nox.Session) -> None:
    """2^32 NOPs through one ring, an hour of churn, the tests marked soak; the release build.

    `nox -s soak -- nops`, `nox -s soak -- churn --minutes 5`, `nox -s soak -- tests` run one of
    them; what follows goes to the program, see `python -m endurance.churn --help` (with
    PYTHONPATH=tests), or to pytest.
    """
    part, *options = session.posargs or ["all"]
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session, "release")
    env = {"PYTHONPATH": str(ROOT / "tests")}
    if part not in ("nops", "churn", "tests", "all"):
        session.error(f"soak knows nops, churn, tests and all, not {part}")
    if part in ("nops", "all"):
        session.run("python", "-m", "endurance.nops", *(options if part == "nops" else ()), env=env)
    if part in ("churn", "all"):
        known, _ = _churn_options().parse_known_args(options if part == "churn" else [])
        command = f"nox -s soak -- churn --minutes {known.minutes:g}"
        churn = [*(options if part == "churn" else ()), f"--record={command}"]
        session.run("python", "-m", "endurance.churn", *churn, env=env)
    if part in ("tests", "all"):
        options = options if part == "tests" else []
        session.run("pytest", "--min-passed=1", *NOT_HERE, "-m", "soak", "--timeout=7200", *options)


@nox.session(python=first_python(), default=False)
def load(session: nox.Session) -> None:
    """The long forms of tests/load (minutes): 10 000 connections, 1 000 rings, storms, limits."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session, "release")
    env = {"PYTHONPATH": str(ROOT / "tests")}
    session.run("python", "-m", "load", *session.posargs, env=env)


def _churn_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--minutes", type=float, default=60.0)
    return parser

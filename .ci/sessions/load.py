"""Many connections and rings, storms of completions, limits reached, peers that do not answer."""

from __future__ import annotations

import nox
from common import PROJECT, ROOT, first_python, install_wheel


@nox.session(python=first_python(), default=False)
def load(session: nox.Session) -> None:
    """The long forms of tests/load (some minutes): 10 000 connections, 1 000 rings and on."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session, "release")
    env = {"PYTHONPATH": str(ROOT / "tests")}
    session.run("python", "-m", "load", *session.posargs, env=env)

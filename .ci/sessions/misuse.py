"""Everything that somebody could do wrong, on one Python, with figures."""

from __future__ import annotations

import nox
from common import PROJECT, first_python, install_wheel


@nox.session(python=first_python(), default=False)
def misuse(session: nox.Session) -> None:
    """The tests of tests/misuse/cases.toml; writes docs/explanation/evidence/misuse.json."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    session.run("python", "tests/helpers/misuse.py", *session.posargs)

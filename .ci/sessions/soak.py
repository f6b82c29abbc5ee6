"""Churn and index wrap on the real kernel."""

from __future__ import annotations

import nox
from common import (
    NOT_HERE,
    PROJECT,
    first_python,
    install_wheel,
    pytest,
)


@nox.session(python=first_python(), default=False)
def soak(session: nox.Session) -> None:
    """Churn and index wrap on the real kernel, with leak counters; the release build."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session, "release")
    pytest(session, *NOT_HERE, "-m", "soak", "--timeout=7200")

"""The property tests for long."""

from __future__ import annotations

import nox
from common import (
    PROJECT,
    first_python,
    install_wheel,
    pytest,
)


@nox.session(python=first_python(), default=False)
def long(session: nox.Session) -> None:
    """The property tests with many more examples (about an hour)."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    pytest(session, "tests/property", "--timeout=7200", "--hypothesis-profile=long")

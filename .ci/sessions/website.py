"""The documentation as a site. (The session is `site`; a module of that name is Python's own.)"""

from __future__ import annotations

from pathlib import Path

import nox
from common import PROJECT, first_python, install_wheel


def command(session: nox.Session) -> list[str]:
    """What builds the site; a link or an anchor that leads nowhere, or a warning, fails it."""
    # The theme's note on a future mkdocs, which the group `site` excludes.
    session.env["NO_MKDOCS_2_WARNING"] = "1"
    out = Path(session.create_tmp()) / "site"
    return ["mkdocs", "build", "--strict", "--site-dir", str(out)]


@nox.session(python=first_python(), default=False)
def site(session: nox.Session) -> None:
    """The documentation as a site, into .nox/site/tmp/site; `docs` builds it, too."""
    session.install(*nox.project.dependency_groups(PROJECT, "site"))
    # For the texts of the compiled module.
    install_wheel(session)
    session.run(*command(session))

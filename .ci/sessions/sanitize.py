"""The tests over sanitized builds."""

from __future__ import annotations

from pathlib import Path

import nox
from common import (
    NOT_HERE,
    PROJECT,
    TARGET,
    first_python,
    install_wheel,
    pytest,
)


@nox.session(python=first_python(), default=False)
def asan(session: nox.Session) -> None:
    """The Python suite over an AddressSanitizer build of the extension, on stable Rust."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    runtime = session.run("gcc", "-print-file-name=libasan.so", external=True, silent=True)
    runtime = str(Path(str(runtime).strip()).resolve())
    build = {
        # The sanitizer itself is sound on stable; only its flag is behind the nightly switch.
        "RUSTC_BOOTSTRAP": "1",
        "RUSTFLAGS": "-Zsanitizer=address",
        "CARGO_TARGET_DIR": str(TARGET / "asan"),
    }
    install_wheel(session, **build)
    run = {
        "LD_PRELOAD": runtime,
        # CPython keeps what it allocates until exit; pymalloc would hide small overruns.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    pytest(session, *NOT_HERE, "--timeout=600", "-p", "no:faulthandler", **run)

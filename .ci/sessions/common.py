"""What the sessions share: finding Pythons, building wheels, cargo and pytest.

One cargo target directory serves all Pythons, so each after the first rebuilds only PyO3.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nox

ROOT = Path(__file__).parents[2]
PROJECT = nox.project.load_toml(str(ROOT / "pyproject.toml"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
MINORS = range(11, 16)
# Without a GIL: found as python3.14t and so on.
FREE_THREADED = ("3.14t", "3.15t")
SHUTTLE_TESTS = ("test", "--no-default-features", "--features", "sim", "--test", "shuttle")
MUSL_TARGET = "x86_64-unknown-linux-musl"
# What maturin is told.
MUSL = ["--zig", "--target", MUSL_TARGET, "--compatibility", "musllinux_1_2"]
# A module that is loaded has its C library from the interpreter.
LATE = {"RUSTFLAGS": "-Ctarget-feature=-crt-static"}
FEATURES = (["--no-default-features"], ["--no-default-features", "--features", "python"])


def _answers(candidate: Path, version: str) -> bool:
    """Whether this file runs and is that Python (a pyenv shim on PATH may be neither)."""
    show = (
        "import sys, sysconfig; free = sysconfig.get_config_var('Py_GIL_DISABLED'); "
        "print('%d.%d%s' % (*sys.version_info[:2], 't' if free else ''))"
    )
    try:
        done = subprocess.run([candidate, "-c", show], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version


@functools.cache
def find_python(version: str) -> str | None:
    """The interpreter of that version on PATH or under ~/.pyenv/versions, if there is one."""
    name = f"python{version}"
    candidates = [Path(folder) / name for folder in os.get_exec_path()]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    minor = version.removesuffix("t")
    candidates += sorted(pyenv.glob(f"{minor}*/bin/{name}"), reverse=True)
    candidates.append(Path(sys.executable))
    for candidate in candidates:
        if candidate.exists() and _answers(candidate, version):
            return str(candidate)
    return None


def every_python() -> Sequence[object]:
    """One parameter set for each supported Python, the absent ones with nothing to run on."""
    params = []
    for version in [*(f"3.{minor}" for minor in MINORS), *FREE_THREADED]:
        # False: an absent interpreter gets no environment, its session only says why it is skipped.
        params.append(nox.param(find_python(version) or False, version, id=version))
    return params


def first_python() -> str:
    """The oldest supported Python here: the one whose types, docs and package are checked."""
    for minor in MINORS:
        if found := find_python(f"3.{minor}"):
            return found
    sys.exit(f"uring_rs needs Python 3.{MINORS[0]} or newer; none was found")


def musl_is_here() -> bool:
    """Whether rustc has a standard library for musl (`rustup target add`)."""
    asked = ["rustc", "--print", "target-libdir", "--target", MUSL_TARGET]
    shown = subprocess.run(asked, capture_output=True, text=True)
    return shown.returncode == 0 and any(Path(shown.stdout.strip()).glob("libstd-*"))


def cargo(session: nox.Session, *args: str, **env: str) -> None:
    """Run cargo with the shared target directory."""
    python = session.bin and str(Path(session.bin) / "python")
    settings = {"CARGO_TARGET_DIR": str(TARGET), "PYO3_PYTHON": python or sys.executable, **env}
    session.run("cargo", *args, env=settings, external=True)


def model_build(cfg: str, **settings: str) -> dict[str, str]:
    """The environment in which the models for loom or shuttle are built.

    Another cfg would throw away every build of the shared directory, hence one of its own.
    """
    flags = f"{os.environ.get('RUSTFLAGS', '')} --cfg {cfg}".strip()
    return {"RUSTFLAGS": flags, "CARGO_TARGET_DIR": str(TARGET / cfg), **settings}


# The wheels of this run: sessions of the same Python share one.
_wheels: dict[tuple[object, str], Path] = {}


def install_wheel(session: nox.Session, profile: str = "dev", **env: str) -> None:
    """Build the extension for this session's Python, once, and install it there."""
    wheel = _wheels.get((session.python, profile)) if not env else None
    if wheel is None:
        wheel = build_wheel(session, profile, **env)
        if not env:
            _wheels[session.python, profile] = wheel
    session.install("--force-reinstall", "--no-deps", str(wheel))


def build_wheel(session: nox.Session, profile: str, **env: str) -> Path:
    session.install(*nox.project.dependency_groups(PROJECT, "build"))
    # Not in the session's own folder: `tests` throws that away.
    out = TARGET / "wheels" / session.name
    shutil.rmtree(out, ignore_errors=True)
    python = str(Path(session.bin) / "python")
    # The wheel stays on this machine: no tag for other Linuxes is wanted, so none is computed.
    options = ["--profile", profile, "--interpreter", python, "--compatibility", "linux"]
    settings = {"CARGO_TARGET_DIR": str(TARGET), **env}
    session.run("maturin", "build", *options, "--out", str(out), *session_target(env), env=settings)
    (wheel,) = out.glob("*.whl")
    return wheel


def session_target(env: dict[str, str]) -> list[str]:
    """A sanitized build names its target, so that build scripts are not sanitized with it."""
    return ["--target", host_triple()] if "RUSTC_BOOTSTRAP" in env else []


def host_triple() -> str:
    """The target that rustc builds for here."""
    shown = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^host: (\S+)$", shown, re.MULTILINE)
    assert found, shown
    return found[1]


def pytest(session: nox.Session, *args: str, **env: str) -> None:
    """Run pytest; a run in which nothing passed (all skipped) is a failure."""
    session.run("pytest", "--min-passed=1", *args, *session.posargs, env=env)


# They need the large packages of the docs session.
NOT_HERE = ("--ignore=tests/docs", "--ignore=tests/ecosystem")

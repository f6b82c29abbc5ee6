"""The files that are published: wheels for each Python and libc, the source distribution.

Each is looked into and then installed where nothing else is. `nox -s wheels` leaves them in dist.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nox
from common import (
    LATE,
    MINORS,
    MUSL,
    MUSL_TARGET,
    PROJECT,
    ROOT,
    TARGET,
    cargo,
    find_python,
    first_python,
    musl_is_here,
)

sys.path.insert(0, str(ROOT / "tests"))

DIST = ROOT / "dist"
GNU = ["--zig", "--compatibility", "manylinux2014"]
# Only what the interpreter itself brings, and the wheel.
PIP = ["--no-index", "--no-deps", "--disable-pip-version-check", "--quiet"]


def pythons() -> Iterator[str]:
    """Every interpreter here that wheels are made for."""
    for minor in MINORS:
        if found := find_python(f"3.{minor}"):
            yield found


def maturin(session: nox.Session, *options: str) -> None:
    session.run("maturin", *options, env={"CARGO_TARGET_DIR": str(TARGET)})


def build_all(session: nox.Session) -> None:
    """One wheel for each Python and libc, one in the stable ABI for all, and the sources."""
    maturin(session, "sdist", "--out", str(DIST))
    libcs = [GNU]
    if musl_is_here():
        libcs.append(MUSL)
    else:
        session.warn(f"no musllinux wheels: rustc has no standard library for {MUSL_TARGET}")
    for libc in libcs:
        common = ["build", "--release", *libc, "--out", str(DIST)]
        for python in pythons():
            maturin(session, *common, "--interpreter", python)
        first = first_python()
        maturin(session, *common, "--interpreter", first, "--features", "abi3")


def lint_others(session: nox.Session) -> None:
    """Clippy over what `lint` leaves out."""
    warnings = ["--", "-D", "warnings"]
    cargo(session, "clippy", "--features", "abi3", *warnings)
    if musl_is_here():
        musl = ["--target", MUSL_TARGET, "--features", "sim"]
        cargo(session, "clippy", "--all-targets", *musl, *warnings, **LATE)


@contextlib.contextmanager
def empty_environment(session: nox.Session, python: str) -> Iterator[str]:
    """The interpreter of a new environment with nothing in it but pip."""
    folder = Path(session.create_tmp()).resolve() / "empty"
    shutil.rmtree(folder, ignore_errors=True)
    session.run(python, "-m", "venv", str(folder), external=True)
    try:
        yield str(folder / "bin" / "python")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def must_resolve(session: nox.Session, wheel: Path) -> None:
    """That a glibc as old as the tag says has all that is needed: what it lacks has no version."""
    (name,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".so")]
    module = zipfile.ZipFile(wheel).extract(name, session.create_tmp())
    shown = session.run("nm", "-D", "--undefined-only", module, external=True, silent=True)
    needed = [line.split() for line in str(shown).splitlines() if line.strip()]
    lacking = [
        symbol
        for kind, symbol in needed
        # CPython's own are in the interpreter; a weak one may be absent.
        if kind == "U" and "@" not in symbol and not symbol.startswith(("Py", "_Py"))
    ]
    if lacking:
        session.error(f"{wheel.name} needs of glibc what it lacks: {lacking}")


def try_it(session: nox.Session, python: str, package: Path, *options: str) -> None:
    """Install one file where nothing is, and let it do the README's job."""
    session.run(python, "-m", "pip", "install", *options, str(package), external=True)
    session.run(python, "tests/helpers/readme.py", "run-job", python, external=True)


def fitting(python: str) -> list[Path]:
    """The wheels that this interpreter takes, of those for this libc."""
    show = "import sys; print('cp%d%d' % sys.version_info[:2])"
    tag = subprocess.run([python, "-c", show], capture_output=True, text=True).stdout.strip()
    wheels = [*DIST.glob(f"*-{tag}-{tag}-manylinux*.whl"), *DIST.glob("*-abi3-manylinux*.whl")]
    return sorted(wheels)


@nox.session(python=first_python(), default=False)
def wheels(session: nox.Session) -> None:
    """Every file that would be published, into dist, each tried in an empty environment.

    `nox -s wheels -- try` tries those that are in dist already.
    """
    from helpers.evidence import record
    from helpers.wheels import check

    begin = time.monotonic()
    session.install("maturin[zig]>=1.9,<2", "auditwheel>=6")
    if session.posargs != ["try"]:
        lint_others(session)
        shutil.rmtree(DIST, ignore_errors=True)
        build_all(session)
    made = sorted(DIST.glob("*.whl"))
    for wheel in made:
        check(wheel)
        # For musl auditwheel looks at the musl of this host, and few have one.
        if "manylinux" in wheel.name:
            session.run("auditwheel", "show", str(wheel))
            must_resolve(session, wheel)
    tried = 0
    for python in pythons():
        for wheel in fitting(python):
            with empty_environment(session, python) as fresh:
                try_it(session, fresh, wheel, *PIP)
            tried += 1
        with empty_environment(session, python) as fresh:
            (sdist,) = DIST.glob("*.tar.gz")
            # With what it needs to be built fetched, as for anybody who installs it.
            try_it(session, fresh, sdist, "--quiet")
        tried += 1
    musl = [wheel for wheel in made if "musllinux" in wheel.name]
    figures = {
        "manylinux wheels": len(made) - len(musl),
        "musllinux wheels": len(musl),
        "installed in empty environments": tried,
        "largest wheel, KiB": max(wheel.stat().st_size for wheel in made) // 1024,
    }
    record("wheels", command="nox -s wheels", seconds=time.monotonic() - begin, figures=figures)


@nox.session(python=first_python(), default=False)
def audit(session: nox.Session) -> None:
    """Licences, sources and known holes of everything that is built in or tested with.

    `nox -s audit -- bans licenses sources advisories` asks RustSec's database too, which has to be
    fetched. What pip-audit has no data of is counted.
    """
    from helpers.evidence import record

    begin = time.monotonic()
    session.install("pip-audit>=2.7", *nox.project.dependency_groups(PROJECT, "test"))
    if shutil.which("cargo-deny") is None:
        session.error("cargo-deny is missing: cargo install cargo-deny --locked")
    checks = session.posargs or ["bans", "licenses", "sources"]
    session.run("cargo", "deny", "check", *checks, external=True)
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    out = Path(session.create_tmp()) / "pip-audit.json"
    report = ["-f", "json", "-o", str(out), "--progress-spinner", "off", "--skip-editable"]
    session.run("pip-audit", *report)
    packages = json.loads(out.read_text())["dependencies"]
    figures = {
        "crates": len(locked),
        "checks": " ".join(checks),
        "Python packages for tests": len(packages),
        "of them without data": sum("skip_reason" in each for each in packages),
        "objections": 0,
    }
    record("audit", command="nox -s audit", seconds=time.monotonic() - begin, figures=figures)

"""Newer Pythons, Pythons with their own checks on, musl, and each test in many threads."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nox
from common import (
    MUSL,
    MUSL_TARGET,
    NOT_HERE,
    PROJECT,
    ROOT,
    TARGET,
    every_python,
    first_python,
    install_wheel,
    musl_is_here,
)

sys.path.insert(0, str(ROOT / "tests"))
from helpers.evidence import record

# Of Debian's unstable suite; those that end in -dbg check every count of references.
DEBIAN = ("python3.14", "python3.15", "python3.14-dbg", "python3.15-dbg")
PACKAGES = (
    "ca-certificates,gcc,libc6-dev,python3.14-dev,python3.14-venv,python3.14-dbg,"
    "python3.15-dev,python3.15-venv,python3.15-dbg"
)
# No wheels for the builds with checks.
COMPILED = {"numpy", "safetensors"}
# Not about threads of one process, or with threads of their own.
APART = (
    "tests/threads",
    "tests/cli",
    "tests/examples",
    "tests/hosts",
    "tests/lifecycle",
    "tests/property",
)


def summary(path: Path) -> dict[str, int]:
    """How many tests passed, failed and were skipped, as pytest's last line says."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    lines = path.read_text(errors="replace").splitlines()
    for number, what in re.findall(r"(\d+) (passed|failed|skipped|error)", lines[-1]):
        counts["failed" if what == "error" else what] += int(number)
    return counts


def groups() -> list[str]:
    """The folders of tests, each run in a process of its own, so that none takes too long."""
    folders = {str(each.parent.relative_to(ROOT)) for each in ROOT.glob("tests/*/test_*.py")}
    apart = {option.removeprefix("--ignore=") for option in NOT_HERE}
    return [*sorted(folders - apart), "tests/test_package.py"]


def run_all(session: nox.Session, tests: list[str], logs: Path, *command: str) -> dict[str, int]:
    """The tests, one group after the other; what was counted."""
    total = {"passed": 0, "failed": 0, "skipped": 0}
    logs.mkdir(parents=True, exist_ok=True)
    for group in tests:
        log = logs / f"{Path(group).stem}.log"
        options = ["-q", "-m", "not alone", "-p", "no:cacheprovider", "--timeout=400"]
        with log.open("w") as out:
            session.run(
                *command,
                *options,
                "--hypothesis-profile=quick",
                group,
                external=True,
                success_codes=[0, 1],
                stdout=out,
            )
        for what, number in summary(log).items():
            total[what] += number
        session.log(f"{group}: {log.read_text(errors='replace').splitlines()[-1]}")
    return total


@contextlib.contextmanager
def root_of(session: nox.Session, folder: Path) -> Iterator[None]:
    """Show the tree, the toolchain and the kernel's file systems inside `folder`."""
    own = {name: Path.home() / f".{name.lower()}" for name in ("CARGO", "RUSTUP")}
    homes = [Path(os.environ.get(f"{name}_HOME", path)) for name, path in own.items()]
    places = [Path("/proc"), Path("/sys"), Path("/dev"), ROOT, *homes]
    mounted = [folder]
    # Its own root must be a mount of its own, as any process's is.
    session.run("mount", "--bind", str(folder), str(folder), external=True)
    try:
        for place in places:
            inside = folder / place.relative_to("/")
            inside.mkdir(parents=True, exist_ok=True)
            session.run("mount", "--rbind", str(place), str(inside), external=True)
            session.run("mount", "--make-rslave", str(inside), external=True)
            mounted.append(inside)
        yield
    finally:
        for place in reversed(mounted):
            session.run("umount", "--recursive", "--lazy", str(place), external=True)


@nox.session(python=first_python(), default=False)
def pythons(session: nox.Session) -> None:
    """The suite on the Pythons of Debian unstable: `nox -s pythons -- FOLDER [python3.15 ...]`.

    Needs root and debootstrap. FOLDER gets a Debian of its own, unless it has one, 1 GB. About
    fifteen minutes for each Python; folders of tests that are named run in place of all.
    DEBIAN_MIRROR names another mirror than debootstrap's own.
    """
    if os.getuid() != 0 or not shutil.which("debootstrap"):
        session.skip("needs root, and debootstrap from Debian's packages")
    folder = Path(session.posargs[0] if session.posargs else session.create_tmp()) / "debian"
    named = session.posargs[1:]
    wanted = [name for name in named if name.startswith("python")] or DEBIAN
    tests = [name for name in named if not name.startswith("python")]
    if not (folder / "usr/bin/python3.15").exists():
        mirror = [os.environ["DEBIAN_MIRROR"]] if "DEBIAN_MIRROR" in os.environ else []
        options = ["--variant=minbase", f"--include={PACKAGES}", "sid", str(folder), *mirror]
        session.run("debootstrap", *options, external=True)
    for name in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
        shutil.copyfile(f"/{name}", folder / name)
    with root_of(session, folder):
        for python in wanted:
            one_of_debian(session, folder, python, tests)


def one_of_debian(session: nox.Session, folder: Path, python: str, tests: list[str]) -> None:
    """Build a wheel for this Python, inside of `folder`, and run the suite there."""
    # A login with nothing of this session's environment but what pip is told.
    kept = [f"{k}={v}" for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_"))]
    path = f"PATH={Path.home()}/.cargo/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    enter = ["chroot", str(folder), "/usr/bin/env", "-i", "-C", str(ROOT), path, *kept]
    enter += [f"HOME={Path.home()}", "LANG=C.UTF-8", f"CARGO_TARGET_DIR={ROOT}/target/debian"]
    venv, wheels = f"/srv/{python}", f"/srv/wheels-{python}"
    inside = (*enter, f"{venv}/bin/python", "-m")
    begun = time.monotonic()
    session.run(*enter, python, "-m", "venv", "--clear", venv, external=True)
    needs = nox.project.dependency_groups(PROJECT, "build", "test")
    if python.endswith("-dbg"):
        needs = tuple(need for need in needs if re.split(r"\W", need)[0] not in COMPILED)
    session.run(*inside, "pip", "install", "-q", *needs, external=True)
    build = ["--profile", "dev", "--interpreter", f"{venv}/bin/python", "--compatibility", "linux"]
    session.run(*inside, "maturin", "build", *build, "--out", wheels, external=True)
    (wheel,) = (folder / wheels.removeprefix("/")).glob("*.whl")
    session.run(*inside, "pip", "install", "-q", "--no-deps", f"{wheels}/{wheel.name}",
                external=True)  # fmt: skip
    version = session.run(*inside, "platform", external=True, silent=True)
    logs = Path(session.create_tmp()) / python
    counts = run_all(session, tests or groups(), logs, *inside, "pytest")
    shown = session.run(*enter, python, "-VV", external=True, silent=True)
    record(
        f"pythons-{python.removeprefix('python')}",
        command=" ".join(["nox -s pythons -- FOLDER", python, *tests]),
        seconds=time.monotonic() - begun,
        figures={**counts, "interpreter": str(shown).strip(), "system": str(version).strip()},
        python=str(shown).split()[1],
    )
    if counts["failed"]:
        session.error(f"{counts['failed']} tests failed on {python}")


def for_musl(session: nox.Session, python: str) -> Path:
    """A folder with the package for this interpreter, and what of the tests' needs is Python."""
    place, out = (Path(session.create_tmp()).resolve() / name for name in ("musl", "wheels"))
    for folder in (place, out):
        shutil.rmtree(folder, ignore_errors=True)
    session.install("maturin[zig]>=1.9,<2")
    needs = {
        re.split(r"\W", need)[0]: need for need in nox.project.dependency_groups(PROJECT, "test")
    }
    # Newer ones are compiled.
    needs["hypothesis"] = "hypothesis==6.130.*"
    pure = [need for name, need in needs.items() if name not in COMPILED]
    session.run("pip", "install", "-q", "--target", str(place), *pure)
    build = ["--profile", "dev", *MUSL, "--interpreter", python, "--out", str(out)]
    session.run("maturin", "build", *build, env={"CARGO_TARGET_DIR": str(TARGET)})
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    return place


@nox.session(python=first_python(), default=False)
def musl(session: nox.Session) -> None:
    """The suite on a CPython that was built with musl: `nox -s musl -- PYTHON [folders of tests]`.

    Needs rustc's standard library for musl; of that Python: ctypes and zlib. Without NumPy.
    """
    if not session.posargs or not musl_is_here():
        session.error(f"needs the path of a Python, and rustc with a target {MUSL_TARGET}")
    python, *tests = session.posargs
    begun = time.monotonic()
    session.env["PYTHONPATH"] = str(for_musl(session, python))
    every = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("tests/**/conftest.py")]
    lacking = [each for each in every if re.search(r"^import numpy", each.read_text(), re.M)]
    ignored = [f"--ignore={each.relative_to(ROOT)}" for each in lacking]
    logs = Path(session.create_tmp()) / "logs"
    counts = run_all(session, tests or groups(), logs, python, "-m", "pytest", *ignored)
    show = "import platform; print(platform.python_version(), *platform.libc_ver())"
    shown = str(session.run(python, "-c", show, external=True, silent=True)).split()
    figures = {**counts, "system": " ".join(shown[1:])}
    command, seconds = "nox -s musl -- PYTHON", time.monotonic() - begun
    record("pythons-musl", command=command, seconds=seconds, figures=figures, python=shown[0])
    if counts["failed"]:
        session.error(f"{counts['failed']} tests failed with musl")


@nox.session(default=False)
@nox.parametrize(["python", "version"], every_python())
def parallel(session: nox.Session, version: str) -> None:
    """Each test by eight threads at the same moment, where its fixtures allow that."""
    if not session.python:
        session.skip(f"no Python {version} on PATH or under ~/.pyenv/versions")
    session.install(*nox.project.dependency_groups(PROJECT, "test"), "pytest-run-parallel>=0.8")
    install_wheel(session)
    begun = time.monotonic()
    log = Path(session.create_tmp()) / "parallel.log"
    ignored = [f"--ignore={folder}" for folder in APART]
    options = ["-q", "-p", "no:cacheprovider", "-m", "not alone", "--timeout=600"]
    with log.open("w") as out:
        # What one thread must do alone, it does in `tests`.
        many = ["--parallel-threads=8", "--skip-thread-unsafe=true"]
        session.run("pytest", *options, *many, *NOT_HERE, *ignored, stdout=out)
    counts = summary(log)
    record(
        f"parallel-{version}",
        command=f"nox -s 'parallel({version})'",
        seconds=time.monotonic() - begun,
        figures={**counts, "threads": 8},
        python=version,
    )

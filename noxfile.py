"""Everything that must pass: `nox` runs it all, `nox -l` lists the parts.

The Pythons are those found on PATH or under ~/.pyenv/versions; an absent one is skipped with the
reason. One cargo target directory serves them all, so each after the first rebuilds only PyO3.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
PROJECT = nox.project.load_toml("pyproject.toml")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
MINORS = range(11, 15)
FEATURES = (["--no-default-features"], ["--no-default-features", "--features", "python"])

nox.needs_version = ">=2025.5"
nox.options.sessions = ["lint", "rust", "types", "tests", "docs", "package"]
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = False


def _answers(candidate: Path, version: str) -> bool:
    """Whether this file runs and is that Python (a pyenv shim on PATH may be neither)."""
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
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
    candidates += sorted(pyenv.glob(f"{version}.*/bin/{name}"), reverse=True)
    candidates.append(Path(sys.executable))
    for candidate in candidates:
        if candidate.exists() and _answers(candidate, version):
            return str(candidate)
    return None


def every_python() -> Sequence[object]:
    """One parameter set for each supported Python, the absent ones with nothing to run on."""
    params = []
    for minor in MINORS:
        version = f"3.{minor}"
        # False: an absent interpreter gets no environment, its session only says why it is skipped.
        params.append(nox.param(find_python(version) or False, version, id=version))
    return params


def first_python() -> str:
    """The oldest supported Python here: the one whose types, docs and package are checked."""
    for minor in MINORS:
        if found := find_python(f"3.{minor}"):
            return found
    sys.exit(f"uring_rs needs Python 3.{MINORS[0]} or newer; none was found")


def cargo(session: nox.Session, *args: str, **env: str) -> None:
    """Run cargo with the shared target directory."""
    python = session.bin and str(Path(session.bin) / "python")
    settings = {"CARGO_TARGET_DIR": str(TARGET), "PYO3_PYTHON": python or sys.executable, **env}
    session.run("cargo", *args, env=settings, external=True)


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

# The folders of tests that take longest, by measurement.
CONFORMANCE = ROOT / "tests" / "conformance"
LONGEST = ("tests/lifecycle", "tests/property", "tests/bulk", "tests/cli", "tests/selector")


def test_groups() -> list[list[str]]:
    """What is run in one process each, the longest first: all tests but the documentation's."""
    apart = {"tests/docs", "tests/ecosystem"}
    conformance = sorted(str(each.relative_to(ROOT)) for each in CONFORMANCE.glob("test_*.py"))
    half = len(conformance) // 2
    folders = {str(each.parent.relative_to(ROOT)) for each in ROOT.glob("tests/*/test_*.py")}
    first = [name for name in LONGEST if name in folders]
    rest = sorted(folders - apart - set(first) - {str(CONFORMANCE.relative_to(ROOT))})
    files = sorted(str(each.relative_to(ROOT)) for each in ROOT.glob("tests/test_*.py"))
    return [conformance[:half], conformance[half:], *([name] for name in first), [*rest, *files]]


def run_side_by_side(session: nox.Session, *args: str) -> None:
    """All tests but those that must be alone, two processes at a time: most wait most of the time.

    Not by a plugin, whose workers have threads of their own: tests fork, and count descriptors.
    """
    program = [str(Path(session.bin) / "pytest"), "-m", "not alone", "-p", "no:cacheprovider"]
    env = {name: value for name, value in session.env.items() if value is not None}

    def run(group: list[str]) -> bool:
        command = [*program, "--min-passed=1", *args, *group]
        ran = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **env}
        )
        # In one piece, so that those of two do not mix.
        print(*command, ran.stdout.decode(errors="replace"), sep="\n", flush=True)
        return ran.returncode == 0

    with ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(run, test_groups()))
    if not all(passed):
        session.error(f"{passed.count(False)} of {len(passed)} groups of tests failed")


@nox.session(python=first_python())
def lint(session: nox.Session) -> None:
    """rustfmt, clippy with and without the Python face, ruff."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    cargo(session, "fmt", "--all", "--check")
    for features in FEATURES:
        cargo(session, "clippy", "--all-targets", *features, "--", "-D", "warnings")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=first_python())
def rust(session: nox.Session) -> None:
    """The crate without Python: it must build, pass its tests and its loom models."""
    cargo(session, "build", "--no-default-features")
    cargo(session, "test", "--no-default-features")
    cargo(session, "test", "--no-default-features", "--features", "sim")
    # Another cfg would throw away every build of the shared directory, hence one of its own; and
    # the models want speed from the optimizer, not the minutes of a fat link.
    loom = {
        "RUSTFLAGS": f"{os.environ.get('RUSTFLAGS', '')} --cfg loom".strip(),
        "CARGO_TARGET_DIR": str(TARGET / "loom"),
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    }
    models = ["--no-default-features", "--release", "--test", "loom_queues"]
    cargo(session, "test", *models, **loom)


@nox.session(python=first_python())
def types(session: nox.Session) -> None:
    """mypy --strict over the package and the typing tests; the stub against the real module."""
    session.install(*nox.project.dependency_groups(PROJECT, "types"))
    install_wheel(session)
    session.run("mypy", "--strict", "python/uring_rs", "tests/typing")
    programs = ("run", "chart", "summary", "worker", "profile")
    with session.chdir("benchmarks"):
        session.run("mypy", "--strict", *(f"{name}.py" for name in programs))
    allowed = ROOT / "tests" / "typing" / "stubtest-allowlist.txt"
    options = ["--allowlist", str(allowed)] if allowed.exists() else []
    # Away from python/, whose package has no compiled module: the installed one is meant.
    session.chdir(session.create_tmp())
    session.run("python", "-m", "mypy.stubtest", "uring_rs._uring", *options, env={"MYPYPATH": ""})


@nox.session(python=first_python())
def docs(session: nox.Session) -> None:
    """Every code block of README.md and docs/ runs; Dask and pandas read through uring://."""
    session.install(*nox.project.dependency_groups(PROJECT, "docs"))
    install_wheel(session)
    pytest(session, "tests/docs", "tests/ecosystem")


@nox.session(python=first_python())
def package(session: nox.Session) -> None:
    """A source distribution that installs, and the README's first command on what it installed."""
    session.install(*nox.project.dependency_groups(PROJECT, "build"))
    out = Path(session.create_tmp()) / "sdist"
    shutil.rmtree(out, ignore_errors=True)
    session.run("maturin", "sdist", "--out", str(out))
    (sdist,) = out.glob("*.tar.gz")
    session.run("pip", "uninstall", "--yes", "--quiet", "uring_rs", silent=True)
    # Optimized, but without the minutes that linking all at once takes; and without the group of
    # test packages: nothing may be needed.
    build = {
        "CARGO_TARGET_DIR": str(TARGET),
        "CARGO_PROFILE_RELEASE_LTO": "off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    }
    session.install("--no-build-isolation", "--no-deps", str(sdist), env=build)
    session.run("python", "tests/helpers/readme.py", "run-job", str(Path(session.bin) / "python"))


@nox.session
@nox.parametrize(["python", "version"], every_python())
def tests(session: nox.Session, version: str) -> None:
    """The Python suite on each Python found, against a wheel with the debug checks on."""
    if not session.python:
        session.skip(f"no Python {version} on PATH or under ~/.pyenv/versions")
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    # All examples on the oldest Python; the others look for what differs between Pythons.
    first = find_python(version) == first_python()
    profile = [] if first else ["--hypothesis-profile=quick"]
    try:
        if session.posargs:
            pytest(session, *NOT_HERE, *profile)
            return
        run_side_by_side(session, *profile)
        # A CI machine is ours to change for a moment; a contributor's is not.
        if os.environ.get("CI"):
            pytest(session, *NOT_HERE, "-m", "alone", "--host-changes")
    finally:
        # The tests leave links to anywhere there, and cargo follows them when it packs.
        shutil.rmtree(session.create_tmp(), ignore_errors=True)


@nox.session(python=first_python(), default=False)
def long(session: nox.Session) -> None:
    """The property tests with many more examples (about an hour)."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    pytest(session, "tests/property", "--timeout=7200", "--hypothesis-profile=long")


@nox.session(python=first_python(), default=False)
def soak(session: nox.Session) -> None:
    """Churn and index wrap on the real kernel, with leak counters; the release build."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session, "release")
    pytest(session, *NOT_HERE, "-m", "soak", "--timeout=7200")


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

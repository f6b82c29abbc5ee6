"""What a submission must pass: lint, the crate, types, tests on every Python, docs, package."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox
import website
from common import (
    FEATURES,
    LATE,
    MUSL_TARGET,
    NOT_HERE,
    PROJECT,
    ROOT,
    SHUTTLE_TESTS,
    TARGET,
    cargo,
    every_python,
    find_python,
    first_python,
    install_wheel,
    model_build,
    musl_is_here,
    pytest,
)

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


def run_side_by_side(
    session: nox.Session, commands: Sequence[Sequence[str]], at_a_time: int = 0, **settings: str
) -> list[str]:
    """Run these programs of the session; what each said. It is an error if one fails.

    In more processes than there are CPUs, as most wait most of the time, or `at_a_time`. Not by a
    plugin, whose workers have threads of their own: tests fork, and count descriptors.
    """
    env = {name: value for name, value in session.env.items() if value is not None}

    def run(command: Sequence[str]) -> tuple[int, str]:
        program = str(Path(session.bin) / command[0])
        # A pytest that begins closes the folder that all of this user share to others, and some
        # tests of the rest are others just then.
        own = tempfile.mkdtemp(prefix="run")
        Path(own).chmod(0o755)
        ran = subprocess.run(
            [program, *command[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **env, "PYTEST_DEBUG_TEMPROOT": own, **settings},
        )
        # Trees deeper than a path may be are among what is left; what is mounted there is not ours.
        subprocess.run(["rm", "-rf", "--one-file-system", own])
        # In one piece, so that those of several do not mix.
        print(*command, ran.stdout, sep="\n", flush=True)
        return ran.returncode, ran.stdout

    with ThreadPoolExecutor(at_a_time or 1 + (os.cpu_count() or 1)) as pool:
        ended = list(pool.map(run, commands))
    if failed := [command for command, (code, _) in zip(commands, ended, strict=True) if code]:
        told = "; ".join(" ".join(command) for command in failed)
        session.error(f"{len(failed)} of {len(ended)} commands failed: {told}")
    return [said for _, said in ended]


@nox.session(python=first_python())
def lint(session: nox.Session) -> None:
    """rustfmt, clippy with and without the Python face, ruff."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    cargo(session, "fmt", "--all", "--check")
    for features in FEATURES:
        cargo(session, "clippy", "--all-targets", *features, "--", "-D", "warnings")
    if musl_is_here():
        # Where types of the C library are others, as on Alpine.
        musl = ["--lib", "--target", MUSL_TARGET, "--no-default-features"]
        cargo(session, "clippy", *musl, "--", "-D", "warnings", **LATE)
    else:
        session.warn(f"not checked for musl: rustc has no standard library for {MUSL_TARGET}")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=first_python())
def rust(session: nox.Session) -> None:
    """The crate without Python: it must build, pass its tests and its models."""
    cargo(session, "build", "--no-default-features")
    # With the simulated kernel: what needs none of it is tested all the same.
    cargo(session, "test", "--no-default-features", "--features", "sim")
    # These models want speed from the optimizer, not the minutes of a fat link.
    fast = {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"}
    models = ["--no-default-features", "--release", "--test", "loom_queues"]
    cargo(session, "test", *models, **model_build("loom", **fast))
    # These are run in a few schedules only (nox -s shuttle: in many): to build them takes longer.
    quick = {"CARGO_PROFILE_DEV_OPT_LEVEL": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}
    cargo(session, *SHUTTLE_TESTS, **model_build("shuttle", SHUTTLE_RUNS="30", **quick))


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
    """The code blocks of README.md and docs/, Dask and pandas through uring://, the site."""
    session.install(*nox.project.dependency_groups(PROJECT, "docs"))
    install_wheel(session)
    if session.posargs:
        pytest(session, "tests/docs", "tests/ecosystem")
        return
    program = ["pytest", "-p", "no:cacheprovider", "--min-passed=1"]
    blocks, ecosystem = [*program, "tests/docs"], [*program, "tests/ecosystem"]
    run_side_by_side(session, [blocks, website.command(session), ecosystem])


@nox.session(python=first_python())
def package(session: nox.Session) -> None:
    """A source distribution that installs, and the README's first command on what it installed."""
    session.run("python", "tests/helpers/elsewhere.py", env={"CARGO_TARGET_DIR": str(TARGET)})
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
    # Arithmetic and assertions are checked in what is tested: see tests/unit/test_debug_checks.py.
    session.run("python", "-c", "from uring_rs._uring import _plant")
    # All examples on the oldest Python; the others look for what differs between Pythons.
    first = find_python(version) == first_python()
    profile = [] if first else ["--hypothesis-profile=quick", "--not-again"]
    if version.endswith("t"):
        # Without a GIL all that is about threads is another matter.
        profile = ["--hypothesis-profile=quick"]
    try:
        if session.posargs:
            pytest(session, *NOT_HERE, *profile)
            return
        program = ["pytest", "-m", "not alone", "-p", "no:cacheprovider", "--min-passed=1"]
        run_side_by_side(session, [[*program, *profile, *group] for group in test_groups()])
        # A CI machine is ours to change for a moment; a contributor's is not.
        if os.environ.get("CI"):
            pytest(session, *NOT_HERE, "-m", "alone", "--host-changes")
    finally:
        # The tests leave links to anywhere there, and cargo follows them when it packs.
        shutil.rmtree(session.create_tmp(), ignore_errors=True)

"""The tests over builds that notice: AddressSanitizer and LeakSanitizer, ThreadSanitizer, shuttle's
schedulers, an allocator that notices the kernel's own late writes.

Each session first sees to it that a planted mistake is noticed, so that a run that finds nothing
says something. What a run measured is kept by tests/helpers/evidence.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nox
from common import (
    PROJECT,
    ROOT,
    SHUTTLE_TESTS,
    TARGET,
    first_python,
    host_triple,
    install_wheel,
    model_build,
)
from gate import run_side_by_side, test_groups

sys.path.insert(0, str(ROOT / "tests"))
from helpers import evidence

HERE = ROOT / ".ci" / "sanitizers"

# The models want speed from the optimizer, not the minutes of a fat link; and their own checks.
FAST_BUILD = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true",
    "CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS": "true",
}


def sanitized(name: str, *flags: str) -> dict[str, str]:
    """The environment of a build under a sanitizer, in a target directory of its own."""
    # The sanitizers are sound on stable Rust; only their flags are behind the nightly switch. The
    # standard library is not instrumented, which is what the second flag admits.
    admit = "-Cunsafe-allow-abi-mismatch=sanitizer"
    own = [f"-Zsanitizer={name}", admit, "--cfg=sanitized", "-Cforce-frame-pointers=yes", *flags]
    return {
        "RUSTC_BOOTSTRAP": "1",
        "RUSTFLAGS": " ".join([os.environ.get("RUSTFLAGS", ""), *own]).strip(),
        "CARGO_TARGET_DIR": str(TARGET / name),
    }


def must_object(session: nox.Session, objection: str, *command: str, **env: str) -> None:
    """Run what makes a mistake on purpose: it must fail, and say this."""
    settings = {**os.environ, **{k: v for k, v in session.env.items() if v is not None}, **env}
    ran = subprocess.run(command, env=settings, capture_output=True, text=True)
    if ran.returncode == 0 or objection not in ran.stdout + ran.stderr:
        print(ran.stdout, ran.stderr, sep="\n")
        session.error(f"{command} ended with {ran.returncode} and did not say {objection!r}")
    session.log(f"noticed as it should be: {objection}")


def passed_in(output: str) -> int:
    """How many tests passed, of all the lines in which pytest or cargo say so."""
    return sum(int(n) for n in re.findall(r"(\d+) passed", output))


def run_python_suite(session: nox.Session, name: str, env: dict[str, str], planted: int) -> None:
    """All Python tests in this environment, a group in a process; the figures are kept."""
    began = time.monotonic()
    # Faults are for the sanitizer to report. It is after paths through the code, not after the last
    # of many examples, which take several times longer under it.
    options = ["-m", "not alone", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    # What pytest has caught of a process that the sanitizer ends is lost with it.
    options += ["--hypothesis-profile=quick", "--capture=sys"]
    command = ["pytest", "--min-passed=1", "--timeout=600", *options]
    groups = [session.posargs] if session.posargs else test_groups()
    said = run_side_by_side(session, [[*command, *group] for group in groups], 2, **env)
    if not session.posargs:
        # Whatever it objects to fails a test, and the session with it.
        figures = {
            "tests passed": sum(passed_in(each.rstrip().rpartition("\n")[2]) for each in said),
            "objections": 0,
            "planted mistakes noticed": planted,
        }
        seconds = time.monotonic() - began
        evidence.record(name, command=f"nox -s {name}", seconds=seconds, figures=figures)


@nox.session(python=first_python(), default=False)
def asan(session: nox.Session) -> None:
    """The Python suite over an AddressSanitizer build, LeakSanitizer at the end of each process."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    runtime = session.run("gcc", "-print-file-name=libasan.so", external=True, silent=True)
    runtime = str(Path(str(runtime).strip()).resolve())
    install_wheel(session, **sanitized("address"), MATURIN_STRIP="false")
    env = {
        "LD_PRELOAD": runtime,
        # Of what the sanitizer itself would ask at the end most is CPython's: see sitecustomize.py.
        # Where there is no memory the tests want to see a MemoryError.
        "ASAN_OPTIONS": "detect_leaks=1:leak_check_at_exit=0:abort_on_error=1"
        ":allocator_may_return_null=1",
        "LSAN_OPTIONS": f"suppressions={HERE / 'leaks.supp'}:print_suppressions=0",
        "PYTHONPATH": str(HERE / "python"),
        # CPython's own allocator would hide small overruns.
        "PYTHONMALLOC": "malloc",
        "URING_RS_SANITIZED": "1",
        "URING_RS_TEST_PATIENCE": "5",
    }
    python = str(Path(session.bin) / "python")
    for mistake, objection in (
        ("use after free", "heap-use-after-free"),
        ("overrun", "heap-buffer-overflow"),
        ("leak", "detected memory leaks"),
    ):
        plant = f"from uring_rs import _uring; _uring._plant({mistake!r})"
        must_object(session, objection, python, "-c", plant, **env)
    run_python_suite(session, "asan", env, planted=3)


@nox.session(python=first_python(), default=False)
def canary(session: nox.Session) -> None:
    """The Python suite over an allocator that notices the kernel's writes to freed memory."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    library = TARGET / "canary.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    session.run("gcc", *options, str(HERE / "canary.c"), external=True)
    env = {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc", "URING_RS_TEST_PATIENCE": "3"}
    python = str(Path(session.bin) / "python")
    must_object(session, "written after free", python, str(HERE / "late_write.py"), **env)
    run_python_suite(session, "canary", env, planted=1)


@nox.session(python=first_python(), default=False)
def asan_rust(session: nox.Session) -> None:
    """The Rust tests under AddressSanitizer and LeakSanitizer, overflow checks on."""
    build = sanitized("address") | {"LSAN_OPTIONS": f"suppressions={HERE / 'leaks.supp'}"}
    tests = ["test", "--target", host_triple(), "--no-default-features", "--features", "sim"]
    began = time.monotonic()
    for mistake, objection in (
        ("planted_use_after_free", "heap-use-after-free"),
        ("planted_leak", "detected memory leaks"),
    ):
        planted = [*tests, "--test", "checks", "--", "--ignored", mistake]
        must_object(session, objection, "cargo", *planted, **build)
    figures = {"planted mistakes noticed": 2}
    run_cargo_tests(session, "asan_rust", [*tests, "--lib", "--tests"], build, began, **figures)


@nox.session(python=first_python(), default=False)
def tsan(session: nox.Session) -> None:
    """ThreadSanitizer over the tests of what threads share without a lock (tests/rust/races.rs)."""
    # The standard library is not instrumented: these tests use it for nothing that they are about.
    suppressed = f"suppressions={HERE / 'races.supp'}:halt_on_error=1"
    build = {**sanitized("thread"), "TSAN_OPTIONS": suppressed}
    tests = ["test", "--target", host_triple(), "--no-default-features", "--test", "races"]
    began = time.monotonic()
    for mistake, what in (("planted_tail_read", "sqe"), ("planted_tail_shown", "cqe")):
        objection = f"in read<uring_rs::sys::abi::io_uring_{what}>"
        must_object(session, objection, "cargo", *tests, "--", "--ignored", mistake, **build)
    figures = {"planted races noticed": 2}
    run_cargo_tests(session, "tsan", tests, build, began, **figures)


@nox.session(python=first_python(), default=False)
def shuttle(session: nox.Session) -> None:
    """The models of tests/rust/shuttle in very many schedules (`-- 100000` for as many of each)."""
    runs = session.posargs[0] if session.posargs else "20000"
    seed = str(time.time_ns() % 1_000_000_000)
    session.log(f"SHUTTLE_SEED={seed}")
    build = model_build("shuttle", SHUTTLE_RUNS=runs, SHUTTLE_SEED=seed, **FAST_BUILD)
    tests = [*SHUTTLE_TESTS, "--release", "--", "--test-threads=2"]
    figures = {"schedules of each model": 4 * int(runs), "seed": int(seed)}
    run_cargo_tests(session, "shuttle", tests, build, time.monotonic(), **figures)


def run_cargo_tests(
    session: nox.Session,
    name: str,
    args: list[str],
    env: dict[str, str],
    began: float,
    **figures: int,
) -> None:
    """Run Rust tests, and keep how many there were."""
    output = TARGET / f"{name}.log"
    with output.open("w") as log:
        settings = {**os.environ, **env}
        ran = subprocess.run(["cargo", *args], env=settings, stdout=log, stderr=subprocess.STDOUT)
    text = output.read_text(errors="replace")
    print(text)
    if ran.returncode:
        session.error(f"cargo {' '.join(args)} ended with {ran.returncode}")
    figures = {"tests passed": passed_in(text), **figures}
    seconds = time.monotonic() - began
    evidence.record(name, command=f"nox -s {name}", seconds=seconds, figures=figures, python="-")

"""Fuzzing: the Rust targets under libFuzzer and AddressSanitizer, the Python face by atheris."""

from __future__ import annotations

from pathlib import Path

import nox
from common import PROJECT, ROOT, TARGET, cargo, first_python, host_triple, install_wheel

FUZZ = ROOT / "fuzz"

# What cargo-fuzz passes, too.
COVERAGE = (
    "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 "
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters "
    "-Cllvm-args=-sanitizer-coverage-pc-table "
    "-Cllvm-args=-sanitizer-coverage-trace-compares"
)
CHECKS = "--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Coverflow-checks"


def build_rust(session: nox.Session) -> Path:
    """All targets, on stable Rust: only the sanitizer's flag is behind the nightly switch."""
    out = TARGET / "fuzz"
    flags = {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": f"{COVERAGE} {CHECKS}"}
    arguments = ["--release", "--bins", "--target", host_triple()]
    manifest = ["--manifest-path", str(FUZZ / "Cargo.toml")]
    cargo(session, "build", *manifest, *arguments, CARGO_TARGET_DIR=str(out), **flags)
    return out / host_triple() / "release"


def build_face(session: nox.Session) -> bool:
    """The extension with coverage, if there is an atheris for this Python; else without."""
    session.install(*nox.project.dependency_groups(PROJECT, "build"), "numpy")
    try:
        session.install("atheris")
    except nox.command.CommandFailed:
        session.log("no atheris for this Python: the face gets random programs")
        install_wheel(session)
        return False
    # libFuzzer is in a module of atheris: what is to be seen by it is linked against that.
    show = "import atheris.core_with_libfuzzer as core; print(core.__file__)"
    core = str(session.run("python", "-c", show, silent=True)).strip().splitlines()[-1]
    env = {"RUSTFLAGS": f"{COVERAGE} -Clink-arg={core}", "CARGO_BUILD_TARGET": host_triple()}
    install_wheel(session, **env, CARGO_TARGET_DIR=str(TARGET / "face"))
    return True


@nox.session(python=first_python(), default=False)
def fuzz(session: nox.Session) -> None:
    """All fuzz targets beside each other: nox -s fuzz -- --minutes 60."""
    binaries = build_rust(session)
    guided = ["--guided"] if build_face(session) else []
    python = str(Path(session.bin) / "python")
    places = ["--binaries", str(binaries), "--state", str(TARGET / "fuzz-runs")]
    session.run(
        "python", str(FUZZ / "run.py"), *places, "--face", python, *guided, *session.posargs
    )

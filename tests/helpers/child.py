"""Snippets run in a process of their own: whatever could kill a process is tested there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent

# How many times longer a child may take: under a sanitizer all takes several times longer.
PATIENCE = float(os.environ.get("URING_RS_TEST_PATIENCE", "1"))


def child_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: ours, with the helpers importable and no stray trace switch."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("URING_RS_", "PYTHONWARN"))}
    paths = [str(TESTS), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    env.update(extra or {})
    return env


def tally(cases: int) -> None:
    """Tell whoever counts (TALLY names a file) of so many cases in one child; of 0: of a child."""
    if path := os.environ.get("TALLY"):
        with open(path, "a") as file:
            file.write(f"{cases}\n")


def run_child(
    code: str,
    *args: str,
    timeout: float = 30.0,
    expect: int | None = 0,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a Python snippet in a fresh interpreter and return what it printed.

    The return code must be `expect` (None: any; -n: killed by signal n), else the test fails with
    everything the child said. A child that overruns `timeout` gets SIGABRT first, so that
    faulthandler shows where each of its threads stood.
    """
    command = [sys.executable, "-X", "faulthandler", *options, "-c", textwrap.dedent(code), *args]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        env=child_env(env),
        cwd=cwd,
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout * PATIENCE)
            overran = False
        except subprocess.TimeoutExpired:
            overran = True
            child.send_signal(signal.SIGABRT)
            try:
                out, err = child.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                out, err = child.communicate()
    tally(0)
    said = f"--- stdout\n{out}\n--- stderr\n{err}"
    if overran:
        raise AssertionError(f"the child was still running after {timeout} s\n{said}")
    if expect is not None and child.returncode != expect:
        raise AssertionError(f"the child ended with {child.returncode}, not {expect}\n{said}")
    return subprocess.CompletedProcess(command, child.returncode, out, err)

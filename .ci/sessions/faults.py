"""Every system call fails in every way, on the simulated and the real kernel; hosts that refuse."""

from __future__ import annotations

import collections
import json
import shutil
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import nox
from common import PROJECT, ROOT, cargo, first_python, install_wheel, pytest

sys.path.insert(0, str(ROOT / "tests"))
from helpers.evidence import record


@nox.session(name="faults-sim", python=first_python(), default=False)
def faults_sim(session: nox.Session) -> None:
    """The whole campaign on the simulated kernel (some minutes)."""
    lines = Path(session.create_tmp()).resolve() / "figures"
    lines.unlink(missing_ok=True)
    settings = {"URING_RS_FAULTS": "all", "URING_RS_FAULTS_RECORD": str(lines)}
    began = time.monotonic()
    campaign = ["test", "--no-default-features", "--features", "sim", "--test", "campaign"]
    cargo(session, *campaign, **settings)
    groups = [json.loads(line) for line in lines.read_text().splitlines()]
    total: collections.Counter[str] = collections.Counter()
    errnos: set[int] = set()
    for group in groups:
        errnos.update(group["errnos"])
        total["calls"] += sum(group["calls"].values())
        for key in (
            "scenarios",
            "requests",
            "call_faults",
            "request_faults",
            "pairs",
            "told",
            "not_reached",
        ):
            total[key] += group[key]
    singles = total["call_faults"] + total["request_faults"]
    figures = {
        **total,
        "faults_injected": singles + 2 * total["pairs"] - total["not_reached"],
        "runs": 2 * (singles + total["pairs"]),
        "errnos": len(errnos),
    }
    command = "nox -s faults-sim"
    record("faults-sim", command=command, seconds=time.monotonic() - began, figures=figures)


@nox.session(name="faults-real", python=first_python(), default=False)
def faults_real(session: nox.Session) -> None:
    """Every fault on the real kernel, then under strace (half an hour; --minutes N for each)."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    out = Path(session.create_tmp()).resolve()
    began = time.monotonic()
    session.chdir("tests")
    python = str(Path(session.bin) / "python")
    campaign = ["-m", "helpers.realfaults.campaign", "--all", "--json", str(out / "all")]
    session.run(python, *campaign, *session.posargs)
    figures = json.loads((out / "all").read_text())
    figures.pop("seconds")
    if shutil.which("strace"):
        traced = ["-m", "helpers.realfaults.traced", "--json", str(out / "traced")]
        session.run(python, *traced, *session.posargs)
        runs = json.loads((out / "traced").read_text())
        figures |= {
            "runs_under_strace": runs["runs"],
            "possible_under_strace": runs["faults_possible"],
            "not_reached_under_strace": runs["missed"],
            "wrong_under_strace": runs["wrong"],
        }
    command = "nox -s faults-real"
    record("faults-real", command=command, seconds=time.monotonic() - began, figures=figures)


@nox.session(python=first_python(), default=False)
def hosts(session: nox.Session) -> None:
    """Every kind of host; settings of this one are changed for a moment, where that is allowed."""
    session.install(*nox.project.dependency_groups(PROJECT, "test"))
    install_wheel(session)
    out = Path(session.create_tmp()).resolve() / "hosts.xml"
    began = time.monotonic()
    every = ["tests/hosts", "-m", "soak or not soak", "--host-changes", f"--junitxml={out}"]
    pytest(session, *every)
    (suite,) = list(_suites(out))
    cases = int(suite["tests"]) - int(suite["skipped"])
    figures = {"cases": cases, "skipped": int(suite["skipped"]), "failed": int(suite["failures"])}
    command = "nox -s hosts"
    record("hosts", command=command, seconds=time.monotonic() - began, figures=figures)


def _suites(report: Path) -> list[dict[str, str]]:
    return [dict(suite.attrib) for suite in ElementTree.parse(report).iter("testsuite")]

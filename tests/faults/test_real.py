"""Faults on the real kernel: a sample of what `nox -s faults` does with all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.child import TESTS, child_env
from helpers.realfaults import campaign
from helpers.realfaults.scripts import SCRIPTS
from helpers.realfaults.supervisor import why_not

pytestmark = [
    pytest.mark.once,
    pytest.mark.requires_op("NOP", "READ"),
    # Whose look for leaks stops the process in calls that the supervisor waits for.
    pytest.mark.unsanitized("a sanitizer makes calls, too"),
]


@pytest.fixture(autouse=True)
def _supervised() -> None:
    if reason := why_not():
        pytest.skip(reason)


def run(figures: Path, *words: str) -> dict[str, int]:
    """A campaign in a process of its own, from which children are forked that know nothing yet."""
    command = [sys.executable, "-m", "helpers.realfaults.campaign", "--json", str(figures), *words]
    done = subprocess.run(
        command, cwd=TESTS, env=child_env(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-2000:]}"
    found: dict[str, int] = json.loads(figures.read_text())
    return found


def test_each_kind_of_call_fails_once(tmp_path: Path) -> None:
    """Each system call fails once in some script, and three do in each: always the same."""
    figures = run(tmp_path / "figures", "--brief", "--seed", "7")
    assert figures["scripts"] == len(SCRIPTS)
    assert figures["runs"] >= 3 * len(SCRIPTS)
    assert figures["faults_injected"] >= 0.8 * figures["runs"]
    assert figures["wrong"] == 0


def test_what_is_wrong_is_found() -> None:
    """The campaign sees a wrong result, a descriptor left open, half a file, a crash and a hang."""

    script = SCRIPTS["stat_many"]
    watch = campaign.Campaign(patience=2.0)
    kinds = {
        "claimed": lambda folder: "wrong",
        "fds": lambda folder: (os.dup(0), script.act(folder))[1],
        "damage": lambda folder: ((folder / "f3").write_bytes(b"half"), script.act(folder))[1],
        "ended with -9": lambda folder: os.kill(os.getpid(), signal.SIGKILL),
        "hung": lambda folder: time.sleep(60),
    }
    for kind, act in kinds.items():
        broken = campaign.Script("broken", script.prepare, act, script.expected)
        outcome, report = watch.once(broken, [])
        problems = watch.problems(broken, [], outcome, report)
        assert any(kind in problem for problem in problems), (kind, problems)

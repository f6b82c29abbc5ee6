"""The churn of `nox -s soak`, for seconds: nothing leaks, and what leaks is seen."""

from __future__ import annotations

import subprocess
import sys

import pytest

import uring_rs
from endurance.churn.gauges import ALLOWED, EXACT, Gauges, judge
from endurance.churn.plants import PLANTS
from helpers.child import child_env

QUIET: Gauges = dict.fromkeys((*EXACT, *ALLOWED), 100) | {"workers": 1}


def run(*options: str) -> tuple[int, str]:
    if not uring_rs.is_supported():
        pytest.skip(f"io_uring is refused here: {uring_rs.probe().reason}")
    command = [sys.executable, "-m", "endurance.churn", "--window=1", *options]
    ran = subprocess.run(
        command, env=child_env(), capture_output=True, text=True, errors="replace", timeout=120
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.once
@pytest.mark.unsanitized("a sanitizer's allocator has none of the gauges' figures")
@pytest.mark.timeout(150)
def test_some_seconds_of_churn_leak_nothing() -> None:
    code, said = run("--seconds=6", "--warm-up=2", "--log=no")
    assert code == 0, said
    assert ", 0 operations" not in said, said


@pytest.mark.once
@pytest.mark.unsanitized("a sanitizer's allocator has none of the gauges' figures")
@pytest.mark.timeout(150)
def test_planted_leaks_are_found() -> None:
    plants = [f"--plant={name}" for name in PLANTS]
    short = ("--seconds=1", "--window=0.2", "--patience=0.05", "--warm-up=2", "--only=rings")
    missed = {name: "" for name in PLANTS}
    # Each is put in once in a while: in a second of a busy machine, perhaps not often enough.
    for _ in range(4):
        code, said = run(*short, "--log=no", *plants)
        assert code == 1, said
        for name in list(missed):
            if f"LEAK OR FAILURE: {PLANTS[name][1]}: " in said:
                del missed[name]
            else:
                missed[name] = said
        if not missed:
            return
    raise AssertionError(f"not found: {missed}")


def test_what_does_not_change_is_no_leak() -> None:
    assert judge(QUIET, [QUIET] * 9) == []
    noise = [QUIET | {"rss_kib": 100 + 5000 * (number % 2)} for number in range(9)]
    assert judge(QUIET, noise) == []


@pytest.mark.parametrize("gauge", sorted(QUIET))
def test_each_gauge_can_fail(gauge: str) -> None:
    step = -1 if gauge == "ring_room" else 1 << 20
    windows = [QUIET | {gauge: QUIET[gauge] + step * number} for number in range(9)]
    (problem,) = judge(QUIET, windows)
    assert problem.startswith(f"{gauge}: ")


def test_too_few_windows_prove_nothing() -> None:
    assert judge(QUIET, [QUIET] * 2) == ["fewer than three windows prove nothing"]

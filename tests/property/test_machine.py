"""The whole ring against its model, on the simulated and on the running kernel.

Together they run as many examples as the hypothesis profile says: 1000 on the gate, 50 times as
many with `nox -s long`.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from helpers.ringmodel.machines import RealMachine, SimMachine

ALL = settings().max_examples
LONG_ENOUGH = pytest.mark.timeout(120 + ALL * 0.4)


def some(part: float, steps: int) -> settings:
    return settings(
        max_examples=int(ALL * part),
        stateful_step_count=steps,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@LONG_ENOUGH
def test_on_the_simulated_kernel() -> None:
    run_state_machine_as_test(SimMachine, settings=some(0.7, 50))


@LONG_ENOUGH
@pytest.mark.requires_op("NOP")
def test_on_the_running_kernel() -> None:
    run_state_machine_as_test(RealMachine, settings=some(0.3, 50))

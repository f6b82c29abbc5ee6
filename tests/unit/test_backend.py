"""By what bulk functions work, and what is said when it is not io_uring."""

from __future__ import annotations

import importlib
import logging

import pytest

import uring_rs
from uring_rs.errors import Cause, UringUnavailable

# The function of that name stands before it in the package.
module = importlib.import_module("uring_rs.backend")


@pytest.fixture
def disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URING_RS_DISABLE", "1")


def test_it_names_io_uring_where_rings_can_be_made() -> None:
    found = uring_rs.backend()
    assert (found.name == "io_uring") == uring_rs.is_supported()
    assert bool(found.reason) == (found.name == "threads")
    assert str(found) == found.name


@pytest.mark.usefixtures("disabled")
def test_turned_off_it_is_threads_and_says_how_to_turn_it_on() -> None:
    found = uring_rs.backend()
    assert found.name == "threads"
    assert "URING_RS_DISABLE" in found.reason
    assert "unset" in found.hint
    assert found.cause == Cause.DISABLED


@pytest.mark.usefixtures("disabled")
def test_required_and_turned_off_is_an_error_with_its_cause() -> None:
    with pytest.raises(UringUnavailable, match="required here: disabled") as caught:
        module.way(require_uring=True)
    assert caught.value.cause == Cause.DISABLED
    assert caught.value.hint


@pytest.mark.usefixtures("disabled")
def test_one_line_of_log_however_often(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_told", False)
    with caplog.at_level(logging.INFO, logger="uring_rs"):
        for _ in range(3):
            assert module.way(require_uring=False) == "threads"
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "URING_RS_DISABLE" in record.getMessage()


def test_the_ways() -> None:
    if uring_rs.is_supported():
        assert module.way(require_uring=True) == "ring"
    assert module.way(require_uring=False) == "auto"

"""The page of claims says what the runs wrote, and names tests and commands that there are."""

from __future__ import annotations

import importlib.util
import re
import shlex
from typing import Any

import pytest

from helpers.nox_sessions import sessions
from helpers.readme import ROOT

SPEC = importlib.util.spec_from_file_location("trust", ROOT / "docs" / "trust.py")
assert SPEC is not None
assert SPEC.loader is not None
trust = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(trust)

CLAIMS: list[dict[str, Any]] = trust.claims()
RECORDS: dict[str, dict[str, Any]] = trust.records()


def is_known(command: str) -> bool:
    """Whether it names a session of nox, or tests, that there are."""
    words = shlex.split(command)
    if words[0] == "pytest":
        paths = [word for word in words[1:] if not word.startswith("-")]
        return bool(paths) and all((ROOT / path).exists() for path in paths)
    if words[0] == "python":
        return (ROOT / words[1]).exists()
    return words[:2] == ["nox", "-s"] and re.sub(r"\(.*", "", words[2]) in sessions()


def test_the_page_is_what_the_runs_wrote() -> None:
    assert trust.PAGE.read_text() == trust.page(), "run: python docs/trust.py"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["claim"][:40])
def test_a_claim_names_tests_and_commands_that_there_are(claim: dict[str, Any]) -> None:
    assert claim["paths"]
    for path in claim["paths"]:
        assert (ROOT / path).exists(), path
    assert claim["runs"], "a claim without figures"
    for command in claim["commands"]:
        assert is_known(command), command


def test_every_run_is_used_and_can_be_run_again() -> None:
    used = {name for claim in CLAIMS for name in claim["runs"]}
    assert used == set(RECORDS)
    for name, record in RECORDS.items():
        assert is_known(record["command"]), f"{name}: {record['command']}"
        assert record["figures"]

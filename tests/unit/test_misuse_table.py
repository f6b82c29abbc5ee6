"""`tests/misuse/cases.toml` names tests that exist, and leaves none of its folders out."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = tomllib.loads((ROOT / "tests/misuse/cases.toml").read_text())
FOLDERS = ("tests/misuse", "tests/lifecycle", "tests/security")

pytestmark = pytest.mark.once


@cache
def functions_of(path: str) -> frozenset[str]:
    """The test functions of a Python file; of another file, nothing, if it is there."""
    file = ROOT / path
    if file.suffix != ".py":
        assert file.is_file(), path
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text()))
    functions = (node.name for node in nodes if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def named() -> list[tuple[str, str]]:
    """File and function, or file alone, of all that the table names."""
    every = (test for hazards in TABLE.values() for tests in hazards.values() for test in tests)
    return [(test.partition("::")[0], test.partition("::")[2]) for test in every]


def test_each_hazard_has_tests_that_exist() -> None:
    assert all(tests for hazards in TABLE.values() for tests in hazards.values())
    missing = [
        f"{path}::{name}"
        for path, name in named()
        if (name and name not in functions_of(path)) or not (ROOT / path).is_file()
    ]
    assert not missing


def test_each_test_belongs_to_a_hazard() -> None:
    whole = {path for path, name in named() if not name}
    single = set(named())
    outside = [
        f"{path}::{name}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).glob("test_*.py"))
        for path in [str(file.relative_to(ROOT))]
        for name in sorted(functions_of(path))
        if path not in whole and (path, name) not in single
    ]
    assert not outside

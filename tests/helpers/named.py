"""What the tests name: the calls they make and the members of enumerations they mention."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from helpers.readme import ROOT

TESTS = ROOT / "tests"
# They go through everything by machine, so that naming something there tests nothing.
MECHANICAL = {"test_coverage.py", "test_flags.py", "test_c_crosscheck.py", "test_sqe.py"}


def _own_name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


class Named:
    """What the tests of one folder name."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.calls: set[str] = set()
        self.keywords: set[tuple[str, str]] = set()
        self.members: set[str] = set()
        self.attributes: set[str] = set()
        for path in paths:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                self._see(node)

    def _see(self, node: ast.AST) -> None:
        if isinstance(node, ast.Attribute):
            self.attributes.add(node.attr)
            self.members.add(f"{_own_name(node.value)}.{node.attr}")
        elif isinstance(node, ast.Call):
            names = {_own_name(node.func).removeprefix("prep_")}
            # Tests of both forms name the builder to a function: do("unlinkat", path).
            names |= {
                each.value.removeprefix("prep_")
                for each in node.args[:2]
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            }
            self.calls |= names
            given = {each.arg for each in node.keywords if each.arg}
            self.keywords |= {(name, each) for name in names for each in given}


@cache
def by_tests(folder: str = "") -> Named:
    """What the tests under tests/FOLDER name."""
    paths = (TESTS / folder).rglob("test_*.py")
    return Named(path for path in sorted(paths) if path.name not in MECHANICAL)


def is_a_test(name: str) -> bool:
    """Whether `tests/conformance/test_ring.py::test_this` is there."""
    path, _, function = name.partition("::")
    file = ROOT / path
    return file.is_file() and bool(
        re.search(rf"^\s*def {re.escape(function)}\(", file.read_text(), re.MULTILINE)
    )

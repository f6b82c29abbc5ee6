"""Whether all of Linux 6.18 is here: each operation, register operation and flag of the tables.

What is missing must be listed in not_yet.toml, and nothing else may be: what comes in leaves the
list. evidence.toml says which test is about a flag that no test names.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import uring_rs
from helpers import interface, missing
from helpers.named import is_a_test
from helpers.readme import ROOT

# What differs between Pythons is not in it.
pytestmark = pytest.mark.once

LIST = Path(__file__).parent / "not_yet.toml"
NOT_YET: dict[str, list[str]] = tomllib.loads(LIST.read_text()) if LIST.exists() else {}
REFERENCE = ROOT / "docs" / "reference"
STUB = (ROOT / "python" / "uring_rs" / "_uring.pyi").read_text()
BUILDERS = interface.builders()


@pytest.mark.parametrize("kind", missing.KINDS)
def test_nothing_is_missing(kind: str) -> None:
    """What is missing is what the list says is missing."""
    found, listed = missing.KINDS[kind](), set(NOT_YET.get(kind, ()))
    assert sorted(found - listed) == [], missing.KINDS[kind].__doc__
    assert sorted(listed - found) == [], "not_yet.toml: take out what is there now"


def test_the_list_has_no_other_kinds() -> None:
    assert set(NOT_YET) <= set(missing.KINDS)


def stub_of(name: str) -> str:
    """The body of a class in the stub."""
    found = re.search(rf"^class {name}\b.*?(?=^\S)", STUB, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[0]


def test_every_builder_is_of_an_operation() -> None:
    names = {row["name"] for row in [*interface.OPERATIONS, *interface.LATER]}
    for builder in BUILDERS:
        assert interface.operation_of(builder) in names
        assert hasattr(uring_rs.Sqe, builder), f"Sqe.{builder}"


def test_every_builder_is_in_the_stub() -> None:
    ring, sqe = stub_of("Ring"), stub_of("Sqe")
    for builder in BUILDERS:
        assert f"    def prep_{builder}(" in ring, f"Ring.prep_{builder}"
        assert f"    def {builder}(" in sqe, f"Sqe.{builder}"


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_builder_says_what_it_does(builder: str) -> None:
    """Its docstring is what the reference page is made of."""
    text = inspect.getdoc(getattr(uring_rs.Ring, f"prep_{builder}")) or ""
    for part in ("Kernel", "Memory", "Result", "Source"):
        assert re.search(rf"^{part}: \S", text, re.MULTILINE), f"prep_{builder} says no {part}:"
    assert re.search(r"^Source: .*\w\([237]\)", text, re.MULTILINE | re.DOTALL)
    assert len(text.partition("\n\n")[0].splitlines()) <= 3, "the first paragraph is for the table"


def test_every_register_operation_is_looked_for() -> None:
    assert set(interface.REGISTER_WAYS) == {row["name"] for row in interface.REGISTERS}


def test_constants_are_what_python_says() -> None:
    for name, value, _ in interface.CONSTANTS:
        found = interface.member(name)
        assert found is None or found == value, name


def test_evidence_is_about_what_there_is() -> None:
    names = {interface.python_name(row[0]) for row in interface.chosen()}
    names |= {row["method"] for row in [*interface.OPERATIONS, *interface.LATER]}
    assert set(missing.EVIDENCE) <= names | set(interface.REGISTER_WAYS)
    for name, evidence in missing.EVIDENCE.items():
        for each in evidence:
            assert "::" not in each or is_a_test(each), f"{name}: there is no {each}"


def test_all_of_it_is_in_the_reference() -> None:
    """One line at least, in code, for each operation, builder, register operation and flag."""
    text = "\n".join(page.read_text() for page in sorted(REFERENCE.glob("*.md")))
    named = set(re.findall(r"`([^`\n]+)`", text))
    wanted = {row["name"] for row in [*interface.OPERATIONS, *interface.REGISTERS]}
    wanted |= {f"prep_{builder}" for builder in BUILDERS}
    wanted |= {interface.python_name(name) or name for name, _, _ in interface.chosen()}
    assert sorted(wanted - named) == []

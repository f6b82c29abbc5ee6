"""The reference pages are those that the tables and docstrings make, and leave nothing out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import griffe

import uring_rs
import uring_rs.fsspec
import uring_rs.selectors
import uring_rs.testing
from helpers.child import child_env
from helpers.readme import ROOT


def test_the_reference_is_up_to_date() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env=child_env())
    assert done.returncode == 0, done.stdout + done.stderr


REFERENCE = ROOT / "docs" / "reference"
PAGES = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.glob("*.md")}
TEXT = "\n".join(PAGES.values())
SHOWN = re.findall(r"^::: (\S+)$", TEXT, re.MULTILINE)
FACES = (uring_rs.selectors, uring_rs.fsspec, uring_rs.testing)


def public() -> dict[str, object]:
    """Every public name, and what it is; no module, and nothing twice."""
    found = {f"uring_rs.{name}": getattr(uring_rs, name) for name in uring_rs.__all__}
    found = {name: each for name, each in found.items() if not isinstance(each, ModuleType)}
    for module in FACES:
        for name in module.__all__:
            if all(getattr(module, name) is not each for each in found.values()):
                found[f"{module.__name__}.{name}"] = getattr(module, name)
    return found


def test_every_public_name_is_shown_once() -> None:
    """By mkdocstrings, whose directive must name it; flags and numbers by docs/generate.py."""
    builders = {f"uring_rs.Ring.{name}" for name in dir(uring_rs.Ring) if name.startswith("prep_")}
    for name in {*public(), *builders} - set(SHOWN):
        short = name.rpartition(".")[2]
        generated = f"\n## {short}\n" in PAGES["flags.md"] or f"| `{short}` |" in PAGES["flags.md"]
        assert generated or f"`{name}`" in TEXT, f"{name} is on no page of the reference"
    assert len(SHOWN) == len(set(SHOWN))


def loaded() -> Any:
    """The package as mkdocstrings sees it: of the stub, with the compiled module's texts."""
    extension = griffe.load_extensions(str(ROOT / "docs" / "site" / "docstrings.py"))
    loader = griffe.GriffeLoader(extensions=extension, search_paths=[str(ROOT / "python")])
    package = loader.load("uring_rs")
    loader.resolve_aliases(external=False)
    return package


def silent(name: str, each: Any) -> Iterator[str]:
    """What of this, and of its public members, has no text."""
    each = each.final_target if each.is_alias else each
    if not each.docstring:
        yield name
    for member, inner in each.members.items() if each.is_class else ():
        if not member.startswith("_") and not inner.is_alias:
            yield from silent(f"{name}.{member}", inner)


def test_everything_public_has_a_text() -> None:
    package = loaded()
    # Flags have theirs in the tables; a file system has those of fsspec.
    names = [name for name in public() if name in SHOWN and ".fsspec." not in name]
    missing = [
        found for name in names for found in silent(name, package[name.removeprefix("uring_rs.")])
    ]
    assert not missing
    ring = package["Ring"].final_target
    assert ring.path == "uring_rs._uring.Ring"
    assert "prep_read" in ring.members

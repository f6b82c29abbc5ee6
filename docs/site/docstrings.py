"""What mkdocstrings knows of the compiled module: signatures of the stub, texts of the module.

The stub (`_uring.pyi`) has the types and no texts, so that each text stands in one place: in the
Rust source, from where it comes into the compiled module. That one must be installed.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import griffe

COMPILED = "_uring"
# `Memory: ...` in a line of its own, with what is indented below it.
FACT = re.compile(r"^([A-Z][a-z]+): (.+(?:\n {4}.+|\n(?![A-Z][a-z]+: )\S.*)*)", re.MULTILINE)


def facts_as_list(text: str) -> str:
    """`Kernel: 5.6.` and its like, lines of their own in Python, as a list in Markdown."""

    def item(match: re.Match[str]) -> str:
        rest = " ".join(line.strip() for line in match[2].splitlines())
        return f"- **{match[1]}**: {rest}"

    return FACT.sub(item, text)


class Docstrings(griffe.Extension):
    """See the module."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Bring the texts in, once the package is loaded."""
        if pkg.name != "uring_rs":
            return
        compiled = pkg[COMPILED]
        self._lead(pkg, compiled)
        module = importlib.import_module(f"{pkg.name}.{COMPILED}")
        for each, real in walk(compiled, module):
            text = inspect.getdoc(real)
            if text and not each.docstring:
                each.docstring = griffe.Docstring(text, parent=each)
        self._slots(pkg["bulk.ranges.Ranges"])
        self._shorten_sqe(compiled["Sqe"])
        self._arrange(pkg, set())

    def _lead(self, module: griffe.Module, compiled: griffe.Module) -> None:
        """Where the compiled module cannot be loaded other classes have its names: not them."""
        fallback = module.package.path + "._native."
        for name, each in list(module.members.items()):
            target = getattr(each, "target_path", each.path)
            if target.startswith(fallback) and name in compiled.members:
                module.members[name] = griffe.Alias(name, compiled[name], parent=module)
            elif not each.is_alias and each.is_module and each is not compiled:
                self._lead(each, compiled)

    def _slots(self, kind: griffe.Class) -> None:
        """The texts of a class that has them in its __slots__."""
        slots = getattr(importlib.import_module(kind.module.path), kind.name).__slots__
        for name, text in slots.items():
            if text and not kind.members[name].docstring:
                each = kind.members[name]
                each.docstring = griffe.Docstring(inspect.cleandoc(text), parent=each)

    def _shorten_sqe(self, sqe: griffe.Class) -> None:
        """The methods of Sqe are those of Ring once more: their texts stand there."""
        for name, each in sqe.members.items():
            if each.is_function and not name.startswith("_"):
                text = f"What [`Ring.prep_{name}`][uring_rs.Ring.prep_{name}] does."
                each.docstring = griffe.Docstring(text, parent=each)

    def _arrange(self, module: griffe.Object, seen: set[str]) -> None:
        for each in list(module.members.values()):
            if each.is_alias or each.path in seen:
                continue
            seen.add(each.path)
            if each.is_function:
                # The types of each way to call it say no more than the texts, five times.
                each.overloads = None
            if each.is_class and "__new__" in each.members and "__init__" not in each.members:
                # Where the parameters of a class are looked for.
                each.members["__init__"] = each.members["__new__"]
            if each.docstring:
                each.docstring.value = facts_as_list(each.docstring.value)
            self._arrange(each, seen)


def walk(stub: griffe.Object, real: Any) -> Iterator[tuple[Any, Any]]:
    """Each thing of the stub that the module has, too."""
    for name, each in stub.members.items():
        found = getattr(real, name, None)
        if each.is_alias or found is None:
            continue
        yield each, found
        if each.is_class:
            yield from walk(each, found)

"""A case: one call of a builder, and the C calls that make the same entry."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cached_property

from uring_rs import Ring, Sqe

# What of a ring the things are made by that cases name.
MADE_BY = {
    "FIXED": "buffer_pool",
    "DIRECT": "register_files",
    "RESERVED": "register_files",
    "OTHERS": "register_files",
    "POOL": "buffer_ring",
    "SENDING": "buffer_ring",
    "LEGACY": "provided_buffers",
}


class Case:
    """The two texts, and what can be read from them without running either."""

    def __init__(self, python: str, c: str) -> None:
        self.python = python
        self.c = c

    @cached_property
    def call(self) -> ast.Call:
        """The call of the builder; it may stand within others' arguments no deeper than this."""
        parsed = ast.parse(self.python, mode="eval").body
        assert isinstance(parsed, ast.Call), self.python
        return parsed

    @property
    def method(self) -> str:
        """The builder, without `prep_`."""
        function = self.call.func
        assert isinstance(function, ast.Attribute), self.python
        return function.attr.removeprefix("prep_")

    @property
    def of_ring_only(self) -> bool:
        """Whether this cannot be prepared apart from a ring: `Ring.prep_close(DIRECT)`."""
        return self.python.startswith("Ring.")

    @property
    def keywords(self) -> set[str]:
        """The arguments given by name."""
        return {keyword.arg for keyword in self.call.keywords if keyword.arg}

    @property
    def names(self) -> set[str]:
        """Every name in either text."""
        found = {node.id for node in ast.walk(self.call) if isinstance(node, ast.Name)}
        return found | set(re.findall(r"\b[A-Z][A-Z0-9_]*\b", self.c))

    @property
    def helpers(self) -> set[str]:
        """The functions of liburing that make the entry."""
        return set(re.findall(r"\bio_uring_prep_(\w+)\(", self.c))

    @property
    def there(self) -> bool:
        """Whether the library has this builder with these arguments, and what it names."""
        if not all(hasattr(Ring, MADE_BY[name]) for name in self.names & set(MADE_BY)):
            return False
        builder = getattr(Sqe, self.method, None)
        if builder is None:
            return False
        try:
            parameters = inspect.signature(builder).parameters
        except ValueError:
            return False
        by_place = [each for each in parameters.values() if each.kind is not each.KEYWORD_ONLY]
        return self.keywords <= set(parameters) and len(self.call.args) <= len(by_place)

    def __str__(self) -> str:
        return re.sub(r"^(Sqe\.|Ring\.prep_)", "", self.python)

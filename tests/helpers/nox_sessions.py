"""The nox sessions there are, read from their own decorators."""

from __future__ import annotations

import re

from helpers.readme import ROOT

SESSION = re.compile(r"^@nox\.session(.*)\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
NAME = re.compile(r"""\bname=["']([\w-]+)["']""")


def sessions() -> set[str]:
    """Their names as `nox -s` takes them, without what is parametrized."""
    found: set[str] = set()
    for path in (ROOT / ".ci" / "sessions").glob("*.py"):
        for options, function in SESSION.findall(path.read_text()):
            named = NAME.search(options)
            found.add(named[1] if named else function)
    return found

"""All cases."""

from __future__ import annotations

from helpers.entries import files, net, paths, waiting
from helpers.entries.case import Case

CASES = [
    Case(python, c)
    for module in (files, paths, net, waiting)
    for name, pairs in vars(module).items()
    if name.isupper() and not name.startswith("_")
    for python, c in pairs
]

"""Everything that must pass: `nox` runs it all, `nox -l` lists the parts.

The sessions are in .ci/sessions, one file for each topic. The Pythons are those found on PATH or
under ~/.pyenv/versions; an absent one is skipped with the reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent.resolve() / ".ci" / "sessions"))

# Imported for their sessions, which run in the order of the list below.
import fuzz
import gate
import long
import packages
import pythons
import sanitize
import soak
import website

import faults
import misuse

nox.needs_version = ">=2025.5"
nox.options.sessions = ["lint", "rust", "types", "tests", "docs", "package"]
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = False

__all__ = [
    "faults",
    "fuzz",
    "gate",
    "long",
    "misuse",
    "packages",
    "pythons",
    "sanitize",
    "soak",
    "website",
]

"""What the long runs measured, kept for docs/explanation/trust.md.

Each run writes one file, docs/explanation/evidence/NAME.json: a flat table of figures, and what
they were measured on. Needs the standard library only, so that any session can call it; as a script
`evidence.py NAME COMMAND SECONDS KEY=VALUE ...` writes one from a shell.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "docs" / "explanation" / "evidence"

Figure = int | float | str


def _commit() -> str:
    """The commit that was measured, with a + where files of it had been changed."""
    try:
        asked = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
        ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return ran.stdout.strip() or "unknown"


def record(
    name: str, *, command: str, seconds: float, figures: Mapping[str, Figure], python: str = ""
) -> Path:
    """Write what a run measured; `command` is what anyone can type to run it again."""
    facts = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
        "kernel": os.uname().release,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "python": python or platform.python_version(),
        "seconds": round(seconds, 1),
        "figures": dict(figures),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(facts, indent=2) + "\n")
    return path


def _value(text: str) -> Figure:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    name, command, seconds, *pairs = sys.argv[1:]
    figures = {key: _value(text) for key, text in (pair.split("=", 1) for pair in pairs)}
    print(record(name, command=command, seconds=float(seconds), figures=figures))

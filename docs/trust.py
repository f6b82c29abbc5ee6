"""Writes docs/explanation/trust.md: what is claimed, how it is tested, what was last measured.

The claims are in claims.toml beside it; the figures come from explanation/evidence, where the long
runs put them (tests/helpers/evidence.py), and from nowhere else. `--check` only tells whether the
page is what they say.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGE = DOCS / "explanation" / "trust.md"
CLAIMS = DOCS / "explanation" / "claims.toml"
EVIDENCE = DOCS / "explanation" / "evidence"
# {run[figure]}
FIGURE = re.compile(r"\{([^{}\[\]]+)\[([^\]]+)\]\}")

INTRODUCTION = """\
# What is claimed, and what was done to break it

<!-- made by docs/trust.py from claims.toml and evidence/: not edited by hand -->

Every line is a claim, the tests that try to refute it, and what came of it when they last ran. The
short forms run with every change (`nox`), the long ones by the commands given, on your machine too.
A figure stands here only with the run it is from, its date and its commit; where a run was a
sample, was broken off or put together, it says so.
"""

BETWEEN = """
## The runs

Each command writes its figures anew into `docs/explanation/evidence`; `python docs/trust.py` then
writes this page. `+` behind a commit: with changes that were not committed yet.

"""


def records() -> dict[str, dict[str, Any]]:
    """What each run wrote, by its name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(EVIDENCE.glob("*.json"))}


def claims() -> list[dict[str, Any]]:
    """The claims, with the runs that their figures are from as `runs`."""
    found: list[dict[str, Any]] = tomllib.loads(CLAIMS.read_text())["claim"]
    for claim in found:
        claim["runs"] = sorted({run for run, _ in FIGURE.findall(claim["figures"])})
    return found


def shown(value: int | float | str) -> str:
    """A figure; a number with its thousands apart."""
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def row(claim: dict[str, Any], found: dict[str, dict[str, Any]]) -> str:
    figures = FIGURE.sub(lambda at: shown(found[at[1]]["figures"][at[2]]), claim["figures"])
    where = ", ".join(f"`{path}`" for path in claim["paths"])
    commands = ", ".join(f"`{command}`" for command in claim["commands"])
    cells = [claim["claim"], f"{claim['how']} ({where})", figures]
    return "| " + " | ".join(cell(text) for text in [*cells, commands]) + " |"


def run_row(name: str, record: dict[str, Any]) -> str:
    told = "; ".join(f"{key}: {shown(value)}" for key, value in record["figures"].items())
    minutes = f"{record['seconds'] / 60:.1f} min"
    when = f"{record['date']}, {record['commit']}, Linux {record['kernel']}, {record['python']}"
    return "| " + " | ".join([name, f"`{record['command']}`", minutes, cell(told), when]) + " |"


def page() -> str:
    """The whole page."""
    found = records()
    lines = [
        "",
        "| claim | how it is tested | last figures | run it yourself |",
        "|---|---|---|---|",
    ]
    lines += [row(claim, found) for claim in claims()]
    runs = ["| run | command | took | figures | when, where |", "|---|---|---|---|---|"]
    runs += [run_row(name, record) for name, record in found.items()]
    return INTRODUCTION + "\n".join(lines) + "\n" + BETWEEN + "\n".join(runs) + "\n"


def main(args: list[str]) -> int:
    """See the module."""
    text = page()
    if args == ["--check"]:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

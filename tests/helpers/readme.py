"""The README's commands and code blocks, read from the README itself so that nothing can drift.

As a script: `readme.py show NAME` prints the command under the marker `<!-- NAME -->`;
`readme.py run-job PYTHON` runs the job of the first command with that interpreter and lets
sha256sum check what it printed. Needs the standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
JOB = "job-command"
TEST = "test-command"

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)$")
MARKER = re.compile(r"^\s*<!--\s*(?P<text>[^>]*?)\s*-->\s*$")


class Block(NamedTuple):
    """One fenced block: where it stands, its language, its text, the marker just above it."""

    path: Path
    line: int
    language: str
    text: str
    marker: str

    @property
    def name(self) -> str:
        """Names the block in a test's id."""
        return f"{self.path.name}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a Markdown file, in order."""
    found: list[Block] = []
    marker, opening, start = "", None, 0
    body: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = FENCE.match(line)
        if opening is None:
            if match:
                opening, start, body = match, number, []
            elif comment := MARKER.match(line):
                marker = comment["text"]
            elif line.strip():
                marker = ""
        elif match and match["fence"].startswith(opening["fence"]) and not match["info"].strip():
            language = opening["info"].strip()
            found.append(Block(path, start, language, "\n".join(body) + "\n", marker))
            marker, opening = "", None
        else:
            body.append(line.removeprefix(opening["indent"]))
    if opening is not None:
        raise ValueError(f"{path}:{start}: a code block that never ends")
    return found


def command(name: str) -> str:
    """The one command under the marker `<!-- name -->`."""
    marked = [block for block in blocks(README) if block.marker == name]
    if len(marked) != 1:
        raise ValueError(f"README.md has {len(marked)} blocks marked {name}, not one")
    lines = marked[0].text.replace("\\\n", " ").strip().splitlines()
    if len(lines) != 1 or marked[0].language != "sh":
        raise ValueError(f"the block marked {name} is not one shell command")
    return re.sub(r"\s+", " ", lines[0])


def job() -> str:
    """What the first command runs once the package is installed."""
    install, run = command(JOB).rsplit(" && ", 1)
    expected = "python3 -m venv .venv && .venv/bin/pip install ."
    if install != expected or not run.startswith(".venv/bin/python -m uring_rs "):
        raise ValueError(f"the README's first command has another shape than {expected} && ...")
    return run


def run_job(python: str) -> int:
    """Run the job with this interpreter and check each line with sha256sum."""
    line = job().replace(".venv/bin/python", python)
    with tempfile.TemporaryDirectory() as elsewhere:
        # Elsewhere, so that what is imported is what was installed.
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line], cwd=elsewhere, stdout=subprocess.PIPE
        )
        sums = done.stdout.decode(errors="surrogateescape").splitlines()
        print(f"{line}: exit status {done.returncode}, {len(sums)} lines")
        if done.returncode or not sums:
            return done.returncode or 1
        check = ["sha256sum", "--check", "--strict", "--quiet"]
        return subprocess.run(check, cwd=elsewhere, input=done.stdout).returncode


def main(args: list[str]) -> int:
    """See the module."""
    match args:
        case ["show", name]:
            print(command(name))
            return 0
        case ["run-job", python]:
            return run_job(python)
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

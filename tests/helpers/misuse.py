"""Run every test that `tests/misuse/cases.toml` names, and keep the figures.

python tests/helpers/misuse.py [pytest arguments]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpers.evidence import ROOT, record

TABLE = ROOT / "tests" / "misuse" / "cases.toml"


def main() -> int:
    """The exit code of pytest."""
    hazards = tomllib.loads(TABLE.read_text())
    named = {test for each in hazards.values() for tests in each.values() for test in tests}
    # The crate's own tests are run by cargo; of files named whole their functions are not named.
    python = sorted(test for test in named if test.partition("::")[0].endswith(".py"))
    whole = {test for test in python if "::" not in test}
    chosen = [test for test in python if "::" not in test or test.partition("::")[0] not in whole]
    with tempfile.TemporaryDirectory() as folder:
        told, report = Path(folder, "tally"), Path(folder, "report.xml")
        told.touch()
        begun = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", f"--junitxml={report}", *sys.argv[1:], *chosen],
            cwd=ROOT,
            env={**os.environ, "TALLY": str(told)},
        )
        seconds = time.monotonic() - begun
        lines = [int(line) for line in told.read_text().split()]
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    counted = {
        key: sum(int(suite.get(key, "0")) for suite in suites)
        for key in ("tests", "failures", "errors", "skipped")
    }
    if ran.returncode == 0:
        record(
            "misuse",
            command="nox -s misuse",
            seconds=seconds,
            figures={
                "hazards": sum(map(len, hazards.values())),
                "tests named": len(named),
                "tests passed": counted["tests"] - counted["skipped"],
                "tests skipped": counted["skipped"],
                "children": lines.count(0),
                "cases in shared children": sum(lines),
            },
        )
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())

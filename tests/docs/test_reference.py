"""The reference pages are those that the package's tables and docstrings make."""

from __future__ import annotations

import subprocess
import sys

from helpers.child import child_env
from helpers.readme import ROOT


def test_the_reference_is_up_to_date() -> None:
    command = [sys.executable, "-W", "error", str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env=child_env())
    assert done.returncode == 0, done.stdout + done.stderr

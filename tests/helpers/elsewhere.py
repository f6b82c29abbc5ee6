"""What building says where there is no Linux: one error that tells what to do, and nothing else.

As a script: compiles a copy of the crate in which `linux` is the name of no system, as it is on all
others, and checks what the compiler answers. Needs the standard library and cargo.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MESSAGE = "uring_rs runs on Linux only"
REMEDY = "sys_platform == 'linux'"


def copy(to: Path) -> None:
    """The crate as it would be read on another system."""
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, to / name)
    shutil.copytree(ROOT / "src", to / "src")
    # cargo wants the files of all targets to be there, and looks into none.
    shutil.copytree(ROOT / "tests" / "rust", to / "tests" / "rust")
    library = to / "src" / "lib.rs"
    text = library.read_text()
    assert 'target_os = "linux"' in text
    library.write_text(text.replace('target_os = "linux"', 'target_os = "elsewhere"'))


def errors(folder: Path) -> list[str]:
    """The errors of the compiler."""
    command = ["cargo", "check", "--no-default-features", "--lib", "--message-format", "json"]
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    env = {**os.environ, "CARGO_TARGET_DIR": str(Path(target) / "elsewhere")}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert ran.returncode, "it was built"
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    found = [each["message"] for each in told if each["reason"] == "compiler-message"]
    # The last one only counts the others.
    return [each["message"] for each in found if each["level"] == "error" and each["spans"]]


def main() -> int:
    """See the module."""
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        found = errors(Path(folder))
    print(*found, sep="\n")
    return 0 if len(found) == 1 and MESSAGE in found[0] and REMEDY in found[0] else 1


if __name__ == "__main__":
    sys.exit(main())

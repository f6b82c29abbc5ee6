"""The commands where io_uring is refused: the same bytes, and one line on stderr that says so."""

from __future__ import annotations

import errno
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from helpers.child import run_child

STDLIB = Path(json.__file__).parent

# The command as `python -m` runs it, in a process that a filter refuses io_uring. What comes from
# an import of rich or of a codec is done by then; the filter touches no other call anyway.
COMMAND = f"""
import runpy, sys
from helpers.seccomp import refuse_io_uring
refuse_io_uring({errno.EPERM})
sys.argv[0] = "uring_rs"
runpy.run_module("uring_rs", run_name="__main__", alter_sys=True)
"""


def command(*words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """One refused command that said in one line that it goes on without."""
    done = run_child(COMMAND, *words, expect=expect)
    said = done.stderr.splitlines()
    assert len(said) == 1, done.stderr
    assert "io_uring" in said[0]
    return done


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with what a copy must keep."""
    root = tmp_path / "tree"
    (root / "folder").mkdir(parents=True)
    for size in (0, 1, 4095, 4096, 4097, 1_000_000):
        (root / "folder" / f"{size}.bin").write_bytes(bytes(i * 7 % 251 for i in range(size)))
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o750)
    return root


def test_cat(tree: Path) -> None:
    done = command("cat", str(STDLIB / "encoder.py"), str(STDLIB / "decoder.py"))
    assert done.stdout == (STDLIB / "encoder.py").read_text() + (STDLIB / "decoder.py").read_text()


def test_sum(tree: Path) -> None:
    done = command("sum", str(tree))
    expected = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*")
        if path.is_file()
    }
    lines = [line.split("  ", 1) for line in done.stdout.splitlines()]
    assert {name: digest for digest, name in lines} == expected
    assert len(lines) == len(expected)


def test_cp(tree: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    command("cp", "-r", str(tree), str(copied))
    made = {path.relative_to(copied) for path in copied.rglob("*")}
    assert made == {path.relative_to(tree) for path in tree.rglob("*")}
    for path in (path for path in tree.rglob("*") if path.is_file()):
        twin = copied / path.relative_to(tree)
        assert twin.read_bytes() == path.read_bytes()
        assert twin.stat().st_mode == path.stat().st_mode
        assert twin.stat().st_mtime_ns == path.stat().st_mtime_ns


def test_info_says_why() -> None:
    done = run_child(COMMAND, "info", expect=None)
    assert "seccomp" in done.stdout
    assert "Traceback" not in done.stderr


def test_info_json_says_why() -> None:
    done = run_child(COMMAND, "info", "--json", expect=None)
    told = json.loads(done.stdout)
    assert "seccomp" in json.dumps(told)

"""`uring-rs bench` measures, tells what it measured, and destroys nothing."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.child import run_child

# It times: what it tells does not depend on the Python.
pytestmark = pytest.mark.once

QUICK = ("--seconds", "0.02", "--depths", "1,8", "--threads", "1,2")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Something to read."""
    (tmp_path / "file").write_bytes(os.urandom(1 << 20))
    return tmp_path / "file"


def points(out: bytes) -> dict[tuple[str, int], dict[str, Any]]:
    """What was measured, by way and number."""
    return {(point["way"], point["at_a_time"]): point for point in json.loads(out)["points"]}


@pytest.mark.parametrize("options", [(), ("--buffered",), ("--block", "64K")])
def test_for_programs(uring: Any, file: Path, options: tuple[str, ...]) -> None:
    before = file.read_bytes()
    out, said = uring("bench", file, "--json", *QUICK, *options)
    told = json.loads(out)
    assert [line for line in said if "page cache" not in line] == []
    assert told["direct"] is not (bool(said) or "--buffered" in options)
    assert told["write"] is False
    assert (told["path"], told["size"]) == (str(file), 1 << 20)
    assert told["block"] == (64 << 10 if "64K" in options else 4096)
    assert told["backend"] == ("threads" if uring.plain else "io_uring")
    found = points(out)
    assert list(found) == [("threads", 1), ("threads", 2), ("uring_rs", 1), ("uring_rs", 8)]
    for point in found.values():
        assert point["operations"] > 0
        rate = point["operations"] / point["seconds"]
        assert point["operations_per_second"] == pytest.approx(rate)
        assert point["bytes_per_second"] == pytest.approx(rate * told["block"])
        assert point["mean_us"] == pytest.approx(point["at_a_time"] / rate * 1e6)
        assert point["cpu_us"] >= 0
    assert file.read_bytes() == before


def test_for_people(uring: Any, file: Path) -> None:
    out, _ = uring("bench", file, *QUICK, "--threads", "0")
    text = out.decode()
    assert str(file) in text.splitlines()[0]
    assert text.count("uring_rs") >= 2
    assert "threads" in text


def test_without_rich(file: Path) -> None:
    code = """
    import sys
    import uring_rs.cli
    sys.modules["rich.table"] = None
    sys.exit(uring_rs.cli.main(sys.argv[1:]))
    """
    lines = run_child(code, "bench", str(file), *QUICK).stdout.splitlines()
    assert str(file) in lines[0]
    assert [line.split()[:2] for line in lines[2:]] == [
        ["threads", "1"],
        ["threads", "2"],
        ["uring_rs", "1"],
        ["uring_rs", "8"],
    ]
    assert len({len(line) for line in lines[2:]}) <= 2, "columns"


def test_writing_makes_a_file_and_takes_it_away(uring: Any, tmp_path: Path) -> None:
    made = tmp_path / "new"
    out, _ = uring("bench", made, "--write", "--size", "1M", "--json", *QUICK)
    told = json.loads(out)
    assert (told["write"], told["size"]) == (True, 1 << 20)
    assert len(points(out)) == 4
    assert os.listdir(tmp_path) == []


def test_time_that_is_over_at_once(uring: Any, file: Path) -> None:
    short = ("--seconds", "1e-9", "--depths", "2", "--threads", "2")
    out, _ = uring("bench", file, "--json", *short)
    assert all(point["operations"] > 0 for point in points(out).values())


def test_an_existing_file_is_not_written_to(uring: Any, file: Path) -> None:
    before = file.read_bytes()
    child = uring.start("bench", file, "--write", *QUICK)
    _, said = uring.end(child, expect=2, notice=False)
    assert "--yes-destroy" in said[-1]
    assert file.read_bytes() == before
    child = uring.start("bench", file, "--yes-destroy", *QUICK)
    uring.end(child, expect=2, notice=False)
    assert file.read_bytes() == before


def test_unless_told_twice(uring: Any, file: Path) -> None:
    before = file.read_bytes()
    uring("bench", file, "--write", "--yes-destroy", "--json", *QUICK)
    after = file.read_bytes()
    assert len(after) == len(before)
    assert after != before


@pytest.mark.parametrize(
    "words",
    [
        ("--block", "5000"),
        ("--block", "4Q"),
        ("--block", "0"),
        ("--depths", "0"),
        ("--depths", "1,x"),
        ("--depths", "5000"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
    ],
)
def test_wrong_usage(uring: Any, file: Path, words: tuple[str, ...]) -> None:
    _, said = uring.end(uring.start("bench", file, *words), expect=2, notice=False)
    assert words[0] in said[-1]


def test_what_cannot_be_measured(uring: Any, tmp_path: Path, file: Path) -> None:
    _, said = uring("bench", tmp_path / "none", *QUICK, expect=1)
    assert said == [f"uring-rs bench: {tmp_path}/none: {os.strerror(errno.ENOENT)}"]
    _, said = uring("bench", "/dev/null", *QUICK, expect=1)
    assert said == ["uring-rs bench: /dev/null: neither a file nor a block device"]
    _, said = uring("bench", tmp_path, *QUICK, expect=1)
    assert len(said) == 1
    _, said = uring("bench", file, "--block", "2M", *QUICK, expect=1)
    assert "smaller than a block" in said[0]


@pytest.mark.parametrize("way", ["threads", "calls"])
def test_interrupted(uring: Any, tmp_path: Path, way: str) -> None:
    """Ctrl-C ends it, and takes the file away that it had made."""
    ways = ("--threads", "2") if way == "threads" else ("--threads", "0", "--depths", "4")
    made = tmp_path / "new"
    child = uring.start("bench", made, "--write", "--size", "4M", "--seconds", "40", *ways)
    # Its size tells that it is being measured, or is about to.
    while not made.exists() or made.stat().st_size < 4 << 20:
        assert child.poll() is None
        os.sched_yield()
    child.send_signal(signal.SIGINT)
    _, said = uring.end(child, expect=128 + signal.SIGINT)
    assert said == []
    assert os.listdir(tmp_path) == []


def test_whoever_reads_goes_away(uring: Any, file: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as out:
        child = uring.start("bench", file, "--json", *QUICK, stdout=out)
    assert child.stdin is None or isinstance(child, subprocess.Popen)
    uring.end(child, expect=128 + signal.SIGPIPE)

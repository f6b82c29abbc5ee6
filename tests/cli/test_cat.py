"""`uring-rs cat` gives what `cat` gives."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def expected(*paths: os.PathLike[str] | bytes) -> bytes:
    """What coreutils says."""
    return subprocess.run(["cat", "--", *paths], stdout=subprocess.PIPE, check=True).stdout


def files_below(tops: list[bytes]) -> list[bytes]:
    """Every regular file below these, few enough for one command line."""
    found = [top for top in tops if os.path.isfile(top)]
    for top in tops:
        for folder, _, names in os.walk(top):
            found += [os.path.join(folder, name) for name in names]
    return found[:8000]


@pytest.mark.once
def test_the_standard_library(uring: Any, stdlib: list[bytes]) -> None:
    files = [path for path in files_below(stdlib) if path.endswith(b".py")]
    assert len(files) > 500
    out, said = uring("cat", *files)
    assert not said
    assert out == expected(*files)


def test_sizes_and_odd_names(uring: Any, odd_tree: Path) -> None:
    files = sorted(os.fsencode(path) for path in odd_tree.rglob("*") if path.is_file())
    out, said = uring("cat", "--", *files)
    assert not said
    assert out == expected(*files)


def test_a_hundred_times_the_same_large_file(uring: Any, tmp_path: Path) -> None:
    """Many large files at once are read with no more than the few buffers there are."""
    large = tmp_path / "large"
    large.write_bytes(os.urandom(1_200_000))
    child = uring.start("cat", *[large] * 100)
    data = large.read_bytes()
    for _ in range(100):
        assert child.stdout.read(len(data)) == data
    assert uring.end(child) == (b"", [])


@pytest.mark.parametrize("path", ["/proc/version", "/proc/filesystems", "/proc/self/limits"])
def test_proc_has_no_sizes(uring: Any, path: str) -> None:
    out, said = uring("cat", path, "/dev/null", path)
    assert not said
    assert len(out) > 50
    half = len(out) // 2
    assert out[:half] == out[half:]
    if "self" not in path:
        assert out[:half] == Path(path).read_bytes()


def test_standard_input_is_a_pipe(uring: Any, tmp_path: Path) -> None:
    (tmp_path / "end").write_bytes(b"end")
    child = uring.start("cat", "-", tmp_path / "end", stdin=subprocess.PIPE)
    # Each piece comes out before the next goes in: nothing is held back for a fuller buffer.
    for piece in (b"first\n", b"second\n", b"third\n"):
        child.stdin.write(piece)
        child.stdin.flush()
        assert child.stdout.readline() == piece
    child.stdin.close()
    child.stdin = None
    assert uring.end(child) == (b"end", [])


def test_standard_input_is_a_file(uring: Any, tmp_path: Path) -> None:
    """Read from where it stands, and left at its end, as the next command in a script expects."""
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)
    with open(tmp_path / "data", "rb") as file:
        file.seek(1000)
        os.lseek(file.fileno(), 1000, os.SEEK_SET)
        out, said = uring("cat", stdin=file)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == len(data)
    assert (out == data[1000:], said) == (True, [])


def test_a_fifo_is_opened_only_in_its_turn(uring: Any, tmp_path: Path) -> None:
    """What comes before the pipe is out before the pipe is waited for."""
    (tmp_path / "before").write_bytes(b"before")
    (tmp_path / "after").write_bytes(b"after")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    child = uring.start("cat", tmp_path / "before", fifo, tmp_path / "after")
    assert child.stdout.read(6) == b"before"
    with open(fifo, "wb", buffering=0) as feed:
        for _ in range(50):
            feed.write(b"x" * 1000)  # in all less than the pipes hold
    out, said = uring.end(child)
    assert (out, said) == (b"x" * 50_000 + b"after", [])


def test_output_to_a_file(uring: Any, tmp_path: Path, odd_tree: Path) -> None:
    """Written from the file's position on, which moves along."""
    source = odd_tree / "5000000.bin"
    with open(tmp_path / "out", "wb+") as out:
        os.write(out.fileno(), b"already here\n")
        assert uring("cat", source, source, stdout=out) == (None, [])
        assert os.lseek(out.fileno(), 0, os.SEEK_CUR) == 13 + 10_000_000
        os.write(out.fileno(), b"more")
        out.seek(0)
        assert out.read() == b"already here\n" + source.read_bytes() * 2 + b"more"
    with open(tmp_path / "out", "ab") as out:
        uring("cat", odd_tree / "1.bin", stdout=out)
    assert (tmp_path / "out").stat().st_size == 13 + 10_000_000 + 4 + 1


def test_errors_come_in_order_and_the_rest_is_done(uring: Any, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"good\n")
    missing = os.fsencode(tmp_path) + b"/\xffmissing\n"
    with open(tmp_path / "both", "wb+") as both:
        words = [good, missing, tmp_path, good, "/proc/self/mem", good]
        child = subprocess.run(
            ["sh", "-c", 'exec "$0" "$@" 2>&1', sys.executable, "-m", "uring_rs", "cat", *words],
            stdout=both,
            env=uring.env(),
            check=False,
        )
        assert child.returncode == 1
        both.seek(0)
        lines = both.read().decode().splitlines()
    if uring.plain:
        assert "io_uring" in lines.pop(0)
    begin = f"uring-rs cat: {tmp_path}"
    assert lines == [
        "good",
        f"{begin}/\\xffmissing\\n: {os.strerror(errno.ENOENT)}",
        f"{begin}: {os.strerror(errno.EISDIR)}",
        "good",
        f"uring-rs cat: /proc/self/mem: {os.strerror(errno.EIO)}",
        "good",
    ]


def test_output_that_is_full(uring: Any, odd_tree: Path) -> None:
    with open("/dev/full", "wb") as full:
        _, said = uring("cat", odd_tree / "4095.bin", stdout=full, expect=1)
    assert said == [f"uring-rs cat: standard output: {os.strerror(errno.ENOSPC)}"]


def test_output_that_is_closed(uring: Any, odd_tree: Path) -> None:
    command = [sys.executable, "-m", "uring_rs", "cat", odd_tree / "4095.bin"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', *command],
        env=uring.env(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(os.strerror(errno.EBADF))


def test_a_file_into_itself(uring: Any, tmp_path: Path) -> None:
    path = tmp_path / "self"
    path.write_bytes(b"data")
    with open(path, "ab") as out:
        _, said = uring("cat", path, stdout=out, expect=1)
    assert said == [f"uring-rs cat: {path}: input file is output file"]
    assert path.read_bytes() == b"data"


def test_whoever_reads_goes_away(uring: Any, odd_tree: Path) -> None:
    child = uring.start("cat", odd_tree / "5000000.bin")
    assert len(child.stdout.read(10)) == 10
    child.stdout.close()
    child.stdout = None
    assert uring.end(child, expect=128 + signal.SIGPIPE)[1] == []


def test_interrupted(uring: Any, tmp_path: Path) -> None:
    child = uring.start("cat", stdin=subprocess.PIPE)
    child.stdin.write(b"waiting\n")
    child.stdin.flush()
    assert child.stdout.readline() == b"waiting\n"
    child.send_signal(signal.SIGINT)
    assert uring.end(child, expect=128 + signal.SIGINT)[1] == []

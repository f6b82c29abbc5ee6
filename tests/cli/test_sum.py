"""`uring-rs sum` gives what `sha256sum` and its relatives give, and what they check."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from helpers.child import run_child


def files_below(top: bytes) -> list[bytes]:
    """What a sum of this folder covers: every regular file, links not followed."""
    found = []
    for folder, folders, names in os.walk(top):
        folders.sort()
        found += [os.path.join(folder, name) for name in names]
    return [path for path in found if os.path.isfile(path) and not os.path.islink(path)]


def checked(tool: str, lines: bytes, cwd: Path) -> None:
    """The lines pass `sha256sum -c --strict`."""
    command = [tool, "--check", "--strict", "--quiet", "-"]
    done = subprocess.run(command, input=lines, capture_output=True, cwd=cwd)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.once
def test_the_standard_library(uring: Any, stdlib: list[bytes], tmp_path: Path) -> None:
    out, said = uring("sum", *stdlib)
    assert not said
    lines = out.splitlines()
    files = [path for path in stdlib if os.path.isfile(path)]
    for top in stdlib:
        files += files_below(top)
    assert len(lines) == len(files) > 1000
    by_coreutils = subprocess.run(
        ["xargs", "-0", "sha256sum"], input=b"\0".join(files), capture_output=True, check=True
    ).stdout
    assert sorted(lines) == sorted(by_coreutils.splitlines())
    checked("sha256sum", out, tmp_path)


def test_odd_names_and_sizes(uring: Any, odd_tree: Path) -> None:
    out, said = uring("sum", ".", cwd=odd_tree)
    assert not said
    files = files_below(os.fsencode(odd_tree))
    by_coreutils = subprocess.run(
        [
            "sha256sum",
            *[os.path.join(b".", os.path.relpath(path, os.fsencode(odd_tree))) for path in files],
        ],
        cwd=odd_tree,
        capture_output=True,
        check=True,
    ).stdout
    assert sorted(out.splitlines()) == sorted(by_coreutils.splitlines())
    assert b"new\\nline" in out
    assert b"back\\\\slash" in out
    checked("sha256sum", out, odd_tree)


def test_the_order_is_that_of_the_names(uring: Any, odd_tree: Path, tmp_path: Path) -> None:
    """Whatever finishes first: arguments as given, folders sorted, the same every time."""
    names = [odd_tree / "5000000.bin", odd_tree / "0.bin", odd_tree / "deep", odd_tree / "1.bin"]
    out, _ = uring("sum", *names)
    paths = [line.split(b"  ", 1)[1] for line in out.splitlines()]
    prefix = os.fsencode(odd_tree)
    assert paths[:2] == [prefix + b"/5000000.bin", prefix + b"/0.bin"]
    assert paths[-1] == prefix + b"/1.bin"
    inside = [
        path.replace(b"\\n", b"\n").replace(b"\\r", b"\r").replace(b"\\\\", b"\\")
        for path in paths[2:-1]
    ]
    assert inside == sorted(inside)
    assert len(inside) == 8


@pytest.mark.parametrize(
    ("algorithm", "tool"),
    [
        ("sha1", "sha1sum"),
        ("md5", "md5sum"),
        ("sha224", "sha224sum"),
        ("sha384", "sha384sum"),
        ("sha512", "sha512sum"),
        ("blake2b", "b2sum"),
    ],
)
def test_algorithms_with_a_tool(
    uring: Any, odd_tree: Path, algorithm: str, tool: str, tmp_path: Path
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    out, said = uring("sum", "-a", algorithm, odd_tree)
    assert not said
    assert len(out.splitlines()) > 10
    checked(tool, out, tmp_path)


@pytest.mark.parametrize("algorithm", ["blake2s", "sha3_256", "sha3_512"])
def test_algorithms_without_a_tool(uring: Any, odd_tree: Path, algorithm: str) -> None:
    path = odd_tree / "5000000.bin"
    out, _ = uring("sum", "--algo", algorithm, path)
    digest = hashlib.new(algorithm, path.read_bytes()).hexdigest()
    assert out == f"{digest}  {path}\n".encode()


def test_unknown_algorithm(uring: Any) -> None:
    child = uring.start("sum", "-a", "sha257")
    _, said = uring.end(child, expect=2, notice=False)
    assert "sha257" in said[-1]
    assert "sha256" in said[-1]


def test_what_is_no_plain_file(uring: Any, tmp_path: Path) -> None:
    """Given by name it is read; met on the way it is passed over, as `find -type f` does."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"content")
    os.symlink("file", tmp_path / "link")
    os.symlink("nowhere", tmp_path / "dangling")
    out, said = uring("sum", tmp_path)
    assert (len(out.splitlines()), said) == (1, [])
    digest = hashlib.sha256(b"content").hexdigest()
    assert uring("sum", tmp_path / "link") == (f"{digest}  {tmp_path}/link\n".encode(), [])
    child = uring.start("sum", "-", tmp_path / "fifo", stdin=subprocess.PIPE)
    child.stdin.write(b"content")
    child.stdin.close()
    child.stdin = None
    with open(tmp_path / "fifo", "wb") as feed:
        feed.write(b"content")
    out, said = uring.end(child)
    assert out == f"{digest}  -\n{digest}  {tmp_path}/fifo\n".encode()
    assert not said


def test_proc_files(uring: Any) -> None:
    out, _ = uring("sum", "/proc/version")
    assert out.startswith(hashlib.sha256(Path("/proc/version").read_bytes()).hexdigest().encode())


def test_failures_do_not_stop_the_rest(uring: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    out, said = uring("sum", tmp_path / "none", tmp_path, "/proc/self/mem", expect=1)
    assert out == f"{hashlib.sha256(b'a').hexdigest()}  {tmp_path}/a\n".encode()
    assert said == [
        f"uring-rs sum: {tmp_path}/none: {os.strerror(errno.ENOENT)}",
        f"uring-rs sum: /proc/self/mem: {os.strerror(errno.EIO)}",
    ]


def test_for_programs(uring: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    out, said = uring("sum", "--json", tmp_path / "a", tmp_path / "none", expect=1)
    assert len(said) == 1
    good, bad = map(json.loads, out.splitlines())
    digest = hashlib.sha256(b"a").hexdigest()
    assert good == {"path": f"{tmp_path}/a", "algorithm": "sha256", "digest": digest}
    assert bad["path"] == f"{tmp_path}/none"
    assert os.strerror(errno.ENOENT) in bad["error"]


def test_unreadable_files(uring: Any, tmp_path: Path) -> None:
    """With the rights of a user who may not: said of each, and the others are done."""
    (tmp_path / "no").write_bytes(b"secret")
    (tmp_path / "no").chmod(0)
    (tmp_path / "yes").write_bytes(b"a")
    (tmp_path / "closed").mkdir(mode=0)
    code = """
    import os, sys
    import uring_rs.cli
    os.chdir(sys.argv.pop(1))
    # Loads what it needs, while the folder of the interpreter can be read.
    uring_rs.cli.main(["sum", "/dev/null"])
    if os.geteuid() == 0:  # to root no file is unreadable
        os.chown(".", 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    sys.exit(uring_rs.cli.main(["sum", "."]))
    """
    env = {"URING_RS_DISABLE": "1"} if uring.plain else {}
    done = run_child(code, str(tmp_path), expect=1, env=env)
    digest = hashlib.sha256(b"a").hexdigest()
    assert done.stdout.splitlines()[1:] == [f"{digest}  ./yes"]
    denied = os.strerror(errno.EACCES)
    assert done.stderr.splitlines()[-2:] == [
        f"uring-rs sum: ./closed: {denied}",
        f"uring-rs sum: ./no: {denied}",
    ]

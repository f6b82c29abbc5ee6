"""The commands in processes of their own, each both through a ring and by plain system calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

import uring_rs
from helpers.child import child_env

# What a command says, once, where it does its work without a ring.
NOTICE = "io_uring is not used (disabled by URING_RS_DISABLE)"


class Uring:
    """Runs `python -m uring_rs` in one of the two modes."""

    def __init__(self, plain: bool) -> None:
        self.plain = plain
        self._started: list[subprocess.Popen[bytes]] = []

    def env(self, **extra: str) -> dict[str, str]:
        """The environment that selects the mode."""
        return child_env({"URING_RS_DISABLE": "1", **extra} if self.plain else extra)

    def start(
        self,
        *words: str | bytes | os.PathLike[str],
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        cwd: Path | None = None,
        **env: str,
    ) -> subprocess.Popen[bytes]:
        """Begin a command, to be talked to while it runs."""
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "uring_rs", *words],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=self.env(**env),
            cwd=cwd,
        )
        self._started.append(child)
        return child

    def end(
        self, child: subprocess.Popen[bytes], *, expect: int = 0, notice: bool = True
    ) -> tuple[bytes, list[str]]:
        """Its output and messages, without the notice, which plain mode alone must give."""
        out, err = child.communicate(timeout=50)
        said = err.decode(errors="backslashreplace").splitlines()
        assert child.returncode == expect, (child.returncode, said)
        noticed = [line for line in said if "io_uring is not used" in line]
        assert len(noticed) == int(self.plain and notice), said
        assert all(NOTICE in line for line in noticed)
        return out, [line for line in said if line not in noticed]

    def __call__(
        self, *words: str | bytes | os.PathLike[str], expect: int = 0, **options: Any
    ) -> tuple[bytes, list[str]]:
        """Run a command to its end."""
        return self.end(self.start(*words, **options), expect=expect)

    def clean_up(self) -> None:
        """Nothing that a failed test has started goes on."""
        for child in self._started:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture(params=["ring", "plain"])
def uring(request: pytest.FixtureRequest) -> Iterator[Uring]:
    """The command, once through a ring and once without."""
    plain = request.param == "plain"
    if not plain and not (found := uring_rs.probe()).ok:
        pytest.skip(f"io_uring is refused here: {found.reason}")
    command = Uring(plain)
    yield command
    command.clean_up()


@pytest.fixture(scope="session")
def stdlib() -> list[bytes]:
    """The real standard library: its top-level files and folders, without what was installed."""
    top = os.fsencode(os.path.dirname(os.__file__))
    return [os.path.join(top, name) for name in sorted(os.listdir(top)) if name != b"site-packages"]


@pytest.fixture
def odd_tree(tmp_path: Path) -> Path:
    """A tree with everything that a copy or a walk could stumble over."""
    root = tmp_path / "odd"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir()
    # Around the sizes at which reading changes its ways, and beyond one window of chunks.
    for size in (0, 1, 4095, 65535, 65536, 65537, 524288, 524289, 5_000_000):
        (root / f"{size}.bin").write_bytes(os.urandom(size))
    for name in (b"new\nline", b"back\\slash", b"return\r", b"n\xf6t-utf8", b" ", b"-r", b".hid"):
        path = os.path.join(os.fsencode(root / "deep"), name)
        with open(path, "wb") as file:
            file.write(name * 3)
    (root / "deep" / "er" / "script").write_bytes(b"#!/bin/sh\n")
    (root / "deep" / "er" / "script").chmod(0o751)
    (root / "1.bin").chmod(0o400)
    os.symlink("deep/er", root / "to-folder")
    os.symlink("1.bin", root / "to-file")
    os.symlink("nowhere", root / "dangling")
    with open(root / "sparse", "wb") as file:
        file.seek(3_000_000)
        file.write(b"island")
        file.truncate(9_000_001)
    for number, path in enumerate(sorted(root.rglob("*"))):
        when = (1_500_000_000 + number) * 10**9 + 123_456_789
        os.utime(path, ns=(when, when), follow_symlinks=False)
    (root / "deep" / "er").chmod(0o550)
    return root

"""`stat_many` answers what `os.stat` answers."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.child import run_child
from helpers.trees import make_rich, open_folders
from uring_rs import stat_many


@pytest.fixture
def rich(tmp_path: Path) -> Iterator[Path]:
    with open_folders(tmp_path):
        yield make_rich(tmp_path / "rich")


def everything(result: os.stat_result) -> tuple[Any, ...]:
    """All fields, those behind the tuple's ten included."""
    names = sorted(name for name in dir(result) if name.startswith("st_"))
    assert len(names) >= 16
    return (*result, *((name, getattr(result, name)) for name in names))


@pytest.mark.parametrize("threads", [None, 1, 4])
@pytest.mark.parametrize("follow", [True, False])
def test_as_os_stat(rich: Path, threads: int | None, follow: bool) -> None:
    paths = [p for p in rich.rglob("*") if not follow or p.exists()] * 10
    paths += [Path("/"), Path("/dev/null"), Path("/proc/self/status")]
    results = stat_many(paths, follow_symlinks=follow, threads=threads)
    assert len(results) == len(paths)
    for path, result in zip(paths, results, strict=True):
        expected = os.stat(path, follow_symlinks=follow)
        assert type(result) is os.stat_result
        if not path.is_relative_to("/proc"):
            assert everything(result) == everything(expected), path
            assert repr(result) == repr(expected)


def test_extreme_times(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for when in (-1, 0, 1, -(10**9) + 1, 2**33 * 10**9 + 999_999_999):
        os.utime(path, ns=(when, when))
        (result,) = stat_many([path])
        assert everything(result) == everything(os.stat(path))


def test_kinds_of_paths(rich: Path) -> None:
    odd = os.path.join(os.fsencode(rich / "deep"), b"n\xf6t-utf8")
    paths: list[Any] = [odd, os.fsdecode(odd), Path(os.fsdecode(odd))]
    assert len({result.st_ino for result in stat_many(paths)}) == 1
    assert stat_many(iter(paths)) == stat_many(tuple(paths))
    assert stat_many([]) == []


def test_dir_fd(rich: Path) -> None:
    fd = os.open(rich, os.O_RDONLY)
    try:
        (result,) = stat_many(["1.bin"], dir_fd=fd)
        assert result == os.stat(rich / "1.bin")
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        stat_many(["1.bin"], dir_fd=fd)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("count", [3, 3000])
def test_errors(tmp_path: Path, count: int) -> None:
    paths = [str(tmp_path)] * count
    paths[1], paths[-1] = f"{tmp_path}/none", "/dev/null/x"
    results = stat_many(paths, errors="yield")
    assert len(results) == count
    first, last = results[1], results[-1]
    assert isinstance(first, FileNotFoundError)
    assert isinstance(last, NotADirectoryError)
    assert (first.filename, last.filename) == (paths[1], paths[-1])
    assert first.strerror == os.strerror(errno.ENOENT)
    assert all(isinstance(result, os.stat_result) for result in results[2:-1])
    with pytest.raises(FileNotFoundError) as caught:
        stat_many(paths)
    assert caught.value.filename == paths[1]


def test_arguments() -> None:
    wrong: Any = stat_many
    for arguments, options, kind in [
        (("/",), {}, TypeError),
        ((b"/",), {}, TypeError),
        ((Path("/"),), {}, TypeError),
        ((1,), {}, TypeError),
        (([1],), {}, TypeError),
        ((["a\0b"],), {}, ValueError),
        ((["/"],), {"errors": "ignore"}, ValueError),
        ((["/"],), {"threads": 0}, ValueError),
        ((["/"],), {"dir_fd": -5}, ValueError),
    ]:
        with pytest.raises(kind):
            wrong(*arguments, **options)


def test_hostile_paths() -> None:
    """What runs while paths are taken may raise, or do anything to the list."""
    paths: list[Any] = []

    class Hostile:
        def __fspath__(self) -> str:
            paths.clear()
            return "/"

    paths += [Hostile(), "/", "/"]
    (only,) = stat_many(paths)
    assert stat.S_ISDIR(only.st_mode)

    class Raising:
        def __fspath__(self) -> str:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        stat_many(["/", Raising()])


class Interrupted(Exception):
    pass


def test_a_signal_is_heard() -> None:
    def handler(number: int, frame: object) -> None:
        raise Interrupted

    def paths() -> Iterator[str]:
        signal.raise_signal(signal.SIGUSR1)
        while True:
            yield "/"

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Interrupted):
            stat_many(paths())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_ctrl_c_in_a_long_list() -> None:
    code = """
    import os, signal, threading, uring_rs
    threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        while True:
            uring_rs.stat_many(["/"] * 100_000)
    except KeyboardInterrupt:
        print("heard")
    """
    assert run_child(code).stdout == "heard\n"


def test_another_layout_of_stat_result() -> None:
    """A Python whose struct sequence has other fields gets its results by name."""
    run_child(
        """
        import os
        real = os.stat_result

        class Result:
            n_fields = 25

            def __new__(cls, seen, more):
                assert len(seen) == 10
                return real(seen, more)

        os.stat_result = Result
        import uring_rs
        (made,) = uring_rs.stat_many(["/etc/passwd"])
        expected = os.stat("/etc/passwd")
        for name in dir(expected):
            if name.startswith("st_"):
                assert getattr(made, name) == getattr(expected, name), name
        """
    )

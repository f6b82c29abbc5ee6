"""`walk` finds what is there, with its status."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from helpers.child import run_child
from helpers.trees import make_rich, open_folders
from uring_rs import walk


@pytest.fixture
def rich(tmp_path: Path) -> Iterator[Path]:
    with open_folders(tmp_path):
        yield make_rich(tmp_path / "rich")


@pytest.fixture
def many() -> Iterator[Path]:
    """More names than one batch has, where making them costs least."""
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        for name in ("one", "two"):
            Path(folder, name).mkdir()
            for number in range(800):
                Path(folder, name, str(number)).touch()
        yield Path(folder)


def expected(top: str) -> dict[str, os.stat_result]:
    return {
        os.path.join(folder, name): os.lstat(os.path.join(folder, name))
        for folder, folders, files in os.walk(top)
        for name in folders + files
    }


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_everything_is_found_once(rich: Path, threads: int | None) -> None:
    expected(str(rich))  # reading folders and links for the first time changes their atime
    there = expected(str(rich))
    found = list(walk(rich, threads=threads))
    assert dict(found) == there
    assert len(dict(found)) == len(found)
    order = [path for path, _ in found]
    for path in order:
        if os.path.dirname(path) != str(rich):
            assert order.index(os.path.dirname(path)) < order.index(path)
    encoded = dict(walk(os.fsencode(rich), threads=threads))
    assert encoded == {os.fsencode(path): status for path, status in found}


def test_types_alone(rich: Path) -> None:
    kinds = dict(walk(str(rich), stat=False))
    assert kinds == {path: stat.S_IFMT(s.st_mode) for path, s in expected(str(rich)).items()}


def test_through_links(rich: Path) -> None:
    found = dict(walk(rich, follow_symlinks=True, errors="yield"))
    through = found[f"{rich}/to-folder"]
    assert isinstance(through, os.stat_result)
    assert stat.S_ISDIR(through.st_mode)
    assert f"{rich}/to-folder/er/script" in found
    dangling = found[f"{rich}/dangling"]
    assert isinstance(dangling, os.stat_result)
    assert stat.S_ISLNK(dangling.st_mode)
    (rich / "loop").symlink_to(rich)
    with pytest.raises(OSError, match="loop") as caught:
        dict(walk(rich, follow_symlinks=True))
    assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, f"{rich}/loop")
    loops = [
        path
        for path, value in walk(rich, follow_symlinks=True, errors="yield")
        if isinstance(value, OSError)
    ]
    assert loops == [f"{rich}/loop"]
    # The top is followed in any case.
    assert f"{rich}/to-folder/er/script" in dict(walk(rich / "to-folder"))


def test_names_of_the_top(rich: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(rich)
    assert {path for path, _ in walk(".")} == {path for path in expected(".")}
    assert {path for path, _ in walk("deep/")} == {path for path in expected("deep/")}
    assert "/proc" in {path for path, _ in itertools.islice(walk("/"), 100)}


def test_errors(rich: Path) -> None:
    for top, number in [(rich / "none", errno.ENOENT), (rich / "1.bin", errno.ENOTDIR)]:
        with pytest.raises(OSError, match=top.name) as caught:
            next(walk(top))
        assert (caught.value.errno, caught.value.filename) == (number, str(top))
        ((path, value),) = walk(top, errors="yield")
        assert path == str(top)
        assert isinstance(value, OSError)
    wrong: Any = walk
    for arguments, options, kind in [
        ((1,), {}, TypeError),
        (("a\0",), {}, ValueError),
        (("/",), {"errors": "ignore"}, ValueError),
        (("/",), {"threads": 0}, ValueError),
    ]:
        with pytest.raises(kind):
            wrong(*arguments, **options)


def test_a_folder_that_may_not_be_read(rich: Path) -> None:
    code = """
    import ctypes, errno, os, sys
    import uring_rs
    top = sys.argv[1]
    os.makedirs(f"{top}/closed/in", exist_ok=True)
    os.makedirs(f"{top}/open/in", exist_ok=True)
    os.chmod(f"{top}/closed", 0)
    os.chdir(top)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    found = dict(uring_rs.walk(".", errors="yield"))
    assert "./open/in" in found
    wrong = {p: v.errno for p, v in found.items() if isinstance(v, OSError)}
    print(wrong)
    assert wrong == {"./closed": errno.EACCES}
    try:
        dict(uring_rs.walk("."))
    except PermissionError as error:
        assert error.filename == "./closed"
    else:
        raise AssertionError
    """
    for folder in (rich, rich / "deep"):
        folder.chmod(0o755)
    (rich / "deep" / "er").chmod(0o755)
    run_child(code, str(rich))


def test_left_early_and_closed(many: Path) -> None:
    """The descriptors it holds are gone with it: the check after each test counts them."""
    for _ in walk(many):
        break
    walking = walk(many)
    next(walking)
    held = set(os.listdir("/proc/self/fd"))
    walking.close()
    assert len(held) > len(os.listdir("/proc/self/fd"))
    assert list(walking) == []
    walking.close()


def test_from_several_threads(many: Path) -> None:
    """Used by one at a time it may change hands; two at once are told, and nothing is doubled."""
    walking = walk(many)
    found: list[str] = []

    def take() -> None:
        while True:
            try:
                path, _ = next(walking)
            except StopIteration:
                return
            except ValueError:
                continue  # the other one is at it
            found.append(path)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(expected(str(many)))


def test_a_forked_child_must_begin_its_own(many: Path) -> None:
    code = """
    import os, sys, uring_rs
    walking = uring_rs.walk(sys.argv[1])
    first = [next(walking)]
    child = os.fork()
    if child == 0:
        try:
            list(walking)
        except RuntimeError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(first + list(walking)) == 1602
    """
    run_child(code, str(many))


def test_what_vanishes_is_left_out(many: Path) -> None:
    stop = threading.Event()
    top = many / "one"
    (top / "stays").mkdir()

    def meddle() -> None:
        while not stop.is_set():
            for number in range(50):
                (top / f"folder-{number}").mkdir()
                (top / f"folder-{number}" / "in").touch()
            for number in range(50):
                (top / f"folder-{number}" / "in").unlink()
                (top / f"folder-{number}").rmdir()

    thread = threading.Thread(target=meddle)
    thread.start()
    try:
        for _ in range(50):
            assert f"{top}/stays" in dict(walk(top))
    finally:
        stop.set()
        thread.join()


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), max_size=25))
def test_any_shape(paths: list[list[str]]) -> None:
    shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        for path in paths:
            Path(folder).joinpath(*path).mkdir(parents=True, exist_ok=True)
        assert dict(walk(folder)) == expected(folder)


def test_is_an_iterator_of_its_own_class() -> None:
    walking = walk("/")
    assert isinstance(walking, uring_rs.TreeWalk)
    assert iter(walking) is walking
    walking.close()

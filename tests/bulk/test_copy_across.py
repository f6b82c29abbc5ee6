"""`copy` from one file system to another, where the kernel does not copy by itself."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import uring_rs
from helpers.child import run_child
from uring_rs import copy

SIZE = (20 << 20) + 12_345  # more than all pieces under way, and no whole number of them


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here: /dev/shm")
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        yield Path(folder)


@pytest.fixture(params=["0", "1"], ids=["ring", "threads"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("URING_RS_DISABLE", request.param)
    return str(request.param)


def test_a_large_file_is_the_same(tmp_path: Path, elsewhere: Path) -> None:
    data = random.Random(1).randbytes(SIZE)
    source = elsewhere / "source"
    source.write_bytes(data)
    for goal in (tmp_path / "there", elsewhere / "back"):
        done = copy(source, goal)
        assert goal.read_bytes() == data
        assert done.bytes == SIZE
        source = goal
    assert copy(source, tmp_path / "again").by_read_write == SIZE


def test_holes_stay_holes(tmp_path: Path, elsewhere: Path) -> None:
    data = random.Random(2).randbytes(9 << 20)
    with (elsewhere / "sparse").open("wb") as file:
        for offset in (64 << 20, 128 << 20):
            file.seek(offset)
            file.write(data)
        file.truncate(160 << 20)
    done = copy(elsewhere / "sparse", tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size == 160 << 20
    assert done.in_holes >= 100 << 20
    with (tmp_path / "copy").open("rb") as file:
        for offset in (64 << 20, 128 << 20):
            file.seek(offset)
            assert file.read(len(data)) == data


def test_a_large_file_in_a_tree(tmp_path: Path, elsewhere: Path) -> None:
    data = random.Random(3).randbytes(SIZE)
    tree = elsewhere / "tree"
    tree.mkdir()
    for number in range(3):
        (tree / f"large-{number}").write_bytes(data)
    done = copy(tree, tmp_path / "copy", recursive=True)
    assert done.files == 3
    assert all((tmp_path / "copy" / f"large-{n}").read_bytes() == data for n in range(3))


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(SIZE))
    before = os.listdir(elsewhere)
    # A limit of the process stands for a full disk: the error of a write in the middle.
    code = f"""
    import resource, signal, uring_rs
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12 << 20, 12 << 20))
    try:
        uring_rs.copy({str(tmp_path / "source")!r}, {str(elsewhere / "goal")!r})
    except OSError as error:
        assert error.errno == {errno.EFBIG}, error
        assert error.filename == {str(elsewhere / "goal")!r}, error.filename
    else:
        raise AssertionError("copied past the limit")
    """
    run_child(code)
    assert os.listdir(elsewhere) == before


def test_stopped_in_the_middle_it_leaves_nothing(tmp_path: Path, elsewhere: Path) -> None:
    size = 256 << 20  # enough to be asked in between: at most twenty times a second
    with (elsewhere / "source").open("wb") as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))

    class EnoughError(Exception):
        pass

    def enough(done: int, total: int | None, names: int) -> None:
        assert total == size
        if done < size:
            raise EnoughError

    with pytest.raises(EnoughError):
        uring_rs.copy(elsewhere / "source", tmp_path / "copy", progress=enough)
    assert os.listdir(tmp_path) == []

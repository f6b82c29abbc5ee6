"""`cat_ranges` and `cat` give what fsspec's own local file system gives, all at once."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs.fsspec
from uring_rs.fsspec import UringFileSystem

SIZES = (0, 1, 511, 4096, 70_001, 1_300_000)
LOCAL = LocalFileSystem(skip_instance_cache=True)


@pytest.fixture(params=["ring", "threads"])
def fs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> UringFileSystem:
    """The file system, once with rings and once where they are turned off."""
    if request.param == "threads":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    return UringFileSystem(skip_instance_cache=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all sizes."""
    folder = tmp_path_factory.mktemp("ranges")
    for size in SIZES:
        (folder / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))
    return folder


def uncached(path: Path) -> None:
    """Nothing of this file in the page cache, where the system lets us."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


bound = st.one_of(
    st.none(), st.integers(-1_400_000, 1_400_000), st.integers(-5000, 5000), st.just(1 << 62)
)


@given(
    rows=st.lists(st.tuples(st.sampled_from(SIZES), bound, bound), max_size=40),
    cold=st.booleans(),
)
@settings(max_examples=80)
def test_ranges_are_slices(folder: Path, rows: list[tuple[int, Any, Any]], cold: bool) -> None:
    if cold:
        uncached(folder / f"{SIZES[-1]}.bin")
    paths = [str(folder / f"{size}.bin") for size, _, _ in rows]
    found = UringFileSystem().cat_ranges(paths, [a for _, a, _ in rows], [b for _, _, b in rows])
    for (size, start, end), data in zip(rows, found, strict=True):
        assert data == (folder / f"{size}.bin").read_bytes()[start:end]


def test_as_the_local_file_system(fs: UringFileSystem, folder: Path) -> None:
    """The same for all that Dask, Zarr and the like ask for: many ranges of a few files."""
    rng = random.Random(7)
    paths = [str(folder / f"{rng.choice(SIZES[3:])}.bin") for _ in range(500)]
    starts = [rng.randrange(4096) for _ in paths]
    ends = [start + rng.randrange(1, 9000) for start in starts]
    for path in set(paths):
        uncached(Path(path))
    assert fs.cat_ranges(paths, starts, ends) == LOCAL.cat_ranges(paths, starts, ends)
    assert fs.cat_ranges(paths, 5, 77) == LOCAL.cat_ranges(paths, 5, 77)
    assert fs.cat_ranges([], [], []) == []


def test_all_ranges_in_one_call(
    fs: UringFileSystem, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = uring_rs.fsspec.read_ranges

    def read_ranges(*args: Any, **options: Any) -> Any:
        calls.append(real(*args, **options))
        return calls[-1]

    monkeypatch.setattr(uring_rs.fsspec, "read_ranges", read_ranges)
    large = str(folder / f"{SIZES[-1]}.bin")
    uncached(Path(large))
    fs.cat_ranges([large] * 300, [n * 4096 for n in range(300)], [n * 4096 + 9 for n in range(300)])
    (ranges,) = calls
    assert len(ranges) == 300
    stats = ranges.stats
    # Who carried them is the way of this run, and nobody else.
    assert not stats["threads" if str(uring_rs.backend()) == "io_uring" else "ring"]


def test_more_than_is_held_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uring_rs.fsspec, "_BATCH", 100_000)
    large = folder / f"{SIZES[-1]}.bin"
    bounds = list(range(0, SIZES[-1], 30_000))
    found = UringFileSystem().cat_ranges([str(large)] * len(bounds), bounds, [*bounds[1:], None])
    assert b"".join(found) == large.read_bytes()


@pytest.mark.parametrize("on_error", ["return", "raise"])
def test_errors_of_ranges(fs: UringFileSystem, folder: Path, on_error: str) -> None:
    good, missing = str(folder / "4096.bin"), str(folder / "none")
    asked: tuple[Any, ...] = ([good, missing, str(folder), good], 0, 4)
    if on_error == "raise":
        with pytest.raises(FileNotFoundError) as caught:
            fs.cat_ranges(*asked, on_error="raise")
        assert caught.value.filename == missing
        return
    first, error, also, last = fs.cat_ranges(*asked)
    assert first == last == (folder / "4096.bin").read_bytes()[:4]
    assert isinstance(error, FileNotFoundError)
    assert isinstance(also, IsADirectoryError)


def test_arguments_that_do_not_fit(fs: UringFileSystem) -> None:
    with pytest.raises(TypeError):
        fs.cat_ranges("/etc/hostname", 0, 1)
    with pytest.raises(ValueError, match="same length"):
        fs.cat_ranges(["/etc/hostname"], [0, 1], [1, 2])
    with pytest.raises(NotImplementedError):
        fs.cat_ranges(["/etc/hostname"], [0], [1], max_gap=5)


def test_files_without_a_size(fs: UringFileSystem) -> None:
    whole = Path("/proc/version").read_bytes()
    assert fs.cat_file("/proc/version") == whole
    assert fs.cat_ranges(["/proc/version"] * 2, [0, -5], [5, None]) == [whole[:5], whole[-5:]]


@pytest.mark.parametrize("start", [None, 0, 3, -3, 10_000])
@pytest.mark.parametrize("end", [None, 2, 4096, -2])
def test_cat_file(fs: UringFileSystem, folder: Path, start: int | None, end: int | None) -> None:
    for size in SIZES[1:4]:
        path = folder / f"{size}.bin"
        assert fs.cat_file(str(path), start, end) == path.read_bytes()[start:end]


def test_cat_many(fs: UringFileSystem, folder: Path) -> None:
    found = fs.cat(f"uring://{folder}/*.bin")
    assert list(found) == sorted(str(folder / f"{size}.bin") for size in SIZES)
    assert found == LOCAL.cat(f"{folder}/*.bin")
    one = str(folder / "4096.bin")
    assert fs.cat(one) == Path(one).read_bytes()
    assert fs.cat([one]) == {one: Path(one).read_bytes()}
    assert fs.cat(str(folder), recursive=True, on_error="omit") == found


def test_errors_of_files(fs: UringFileSystem, folder: Path) -> None:
    good, missing = str(folder / "1.bin"), str(folder / "none")
    with pytest.raises(FileNotFoundError):
        fs.cat([good, missing])
    with pytest.raises(FileNotFoundError):
        fs.cat_file(missing)
    assert list(fs.cat([good, missing], on_error="omit")) == [good]
    assert isinstance(fs.cat([good, missing], on_error="return")[missing], FileNotFoundError)


def test_sizes(fs: UringFileSystem, folder: Path) -> None:
    paths = [str(folder / f"{size}.bin") for size in SIZES]
    assert fs.sizes(paths) == list(SIZES)
    with pytest.raises(FileNotFoundError):
        fs.sizes([str(folder / "none")])

"""`checksum_many`: the digests that hashlib finds, for files of any size, in bounded memory."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from uring_rs import SimKernel, checksum_many

SIZES = (0, 1, 4096, 20_000, 256 << 10, (256 << 10) + 1, 3 << 20, 16 << 20, (16 << 20) + 1)


@pytest.fixture(params=["auto", "threads"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything holds with a ring and, where io_uring is turned off, with threads."""
    if request.param == "threads":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    return str(request.param)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tree")
    source = random.Random(5)
    sizes = [*SIZES, *(source.choice((0, 10, 4096, 9000, 300_000)) for _ in range(60))]
    source.shuffle(sizes)
    paths = []
    for number, size in enumerate(sizes):
        path = folder / f"{number:03d}"
        path.write_bytes(source.randbytes(min(size, 50_000)).ljust(size, b"x"))
        paths.append(path)
    return paths


def wanted(paths: list[Path], algorithm: str = "sha256") -> dict[Path, str]:
    return {path: hashlib.new(algorithm, path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("order", ["completion", "input"])
@pytest.mark.parametrize("algorithm", ["sha256", "md5", "blake2b", "sha3_256", "sha512_256"])
def test_digests_are_those_of_hashlib(tree: list[Path], order: Any, algorithm: str) -> None:
    if algorithm not in hashlib.algorithms_available:
        pytest.skip(f"this OpenSSL has no {algorithm}")
    found = list(checksum_many(tree, algorithm, order=order))
    if order == "input":
        assert [path for path, _ in found] == tree
    assert dict(found) == wanted(tree, algorithm)
    assert len(found) == len(tree)


@pytest.mark.parametrize(
    ("package", "algorithm"), [("blake3", "blake3"), ("xxhash", "xxh64"), ("xxhash", "xxh3_128")]
)
def test_hashes_of_other_packages(tree: list[Path], package: str, algorithm: str) -> None:
    if importlib.util.find_spec(package) is None:
        with pytest.raises(ValueError, match="no hash"):
            checksum_many(tree, algorithm)
        return
    make = getattr(importlib.import_module(package), algorithm)
    found = dict(checksum_many(tree, algorithm))
    assert found == {path: make(path.read_bytes()).hexdigest() for path in tree}


@pytest.mark.parametrize("algorithm", ["no such", "shake_128", "", "__doc__", "xxnone"])
def test_there_is_no_such_algorithm(algorithm: str) -> None:
    with pytest.raises(ValueError, match="no hash"):
        checksum_many([], algorithm)


def test_errors(tree: list[Path], tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    paths = [*tree[:5], missing, tmp_path, *tree[5:]]
    found = list(checksum_many(paths, errors="yield", order="input"))
    assert [path for path, _ in found] == paths
    results = dict(found)
    assert isinstance(results[missing], FileNotFoundError)
    assert isinstance(results[tmp_path], IsADirectoryError)
    assert {path: results[path] for path in tree} == wanted(tree)
    with pytest.raises(FileNotFoundError) as caught:
        list(checksum_many(paths, order="input"))
    assert caught.value.filename == missing
    with pytest.raises(ValueError, match="errors"):
        checksum_many([], errors="ignore")  # type: ignore[call-overload]


def test_dir_fd(tree: list[Path]) -> None:
    fd = os.open(tree[0].parent, os.O_RDONLY)
    try:
        found = dict(checksum_many([path.name for path in tree], dir_fd=fd))
    finally:
        os.close(fd)
    assert found == {path.name: digest for path, digest in wanted(tree).items()}


@pytest.mark.parametrize("taken", [0, 1, 30])
def test_left_early(tree: list[Path], taken: int) -> None:
    def endless() -> Iterator[Path]:
        while True:
            yield from tree

    before = threading.active_count()
    digests = checksum_many(endless())
    for _, (path, digest) in zip(range(taken), digests, strict=False):
        assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    digests.close()
    assert list(digests) == []
    assert threading.active_count() == before


def test_no_thread_can_be_started(tree: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the number of processes is limited: the caller's thread hashes."""
    asked = []

    def start(thread: threading.Thread) -> None:
        asked.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert dict(checksum_many(tree)) == wanted(tree)
    assert asked


def test_a_large_file_that_is_gone_before_it_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate((16 << 20) + 5)

    class Vanishing:
        """Its name is asked for twice: to look at its size, and to stream it."""

        asked = 0

        def __fspath__(self) -> str:
            self.asked += 1
            if self.asked == 2:
                path.unlink()
            return str(path)

    ((_, error),) = checksum_many([Vanishing()], errors="yield")
    assert isinstance(error, FileNotFoundError)


def test_on_a_simulated_kernel() -> None:
    kernel = SimKernel(1, cold_percent=100)
    files = {"a": b"1" * 10, "b": b"2" * 300_000, "c": b"3" * (17 << 20), "d": b"4" * 5000}
    for name, data in files.items():
        kernel.close(kernel.file(name, data))
    kernel.fail_request(3, "result", 100)
    found = dict(checksum_many(files, kernel=kernel))
    assert found == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    kernel.fail_call("plain", 0, errno.EIO)
    ((_, error),) = checksum_many(["a"], kernel=kernel, errors="yield")
    assert isinstance(error, OSError)
    assert error.errno == errno.EIO
    assert kernel.open_fds == []

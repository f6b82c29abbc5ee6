"""One job iterated, read or closed by many threads."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

import uring_rs
from helpers.together import THREADS, together

pytestmark = pytest.mark.once


@pytest.mark.parametrize("way", ["auto", "threads"])
def test_each_file_goes_to_one_thread(tmp_path: Path, way: str) -> None:
    paths = [tmp_path / f"{number}" for number in range(300)]
    for path in paths:
        path.write_text(path.name * 10)
    found: list[tuple[object, object]] = []
    lock = threading.Lock()
    with uring_rs._uring.ReadMany(paths, way=way) as job:  # type: ignore[attr-defined]

        def work(_: int) -> None:
            for path, data in job:
                with lock:
                    found.append((path, data))

        together(work)
    assert sorted(path for path, _ in found) == sorted(paths)
    assert all(data == (path.name * 10).encode() for path, data in found)


def test_chunks_of_one_stream_go_to_one_thread_each(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = b"".join(bytes([number]) * 4096 for number in range(200))
    path.write_bytes(contents)
    chunks: list[bytes] = []
    lock = threading.Lock()
    with uring_rs.stream(path, chunk=4096, depth=4) as job:

        def work(_: int) -> None:
            for chunk in job:
                with lock:
                    chunks.append(bytes(chunk))

        together(work)
    assert sorted(chunks) == [contents[at : at + 4096] for at in range(0, len(contents), 4096)]


def test_closed_by_one_while_others_iterate(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}" for number in range(100)]
    for path in paths:
        path.write_bytes(b"x" * 1000)
    for turn in range(10):
        job = uring_rs.read_many(paths * 10, in_flight=8)

        def work(number: int, job: object = job, turn: int = turn) -> None:
            if number == 0:
                for _ in range(turn * 20):
                    next(job, None)  # type: ignore[call-overload]
                job.close()  # type: ignore[attr-defined]
            else:
                for _, data in job:  # type: ignore[attr-defined]
                    assert data == b"x" * 1000

        together(work, 4)


def test_one_walk_belongs_to_one_thread_at_a_time(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number}").touch()
    walk = uring_rs.walk(tmp_path)
    seen: list[object] = []

    def work(_: int) -> None:
        # Like a generator's: a second thread is told that it is under way already.
        while True:
            with contextlib.suppress(ValueError):
                for path, _ in walk:
                    seen.append(path)
                return

    together(work, THREADS // 2)
    assert len(seen) == len(set(map(str, seen))) >= 200

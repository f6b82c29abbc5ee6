"""stream: a file in order, in memory that is used again only when nobody looks at it."""

from __future__ import annotations

import errno
import gc
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs.testing import Faults, SimKernel, leak_check

SIZE = 2_000_123


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(5).randbytes(SIZE)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> Path:
    where = tmp_path_factory.mktemp("stream") / "data"
    where.write_bytes(data)
    return where


def make_cold(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def takes_direct(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


@settings(max_examples=60)
@given(
    chunk=st.one_of(st.integers(5_000, 300_000), st.sampled_from([4096, 65536, 1 << 20, 1 << 22])),
    depth=st.sampled_from([1, 2, 16]),
    direct=st.sampled_from(["auto", True, False]),
    offset=st.one_of(st.integers(0, SIZE + 10), st.sampled_from([0, 512, 4096])),
    size=st.one_of(st.none(), st.integers(0, SIZE + 10)),
    cold=st.booleans(),
    disabled=st.booleans(),
)
def test_the_chunks_are_the_file(
    path: Path,
    data: bytes,
    chunk: int,
    depth: int,
    direct: Any,
    offset: int,
    size: int | None,
    cold: bool,
    disabled: bool,
) -> None:
    if cold:
        make_cold(path)
    if direct is True and not takes_direct(path):
        direct = "auto"
    wanted = data[offset:] if size is None else data[offset : offset + size]
    with pytest.MonkeyPatch.context() as patch:
        if disabled:
            patch.setenv("URING_RS_DISABLE", "1")
        stream = uring_rs.stream(
            path, chunk=chunk, depth=depth, direct=direct, offset=offset, size=size
        )
        at = 0
        for view in stream:
            assert view == wanted[at : at + chunk]
            assert len(view) == chunk or at + len(view) == len(wanted)
            at += len(view)
    assert at == len(wanted)
    assert stream.closed
    assert stream.stats["bytes"] == len(wanted)
    assert not disabled or stream.stats["ring"] == 0


def address(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)


def test_memory_is_used_again_when_nobody_looks_at_it(
    carrier: str, path: Path, data: bytes
) -> None:
    make_cold(path)
    places = [address(view) for view in uring_rs.stream(path, chunk=50_000, depth=4)]
    assert len(places) == 41
    assert len(set(places)) < 12
    make_cold(path)
    kept = list(uring_rs.stream(path, chunk=50_000, depth=4))
    assert len({address(view) for view in kept}) == 41
    assert b"".join(kept) == data
    # A part of a chunk keeps all of it.
    parts, at = [], 0
    for view in uring_rs.stream(path, chunk=50_000, depth=4):
        parts.append((at, view[7:9]))
        at += len(view)
    for at, part in parts:
        assert part == data[at + 7 : at + 9]


def test_leaving_early(carrier: str, path: Path, data: bytes) -> None:
    for leave in range(3):
        make_cold(path)
        for view in uring_rs.stream(path, chunk=4096, depth=64):
            assert view == data[:4096]
            break
        with uring_rs.stream(path, chunk=4096) as stream:
            first = next(stream)
            if leave:
                stream.close()
        assert stream.closed
        assert first == data[:4096]
        assert list(stream) == []
        stream.close()
    unused = uring_rs.stream(path)
    del unused
    gc.collect()


def test_files_of_every_kind(carrier: str, path: Path, data: bytes) -> None:
    with open(path, "rb", buffering=0) as file:
        for what in (str(path), os.fsencode(path), file, file.fileno()):
            assert b"".join(uring_rs.stream(what, chunk=100_000)) == data
        assert file.tell() == 0
    status = b"".join(uring_rs.stream("/proc/self/stat", chunk=7))
    assert int(status.split()[0]) == os.getpid()
    empty = path.with_name("empty")
    empty.write_bytes(b"")
    assert list(uring_rs.stream(empty)) == []
    zeros = uring_rs.stream("/dev/zero", chunk=1000, size=2500)
    assert [len(view) for view in zeros] == [1000, 1000, 500]
    with open("/dev/shm/uring_rs-stream", "wb+") as file:
        os.unlink(file.name)
        file.write(data)
        file.flush()
        in_memory = uring_rs.stream(file, chunk=100_000)
        assert b"".join(in_memory) == data
        assert in_memory.stats["ring"] == in_memory.stats["threads"] == 0


def test_pipes(carrier: str) -> None:
    reader, writer = os.pipe()
    stream = uring_rs.stream(reader, chunk=10)
    os.write(writer, b"some")
    assert next(stream) == b"some"
    os.write(writer, b"more than a chunk")
    assert next(stream) == b"more than "
    assert next(stream) == b"a chunk"
    thread = threading.Thread(target=lambda: (os.write(writer, b"late"), os.close(writer)))
    thread.start()
    assert list(stream) == [b"late"]
    thread.join()
    os.close(reader)
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="seek"):
        uring_rs.stream(reader, offset=1)
    os.write(writer, b"0123456789")
    assert list(uring_rs.stream(reader, size=4)) == [b"0123"]
    os.close(reader)
    os.close(writer)


def test_a_terminal(carrier: str) -> None:
    keyboard, terminal = os.openpty()
    os.write(keyboard, b"a line\n")
    with uring_rs.stream(terminal) as lines:
        assert next(lines) == b"a line\n"
    os.close(keyboard)
    os.close(terminal)


def test_a_growing_file_is_read_to_its_end(carrier: str, tmp_path: Path) -> None:
    path = tmp_path / "growing"
    path.write_bytes(b"a" * 10_000)
    got = b""
    with open(path, "ab", buffering=0) as file:
        for view in uring_rs.stream(path, chunk=4096, depth=2):
            if not got:
                file.write(b"b" * 10_000)
            got += view
    assert got == b"a" * 10_000 + b"b" * 10_000


def test_arguments(path: Path, tmp_path: Path) -> None:
    stream: Any = uring_rs.stream
    for wrong, options in (
        ("chunk must be", {"chunk": 0}),
        ("chunk must be", {"chunk": 1 << 31}),
        ("depth must be", {"depth": 0}),
        ("direct must be", {"direct": "no"}),
        ("offset must be", {"offset": -1}),
        ("size must be", {"size": -1}),
    ):
        with pytest.raises(ValueError, match=wrong):
            stream(path, **options)
    with pytest.raises(FileNotFoundError) as caught:
        stream(tmp_path / "missing")
    assert caught.value.filename == tmp_path / "missing"
    with pytest.raises(IsADirectoryError):
        stream(tmp_path)
    with pytest.raises(OSError, match="Invalid argument"):
        stream("/dev/zero", direct=True)
    write_only = os.open(path, os.O_WRONLY)
    with pytest.raises(OSError, match="at offset 0"):
        list(stream(write_only))
    os.close(write_only)


def test_several_threads_take_from_one(carrier: str, path: Path, data: bytes) -> None:
    make_cold(path)
    stream = uring_rs.stream(path, chunk=10_000, depth=8)
    found: list[bytes] = []

    def take() -> None:
        for view in stream:
            found.append(bytes(view))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(data[i : i + 10_000] for i in range(0, SIZE, 10_000))


def test_ctrl_c_while_a_pipe_is_silent(carrier: str) -> None:
    reader, writer = os.pipe()

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        stream = uring_rs.stream(reader)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
    finally:
        signal.signal(signal.SIGALRM, before)
    # Nothing is lost by it.
    os.write(writer, b"now")
    assert next(stream) == b"now"
    stream.close()
    os.close(reader)
    os.close(writer)


def test_in_a_forked_child(carrier: str, path: Path, run_child: Any) -> None:
    run_child(
        """
        import os, sys, uring_rs
        path = sys.argv[1]
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        stream = uring_rs.stream(path, chunk=4096, depth=64)
        first = next(stream)
        child = os.fork()
        if child == 0:
            try:
                next(stream)
            except uring_rs.ForkedRing:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert first == os.pread(fd, 4096, 0)
        assert b"".join([first, *stream]) == open(path, "rb").read()
        """,
        str(path),
        options=["-W", "ignore::DeprecationWarning"],
        env={"URING_RS_DISABLE": "1"} if carrier == "threads" else None,
    )


def test_refused_by_a_filter(path: Path, run_child: Any) -> None:
    run_child(
        """
        import errno, sys, uring_rs
        from helpers.seccomp import refuse_io_uring
        refuse_io_uring(errno.ENOSYS)
        wanted = open(sys.argv[1], "rb").read()
        stream = uring_rs.stream(sys.argv[1], chunk=100_000)
        assert b"".join(stream) == wanted
        try:
            uring_rs.stream(sys.argv[1], require_uring=True)
        except uring_rs.UringUnavailable:
            raise SystemExit(0)
        raise SystemExit(1)
        """,
        str(path),
    )


class TestSimulated:
    CONTENT = bytes(range(241)) * 50

    @pytest.mark.parametrize("seed", range(10))
    @pytest.mark.parametrize("cold", [0, 60, 100])
    def test_faults_on_the_way(self, seed: int, cold: int) -> None:
        kernel = SimKernel(seed, cold_percent=cold)
        with leak_check(kernel):
            fd = kernel.file("data", self.CONTENT)
            faults = Faults(kernel)
            faults.transfer(100, nth=1)
            faults.late(0.3, nth=2)
            faults.request(errno.EINTR, nth=4)
            kernel.fail_call("plain", 2, ("short", 5))
            stream = uring_rs.stream(fd, chunk=1000, depth=4, kernel=kernel)
            chunks = [bytes(view) for view in stream]
            assert b"".join(chunks) == self.CONTENT
            assert {len(chunk) for chunk in chunks[:-1]} == {1000}
            kernel.close(fd)

    def test_an_error_comes_when_its_turn_does(self) -> None:
        kernel = SimKernel(2, cold_percent=100)
        with leak_check(kernel):
            fd = kernel.file("data", self.CONTENT)
            kernel.fail_call("plain", 3, errno.EIO)
            stream = uring_rs.stream(fd, chunk=1000, depth=1, kernel=kernel)
            assert b"".join(next(stream) for _ in range(3)) == self.CONTENT[:3000]
            with pytest.raises(OSError, match="at offset 3000") as caught:
                next(stream)
            assert caught.value.errno == errno.EIO
            assert stream.closed
            assert list(stream) == []
            kernel.close(fd)

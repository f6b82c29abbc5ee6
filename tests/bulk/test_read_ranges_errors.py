"""read_ranges where something is wrong: with the arguments, the files, the kernel, the host."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uring_rs
from uring_rs.testing import Faults, SimKernel, leak_check


@pytest.fixture
def path(tmp_path: Path) -> Path:
    where = tmp_path / "data"
    where.write_bytes(bytes(range(256)) * 256)
    return where


def test_arguments(path: Path) -> None:
    read: Any = uring_rs.read_ranges
    for wrong, args, options in (
        ("range 1: offset and size", ([0, -1], 5), {}),
        ("range 0: offset and size", ([(1 << 63) - 4], 5), {}),
        ("sizes must be 0 or more", ([0], [-5]), {}),
        ("fit into memory", (range(4), 1 << 62), {}),
        ("same length", ([0, 1], [1, 2, 3]), {}),
        ("the buffer has 9", ([0, 1], 5), {"out": bytearray(9)}),
        ("1 buffers for 2 ranges", ([0, 1], 5), {"out": [bytearray(9)]}),
        ("range 1 is 5 bytes", ([0, 1], 5), {"out": [bytearray(5), bytearray(4)]}),
        ("depth must be", (0, 1), {"depth": 0}),
        ("depth must be", (0, 1), {"depth": 5000}),
        ("direct must be", (0, 1), {"direct": "maybe"}),
        ("errors must be", (0, 1), {"errors": "ignore"}),
        ("index needs a sequence", (0, 1), {"index": [0]}),
    ):
        with pytest.raises(ValueError, match=wrong):
            read(path, *args, **options)
    with pytest.raises(ValueError, match="index 2 is not one of 1 files"):
        read([path], [0], 1, index=[2])
    with pytest.raises(ValueError, match="same length"):
        read([path, path], [0, 1, 2], 1)
    with pytest.raises(BufferError):
        read(path, 0, 1, out=b"constant")
    with pytest.raises((ValueError, BufferError)):
        read(path, 0, 4, out=np.zeros((4, 4), np.uint8)[:, 1])
    with pytest.raises(TypeError):
        read(path, [0.5], 1)
    with pytest.raises(ValueError, match="null byte"):
        read("a\0b", 0, 1)
    with pytest.raises(MemoryError):
        read(path, 0, 1 << 61)


def test_an_error_names_file_and_range(carrier: str, path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"range 1: 7 bytes at 3") as caught:
        uring_rs.read_ranges([path, tmp_path / "missing", path], [0, 3, 0], 7)
    assert caught.value.filename == tmp_path / "missing"
    assert caught.value.range == 1  # type: ignore[attr-defined]
    with pytest.raises(IsADirectoryError):
        uring_rs.read_ranges(tmp_path, 0, 1)
    writable = os.open(path, os.O_WRONLY)
    with pytest.raises(OSError, match="range 0") as refused:
        uring_rs.read_ranges(writable, 0, 1)
    os.close(writable)
    assert refused.value.errno == errno.EBADF
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="range 0") as no_position:
        uring_rs.read_ranges(reader, 0, 1)
    assert no_position.value.errno == errno.ESPIPE
    os.close(reader)
    os.close(writer)


def test_a_fifo_does_not_hold_it_up(carrier: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="range 0") as caught:
        uring_rs.read_ranges(tmp_path / "fifo", 0, 1)
    assert caught.value.errno == errno.ESPIPE


def test_the_others_are_read_all_the_same(carrier: str, path: Path, tmp_path: Path) -> None:
    files = [path, tmp_path / "missing", path, tmp_path]
    found = uring_rs.read_ranges(files, [0, 0, 256, 0], 4, errors="yield")
    assert [bytes(view) for view in found] == [b"\0\1\2\3", b"", b"\0\1\2\3", b""]
    assert {i: type(error) for i, error in found.errors.items()} == {
        1: FileNotFoundError,
        3: IsADirectoryError,
    }
    assert not found.complete
    assert "2 failed" in repr(found)


def test_direct_or_an_error(carrier: str) -> None:
    with pytest.raises(OSError, match="range 0"):
        uring_rs.read_ranges("/proc/self/status", 0, 10, direct=True)


def test_files_that_shrink_and_grow(carrier: str, tmp_path: Path) -> None:
    """Whatever is read is what was there at some time, and every range has an end."""
    path = tmp_path / "moving"
    path.write_bytes(b"a" * (1 << 20))
    stop = threading.Event()

    def move() -> None:
        with open(path, "rb+") as file:
            while not stop.is_set():
                file.truncate(100_000)
                file.truncate(1 << 20)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        for direct in ("auto", False, "auto", False):
            found = uring_rs.read_ranges(path, range(0, 1 << 20, 5000), 5000, direct=direct)
            for view in found:
                assert not bytes(view).strip(b"a\0")
    finally:
        stop.set()
        thread.join()


class TestSimulated:
    """The same engine on a kernel that fails on purpose."""

    CONTENT = bytes(range(251)) * 40

    @pytest.mark.parametrize("seed", range(12))
    @pytest.mark.parametrize("cold", [0, 50, 100])
    def test_short_late_and_interrupted(self, seed: int, cold: int) -> None:
        kernel = SimKernel(seed, cold_percent=cold)
        faults = Faults(kernel)
        with leak_check(kernel):
            fd = kernel.file("data", self.CONTENT)
            faults.transfer(100, nth=0)
            faults.request(errno.EINTR, nth=2)
            faults.request(errno.EAGAIN, nth=3)
            faults.late(0.2, nth=4)
            faults.interrupt(nth=1)
            kernel.fail_call("plain", 3, ("short", 17))
            kernel.fail_call("enter", 2, errno.EAGAIN)
            offsets = range(0, len(self.CONTENT), 700)
            found = uring_rs.read_ranges(fd, offsets, 900, kernel=kernel, depth=8)
            for view, offset in zip(found, offsets, strict=True):
                assert view == self.CONTENT[offset : offset + 900]
            assert found.eof == [len(offsets) - 1]
            kernel.close(fd)

    @pytest.mark.parametrize("seed", range(6))
    def test_an_error_in_the_middle(self, seed: int) -> None:
        kernel = SimKernel(seed, cold_percent=100)
        with leak_check(kernel):
            fd = kernel.file("data", self.CONTENT)
            Faults(kernel).request(errno.EIO, nth=5)
            offsets = range(0, 9000, 500)
            with pytest.raises(OSError, match="range") as caught:
                uring_rs.read_ranges(fd, offsets, 500, kernel=kernel, depth=4)
            assert caught.value.errno == errno.EIO
            Faults(kernel).request(errno.EIO, nth=5)
            found = uring_rs.read_ranges(fd, offsets, 500, kernel=kernel, depth=4, errors="yield")
            assert len(found.errors) == 1
            for i, view in enumerate(found):
                wanted = b"" if i in found.errors else self.CONTENT[i * 500 : i * 500 + 500]
                assert view == wanted
            kernel.close(fd)

    def test_paths_are_closed(self) -> None:
        kernel = SimKernel(3, cold_percent=50)
        kernel.close(kernel.file("a", b"first"))
        kernel.close(kernel.file("b", b"second"))
        with leak_check(kernel):
            found = uring_rs.read_ranges(["a", "b", "a"], [0, 1, 2], 4, kernel=kernel)
            assert [bytes(view) for view in found] == [b"firs", b"econ", b"rst"]

    def test_no_ring(self) -> None:
        kernel = SimKernel(1, cold_percent=100)
        fd = kernel.file("data", self.CONTENT)
        Faults(kernel).setup(errno.EPERM)
        found = uring_rs.read_ranges(fd, range(0, 4000, 100), 100, kernel=kernel)
        assert b"".join(found) == self.CONTENT[:4000]
        assert found.stats["threads"] > 0
        Faults(kernel).setup(errno.EPERM)
        with pytest.raises(uring_rs.UringUnavailable):
            uring_rs.read_ranges(fd, 0, 100, kernel=kernel, require_uring=True)
        kernel.close(fd)


def test_required_and_turned_off(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("URING_RS_DISABLE", "1")
    with pytest.raises(uring_rs.UringUnavailable, match="required"):
        uring_rs.read_ranges(path, 0, 1, require_uring=True)


def test_refused_by_a_filter(path: Path, run_child: Any) -> None:
    said = run_child(
        """
        import errno, logging, os, sys, uring_rs
        from helpers.seccomp import refuse_io_uring
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        path = sys.argv[1]
        wanted = open(path, "rb").read()
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        refuse_io_uring(errno.EPERM)
        for direct in ("auto", True):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                found = uring_rs.read_ranges(path, range(0, 65536, 4096), 4096, direct=direct)
            except OSError as error:
                assert direct is True and error.errno == errno.EINVAL, error
                continue
            assert b"".join(found) == wanted
            assert found.stats["ring"] == 0
        try:
            uring_rs.read_ranges(path, 0, 1, require_uring=True)
        except uring_rs.UringUnavailable:
            print("unavailable")
        """,
        str(path),
    )
    assert "unavailable" in said.stdout
    assert said.stderr.count("io_uring is not used") <= 1


def test_little_locked_memory_and_no_privileges(path: Path, run_child: Any) -> None:
    run_child(
        """
        import os, resource, sys, uring_rs
        path = sys.argv[1]
        wanted = open(path, "rb").read()
        fd = os.open(path, os.O_RDONLY)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        for depth in (1, 64, 4096):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            found = uring_rs.read_ranges(fd, range(0, 65536, 512), 512, depth=depth)
            assert b"".join(found) == wanted
        """,
        str(path),
    )


def test_memory_is_locked_meanwhile(carrier: str, path: Path) -> None:
    """Another thread cannot take the memory away while it is read into."""
    out = bytearray(1 << 16)
    refused = []
    stop = threading.Event()

    def resize() -> None:
        while not stop.is_set():
            try:
                out.append(1)
                out.pop()
            except BufferError as error:
                refused.append(error)

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        content = path.read_bytes()
        while not refused:
            found = uring_rs.read_ranges(path, range(0, 1 << 16, 64), 64, out=out)
            assert bytes(found.out[: 1 << 16]) == content
            del found
    finally:
        stop.set()
        thread.join()
    out.extend(b"free again")


def test_threads_and_fork(carrier: str, path: Path, run_child: Any) -> None:
    run_child(
        """
        import os, sys, threading, uring_rs
        path = sys.argv[1]
        wanted = open(path, "rb").read()
        def read(direct):
            fd = os.open(path, os.O_RDONLY)
            for _ in range(10):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                found = uring_rs.read_ranges(fd, range(0, 65536, 1024), 1024, direct=direct)
                assert b"".join(found) == wanted
            os.close(fd)
        threads = [threading.Thread(target=read, args=(d,)) for d in ("auto", False, "auto")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if child == 0:
            read("auto")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        """,
        str(path),
        options=["-W", "ignore::DeprecationWarning"],
        env={"URING_RS_DISABLE": "1"} if carrier == "threads" else None,
    )


def test_ctrl_c(carrier: str, tmp_path: Path) -> None:
    """A signal handler that raises ends the call, and the memory is free again."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    out = bytearray(1 << 20)

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with pytest.raises(KeyboardInterrupt):
            while True:
                uring_rs.read_ranges(path, np.zeros(200_000, np.int64), 4, out=out, direct=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    out.extend(b"free")

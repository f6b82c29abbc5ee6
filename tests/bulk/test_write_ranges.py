"""write_ranges: the file that os.pwrite would have made, whichever way it is written."""

from __future__ import annotations

import errno
import mmap
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs.testing import Faults, SimKernel, leak_check

DIRECTS = ["auto", True, False]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("writes")


def takes_direct(folder: Path) -> bool:
    probe = folder / "probe"
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    return True


@st.composite
def apart(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges that do not overlap, in any order."""
    edges = st.one_of(
        st.integers(0, 9000), st.sampled_from([0, 1, 512, 4096, 8192, 65536, 300_000, 1_100_000])
    )
    at, found = 0, []
    for gap, size in draw(st.lists(st.tuples(edges, edges), max_size=8)):
        found.append((at + gap, size))
        at += gap + size
    return draw(st.permutations(found))


@settings(max_examples=60)
@given(
    rows=apart(),
    direct=st.sampled_from(DIRECTS),
    depth=st.sampled_from([1, 4, 64]),
    shift=st.sampled_from([0, 1, 512]),
    fsync=st.booleans(),
    before=st.integers(0, 400_000),
    disabled=st.booleans(),
    seed=st.integers(0, 1 << 20),
)
def test_every_way_gives_what_pwrite_gives(
    folder: Path,
    rows: list[tuple[int, int]],
    direct: Any,
    depth: int,
    shift: int,
    fsync: bool,
    before: int,
    disabled: bool,
    seed: int,
) -> None:
    rng = random.Random(seed)
    path = folder / "file"
    wanted = bytearray(rng.randbytes(before))
    path.write_bytes(wanted)
    total = sum(size for _, size in rows)
    memory = mmap.mmap(-1, total + shift + 1)
    memory[shift : shift + total] = rng.randbytes(total)
    at = shift
    for offset, size in rows:
        if size:
            wanted.extend(bytes(max(0, offset + size - len(wanted))))
            wanted[offset : offset + size] = memory[at : at + size]
        at += size
    with pytest.MonkeyPatch.context() as patch:
        if disabled:
            patch.setenv("URING_RS_DISABLE", "1")
        with memoryview(memory)[shift : shift + total] as data:
            stats = uring_rs.write_ranges(
                path,
                [offset for offset, _ in rows],
                data,
                [size for _, size in rows],
                direct=direct if direct is not True or takes_direct(folder) else "auto",
                depth=depth,
                fsync=fsync,
            )
    memory.close()
    assert path.read_bytes() == wanted
    assert stats["bytes"] == total
    assert stats["flushes"] == fsync
    assert not disabled or stats["ring"] == 0


def test_pages_go_directly_and_edges_do_not(carrier: str, folder: Path) -> None:
    if not takes_direct(folder):
        pytest.skip("no O_DIRECT on this file system")
    path = folder / f"edges-{carrier}"
    path.write_bytes(b"." * 20_000)
    data = random.Random(1).randbytes(10_000)
    stats = uring_rs.write_ranges(path, 100, data, direct=True)
    # 100 to 4096, the page to 8192 and what comes behind it.
    assert (stats["direct"], stats["buffered"], stats["bytes"]) == (1, 2, 10_000)
    assert path.read_bytes() == b"." * 100 + data + b"." * 9_900
    memory = np.zeros(1 << 20, np.uint8)
    pool = uring_rs.AlignedPool(1, 1 << 20)
    with pool.acquire() as buffer:
        assert uring_rs.write_ranges(path, 0, buffer, direct="auto", fsync=True)["direct"] == 1
        assert uring_rs.write_ranges(path, 0, buffer, direct="auto")["direct"] == 0
    assert path.read_bytes() == memory.tobytes()


@pytest.mark.parametrize("direct", DIRECTS)
def test_data_and_files_of_every_kind(carrier: str, folder: Path, direct: Any) -> None:
    paths = [folder / f"{carrier}-{direct}-{i}" for i in range(3)]
    if direct is True and not takes_direct(folder):
        pytest.skip("no O_DIRECT on this file system")
    options: Any = {"direct": direct, "fsync": True}
    uring_rs.write_ranges(paths, [0, 1, 2], [b"one", bytearray(b"two"), b"three"], **options)
    assert [path.read_bytes() for path in paths] == [b"one", b"\0two", b"\0\0three"]
    uring_rs.write_ranges(paths[0], [6, 3], b"abcdef", **options)
    assert paths[0].read_bytes() == b"onedefabc"
    uring_rs.write_ranges(paths, [0, 8, 4], b"x", [1, 0, 0], index=[2, 1, 1], **options)
    assert paths[2].read_bytes() == b"x\0three"
    with open(paths[1], "rb+") as file:
        assert uring_rs.write_ranges(file, 4, np.arange(3, dtype=np.uint8), **options)["bytes"] == 3
        assert uring_rs.write_ranges(file, [], b"", **options)["bytes"] == 0
    assert paths[1].read_bytes() == b"\0two\0\1\2"


def test_arguments(folder: Path) -> None:
    write: Any = uring_rs.write_ranges
    path = folder / "arguments"
    for wrong, args in (
        ("ranges 0 and 2 overlap", ([0, 100, 4], b"x" * 15, 5)),
        ("ranges 0 and 1 overlap", ([7, 7], b"ab")),
        ("cannot be divided", ([0, 1, 2], b"1234")),
        ("the buffer has 4", (0, b"1234", 5)),
        ("range 0: offset and size", ([-1], b"1")),
        ("3 buffers for 2 ranges", ([0, 1], [b"1", b"2", b"3"], 1)),
        ("same length", ([0, 1], [b"1", b"2", b"3"])),
    ):
        with pytest.raises(ValueError, match=wrong):
            write(path, *args)
    with open(path, "ab") as file, pytest.raises(ValueError, match="appending"):
        write(file, 0, b"x")
    with open(path, "rb") as file, pytest.raises(OSError, match="range 0: 1 bytes at 0") as caught:
        write(file, 0, b"x")
    assert caught.value.errno == errno.EBADF
    with pytest.raises(FileNotFoundError, match="range 0"):
        write(folder / "missing" / "file", 0, b"x")
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        write(path, 0, np.zeros((4, 4), np.uint8)[:, 1])


@pytest.mark.parametrize("direct", DIRECTS)
def test_what_is_cached_does_not_come_back(carrier: str, folder: Path, direct: Any) -> None:
    """Direct and buffered writes beside each other, over pages that are cached and dirty."""
    if direct is True and not takes_direct(folder):
        pytest.skip("no O_DIRECT on this file system")
    path = folder / f"coherent-{carrier}-{direct}"
    wanted = bytearray(random.Random(2).randbytes(1 << 20))
    path.write_bytes(wanted)
    rng = random.Random(3)
    for _ in range(4):
        offsets = list(range(rng.randrange(5000), (1 << 20) - 70_000, 70_000))
        data = rng.randbytes(60_000 * len(offsets))
        uring_rs.write_ranges(path, offsets, data, direct=direct)
        for i, offset in enumerate(offsets):
            wanted[offset : offset + 60_000] = data[i * 60_000 : (i + 1) * 60_000]
        assert path.read_bytes() == wanted
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    assert path.read_bytes() == wanted


def test_no_space(tmp_path: Path, carrier: str, run_child: Any) -> None:
    """On a file system of 1 MiB: the error names the range, and says how far it came."""
    said = run_child(
        """
        import ctypes, errno, os, sys, uring_rs
        libc = ctypes.CDLL(None, use_errno=True)
        CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 1 << 14
        where = sys.argv[1].encode()
        steps = (
            lambda: libc.unshare(CLONE_NEWNS),
            lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
            lambda: libc.mount(b"tmpfs", where, b"tmpfs", 0, b"size=1m"),
        )
        if any(step() != 0 for step in steps):
            print("no mount:", os.strerror(ctypes.get_errno()))
            raise SystemExit
        path = os.path.join(sys.argv[1], "full")
        for fsync in (False, True):
            try:
                uring_rs.write_ranges(
                    path, range(0, 2 << 20, 65536), bytes(2 << 20), direct="auto", fsync=fsync
                )
            except OSError as error:
                assert error.errno == errno.ENOSPC and error.filename == path, error
                assert 0 <= error.written < 65536 and error.stats["bytes"] <= 1 << 20
                assert error.range * 65536 + error.written == error.stats["bytes"]
                print("ENOSPC", error)
        """,
        str(tmp_path),
        env={"URING_RS_DISABLE": "1"} if carrier == "threads" else None,
    )
    if "no mount" in said.stdout:
        pytest.skip(f"mounting a tmpfs is refused here: {said.stdout.strip()}")
    assert said.stdout.count("ENOSPC") == 2


class TestSimulated:
    @pytest.mark.parametrize("seed", range(8))
    def test_short_writes_are_completed(self, seed: int) -> None:
        kernel = SimKernel(seed)
        with leak_check(kernel):
            fd = kernel.file("data", b"-" * 5000)
            for nth in (0, 2, 3):
                kernel.fail_call("plain", nth, ("short", 11))
            kernel.fail_call("plain", 5, "interrupt")
            Faults(kernel).request(errno.EINTR)
            data = random.Random(seed).randbytes(4000)
            offsets = list(range(500, 4500, 500))
            stats = uring_rs.write_ranges(
                fd, offsets[::-1], data, kernel=kernel, fsync=True, direct=False
            )
            wanted = b"".join(data[i * 500 : (i + 1) * 500] for i in reversed(range(8)))
            assert kernel.contents("data") == b"-" * 500 + wanted + b"-" * 500
            assert stats["bytes"] == 4000
            kernel.close(fd)

    def test_errors_say_how_far_it_came(self) -> None:
        kernel = SimKernel(1)
        with leak_check(kernel):
            fd = kernel.file("data")
            kernel.fail_call("plain", 2, ("short", 3))
            kernel.fail_call("plain", 3, errno.EIO)
            with pytest.raises(OSError, match="range 2: 10 bytes at 20") as caught:
                uring_rs.write_ranges(fd, range(0, 100, 10), bytes(100), kernel=kernel)
            error: Any = caught.value
            assert (error.errno, error.range, error.written) == (errno.EIO, 2, 3)
            assert error.stats["bytes"] == 23
            kernel.close(fd)

    def test_a_flush_that_fails(self) -> None:
        kernel = SimKernel(1)
        with leak_check(kernel):
            fd = kernel.file("data")
            kernel.fail_call("plain", 1, errno.EIO)
            with pytest.raises(OSError, match="fsync") as caught:
                uring_rs.write_ranges(fd, 0, b"1", kernel=kernel, depth=1, fsync=True)
            assert caught.value.errno == errno.EIO
            kernel.close(fd)

"""read_ranges: the bytes that os.pread gives, whichever way they are read."""

from __future__ import annotations

import array
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

SIZE = 3 * 1024 * 1024 + 777
DIRECTS = ["auto", True, False]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges")


@pytest.fixture(scope="module")
def data() -> bytes:
    return random.Random(7).randbytes(SIZE)


@pytest.fixture(scope="module")
def path(folder: Path, data: bytes) -> str:
    where = folder / "data"
    where.write_bytes(data)
    with open(where, "rb") as file:
        os.fsync(file.fileno())
    return str(where)


def make_cold(path: str) -> None:
    """Out of the page cache, as far as the file system does that."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)


def takes_direct(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return False
    return True


SIZES = st.one_of(
    st.integers(0, 9000),
    st.sampled_from([0, 1, 511, 512, 513, 4096, 8192, 65536, 70_000, 131_072, 300_000, 1 << 20]),
    st.integers(1 << 20, 2 << 20),
)
OFFSETS = st.one_of(
    st.integers(0, SIZE + 5000),
    st.integers(0, SIZE // 512).map(lambda block: block * 512),
    st.integers(0, SIZE // 4096).map(lambda block: block * 4096),
)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(OFFSETS, SIZES), max_size=10),
    direct=st.sampled_from(DIRECTS),
    depth=st.sampled_from([1, 2, 8, 64]),
    shift=st.sampled_from([0, 1, 4, 512, 4096]),
    cold=st.booleans(),
    disabled=st.booleans(),
)
def test_every_way_gives_what_pread_gives(
    path: str,
    data: bytes,
    rows: list[tuple[int, int]],
    direct: Any,
    depth: int,
    shift: int,
    cold: bool,
    disabled: bool,
) -> None:
    total = sum(size for _, size in rows)
    memory = mmap.mmap(-1, total + shift + 16)
    memory[:] = b"\xee" * len(memory)
    if cold:
        make_cold(path)
    with pytest.MonkeyPatch.context() as patch:
        if disabled:
            patch.setenv("URING_RS_DISABLE", "1")
        with memoryview(memory)[shift : shift + total] as out:
            found = uring_rs.read_ranges(
                path,
                [offset for offset, _ in rows],
                [size for _, size in rows],
                out=out,
                direct=direct if direct is not True or takes_direct(path) else "auto",
                depth=depth,
            )
            wanted = [data[offset : offset + size] for offset, size in rows]
            assert [bytes(view) for view in found] == wanted
            assert list(found.sizes) == [len(bytes_) for bytes_ in wanted]
            short = [i for i, (_, size) in enumerate(rows) if len(wanted[i]) < size]
            assert list(found.eof) == short
            assert found.stats["bytes"] == sum(map(len, wanted))
            assert not disabled or found.stats["ring"] == 0
            del found
    # Nothing outside of what was given is touched.
    assert memory[:shift] == b"\xee" * shift
    assert memory[shift + total :] == b"\xee" * 16
    memory.close()


@settings(max_examples=20)
@given(seed=st.integers(0, 1 << 30), direct=st.sampled_from(DIRECTS), disabled=st.booleans())
def test_neighbours_are_read_together(
    path: str, data: bytes, seed: int, direct: Any, disabled: bool
) -> None:
    rng = random.Random(seed)
    offsets, sizes, at = [], [], rng.randrange(5000)
    while len(offsets) < 600 and at < SIZE:
        size = rng.choice([0, 1, 100, 512, 700, 4096])
        offsets.append(at)
        sizes.append(size)
        at += size + rng.choice([0, 0, 0, 3, 700, -size])
        at = max(at, 0)
    make_cold(path)
    with pytest.MonkeyPatch.context() as patch:
        if disabled:
            patch.setenv("URING_RS_DISABLE", "1")
        found = uring_rs.read_ranges(path, offsets, sizes, direct=direct)
    for view, offset, size in zip(found, offsets, sizes, strict=True):
        assert view == data[offset : offset + size]
    assert direct is not True or found.stats["merged"] > 0


def test_columns_of_every_kind(carrier: str, path: str, data: bytes) -> None:
    offsets = [8192, 0, 4096]
    wanted = [data[offset : offset + 4096] for offset in offsets]
    for column in (
        offsets,
        tuple(offsets),
        array.array("q", offsets),
        array.array("I", offsets),
        np.array(offsets),
        np.array(offsets, np.int32),
        memoryview(np.array(offsets, np.uint64)),
        iter(offsets),
    ):
        assert [bytes(view) for view in uring_rs.read_ranges(path, column, 4096)] == wanted
    assert bytes(uring_rs.read_ranges(path, 100, 50)[0]) == data[100:150]
    in_order = uring_rs.read_ranges(path, range(0, 40960, 4096), 4096)
    assert b"".join(in_order) == data[:40960]
    assert len(uring_rs.read_ranges(path, [], 4096)) == 0
    each = uring_rs.read_ranges(path, 0, np.array([1, 2, 3]))
    assert [bytes(view) for view in each] == [data[:1], data[:2], data[:3]]


def test_a_sequence_of_results(carrier: str, path: str, data: bytes) -> None:
    found = uring_rs.read_ranges(path, [0, 10, SIZE - 5], [10, 20, 10])
    assert len(found) == 3
    assert found[-1] == data[-5:]
    assert found[1:] == [data[10:30], data[-5:]]
    assert not found.complete
    assert found.eof == [2]
    assert found.errors == {}
    assert np.asarray(found.sizes).tolist() == [10, 20, 5]
    assert np.asarray(found.sizes).dtype == np.int64
    assert "3 ranges, 35 bytes, 1 cut short" in repr(found)
    for bad in (3, -4):
        with pytest.raises(IndexError, match="of 3"):
            found[bad]
    assert uring_rs.read_ranges(path, [0], 1).complete
    # New memory begins on a page, ready for direct I/O by others.
    assert np.frombuffer(found.out, np.uint8).ctypes.data % mmap.PAGESIZE == 0


def test_into_memory_of_every_kind(carrier: str, path: str, data: bytes) -> None:
    offsets = range(0, 4096 * 8, 4096)
    for out in (
        bytearray(4096 * 8),
        memoryview(bytearray(4096 * 8 + 9))[9:],
        np.zeros((8, 4096), np.uint8),
        np.zeros((8, 512, 2), np.float32),
        mmap.mmap(-1, 4096 * 8),
        array.array("d", bytes(4096 * 8)),
    ):
        found = uring_rs.read_ranges(path, offsets, 4096, out=out)
        assert found.out is out
        assert memoryview(out).tobytes() == data[: 4096 * 8]
        assert found[3] == data[3 * 4096 : 4 * 4096]
        del found
    # More room than is needed stays as it is.
    large = bytearray(b"x" * 100)
    uring_rs.read_ranges(path, 0, 10, out=large)
    assert large == data[:10] + b"x" * 90
    parts = [bytearray(7), np.zeros(3, np.uint8), bytearray(5)]
    each = uring_rs.read_ranges(path, [0, 5, 9], [7, 3, 4], out=parts)
    assert [bytes(view) for view in each] == [data[:7], data[5:8], data[9:13]]
    assert parts[2] == data[9:13] + b"\0"


@pytest.mark.parametrize("direct", DIRECTS)
def test_files_of_every_kind(
    carrier: str, folder: Path, path: str, data: bytes, direct: Any
) -> None:
    other = folder / f"other-{carrier}-{direct}"
    other.write_bytes(data[::-1])
    back = data[::-1]
    with open(path, "rb", buffering=0) as file:
        for what in (path, os.fsencode(path), Path(path), file, file.fileno()):
            found = uring_rs.read_ranges(what, [5, 4096], [100, 5000], direct=direct)
            assert [bytes(v) for v in found] == [data[5:105], data[4096:9096]]
        assert file.tell() == 0
        each = uring_rs.read_ranges([path, other, file], [0, 1, 2], 10, direct=direct)
        assert [bytes(v) for v in each] == [data[:10], back[1:11], data[2:12]]
    which = array.array("b", [1, 0, 1, 0])
    picked = uring_rs.read_ranges([path, other], range(4), 9, index=which, direct=direct)
    assert [bytes(v) for v in picked] == [back[:9], data[1:10], back[2:11], data[3:12]]


def test_a_descriptor_for_direct_io(carrier: str, path: str, data: bytes) -> None:
    if not takes_direct(path):
        pytest.skip("no O_DIRECT on this file system")
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        for direct in DIRECTS:
            found = uring_rs.read_ranges(fd, [3, 4096, SIZE - 9], [100, 4096, 100], direct=direct)
            assert [bytes(v) for v in found] == [data[3:103], data[4096:8192], data[-9:]]
    finally:
        os.close(fd)


def test_more_files_than_descriptors(carrier: str, folder: Path, run_child: Any) -> None:
    names = []
    for i in range(60):
        names.append(folder / f"many-{i}")
        names[-1].write_bytes(bytes([i]) * 5000)
    run_child(
        """
        import os, resource, sys, uring_rs
        names = sys.argv[1:]
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, hard))
        files = names + names[::-1]
        for direct in ("auto", False):
            for name in names:
                fd = os.open(name, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
            found = uring_rs.read_ranges(files, 100, [1000] * len(files), direct=direct)
            for view, name in zip(found, files, strict=True):
                assert view == bytes([int(name.rsplit("-", 1)[1])]) * 1000
        """,
        *map(str, names),
        env={"URING_RS_DISABLE": "1"} if carrier == "threads" else None,
    )


def test_sparse_and_empty_files(carrier: str, folder: Path) -> None:
    sparse = folder / f"sparse-{carrier}"
    with open(sparse, "wb") as file:
        file.truncate(10 << 20)
        file.seek(5 << 20)
        file.write(b"here")
    empty = folder / f"empty-{carrier}"
    empty.write_bytes(b"")
    for direct in DIRECTS:
        make_cold(str(sparse))
        found = uring_rs.read_ranges(sparse, [0, (5 << 20) - 2, 10 << 20], 8, direct=direct)
        assert [bytes(v) for v in found] == [bytes(8), b"\0\0here\0\0", b""]
        nothing = uring_rs.read_ranges(empty, [0, 4096], [100, 4096], direct=direct)
        assert [bytes(v) for v in nothing] == [b"", b""]
        assert nothing.eof == [0, 1]


def test_in_memory_file_systems(carrier: str) -> None:
    with open("/dev/shm/uring_rs-ranges", "wb+") as file:
        os.unlink(file.name)
        file.write(b"0123456789" * 1000)
        file.flush()
        for direct in ("auto", False):
            found = uring_rs.read_ranges(file, [5, 9_995], [10, 10], direct=direct)
            assert [bytes(v) for v in found] == [b"5678901234", b"56789"]
            # Nothing there waits for a device: plain calls are the fastest.
            assert found.stats["ring"] == found.stats["threads"] == 0
    status = uring_rs.read_ranges("/proc/self/status", 0, 100)
    assert status[0][:5] == b"Name:"


def test_what_was_just_written_is_read(carrier: str, folder: Path) -> None:
    """Dirty pages are written back before they are read directly."""
    path = folder / f"dirty-{carrier}"
    for round_ in range(3):
        content = bytes([65 + round_]) * (1 << 20)
        path.write_bytes(content)
        for direct in (True, "auto") if takes_direct(str(path)) else ("auto",):
            found = uring_rs.read_ranges(path, range(0, 1 << 20, 65536), 65536, direct=direct)
            assert b"".join(found) == content


def test_warm_and_cold_go_different_ways(carrier: str, folder: Path, data: bytes) -> None:
    path = folder / f"ways-{carrier}"
    path.write_bytes(data)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    offsets = range(0, 1 << 20, 4096)
    warm = uring_rs.read_ranges(path, offsets, 4096)
    assert warm.stats["ring"] == warm.stats["threads"] == 0
    assert warm.stats["buffered"] == 256
    if not takes_direct(str(path)):
        return
    all_direct = uring_rs.read_ranges(path, offsets[::-1], 4096, direct=True)
    assert all_direct.stats["direct"] == 256
    carried = all_direct.stats["threads" if carrier == "threads" else "ring"]
    assert carried == 256 or not uring_rs.probe().ok
    one_by_one = uring_rs.read_ranges(path, offsets, 4096, direct=True, depth=1)
    assert one_by_one.stats["ring"] == one_by_one.stats["threads"] == 0
    assert one_by_one.stats["plain"] >= 1


def test_aligned_memory_is_read_into_straight(carrier: str, path: str, data: bytes) -> None:
    if not takes_direct(path):
        pytest.skip("no O_DIRECT on this file system")
    aligned = uring_rs.read_ranges(path, [0, 1 << 20], 1 << 16, direct=True)
    assert aligned.stats["direct"] == 2
    assert aligned.stats["bounced"] == 0
    odd = memoryview(bytearray(3 << 20))[1:]
    through = uring_rs.read_ranges(path, [0, 1 << 20], 1 << 16, out=odd, direct=True)
    assert through.stats["bounced"] == through.stats["direct"] >= 2
    # Of a long range only what is not aligned is copied.
    long = uring_rs.read_ranges(path, 0, (1 << 20) + 100, direct=True)
    assert long[0] == data[: (1 << 20) + 100]
    assert (long.stats["direct"], long.stats["bounced"]) == (2, 1)

"""`read_many` on real files: the bytes that pathlib reads, and errors that name the file."""

from __future__ import annotations

import errno
import gc
import os
import random
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uring_rs
from uring_rs import read_many

PAGE = 4096
SIZES = (0, 1, 100, PAGE - 1, PAGE, PAGE + 1, 16384, 16385, 100_000, 1 << 20, (1 << 20) + 1)


@pytest.fixture(params=["auto", "threads"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything holds with a ring and, where io_uring is turned off, with threads."""
    if request.param == "threads":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    return str(request.param)


def drop_cache(paths: list[Path]) -> None:
    """Have the next read of these files come from the disk, where the file system goes along."""
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def fill(folder: Path, sizes: list[int] | tuple[int, ...], seed: int = 1) -> list[Path]:
    paths = []
    source = random.Random(seed)
    for number, size in enumerate(sizes):
        path = folder / f"{number:04d}"
        path.write_bytes(source.randbytes(size))
        paths.append(path)
    return paths


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """200 files, most of them small, some beyond every threshold."""
    source = random.Random(7)
    sizes = [*SIZES, *(source.choice((0, 10, 3000, PAGE, 9000, 40_000)) for _ in range(189))]
    return fill(tmp_path_factory.mktemp("tree"), sizes)


@pytest.mark.parametrize("order", ["completion", "input"])
@pytest.mark.parametrize("in_flight", [1, 2, 64])
@pytest.mark.parametrize("cold", [False, True])
def test_every_file_comes_whole_and_once(
    tree: list[Path], order: Any, in_flight: int, cold: bool
) -> None:
    if cold:
        drop_cache(tree)
    found = list(read_many(tree, order=order, in_flight=in_flight))
    if order == "input":
        assert [path for path, _ in found] == tree
    assert {path: data for path, data in found} == {path: path.read_bytes() for path in tree}
    assert len(found) == len(tree)


def test_the_path_is_the_object_that_was_given(tmp_path: Path) -> None:
    (path,) = fill(tmp_path, [10])
    given: list[Any] = [str(path), os.fsencode(path), path, *os.scandir(tmp_path)]
    results = list(read_many(given, order="input"))
    assert all(result is each for (result, _), each in zip(results, given, strict=True))
    assert {data for _, data in results} == {path.read_bytes()}


def test_paths_that_are_not_ascii(tmp_path: Path) -> None:
    names = [b"\xe4\xf6", "\u00e4\u00f6\u20ac".encode(), b"\xff", b"plain"]
    given: list[Any] = []
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as file:
            file.write(name)
        given += [path, os.fsdecode(path), Path(os.fsdecode(path))]
    for path, data in read_many(given):
        assert data == os.path.basename(os.fsencode(path))


def test_an_iterable_is_consumed_as_it_is_needed(tmp_path: Path) -> None:
    (path,) = fill(tmp_path, [10])
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    with read_many(endless()) as results:
        for _ in range(1000):
            assert next(results)[1] == path.read_bytes()
    assert 1000 <= taken <= 1400


def test_dir_fd(tmp_path: Path) -> None:
    fill(tmp_path, [10, 20])
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = dict(read_many(["0000", "0001"], dir_fd=fd))
    finally:
        os.close(fd)
    assert {path: len(data) for path, data in found.items()} == {"0000": 10, "0001": 20}


def test_nothing_to_read() -> None:
    assert list(read_many([])) == []
    assert list(read_many(iter(()), order="input")) == []


# Errors.


def special(folder: Path, unreadable: bool) -> dict[str, tuple[Path, type[Exception], int | None]]:
    """Things that are no readable regular files, with what reading them raises."""
    os.mkfifo(folder / "fifo")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(folder / "socket"))
    sock.close()
    found: dict[str, tuple[Path, type[Exception], int | None]] = {
        "missing": (folder / "missing", FileNotFoundError, errno.ENOENT),
        "folder": (folder, IsADirectoryError, errno.EISDIR),
        "fifo": (folder / "fifo", OSError, errno.EINVAL),
        "socket": (folder / "socket", OSError, errno.ENXIO),
        "device": (Path("/dev/zero"), OSError, errno.EINVAL),
        "not a folder": (Path("/dev/null/x"), NotADirectoryError, errno.ENOTDIR),
        "null": (Path("a\0b"), ValueError, None),
    }
    if unreadable:
        secret = folder / "secret"
        secret.write_bytes(b"secret")
        secret.chmod(0)
        found["secret"] = (secret, PermissionError, errno.EACCES)
    return found


@pytest.mark.parametrize("order", ["completion", "input"])
def test_errors_as_values(tmp_path: Path, order: Any) -> None:
    inner = tmp_path / "special"
    inner.mkdir()
    wrong = special(inner, unreadable=os.geteuid() != 0)
    good = fill(tmp_path, [100] * 20)
    paths = [*good[:7], *(path for path, *_ in wrong.values()), *good[7:]]
    found = list(read_many(paths, errors="yield", order=order))
    if order == "input":
        assert [path for path, _ in found] == paths
    results = dict(found)
    assert len(results) == len(paths)
    for path in good:
        assert results[path] == path.read_bytes()
    for path, kind, number in wrong.values():
        error = results[path]
        assert isinstance(error, kind), (path, error)
        if isinstance(error, OSError):
            assert (error.errno, error.filename) == (number, path)


def test_a_fifo_with_a_writer_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    os.write(writer, b"for somebody else")
    with pytest.raises(OSError, match="not a regular file"):
        list(read_many([path]))
    assert os.read(reader, 100) == b"for somebody else"
    os.close(reader)
    os.close(writer)


def test_the_first_error_ends_it(tmp_path: Path) -> None:
    good = fill(tmp_path, [100] * 100)
    results = read_many([*good[:50], tmp_path / "missing", *good[50:]], order="input")
    for path, data in zip(good[:50], (data for _, data in results), strict=False):
        assert data == path.read_bytes()
    with pytest.raises(FileNotFoundError) as caught:
        next(results)
    assert caught.value.filename == tmp_path / "missing"
    assert list(results) == []


@pytest.mark.parametrize("wrong", [7, None, 1.5, object(), ["x"]])
def test_what_is_no_path_is_told_after_what_came_before(tmp_path: Path, wrong: Any) -> None:
    good = fill(tmp_path, [100] * 3)
    results = read_many([*good, wrong, *good], errors="yield")
    assert [next(results)[0] for _ in good] == good
    with pytest.raises(TypeError):
        next(results)
    assert list(results) == []


def test_what_the_iterable_raises_is_told_after_what_came_before(tmp_path: Path) -> None:
    good = fill(tmp_path, [100] * 3)

    def broken() -> Iterator[Path]:
        yield from good
        raise LookupError("mine")

    results = read_many(broken())
    assert sorted(next(results)[0] for _ in good) == good
    with pytest.raises(LookupError, match="mine"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"in_flight": 0}, ValueError),
        ({"in_flight": 4097}, ValueError),
        ({"in_flight": "x"}, TypeError),
        ({"order": "none"}, ValueError),
        ({"errors": "ignore"}, ValueError),
        ({"max_bytes": 0}, ValueError),
        ({"max_bytes": -1}, ValueError),
        ({"out": bytearray(10)}, ValueError),
        ({"out": bytes(10)}, ValueError),
        ({"out": [bytearray(1)], "max_bytes": 5}, ValueError),
        ({"out": 5}, TypeError),
        ({"dir_fd": "x"}, TypeError),
    ],
)
def test_wrong_arguments(wrong: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        read_many([], **wrong)
    with pytest.raises(TypeError):
        read_many(5)  # type: ignore[arg-type]


# Files that change, and files without a size.


def test_proc_and_sys() -> None:
    names = ["/proc/self/cmdline", "/proc/self/maps", "/proc/cpuinfo", "/proc/version"]
    found = dict(read_many(names))
    for name in ["/proc/self/cmdline", "/proc/version"]:
        assert found[name] == Path(name).read_bytes()
    # It is larger than what is read of it in one go.
    assert len(found["/proc/self/maps"]) > 1000
    assert found["/proc/self/maps"].endswith(b"\n")
    assert found["/proc/cpuinfo"].count(b"\n") == Path("/proc/cpuinfo").read_bytes().count(b"\n")


def test_a_proc_file_of_many_pages() -> None:
    # One line for each symbol; whoever may not see addresses sees zeroes.
    name = "/proc/kallsyms"
    if not os.path.exists(name) or os.stat(name).st_mode & stat.S_IROTH == 0:
        pytest.skip("no /proc/kallsyms (CONFIG_KALLSYMS)")
    ((_, data),) = read_many([name])
    assert len(data) > 1 << 20
    assert data == Path(name).read_bytes()
    with pytest.raises(OSError, match="max_bytes") as caught:
        list(read_many([name], max_bytes=100_000))
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize("size", [100, 20_000, 3 << 20])
def test_a_file_that_shrinks_or_grows_after_it_was_opened(tmp_path: Path, size: int) -> None:
    # While the source is asked for more paths, the first ones may have been opened already; in any
    # case what is read is a prefix of what there was.
    paths = fill(tmp_path, [size] * 40)
    whole = {path: path.read_bytes() for path in paths}

    def changing() -> Iterator[Path]:
        for number, path in enumerate(paths):
            yield path
            if number % 2:
                os.truncate(paths[number - 1], size // 2)
            else:
                with path.open("ab") as file:
                    file.write(b"more")

    for path, data in read_many(changing(), in_flight=4, order="input"):
        full = whole[path] + b"more"
        assert full.startswith(data)
        assert len(data) in (size // 2, size, size + 4)


# Memory.


@pytest.mark.parametrize("order", ["completion", "input"])
@pytest.mark.parametrize("max_bytes", [100_000, 250_000, 2 << 20])
@pytest.mark.parametrize("cold", [False, True])
def test_max_bytes_bounds_what_is_held(
    tmp_path: Path, order: Any, max_bytes: int, cold: bool
) -> None:
    source = random.Random(max_bytes)
    sizes = [source.choice((0, 50, 5000, 30_000, 100_000)) for _ in range(150)]
    paths = fill(tmp_path, sizes)
    if cold:
        drop_cache(paths)
    results = read_many(paths, order=order, max_bytes=max_bytes)
    assert sorted(len(data) for _, data in results) == sorted(sizes)
    assert 0 < results.stats["peak_bytes"] <= max_bytes


def test_a_file_beyond_max_bytes_is_an_error_of_its_own(tmp_path: Path) -> None:
    paths = fill(tmp_path, [10, 1001, 1000, 50_000, 20])
    results = read_many(paths, max_bytes=1000, errors="yield", order="input")
    found = [data for _, data in results]
    assert [len(data) for data in found if isinstance(data, bytes)] == [10, 1000, 20]
    assert [error.errno for error in found if isinstance(error, OSError)] == [errno.EFBIG] * 2
    assert results.stats["peak_bytes"] <= 1000


def test_a_sparse_file_of_many_terabytes_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    try:
        with path.open("wb") as file:
            file.truncate(15 << 40)
    except OSError as error:
        pytest.skip(f"the file system has no file of 15 TiB: {error}")
    with pytest.raises(MemoryError):
        list(read_many([path]))


# Into buffers.


@pytest.mark.parametrize("order", ["completion", "input"])
def test_out_as_a_list_of_buffers(tmp_path: Path, order: Any) -> None:
    sizes = [0, 10, PAGE, 20_000, 3 << 20]
    paths = fill(tmp_path, sizes)
    out: list[Any] = [
        bytearray(4),
        memoryview(bytearray(100))[:10],
        np.zeros(PAGE // 8, dtype="<f8"),
        np.zeros((2, 10_000), dtype="u1"),
        bytearray((3 << 20) + 5),
    ]
    drop_cache(paths)
    for path, data in read_many(paths, out=out, order=order):
        assert isinstance(data, memoryview)
        assert data == path.read_bytes()
        assert not data.readonly
    for path, buffer, size in zip(paths, out, sizes, strict=True):
        assert bytes(memoryview(buffer).cast("B"))[:size] == path.read_bytes()
    # Nothing is exported any more.
    del data
    gc.collect()
    out[4].clear()


def test_out_as_an_array(tmp_path: Path) -> None:
    sizes = [800, 0, 799, 8]
    paths = fill(tmp_path, sizes)
    array = np.zeros((4, 10, 10), dtype="f8")
    for path, data in read_many(paths, out=array):
        assert data == path.read_bytes()
        assert np.shares_memory(np.asarray(data), array) or not data.nbytes
    for row, path, size in zip(array, paths, sizes, strict=True):
        assert row.tobytes()[:size] == path.read_bytes()


def test_what_does_not_fit_is_an_error(tmp_path: Path) -> None:
    paths = fill(tmp_path, [10, 11, 10])
    array = np.zeros((3, 10), dtype="u1")
    found = [data for _, data in read_many(paths, out=array, errors="yield", order="input")]
    assert isinstance(found[1], OSError)
    assert (found[1].errno, found[1].filename) == (errno.ENOBUFS, paths[1])
    assert [found[0], found[2]] == [paths[0].read_bytes(), paths[2].read_bytes()]
    # Without a size beforehand it is found out by reading.
    with pytest.raises(OSError, match="buffer in out"):
        list(read_many(["/proc/version"], out=[bytearray(5)]))
    version = Path("/proc/version").read_bytes()
    ((_, data),) = read_many(["/proc/version"], out=[bytearray(len(version))])
    assert data == version


def test_too_few_or_unfit_buffers(tmp_path: Path) -> None:
    paths = fill(tmp_path, [10, 10])
    results = read_many(paths, out=[bytearray(10)])
    assert next(results)[1] == paths[0].read_bytes()
    with pytest.raises(ValueError, match="more paths than buffers"):
        next(results)
    for unfit in (bytes(10), 5, np.zeros((4, 4))[:, 1]):
        with pytest.raises((TypeError, BufferError)):
            list(read_many(paths[:1], out=[unfit]))  # type: ignore[list-item]
    readonly = np.zeros((2, 10), dtype="u1")
    readonly.flags.writeable = False
    with pytest.raises(BufferError):
        read_many(paths, out=readonly)


# What was done how.


def test_stats_say_what_was_done_how(tree: list[Path], way: str) -> None:
    for path in tree:
        path.read_bytes()
    results = read_many(tree)
    total = sum(len(data) for _, data in results)
    stats = results.stats
    assert (stats["files"], stats["failed"], stats["bytes"]) == (len(tree), 0, total)
    assert stats["at_once"] > len(tree)
    assert stats["ring"] == 0 or way == "auto"
    alone = read_many(tree, in_flight=1)
    list(alone)
    assert alone.stats["backend"] == "syscalls"
    assert alone.stats["plain"] >= 2 * len(tree)


def test_cold_files_go_to_the_ring_or_to_threads(
    tree: list[Path], way: str, on_disk: Callable[[Path], None]
) -> None:
    on_disk(tree[0].parent)
    drop_cache(tree)
    results = read_many(tree)
    list(results)
    assert results.stats["backend"] == {"auto": "io_uring", "threads": "threads"}[way]


@pytest.fixture
def on_disk() -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        path = folder / "probe-of-the-cache"
        path.write_bytes(bytes(PAGE))
        drop_cache([path])
        fd = os.open(path, os.O_RDONLY)
        try:
            os.preadv(fd, [bytearray(PAGE)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            pytest.skip(f"the file system does not know RWF_NOWAIT: {error}")
        finally:
            os.close(fd)
            path.unlink()
        pytest.skip("the file system keeps its files in memory")

    return check


def test_require_uring(tmp_path: Path, way: str) -> None:
    paths = fill(tmp_path, [100])
    if way == "threads" or not uring_rs.is_supported():
        with pytest.raises(uring_rs.UringUnavailable):
            read_many(paths, require_uring=True)
    else:
        assert [data for _, data in read_many(paths, require_uring=True)] == [paths[0].read_bytes()]


def test_no_object_is_lost_for_each_file(tmp_path: Path) -> None:
    """PyO3's slices keep a reference to their numbers: one integer for each file was lost."""
    paths = [tmp_path / f"file{number}" for number in range(40)]
    for path in paths:
        path.write_bytes(bytes(1000))
    out = [bytearray(2000) for _ in paths]
    rows = memoryview(bytearray(40 * 2000)).cast("B", (40, 2000))

    def read() -> None:
        for into in (None, out, rows):
            assert all(len(data) == 1000 for _, data in read_many(paths, out=into))

    for _ in range(5):
        read()
    before = sys.getallocatedblocks()
    for _ in range(20):
        read()
    assert sys.getallocatedblocks() - before < 400

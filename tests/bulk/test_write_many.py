"""`write_many` on the real kernel: whole files under their names, whatever goes wrong."""

from __future__ import annotations

import array
import errno
import gc
import os
import resource
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import uring_rs
from uring_rs import WriteResult, write_many

Contents = dict[str, bytes]


@pytest.fixture(params=["auto", "disabled"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs over a ring and over threads."""
    if request.param == "disabled":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    return str(request.param)


def found(folder: Path) -> Contents:
    """Every file there, temporary ones included."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def some(count: int) -> Contents:
    return {f"f{n}": bytes([n % 251]) * (n * 137) for n in range(count)}


def at(folder: Path, contents: Contents) -> Iterator[tuple[Path, bytes]]:
    return ((folder / name, data) for name, data in contents.items())


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize("in_flight", [1, 2, 64])
def test_every_file_is_there(tmp_path: Path, in_flight: int, fsync: bool, backend: str) -> None:
    contents = some(30)
    result = write_many(at(tmp_path, contents), in_flight=in_flight, fsync=fsync)
    assert found(tmp_path) == contents
    assert isinstance(result, WriteResult)
    assert (result.files, result.bytes) == (30, sum(map(len, contents.values())))
    assert result.errors == []
    stats = result.stats
    assert (stats["fsyncs"], stats["directory_fsyncs"]) == ((30, 1) if fsync else (0, 0))
    if fsync and in_flight > 1 and backend == "disabled":
        assert stats["threads"] == 30
        assert stats["ring"] == stats["enters"] == 0
    if not fsync or in_flight == 1:
        # Nothing that a ring is good for.
        assert stats["ring"] == stats["threads"] == 0


def test_large_files_are_written_beside_each_other(tmp_path: Path) -> None:
    contents = {f"big{n}": os.urandom(6_000_001 + n) for n in range(4)}
    result = write_many(at(tmp_path, contents))
    assert found(tmp_path) == contents
    assert result.stats["ring"] + result.stats["threads"] > 0


def test_any_buffer_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    monkeypatch.chdir(tmp_path)
    pairs = [
        ("text", b"bytes"),
        (b"bytes", bytearray(b"bytearray")),
        (Path("path"), memoryview(b"0123456789")[2:5]),
        ("numbers", array.array("i", [1, 2, 3])),
        ["matrix", numpy.arange(12.0).reshape(3, 4)],
        ("empty", b""),
        ("d\u00fcnn", b"umlaut"),
    ]
    assert write_many(pairs).files == len(pairs)
    assert found(tmp_path) == {
        "text": b"bytes",
        "bytes": b"bytearray",
        "path": b"234",
        "numbers": array.array("i", [1, 2, 3]).tobytes(),
        "matrix": numpy.arange(12.0).tobytes(),
        "empty": b"",
        "d\u00fcnn": b"umlaut",
    }


def test_items_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    most = 0

    def items() -> Iterator[tuple[Path, bytes]]:
        nonlocal most
        for n in range(100):
            names = [name for name in os.listdir(tmp_path) if not name.startswith(".")]
            most = max(most, n - len(names))
            yield tmp_path / str(n), bytes(1000)

    write_many(items(), in_flight=8)
    assert most <= 8
    most = 0
    for name in found(tmp_path):
        os.unlink(tmp_path / name)
    write_many(items(), max_bytes=2500)
    assert most <= 3


@pytest.mark.parametrize("fsync", [False, True])
def test_the_last_of_the_same_name_counts(tmp_path: Path, fsync: bool) -> None:
    pairs = [(tmp_path / f"f{n % 3}", str(n).encode()) for n in range(60)]
    pairs += [(f"{tmp_path}/./f0", b"last")]
    assert write_many(pairs, fsync=fsync).files == 61
    assert found(tmp_path) == {"f0": b"last", "f1": b"58", "f2": b"59"}


def test_many_directories(tmp_path: Path) -> None:
    folders = [tmp_path / str(n) for n in range(150)]
    for folder in folders:
        folder.mkdir()
    for fsync in (False, True):
        result = write_many(((f / "x", f.name.encode()) for f in folders), fsync=fsync)
        assert all((f / "x").read_bytes() == f.name.encode() for f in folders)
        assert result.stats["directory_fsyncs"] == (150 if fsync else 0)


def test_a_directory_moved_between_batches(tmp_path: Path) -> None:
    def items() -> Iterator[tuple[Path, bytes]]:
        for n in range(3):
            (tmp_path / "now").mkdir()
            yield tmp_path / "now" / "x", b"%d" % n
            yield tmp_path / "now" / "y", b"%d" % n
            (tmp_path / "now").rename(tmp_path / f"then{n}")

    assert write_many(items(), in_flight=1, errors="collect").files == 6
    assert [found(tmp_path / f"then{n}")["x"] for n in range(3)] == [b"0", b"1", b"2"]


def test_dir_fd(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        write_many([("a", b"1")], dir_fd=fd, fsync=True)
        with socket.socket() as other, pytest.raises(NotADirectoryError):
            write_many([("a", b"2")], dir_fd=other)
    finally:
        os.close(fd)
    assert found(tmp_path) == {"a": b"1"}


def test_modes(tmp_path: Path) -> None:
    old_mask = os.umask(0o027)
    try:
        for name, mode in (("secret", 0o600), ("shared", 0o666), ("script", 0o755)):
            (tmp_path / name).touch()
            (tmp_path / name).chmod(mode)
        names = ["secret", "shared", "script", "new"]
        write_many((tmp_path / name, b"x") for name in names)
        write_many([(tmp_path / "own", b"x")], mode=0o640)
    finally:
        os.umask(old_mask)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in [*names, "own"]}
    assert modes == {
        "secret": 0o600,
        "shared": 0o666,
        "script": 0o755,
        "new": 0o640,
        "own": 0o640,
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_a_replaced_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"old")
    os.chown(tmp_path / "theirs", 12345, 54321)
    write_many([(tmp_path / "theirs", b"new"), (tmp_path / "mine", b"new")])
    found = (tmp_path / "theirs").stat()
    assert (found.st_uid, found.st_gid) == (12345, 54321)
    assert (tmp_path / "mine").stat().st_uid == 0


def test_links_are_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.link(tmp_path / "target", tmp_path / "hard")
    write_many((tmp_path / name, b"new") for name in ("link", "dangling", "hard"))
    assert found(tmp_path) == {"target": b"old", "link": b"new", "dangling": b"new", "hard": b"new"}
    assert not any(path.is_symlink() for path in tmp_path.iterdir())


def test_what_is_not_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    pairs = [(tmp_path / name, b"x") for name in ("folder", "fifo", "ok")]
    pairs += [(f"{tmp_path}/", b"x"), (f"{tmp_path}/..", b"x"), ("", b"x"), ("/", b"x")]
    result = write_many(pairs, errors="collect")
    kinds = [type(error) for _, error in result.errors]
    directory, exists, missing = IsADirectoryError, FileExistsError, FileNotFoundError
    assert kinds == [directory, exists, directory, directory, missing, directory]
    assert found(tmp_path) == {"ok": b"x"}
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_without_overwriting(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "link").symlink_to("nowhere")
    pairs = [(tmp_path / name, b"new") for name in ("old", "link", "new")]
    result = write_many(pairs, overwrite=False, errors="collect")
    assert [(path, type(error)) for path, error in result.errors] == [
        (tmp_path / "old", FileExistsError),
        (tmp_path / "link", FileExistsError),
    ]
    assert found(tmp_path) == {"old": b"old", "new": b"new"}

    def race() -> Iterator[tuple[Path, bytes]]:
        yield tmp_path / "raced", b"ours"
        (tmp_path / "raced").write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write_many(race(), overwrite=False)
    assert (tmp_path / "raced").read_bytes() == b"theirs"


def test_names_of_every_length(tmp_path: Path) -> None:
    names = ["n" * length for length in (1, 230, 237, 238, 239, 254, 255)]
    result = write_many([(tmp_path / name, b"x") for name in names])
    assert result.files == len(names)
    assert sorted(found(tmp_path)) == names
    with pytest.raises(OSError, match="Errno") as raised:
        write_many([(tmp_path / ("n" * 256), b"x")])
    assert raised.value.errno == errno.ENAMETOOLONG


@pytest.mark.parametrize("fsync", [False, True])
def test_the_first_error_ends_it(tmp_path: Path, fsync: bool) -> None:
    def items() -> Iterator[tuple[str, bytes]]:
        for n in range(10_000):
            yield f"{tmp_path}/{n}", b"x"
            if n == 100:
                yield f"{tmp_path}/no/such", b"x"

    with pytest.raises(FileNotFoundError) as raised:
        write_many(items(), fsync=fsync, in_flight=8)
    assert raised.value.filename == f"{tmp_path}/no/such"
    names = found(tmp_path)
    assert not any(name.startswith(".") for name in names)
    assert len(names) < 200
    assert set(names.values()) <= {b"x"}


@pytest.mark.parametrize("fsync", [False, True])
def test_what_the_items_raise_comes_after_those_before(tmp_path: Path, fsync: bool) -> None:
    def items() -> Iterator[object]:
        yield tmp_path / "a", b"x"
        yield tmp_path / "b", b"x"
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        write_many(items(), fsync=fsync)  # type: ignore[arg-type]
    assert found(tmp_path) == {"a": b"x", "b": b"x"}


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (("a",), TypeError),
        (("a", b"x", 1), TypeError),
        (("a", "text"), TypeError),
        ((1, b"x"), TypeError),
        (("a\0b", b"x"), ValueError),
        (7, TypeError),
        (("a", memoryview(b"abcd")[::2]), BufferError),
    ],
)
def test_bad_items(tmp_path: Path, item: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        write_many([(tmp_path / "good", b"x"), item], errors="collect")  # type: ignore[list-item]
    assert found(tmp_path) == {"good": b"x"}


def test_bad_arguments() -> None:
    for wrong in (
        {"in_flight": 0},
        {"in_flight": 5000},
        {"mode": 0o10000},
        {"max_bytes": 0},
        {"errors": "ignore"},
        {"dir_fd": -1},
    ):
        with pytest.raises(ValueError, match="must be"):
            write_many([], **wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_many(5)  # type: ignore[arg-type]
    assert write_many([]).files == 0


def test_requiring_a_ring(tmp_path: Path, backend: str) -> None:
    if backend == "disabled" or not uring_rs.is_supported():
        with pytest.raises(uring_rs.UringUnavailable):
            write_many([(tmp_path / "a", b"x")], require_uring=True)
        assert found(tmp_path) == {}
    else:
        result = write_many([(tmp_path / "a", b"x")] * 3, fsync=True, require_uring=True)
        assert result.stats["ring"] == 3


def test_buffers_are_locked_while_under_way(tmp_path: Path) -> None:
    buffer = bytearray(b"x" * 100)
    locked = []

    def items() -> Iterator[tuple[Path, bytearray]]:
        yield tmp_path / "a", buffer
        try:
            buffer.extend(b"more")
        except BufferError:
            locked.append(True)

    write_many(items())
    assert locked == [True]
    buffer.extend(b"now")
    assert found(tmp_path) == {"a": b"x" * 100}


def test_buffers_are_let_go_of_after_errors(tmp_path: Path) -> None:
    buffers = [bytearray(10) for _ in range(20)]
    pairs = [(tmp_path / f"no/{n}", buffer) for n, buffer in enumerate(buffers)]
    with pytest.raises(FileNotFoundError) as raised:
        write_many(pairs, fsync=True)
    del raised
    gc.collect()
    for buffer in buffers:
        buffer.append(1)


@pytest.mark.parametrize("fsync", [False, True])
def test_few_descriptors(tmp_path: Path, fsync: bool) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 12, hard))
    try:
        result = write_many(at(tmp_path, some(60)), fsync=fsync)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.files == 60
    assert found(tmp_path) == some(60)


def test_several_threads(tmp_path: Path) -> None:
    failed = []

    def work(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            write_many(at(folder, some(40)), fsync=number % 2 == 0)
            assert found(folder) == some(40)
            # All of them to one place: whole, whoever wins.
            write_many([(tmp_path / f"all{n}", b"%d" % number * 5000) for n in range(10)])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    everything = found(tmp_path)
    assert sorted(everything) == sorted(f"all{n}" for n in range(10))
    assert set(everything.values()) <= {b"%d" % n * 5000 for n in range(4)}


def test_within_itself(tmp_path: Path) -> None:
    def items() -> Iterator[tuple[Path, bytes]]:
        for n in range(3):
            assert write_many([(tmp_path / f"inner{n}", b"i")], fsync=True).files == 1
            yield tmp_path / f"outer{n}", b"o"

    write_many(items(), fsync=True)
    assert len(found(tmp_path)) == 6

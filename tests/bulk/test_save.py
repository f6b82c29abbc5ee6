"""`save` on the real kernel: one file from many buffers, past the page cache and through it."""

from __future__ import annotations

import errno
import gc
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import uring_rs
from uring_rs import SaveResult, save

DIRECT: list[bool | Literal["auto"]] = [True, False, "auto"]


@pytest.fixture(params=["auto", "disabled"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs over a ring and over threads."""
    if request.param == "disabled":
        monkeypatch.setenv("URING_RS_DISABLE", "1")
    return str(request.param)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "model").write_bytes(b"old")
    return tmp_path / "model"


def has_direct(folder: Path) -> bool:
    try:
        os.close(os.open(folder / "probe", os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        return False
    finally:
        (folder / "probe").unlink(missing_ok=True)
    return True


def left_alone(target: Path) -> bool:
    return os.listdir(target.parent) == ["model"] and target.read_bytes() == b"old"


@pytest.mark.parametrize("direct", DIRECT)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_what_was_given_is_there(
    target: Path, direct: bool | Literal["auto"], known: bool, depth: int
) -> None:
    if direct is True and not has_direct(target.parent):
        pytest.skip("the file system of the temporary folder has no O_DIRECT")
    sizes = [0, 1, 511, 4096, 100_000, 0, 8192, 4095, 70_001]
    buffers = [os.urandom(size) for size in sizes]
    whole = b"".join(buffers)
    result = save(
        target, buffers if known else iter(buffers), direct=direct, depth=depth, chunk=16384
    )
    assert target.read_bytes() == whole
    assert os.listdir(target.parent) == ["model"]
    assert isinstance(result, SaveResult)
    assert result.bytes == len(whole)
    if direct is not True and not (direct == "auto" and not known):
        assert not result.direct
    if direct is True:
        assert result.direct


def test_aligned_memory_goes_out_as_it_is(target: Path) -> None:
    if not has_direct(target.parent):
        pytest.skip("the file system of the temporary folder has no O_DIRECT")
    import mmap

    memory = mmap.mmap(-1, 1 << 20)
    memory.write(os.urandom(1 << 20))
    view = memoryview(memory)
    result = save(target, [view, view[: 1 << 19]], direct=True, chunk=1 << 16)
    assert result.stats["bounced"] == 0
    assert target.read_bytes() == bytes(view) + bytes(view[: 1 << 19])
    # After an odd piece the rest has to be moved, up to where blocks and memory agree again.
    result = save(target, [b"odd", view], direct=True, chunk=1 << 16)
    assert result.stats["bounced"] == 3 + (1 << 20)
    assert target.read_bytes() == b"odd" + bytes(view)
    pieces = [view[:4096], bytearray(4096), view]
    result = save(target, pieces, direct=True, chunk=1 << 16)
    assert result.stats["bounced"] <= 4096
    assert target.read_bytes() == b"".join(pieces)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 30_000), max_size=12),
    offsets=st.lists(st.integers(0, 5000), min_size=12, max_size=12),
    chunk=st.sampled_from([4096, 5000, 8192, 100_000]),
    depth=st.integers(1, 5),
    direct=st.sampled_from(DIRECT),
    size=st.sampled_from(["known", "unknown", "wrong"]),
    fsync=st.booleans(),
)
def test_any_sizes_and_alignments(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    offsets: list[int],
    chunk: int,
    depth: int,
    direct: bool | Literal["auto"],
    size: str,
    fsync: bool,
) -> None:
    folder = tmp_path_factory.mktemp("save")
    if direct is True and not has_direct(folder):
        direct = "auto"
    source = memoryview(os.urandom(40_000))
    buffers = [source[at : at + n] for at, n in zip(offsets, sizes, strict=False)]
    options = {"wrong": 12_345, "known": sum(sizes), "unknown": None}
    save(
        folder / "f",
        iter(buffers),
        direct=direct,
        chunk=chunk,
        depth=depth,
        size=options[size],
        fsync=fsync,
    )
    assert (folder / "f").read_bytes() == b"".join(buffers)
    assert os.listdir(folder) == ["f"]


def test_numpy(target: Path) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.arange(100_000.0).reshape(100, 1000), numpy.ones(7, numpy.uint8)]
    assert save(target, arrays).bytes == 800_007
    assert target.read_bytes() == arrays[0].tobytes() + arrays[1].tobytes()
    # NumPy says ValueError, others BufferError.
    with pytest.raises((BufferError, ValueError)):
        save(target, [arrays[0].T])


def test_progress(target: Path) -> None:
    told: list[int] = []
    save(target, iter([bytes(50_000)] * 20), chunk=8192, progress=told.append)
    assert told == sorted(set(told))
    assert told[-1] == 1_000_000

    def stop(written: int) -> None:
        raise LookupError(written)

    target.write_bytes(b"old")
    with pytest.raises(LookupError):
        save(target, iter([bytes(50_000)] * 20), chunk=8192, progress=stop)
    assert left_alone(target)


@pytest.mark.parametrize("direct", ["auto", False])
def test_what_the_buffers_raise(target: Path, direct: Literal["auto", False]) -> None:
    def buffers(last: object) -> Iterator[object]:
        yield bytes(100_000)
        yield b"x"
        if isinstance(last, Exception):
            raise last
        yield last

    for last, kind in ((LookupError("x"), LookupError), ("text", TypeError), (3, TypeError)):
        with pytest.raises(kind):
            save(target, buffers(last), direct=direct)  # type: ignore[arg-type]
        assert left_alone(target)


def test_buffers_are_locked_and_let_go_of(target: Path) -> None:
    first = bytearray(100_000)
    locked = []

    def buffers() -> Iterator[bytearray]:
        yield first
        try:
            first.append(1)
        except BufferError:
            locked.append(True)
        yield bytearray(5)

    save(target, buffers())
    assert locked == [True]
    first.append(1)
    with pytest.raises(NotADirectoryError) as raised:
        save(target / "no", [first])
    del raised
    gc.collect()
    first.append(1)


def test_errors_name_the_file(target: Path) -> None:
    missing = target.parent / "no" / "such"
    with pytest.raises(FileNotFoundError) as raised:
        save(missing, [b"x"])
    assert raised.value.filename == missing
    with pytest.raises(IsADirectoryError) as refused:
        save(target.parent, [b"x"])
    assert refused.value.filename == target.parent
    with pytest.raises(FileExistsError):
        save(target, [b"x"], overwrite=False)
    assert left_alone(target)


def test_direct_where_there_is_none() -> None:
    if not os.path.isdir("/dev/shm") or has_direct(Path("/dev/shm")):
        pytest.skip("no file system without O_DIRECT here (tmpfs has it since Linux 6.6)")
    with pytest.raises(OSError, match="Errno") as raised:
        save("/dev/shm/uring_rs-direct", [b"x"], direct=True)
    assert raised.value.errno == errno.EINVAL
    assert not save("/dev/shm/uring_rs-direct", iter([b"x"])).direct
    os.unlink("/dev/shm/uring_rs-direct")


def test_modes_and_links(target: Path) -> None:
    target.chmod(0o600)
    save(target, [b"new"])
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (target.parent / "link").symlink_to("model")
    save(target.parent / "link", [b"linked"])
    assert target.read_bytes() == b"new"
    assert not (target.parent / "link").is_symlink()


def test_bad_arguments(target: Path) -> None:
    for wrong in (
        {"chunk": 100},
        {"chunk": (1 << 30) + 1},
        {"depth": 0},
        {"depth": 65},
        {"size": -1},
        {"direct": "yes"},
        {"mode": -1},
        {"dir_fd": -5},
    ):
        with pytest.raises(ValueError, match="must be"):
            save(target, [b"x"], **wrong)  # type: ignore[arg-type]
    for buffers in (5, [5], ["text"]):
        with pytest.raises(TypeError):
            save(target, buffers)  # type: ignore[arg-type]
    assert left_alone(target)


def test_requiring_a_ring(target: Path, backend: str) -> None:
    if backend == "disabled" or not uring_rs.is_supported():
        with pytest.raises(uring_rs.UringUnavailable):
            save(target, [b"x"], require_uring=True)
        assert left_alone(target)
    else:
        assert save(target, [b"x"], require_uring=True).stats["ring"] > 0

"""GETXATTR, FGETXATTR, SETXATTR and FSETXATTR."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import failed, idle, one, several
from uring_rs import Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("GETXATTR", "FGETXATTR", "SETXATTR", "FSETXATTR")

NAME = "user.uring_rs"
LONGEST = 65536

# A way to name the file: the builder's prefix, and the file itself.
Way = tuple[str, Any]


@pytest.fixture(autouse=True)
def _attributes_possible(path: Path) -> None:
    try:
        os.setxattr(path, "user.probe", b"")
    except OSError as error:
        pytest.skip(f"no user attributes on this file system: {error}")


@pytest.fixture(params=["path", "bytes", "number", "object"])
def way(request: pytest.FixtureRequest, path: Path, fd: int) -> Way:
    if request.param in ("path", "bytes"):
        return "", os.fsencode(path) if request.param == "bytes" else path

    class File:
        def fileno(self) -> int:
            return fd

    return "f", fd if request.param == "number" else File()


def prep(ring: uring_rs.Ring, way: Way, call: str) -> Callable[..., uring_rs.Request]:
    """The builder for this way, its file given."""
    prefix, file = way
    return lambda *args, **kwargs: getattr(ring, f"prep_{prefix}{call}")(file, *args, **kwargs)


def test_set_and_get(ring: uring_rs.Ring, way: Way, path: Path) -> None:
    prep(ring, way, "setxattr")(NAME, b"value", user_data="x")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.value) == ("x", 0, None)
    assert cqe.op == ("FSETXATTR" if way[0] else "SETXATTR")
    assert os.getxattr(path, NAME) == b"value"
    prep(ring, way, "getxattr")(os.fsencode(NAME), user_data="y")
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.value) == ("y", 5, b"value")
    assert cqe.op == ("FGETXATTR" if way[0] else "GETXATTR")
    idle(ring)


def test_into_a_buffer(ring: uring_rs.Ring, way: Way, path: Path) -> None:
    os.setxattr(path, NAME, b"value")
    buf = bytearray(b"-" * 8)
    prep(ring, way, "getxattr")(NAME, buf)
    with pytest.raises(BufferError):
        buf.append(0)
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (5, None)
    assert buf == b"value---"
    buf.append(0)
    view = memoryview(buf)[2:7]
    prep(ring, way, "getxattr")(NAME, view)
    assert one(ring).result() == 5
    assert buf[:8] == b"vavalue-"
    prep(ring, way, "getxattr")(NAME, bytearray(4))
    failed(one(ring), OSError, errno.ERANGE)


def test_how_long_it_is(ring: uring_rs.Ring, way: Way, path: Path) -> None:
    os.setxattr(path, NAME, b"value")
    for keywords in ({"size": 0}, {"buf": bytearray()}):
        prep(ring, way, "getxattr")(NAME, **keywords)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (5, None)


def test_room(ring: uring_rs.Ring, way: Way, path: Path) -> None:
    os.setxattr(path, NAME, b"value")
    for size in (5, 6, LONGEST):
        prep(ring, way, "getxattr")(NAME, size=size)
        assert one(ring).value == b"value"
    prep(ring, way, "getxattr")(NAME, size=4)
    cqe = one(ring)
    failed(cqe, OSError, errno.ERANGE)
    assert cqe.value is None


def test_an_empty_value(ring: uring_rs.Ring, way: Way) -> None:
    prep(ring, way, "setxattr")(NAME, b"")
    assert one(ring).result() == 0
    prep(ring, way, "getxattr")(NAME)
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (0, b"")


def test_flags(ring: uring_rs.Ring, way: Way, path: Path) -> None:
    prep(ring, way, "setxattr")(NAME, b"1", os.XATTR_REPLACE)
    failed(one(ring), OSError, errno.ENODATA)
    prep(ring, way, "setxattr")(NAME, b"1", os.XATTR_CREATE)
    assert one(ring).result() == 0
    prep(ring, way, "setxattr")(NAME, b"2", os.XATTR_CREATE)
    failed(one(ring), FileExistsError, errno.EEXIST)
    prep(ring, way, "setxattr")(NAME, b"3", xattr_flags=os.XATTR_REPLACE)
    assert one(ring).result() == 0
    assert os.getxattr(path, NAME) == b"3"
    with pytest.raises(ValueError, match="xattr_flags does not take the bits 0x4"):
        prep(ring, way, "setxattr")(NAME, b"4", 5)


def test_failures(ring: uring_rs.Ring, way: Way) -> None:
    for name, number in (
        (NAME, errno.ENODATA),
        ("unheard.of", errno.EOPNOTSUPP),
        ("user." + "x" * 256, errno.ERANGE),
        ("", errno.ERANGE),
    ):
        prep(ring, way, "getxattr")(name)
        cqe = one(ring)
        failed(cqe, OSError, number)
        assert cqe.value is None
    prep(ring, way, "setxattr")(NAME, bytes(LONGEST + 1))
    failed(one(ring), OSError, errno.E2BIG)
    idle(ring)


def test_files_that_are_not(ring: uring_rs.Ring, path: Path, closed_fd: int) -> None:
    ring.prep_getxattr(path.parent / "absent", NAME)
    failed(one(ring), FileNotFoundError, errno.ENOENT)
    ring.prep_setxattr(path / "below", NAME, b"")
    failed(one(ring), NotADirectoryError, errno.ENOTDIR)
    ring.prep_fgetxattr(closed_fd, NAME)
    failed(one(ring), OSError, errno.EBADF)
    ring.prep_fsetxattr(closed_fd, NAME, b"")
    failed(one(ring), OSError, errno.EBADF)


def test_links_are_followed(ring: uring_rs.Ring, path: Path) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    ring.prep_setxattr(link, NAME, b"through")
    assert one(ring).result() == 0
    assert os.getxattr(path, NAME) == b"through"


def test_the_value_is_locked(ring: uring_rs.Ring, way: Way, path: Path) -> None:
    value = bytearray(b"value")
    prep(ring, way, "setxattr")(NAME, value)
    with pytest.raises(BufferError):
        value.clear()
    assert one(ring).result() == 0
    value.clear()
    assert os.getxattr(path, NAME) == b"value"


def test_arguments_are_copied(ring: uring_rs.Ring, path: Path) -> None:
    name, file = (NAME + "_copied").encode(), bytes(path) + b""
    ring.prep_setxattr(file, name, b"v" * 10)
    del name, file
    junk = [b"user.junk" * 3 for _ in range(100)]
    assert one(ring).result() == 0
    assert len(junk) == 100
    assert os.getxattr(path, NAME + "_copied") == b"v" * 10


def test_many_at_once(ring: uring_rs.Ring, path: Path) -> None:
    """Each request has room of its own."""
    for i in range(8):
        os.setxattr(path, f"{NAME}{i}", bytes([i]) * (i + 1))
        ring.prep_getxattr(path, f"{NAME}{i}", user_data=i)
    for cqe in several(ring, 8):
        assert cqe.value == bytes([cqe.user_data]) * (cqe.user_data + 1)


def test_sqe(ring: uring_rs.Ring, path: Path, fd: int) -> None:
    store, load = Sqe.fsetxattr(fd, NAME, b"one"), Sqe.getxattr(path, NAME)
    ring.push(store)
    assert one(ring).result() == 0
    for _ in range(2):
        ring.push(load)
        with pytest.raises(BufferError, match="in flight"):
            ring.push(load)  # the kernel writes into it
        assert one(ring).value == b"one"
    os.setxattr(path, NAME, b"2")
    ring.push(load)
    assert one(ring).value == b"2"
    os.removexattr(path, NAME)
    ring.push(load)
    cqe = one(ring)
    failed(cqe, OSError, errno.ENODATA)
    assert cqe.value is None
    ring.push(Sqe.setxattr(path, NAME, b"3"))
    assert one(ring).result() == 0
    buf = bytearray(1)
    shared = Sqe.fgetxattr(fd, NAME, buf)
    ring.push_many([shared, shared])  # into the caller's memory: the caller's affair
    assert [cqe.result() for cqe in several(ring, 2)] == [1, 1]
    assert buf == b"3"
    idle(ring)


def test_cancelled_before_it_starts(ring: uring_rs.Ring, path: Path) -> None:
    ring.prep_timeout(60, flags=SqeFlags.IO_LINK)
    ring.prep_setxattr(path, NAME, b"never", user_data="set", flags=SqeFlags.IO_LINK)
    ring.prep_getxattr(path, NAME, user_data="get")
    ring.submit()
    ring.prep_cancel_all()
    ring.submit(wait=4)
    found = {cqe.user_data: (cqe.res, cqe.value) for cqe in ring if cqe.user_data}
    assert found == {name: (-errno.ECANCELED, None) for name in ("set", "get")}
    assert NAME not in os.listxattr(path)


def test_bad_arguments(ring: uring_rs.Ring, way: Way) -> None:
    get, put = prep(ring, way, "getxattr"), prep(ring, way, "setxattr")
    for wrong in (None, 5, ["name"]):
        with pytest.raises(TypeError):
            get(wrong)
        with pytest.raises(TypeError):
            put(wrong, b"")
    for call in (lambda: get("a\0b"), lambda: put("a\0b", b"")):
        with pytest.raises(ValueError, match="null"):
            call()
    for size in (-1, LONGEST + 1):
        with pytest.raises(ValueError, match="size must be 0 to 65536"):
            get(NAME, size=size)
    buf = bytearray(8)
    with pytest.raises(ValueError, match="not both"):
        get(NAME, buf, size=8)
    with pytest.raises(BufferError):
        get(NAME, b"read-only")
    with pytest.raises(TypeError):
        get(NAME, 8)
    for text in ("text", None, 5):
        with pytest.raises(TypeError):
            put(NAME, text)
    buf.append(0)  # nothing was left locked
    with pytest.raises(TypeError):
        ring.prep_getxattr(3, NAME)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.prep_fgetxattr("path", NAME)  # type: ignore[arg-type]
    idle(ring)

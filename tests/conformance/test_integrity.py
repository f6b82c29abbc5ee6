"""READ and WRITE with protection information (T10 PI) beside the data.

Few devices keep any. Here it is tested what the kernel is given, that it looks at it and refuses
what has none, and that the memory stays until then.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one, results
from uring_rs import Features, PiFlags, RwAttrFlags, Sqe, SqeFlags
from uring_rs.testing import SimKernel

pytestmark = pytest.mark.requires_op("READ", "WRITE")

ALL = PiFlags.GUARD | PiFlags.REFTAG | PiFlags.APPTAG
BUILDERS = ["read_pi", "write_pi"]
LOCKED = "exports"


@pytest.fixture
def attributes(ring: uring_rs.Ring) -> None:
    if not ring.features & Features.RW_ATTR:
        pytest.skip("this kernel knows no attributes of reads and writes: Features.RW_ATTR")


@pytest.fixture(params=["buffered", "direct"])
def unprotected(request: pytest.FixtureRequest, path: Path) -> Iterator[int]:
    """A file that keeps no protection information."""
    more = os.O_DIRECT if request.param == "direct" else 0
    try:
        fd = os.open(path, os.O_RDWR | more)
    except OSError as error:
        pytest.skip(f"no O_DIRECT on this file system: {error}")
    yield fd
    os.close(fd)


@pytest.fixture(params=BUILDERS)
def builder(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["prep", "push"])
def do(request: pytest.FixtureRequest, ring: uring_rs.Ring) -> Callable[..., uring_rs.Request]:
    """Calls a builder of the ring, or pushes what that of Sqe made."""
    if request.param == "prep":
        return lambda name, *args, **kwargs: getattr(ring, f"prep_{name}")(*args, **kwargs)
    return lambda name, *args, **kwargs: ring.push(getattr(Sqe, name)(*args, **kwargs))


def address(buf: Any) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buf))


# --- what the kernel is given


def entry_of(sqe: Sqe) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Opcode, offset, address, length, attribute mask; and the attribute that it leads to."""
    data = bytes(memoryview(sqe))
    assert len(data) == 64
    offset, addr, length = struct.unpack_from("=QQI", data, 8)
    pointer, mask = struct.unpack_from("=QQ", data, 48)
    attribute = struct.unpack("=HHIQQQ", ctypes.string_at(pointer, 32))
    return (data[0], offset, addr, length, mask), attribute


def test_entry(builder: str) -> None:
    buf, pi = bytearray(1024), bytearray(16)
    operation = uring_rs.Op.READ if builder == "read_pi" else uring_rs.Op.WRITE
    sqe = getattr(Sqe, builder)(5, buf, pi, 4096)
    assert sqe.op == operation.name
    entry, attribute = entry_of(sqe)
    assert entry == (operation, 4096, address(buf), 1024, RwAttrFlags.PI)
    assert attribute == (ALL, 0, 16, address(pi), 0, 0)


def test_entry_with_everything(builder: str) -> None:
    buf, pi = bytearray(1024), bytearray(16)
    sqe = getattr(Sqe, builder)(
        5, buf, pi, -1, nbytes=512, checks=PiFlags.APPTAG, app_tag=0xFFFF, seed=2**64 - 1,
        rw_flags=9, ioprio=8,
    )  # fmt: skip
    entry, attribute = entry_of(sqe)
    assert entry[1:] == (2**64 - 1, address(buf), 512, RwAttrFlags.PI)
    assert attribute == (PiFlags.APPTAG, 0xFFFF, 16, address(pi), 2**64 - 1, 0)
    ioprio, rw_flags = struct.unpack_from("=2xH24xI", memoryview(sqe))[0:2]
    assert (ioprio, rw_flags) == (8, 9)


def test_plain_reads_have_no_attribute() -> None:
    assert bytes(memoryview(Sqe.read(5, bytearray(8)))[48:]) == bytes(16)


# --- what it answers


@pytest.mark.usefixtures("attributes")
def test_files_without_protection_are_refused(
    ring: uring_rs.Ring, unprotected: int, path: Path, builder: str, do: Callable[..., Any]
) -> None:
    """The same read or write without the information succeeds: it is looked at."""
    buf, pi = mmap.mmap(-1, 4096), bytearray(64)
    for checks in (ALL, PiFlags.GUARD, PiFlags(0)):
        do(builder, unprotected, buf, pi, 0, checks=checks, user_data="tag")
        cqe = one(ring)
        assert cqe.user_data == "tag"
        failed(cqe, OSError, errno.EINVAL)
    assert (buf[:], pi) == (bytes(4096), bytes(64))
    assert path.read_bytes() == CONTENT
    ring.prep_read(unprotected, buf, 0)
    assert one(ring).result() == 4096
    assert buf[:] == CONTENT
    idle(ring)
    buf.close()


@pytest.mark.usefixtures("attributes")
def test_other_files_are_refused(
    ring: uring_rs.Ring, pipe: Pipe, builder: str, do: Callable[..., Any]
) -> None:
    file = pipe.out if builder == "read_pi" else pipe.into
    do(builder, file, bytearray(8), bytearray(8), -1)
    failed(one(ring), OSError, errno.EINVAL)
    idle(ring)


@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize("flags", [SqeFlags.ASYNC, SqeFlags.IO_DRAIN])
def test_ways_to_be_done(
    ring: uring_rs.Ring, fd: int, builder: str, do: Callable[..., Any], flags: SqeFlags
) -> None:
    do(builder, fd, bytearray(8), bytearray(8), 0, flags=flags)
    assert one(ring).res == -errno.EINVAL
    idle(ring)


@pytest.mark.usefixtures("attributes")
def test_a_closed_file(
    ring: uring_rs.Ring, closed_fd: int, builder: str, do: Callable[..., Any]
) -> None:
    do(builder, closed_fd, bytearray(8), bytearray(8), 0)
    failed(one(ring), OSError, errno.EBADF)


@pytest.mark.parametrize("linux", [(6, 13), (6, 14)])
def test_kernels_that_would_leave_it_out(
    shared: bool, builder: str, linux: tuple[int, int]
) -> None:
    """An older one does not look there: it would read and write without any check."""
    kernel = SimKernel(1, linux=linux)
    file = kernel.file("data", b"contents")
    buf = bytearray(b"changed!")
    sqe = getattr(Sqe, builder)(file, buf, bytearray(8), 0)
    with uring_rs.Ring(8, shared=shared, kernel=kernel) as ring:
        calls = [
            lambda: getattr(ring, f"prep_{builder}")(file, buf, bytearray(8), 0),
            lambda: ring.push(sqe),
        ]
        for call in calls:
            if linux >= (6, 14):
                call()
                assert one(ring).res == -errno.EINVAL
                continue
            with pytest.raises(uring_rs.UnsupportedOperation, match="attributes") as caught:
                call()
            assert caught.value.since == (6, 14)
        idle(ring)
    assert kernel.contents("data") == b"contents"


# --- memory


@pytest.mark.usefixtures("attributes")
@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_both_buffers_are_locked_until_the_completion(
    ring: uring_rs.Ring, pipe: Pipe, fd: int, builder: str, do: Callable[..., Any], end: str
) -> None:
    """Behind a read that waits, so that it is in flight for as long as it takes."""
    buf, pi = bytearray(512), bytearray(8)
    first = ring.prep_read(pipe.out, bytearray(1), user_data="first", flags=SqeFlags.IO_LINK)
    do(builder, fd, buf, pi, 0, user_data="second")
    for _ in range(2):
        gc.collect()
        for each in (buf, pi):
            with pytest.raises(BufferError, match=LOCKED):
                each.clear()
        ring.submit()
    assert ring.in_flight == 2
    if end == "done":
        pipe.feed()
        assert results(ring, 2) == {"first": 1, "second": -errno.EINVAL}
    else:
        assert ring.cancel_sync(first) == 1
        found = results(ring, 2)
        assert found["second"] == -errno.ECANCELED
    gc.collect()
    buf.clear()
    pi.clear()
    idle(ring)


@pytest.mark.usefixtures("attributes")
def test_nobody_else_needs_to_hold_the_buffers(
    ring: uring_rs.Ring, pipe: Pipe, fd: int, builder: str, do: Callable[..., Any]
) -> None:
    ring.prep_read(pipe.out, bytearray(1), user_data="first", flags=SqeFlags.IO_LINK)
    do(builder, fd, bytearray(512), bytearray(8), 0, user_data="second")
    ring.submit()
    gc.collect()
    pipe.feed()
    assert results(ring, 2) == {"first": 1, "second": -errno.EINVAL}


@pytest.mark.usefixtures("attributes")
def test_a_ring_that_closes_lets_go_of_them(
    ring: uring_rs.Ring, pipe: Pipe, fd: int, builder: str, do: Callable[..., Any]
) -> None:
    buf, pi = bytearray(512), bytearray(8)
    ring.prep_read(pipe.out, bytearray(1), flags=SqeFlags.IO_LINK)
    do(builder, fd, buf, pi, 0)
    ring.submit()
    ring.close()
    gc.collect()
    buf.clear()
    pi.clear()


@pytest.mark.usefixtures("attributes")
def test_an_sqe_goes_more_than_once(ring: uring_rs.Ring, fd: int, builder: str) -> None:
    buf, pi = bytearray(512), bytearray(8)
    sqe = getattr(Sqe, builder)(fd, buf, pi, 0)
    requests = [ring.push(sqe) for _ in range(3)]
    ring.submit(wait=3)
    assert [cqe.res for cqe in ring] == [-errno.EINVAL] * 3
    assert not any(request.live for request in requests)
    with pytest.raises(BufferError):
        pi.clear()
    del sqe
    gc.collect()
    buf.clear()
    pi.clear()


@pytest.mark.usefixtures("attributes")
def test_on_a_direct_descriptor(ring: uring_rs.Ring, fd: int, builder: str) -> None:
    file = ring.register_files([fd])[0]
    assert file is not None
    getattr(ring, f"prep_{builder}")(file, bytearray(8), bytearray(8), 0)
    failed(one(ring), OSError, errno.EINVAL)
    idle(ring)


# --- arguments


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"file": "name"}, TypeError),
        ({"file": -1}, ValueError),
        ({"buf": 5}, TypeError),
        ({"buf": None}, TypeError),
        ({"buf": memoryview(bytes(16))[::2]}, BufferError),
        ({"pi": 5}, TypeError),
        ({"pi": None}, TypeError),
        ({"pi": "text"}, TypeError),
        ({"pi": memoryview(bytearray(16))[::2]}, BufferError),
        ({"offset": -2}, ValueError),
        ({"offset": 2**63}, OverflowError),
        ({"offset": "0"}, TypeError),
        ({"nbytes": -1}, ValueError),
        ({"nbytes": 9}, ValueError),
        ({"checks": 8}, ValueError),
        ({"checks": -1}, OverflowError),
        ({"checks": 1 << 16}, OverflowError),
        ({"app_tag": -1}, OverflowError),
        ({"app_tag": 1 << 16}, OverflowError),
        ({"seed": -1}, OverflowError),
        ({"seed": 1 << 64}, OverflowError),
        ({"rw_flags": -1}, OverflowError),
        ({"ioprio": 1 << 16}, OverflowError),
        ({"flags": 1 << 9}, ValueError),
    ],
)
def test_bad_arguments(
    ring: uring_rs.Ring,
    fd: int,
    builder: str,
    do: Callable[..., Any],
    changed: dict[str, Any],
    error: type[Exception],
) -> None:
    buf, pi = bytearray(8), bytearray(8)
    with pytest.raises(error):
        do(builder, **{"file": fd, "buf": buf, "pi": pi, "offset": 0, **changed})
    idle(ring)
    buf.clear()
    pi.clear()


@pytest.mark.parametrize("which", ["buf", "pi"])
def test_reads_need_writable_memory(
    ring: uring_rs.Ring, fd: int, do: Callable[..., Any], which: str
) -> None:
    buf, pi = bytearray(8), bytearray(8)
    with pytest.raises(BufferError):
        do("read_pi", **{"file": fd, "buf": buf, "pi": pi, "offset": 0, which: b"constant"})
    idle(ring)
    buf.clear()
    pi.clear()


@pytest.mark.usefixtures("attributes")
def test_writes_take_constants(ring: uring_rs.Ring, fd: int, do: Callable[..., Any]) -> None:
    do("write_pi", fd, b"constant", b"constant", 0)
    assert one(ring).res == -errno.EINVAL


def test_the_offset_must_be_given(ring: uring_rs.Ring, fd: int, do: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="offset"):
        do("read_pi", fd, bytearray(8), bytearray(8))
    idle(ring)

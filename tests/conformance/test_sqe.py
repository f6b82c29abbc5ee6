"""Sqe: the same builders apart from any ring, and the 64 bytes that each makes."""

from __future__ import annotations

import ctypes
import gc
import inspect
import mmap
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import uring_rs
from uring_rs import EpollOp, Op, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("NOP", "READ")

FIELDS = (
    "opcode",
    "flags",
    "ioprio",
    "fd",
    "off",
    "addr",
    "len",
    "op_flags",
    "user_data",
    "buf_index",
    "personality",
    "file_index",
    "addr3",
    "pad2",
)
LAYOUT = struct.Struct("=BBHiQQIIQHHIQQ")
HERE = 2**64 - 1  # the file's own position
SOME = "somewhere"  # an address of the library's own, not zero

AT_FDCWD = -100

# Name, builder, arguments, and the fields expected.
Case = tuple[str, Callable[..., Sqe], tuple[Any, ...], dict[str, Any], dict[str, Any]]

BUF = bytearray(100)
MAP = mmap.mmap(-1, 2 * mmap.PAGESIZE)


def entry(sqe: Sqe) -> dict[str, int]:
    """The fields that are not zero."""
    view = memoryview(sqe)
    assert (view.nbytes, view.readonly, view.itemsize) == (64, True, 1)
    fields = dict(zip(FIELDS, LAYOUT.unpack(view), strict=True))
    return {name: value for name, value in fields.items() if value}


def place(buf: Any) -> int:
    """Where a writable buffer is in memory."""
    return ctypes.addressof((ctypes.c_char * len(buf)).from_buffer(buf))


# --- the entry of each builder


def builders() -> Iterator[Case]:
    """Name, arguments and expected fields; SOME stands for an address of the library's own."""
    at = place(BUF)
    rw = {"fd": 5, "addr": at, "len": 100}
    vector = {"fd": 5, "addr": SOME, "len": 2}
    message = {"fd": 5, "addr": SOME, "len": 1}
    yield "nop", Sqe.nop, (), {}, {"fd": -1}
    yield "read", Sqe.read, (5, BUF), {}, {**rw, "off": HERE}
    yield "read", Sqe.read, (5, BUF, 7, 3), {}, {**rw, "off": 7, "len": 3}
    options = {"rw_flags": 9, "ioprio": 8}
    yield "read", Sqe.read, (5, BUF, 0), options, {**rw, "op_flags": 9, "ioprio": 8}
    yield "write", Sqe.write, (5, BUF), {}, {**rw, "off": HERE}
    yield "write", Sqe.write, (5, BUF, 7, 3), options, {
        **rw, "off": 7, "len": 3, "op_flags": 9, "ioprio": 8,
    }  # fmt: skip
    yield "readv", Sqe.readv, (5, [BUF, BUF]), {}, {**vector, "off": HERE}
    yield "readv", Sqe.readv, (5, [BUF, BUF], 7), options, {
        **vector, "off": 7, "op_flags": 9, "ioprio": 8,
    }  # fmt: skip
    yield "writev", Sqe.writev, (5, [BUF, BUF], 7), {}, {**vector, "off": 7}
    yield "fsync", Sqe.fsync, (5,), {}, {"fd": 5}
    ranged = {"datasync": True, "offset": 3, "nbytes": 4}
    yield "fsync", Sqe.fsync, (5,), ranged, {"fd": 5, "off": 3, "len": 4, "op_flags": 1}
    yield "fdatasync", Sqe.fdatasync, (5,), {}, {"fd": 5, "op_flags": 1}
    yield "sync_file_range", Sqe.sync_file_range, (5,), {}, {"fd": 5, "op_flags": 7}
    yield "sync_file_range", Sqe.sync_file_range, (5, 3, 4, 2), {}, {
        "fd": 5, "off": 3, "len": 4, "op_flags": 2,
    }  # fmt: skip
    yield "openat", Sqe.openat, ("path",), {}, {
        "fd": AT_FDCWD, "addr": SOME, "len": 0o777, "op_flags": os.O_CLOEXEC,
    }  # fmt: skip
    yield "openat", Sqe.openat, ("path", os.O_RDWR, 0o600), {"dir_fd": 5}, {
        "fd": 5, "addr": SOME, "len": 0o600, "op_flags": os.O_RDWR | os.O_CLOEXEC,
    }  # fmt: skip
    yield from path_builders()
    yield from file_builders()
    yield "close", Sqe.close, (5,), {}, {"fd": 5}
    yield "accept", Sqe.accept, (5,), {}, {
        "fd": 5, "addr": SOME, "off": SOME, "op_flags": socket.SOCK_CLOEXEC,
    }  # fmt: skip
    yield "connect", Sqe.connect, (5, ("127.0.0.1", 80)), {}, {"fd": 5, "addr": SOME, "off": 16}
    yield "connect", Sqe.connect, (5, ("::1", 80)), {}, {"fd": 5, "addr": SOME, "off": 28}
    yield "connect", Sqe.connect, (5, "/path"), {}, {"fd": 5, "addr": SOME, "off": 8}
    yield "connect", Sqe.connect, (5, b"\0name"), {}, {"fd": 5, "addr": SOME, "off": 7}
    yield "send", Sqe.send, (5, BUF), {}, rw
    yield "send", Sqe.send, (5, BUF, 6, 3), {"ioprio": 1}, {
        **rw, "len": 3, "op_flags": 6, "ioprio": 1,
    }  # fmt: skip
    length = int.from_bytes(struct.pack("=HH", 16, 0), sys.byteorder)
    yield "send", Sqe.send, (5, BUF), {"address": ("127.0.0.1", 80)}, {
        **rw, "off": SOME, "file_index": length,
    }  # fmt: skip
    yield "recv", Sqe.recv, (5, BUF), {}, rw
    yield "recv", Sqe.recv, (5, BUF, 6, 3), {"ioprio": 1}, {
        **rw, "len": 3, "op_flags": 6, "ioprio": 1,
    }  # fmt: skip
    yield "sendmsg", Sqe.sendmsg, (5, [BUF], (), 6), {"ioprio": 1}, {
        **message, "op_flags": 6, "ioprio": 1,
    }  # fmt: skip
    yield "recvmsg", Sqe.recvmsg, (5, [BUF], 64, 6), {"ioprio": 1}, {
        **message, "op_flags": 6, "ioprio": 1,
    }  # fmt: skip
    yield "poll_add", Sqe.poll_add, (5, 1), {}, {"fd": 5, "op_flags": _poll(1)}
    yield "poll_add", Sqe.poll_add, (5, 1 << 31), {"multishot": True}, {
        "fd": 5, "op_flags": _poll(1 << 31), "len": 1,
    }  # fmt: skip
    timed = {"fd": -1, "addr": SOME, "len": 1}
    yield "timeout", Sqe.timeout, (1,), {}, timed
    yield "timeout", Sqe.timeout, (1,), {"count": 3, "absolute": True}, {
        **timed, "off": 3, "op_flags": 1,
    }  # fmt: skip
    yield "timeout", Sqe.timeout, (1,), {"clock": "boottime"}, {**timed, "op_flags": 1 << 2}
    every = {"clock": "realtime", "etime_success": True}
    yield "timeout", Sqe.timeout, (1,), every, {**timed, "op_flags": 1 << 3 | 1 << 5}
    yield "link_timeout", Sqe.link_timeout, (1,), {"absolute": True}, {**timed, "op_flags": 1}
    yield "cancel_fd", Sqe.cancel_fd, (5,), {}, {"fd": 5, "op_flags": 1 << 1}
    yield "cancel_fd", Sqe.cancel_fd, (5,), {"all": True}, {"fd": 5, "op_flags": 1 << 1 | 1}
    yield "cancel_all", Sqe.cancel_all, (), {}, {"fd": -1, "op_flags": 1 << 2 | 1}
    yield "epoll_ctl", Sqe.epoll_ctl, (5, EpollOp.MOD, 6, 1), {}, {
        "fd": 5, "off": 6, "len": 3, "addr": SOME,
    }  # fmt: skip


def path_builders() -> Iterator[Case]:
    """Those that take a path."""
    here = {"fd": AT_FDCWD, "addr": SOME}
    there = {"fd": 5, "addr": SOME}
    two = {**here, "len": AT_FDCWD & 0xFFFF_FFFF, "off": SOME}
    far = {"fd": 5, "addr": SOME, "len": 6, "off": SOME}
    dirs = {"src_dir_fd": 5, "dst_dir_fd": 6}
    yield "openat2", Sqe.openat2, ("p",), {}, {**here, "off": SOME, "len": 24}
    every = (os.O_CREAT, 0o600, 1)
    yield "openat2", Sqe.openat2, ("p", *every), {"dir_fd": 5}, {**there, "off": SOME, "len": 24}
    yield "rename", Sqe.rename, ("p", "q"), {}, two
    yield "renameat", Sqe.renameat, ("p", "q"), {**dirs, "rename_flags": 1}, {**far, "op_flags": 1}
    yield "link", Sqe.link, ("p", "q"), {"link_flags": 0x400}, {**two, "op_flags": 0x400}
    yield "linkat", Sqe.linkat, ("p", "q"), {**dirs, "link_flags": 0x1000}, {
        **far, "op_flags": 0x1000,
    }  # fmt: skip
    yield "unlink", Sqe.unlink, ("p",), {}, here
    yield "unlinkat", Sqe.unlinkat, ("p", 0x200), {"dir_fd": 5}, {**there, "op_flags": 0x200}
    yield "mkdir", Sqe.mkdir, ("p",), {}, {**here, "len": 0o777}
    yield "mkdirat", Sqe.mkdirat, ("p", 0o700), {"dir_fd": 5}, {**there, "len": 0o700}
    yield "symlink", Sqe.symlink, ("p", "q"), {}, {**here, "off": SOME}
    yield "symlinkat", Sqe.symlinkat, ("p", "q"), {"dir_fd": 5}, {**there, "off": SOME}
    yield "statx", Sqe.statx, ("p",), {}, {**here, "off": SOME, "len": 0xFFF}
    yield "statx", Sqe.statx, ("p", 0x800, 3), {"dir_fd": 5, "follow_symlinks": False}, {
        **there, "off": SOME, "len": 3, "op_flags": 0x900,
    }  # fmt: skip
    yield "statx", Sqe.statx, (5,), {}, {**there, "off": SOME, "len": 0xFFF, "op_flags": 0x1000}
    named = {"fd": -1, "addr": SOME, "addr3": SOME}
    yield "getxattr", Sqe.getxattr, ("p", "n"), {}, {**named, "off": SOME, "len": 65536}
    yield "getxattr", Sqe.getxattr, ("p", "n"), {"size": 0}, named
    yield "getxattr", Sqe.getxattr, ("p", "n", BUF), {}, {**named, "off": place(BUF), "len": 100}
    yield "setxattr", Sqe.setxattr, ("p", "n", BUF, 2), {}, {
        **named, "off": place(BUF), "len": 100, "op_flags": 2,
    }  # fmt: skip


def file_builders() -> Iterator[Case]:
    """Those about the space and the attributes of files, and pipes."""
    value = {"fd": 5, "addr": SOME, "off": place(BUF), "len": 100}
    yield "fgetxattr", Sqe.fgetxattr, (5, "n"), {"size": 9}, {
        "fd": 5, "addr": SOME, "off": SOME, "len": 9,
    }  # fmt: skip
    yield "fgetxattr", Sqe.fgetxattr, (5, "n", BUF), {}, value
    yield "fsetxattr", Sqe.fsetxattr, (5, "n", BUF, 1), {}, {**value, "op_flags": 1}
    yield "fallocate", Sqe.fallocate, (5, 3, 1 << 40, 1), {}, {
        "fd": 5, "off": 3, "addr": 1 << 40, "len": 1,
    }  # fmt: skip
    yield "ftruncate", Sqe.ftruncate, (5, 1 << 40), {}, {"fd": 5, "off": 1 << 40}
    yield "fadvise", Sqe.fadvise, (5, 3, 4, 2), {}, {"fd": 5, "off": 3, "len": 4, "op_flags": 2}
    yield "fadvise", Sqe.fadvise, (5, 3, 1 << 32, 2), {}, {
        "fd": 5, "off": 3, "addr": 1 << 32, "op_flags": 2,
    }  # fmt: skip
    size = mmap.PAGESIZE
    yield "madvise", Sqe.madvise, (MAP, 3), {}, {
        "fd": -1, "addr": place(MAP), "len": 2 * size, "op_flags": 3,
    }  # fmt: skip
    yield "madvise", Sqe.madvise, (MAP, 4, size, size), {}, {
        "fd": -1, "addr": place(MAP) + size, "len": size, "op_flags": 4,
    }  # fmt: skip
    yield "splice", Sqe.splice, (5, 6, 7), {}, {
        "fd": 6, "file_index": 5, "len": 7, "off": HERE, "addr": HERE,
    }  # fmt: skip
    yield "splice", Sqe.splice, (5, 6, 7, 8, 9, 1 << 31), {}, {
        "fd": 6, "file_index": 5, "len": 7, "off": 9, "addr": 8, "op_flags": 1 << 31,
    }  # fmt: skip
    yield "tee", Sqe.tee, (5, 6, 7, 2), {}, {"fd": 6, "file_index": 5, "len": 7, "op_flags": 2}


def _poll(events: int) -> int:
    """Big-endian machines have the half words the other way round."""
    if sys.byteorder == "big":
        return (events << 16 | events >> 16) & 0xFFFF_FFFF
    return events


OPCODES = {
    "fdatasync": Op.FSYNC,
    "cancel": Op.ASYNC_CANCEL,
    "cancel_fd": Op.ASYNC_CANCEL,
    "cancel_all": Op.ASYNC_CANCEL,
    "poll_update": Op.POLL_REMOVE,
    "timeout_update": Op.TIMEOUT_REMOVE,
    "rename": Op.RENAMEAT,
    "link": Op.LINKAT,
    "unlink": Op.UNLINKAT,
    "mkdir": Op.MKDIRAT,
    "symlink": Op.SYMLINKAT,
}


def _opcode(name: str) -> Op:
    return OPCODES.get(name) or Op[name.upper()]


def _same(got: dict[str, int], expected: dict[str, Any]) -> bool:
    names = {name for name, value in expected.items() if value}
    return set(got) == names and all(
        got[name] == expected[name] or expected[name] == SOME for name in names
    )


@pytest.mark.parametrize("case", list(builders()), ids=lambda case: case[0])
def test_entry(case: Any) -> None:
    name, build, arguments, keywords, expected = case
    tag = object()
    sqe = build(*arguments, **keywords, user_data=tag, flags=SqeFlags.ASYNC, personality=3)
    opcode = _opcode(name)
    common = {"opcode": int(opcode), "flags": 1 << 4, "personality": 3}
    assert _same(entry(sqe), {**common, **expected})
    assert sqe.op == opcode.name
    assert sqe.flags == SqeFlags.ASYNC
    assert sqe.user_data is tag
    assert repr(sqe).startswith(f"<Sqe {opcode.name} ")


def test_entries_about_other_requests(ring: uring_rs.Ring) -> None:
    request, limit = ring.prep_timeout(100), ring.prep_link_timeout(100)
    ring.discard()
    to = {"fd": -1, "addr": request.key}
    cases: list[tuple[str, Sqe, dict[str, Any]]] = [
        ("cancel", Sqe.cancel(request), to),
        ("poll_remove", Sqe.poll_remove(request), to),
        ("poll_update", Sqe.poll_update(request, 5), {**to, "len": 2, "op_flags": _poll(5)}),
        ("timeout_remove", Sqe.timeout_remove(request), to),
        (
            "timeout_update",
            Sqe.timeout_update(request, 1, absolute=True),
            {**to, "off": SOME, "op_flags": 1 << 1 | 1},
        ),
        (
            "timeout_update",
            Sqe.timeout_update(limit, 1),
            {"fd": -1, "addr": limit.key, "off": SOME, "op_flags": 1 << 1 | 1 << 4},
        ),
    ]
    for name, sqe, expected in cases:
        assert _same(entry(sqe), {"opcode": int(_opcode(name)), **expected}), (name, entry(sqe))


def test_entries_with_pool_buffers(ring: uring_rs.Ring) -> None:
    with ring.buffer_pool(3, 4096) as pool:
        buf = [pool.take() for _ in range(3)][2]
        at = place(buf)
        for build, op in ((Sqe.read_fixed, 4), (Sqe.write_fixed, 5)):
            sqe = build(5, buf, 7, 10, start=20, rw_flags=1, ioprio=2)
            assert entry(sqe) == {
                "opcode": op, "fd": 5, "off": 7, "addr": at + 20, "len": 10, "op_flags": 1,
                "ioprio": 2, "buf_index": buf.index,
            }  # fmt: skip
            del sqe
        for vectored, op in ((Sqe.readv_fixed, 60), (Sqe.writev_fixed, 61)):
            sqe = vectored(5, buf, [(1, 2), (3, 4)], 7, rw_flags=1, ioprio=2)
            assert _same(entry(sqe), {
                "opcode": op, "fd": 5, "off": 7, "addr": SOME, "len": 2, "op_flags": 1,
                "ioprio": 2, "buf_index": buf.index,
            })  # fmt: skip
            del sqe
        gc.collect()


def test_the_same_builders_as_a_ring() -> None:
    preps = {name.removeprefix("prep_") for name in dir(uring_rs.Ring) if name.startswith("prep_")}
    preps = {name for name in preps if not name.endswith("_batch")}  # those are many requests
    others = {"op", "flags", "user_data"}
    assert {name for name in dir(Sqe) if not name.startswith("_")} - others == preps
    for name in preps:
        parameters = inspect.signature(getattr(Sqe, name)).parameters.values()
        of_ring = inspect.signature(getattr(uring_rs.Ring, f"prep_{name}")).parameters.values()
        # Not the values of the defaults: a signature in text may say "..." for one.
        assert [(p.name, p.kind, p.default is p.empty) for p in parameters] == [
            (p.name, p.kind, p.default is p.empty) for p in of_ring if p.name != "self"
        ]


def test_read_only_memory() -> None:
    sqe = Sqe.nop()
    view = memoryview(sqe)
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 1
    with pytest.raises((BufferError, TypeError), match=r"read-only|read-write"):
        os.readv(0, [sqe])  # type: ignore[list-item]
    assert view.obj is sqe
    del sqe
    gc.collect()
    assert len(view.tobytes()) == 64


def test_bad_arguments() -> None:
    with pytest.raises(TypeError):
        Sqe()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="negative"):
        Sqe.read(-1, bytearray(1))
    with pytest.raises(BufferError):
        Sqe.read(0, b"fixed")
    with pytest.raises(ValueError, match="SqeFlags"):
        Sqe.nop(flags=1 << 9)
    buf = bytearray(4)
    with pytest.raises(ValueError, match="nbytes"):
        Sqe.read(0, buf, 0, 5)
    with pytest.raises(BufferError):
        Sqe.readv(0, [buf, b"fixed"])
    buf.append(0)  # no lock was left on it

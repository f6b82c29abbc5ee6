"""What a type checker must conclude. Checked by mypy --strict, never run."""

from __future__ import annotations

import array
import asyncio
import errno
import mmap
import os
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, assert_type

import uring_rs
from uring_rs import Completion, Request, Ring, Sqe, SqeFlags
from uring_rs.selectors import UringSelector


def life(file: BinaryIO) -> None:
    with Ring(64, cq_entries=256, sq_full="raise") as ring:
        assert_type(ring, Ring)
        assert_type(ring.sq_entries, int)
        assert_type(ring.closed, bool)
        assert_type(ring.prep_nop(), Request)
        assert_type(ring.submit(wait=1, timeout=0.5), int)
        assert_type(ring.peek(), Completion | None)
        assert_type(ring.reap(), list[Completion])
        assert_type(ring.completions(min=1), Iterator[Completion])
        for cqe in ring:
            assert_type(cqe, Completion)
            assert_type(cqe.user_data, Any)
            assert_type(cqe.result(), int)
            user_data, res, flags = cqe
            print(user_data, res, flags)


def destinations(ring: Ring, file: BinaryIO, path: Path) -> None:
    ring.prep_read(0, bytearray(8))
    ring.prep_read(file, memoryview(bytearray(8))[2:4], offset=0, nbytes=1)
    ring.prep_read(file, array.array("d", [0.0]), user_data=object())
    ring.prep_read(file, mmap.mmap(-1, 4096), flags=SqeFlags.IO_LINK | SqeFlags.ASYNC)
    ring.prep_write(file, b"bytes", 0)
    ring.prep_writev(file, [b"one", bytearray(b"two"), memoryview(b"three")])
    ring.prep_openat(path)
    ring.prep_openat("path")
    ring.prep_openat(b"path")


def files(ring: Ring, file: BinaryIO, path: Path) -> None:
    ring.prep_openat2(path, os.O_RDONLY, resolve=uring_rs.ResolveFlags.BENEATH, dir_fd=3)
    ring.prep_renameat(path, b"new", dst_dir_fd=file, rename_flags=uring_rs.RenameFlags.EXCHANGE)
    ring.prep_unlink(path, uring_rs.AtFlags.REMOVEDIR)
    ring.prep_statx(path, mask=uring_rs.StatxMask.SIZE)
    ring.prep_statx(file)
    ring.prep_getxattr(path, "user.name", bytearray(8))
    ring.prep_fsetxattr(file, "user.name", b"value", os.XATTR_CREATE)
    ring.prep_madvise(mmap.mmap(-1, 4096), uring_rs.MadviseAdvice.COLD)
    ring.prep_splice(file, 1, 10, offset_src=0)
    for cqe in ring:
        if isinstance(cqe.value, uring_rs.StatxResult):
            assert_type(cqe.value.st_size, int)
            assert_type(cqe.value.st_birthtime_ns, int | None)


def sockets(ring: Ring, sock: socket.socket) -> None:
    request = ring.prep_accept(sock)
    assert_type(ring.prep_cancel(request), Request)
    ring.prep_connect(sock, ("127.0.0.1", 80))
    ring.prep_connect(sock, ("::1", 80, 0, 0))
    ring.prep_connect(sock, "/run/socket")
    ring.prep_sendmsg(sock, [b"data"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, b"")])
    ring.prep_send_zc(sock, [b"data", bytearray(1)], address=("127.0.0.1", 9))
    ring.prep_setsockopt(sock, socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def apart(ring: Ring) -> None:
    sqe = Sqe.nop()
    assert_type(sqe, Sqe)
    assert_type(ring.push(sqe), Request)
    assert_type(ring.push_many([sqe, sqe]), list[Request])
    assert_type(ring.rearm(sqe).live, bool)
    assert_type(ring.find("client"), list[Request])
    assert_type(bytes(sqe), bytes)


def registered(ring: Ring) -> None:
    with ring.register_personality() as personality:
        assert_type(personality, uring_rs.Personality)
        ring.unregister_personality(personality)
    assert_type(ring.register_iowq_max_workers(1), tuple[int, int])
    ring.register_iowq_aff({0, 1})
    assert_type(ring.register_napi(0.001), uring_rs.NapiSettings)
    ring.register_clock("boottime")
    assert_type(ring.cancel_sync(ring.prep_nop()), int)
    assert_type(bytes(ring.register_region(4096)), bytes)
    uring_rs.send_msg(ring, 1, 2)
    assert_type(uring_rs.query().features, uring_rs.Features)
    only = uring_rs.Restrictions(sqe_ops=["READ", uring_rs.Op.NOP, 23])
    assert_type(Ring(8, restrictions=only).restrictions, uring_rs.Restrictions | None)


def tracing() -> None:
    def trace(event: str, facts: dict[str, object]) -> None:
        print(event, facts)

    Ring(8, trace=trace)


def failures() -> None:
    found = uring_rs.probe()
    assert_type(found.ok, bool)
    assert_type(found.reason, str)
    assert_type(found.hint, str)
    assert_type(uring_rs.is_supported(), bool)
    try:
        Ring(8)
    except uring_rs.UringUnavailable as error:
        assert_type(error.reason, str)
        assert_type(error.hint, str)
    except uring_rs.UringError as error:
        assert_type(error.errno, int | None)
        if error.errno == errno.EMFILE:
            raise


def pools(ring: Ring, sock: socket.socket) -> None:
    with ring.buffer_ring(64, 4096, incremental=True) as pool:
        assert_type(ring.prep_recv(sock, pool=pool, multishot=True), Request)
        assert_type(Sqe.recv_multishot(sock, pool, bundle=True), Sqe)
        cqe = ring.wait_cqe()
        assert_type(cqe.buffer, uring_rs.PooledBuffer | None)
        for view in cqe.buffers:
            with view, memoryview(view) as memory:
                print(bytes(memory), len(view))
    older = ring.provided_buffers(8, 512)
    ring.prep_provide_buffers(older, 0, 4)
    ring.prep_read_multishot(sock, older)


def selecting(sock: socket.socket) -> None:
    loop = asyncio.SelectorEventLoop(UringSelector(64))
    with UringSelector() as selector:
        assert_type(selector, UringSelector)
        assert_type(selector.register(sock, selectors.EVENT_READ), selectors.SelectorKey)
        assert_type(selector.select(0.1), list[tuple[selectors.SelectorKey, int]])
        assert_type(selector.backend, str)
        selector.select("soon")  # type: ignore[arg-type]
        selector.register(sock, "read")  # type: ignore[arg-type]
    loop.close()


def mistakes(ring: Ring) -> None:
    """Each line is wrong; mypy reports an ignore that nothing needs."""
    ring.prep_read("path", bytearray(8))  # type: ignore[arg-type]
    ring.prep_read(0, "text")  # type: ignore[arg-type]
    ring.prep_write(0)  # type: ignore[call-arg]
    ring.prep_recv_multishot(0, bytearray(8))  # type: ignore[arg-type]
    ring.prep_write(0, b"", 0, 1, 2)  # type: ignore[call-arg]
    ring.prep_rename("old")  # type: ignore[call-arg]
    ring.prep_statx(1.5)  # type: ignore[arg-type]
    ring.prep_madvise(b"", "advice")  # type: ignore[arg-type]
    ring.prep_cancel(17)  # type: ignore[arg-type]
    Ring("64")  # type: ignore[arg-type]
    Ring(64, 128)  # type: ignore[call-arg]
    ring.sq_entries = 8  # type: ignore[misc]
    Ring(8).no_such_method()  # type: ignore[attr-defined]


def waiting(ring: Ring, other: Ring) -> None:
    word = array.array("I", [0])
    ring.prep_futex_wait(word, 0, shared=True)
    ring.prep_futex_waitv([(word, 0), (mmap.mmap(-1, 4096), 0, 8)])
    assert_type(ring.prep_msg_ring(other, res=1, data=2), Request)
    assert_type(ring.prep_msg_ring(other.fileno()), Request)
    assert_type(Sqe.timeout(0.1, multishot=True, count=3), Sqe)
    ring.prep_nop("x", result=-errno.EIO, file=0)
    ring.prep_cancel_op("READ", all=True)


def trees(path: Path) -> None:
    done = uring_rs.copy("src", path, recursive=True, errors="collect", progress=print)
    assert_type(done, uring_rs.CopyResult)
    assert_type(done.bytes, int)
    assert_type(done.errors, tuple[OSError, ...])
    assert_type(uring_rs.stat_many(["a", b"b", path]), list[os.stat_result])
    assert_type(uring_rs.stat_many([path], errors="yield"), list[os.stat_result | OSError])
    for name, status in uring_rs.walk(path):
        assert_type(name, str)
        assert_type(status, os.stat_result)
    for encoded, kind in uring_rs.walk(b"top", stat=False):
        assert_type(encoded, bytes)
        assert_type(kind, int)
    for _, value in uring_rs.walk("top", errors="yield"):
        assert_type(value, os.stat_result | OSError)


def many_files(paths: list[Path], names: Iterator[str], kernel: uring_rs.SimKernel) -> None:
    with uring_rs.read_many(paths, in_flight=8, order="input", max_bytes=1 << 20) as results:
        for path, data in results:
            assert_type(path, Path)
            assert_type(data, bytes)
        assert_type(results.stats["peak_bytes"], int)
    for name, found in uring_rs.read_many(names, errors="yield", kernel=kernel):
        assert_type(name, str)
        assert_type(found, bytes | OSError | ValueError)
    for _, view in uring_rs.read_many(paths, out=[bytearray(8)], dir_fd=3):
        assert_type(view, memoryview)
    for path, digest in uring_rs.checksum_many(paths, "blake2b", require_uring=True):
        assert_type(path, Path)
        assert_type(digest, str)
    for _, checked in uring_rs.checksum_many(paths, errors="yield"):
        assert_type(checked, str | OSError | ValueError)


def ranges(path: Path, file: BinaryIO, ring: Ring) -> None:
    found = uring_rs.read_ranges(path, [0, 4096], 4096, direct=False, depth=8)
    assert_type(found, uring_rs.Ranges)
    assert_type(found[0], memoryview)
    assert_type(found[1:], list[memoryview])
    assert_type(found.sizes, "array.array[int]")
    assert_type(found.complete, bool)
    for view in found:
        assert_type(view, memoryview)
    uring_rs.read_ranges([path, file, 3], range(3), array.array("q", [1, 2, 3]), bytearray(6))
    uring_rs.read_ranges([path], [0], 1, [bytearray(1)], index=[0], errors="yield")
    assert_type(uring_rs.write_ranges(path, 0, b"data", fsync=True), dict[str, int])
    uring_rs.write_ranges(file, [0, 9], [b"a", bytearray(2)], direct="auto")
    with uring_rs.stream(file, chunk=1 << 16, depth=4) as chunks:
        for view in chunks:
            assert_type(view, memoryview)
    with uring_rs.AlignedPool(2, 4096, register=ring) as pool, pool.acquire() as buffer:
        assert_type(buffer, uring_rs.FixedBuffer)


def writing(path: Path) -> None:
    result = uring_rs.write_many([(path, b"x"), ("name", bytearray(3))], fsync=True)
    assert_type(result, uring_rs.WriteResult)
    assert_type(result.stats, dict[str, int])
    for _, error in result.errors:
        assert_type(error, OSError)
    saved = uring_rs.save(path, [memoryview(b"x"), array.array("d")], progress=print)
    assert_type(saved, uring_rs.SaveResult)
    assert_type(saved.direct, bool)


def queues(file: BinaryIO) -> None:
    with uring_rs.IoQueue(8, registered_buffers=[bytearray(64)]) as queue:
        assert_type(queue, uring_rs.IoQueue)
        queue.register(file)
        assert_type(queue.prepare(uring_rs.IoOp.READ, file, 0, bytearray(8), object()), int)
        queue.prepare(uring_rs.IoOp.WRITE, file, 0, [b"some", memoryview(b"parts")])
        queue.prepare(uring_rs.IoOp.DISCARD, file, 0, 4096)
        done = queue.wait(1, max=4, timeout=0.5)
        assert_type(done, uring_rs.IoCompletions)
        assert_type(done.interrupted, bool)
        assert_type(done[0], uring_rs.IoCompletion)
        assert_type(done[0].error, OSError | None)
        queue.prepare("READ", file)  # type: ignore[arg-type]
        queue.wakeup(1)  # type: ignore[call-arg]

"""What is done while calls fail: rings by hand, and every high-level function."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ
from typing import Any

import uring_rs
from uring_rs import IoOp, SetupFlags, SqeFlags
from uring_rs.selectors import UringSelector

SIZES = (0, 1, 5_000, 70_000, 300_000)


def content(number: int, size: int) -> bytes:
    """Bytes that differ from file to file and from place to place."""
    seed = hashlib.sha256(str(number).encode()).digest()
    return (seed * (size // 32 + 1))[:size]


@dataclass(frozen=True)
class Script:
    """One thing to do."""

    name: str
    # Makes what is needed in a folder of its own.
    prepare: Callable[[Path], Any]
    # What may fail, and what it gives where nothing does.
    act: Callable[[Path], Any]
    expected: Callable[[], Any]
    # Where io_uring is refused it goes on without.
    falls_back: bool = True
    # It starts threads of Python's, whose start() waits for ever if one of them gets no memory.
    python_threads: bool = False


def files(folder: Path) -> None:
    """Some files, cold: the page cache has let go of them as far as it does."""
    for number, size in enumerate(SIZES):
        path = folder / f"f{number}"
        path.write_bytes(content(number, size))
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def names(folder: Path) -> list[Path]:
    return [folder / f"f{number}" for number in range(len(SIZES))]


def nothing(folder: Path) -> None:
    """No files are needed."""


# --- rings


def one(ring: uring_rs.Ring) -> uring_rs.Completion:
    """The next completion, waited for, whatever signals come."""
    for _ in range(100):
        cqe = ring.pop()
        if cqe is not None:
            return cqe
        ring.submit(wait=1)
    raise AssertionError("nothing ends")


def requests(folder: Path) -> Any:
    """Files, chains, timeouts, polls, cancellations."""
    made: list[Any] = []
    with uring_rs.Ring(8) as ring:
        ring.prep_openat(folder / "f2", os.O_RDWR | os.O_CLOEXEC)
        fd = one(ring).result()
        try:
            buf = bytearray(100)
            ring.prep_read(fd, buf, 0, flags=SqeFlags.IO_LINK)
            ring.prep_write(fd, b"linked", 4_000, flags=SqeFlags.IO_LINK)
            ring.prep_fsync(fd)
            made += [one(ring).result() for _ in range(3)]
            made.append(bytes(buf) == content(2, 100))
            ring.prep_timeout(0.0005)
            made.append(-abs(one(ring).res))
            left, right = socket.socketpair()
            with left, right:
                poll = ring.prep_poll_add(left, select.POLLIN, multishot=True)
                ring.submit()
                right.send(b"x")
                made.append(bool(one(ring).result() & select.POLLIN))
                ring.prep_cancel(poll)
                made.append(sorted(one(ring).res for _ in range(2)))
            ring.prep_statx(folder / "f3")
            made.append(one(ring).value.st_size)
        finally:
            os.close(fd)
    return made


def requests_expected() -> Any:
    return [100, 6, 0, True, -62, True, [-125, 0], 70_000]


def tables(folder: Path) -> Any:
    """Registered buffers, pools, provided buffers, direct descriptors; queues of another size."""
    made: list[Any] = []
    with uring_rs.Ring(4) as ring:
        with (folder / "f2").open("rb") as file:
            (handle,) = ring.register_buffers([bytearray(64)])
            assert handle is not None
            ring.prep_read_fixed(file, handle, 10)
            made.append((one(ring).result(), bytes(handle.obj) == content(2, 74)[10:]))
            ring.unregister_buffers()
            table = ring.register_files(4)
            ring.prep_openat(folder / "f3", os.O_RDONLY, direct=table.reserve())
            direct = one(ring).value
            buf = bytearray(32)
            ring.prep_read(direct, buf, 64)
            made.append((one(ring).result(), bytes(buf) == content(3, 96)[64:]))
            ring.prep_close(direct)
            made.append(one(ring).result())
            table.close()
        left, right = socket.socketpair()
        with left, right:
            pool = ring.buffer_ring(4, 64)
            ring.prep_recv_multishot(left, pool)
            ring.submit()
            for text in (b"one", b"two"):
                right.send(text)
                cqe = one(ring)
                cqe.result()
                assert cqe.buffer is not None
                with cqe.buffer as view:
                    made.append(bytes(view))
            right.close()
            made.append(one(ring).result())
            pool.close()
        # Where setup has fallen back to older flags, the kernel cannot.
        if ring.flags & SetupFlags.NO_SQARRAY:
            ring.resize(16)
        ring.prep_nop(user_data="resized")
        made.append(one(ring).user_data)
    return made


def tables_expected() -> Any:
    return [(64, True), (32, True), 0, b"one", b"two", 0, "resized"]


def in_flight(folder: Path) -> Any:
    """A ring that is closed with requests in flight."""
    buf = bytearray(8)
    read, write = os.pipe()
    try:
        with uring_rs.Ring(4) as ring:
            ring.prep_read(read, buf)
            ring.prep_timeout(60.0)
            ring.submit()
            ring.prep_poll_add(read, select.POLLIN)
            ring.submit()
    finally:
        os.close(read)
        os.close(write)
    buf.append(0)
    return len(buf)


def shared(folder: Path) -> Any:
    """One ring, several threads."""
    data: dict[int, bytes] = {}
    errors: list[BaseException] = []
    with uring_rs.Ring(8, shared=True) as ring:

        def work(number: int) -> None:
            try:
                buf = bytearray(50)
                with (folder / "f3").open("rb") as file:
                    ring.prep_read(file, buf, number * 50, user_data=number)
                    ring.submit()
                    data[number] = buf  # type: ignore[assignment]
                    for _ in range(200):
                        ring.submit(wait=1, timeout=0.05)
                        ring.reap()
                        if not ring.in_flight:
                            break
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        started = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
        finally:
            for thread in started:
                thread.join()
    if errors:
        raise errors[0]
    whole = content(3, 200)
    return all(bytes(buf) == whole[n * 50 : n * 50 + 50] for n, buf in data.items())


# --- whole jobs


def read_many(folder: Path) -> Any:
    return {path.name: bytes(data) for path, data in uring_rs.read_many(names(folder), in_flight=4)}


def contents() -> Any:
    return {f"f{number}": content(number, size) for number, size in enumerate(SIZES)}


RANGES = [(2, 0, 512), (2, 4_000, 1_000), (3, 1_000, 5_000), (4, 65_536, 65_536), (4, 3, 70_000)]


def ranges_of(folder: Path) -> tuple[list[Path], list[int], list[int]]:
    where = [folder / f"f{number}" for number, _, _ in RANGES]
    return where, [offset for _, offset, _ in RANGES], [size for _, _, size in RANGES]


def read_ranges(folder: Path) -> Any:
    where, offsets, sizes = ranges_of(folder)
    got = uring_rs.read_ranges(where, offsets, sizes)
    return [bytes(got[row]) for row in range(len(RANGES))]


def ranges() -> Any:
    return [content(number, offset + size)[offset:] for number, offset, size in RANGES]


def write_ranges(folder: Path) -> Any:
    paths = [folder / f"f{number}" for number in (2, 3, 4)]
    data = [content(90 + row, 4_096) for row in range(3)]
    stats = uring_rs.write_ranges(paths, [100, 0, 8_192], data, fsync=True)
    return stats["bytes"]


def stream(folder: Path) -> Any:
    with uring_rs.stream(folder / "f4", chunk=65_536, depth=3) as chunks:
        return b"".join(bytes(chunk) for chunk in chunks)


def save(folder: Path) -> Any:
    parts = [content(number, 50_000) for number in range(4)]
    return uring_rs.save(folder / "f4", parts, chunk=65_536).bytes


def write_many(folder: Path) -> Any:
    items = [(path, content(50 + number, 3_000)) for number, path in enumerate(names(folder))]
    return len(uring_rs.write_many(items, fsync=True).errors)


def checksum_many(folder: Path) -> Any:
    return sorted(digest for _, digest in uring_rs.checksum_many(names(folder)))


def checksums() -> Any:
    return sorted(hashlib.sha256(data).hexdigest() for data in contents().values())


def commit(queue: uring_rs.IoQueue) -> None:
    """Hand over; where the kernel is short of something just now, all stays prepared."""
    try:
        queue.commit()
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EBUSY, errno.ENOMEM):
            raise


def queue(folder: Path) -> Any:
    buffers = [bytearray(4_096) for _ in range(4)]
    with (folder / "f4").open("rb+") as file, uring_rs.IoQueue(8) as queue:
        queue.register(file)
        for number, buf in enumerate(buffers):
            queue.prepare(IoOp.READ, file, number * 4_096, buf, number)
        queue.prepare(IoOp.WRITE, file, 200_000, b"written", "write")
        queue.prepare(IoOp.SYNC, file, user="sync")
        done: dict[Any, int] = {}
        for _ in range(50):
            if queue.prepared:
                commit(queue)
            for each in queue.wait(1, timeout=5.0):
                done[each.user] = each.result()
            if len(done) == 6:
                break
        queue.wakeup()
        woken = queue.wait(1, timeout=5.0).interrupted
    whole = content(4, 4 * 4_096)
    return [done.get("write"), done.get("sync"), woken, b"".join(buffers) == whole]


def selector(folder: Path) -> Any:
    made: list[Any] = []
    read, write = os.pipe()
    try:
        left, right = socket.socketpair()
        with left, right, UringSelector() as selector:
            selector.register(left, EVENT_READ, "left")
            selector.register(read, EVENT_READ, "pipe")
            made.append([key.data for key, _ in selector.select(0)])
            right.send(b"x")
            for _ in range(2):
                made.append([key.data for key, _ in selector.select(1)])
            left.recv(1)
            os.write(write, b"y")
            made.append([key.data for key, _ in selector.select(1)])
            selector.unregister(read)
            made.append([key.data for key, _ in selector.select(0)])
    finally:
        os.close(read)
        os.close(write)
    return made


# --- trees


def tree(folder: Path) -> None:
    """Files, links, a folder in a folder."""
    files(folder)
    top = folder / "tree"
    (top / "inner" / "empty").mkdir(parents=True)
    for number in range(3):
        (top / "inner" / f"{number}").write_bytes(content(number, 9_000))
    os.link(top / "inner" / "0", top / "hard")
    (top / "soft").symlink_to("inner/1")
    os.mkfifo(top / "pipe")
    (top / "inner" / "2").chmod(0o640)
    if hasattr(os, "setxattr"):
        with contextlib.suppress(OSError):
            os.setxattr(top / "inner" / "1", "user.note", b"kept")


def facts(top: Path) -> dict[str, Any]:
    """What a copy keeps."""
    found: dict[str, Any] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        data: Any = None
        if path.is_symlink():
            data = os.readlink(path)
        elif path.is_file():
            data = path.read_bytes()
        found[str(path.relative_to(top))] = (oct(status.st_mode), status.st_nlink, data)
    return found


def copy(folder: Path) -> Any:
    result = uring_rs.copy(folder / "tree", folder / "copy", recursive=True)
    # A hard link that cannot be made becomes a copy.
    return (result.files + result.hard_links, result.symlinks)


def walk(folder: Path) -> Any:
    found = {os.fspath(path): status.st_size for path, status in uring_rs.walk(folder / "tree")}
    return sorted((os.path.relpath(path, folder), size) for path, size in found.items())[-1][0]


def stat_many(folder: Path) -> Any:
    return [status.st_size for status in uring_rs.stat_many(names(folder))]


def filesystem(folder: Path) -> Any:
    from uring_rs.fsspec import UringFileSystem

    fs = UringFileSystem(skip_instance_cache=True)
    paths = [str(path) for path in names(folder)]
    found = fs.cat(paths)
    parts = fs.cat_ranges(paths[3:], [10, 20], [20, 40], on_error="raise")
    fs.pipe({str(folder / "piped"): b"piped"})
    return [sorted(map(len, found.values())), parts == [content(3, 20)[10:], content(4, 40)[20:]]]


def command(folder: Path) -> Any:
    """`uring_rs cp` and `uring_rs sum`, as far as their errors are theirs to say."""
    from uring_rs.cli.entry import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["cp", str(folder / "f3"), str(folder / "copied")])
        except SystemExit as end:
            code = end.code
    if code:
        raise CommandFailed(f"{code}: {err.getvalue()}")
    return (folder / "copied").stat().st_size


class CommandFailed(Exception):
    """It said so, and ended with a status that says so."""


def warmed(act: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Once beforehand, for what is imported at its first use."""

    def prepare(folder: Path) -> None:
        files(folder)
        warm = folder / "warm"
        warm.mkdir()
        files(warm)
        act(warm)

    return prepare


def same(value: Any) -> Callable[[], Any]:
    return lambda: value


SCRIPTS = {
    script.name: script
    for script in (
        Script("ring requests", files, requests, requests_expected, falls_back=False),
        Script("ring tables", files, tables, tables_expected, falls_back=False),
        Script("ring closed in flight", nothing, in_flight, same(9), falls_back=False),
        Script("ring of threads", files, shared, same(True), falls_back=False, python_threads=True),
        Script("read_many", files, read_many, contents),
        Script("read_ranges", files, read_ranges, ranges),
        Script("write_ranges", files, write_ranges, same(3 * 4_096)),
        Script("stream", files, stream, lambda: content(4, 300_000)),
        Script("save", files, save, same(200_000)),
        Script("write_many", files, write_many, same(0)),
        Script("checksum_many", files, checksum_many, checksums, python_threads=True),
        Script("IoQueue", files, queue, same([7, 0, True, True])),
        Script("UringSelector", nothing, selector, same([[], ["left"], ["left"], ["pipe"], []])),
        Script("copy", tree, copy, same((4, 1))),
        Script("walk", tree, walk, same("tree/soft")),
        Script("stat_many", files, stat_many, same(list(SIZES))),
        Script(
            "fsspec",
            warmed(filesystem),
            filesystem,
            same([list(SIZES), True]),
            python_threads=True,
        ),
        Script("command", warmed(command), command, same(70_000), python_threads=True),
    )
}

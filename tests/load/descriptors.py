"""Work with no descriptor left, or one, or two: done whole, or EMFILE said; then all goes on.

Run in a process of its own: `exhaust(folder)` lowers RLIMIT_NOFILE step by step.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

import fsspec

import uring_rs
from uring_rs import IoOp
from uring_rs.selectors import UringSelector

CONTENT = bytes(range(256)) * 40
FILES = 12
Work = Callable[[Path], None]
WORKS: dict[str, Work] = {}


def work(function: Work) -> Work:
    WORKS[function.__name__] = function
    return function


def same(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{str(found)[:200]} instead of {str(wanted)[:200]}")


def paths(folder: Path) -> list[Path]:
    return [folder / "tree" / f"file{number}" for number in range(FILES)]


@work
def ring(folder: Path) -> None:
    with uring_rs.Ring(8) as ring:
        ring.prep_nop()
        same(ring.submit(wait=1), 1)


@work
def ring_on_own_memory(folder: Path) -> None:
    flags = uring_rs.SetupFlags.NO_MMAP | uring_rs.SetupFlags.REGISTERED_FD_ONLY
    flags |= uring_rs.SetupFlags.SINGLE_ISSUER | uring_rs.SetupFlags.DEFER_TASKRUN
    with uring_rs.Ring(8, flags=flags) as ring:
        ring.prep_nop()
        same(ring.submit(wait=1), 1)


@work
def openat(folder: Path) -> None:
    with uring_rs.Ring(8) as ring:
        ring.prep_openat(paths(folder)[0])
        ring.submit(wait=1)
        os.close(ring.pop().result())


@work
def openat_direct(folder: Path) -> None:
    """A direct descriptor is none of the process's: where a ring can be made, this works."""
    with uring_rs.Ring(8) as ring:
        ring.register_files(4)
        ring.prep_openat(paths(folder)[0], direct=True)
        ring.submit(wait=1)
        with ring.pop().value as file:
            buf = bytearray(100)
            ring.prep_read(file, buf, 0)
            ring.submit(wait=1)
            same((ring.pop().res, buf), (100, CONTENT[:100]))


@work
def socket_and_pipe(folder: Path) -> None:
    with uring_rs.Ring(8) as ring:
        ring.prep_socket()
        ring.prep_pipe()
        ring.submit(wait=2)
        got = ring.reap()
        fds = []
        try:
            for cqe in got:
                cqe.result()
                fds += [cqe.res] if cqe.op == "SOCKET" else list(cqe.value)
        finally:
            fds += [cqe.res for cqe in got if cqe.op == "SOCKET" and cqe.res not in (*fds, -24)]
            for fd in fds:
                os.close(fd)


@work
def read_many(folder: Path) -> None:
    found = dict(uring_rs.read_many(paths(folder), in_flight=64))
    same(found, dict.fromkeys(paths(folder), CONTENT))


@work
def read_many_cold(folder: Path) -> None:
    """Cold, so that something has to wait: a ring where there is a descriptor for it."""
    for path in paths(folder):
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    found = dict(uring_rs.read_many(paths(folder), in_flight=8, order="input"))
    same(found, dict.fromkeys(paths(folder), CONTENT))


@work
def checksum_many(folder: Path) -> None:
    same(len(dict(uring_rs.checksum_many(paths(folder), "md5"))), FILES)


@work
def read_ranges(folder: Path) -> None:
    found = uring_rs.read_ranges(paths(folder)[:5], [10] * 5, 100)
    same([bytes(view) for view in found], [CONTENT[10:110]] * 5)


@work
def write_ranges(folder: Path) -> None:
    uring_rs.write_ranges(folder / "ranges", [0, 100], data=[CONTENT[:100]] * 2)
    same((folder / "ranges").read_bytes()[:200], CONTENT[:100] * 2)


@work
def stream(folder: Path) -> None:
    same(b"".join(map(bytes, uring_rs.stream(paths(folder)[0], chunk=4096))), CONTENT)


@work
def save(folder: Path) -> None:
    uring_rs.save(folder / "saved", [CONTENT] * 3)
    same((folder / "saved").stat().st_size, 3 * len(CONTENT))


@work
def write_many(folder: Path) -> None:
    items = [(folder / "new" / f"{number}", CONTENT) for number in range(FILES)]
    same(uring_rs.write_many(items, fsync=True).files, FILES)


@work
def copy(folder: Path) -> None:
    done = uring_rs.copy(folder / "tree", folder / "new", recursive=True)
    same(done.files, FILES)


@work
def copy_one(folder: Path) -> None:
    same(uring_rs.copy(paths(folder)[0], folder / "new" / "one").files, 1)


@work
def walk(folder: Path) -> None:
    same(sum(1 for _ in uring_rs.walk(str(folder / "tree"))), FILES)


@work
def stat_many(folder: Path) -> None:
    same([each.st_size for each in uring_rs.stat_many(paths(folder))], [len(CONTENT)] * FILES)


@work
def queue(folder: Path) -> None:
    path = paths(folder)[0]
    with uring_rs.IoQueue(8) as queue:
        fd = os.open(path, os.O_RDONLY)
        try:
            queue.register(fd)
            buf = bytearray(10)
            queue.prepare(IoOp.READ, fd, 0, buf)
            queue.commit()
            same([each.res for each in queue.wait()], [10])
        finally:
            os.close(fd)


@work
def selector(folder: Path) -> None:
    left, right = socket.socketpair()
    with left, right, UringSelector() as selector:
        selector.register(left, selectors.EVENT_WRITE, "left")
        same([(key.data, events) for key, events in selector.select(5)], [("left", 2)])


@work
def event_loop(folder: Path) -> None:
    async def nothing() -> int:
        await asyncio.sleep(0)
        return 1

    selector = UringSelector()
    try:
        loop = asyncio.SelectorEventLoop(selector)
    except OSError:
        # What asyncio makes and loses of itself when it fails is not ours to count.
        selector.close()
        raise
    try:
        same(loop.run_until_complete(nothing()), 1)
    finally:
        loop.close()


@work
def file_system(folder: Path) -> None:
    files = fsspec.filesystem("uring", skip_instance_cache=True)
    same(len(files.cat([str(path) for path in paths(folder)])), FILES)


def limit(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def open_now() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


def strange(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.name.endswith(".uring_rs")]


def with_left(name: str, folder: Path, left: int) -> str:
    """Do it with so many descriptors left: "done", or what it raised. Nothing else may stay."""
    gc.collect()
    before = open_now()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As the numbers have no gaps, so many are left.
    limit(len(before) - 1 + left)
    try:
        WORKS[name](folder)
        said = "done"
    except OSError as error:
        said = f"{type(error).__name__}: {error}"
        if error.errno != errno.EMFILE:
            raise AssertionError(f"{name} with {left} left: {said}") from error
    finally:
        limit(soft)
    gc.collect()
    if open_now() != before:
        raise AssertionError(f"{name} with {left} left changed {before} to {open_now()}")
    if found := strange(folder):
        raise AssertionError(f"{name} with {left} left {found}")
    return said


def close_gaps() -> list[int]:
    """Descriptors in the holes between those that are open."""
    filled = []
    while True:
        fd = os.open("/dev/null", os.O_RDONLY)
        filled.append(fd)
        if fd > max(map(int, open_now())) - 1:
            return filled


def exhaust(folder: Path, most: int) -> dict[str, list[str]]:
    """Each work with 0, 1, ... `most` descriptors left, and then with as many as it likes."""
    (folder / "tree").mkdir()
    (folder / "new").mkdir()
    (folder / "ranges").write_bytes(bytes(1000))
    for path in paths(folder):
        path.write_bytes(CONTENT)
    fillers = close_gaps()
    said: dict[str, list[str]] = {}
    for name, function in WORKS.items():
        function(folder)
        said[name] = [with_left(name, folder, left) for left in range(most + 1)]
        function(folder)
        said[name].append(with_left(name, folder, 200))
        if said[name][-1] != "done":
            raise AssertionError(f"{name} does not go on: {said[name]}")
    for fd in fillers:
        os.close(fd)
    return said


def accepts() -> None:
    """Accepts without a descriptor: EMFILE, and the connection is there when there is one."""
    with socket.create_server(("127.0.0.1", 0)) as server, uring_rs.Ring(8) as ring:
        fillers = close_gaps()
        peers = [socket.create_connection(server.getsockname()) for _ in range(3)]
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit(len(open_now()) - 1)
        ring.prep_accept(server)
        ring.submit(wait=1)
        same(ring.pop().res, -errno.EMFILE)
        ring.prep_multishot_accept(server)
        ring.submit(wait=1)
        cqe = ring.pop()
        same((cqe.res, cqe.more), (-errno.EMFILE, False))
        try:
            cqe.result()
        except OSError as error:
            same(error.errno, errno.EMFILE)
        limit(soft)
        ring.prep_multishot_accept(server)
        accepted = []
        while len(accepted) < len(peers):
            ring.submit(wait=1, timeout=30)
            accepted += [cqe.result() for cqe in ring]
        for fd in (*accepted, *fillers):
            os.close(fd)
        for peer in peers:
            peer.close()

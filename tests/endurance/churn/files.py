"""Churn of jobs on files: finished, left early, ended by exceptions."""

from __future__ import annotations

import contextlib
import os

import uring_rs

from .world import CONTENT, Abandon, World, action, check


def interrupting(world: World, after: int) -> object:
    """A progress callback, or a source, that gives up."""
    calls = 0

    def progress(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Abandon

    return progress


@action
def read_many(world: World) -> int:
    paths = world.rng.sample(world.files, 40)
    if world.chance(0.3):
        paths.insert(world.few(0, 30), world.folder / "missing")
    errors = "yield" if world.chance() else "raise"
    job = uring_rs.read_many(
        paths,
        in_flight=world.rng.choice((1, 2, 16, 64)),
        order=world.rng.choice(("completion", "input")),
        errors=errors,
    )
    limit, done = world.few(1, 60), 0
    try:
        for path, data in job:
            done += 1
            if not isinstance(data, OSError):
                check(data == CONTENT[: len(data)], path)
            if done == limit:
                break
    except FileNotFoundError:
        check(errors == "raise")
    how = world.few(0, 2)
    if how == 0:
        job.close()
    elif how == 1:
        del job
    return done


@action
def cold_reads(world: World) -> int:
    """As above, from the disk: through a ring."""
    paths = world.rng.sample(world.files, 20)
    for path in paths:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    out = [bytearray(1 << 15) for _ in paths] if world.chance() else None
    job = uring_rs.read_many(paths, out=out)
    limit, done = world.few(1, 30), 0
    for _, data in job:
        done += 1
        check(bytes(data) == CONTENT[: len(data)], "data")
        if done == limit:
            break
    return done


@action
def ranges(world: World) -> int:
    count = world.few(1, 100)
    size = len(CONTENT) * 64
    offsets = [world.rng.randrange(size - 300) for _ in range(count)]
    direct = world.rng.choice((True, False, "auto"))
    try:
        found = uring_rs.read_ranges(world.large, offsets, 256, direct=direct)
    except OSError:
        check(direct is True, "read_ranges failed")
        return 1
    for offset, view in zip(offsets, found, strict=True):
        check(view[0] == offset % 256, "range")
    with world.place() as where:
        target = where / "ranges"
        target.write_bytes(bytes(size))
        data = [bytes([number % 256]) * 16 for number in range(count)]
        uring_rs.write_ranges(target, [16 * n for n in range(count)], data=data)
        check(target.read_bytes()[: 16 * count] == b"".join(data), "written ranges")
    return 2 * count


@action
def new_files(world: World) -> int:
    count = world.few(1, 60)
    stop = world.few(0, 120)

    def items(where: str) -> object:
        for number in range(count):
            if number == stop:
                raise Abandon
            yield f"{where}/{number}", CONTENT[:number]

    with world.place() as where:
        try:
            made = uring_rs.write_many(
                items(str(where)), fsync=world.chance(0.1), in_flight=world.rng.choice((1, 8, 64))
            )
            check(made.files == count, made)
        except Abandon:
            check(stop < count)
        return count


@action
def saves(world: World) -> int:
    with world.place() as where:
        path = where / "saved"
        path.write_bytes(b"old")
        after = world.few(0, 6)
        direct = world.rng.choice((True, False))
        try:
            uring_rs.save(
                path,
                [CONTENT] * 64,
                direct=direct,
                fsync=world.chance(0.2),
                chunk=1 << 16,
                progress=interrupting(world, after),
            )
            check(path.stat().st_size == 64 * len(CONTENT))
        except Abandon:
            check(path.read_bytes() == b"old", "an abandoned save changed the file")
        except OSError:
            check(direct, "save failed")
        return 1


@action
def streams(world: World) -> int:
    held = []
    with contextlib.ExitStack() as stack:
        stream = uring_rs.stream(
            world.large, chunk=world.rng.choice((4096, 65536)), depth=world.few(1, 8)
        )
        if world.chance():
            stack.enter_context(stream)
        limit = world.few(1, 40)
        for number, view in enumerate(stream):
            if world.chance(0.1):
                held.append(view)
            if number == limit:
                break
        if world.chance():
            stream.close()
        return number + 1


@action
def trees(world: World) -> int:
    with world.place() as where:
        try:
            done = uring_rs.copy(
                world.tree,
                where / "copy",
                recursive=True,
                progress=interrupting(world, world.few(0, 4)),
                threads=world.rng.choice((None, 1, 2)),
            )
            check(done.files == 60, done)
        except Abandon:
            pass
        if world.chance():
            uring_rs.copy(world.large, where / "large")
        walk = uring_rs.walk(str(world.tree), stat=world.chance(), threads=2)
        limit = world.few(1, 100)
        for number, _ in enumerate(walk):
            if number == limit:
                break
        if world.chance():
            walk.close()
        paths = [*world.files, world.folder / "missing"]
        stats = uring_rs.stat_many(paths, errors="yield", threads=world.rng.choice((None, 2)))
        check(isinstance(stats[-1], FileNotFoundError) and stats[0].st_size > 0, stats)
        return 60 + number + len(paths)


@action
def checksums(world: World) -> int:
    job = uring_rs.checksum_many(world.files, "md5")
    limit = world.few(1, 80)
    for number, _ in enumerate(job):
        if number == limit:
            break
    return number + 1


@action
def single_operations(world: World) -> int:
    """Those of the file system, each with paths and structures that the kernel writes to."""
    with world.place() as where, uring_rs.Ring(32) as ring:
        ring.prep_mkdirat(where / "d")
        ring.prep_openat(where / "f", os.O_CREAT | os.O_RDWR, 0o644)
        fd = next(cqe.result() for cqe in _finished(ring, 2) if cqe.op == "OPENAT")
        ring.prep_writev(fd, [CONTENT[:100], CONTENT[100:256]], 0)
        ring.prep_fallocate(fd, 0, 8192)
        _finished(ring, 2)
        ring.prep_fsetxattr(fd, "user.churn", b"value")
        ring.prep_statx(where / "f")
        ring.prep_statx(where / "missing")
        found = _finished(ring, 3)
        check([cqe.res for cqe in found if cqe.op == "STATX"].count(-2) == 1, found)
        ring.prep_renameat(where / "f", where / "g")
        ring.prep_symlink("g", where / "s")
        ring.prep_link(where / "f", where / "h")
        _finished(ring, 3)
        ring.prep_splice(fd, fd, 10)
        ring.prep_ftruncate(fd, 10)
        ring.prep_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        ring.prep_close(fd)
        found = _finished(ring, 4)
        check([cqe.res for cqe in found if cqe.op == "CLOSE"] == [0], found)
        return 14


def _finished(ring: uring_rs.Ring, count: int) -> list[uring_rs.Completion]:
    ring.submit(wait=count)
    found = ring.reap()
    check(len(found) == count, found)
    return found

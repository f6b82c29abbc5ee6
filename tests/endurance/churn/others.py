"""Churn across threads and processes, of queues, selectors, fsspec; signals in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable

import fsspec

import uring_rs
from uring_rs import IoOp
from uring_rs.selectors import UringSelector

from .rings import make, use
from .world import CONTENT, Abandon, World, action, check, dropping, finish, take


def in_threads(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own; what one raises is raised here."""
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        try:
            raise raised[0]
        finally:
            raised.clear()


def in_child(work: Callable[[], bool]) -> None:
    """Run this in a forked child, which leaves at once and must have said True."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        fine = False
        try:
            fine = work()
        finally:
            os._exit(0 if fine else 1)
    _, status = os.waitpid(child, 0)
    check(status == 0, "a forked child ended with status", status)


@action
def shared_ring(world: World) -> int:
    """Threads that submit and reap on one ring; each result is seen once."""
    count, threads = 40, world.few(2, 4)
    got: list[int] = []
    with uring_rs.Ring(8, shared=True) as ring:

        def work(first: int) -> None:
            for number in range(first, first + count):
                ring.prep_nop(number)
                ring.submit()
                got.extend(cqe.user_data for cqe in ring.reap())

        in_threads(*(lambda first=n * count: work(first) for n in range(threads)))
        while ring.in_flight or ring.cq_ready:
            ring.wait(1, timeout=1)
            got.extend(cqe.user_data for cqe in ring.reap())
    check(sorted(got) == list(range(threads * count)), "lost or doubled:", len(got))
    return threads * count


@action
def dead_threads(world: World) -> int:
    """Threads that end and leave a ring behind, for another to close or drop."""
    kept: list[uring_rs.Ring] = []
    with dropping(), world.pipe() as (reader, _):

        def work() -> None:
            ring = make(world)
            use(world, ring)
            if ring.shared:
                ring.prep_read(reader, bytearray(10), user_data=world.token())
                ring.submit()
            kept.append(ring)

        in_threads(*(work for _ in range(world.few(1, 3))))
        while kept:
            ring = kept.pop()
            if world.chance():
                ring.close()
            del ring
        gc.collect()
    return 6


@action
def forks_that_leave(world: World) -> int:
    """A child goes without a word; the parent's requests are unharmed."""
    with make(world) as ring, world.pipe() as (reader, writer):
        token, buf = world.token(), bytearray(4)
        ring.prep_read(reader, buf, user_data=token)
        if world.chance():
            ring.submit()
        in_child(lambda: True)
        os.write(writer, b"data")
        check([cqe.res for cqe in take(ring, 1)] == [4] and buf == b"data", "after a fork")
        return 1


@action
def forks_that_use(world: World) -> int:
    """A child uses what it inherited, and gets ForkedRing; then it has a ring of its own."""
    with contextlib.ExitStack() as stack:
        ring = stack.enter_context(make(world))
        queue = stack.enter_context(uring_rs.IoQueue(4))
        job = uring_rs.read_many(world.files)
        next(job)
        use(world, ring)

        def child() -> bool:
            for call in (ring.prep_nop, ring.submit, queue.commit, lambda: next(job)):
                try:
                    call()
                except uring_rs.ForkedRing:
                    continue
                return False
            ring.close()
            with uring_rs.Ring(4) as mine:
                return use(world, mine) > 0

        in_child(child)
        return use(world, ring) + 4


@action
def forks_of_threads(world: World) -> int:
    """A child whose thread dies with requests in flight on a ring it owns."""

    def child() -> bool:
        with world.pipe() as (reader, _), dropping():

            def work() -> None:
                ring = uring_rs.Ring(8)
                ring.prep_read(reader, bytearray(10), user_data=world.token())
                ring.submit()

            in_threads(work)
            gc.collect()
        return True

    in_child(child)
    return 1


@action
def file_queues(world: World) -> int:
    """An IoQueue: many threads, wake-ups, cancelling, closed with requests in flight."""
    done = 0
    with dropping(), world.file() as fd, world.pipe() as (reader, _):
        registered = world.few(0, 4)
        queue = uring_rs.IoQueue(32, registered_buffers=registered, buffer_size=4096)
        queue.register(fd)
        queue.register(reader)
        if world.chance():
            queue.deregister(reader)
            queue.register(reader)
        count = world.few(1, 16)
        memory = queue.buffers or [world.buffers[7]]
        for number in range(count):
            buffer = memory[number % len(memory)][:1] if queue.buffers else bytearray(1)
            queue.prepare(IoOp.READ, fd, 0, buffer, user=world.token())
        queue.commit()
        while done < count:
            got = queue.wait(1, timeout=30)
            check(got, "no completion", done, "of", count)
            check(all(each.res == 1 for each in got), [each.res for each in got])
            done += len(got)
        if world.chance():
            number = queue.prepare(IoOp.READ, reader, None, bytearray(4), user=world.token())
            queue.commit()
            if world.chance():
                queue.cancel(number)
        in_threads(queue.wakeup)
        if world.chance():
            queue.wait(1, timeout=1)
        if world.chance():
            queue.close()
        del queue
    return done


async def _talk(world: World) -> int:
    done = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    async def visit(size: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(CONTENT[:size])
            check(await reader.readexactly(size) == CONTENT[:size])
            done += 1
        finally:
            writer.close()
            await writer.wait_closed()

    async with server:
        await asyncio.gather(*(visit(world.few(1, 4000)) for _ in range(world.few(1, 6))))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(30), 0.001)
    return done


@action
def event_loops(world: World) -> int:
    """asyncio on our selector: servers, clients, timeouts."""
    loop = asyncio.SelectorEventLoop(UringSelector(world.rng.choice((1, 8, 512))))
    try:
        return loop.run_until_complete(_talk(world))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@action
def selectors(world: World) -> int:
    """Registered, modified, used in another thread and in a forked child, closed or dropped."""
    with dropping(), world.sockets() as (left, right):
        _use_selector(world, left, right)
    return 3


def _use_selector(world: World, left: socket.socket, right: socket.socket) -> None:
    selector = UringSelector(world.rng.choice((1, 64)))
    selector.register(left, 1, world.token())
    check(not selector.select(0))
    right.send(b"x")
    check(len(selector.select(5)) == 1)
    selector.modify(left, 3)
    check(selector.select(5)[0][1] == 3)
    if world.chance(0.3):
        in_threads(lambda: check(len(selector.select(5)) == 1))
    if world.chance(0.2):
        in_child(lambda: len(selector.select(5)) == 1)
    if world.chance():
        selector.unregister(left)
    if world.chance():
        selector.close()


def interrupted(seconds: float, work: Callable[[], object]) -> None:
    """Do this until it is done or a signal handler raises. Not a context manager: those have
    steps in Python outside of what they protect, and the signal may come there."""
    armed = True

    def ring_bell(*_: object) -> None:
        if armed:
            raise Abandon

    before = signal.signal(signal.SIGALRM, ring_bell)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            work()
        finally:
            armed = False
    except Abandon:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@action
def signals(world: World) -> int:
    """Waits and jobs ended by a signal whose handler raises."""

    def soon() -> float:
        return world.rng.uniform(0.0001, 0.005)

    with uring_rs.Ring(8) as ring, world.pipe() as (reader, _):
        ring.prep_read(reader, world.buffers[0], user_data=world.token())
        interrupted(0.002, lambda: ring.submit(wait=1))
        finish(ring)
        interrupted(soon(), lambda: ring.wait(1, timeout=0.004))
    with world.place() as where:
        new = [(f"{where}/{number}", CONTENT) for number in range(100)]
        interrupted(soon(), lambda: uring_rs.write_many(new))
        interrupted(soon(), lambda: uring_rs.copy(world.tree, where / "copy", recursive=True))
        interrupted(soon(), lambda: uring_rs.save(where / "saved", [CONTENT] * 100))
        interrupted(soon(), lambda: list(uring_rs.read_many(world.files)))
    return 6


@action
def file_systems(world: World) -> int:
    """What fsspec's users do."""
    files = fsspec.filesystem("uring", skip_instance_cache=True)
    some = [str(path) for path in world.rng.sample(world.files, 10)]
    found = files.cat(some)
    check(all(data == CONTENT[: len(data)] for data in found.values()), "fsspec cat")
    rows = files.cat_ranges([str(world.large)] * 10, list(range(10)), list(range(10, 20)))
    check(rows == [CONTENT[n : n + 10] for n in range(10)], rows)
    with world.place() as where:
        files.pipe({f"{where}/{number}": CONTENT[:number] for number in range(10)})
        with contextlib.suppress(FileNotFoundError):
            files.cat([*some, f"{where}/missing"])
    return 30


@action
def multiprocess_sockets(world: World) -> int:
    """A forked peer that is killed in the middle of a transfer."""
    with socket.socketpair()[0] as spare, world.sockets() as (left, right):
        del spare
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            left.close()
            with contextlib.suppress(OSError):
                while True:
                    right.send(CONTENT)
            os._exit(0)
        right.close()
        with uring_rs.Ring(8) as ring:
            pool = ring.buffer_ring(4, 4096)
            ring.prep_recv_multishot(left, pool, user_data=world.token())
            done = 0
            for _ in range(world.few(1, 20)):
                ring.submit(wait=1, timeout=1)
                for cqe in ring.reap():
                    done += 1
                    if not cqe.more and cqe.res == -105:
                        ring.prep_recv_multishot(left, pool, user_data=world.token())
                    cqe = None
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return done + finish(ring)

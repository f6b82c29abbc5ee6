"""Many threads on one queue: no completion and no wake-up is lost, and none comes twice."""

from __future__ import annotations

import errno
import os
import random
import threading
import time

import pytest

import uring_rs
from helpers.queueworlds import World
from uring_rs import IoOp, IoQueue

PRODUCERS = 8
WAITERS = 2
EACH = 8


class Storm:
    """Producers prepare, commit, cancel and wake; waiters collect and account for everything."""

    def __init__(self, queue: IoQueue, fd: int) -> None:
        self.queue, self.fd = queue, fd
        self.lock = threading.Condition()
        self.room = [threading.Semaphore(EACH) for _ in range(PRODUCERS)]
        self.pending: set[tuple[int, int]] = set()
        self.done = 0
        # Wake-ups asked for, as of the last one that was told, and how many were told.
        self.asked = self.seen = self.told = 0
        self.waiting = WAITERS
        self.stop = False
        self.problems: list[BaseException] = []

    def guard(self, target: object, *args: object) -> threading.Thread:
        def run() -> None:
            try:
                target(*args)  # type: ignore[operator]
            except BaseException as error:
                self.problems.append(error)
                raise

        return threading.Thread(target=run)

    def produce(self, me: int, until: float) -> None:
        chance = random.Random(me)
        number = 0
        while time.monotonic() < until:
            handles = []
            for _ in range(chance.randint(1, 4)):
                self.room[me].acquire()
                number += 1
                with self.lock:
                    self.pending.add((me, number))
                buffer = bytearray(chance.choice([1, 512, 4096]))
                op = chance.choice([IoOp.READ, IoOp.READ, IoOp.WRITE])
                handles.append(self.queue.prepare(op, self.fd, 4096 * me, buffer, (me, number)))
            if chance.random() < 0.1:
                self.queue.cancel(handles[0])
            self.queue.commit()
            if chance.random() < 0.2:
                self.wake(chance.random() < 0.3)

    def wake(self, insist: bool) -> None:
        with self.lock:
            self.asked += 1
            mine = self.asked
        self.queue.wakeup()
        if insist:
            with self.lock:
                assert self.lock.wait_for(lambda: self.seen >= mine, 30), "a wake-up was lost"

    def collect(self) -> None:
        chance = random.Random()
        while True:
            done = self.queue.wait(chance.choice([1, 1, 2, 5]), chance.choice([None, 5, 64]))
            with self.lock:
                if done.interrupted:
                    self.told += 1
                    self.seen = self.asked
                    self.lock.notify_all()
                for each in done:
                    assert each.success or each.res == -errno.ECANCELED, each
                    self.pending.remove(each.user)
                    self.room[each.user[0]].release()
                self.done += len(done)
                if self.stop and not self.pending:
                    self.waiting -= 1
                    self.lock.notify_all()
                    return

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        producers = [self.guard(self.produce, n, until) for n in range(PRODUCERS)]
        waiters = [self.guard(self.collect) for _ in range(WAITERS)]
        for thread in producers + waiters:
            thread.start()
        for thread in producers:
            thread.join()
        # Those who wait for several, of which there are fewer now, are woken to see what there is.
        with self.lock:
            self.stop = True
        while any(thread.is_alive() for thread in waiters) and not self.problems:
            self.asked += 1
            self.queue.wakeup()
            waiters[0].join(0.002)
            waiters[1].join(0.002)
        for thread in waiters:
            thread.join()
        assert not self.problems
        assert self.pending == set()
        assert self.done > PRODUCERS
        assert 0 < self.told <= self.asked


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60.0, marks=pytest.mark.soak)])
@pytest.mark.timeout(180)
def test_producers_and_wakeups(real_world: World, seconds: float) -> None:
    fd = real_world.file()
    with real_world.queue(PRODUCERS * EACH) as queue:
        queue.register(fd)
        Storm(queue, fd).run(seconds)


def asleep(thread: threading.Thread) -> None:
    """Return once the thread sleeps in the kernel."""
    path = f"/proc/self/task/{thread.native_id}/stat"
    while True:
        with open(path) as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] == "S":
                return


@pytest.mark.parametrize("waiters", [1, 3])
def test_each_wakeup_ends_one_wait(real_world: World, waiters: int) -> None:
    with real_world.queue(4) as queue:
        told = threading.Semaphore(0)

        def wait() -> None:
            assert queue.wait().interrupted
            told.release()

        threads = [threading.Thread(target=wait) for _ in range(waiters)]
        for thread in threads:
            thread.start()
        for _ in threads:
            queue.wakeup()
            assert told.acquire(timeout=30)
        for thread in threads:
            thread.join()
        assert not queue.wait(0).interrupted


def test_a_cancelled_request_ends_a_wait(real_world: World) -> None:
    """Nothing of it ever reached the kernel that sleeps for its completion."""
    fd = real_world.file()
    with real_world.queue(4) as queue:
        queue.register(fd)
        found: list[uring_rs.IoCompletions] = []
        thread = threading.Thread(target=lambda: found.append(queue.wait()))
        thread.start()
        asleep(thread)
        queue.cancel(queue.prepare(IoOp.SYNC, fd, user="x"))
        thread.join()
        assert [(each.user, each.res) for each in found[0]] == [("x", -errno.ECANCELED)]


def test_what_one_waiter_leaves_another_takes(real_world: World) -> None:
    fd = real_world.file()
    with real_world.queue(8) as queue:
        queue.register(fd)
        found: list[object] = []

        def wait() -> None:
            found.extend(each.user for each in queue.wait(1, 1))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for user in range(3):
            queue.prepare(IoOp.SYNC, fd, user=user)
        queue.commit()
        for thread in threads:
            thread.join()
        assert sorted(found) == [0, 1, 2]  # type: ignore[type-var]


def test_a_request_outlives_its_thread() -> None:
    """The kernel cancels what a thread had in flight when that ends; here it is begun anew."""
    if not uring_rs.is_supported():
        pytest.skip("io_uring is refused here")
    reader, writer = os.pipe()
    try:
        with uring_rs.IoQueue(4) as queue:
            queue.register(reader)
            buffer = bytearray(4)

            def commit() -> None:
                queue.prepare(IoOp.READ, reader, 0, buffer, "x")
                queue.commit()

            thread = threading.Thread(target=commit)
            thread.start()
            thread.join()
            assert queue.wait(timeout=0.05) == []
            os.write(writer, b"data")
            assert [each.result() for each in queue.wait()] == [4]
            assert buffer == b"data"
    finally:
        os.close(reader)
        os.close(writer)


def test_closing_sends_waiters_away(real_world: World) -> None:
    queue = real_world.queue(4)
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            queue.wait()
        except uring_rs.RingClosed as error:
            ended.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    asleep(threads[0])
    queue.close()
    for thread in threads:
        thread.join()
    assert len(ended) == 3


def test_closing_from_several_threads(real_world: World) -> None:
    fd = real_world.file()
    queue = real_world.queue(16)
    queue.register(fd)
    for user in range(10):
        queue.prepare(IoOp.SYNC, fd, user=user)
    queue.commit()
    threads = [threading.Thread(target=queue.close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.user for each in queue.wait()) == list(range(10))

"""What a queue does with each kind of request and with each mistake, on all back ends."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

import uring_rs
from helpers import run_child
from helpers.queueworlds import BLOCK, BLOCKS, SimWorld, ThreadWorld, World
from uring_rs import IoOp, IoQueue


def finish(queue: IoQueue, count: int) -> dict[object, uring_rs.IoCompletion]:
    """Commit and collect so many, by user."""
    assert queue.commit() == count
    done = queue.wait(count)
    assert not done.interrupted
    assert len(done) == count
    return {each.user: each for each in done}


def test_all_operations(world: World) -> None:
    fd = world.file()
    with world.queue(16) as queue:
        queue.register(fd)
        queue.prepare(IoOp.WRITE, fd, 0, b"a" * BLOCK, "write")
        queue.prepare(IoOp.WRITE, fd, BLOCK, [b"b" * 100, bytearray(b"c" * 200)], "writev")
        assert {each.res for each in finish(queue, 2).values()} == {BLOCK, 300}
        queue.prepare(IoOp.SYNC, fd, user="sync")
        queue.prepare(IoOp.DATASYNC, fd, user="datasync")
        one, two, three = bytearray(BLOCK), bytearray(150), bytearray(150)
        queue.prepare(IoOp.READ, fd, 0, one, "read")
        queue.prepare(IoOp.READ, fd, BLOCK, (two, three), "readv")
        done = finish(queue, 4)
        assert {name: each.result() for name, each in done.items()} == {
            "sync": 0,
            "datasync": 0,
            "read": BLOCK,
            "readv": 300,
        }
        assert one == b"a" * BLOCK
        assert two + three == b"b" * 100 + b"c" * 200
        queue.prepare(IoOp.DISCARD, fd, 0, BLOCK, "discard")
        assert finish(queue, 1)["discard"].success
    assert world.contents(fd)[:BLOCK] == bytes(BLOCK)
    assert len(world.contents(fd)) == BLOCK * BLOCKS


def test_short_transfers_are_told_exactly(world: World) -> None:
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        buffer = bytearray(2 * BLOCK)
        queue.prepare(IoOp.READ, fd, (BLOCKS - 1) * BLOCK, buffer, "part")
        queue.prepare(IoOp.READ, fd, BLOCKS * BLOCK, buffer, "end")
        done = finish(queue, 2)
        assert done["part"].transferred == BLOCK
        assert done["end"].result() == 0
        assert done["end"].success


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ENOENT])
def test_the_exact_error(number: int) -> None:
    world = SimWorld()
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        world.kernel.fail_request(0, "result", -number)
        queue.prepare(IoOp.READ, fd, 0, bytearray(10), "x")
        done = finish(queue, 1)["x"]
        assert not done.success
        assert done.transferred == 0
        assert done.error is not None
        assert done.error.errno == number
        with pytest.raises(type(OSError(number, ""))) as caught:
            done.result()
        assert caught.value.errno == number
        assert caught.value.strerror
    world.end()


def test_errors_of_the_file(real_world: World) -> None:
    fd = os.open("/proc/self/status", os.O_RDONLY)
    try:
        with real_world.queue(4) as queue:
            queue.register(fd)
            queue.prepare(IoOp.WRITE, fd, 0, b"x", "write")
            assert finish(queue, 1)["write"].res == -errno.EBADF
    finally:
        os.close(fd)


def test_what_a_lying_kernel_says_is_not_believed() -> None:
    world = SimWorld()
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        world.kernel.fail_request(0, "lie", 1000)
        queue.prepare(IoOp.READ, fd, 0, bytearray(10))
        queue.commit()
        assert [done.res for done in queue.wait()] == [-errno.EIO]
    world.end()


def test_what_is_cut_short_is_begun_anew() -> None:
    """A request goes on when the thread that committed it ends: the kernel says ECANCELED then."""
    world = SimWorld()
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        world.kernel.fail_request(0, "result", -errno.ECANCELED)
        world.kernel.fail_request(2, "result", -errno.EINTR)
        queue.prepare(IoOp.WRITE, fd, 0, b"x" * 10)
        queue.commit()
        assert [done.res for done in queue.wait()] == [10]
        assert world.kernel.faults_left == 0
    world.end()


def test_a_partial_commit(world: World) -> None:
    fd = world.file()
    with world.queue(8) as queue:
        queue.register(fd)
        for user in range(5):
            queue.prepare(IoOp.READ, fd, 0, bytearray(10), user)
        if isinstance(world, SimWorld):
            world.kernel.fail_call("enter", 0, ("short", 2))
            assert queue.commit() == 2
            assert (queue.prepared, queue.in_flight) == (3, 2)
            world.kernel.fail_call("enter", 0, errno.ENOMEM)
            with pytest.raises(OSError, match="Cannot allocate memory"):
                queue.commit()
            assert queue.prepared == 3
            assert [done.user for done in queue.wait(2)] == [0, 1]
            assert queue.commit() == 3
            assert [done.user for done in queue.wait(3)] == [2, 3, 4]
        else:
            assert queue.commit() == 5
            assert {done.user for done in queue.wait(5)} == {0, 1, 2, 3, 4}
        assert queue.commit() == 0


def test_more_than_the_submission_queue_holds(real_world: World) -> None:
    fd = real_world.file()
    with real_world.queue(1000) as queue:
        queue.register(fd)
        for user in range(1000):
            queue.prepare(IoOp.READ, fd, 0, bytearray(1), user)
        with pytest.raises(uring_rs.SubmissionQueueFull, match="1000 requests"):
            queue.prepare(IoOp.READ, fd, 0, bytearray(1))
        assert queue.commit() == 1000
        with pytest.raises(uring_rs.SubmissionQueueFull):
            queue.prepare(IoOp.READ, fd, 0, bytearray(1))
        seen = [done.user for done in queue.wait(10, 10)]
        while len(seen) < 1000:
            seen += [done.user for done in queue.wait(1, 300)]
        assert sorted(seen) == list(range(1000))


def test_a_registered_file_outlives_its_descriptor(world: World) -> None:
    fd = world.file()
    other = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        assert queue.fixed_files == (world.name != "threads")
        queue.prepare(IoOp.WRITE, fd, 0, b"x" * 10, "x")
        world.close_file(fd)
        assert finish(queue, 1)["x"].res == 10
        queue.prepare(IoOp.READ, fd, 0, bytearray(20), "x")
        assert finish(queue, 1)["x"].res == 20
        queue.deregister(fd)
        with pytest.raises(KeyError, match="not registered"):
            queue.prepare(IoOp.READ, fd, 0, bytearray(20), "x")
        queue.register(other)


def test_registering(world: World) -> None:
    first, second, third = world.file(), world.file(), world.file()
    with world.queue(4, files=2) as queue:
        queue.register(first)
        with pytest.raises(ValueError, match="registered already"):
            queue.register(first)
        queue.register(second)
        with pytest.raises(ValueError, match="2 files are registered"):
            queue.register(third)
        with pytest.raises(KeyError):
            queue.deregister(third)
        queue.prepare(IoOp.SYNC, first)
        with pytest.raises(ValueError, match="1 requests on this file"):
            queue.deregister(first)
        queue.commit()
        queue.wait()
        queue.deregister(first)
        queue.register(third)


def test_registering_what_is_not_open(real_world: World) -> None:
    with real_world.queue(4) as queue, pytest.raises(OSError, match="Bad file descriptor"):
        queue.register(987_654)


def test_files_without_a_table() -> None:
    """Where the kernel does not want to register files, descriptors do the same."""
    world = SimWorld()
    world.kernel.fail_call("register", 0, errno.EMFILE)
    fd = world.file()
    with world.queue(4) as queue:
        assert not queue.fixed_files
        queue.register(fd)
        queue.prepare(IoOp.READ, fd, 0, bytearray(10), "x")
        world.close_file(fd)
        assert finish(queue, 1)["x"].res == 10
    world.end()


MISTAKES: list[tuple[type[Exception], tuple[Any, ...]]] = [
    (ValueError, (17, "fd", 0, bytearray(1))),
    (ValueError, ("READ", "fd", 0, bytearray(1))),
    (ValueError, (-1, "fd", 0, bytearray(1))),
    (TypeError, (IoOp.READ, "fd", 0)),
    (TypeError, (IoOp.READ, "fd", "0", bytearray(1))),
    (ValueError, (IoOp.READ, "fd", -1, bytearray(1))),
    (ValueError, (IoOp.READ, "fd", 2**63, bytearray(1))),
    (BufferError, (IoOp.READ, "fd", 0, b"read-only")),
    (BufferError, (IoOp.READ, "fd", 0, [bytearray(1), b"read-only"])),
    (TypeError, (IoOp.WRITE, "fd", 0, "text")),
    (TypeError, (IoOp.WRITE, "fd", 0, [b"x", "text"])),
    (ValueError, (IoOp.WRITE, "fd", 0, [b""] * 1025)),
    (ValueError, (IoOp.SYNC, "fd", 1)),
    (ValueError, (IoOp.SYNC, "fd", 0, b"x")),
    (TypeError, (IoOp.DISCARD, "fd", 0, b"x")),
    (TypeError, (IoOp.DISCARD, "fd", 0)),
    (ValueError, (IoOp.DISCARD, "fd", 0, 0)),
    (ValueError, (IoOp.DISCARD, "fd", 0, 2**63)),
    (TypeError, (IoOp.READ, None, 0, bytearray(1))),
]


@pytest.mark.parametrize(("error", "arguments"), MISTAKES)
def test_mistakes(error: type[Exception], arguments: tuple[Any, ...]) -> None:
    world = SimWorld()
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        given = [fd if each == "fd" else each for each in arguments]
        with pytest.raises(error):
            queue.prepare(*given)
        for each in given:
            if isinstance(each, bytearray):
                each.append(0)  # let go of
        assert queue.prepared == 0
        with pytest.raises(ValueError, match="min must be 0 to max"):
            queue.wait(2, 1)
        with pytest.raises(ValueError, match="at most depth"):
            queue.wait(5)
        with pytest.raises(ValueError, match="must not be negative"):
            queue.wait(timeout=-1)
        with pytest.raises(OverflowError):
            queue.wait(-1)
    world.end()


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 0},
        {"depth": 32769},
        {"files": 0},
        {"registered_buffers": -1},
        {"registered_buffers": 1, "buffer_size": 0},
        {"registered_buffers": [bytearray()]},
    ],
)
def test_impossible_queues(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be|or more|has 1 byte"):
        IoQueue(**options)
    with pytest.raises((TypeError, BufferError)):
        IoQueue(registered_buffers=[b"read-only"])


def test_timeouts(world: World) -> None:
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        assert queue.wait(timeout=0.01) == []
        queue.prepare(IoOp.READ, fd, 0, bytearray(1), "x")
        assert queue.wait(timeout=0) == []
        queue.commit()
        done = queue.wait(2, timeout=0.01)
        assert [each.user for each in done] == ["x"]
        assert not done.interrupted


def test_wakeups_are_one_until_told(world: World) -> None:
    with world.queue(4) as queue:
        for ring in (queue.wakeup, lambda: world.ring_from_outside(queue)):
            for least in (0, 1):
                ring()
                ring()
                assert queue.wait(least).interrupted
                assert not queue.wait(0).interrupted
                assert not queue.wait(timeout=0.001).interrupted


def test_an_interrupted_wait_has_what_there_was(world: World) -> None:
    fd = world.file()
    with world.queue(4) as queue:
        queue.register(fd)
        queue.prepare(IoOp.READ, fd, 0, bytearray(1), "x")
        queue.commit()
        queue.wait(1)
        queue.prepare(IoOp.READ, fd, 0, bytearray(1), "y")
        queue.commit()
        while not (done := queue.wait(0, 1)):
            queue.wait(timeout=0.001) if isinstance(world, SimWorld) else None
        queue.wakeup()
        again = queue.wait(3)
        assert [each.user for each in [*done, *again]] == ["y"]
        assert again.interrupted


def test_cancelling(world: World) -> None:
    fd = world.file()
    with world.queue(8) as queue:
        queue.register(fd)
        handles = [queue.prepare(IoOp.READ, fd, 0, bytearray(1), n) for n in range(3)]
        assert queue.cancel(handles[1])
        assert not queue.cancel(handles[1])
        assert not queue.cancel(0)
        assert [(done.user, done.res) for done in queue.wait()] == [(1, -errno.ECANCELED)]
        assert queue.commit() == 2
        assert {done.user for done in queue.wait(2)} == {0, 2}
        for n in range(3):
            queue.prepare(IoOp.READ, fd, 0, bytearray(1), n)
        assert queue.cancel_all() == 3
        assert queue.commit() == 0
        assert {done.res for done in queue.wait(3)} == {-errno.ECANCELED}


def test_closing(world: World) -> None:
    fd = world.file()
    buffers = [bytearray(10) for _ in range(3)]
    with world.queue(8) as queue:
        queue.register(fd)
        for n, buffer in enumerate(buffers):
            queue.prepare(IoOp.READ, fd, 0, buffer, n)
            if n == 0:
                queue.commit()
        with pytest.raises(BufferError):
            buffers[2].append(0)
    assert queue.closed
    for buffer in buffers:
        buffer.append(0)
    left = {done.user: done.res for done in queue.wait(2)}
    assert left.keys() == {0, 1, 2}
    assert left[1] == left[2] == -errno.ECANCELED
    queue.close()
    calls: list[tuple[Any, ...]] = [
        (queue.wait,),
        (queue.commit,),
        (queue.wakeup,),
        (queue.cancel, 1),
        (queue.cancel_all,),
        (queue.register, fd),
        (queue.deregister, fd),
        (queue.prepare, IoOp.SYNC, fd),
        (queue.__enter__,),
        (getattr, queue, "wakeup_fd"),
    ]
    for method, *arguments in calls:
        with pytest.raises(uring_rs.RingClosed, match="queue is closed"):
            method(*arguments)


def test_registered_buffers(world: World) -> None:
    fd = world.file()
    given = [bytearray(100), bytearray(200)]
    with world.queue(8, registered_buffers=given) as queue:
        assert queue.registered == (0 if isinstance(world, ThreadWorld) else 2)
        assert queue.buffers == tuple(given)
        with pytest.raises(BufferError):
            given[0].append(0)
        queue.register(fd)
        given[0][:] = b"x" * 100
        queue.prepare(IoOp.WRITE, fd, 0, memoryview(given[0])[10:20], "part")
        queue.prepare(IoOp.WRITE, fd, 50, given[0], "whole")
        queue.prepare(IoOp.WRITE, fd, 200, b"elsewhere", "other")
        done = finish(queue, 3)
        assert [done[name].res for name in ("part", "whole", "other")] == [10, 100, 9]
        queue.prepare(IoOp.READ, fd, 0, memoryview(given[1])[100:], "back")
        assert finish(queue, 1)["back"].res == 100
        assert given[1] == bytes(100) + b"x" * 10 + bytes(40) + b"x" * 50
    if isinstance(world, SimWorld):
        ops = [op for op, _ in world.kernel.submitted]
        assert (ops.count("WRITE_FIXED"), ops.count("WRITE"), ops.count("READ_FIXED")) == (2, 1, 1)
    given[0].append(0)


def test_buffers_that_are_made() -> None:
    with IoQueue(4, registered_buffers=3, buffer_size=5000) as queue:
        assert [len(memoryview(buffer)) for buffer in queue.buffers] == [5000] * 3


def test_buffers_that_the_kernel_refuses() -> None:
    world = SimWorld()
    fd = world.file()
    world.kernel.fail_call("register", 1, errno.ENOMEM)
    with world.queue(4, registered_buffers=2) as queue:
        assert queue.registered == 0
        queue.register(fd)
        queue.prepare(IoOp.READ, fd, 0, memoryview(queue.buffers[0])[:10], "x")
        assert finish(queue, 1)["x"].res == 10
    assert [op for op, _ in world.kernel.submitted if op.startswith("READ")] == ["READ"]
    world.end()


def test_a_ring_that_is_refused_is_no_failure() -> None:
    world = SimWorld()
    world.kernel.fail_call("setup", 0, errno.EPERM)
    fd = world.file()
    with world.queue(4) as queue:
        assert queue.backend == "threads"
        queue.register(fd)
        queue.prepare(IoOp.WRITE, fd, 0, [b"ab", b"cd"], "w")
        assert finish(queue, 1)["w"].res == 4
    assert world.contents(fd)[:4] == b"abcd"
    world.kernel.fail_call("setup", 0, errno.EPERM)
    with pytest.raises(uring_rs.UringUnavailable):
        world.queue(4, require_uring=True)
    world.end()


def test_little_lockable_memory() -> None:
    """Without the right to lock more, buffers are plain ones, and all goes on."""
    run_child(
        """
        import os
        from helpers.host import become_nobody, limit_lockable_memory
        import uring_rs
        from uring_rs import IoOp
        fd = os.memfd_create("x"); os.write(fd, b"data")
        limit_lockable_memory(100_000)
        become_nobody()
        with uring_rs.IoQueue(4, registered_buffers=8, buffer_size=1 << 20) as queue:
            queue.register(fd)
            assert queue.registered == 0
            queue.prepare(IoOp.READ, fd, 0, queue.buffers[3])
            queue.commit()
            assert queue.wait()[0].result() == 4
            assert bytes(queue.buffers[3][:4]) == b"data"
        """
    )


def test_is_supported() -> None:
    assert IoQueue.is_supported() == uring_rs.probe().ok


def test_the_switch_of_the_environment() -> None:
    code = "import uring_rs; q = uring_rs.IoQueue(); print(q.backend, q.is_supported()); q.close()"
    assert run_child(code, env={"URING_RS_DISABLE": "1"}).stdout == "threads False\n"

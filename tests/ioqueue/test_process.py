"""Signals, fork, other processes, the collector and the end of the interpreter."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

import uring_rs
from helpers import run_child
from helpers.queueworlds import World, supported
from uring_rs import IoOp, IoQueue

needs_rings = pytest.mark.skipif(not supported(), reason="io_uring is refused here")
WAYS = [pytest.param("", marks=needs_rings, id="ring"), pytest.param("1", id="threads")]


def child(code: str, switch: str) -> str:
    """Run code after the imports that all need."""
    head = "import gc, os, signal, sys, threading, uring_rs\nfrom uring_rs import IoOp, IoQueue\n"
    env = {"URING_RS_DISABLE": switch}
    # That a process forks which has threads is what some of these are about; Python warns of it.
    filters = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    return run_child(head + code, options=filters, env=env).stdout


class Alarm:
    """A handler for SIGALRM, and the alarm."""

    def __init__(self, handler: object) -> None:
        self.old = signal.signal(signal.SIGALRM, handler)  # type: ignore[arg-type]

    def __enter__(self) -> Alarm:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.old)


def test_a_signal_handler_wakes(real_world: World) -> None:
    with real_world.queue(4) as queue:
        with Alarm(lambda *_: queue.wakeup()):
            assert queue.wait().interrupted
        assert not queue.wait(0).interrupted


def test_a_signal_handler_that_raises(real_world: World) -> None:
    fd = real_world.file()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with real_world.queue(4) as queue:
        queue.register(fd)
        queue.prepare(IoOp.READ, fd, 0, bytearray(8), "x")
        queue.commit()
        with Alarm(stop), pytest.raises(KeyboardInterrupt):
            queue.wait(2)
        assert [(each.user, each.res) for each in queue.wait()] == [("x", 8)]


def test_a_signal_handler_that_does_neither(real_world: World) -> None:
    with real_world.queue(4) as queue:
        handled = []
        began = time.monotonic()
        with Alarm(lambda *_: handled.append(1)):
            assert queue.wait(timeout=0.1) == []
        assert handled == [1]
        assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize("switch", WAYS)
def test_ctrl_c(switch: str) -> None:
    child(
        """
queue = IoQueue(4)
timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
timer.start()
try:
    queue.wait()
except KeyboardInterrupt:
    queue.close()
else:
    raise AssertionError
timer.join()
""",
        switch,
    )


def test_another_process_wakes(real_world: World) -> None:
    with real_world.queue(4) as queue:
        fd = queue.wakeup_fd
        code = f"import os; os.eventfd_write({fd}, 1); os.eventfd_write({fd}, 1)"
        with subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd]) as process:
            assert queue.wait().interrupted
            process.wait()
        # The second may have come later than the first was told.
        queue.wait(0)
        assert not queue.wait(0).interrupted


@pytest.mark.parametrize("switch", WAYS)
def test_fork(switch: str) -> None:
    said = child(
        """
reader, writer = os.pipe()
fd = os.memfd_create("x")
os.write(fd, b"parent's data")
queue = IoQueue(8, registered_buffers=2)
queue.register(fd)
queue.register(reader)
buffers = [bytearray(13) for _ in range(3)]
queue.prepare(IoOp.READ, reader, 0, buffers[0], "pipe")
queue.commit()
queue.prepare(IoOp.READ, fd, 0, buffers[1], "prepared")
pid = os.fork()
if pid == 0:
    calls = [
        lambda: queue.prepare(IoOp.READ, fd, 0, buffers[2]), queue.commit, queue.wait,
        queue.wakeup, lambda: queue.wakeup_fd, lambda: queue.cancel(1), queue.cancel_all,
        lambda: queue.register(writer), lambda: queue.deregister(fd), lambda: queue.prepared,
        lambda: queue.in_flight, lambda: queue.closed, queue.__enter__,
    ]
    for call in calls:
        try:
            call()
        except uring_rs.ForkedRing as error:
            assert "parent process" in str(error)
        else:
            os._exit(1)
    buffers[2].append(0)
    queue.close()
    with IoQueue(4) as own:
        own.register(fd)
        own.prepare(IoOp.READ, fd, 0, buffers[2])
        own.commit()
        assert own.wait()[0].res == 13
    del queue
    gc.collect()
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
os.write(writer, b"into the pipe")
queue.commit()
done = {each.user: each.res for each in queue.wait(2)}
assert done == {"pipe": 13, "prepared": 13}, done
assert buffers[0] == b"into the pipe" and buffers[1] == b"parent's data"
queue.close()
print("done")
""",
        switch,
    )
    assert said == "done\n"


ENDS = {
    "exit": "sys.exit(0)",
    "os._exit": "os._exit(0)",
    "fall off the end": "pass",
    "exit in a thread": "thread = threading.Thread(target=sys.exit); thread.start(); thread.join()",
}


@pytest.mark.parametrize("switch", WAYS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_end_of_the_interpreter(switch: str, end: str) -> None:
    child(
        f"""
fd = os.memfd_create("x")
os.ftruncate(fd, 1 << 20)
queue = IoQueue(64, registered_buffers=4)
queue.register(fd)
for user in range(32):
    queue.prepare(IoOp.READ, fd, 0, bytearray(1 << 16), user)
queue.commit()
for user in range(16):
    queue.prepare(IoOp.READ, fd, 0, bytearray(1 << 16), queue)
waiting = threading.Thread(target=queue.wait, args=(60,), daemon=True)
waiting.start()
{end}
""",
        switch,
    )


@pytest.mark.parametrize("switch", WAYS)
def test_a_queue_that_is_dropped(switch: str) -> None:
    child(
        """
import warnings
fd = os.memfd_create("x")
os.ftruncate(fd, 1 << 20)
fds = len(os.listdir("/proc/self/fd"))
queue = IoQueue(8)
queue.register(fd)
buffers = [bytearray(100) for _ in range(4)]
for buffer in buffers:
    queue.prepare(IoOp.READ, fd, 0, buffer, buffer)
queue.commit()
queue.prepare(IoOp.READ, fd, 0, bytearray(10))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    del queue
    gc.collect()
assert [each.category for each in caught] == [ResourceWarning], caught
for buffer in buffers:
    buffer.append(0)
assert len(os.listdir("/proc/self/fd")) == fds
""",
        switch,
    )


def test_a_cycle_through_a_queue_is_collected(real_world: World) -> None:
    class User:
        queue: IoQueue

    fd = real_world.file()
    queue, user = real_world.queue(4), User()
    queue.register(fd)
    queue.prepare(IoOp.SYNC, fd, user=user)
    user.queue = queue
    gone = weakref.ref(user)
    queue_gone = weakref.ref(queue)
    del queue, user
    with pytest.warns(ResourceWarning, match="unclosed IoQueue"):
        gc.collect()
    assert gone() is None
    assert queue_gone() is None


def test_completions_keep_what_they_are_for(real_world: World) -> None:
    fd = real_world.file()
    with real_world.queue(4) as queue:
        queue.register(fd)
        user = object()
        before = sys.getrefcount(user)
        for _ in range(100):
            queue.prepare(IoOp.SYNC, fd, user=user)
            queue.commit()
            (done,) = queue.wait()
            assert done.user is user
            assert "object" in repr(done)
            del done
        assert sys.getrefcount(user) == before


def test_a_close_that_cannot_end() -> None:
    """A thread that is inside a read of a pipe cannot be stopped: what it uses is leaked."""
    child(
        """
import warnings
from pathlib import Path
reader, writer = os.pipe()
queue = IoQueue(8)
queue.register(reader)
buffer = bytearray(10)
queue.prepare(IoOp.READ, reader, 0, buffer, "stuck")
queue.commit()
def begun():
    tasks = [f"/proc/self/task/{task}" for task in os.listdir("/proc/self/task")]
    return any("pipe" in Path(task, "wchan").read_text() for task in tasks)
while not begun():
    os.sched_yield()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    queue.close(timeout=0.05)
assert "1 requests in flight" in str(caught[0].message), caught
assert queue.closed
try:
    buffer.append(0)
except BufferError:
    pass
else:
    raise AssertionError
os.write(writer, b"late")
while bytes(buffer[:4]) != b"late":
    os.sched_yield()
os._exit(0)
""",
        "1",
    )


def test_hostile_destructors(real_world: World) -> None:
    """What runs while a buffer is released may use the queue."""
    fd = real_world.file()
    log: list[str] = []

    with real_world.queue(8) as queue:
        queue.register(fd)

        class Noisy(bytearray):
            def __del__(self) -> None:
                queue.wakeup()
                log.append("gone")
                if len(log) == 1:
                    queue.prepare(IoOp.SYNC, fd, user="from a destructor")
                    queue.commit()

        queue.prepare(IoOp.READ, fd, 0, Noisy(10), "noisy")
        queue.commit()
        (done,) = queue.wait()
        assert done.user == "noisy"
        assert log == ["gone"]
        assert queue.wait().interrupted
        left = [each.user for each in queue.wait(0)]
        assert left in ([], ["from a destructor"])


def test_a_waiter_does_not_stop_other_threads(real_world: World) -> None:
    with real_world.queue(4) as queue:
        thread = threading.Thread(target=queue.wait)
        thread.start()
        assert sum(range(1000)) == 499_500
        queue.wakeup()
        thread.join()


@needs_rings
def test_a_pipe_that_never_has_anything() -> None:
    reader, writer = os.pipe()
    buffer = bytearray(10)
    with uring_rs.IoQueue(4) as queue:
        queue.register(reader)
        handle = queue.prepare(IoOp.READ, reader, 0, buffer, 1)
        queue.commit()
        with pytest.raises(ValueError, match="1 requests on this file"):
            queue.deregister(reader)
        assert queue.cancel(handle)
        assert queue.wait()[0].error is not None
        queue.prepare(IoOp.READ, reader, 0, buffer, 2)
        queue.commit()
    buffer.append(0)
    assert [each.user for each in queue.wait()] == [2]
    os.close(reader)
    os.close(writer)

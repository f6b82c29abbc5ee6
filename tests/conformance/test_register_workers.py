"""Worker threads: how many there may be, and on which CPUs."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

import uring_rs
from conformance.kit import Pipe, idle, one, results
from uring_rs import SqeFlags, WorkerKind

pytestmark = pytest.mark.requires_op("NOP", "READ")


def worker_cpus() -> list[set[int]]:
    """The CPUs of each worker of the calling thread."""
    name = f"iou-wrk-{threading.get_native_id()}\n"
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as comm:
            if comm.read() == name:
                found.append(os.sched_getaffinity(int(task)))
    return found


def in_thread(work: Callable[[], None]) -> None:
    """Workers belong to a thread: one that begins without any."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("undo", [False, True])
def test_affinity(shared: bool, undo: bool) -> None:
    cpus = os.sched_getaffinity(0)

    def work() -> None:
        with uring_rs.Ring(8, shared=shared) as ring:
            ring.register_iowq_aff([max(cpus)])
            if undo:
                ring.unregister_iowq_aff()
            ring.prep_nop(flags=SqeFlags.ASYNC)
            assert one(ring).res == 0
            assert worker_cpus() == [cpus if undo else {max(cpus)}]

    in_thread(work)


def test_of_a_poll_thread() -> None:
    """With SQPOLL the workers are those of the ring's own thread."""
    with uring_rs.Ring(8, sqpoll_idle_ms=10) as ring:
        before = ring.register_iowq_max_workers(2)
        assert ring.register_iowq_max_workers(before[0]) == (2, before[1])
        ring.register_iowq_aff([min(os.sched_getaffinity(0))])
        ring.prep_nop(flags=SqeFlags.ASYNC)
        assert ring.wait_cqe().res == 0
        ring.unregister_iowq_aff()


@pytest.mark.parametrize("kind", WorkerKind)
def test_limits_by_kind(shared: bool, kind: WorkerKind) -> None:
    """The answer is by kind of worker, and one limit can be set without the other."""

    def work() -> None:
        with uring_rs.Ring(8, shared=shared) as ring:
            name = "bounded" if kind == WorkerKind.BOUND else "unbounded"
            before = ring.register_iowq_max_workers()
            assert ring.register_iowq_max_workers(**{name: 3}) == before
            after = ring.register_iowq_max_workers(**{name: before[kind]})
            assert (after[kind], after[1 - kind]) == (3, before[1 - kind])

    in_thread(work)


def test_iterables(ring: uring_rs.Ring) -> None:
    cpus = os.sched_getaffinity(0)
    for form in (cpus, list(cpus), iter(cpus), (cpu for cpu in cpus), [*cpus, *cpus]):
        ring.register_iowq_aff(form)
    ring.unregister_iowq_aff()


def test_affinity_before_anything_was_submitted(shared: bool) -> None:
    def work() -> None:
        with uring_rs.Ring(8, shared=shared) as ring:
            ring.register_iowq_aff(os.sched_getaffinity(0))
            ring.unregister_iowq_aff()
            idle(ring)

    in_thread(work)


def test_chains_of_other_threads_stay_whole(open_ring: Callable[..., uring_rs.Ring]) -> None:
    """Settings are made while others submit: no link of theirs is cut, and no result is lost."""
    ring = open_ring(64, shared=True)
    stop = threading.Event()

    def settings() -> None:
        while not stop.is_set():
            ring.register_iowq_aff(os.sched_getaffinity(0))
            ring.register_iowq_max_workers()

    thread = threading.Thread(target=settings)
    thread.start()
    try:
        for _ in range(200):
            # The first fails, so that what is linked to it must not be done.
            ring.prep_read(1 << 20, bytearray(1), flags=SqeFlags.IO_LINK, user_data="a")
            ring.prep_nop(flags=SqeFlags.IO_LINK, user_data="b")
            ring.prep_nop(user_data="c")
            found = results(ring, 3)
            assert found == {"a": -errno.EBADF, "b": -errno.ECANCELED, "c": -errno.ECANCELED}
    finally:
        stop.set()
        thread.join()


def test_what_is_staged_stays_staged(ring: uring_rs.Ring) -> None:
    ring.prep_nop(user_data="staged")
    ring.register_iowq_aff(os.sched_getaffinity(0))
    ring.unregister_iowq_aff()
    ring.register_iowq_max_workers()
    assert ring.sq_ready == 1
    assert one(ring).user_data == "staged"


def test_bad_cpus(ring: uring_rs.Ring) -> None:
    for wrong in ([], [-1], [8192], [0, 1 << 40]):
        with pytest.raises(ValueError, match="CPU"):
            ring.register_iowq_aff(wrong)
    with pytest.raises(OverflowError):
        ring.register_iowq_aff([1 << 80])
    for bad in (0, None, "01", b"\0", ["0"], [0.0]):
        with pytest.raises(TypeError):
            ring.register_iowq_aff(bad)  # type: ignore[arg-type]


def test_cpus_that_there_are_not(ring: uring_rs.Ring) -> None:
    """Whether the kernel's masks have room for them or not: nobody is left without a CPU."""
    for cpu in (63, 127, 8191):
        if cpu in os.sched_getaffinity(0):
            continue
        with pytest.raises((uring_rs.UringError, ValueError)):
            ring.register_iowq_aff([cpu])
    ring.prep_nop(flags=SqeFlags.ASYNC)
    assert one(ring).res == 0


def test_max_workers(shared: bool) -> None:
    def work() -> None:
        with uring_rs.Ring(8, shared=shared) as ring:
            bounded, unbounded = ring.register_iowq_max_workers()
            assert bounded > 0
            assert unbounded > 0
            assert ring.register_iowq_max_workers(3) == (bounded, unbounded)
            assert ring.register_iowq_max_workers(unbounded=5) == (3, unbounded)
            assert ring.register_iowq_max_workers(bounded, unbounded) == (3, 5)
            assert ring.register_iowq_max_workers() == (bounded, unbounded)

    in_thread(work)


def test_one_worker(shared: bool, pipes: Callable[[], Pipe]) -> None:
    """With one unbounded worker, what waits keeps everything else waiting."""
    first, second = pipes(), pipes()

    def work() -> None:
        with uring_rs.Ring(8, shared=shared) as ring:
            ring.register_iowq_max_workers(unbounded=1)
            for tag, pipe in enumerate((first, second)):
                ring.prep_read(pipe.out, bytearray(1), flags=SqeFlags.ASYNC, user_data=tag)
            ring.submit()
            first.feed()
            second.feed()
            ring.submit(wait=2)
            assert sorted(cqe.user_data for cqe in ring) == [0, 1]

    in_thread(work)


def test_bad_limits(ring: uring_rs.Ring) -> None:
    for wrong in (0, -1, 1 << 31, 1 << 40):
        with pytest.raises(ValueError, match="bounded"):
            ring.register_iowq_max_workers(wrong)
        with pytest.raises(ValueError, match="unbounded"):
            ring.register_iowq_max_workers(None, wrong)
    with pytest.raises(TypeError):
        ring.register_iowq_max_workers("1")  # type: ignore[arg-type]


def test_of_a_closed_ring(make_ring: Callable[..., uring_rs.Ring]) -> None:
    ring = make_ring(4)
    ring.close()
    for call in (
        ring.register_iowq_max_workers,
        ring.unregister_iowq_aff,
        lambda: ring.register_iowq_aff([0]),
    ):
        with pytest.raises(uring_rs.RingClosed):
            call()

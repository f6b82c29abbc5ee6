"""Whose ring it is: one thread's or everybody's, and what becomes of it when a thread ends."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable

import pytest

import uring_rs
from helpers.calls import all_calls
from helpers.child import run_child
from uring_rs import WrongThread


def elsewhere(work: Callable[[], object], name: str = "elsewhere") -> object:
    """What `work` returns, or raises, in a thread of its own."""
    answer: list[object] = []

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    return answer[0]


def test_each_call_from_the_wrong_thread() -> None:
    with uring_rs.Ring(8) as ring:
        ring.prep_nop(user_data="mine")

        def use() -> list[str]:
            with all_calls() as calls:
                del calls.all["wake"]
                calls.all["close"] = lambda ring: ring.close()
                return calls.complaints(ring, WrongThread)

        assert elsewhere(use) == []
        ring.submit(wait=1)
        assert ring.pop().user_data == "mine"


def test_both_threads_are_named() -> None:
    def name_owner() -> None:
        threading.current_thread().name = "the owner"

    elsewhere(name_owner)
    with uring_rs.Ring(8) as ring:
        ring.submit()
        error = elsewhere(ring.submit, "the stranger")
        assert isinstance(error, WrongThread)
        assert isinstance(error, RuntimeError)
        assert '"MainThread"' in str(error)
        assert '"the stranger"' in str(error)
        assert error.cause == uring_rs.Cause.WRONG_THREAD


def test_made_here_and_used_there() -> None:
    ring = uring_rs.Ring(8)

    def use() -> int:
        with ring:
            ring.prep_nop()
            return ring.submit(wait=1)

    assert elsewhere(use) == 1
    assert ring.sq_entries == 8


def test_any_thread_may_wake() -> None:
    with uring_rs.Ring(8) as ring:
        ring.submit()
        thread = threading.Thread(target=ring.wake)
        thread.start()
        assert ring.wait() == 0
        thread.join()


def test_two_rings_in_one_thread() -> None:
    reader, writer = os.pipe()
    with uring_rs.Ring(8) as one, uring_rs.Ring(8) as two:
        buf = bytearray(4)
        one.prep_read(reader, buf, user_data="one")
        one.submit()
        two.prep_write(writer, b"data", user_data="two")
        two.submit()
        assert one.wait_cqe().user_data == "one"
        assert two.wait_cqe().user_data == "two"
        assert buf == b"data"
        assert one.pop() is None
        # Watched by another ring, as any descriptor.
        two.prep_poll_add(one, 1, user_data="watched")
        two.submit()
        one.prep_nop()
        one.submit()
        assert two.wait_cqe().user_data == "watched"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("how", ["close", "drop", "reused", "nothing in flight"])
def test_a_thread_that_ends_before_its_ring(how: str) -> None:
    run_child(
        f"""
        import gc, os, threading, warnings, uring_rs
        how = {how!r}
        read, write = os.pipe()
        idle, done = bytearray(b"...."), bytearray(4)
        zero = os.open("/dev/zero", os.O_RDONLY)
        ring = uring_rs.Ring(8)

        def work():
            if how != "nothing in flight":
                ring.prep_read(read, idle, user_data="idle")
            ring.prep_read(zero, done, user_data="done")
            ring.submit()
            ring.prep_nop(user_data="staged")

        def run(target):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

        def close():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ring.close()
            assert ring.closed
            (cqe,) = ring.reap()
            assert (cqe.user_data, cqe.res) == ("done", 4)
            done.append(0)
            return [str(each.message) for each in caught if each.category is ResourceWarning]

        run(work)
        try:
            ring.prep_nop()
        except uring_rs.WrongThread as error:
            assert "which has ended" in str(error), error
        else:
            raise SystemExit("used from the wrong thread")

        if how == "close":
            (message,) = close()
            assert message.startswith("1 requests"), message
        elif how == "reused":
            # The next thread may well get the same thread identifier from the system.
            messages = []
            run(lambda: messages.extend(close()))
            assert len(messages) == 1, messages
        elif how == "nothing in flight":
            assert close() == []
            assert uring_rs._uring._graveyard() == 0
        elif how == "drop":
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                del ring
                gc.collect()
            assert any("unclosed ring" in str(each.message) for each in caught), caught

        # The idle read can be ended by nobody, so its memory stays locked, whatever comes.
        if how != "nothing in flight":
            assert uring_rs._uring._graveyard() == 1
            os.write(write, b"late")
            try:
                idle.append(0)
            except BufferError:
                pass
            else:
                raise SystemExit("not locked any more")
            gc.collect()
        """
    )


def test_a_dead_threads_ident_does_not_give_its_ring_away() -> None:
    # The system gives the next thread the same identifier, and the kernel knows rings by an index
    # in a table of each thread: the dead thread's ring must not be entered as one of the new one's.
    run_child(
        """
        import threading, uring_rs
        dead, idents = uring_rs.Ring(8), []
        def turns(ring):
            for _ in range(40):
                ring.prep_nop(); ring.submit(wait=1); ring.reap()
        def own():
            idents.append(threading.get_ident())
            turns(dead)
        def use():
            idents.append(threading.get_ident())
            mine = uring_rs.Ring(8)
            turns(mine)
            mine.prep_nop(user_data="mine")
            mine.flush()
            for call in (dead.prep_nop, dead.submit, lambda: dead.wait(1, 0.1), dead.reap):
                try:
                    call()
                except uring_rs.WrongThread as error:
                    assert "which has ended" in str(error), error
                else:
                    raise SystemExit("used from another thread")
            assert mine.sq_ready == 1
            dead.close()
            assert dead.closed
            turns(mine)
            mine.close()
        for round in range(20):
            for target in (own, use):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
            if idents[-1] == idents[-2]:
                break
            dead = uring_rs.Ring(8)
        """
    )


def test_waiters_of_a_shared_ring_get_ring_closed() -> None:
    for count, wants in ((1, 1), (4, 1), (4, 100), (2, 4000)):
        ring = uring_rs.Ring(1024, shared=True)
        waiting, ended = threading.Barrier(count + 1), []

        def wait(
            ring: uring_rs.Ring = ring,
            barrier: threading.Barrier = waiting,
            ended: list[object] = ended,
            wants: int = wants,
        ) -> None:
            barrier.wait()
            try:
                ended.append(ring.wait(wants))
            except uring_rs.RingClosed as error:
                ended.append(type(error))

        threads = [threading.Thread(target=wait) for _ in range(count)]
        for thread in threads:
            thread.start()
        waiting.wait()
        ring.close()
        for thread in threads:
            thread.join(10)
        assert ended == [uring_rs.RingClosed] * count


def test_many_threads_close_one_ring() -> None:
    run_child(
        """
        import os, sys, threading, uring_rs
        sys.setswitchinterval(1e-6)
        read, write = os.pipe()
        for round in range(60):
            ring = uring_rs.Ring(16, shared=True)
            others = [uring_rs.Ring(4, shared=True) for _ in range(2)]
            bufs = [bytearray(8) for _ in range(12)]
            for buf in bufs:
                ring.prep_read(read, buf)
            if round % 2:
                ring.submit()
            barrier, errors = threading.Barrier(8), []
            def work(number):
                barrier.wait()
                try:
                    if number < 4:
                        ring.close()
                        assert ring.closed
                    elif number < 6:
                        ring.wait(1)
                    else:
                        while True:
                            ring.prep_nop()
                            ring.submit()
                            ring.reap()
                except uring_rs.RingClosed:
                    if number < 4: errors.append("close raised")
                except BaseException as error:
                    errors.append(repr(error))
            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert not errors, errors
            for buf in bufs: buf.append(0)
            for other in others: other.close()
        """,
        timeout=50,
    )


def test_threads_share_a_ring() -> None:
    run_child(
        """
        import collections, sys, threading, uring_rs
        sys.setswitchinterval(1e-5)
        count, each = 8, 400
        seen, lock = collections.Counter(), threading.Lock()
        with uring_rs.Ring(16, shared=True) as ring:
            def work(number):
                for step in range(each):
                    while True:
                        try:
                            ring.prep_nop(user_data=(number, step))
                            break
                        except uring_rs.SubmissionQueueFull:
                            take()
                    if step % 3 == 0: ring.submit()
                    if step % 5 == 0: take()
            def take():
                for cqe in ring.reap():
                    with lock: seen[cqe.user_data] += 1
            threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            ring.submit()
            while ring.in_flight:
                ring.wait(1, 0.05)
                take()
            take()
            assert ring.stray_completions == 0
        assert len(seen) == count * each, len(seen)
        assert set(seen.values()) == {1}
        """,
        timeout=50,
    )


def test_a_thread_that_waits_does_not_keep_others_from_the_ring() -> None:
    reader, writer = os.pipe()
    ring = uring_rs.Ring(8, shared=True)
    buf, found = bytearray(4), []
    ring.prep_read(reader, buf, user_data="idle")
    ring.submit()
    thread = threading.Thread(target=lambda: found.append(ring.wait_cqe().user_data))
    thread.start()
    # Submitted while the other one sleeps, and it is the other one that may get it.
    ring.prep_write(writer, b"data", user_data="write")
    ring.submit()
    thread.join(10)
    while len(found) < 2:
        found.append(ring.wait_cqe(timeout=10).user_data)
    assert sorted(found) == ["idle", "write"]
    ring.close()
    os.close(reader)
    os.close(writer)


def test_a_thread_about_to_sleep_gets_what_another_leaves() -> None:
    # Between a thread's look at the queue and the kernel's, another takes two completions off and
    # keeps one: the first thread must not sleep on.
    run_child(
        """
        import sys, threading, time, uring_rs
        sys.setswitchinterval(10)  # The GIL changes hands only where the wait lets go of it.
        with uring_rs.Ring(8, shared=True) as ring:
            for _ in range(30):
                waiting, found = [], []
                def wait():
                    waiting.append(True)
                    start = time.monotonic()
                    found.append(ring.wait_cqe(20).user_data)
                    found.append(time.monotonic() - start)
                thread = threading.Thread(target=wait)
                thread.start()
                ring.prep_nop(user_data=1)
                ring.prep_nop(user_data=2)
                while not waiting:
                    time.sleep(0)
                ring.submit()
                mine = ring.pop()
                thread.join()
                assert {mine.user_data, found[0]} == {1, 2}
                assert found[1] < 5, found
        """,
        timeout=50,
    )


def test_dropped_in_another_thread() -> None:
    ring = uring_rs.Ring(8)
    ring.prep_nop(user_data="staged")
    holder = [ring]
    del ring
    with pytest.warns(ResourceWarning, match="unclosed ring"):
        elsewhere(holder.clear)
    gc.collect()
    # What only its own thread can end is ended by that thread, at the next opportunity.
    assert uring_rs._uring._graveyard() == 0

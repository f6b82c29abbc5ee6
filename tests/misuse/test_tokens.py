"""user_data is the caller's: whatever its methods do, the ring neither calls nor loses it."""

from __future__ import annotations

import gc
import os
import sys

import pytest

import uring_rs
from helpers.child import run_child
from uring_rs import Sqe


def test_no_method_of_a_token_is_called() -> None:
    class Hostile:
        __slots__ = ()

        def raises(self, *args: object) -> object:
            raise AssertionError("a method of user_data was called")

        __eq__ = __ne__ = __hash__ = __repr__ = __str__ = __bool__ = __len__ = raises  # type: ignore
        __iter__ = __index__ = __int__ = __call__ = __getattr__ = __format__ = raises  # type: ignore

    token = Hostile()
    with uring_rs.Ring(8) as ring:
        for _ in range(3):
            ring.prep_nop(user_data=token)
            ring.push(Sqe.nop(user_data=token))
        ring.submit(wait=6)
        found = [cqe.user_data for cqe in ring.reap()]
        ring.prep_nop(user_data=token)
        repr(ring)
    assert len(found) == 6
    assert all(each is token for each in found)


def test_a_completion_shows_a_token_that_cannot_be_shown() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with uring_rs.Ring(8) as ring:
        ring.prep_nop(user_data=Mute())
        ring.submit(wait=1)
        cqe = ring.pop()
        with pytest.raises(ZeroDivisionError):
            repr(cqe)
        assert cqe.res == 0


def test_two_requests_with_one_token() -> None:
    token = object()
    before = sys.getrefcount(token)
    first, second = os.pipe()
    one, two = bytearray(4), bytearray(4)
    with uring_rs.Ring(8) as ring:
        requests = [ring.prep_read(first, buf, user_data=token) for buf in (one, two)]
        assert requests[0] != requests[1]
        ring.submit()
        os.write(second, b"1111")
        assert ring.wait_cqe().user_data is token
        os.write(second, b"2222")
        assert ring.wait_cqe().user_data is token
        # Which of the readers is woken first is the kernel's affair.
        assert sorted((bytes(one), bytes(two))) == [b"1111", b"2222"]
        assert [ring.is_live(request) for request in requests] == [False, False]
    one.append(0)
    two.append(0)
    assert sys.getrefcount(token) == before
    os.close(first)
    os.close(second)


@pytest.mark.parametrize("how", ["reap", "close", "drop", "discard", "refused"])
def test_del_that_raises(how: str) -> None:
    child = run_child(
        f"""
        import gc, sys, warnings, uring_rs
        warnings.simplefilter("ignore", ResourceWarning)
        unraisable = []
        sys.unraisablehook = lambda event: unraisable.append(event.exc_type)

        class Bad:
            def __del__(self):
                raise ZeroDivisionError

        ring = uring_rs.Ring(8, sq_full="raise")
        how = "{how}"
        if how == "refused":
            for _ in range(8):
                ring.prep_nop()
            try:
                ring.prep_nop(user_data=Bad())
            except uring_rs.SubmissionQueueFull:
                pass
        else:
            ring.prep_nop(user_data=Bad())
            if how == "reap":
                ring.submit(wait=1)
                ring.reap()
            elif how == "discard":
                assert ring.discard() == 1
            elif how == "close":
                ring.submit()
                ring.close()
                ring.reap()
        if how == "drop":
            del ring
            gc.collect()
        else:
            ring.close()
        print(unraisable)
        """
    )
    assert child.stdout == "[<class 'ZeroDivisionError'>]\n"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    "does", ["reap", "prep", "submit", "close", "wait", "peek", "discard", "gc", "new"]
)
def test_del_that_uses_the_ring(does: str, shared: bool) -> None:
    # The token dies in each place where the ring lets go of it.
    run_child(
        f"""
        import gc, os, sys, uring_rs
        sys.unraisablehook = lambda event: os._exit(9)
        does, runs = "{does}", 0

        class Nested:
            def __del__(self):
                global runs
                runs += 1
                try:
                    if does == "reap": ring.reap()
                    elif does == "prep": ring.prep_nop(user_data="nested")
                    elif does == "submit": ring.prep_nop(); ring.submit(wait=1)
                    elif does == "close": ring.close()
                    elif does == "wait": ring.wait(timeout=0.001)
                    elif does == "peek": ring.peek()
                    elif does == "discard": ring.discard()
                    elif does == "gc": gc.collect()
                    elif does == "new": uring_rs.Ring(4).close()
                except (uring_rs.RingClosed, uring_rs.SubmissionQueueFull):
                    pass

        def fresh():
            return uring_rs.Ring(8, shared={shared})

        def tolerate(call):
            try:
                call()
            except uring_rs.RingClosed:
                assert does == "close"

        ring = fresh()
        for _ in range(6): ring.prep_nop(user_data=Nested())
        ring.submit(wait=1)
        tolerate(lambda: [None for _ in ring])
        ring.close()
        ring.reap()
        assert runs == 6, runs

        ring = fresh()
        for _ in range(6): ring.prep_nop(user_data=Nested())
        tolerate(ring.discard)
        ring.close()
        assert runs == 12, runs

        ring = fresh()
        read, write = os.pipe()
        for _ in range(6): ring.prep_read(read, bytearray(4), user_data=Nested())
        ring.submit()
        ring.prep_nop(user_data=Nested())
        ring.close()
        ring.reap()
        assert runs == 19, runs
        """
    )


def test_tokens_come_back_exactly_once_when_dropped_in_between() -> None:
    alive = set()

    class Counted:
        def __init__(self, number: int) -> None:
            alive.add(number)
            self.number = number

        def __del__(self) -> None:
            alive.discard(self.number)

    with uring_rs.Ring(8) as ring:
        for number in range(1000):
            ring.prep_nop(user_data=Counted(number))
            if number % 7 == 0:
                ring.submit()
                gc.collect(0)
            if number % 3 == 0:
                for cqe in ring:
                    assert cqe.user_data.number in alive
                    del cqe
        ring.submit()
        ring.reap()
    assert not alive

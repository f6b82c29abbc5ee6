"""In a forked child everything is armed anew, on a ring of its own; the parent notices nothing."""

from __future__ import annotations

from helpers.child import run_child

COMMON = """
import os, sys
from selector.kit import READ, WRITE, on_ring, pairs, ready

def in_child(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

selector = on_ring(4)
"""


def run(code: str) -> None:
    run_child(COMMON + code, timeout=30, options=["-W", "ignore::DeprecationWarning"])


def test_the_child_selects() -> None:
    run("""
with pairs(20) as made:
    ends = [one for one, _ in made]
    for end in ends:
        selector.register(end, READ)
    assert ready(selector) == {}

    def child():
        assert selector.backend == "io_uring"
        made[3][1].send(b"x")
        assert ready(selector, None) == {ends[3].fileno(): READ}
        # What the child changes is the child's own affair.
        selector.unregister(ends[3])
        selector.modify(ends[4], READ | WRITE)
        assert ready(selector) == {ends[4].fileno(): WRITE}
        assert ends[3].recv(1) == b"x"
        selector.close()

    in_child(child)
    assert ready(selector) == {}
    made[5][1].send(b"x")
    assert ready(selector, None) == {ends[5].fileno(): READ}
selector.close()
""")


def test_what_was_ready_is_found_by_both() -> None:
    run("""
with pairs(3) as made:
    for one, _ in made:
        selector.register(one, READ)
    assert ready(selector) == {}
    made[0][1].send(b"x")
    made[1][1].send(b"x")
    expected = {one.fileno(): READ for one, _ in made[:2]}

    def child():
        assert ready(selector, None) == expected
        assert ready(selector) == expected

    in_child(child)
    assert ready(selector, None) == expected
    in_child(child)
selector.close()
""")


def test_fork_while_another_thread_waits() -> None:
    run("""
import threading
with pairs(2) as made:
    for one, _ in made:
        selector.register(one, READ)
    found = []
    waiter = threading.Thread(target=lambda: found.append(ready(selector, None)))
    waiter.start()
    while not selector._ring.counts[0]:
        pass

    def child():
        assert ready(selector) == {}
        made[0][1].send(b"x")
        assert ready(selector, None) == {made[0][0].fileno(): READ}
        assert made[0][0].recv(1) == b"x"
        selector.unregister(made[0][0])
        selector.close()

    in_child(child)
    made[1][1].send(b"x")
    waiter.join()
    # The byte that the child read may have been seen by the parent before.
    both = {one.fileno(): READ for one, _ in made}
    assert found[0] and found[0].items() <= both.items(), found
selector.close()
""")


def test_unregister_and_close_in_the_child() -> None:
    run("""
with pairs(5) as made:
    for one, _ in made:
        selector.register(one, READ)
    assert ready(selector) == {}

    def child():
        for one, _ in made:
            selector.unregister(one)
        assert ready(selector) == {}
        selector.close()

    in_child(child)
    in_child(selector.close)
    made[2][1].send(b"x")
    assert ready(selector, None) == {made[2][0].fileno(): READ}
selector.close()
""")


def test_the_child_may_be_refused() -> None:
    run("""
from helpers.seccomp import refuse_io_uring
with pairs(3) as made:
    for one, _ in made:
        selector.register(one, READ)
    assert ready(selector) == {}

    def child():
        refuse_io_uring(1)
        made[2][1].send(b"x")
        assert ready(selector, None) == {made[2][0].fileno(): READ}
        assert selector.backend == "epoll"
        assert selector.reason

    in_child(child)
    assert made[2][0].recv(1) == b"x"
    assert ready(selector) == {}
selector.close()
""")

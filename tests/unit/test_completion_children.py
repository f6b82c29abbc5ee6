"""Completion and Request where a mistake would kill the process: each in one of its own."""

from __future__ import annotations

import pytest

from helpers.child import run_child

pytestmark = pytest.mark.requires_op("OPENAT")


def test_a_long_chain_of_completions_dies_flat() -> None:
    run_child(
        """
        import uring_rs
        with uring_rs.Ring(8) as ring:
            cqe = None
            for _ in range(200_000):
                ring.prep_nop(user_data=cqe)
                ring.submit(wait=1)
                cqe = ring.pop()
            del cqe
        """
    )


def test_objects_outlive_the_ring_and_the_module() -> None:
    child = run_child(
        """
        import builtins, uring_rs
        class Last:
            def __del__(self):
                print(self.cqe, self.cqe.op, self.cqe.request.op, tuple(self.cqe)[1:])
        with uring_rs.Ring(8) as ring:
            last = Last()
            ring.prep_nop(user_data=last)
            ring.submit(wait=1)
            last.cqe = ring.pop()
        last.__class__.__repr__ = lambda self: "last"
        builtins.kept = last
        """
    )
    assert child.stdout == "<Completion NOP res=0 user_data=last> NOP NOP (0, 0)\n"


def test_memory_running_out() -> None:
    # Every allocation in turn fails, in everything these objects do that allocates.
    child = run_child(
        """
        import sys
        try:
            import _testcapi
        except ImportError:
            sys.exit("absent")
        import uring_rs
        class Thing: pass
        thing = Thing()
        refused = 0
        with uring_rs.Ring(8) as ring:
            ring.prep_openat("/nonexistent/uring_rs", user_data=thing)
            ring.submit(wait=1)
            cqe = ring.pop()
            uses = [lambda: cqe.request, lambda: tuple(cqe), lambda: repr(cqe), lambda: cqe.op,
                    lambda: cqe.result(), lambda: cqe.ancdata, lambda: repr(cqe.request)]
            before = sys.getrefcount(thing)
            for at in range(10):
                for use in uses:
                    # What is already made and waiting to be used again needs no allocation.
                    held = [cqe.request for _ in range(300)], [iter(cqe) for _ in range(50)]
                    _testcapi.set_nomemory(at, at + 1)
                    try:
                        try:
                            use()
                        finally:
                            _testcapi.remove_mem_hooks()
                    except MemoryError:
                        refused += 1
                    except FileNotFoundError:
                        pass
                    del held
                assert sys.getrefcount(thing) == before
        print(refused)
        """,
        expect=None,
    )
    if child.stderr == "absent\n":
        pytest.skip("this Python has no _testcapi to make allocations fail with")
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) >= 10

"""Memory that runs out, at each allocation in turn: an exception, and nothing lost or locked."""

from __future__ import annotations

import pytest

from helpers.child import run_child

WORKLOADS = {
    "nop": "ring.prep_nop(user_data=token); ring.submit(wait=1); assert ring.pop()",
    "read": "ring.prep_read(null, buf, user_data=token); ring.submit(wait=1); ring.reap()",
    "readv": "ring.prep_readv(null, [buf, other], user_data=token); ring.submit(1); list(ring)",
    "openat": "ring.prep_openat('/nonexistent', user_data=token); ring.submit(1); ring.reap()",
    "push": "ring.push(uring_rs.Sqe.read(null, buf, user_data=token)); ring.submit(1); ring.reap()",
    "sendmsg": "ring.prep_sendmsg(null, [buf], [(1, 1, b'')], user_data=token); ring.submit(1); "
    "list(ring)",
    "refused": "ring.prep_read(null, b'', user_data=token)",
    "peek": "ring.prep_nop(user_data=token); ring.submit(1); ring.peek(); ring.pop()",
    "ring": "uring_rs.Ring(4).close()",
    "closed": "gone.prep_nop(user_data=token)",
    "pool": "pool = ring.buffer_pool(1, 8); pool.take().release(); pool.close()",
    "buffer ring": "pool = ring.buffer_ring(2, 8); ring.prep_read(zero, pool=pool, nbytes=3, "
    "user_data=token); ring.submit(1); cqe = ring.pop(); bytes(cqe.buffer); cqe.buffers; "
    "cqe = None; assert pool.available == 2; pool.close()",
    "run": "ring.run_reads([null] * 2, [buf, other], [0, 0], [1, 2])",
    "batch": "ring.prep_read_batch([null] * 2, [buf, other], 0); ring.submit(2); "
    "ring.reap_into(records)",
    "completion": "ring.prep_nop(user_data=token); ring.submit(1); "
    "cqe = next(ring); cqe.request; tuple(cqe); repr(cqe); cqe = None",
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_allocation_that_fails(name: str) -> None:
    child = run_child(
        f"""
        import gc, os, sys
        try:
            import _testcapi
        except ImportError:
            sys.exit("absent")
        import uring_rs

        null = os.open("/dev/null", os.O_RDWR)
        zero = os.open("/dev/zero", os.O_RDWR)
        buf, other, token = bytearray(300), bytearray(300), object()
        records = bytearray(16 * 64)
        gone = uring_rs.Ring(4)
        gone.close()
        work = compile({WORKLOADS[name]!r}, "work", "exec")
        spare = [object() for _ in range(64)]
        failed = 0
        sys.unraisablehook = lambda event: None

        def once(at):
            global failed
            if at >= 0:
                _testcapi.set_nomemory(at, at + 1)
            try:
                try:
                    exec(work, globals())
                finally:
                    if at >= 0:
                        _testcapi.remove_mem_hooks()
            except MemoryError:
                failed += 1
            except (uring_rs.RingClosed, TypeError, BufferError, ValueError):
                pass
            except BaseException as error:
                # Where even the exception cannot be made, PyO3 and CPython say so in these ways.
                assert type(error).__name__ in ("PanicException", "SystemError"), error
                failed += 1

        with uring_rs.Ring(8) as ring:
            for at in range(-3, 120):
                once(at)
                # Whatever failed, the ring works and can be emptied.
                ring.discard()
                ring.submit()
                deadline = 200
                while ring.in_flight and deadline:
                    ring.wait(ring.cq_ready + 1, 0.05)
                    deadline -= 1
                pool = None
                ring.reap()
                assert ring.in_flight == 0
                cqe = None
                buf.append(0), other.append(0)
                del buf[300:], other[300:]
        assert sys.getrefcount(token) <= 3, sys.getrefcount(token)
        print(failed)
        """,
        timeout=30,
        expect=None,
        options=["-W", "ignore"],
    )
    if child.stderr == "absent\n":
        pytest.skip("this Python has no _testcapi to make allocations fail with")
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) >= 1


def test_no_completion_is_lost_to_a_lack_of_memory() -> None:
    child = run_child(
        """
        import sys
        try:
            import _testcapi
        except ImportError:
            sys.exit("absent")
        import uring_rs
        failed, seen = 0, []
        with uring_rs.Ring(64, cq_entries=1024) as ring:
            kept = []
            for number in range(600):
                ring.prep_nop(user_data=[number])
            ring.submit(wait=600)
            for number in range(600):
                _testcapi.set_nomemory(0, 1)
                try:
                    try:
                        kept.append(ring.pop())
                    finally:
                        _testcapi.remove_mem_hooks()
                except MemoryError:
                    failed += 1
            kept += ring.reap()
            assert [cqe.user_data[0] for cqe in kept] == list(range(600))
        print(failed)
        """,
        expect=None,
    )
    if child.stderr == "absent\n":
        pytest.skip("this Python has no _testcapi to make allocations fail with")
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) > 0

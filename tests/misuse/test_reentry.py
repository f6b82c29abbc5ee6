"""Code that runs in the middle of a ring's work and uses the ring: trace callables, iteration,
files and buffers let go of, prepared requests pushed again."""

from __future__ import annotations

import pytest

from helpers.child import run_child


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("event", ["prep", "enter", "complete", "close"])
@pytest.mark.parametrize("does", ["close", "prep", "reap", "wait", "submit", "raise", "drop"])
def test_a_trace_callable_that_uses_the_ring(event: str, does: str, shared: bool) -> None:
    run_child(
        f"""
        import sys, uring_rs
        sys.unraisablehook = lambda event: None
        ring, runs = None, []

        def trace(name, info):
            global ring
            if name != "{event}" or ring is None or len(runs) > 3:
                return
            runs.append(name)
            match "{does}":
                case "close": ring.close()
                case "prep": ring.prep_nop(user_data="nested")
                case "reap": ring.reap()
                case "wait": ring.wait(timeout=0.001)
                case "submit": ring.prep_nop(); ring.submit(wait=1)
                case "raise": raise ZeroDivisionError
                case "drop": ring = None

        mine = ring = uring_rs.Ring(8, shared={shared}, trace=trace)
        try:
            for number in range(4):
                mine.prep_nop(user_data=number)
            # A callable that takes completions takes them from whoever waits for them.
            mine.submit(wait=4, timeout=0.05)
            found = [cqe.user_data for cqe in mine]
        except uring_rs.RingClosed:
            assert "{does}" == "close"
        mine.close()
        found = mine.reap()
        assert runs
        assert mine.in_flight == 0
        """,
        timeout=20,
    )


def test_tracing_that_never_ends_by_itself() -> None:
    child = run_child(
        """
        import sys, uring_rs
        depth = 0
        def trace(name, info):
            global depth
            if name == "prep":
                depth += 1
                ring.prep_nop()
        with uring_rs.Ring(8, trace=trace) as ring:
            ring.prep_nop()
            assert 100 < depth < sys.getrecursionlimit()
            assert len(ring.reap()) + ring.in_flight == depth + 1
        """
    )
    assert "Fatal" not in child.stderr


@pytest.mark.parametrize("shared", [False, True])
def test_closing_a_ring_while_iterating_over_it(shared: bool) -> None:
    run_child(
        f"""
        import uring_rs
        ring = uring_rs.Ring(8, shared={shared})
        for number in range(12):
            ring.prep_nop(user_data=number)
        ring.submit(wait=1)
        seen = []
        for cqe in ring:
            seen.append(cqe.user_data)
            if len(seen) == 3:
                ring.close()
        assert seen == list(range(12)), seen

        # Two loops over one ring share what there is.
        ring = uring_rs.Ring(8, shared={shared})
        for number in range(6):
            ring.prep_nop(user_data=number)
        ring.submit(wait=1)
        seen = [(a.user_data, b.user_data) for a, b in zip(ring, ring)]
        assert seen == [(0, 1), (2, 3), (4, 5)], seen
        iterator = iter(ring)
        del ring
        iterator.close()
        assert next(iterator, None) is None
        """
    )


@pytest.mark.parametrize("does", ["reap", "close", "prep", "peek", "wait", "fork"])
def test_a_file_that_dies_with_its_request(does: str) -> None:
    # Only the request holds the file: its __del__ runs where the ring lets go.
    run_child(
        f"""
        import os, sys, uring_rs
        runs = 0
        class File:
            def fileno(self):
                return null
            def __del__(self):
                global runs
                runs += 1
                match "{does}":
                    case "reap": ring.reap()
                    case "close": ring.close()
                    case "prep":
                        if not ring.closed: ring.prep_nop(user_data="nested")
                    case "peek": ring.peek()
                    case "wait":
                        if not ring.closed: ring.wait(timeout=0.001)
                    case "fork":
                        child = os.fork()
                        if child == 0:
                            try: ring.reap()
                            except uring_rs.ForkedRing: os._exit(0)
                            os._exit(1)
                        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        null = os.open("/dev/null", os.O_RDWR)
        for shared in (False, True):
            runs = 0
            ring = uring_rs.Ring(32, shared=shared)
            buf = bytearray(4)
            for number in range(20):
                ring.prep_read(File(), buf, user_data=number)
            found = []
            try:
                ring.submit(wait=1)
                found = [cqe.user_data for cqe in ring if cqe.user_data != "nested"]
            except uring_rs.RingClosed:
                assert "{does}" == "close"
            ring.close()
            found += [cqe.user_data for cqe in ring if cqe.user_data != "nested"]
            assert runs == 20, runs
            assert sorted(found) == list(range(20)), found
            buf.append(0)
        """,
        timeout=20,
    )


def test_prepared_requests_pushed_again_and_again() -> None:
    run_child(
        """
        import os, socket, sys, uring_rs
        read, write = os.pipe()
        buf, token = bytearray(4), object()
        before = sys.getrefcount(token)
        sqe = uring_rs.Sqe.read(read, buf, user_data=token)
        with uring_rs.Ring(8) as ring:
            for _ in range(5):
                ring.push(sqe)
            ring.submit()
            del sqe
            try:
                buf.append(0)
            except BufferError:
                pass
            else:
                raise SystemExit("not locked")
            os.write(write, b"abcd" * 5)
            ring.wait(5)
            assert [cqe.res for cqe in ring] == [4] * 5
        buf.append(0)
        assert sys.getrefcount(token) == before, sys.getrefcount(token)

        # One that the kernel writes an answer into can be in flight only once.
        listener = socket.create_server(("127.0.0.1", 0))
        sqe = uring_rs.Sqe.accept(listener, user_data="accept")
        with uring_rs.Ring(8) as ring, uring_rs.Ring(8) as other:
            ring.push(sqe)
            for wrong in (ring, other):
                try:
                    wrong.push(sqe)
                except BufferError:
                    continue
                raise SystemExit("pushed twice")
            assert ring.discard() == 1
            other.push(sqe)
            other.submit()
            try:
                ring.push(sqe)
            except BufferError:
                pass
            else:
                raise SystemExit("pushed twice")
            client = socket.create_connection(listener.getsockname())
            cqe = other.wait_cqe()
            assert cqe.address == client.getsockname()
            os.close(cqe.result())
            ring.push(sqe)
        client.close()
        # Closed in flight, it is free again.
        with uring_rs.Ring(8) as ring:
            ring.push(sqe)
            ring.submit()
        with uring_rs.Ring(8) as ring:
            ring.push(sqe)
        """
    )


def test_a_registered_buffer_is_not_given_back_in_flight() -> None:
    run_child(
        """
        import gc, os, uring_rs
        read, write = os.pipe()
        with uring_rs.Ring(8) as ring:
            pool = ring.buffer_pool(1, 4096)
            buf = pool.take()
            ring.prep_read_fixed(read, buf)
            for _ in range(2):
                try:
                    buf.release()
                except BufferError:
                    pass
                else:
                    raise SystemExit("given back in flight")
                ring.submit()
            # Nobody but the request holds it now.
            del buf
            gc.collect()
            assert pool.available == 0
            try:
                pool.take()
            except BufferError:
                pass
            else:
                raise SystemExit("handed out twice")
            # Unregistered in flight, the kernel goes on with the memory.
            pool.close()
            del pool
            gc.collect()
            os.write(write, b"late")
            assert ring.wait_cqe().res == 4
            again = ring.buffer_pool(2, 4096)
            views = [memoryview(again.take()) for _ in range(2)]
            assert [view.tobytes() for view in views] == [bytes(4096)] * 2
        # Pool, buffers and views outlive their ring.
        del ring
        gc.collect()
        views[0][:5] = b"alive"
        assert views[0][:5].tobytes() == b"alive"
        again.close()
        del again
        gc.collect()
        assert views[1].nbytes == 4096
        """
    )


def test_a_pool_dropped_with_its_ring_in_flight() -> None:
    run_child(
        """
        import gc, os, warnings, uring_rs
        warnings.simplefilter("ignore", ResourceWarning)
        read, write = os.pipe()
        for how in range(4):
            ring = uring_rs.Ring(8)
            pool = ring.buffer_pool(4, 4096)
            for _ in range(4):
                ring.prep_read_fixed(read, pool.take())
            ring.submit()
            if how == 0: del pool; gc.collect(); ring.close()
            elif how == 1: ring.close(); pool.close()
            elif how == 2: del ring, pool; gc.collect(); continue
            elif how == 3: pool.close(); del ring; gc.collect(); continue
            ring.reap()
        """
    )


def test_an_sqe_of_a_pool_that_is_gone() -> None:
    run_child(
        """
        import gc, os, uring_rs
        zero = os.open("/dev/zero", os.O_RDONLY)
        with uring_rs.Ring(8) as ring:
            pool = ring.buffer_pool(1, 4096)
            sqe = uring_rs.Sqe.read_fixed(zero, pool.take(), user_data="old")
            pool.close()
            del pool
            gc.collect()
            ring.push(sqe)
            ring.submit(wait=1)
            assert ring.pop().res == -14
            # Another pool has the same table, but never the same memory.
            with ring.buffer_pool(1, 4096) as pool, pool.take() as buf:
                memoryview(buf)[:4] = b"mine"
                ring.push(sqe)
                ring.submit(wait=1)
                assert ring.pop().res == -14
                assert memoryview(buf)[:4].tobytes() == b"mine"
        """
    )

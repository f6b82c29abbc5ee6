"""Bulk calls among signals and forks, and at the interpreter's end."""

from __future__ import annotations

import pytest

from helpers.child import run_child


def test_close_in_a_handler_during_a_run() -> None:
    run_child(
        """
        import array, os, signal, uring_rs
        reader, writer = os.pipe()
        for kind in (False, True):
            ring = uring_rs.Ring(8, shared=kind)
            signal.signal(signal.SIGALRM, lambda *_: ring.close())
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            buf, results = bytearray(100), array.array("i", [0] * 100)
            try:
                ring.run_reads(reader, buf, [-1] * 100, results=results)
            except uring_rs.RingClosed:
                pass
            else:
                raise SystemExit("not closed")
            buf.append(0)
            results.append(0)
            assert ring.in_flight == 0
        """
    )


@pytest.mark.parametrize("kind", ["", "shared=True", "sqpoll_idle_ms=1"])
@pytest.mark.parametrize("rows", [4, 100])
def test_ctrl_c_during_a_run(kind: str, rows: int) -> None:
    run_child(
        f"""
        import array, os, signal, time, uring_rs
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        reader, writer = os.pipe()
        ring = uring_rs.Ring(8, {kind})
        rows = {rows}
        buf, results = bytearray(rows), array.array("i", [-1] * rows)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            ring.run_reads(reader, buf, [-1] * rows, results=results)
        except KeyboardInterrupt:
            pass
        else:
            raise SystemExit("not interrupted")
        flying = ring.in_flight
        assert flying == min(rows, 8), flying
        assert list(results) == [-1] * rows
        def locked(held):
            try:
                held.append(0)
            except BufferError:
                return True
            held.pop()
        assert locked(buf) and locked(results)
        # The ring goes on, beside the rows that are left and through their end.
        assert list(ring.run_nops(2000)) == [0] * 2000
        ring.prep_nop("single")
        assert ring.wait_cqe().user_data == "single"
        os.write(writer, bytes(range(1, flying + 1)))
        while ring.in_flight:
            ring.wait(1, 0.01)
        assert not locked(buf) and not locked(results)
        assert sorted(buf[:flying]) == list(range(1, flying + 1))
        assert list(results) == [1] * flying + [-1] * (rows - flying)
        assert ring.stray_completions == 0
        ring.close()
        """,
        timeout=20,
    )


@pytest.mark.parametrize("kind", ["", "shared=True"])
def test_a_thousand_signals_a_second_during_runs(kind: str) -> None:
    run_child(
        f"""
        import array, os, signal, uring_rs
        ticks = raised = 0
        class Tick(Exception):
            pass
        loud = False
        def handler(number, frame):
            global ticks
            ticks += 1
            if loud and ticks % 5 == 0:
                raise Tick
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        file = os.memfd_create("numbers")
        numbers = array.array("I", range(30_000))
        os.write(file, numbers.tobytes())
        ring = uring_rs.Ring(8, {kind})
        whole = 0
        while ticks < 400 or whole < 3 or not raised:
            found = array.array("I", bytes(4 * len(numbers)))
            results = array.array("i", [0] * len(numbers))
            try:
                loud = whole % 2 == 1 and not raised > 100
                ring.run_reads(file, found, range(0, 4 * len(numbers), 4), results=results)
                loud = False
            except Tick:
                loud = False
                raised += 1
                # What is in flight ends; then all is let go of.
                while ring.in_flight:
                    ring.submit()
                    ring.reap()
                if raised > 100:
                    whole += 1
            else:
                whole += 1
                assert found == numbers
            done = results.count(4)
            assert done + results.count(0) == len(numbers)
            assert found[:done] == numbers[:done] or results[:done].count(4) != done
            found.append(0); results.append(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert ring.stray_completions == 0 and ring.in_flight == 0
        ring.close()
        """,
        timeout=50,
    )


def test_a_child_may_not_use_its_parents_ring() -> None:
    run_child(
        """
        import os, uring_rs
        reader, writer = os.pipe()
        buf, staged = bytearray(4), bytearray(4)
        for shared in (False, True):
            ring = uring_rs.Ring(8, shared=shared)
            ring.prep_read_batch(reader, buf, [-1] * 4)
            ring.submit()
            ring.prep_read_batch(reader, staged, [-1] * 4, tag=4)
            if (child := os.fork()) == 0:
                status = 0
                calls = [
                    lambda: ring.run_nops(1), lambda: ring.prep_nop_batch(1),
                    lambda: ring.run_reads(0, bytearray(4), 0),
                    lambda: ring.run_writes(1, b"data", 0),
                    lambda: ring.prep_read_batch(0, bytearray(4), 0),
                    lambda: ring.prep_write_batch(1, b"data", 0),
                    lambda: ring.reap_into(bytearray(16)),
                ]
                for call in calls:
                    try:
                        call()
                    except uring_rs.ForkedRing:
                        continue
                    status = 1
                ring.close()
                del ring
                os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            os.write(writer, b"datadata")
            ring.submit(wait=8)
            records = bytearray(16 * 16)
            assert ring.reap_into(records) == 8
            assert sorted(buf + staged) == sorted(b"datadata")
            ring.close()
        """
    )


def test_a_fork_during_a_run_harms_neither() -> None:
    run_child(
        """
        import os, threading, warnings, uring_rs
        warnings.simplefilter("ignore")  # of a fork beside threads
        ring = uring_rs.Ring(8)
        reader, writer = os.pipe()
        found = []
        def work():
            with uring_rs.Ring(8) as ring:
                found.append(sum(ring.run_reads(reader, bytearray(100), [-1] * 100)))
        thread = threading.Thread(target=work)
        thread.start()
        for number in range(20):
            if (child := os.fork()) == 0:
                try:
                    ring.run_nops(1)
                except uring_rs.ForkedRing:
                    with uring_rs.Ring(8) as own:
                        own.run_nops(100)
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            os.write(writer, b"12345")
        thread.join()
        assert found == [100]
        ring.close()
        """
    )


def test_the_interpreter_ends_with_batches_in_flight() -> None:
    child = run_child(
        """
        import os, uring_rs
        reader, writer = os.pipe()
        ring = uring_rs.Ring(8)
        other = uring_rs.Ring(8, shared=True)
        bufs = [bytearray(4) for _ in range(8)]
        for each in (ring, other):
            each.prep_read_batch(reader, bufs, -1)
            each.submit()
            each.prep_nop_batch(3)
        print("end")
        """
    )
    assert child.stdout == "end\n"

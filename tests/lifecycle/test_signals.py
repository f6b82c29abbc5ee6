"""Signals: Ctrl-C ends any wait at once, other handlers do not, and no completion is miscounted."""

from __future__ import annotations

import pytest

from helpers.child import run_child

WAITS = {
    "wait": "ring.wait(1)",
    "wait with a timeout": "ring.wait(1, 30)",
    "submit": "ring.prep_read(read, bytearray(4)); ring.submit(wait=1)",
    "submit several": "ring.prep_nop(); ring.submit(wait=3)",
    "completions": "ring.completions(min=1)",
    "wait_cqe": "ring.wait_cqe()",
    "wait_cqe with a timeout": "ring.wait_cqe(30)",
    "enter": "ring.enter(0, 1, 1)",
}

CTRL_C = """
import os, signal, time, uring_rs
read, write = os.pipe()
times, report = os.pipe()

def ctrl_c_soon():
    # From another process, once this one sleeps. Both have the same monotonic clock.
    me = os.getpid()
    if os.fork() == 0:
        while open(f"/proc/{me}/stat").read().rsplit(")", 1)[1].split()[0] != "S":
            time.sleep(0.001)
        now = time.monotonic()
        os.kill(me, signal.SIGINT)
        os.write(report, repr(now).encode())
        os._exit(0)

def interrupted(call):
    ctrl_c_soon()
    try:
        call()
    except KeyboardInterrupt:
        late = time.monotonic()
    else:
        raise SystemExit("not interrupted")
    late -= float(os.read(times, 100))
    os.wait()
    assert late < 0.2, late
"""


@pytest.mark.parametrize("kind", ["", "shared=True", "sqpoll_idle_ms=1"])
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_during(wait: str, kind: str) -> None:
    run_child(
        f"""{CTRL_C}
ring = uring_rs.Ring(8, {kind})
first = bytearray(4)
ring.prep_read(read, first, user_data="first")
ring.submit()
def call():
    {WAITS[wait]}
interrupted(call)
# The requests are still there, and the ring is as good as before.
ring.reap()
assert ring.in_flight >= 1
os.write(write, b"12345678")
while (cqe := ring.wait_cqe(10)).user_data != "first":
    pass
assert cqe.res == 4
ring.close()
""",
        timeout=20,
    )


def test_a_handler_that_raises_ends_close_and_another_close_goes_on() -> None:
    # Only a simulated kernel has a request that nothing can end for a virtual eternity.
    run_child(
        """
        import signal, time, warnings, uring_rs
        class Enough(Exception):
            pass
        def handler(number, frame):
            raise Enough
        signal.signal(signal.SIGALRM, handler)
        kernel = uring_rs.SimKernel(1)
        reader, writer = kernel.pipe()
        kernel.fail_request(0, "late", 10**18)
        ring = uring_rs.Ring(8, kernel=kernel)
        buf = bytearray(4)
        ring.prep_read(reader, buf)
        ring.submit()
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            start = time.monotonic()
            try:
                ring.close()
            except Enough:
                pass
            else:
                raise SystemExit("closed")
            assert time.monotonic() - start < 0.25
            assert ring.closed and ring.in_flight == 1
        try:
            buf.append(0)
        except BufferError:
            pass
        else:
            raise SystemExit("let go of")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ring.close(timeout=0.1)
        assert len(caught) == 1 and uring_rs._uring._graveyard() == 1
        """,
        timeout=20,
    )


def test_ctrl_c_while_closing_a_with_block_keeps_both_exceptions() -> None:
    child = run_child(
        """
        import signal, uring_rs
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        kernel = uring_rs.SimKernel(1)
        kernel.fail_request(0, "late", 10**18)
        try:
            with uring_rs.Ring(8, kernel=kernel) as ring:
                ring.prep_nop()
                ring.submit()
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                raise ZeroDivisionError
        except KeyboardInterrupt as error:
            print(repr(error.__context__))
        """,
        options=["-W", "ignore"],
    )
    assert child.stdout == "ZeroDivisionError()\n"


@pytest.mark.parametrize("kind", ["", "shared=True"])
@pytest.mark.parametrize(
    "wait", ["ring.wait(1, 0.4)", "ring.submit(1, 0.4)", "ring.completions(1, 0.4)", "wait_cqe()"]
)
def test_a_wait_goes_on_with_the_time_that_remains(wait: str, kind: str) -> None:
    run_child(
        f"""
        import os, signal, time, uring_rs
        runs = 0
        def handler(number, frame):
            global runs
            runs += 1
        signal.signal(signal.SIGALRM, handler)
        read, write = os.pipe()
        with uring_rs.Ring(8, {kind}) as ring:
            def wait_cqe():
                try:
                    ring.wait_cqe(0.4)
                except TimeoutError:
                    return
                raise SystemExit("a completion from nowhere")
            for staged in (False, True):
                if staged:
                    ring.prep_read(read, bytearray(4))
                runs = 0
                signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
                start = time.monotonic()
                {wait}
                took = time.monotonic() - start
                signal.setitimer(signal.ITIMER_REAL, 0)
                # Restarted with the whole time it would never end; ended by a signal, at once.
                assert 0.39 < took < 2, took
                assert runs > 5, runs
        """,
        timeout=20,
    )


def test_a_signal_does_not_end_a_wait_without_a_timeout() -> None:
    run_child(
        """
        import os, signal, uring_rs
        runs = 0
        def handler(number, frame):
            global runs
            runs += 1
            if runs == 10:
                signal.setitimer(signal.ITIMER_REAL, 0)
                os.write(write, b"data")
        signal.signal(signal.SIGALRM, handler)
        read, write = os.pipe()
        with uring_rs.Ring(8) as ring:
            ring.prep_read(read, bytearray(4))
            signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
            assert ring.wait_cqe().res == 4
        assert runs == 10
        """,
        timeout=20,
    )


@pytest.mark.parametrize("kind", ["", "shared=True"])
@pytest.mark.parametrize("does", ["close", "reap", "prep", "wait", "wake"])
def test_a_handler_that_uses_the_ring_it_interrupts(does: str, kind: str) -> None:
    run_child(
        f"""
        import os, signal, time, uring_rs
        runs = 0
        def handler(number, frame):
            global runs
            runs += 1
            match "{does}":
                case "close": ring.close()
                case "reap": ring.reap()
                case "prep": ring.prep_nop(user_data="handler"); ring.submit()
                case "wait": ring.wait(1, 0.01)
                case "wake": ring.wake()
        signal.signal(signal.SIGALRM, handler)
        read, write = os.pipe()
        def enter():
            # Without a timeout, so only where the handler brings it to an end.
            ring.enter(0, 1, 1) if "{does}" in ("prep", "close") else time.sleep(0.1)
        for call in (lambda: ring.wait(1, 0.2), lambda: ring.submit(2, 0.2),
                     lambda: ring.wait_cqe(0.2), enter):
            ring = uring_rs.Ring(8, {kind})
            buf = bytearray(4)
            ring.prep_read(read, buf)
            ring.submit()
            runs = 0
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            try:
                call()
            except uring_rs.RingClosed:
                assert "{does}" == "close"
            except TimeoutError:
                assert "{does}" in ("reap", "wait", "wake", "prep")
            assert runs == 1
            ring.close()
            buf.append(0)
        """,
        timeout=25,
    )


@pytest.mark.parametrize("kind", ["", "shared=True", "sqpoll_idle_ms=1"])
def test_a_thousand_signals_a_second_with_a_handler_that_returns(kind: str) -> None:
    run_child(
        f"""
        import os, signal, uring_rs
        runs = 0
        def handler(number, frame):
            global runs
            runs += 1
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        read, write = os.pipe()
        total = rounds = 0
        while runs < 300 or rounds < 50:
            rounds += 1
            with uring_rs.Ring(16, {kind}) as ring:
                bufs = [bytearray(4) for _ in range(8)]
                for number, buf in enumerate(bufs):
                    ring.prep_read(read, buf, user_data=number)
                ring.prep_timeout(0.004, user_data="later")
                ring.prep_write(write, b"abcd" * 4, user_data="write")
                assert ring.submit() == 10
                # Four reads, the write and the timeout end; four reads are cancelled by close.
                ring.wait(6)
                seen = [(cqe.user_data, cqe.res) for cqe in ring]
                assert len(seen) == 6, seen
            seen += [(cqe.user_data, cqe.res) for cqe in ring]
            assert len(seen) == 10, seen
            assert sorted(str(token) for token, _ in seen) == sorted(
                [*map(str, range(8)), "later", "write"])
            assert sum(res for token, res in seen if isinstance(token, int) and res > 0) == 16
            for buf in bufs: buf.append(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        """,
        timeout=40,
    )


@pytest.mark.parametrize("kind", ["", "shared=True"])
def test_a_thousand_signals_a_second_with_a_handler_that_raises(kind: str) -> None:
    run_child(
        f"""
        import os, signal, uring_rs
        class Tick(Exception):
            pass
        ticks = raised = 0
        quiet = True
        def handler(number, frame):
            global ticks
            ticks += 1
            if not quiet:
                raise Tick
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        read, write = os.pipe()
        rounds = 0
        while raised < 200 or rounds < 20:
            rounds += 1
            staged, seen = {{}}, []
            ring = uring_rs.Ring(16, {kind})
            bufs = [bytearray(4) for _ in range(6)]
            step = 0
            while step < 40:
                # `seen.extend` takes them one by one in C: what it got is kept, Tick or not.
                try:
                    quiet = False
                    buf = bufs[step // 8]
                    if step % 8 == 0: staged[step] = ring.prep_read(read, buf, user_data=step)
                    elif step % 8 == 3: ring.submit(wait=1, timeout=0.003)
                    elif step % 8 == 5: seen.extend(ring)
                    elif step % 8 == 7: ring.wait(1, 0.002)
                    else: staged[step] = ring.prep_nop(user_data=step)
                    quiet = True
                except Tick:
                    quiet = True
                    raised += 1
                except uring_rs.SubmissionQueueFull:
                    quiet = True
                step += 1
            while True:
                try:
                    quiet = False
                    ring.close()
                    quiet = True
                    break
                except Tick:
                    quiet = True
                    raised += 1
            assert ring.in_flight == 0
            seen.extend(ring)
            tokens = [cqe.user_data for cqe in seen]
            assert len(tokens) == len(set(tokens)), tokens
            # What was staged came back, but for what close discarded.
            assert len(tokens) >= len(staged) - 16
            for buf in bufs: buf.append(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        """,
        timeout=40,
    )

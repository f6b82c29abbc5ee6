"""A forked child may not touch its parent's rings: ForkedRing, and the parent is unharmed."""

from __future__ import annotations

import textwrap

import pytest

from helpers.child import run_child

# How a ring stands when the process forks. Each leaves `ring` and says what the parent must find.
STATES = {
    "fresh": """
        ring = uring_rs.Ring(8, shared=shared)
        def after():
            write_and_check()
    """,
    "staged": """
        ring = uring_rs.Ring(8, shared=shared)
        buf = bytearray(b"....")
        ring.prep_read(reader, buf, user_data="staged")
        def after():
            os.write(writer, b"data")
            ring.submit(wait=1)
            (cqe,) = ring.reap()
            assert (cqe.user_data, cqe.res, bytes(buf)) == ("staged", 4, b"data")
    """,
    "in flight": """
        ring = uring_rs.Ring(8, shared=shared)
        bufs = [bytearray(b"....") for _ in range(5)]
        for buf in bufs:
            ring.prep_read(reader, buf, user_data="in flight")
        ring.submit()
        def after():
            os.write(writer, b"datadatadatadatadata")
            ring.wait(5)
            assert [cqe.res for cqe in ring] == [4] * 5
            assert bufs == [b"data"] * 5
    """,
    "done": """
        ring = uring_rs.Ring(8, shared=shared)
        for number in range(8):
            ring.prep_nop(user_data=number)
        ring.submit(wait=8)
        ring.peek()
        def after():
            assert [cqe.user_data for cqe in ring] == list(range(8))
    """,
    "multishot": """
        ring = uring_rs.Ring(8, shared=shared)
        ring.prep_poll_add(reader, select.POLLIN, multishot=True, user_data="poll")
        ring.submit()
        def after():
            for _ in range(3):
                os.write(writer, b"x")
                cqe = ring.wait_cqe()
                assert (cqe.user_data, cqe.more) == ("poll", True)
                os.read(reader, 1)
    """,
    "sqpoll": """
        ring = uring_rs.Ring(8, shared=shared, sqpoll_idle_ms=20)
        buf = bytearray(4)
        ring.prep_read(reader, buf, user_data="polled")
        ring.submit()
        def after():
            os.write(writer, b"data")
            cqe = ring.wait_cqe()
            assert (cqe.res, bytes(buf)) == (4, b"data")
    """,
    "registered": """
        ring = uring_rs.Ring(8, shared=shared)
        pool = ring.buffer_pool(2, 4096)
        fixed = pool.take()
        ring.prep_read_fixed(reader, fixed, user_data="fixed")
        ring.submit()
        def after():
            os.write(writer, b"data")
            assert ring.wait_cqe().res == 4
            with memoryview(fixed) as view:
                assert view[:4].tobytes() == b"data"
    """,
}

SETUP = """
import gc, os, select, signal, sys, time, warnings, uring_rs
from helpers.calls import all_calls

reader, writer = os.pipe()

def write_and_check():
    os.write(writer, b"data")
    buf = bytearray(4)
    ring.prep_read(reader, buf)
    ring.submit(wait=1)
    assert (ring.pop().res, bytes(buf)) == (4, b"data")

def in_child(inherited_fd):
    # Everything the child may see of the ring. Returns what is wrong.
    with all_calls() as calls:
        wrong = calls.complaints(ring, uring_rs.ForkedRing)
    if "not usable" not in repr(ring): wrong.append(repr(ring))
    assert ring.sq_entries == 8 and ring.shared == shared and ring.features
    ring.close()
    ring.close(timeout=0)
    ring.__exit__(None, None, None)
    try:
        with ring: wrong.append("entered")
    except uring_rs.ForkedRing as error:
        assert isinstance(error, RuntimeError) and isinstance(error, uring_rs.UringError)
    # The descriptor is gone, so the parent's close is one.
    links = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
             if os.path.lexists(f"/proc/self/fd/{fd}")}
    if any("io_uring" in link for link in links): wrong.append(f"inherited: {links}")
    # A ring of its own works.
    with uring_rs.Ring(8) as mine:
        mine.prep_nop(user_data="mine")
        mine.submit(wait=1)
        if mine.pop().user_data != "mine": wrong.append("its own ring")
    return wrong
"""


def code_of(state: str, shared: bool, rest: str) -> str:
    """A child's program: a ring in that state, then `rest`."""
    parts = [SETUP, f"shared = {shared}", STATES[state], rest]
    return "\n".join(textwrap.dedent(part) for part in parts)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("state", STATES)
def test_os_fork(state: str, shared: bool) -> None:
    run_child(
        code_of(
            state,
            shared,
            """
            fd = ring.fileno()
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    wrong = in_child(fd)
                    if wrong: print("child:", *wrong, sep="\\n", file=sys.stderr)
                    del ring
                    gc.collect()
                    status = bool(wrong)
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            after()
            ring.close()
            """,
        )
    )


@pytest.mark.parametrize("state", STATES)
def test_a_child_that_ends_as_python_ends(state: str) -> None:
    # Through the exit hooks and the destruction of all objects, with the parent's ring among them.
    run_child(
        code_of(
            state,
            False,
            """
            child = os.fork()
            if child == 0:
                warnings.simplefilter("error")
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            after()
            ring.close()
            """,
        )
    )


@pytest.mark.parametrize("state", STATES)
def test_multiprocessing(state: str) -> None:
    run_child(
        code_of(
            state,
            False,
            """
            import multiprocessing
            def work():
                wrong = in_child(0)
                sys.exit("\\n".join(wrong) or 0)
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
            assert process.exitcode == 0
            after()
            ring.close()
            """,
        )
    )


@pytest.mark.parametrize("state", STATES)
def test_subprocesses_inherit_nothing(state: str) -> None:
    child = run_child(
        code_of(
            state,
            False,
            """
            import subprocess
            look = "import os; print(*[os.readlink(f'/proc/self/fd/{fd}') for fd in range(3, 50)" \\
                   " if os.path.lexists(f'/proc/self/fd/{fd}')])"
            for options in ({"close_fds": True}, {"close_fds": False},
                            {"close_fds": False, "preexec_fn": lambda: None}):
                done = subprocess.run([sys.executable, "-I", "-c", look], capture_output=True,
                                      text=True, check=True, **options)
                assert "io_uring" not in done.stdout, (options, done.stdout)
            assert os.waitstatus_to_exitcode(os.spawnv(os.P_WAIT, "/bin/true", ["true"])) == 0
            after()
            ring.close()
            print("after")
            """,
        )
    )
    assert child.stdout == "after\n"


@pytest.mark.parametrize("state", ["in flight", "multishot", "registered"])
def test_close_is_effective_while_a_child_lives(state: str) -> None:
    # Were the descriptor open in the child, the kernel would go on writing after the close.
    run_child(
        code_of(
            state,
            False,
            """
            hold, release = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(release)
                os.read(hold, 1)
                os._exit(0)
            os.close(hold)
            ring.close()
            os.write(writer, b"x" * 20)
            time.sleep(0.05)  # Time for the kernel to do wrong; nothing is waited for here.
            if state == "in flight":
                assert bufs == [b"...."] * 5, bufs
                bufs[0].append(0)
            elif state == "registered":
                with memoryview(fixed) as view:
                    assert view[:4].tobytes() == bytes(4)
            assert os.read(reader, 100) == b"x" * 20
            os.close(release)
            os.waitpid(child, 0)
            """.replace("state ==", f"{state!r} =="),
        )
    )


def test_the_childs_buffers_stay_its_own() -> None:
    # What other libraries get wrong: the parent's staged read ran with the child's memory.
    run_child(
        code_of(
            "staged",
            False,
            """
            to_child, go = os.pipe()
            child = os.fork()
            if child == 0:
                os.read(to_child, 1)
                os._exit(buf != b"....")
            os.write(writer, b"data")
            ring.submit(wait=1)
            assert buf == b"data"
            os.write(go, b"x")
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            ring.close()
            """,
        )
    )


def test_grandchildren() -> None:
    run_child(
        code_of(
            "in flight",
            False,
            """
            child = os.fork()
            if child == 0:
                parents, ring = ring, uring_rs.Ring(8)
                buf = bytearray(4)
                ring.prep_read(reader, buf)
                ring.submit()
                grandchild = os.fork()
                if grandchild == 0:
                    ok = 0
                    for each in (parents, ring):
                        try: each.submit()
                        except uring_rs.ForkedRing: ok += 1
                    os._exit(ok != 2)
                status = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
                ring.close()
                os._exit(status or ring.reap()[0].res != -125)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            after()
            ring.close()
            """,
        )
    )


def test_forking_while_other_threads_wait() -> None:
    run_child(
        code_of(
            "fresh",
            True,
            """
            import threading
            warnings.simplefilter("ignore")  # 3.12 has one for forks beside threads.
            buf, found = bytearray(4), []
            ring.prep_read(reader, buf)
            ring.submit()
            thread = threading.Thread(target=lambda: found.append(ring.wait_cqe().res))
            thread.start()
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    try: ring.reap()
                    except uring_rs.ForkedRing: os._exit(0)
                    os._exit(1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            os.write(writer, b"data")
            thread.join()
            assert (found, bytes(buf)) == ([4], b"data")
            ring.close()
            """,
        )
    )


def test_many_rings_and_forks() -> None:
    # More rings than one block of the table of descriptors has room for.
    run_child(
        """
        import os, uring_rs
        rings = [uring_rs.Ring(1) for _ in range(600)]
        for ring in rings[::2]:
            ring.close()
        child = os.fork()
        if child == 0:
            left = [fd for fd in range(3, 1000) if os.path.lexists(f"/proc/self/fd/{fd}")
                    and "io_uring" in os.readlink(f"/proc/self/fd/{fd}")]
            os._exit(len(left) > 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        for ring in rings[1::2]:
            ring.prep_nop()
            assert ring.submit(wait=1) == 1
            ring.close()
        """
    )

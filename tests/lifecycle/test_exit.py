"""The end of the interpreter with requests under way: a clean exit code, whatever way it ends."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from helpers.child import run_child

PREPARE = """
import atexit, gc, os, select, sys, threading, time, uring_rs
read, write = os.pipe()
"""

STATES = {
    "staged": """
        ring = uring_rs.Ring(8)
        ring.prep_read(read, bytearray(64))
    """,
    "idle recv": """
        import socket
        ours, theirs = socket.socketpair()
        ring = uring_rs.Ring(8)
        for _ in range(8): ring.prep_recv(ours, bytearray(64))
        ring.submit()
    """,
    "unread": """
        ring = uring_rs.Ring(8)
        for _ in range(8): ring.prep_openat("/dev/null", user_data=ring)
        ring.submit(wait=8)
        ring.peek()
    """,
    "direct": """
        import mmap
        big = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
        bufs = [mmap.mmap(-1, 1 << 20) for _ in range(16)]
        ring = uring_rs.Ring(16)
        for at, buf in enumerate(bufs): ring.prep_read(big, buf, at << 20)
        ring.submit()
    """,
    "workers": """
        ring = uring_rs.Ring(8)
        for _ in range(4): ring.prep_read(read, bytearray(64), flags=uring_rs.SqeFlags.ASYNC)
        big = os.open(sys.argv[1], os.O_RDONLY)
        bufs = [bytearray(16 << 20) for _ in range(2)]
        for buf in bufs: ring.prep_read(big, buf, 0, flags=uring_rs.SqeFlags.ASYNC)
        ring.submit()
    """,
    "multishot": """
        ring = uring_rs.Ring(8)
        ring.prep_poll_add(read, select.POLLIN, multishot=True)
        ring.prep_poll_add(write, select.POLLIN, multishot=True)
        ring.submit()
    """,
    "polled": """
        ring = uring_rs.Ring(8, sqpoll_idle_ms=1000)
        ring.prep_read(read, bytearray(64))
        ring.submit()
    """,
    "registered": """
        ring = uring_rs.Ring(8)
        pool = ring.buffer_pool(2, 4096)
        ring.prep_read_fixed(read, pool.take())
        ring.submit()
    """,
    "shared": """
        ring = uring_rs.Ring(8, shared=True)
        ring.prep_read(read, bytearray(64))
        ring.submit()
    """,
}

# How it ends, the exit code, and what may be on stderr.
ENDS = {
    "return": ("", 0),
    "close": ("ring.close()", 0),
    "del": ("import warnings; warnings.simplefilter('ignore'); pool = None; del ring", 0),
    "gc": ("gc.collect()", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "exception": ("raise SystemExit(5)", 5),
    "in a thread": (
        "thread = threading.Thread(target=sys.exit, args=(6,)); thread.start(); thread.join()",
        0,
    ),
    "in a cycle": ("class C: pass\nc = C(); c.c = c; c.ring = ring; del ring", 0),
    "kept by a module": ("import builtins; builtins.kept_ring = ring; sys.kept_too = ring", 0),
    "used by an exit hook": (
        "atexit.register(lambda: (ring.prep_nop(), ring.submit(), ring.reap()))",
        0,
    ),
    "used after the exit hooks": (
        "class Late:\n"
        "    def __del__(self, ring=ring, uring_rs=uring_rs):\n"
        "        try: ring.prep_nop(); ring.submit(); ring.reap()\n"
        "        except uring_rs.RingClosed: pass\n"
        "        ring.close()\n"
        "sys.late = Late()",
        0,
    ),
    "with a daemon thread": (
        "def wait():\n"
        "    other = uring_rs.Ring(4)\n"
        "    other.prep_read(read, bytearray(4)); started.set()\n"
        "    while True: other.wait(1, 0.001)\n"
        "started = threading.Event()\n"
        "threading.Thread(target=wait, daemon=True).start(); started.wait()",
        0,
    ),
}


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """16 MiB on a disk."""
    path = tmp_path_factory.mktemp("exit") / "big"
    path.write_bytes(bytes(16 << 20))
    return str(path)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("state", STATES)
def test_the_end(state: str, end: str, big_file: str) -> None:
    code, status = ENDS[end]
    child = run_child(
        f"{PREPARE}\n{textwrap.dedent(STATES[state])}\n{code}\n",
        big_file,
        expect=status,
        timeout=20,
    )
    assert child.stderr == ""


# What a daemon thread raises, told without the lock of sys.stderr: where two of them want it while
# the interpreter ends, that is a fatal error of CPython's own (3.14).
TELL = """
import os, threading
threading.excepthook = lambda told: os.write(2, f"{told.exc_type.__name__}:".encode())
"""


def check_said(stderr: str) -> None:
    """Daemon threads may find a shared ring closed under them, and may say nothing else."""
    assert "Fatal" not in stderr
    assert "panicked" not in stderr
    assert set(re.findall(r"\b\w*(?:Error|Exception|Closed)\b:", stderr)) <= {"RingClosed:"}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("busy", ["blocked", "looping", "reaping"])
def test_daemon_threads_in_a_ring(shared: bool, busy: str) -> None:
    # A thread that comes back from the kernel finds no interpreter any more.
    body = {
        "blocked": "ring.wait(1)",
        "looping": "\n    while True: ring.wait(1, 0.0001)",
        "reaping": "\n    while True: ring.prep_nop(); ring.submit(wait=1); ring.reap()",
    }[busy]
    for _ in range(3):
        child = run_child(
            TELL + "import os, sys, threading, time, uring_rs\n"
            "read, write = os.pipe()\n"
            "def run(ring):\n"
            "    ring.prep_read(read, bytearray(64)); ring.submit()\n"
            "    ready.release()\n"
            f"    {body}\n"
            "ready = threading.Semaphore(0)\n"
            f"rings = [uring_rs.Ring(8, shared={shared}) for _ in range(4)]\n"
            "for ring in rings: threading.Thread(target=run, args=(ring,), daemon=True).start()\n"
            "for ring in rings: ready.acquire()\n"
            "time.sleep(0.01)  # Into the kernel, if they are quick; any moment will do.\n"
        )
        check_said(child.stderr)


def test_many_daemon_threads_in_one_ring() -> None:
    child = run_child(
        TELL
        + """if True:
        import os, threading, uring_rs
        read, write = os.pipe()
        ring = uring_rs.Ring(8, shared=True)
        ring.prep_read(read, bytearray(4))
        ring.submit()
        ready = threading.Barrier(9)
        def run():
            ready.wait()
            while True: ring.wait(1, 0.001)
        for _ in range(8): threading.Thread(target=run, daemon=True).start()
        ready.wait()
        """
    )
    check_said(child.stderr)


def test_an_unhandled_exception_in_a_thread() -> None:
    child = run_child(
        """
        import os, threading, uring_rs
        read, write = os.pipe()
        def run():
            with uring_rs.Ring(8) as ring:
                ring.prep_read(read, bytearray(4))
                ring.submit()
                raise ZeroDivisionError
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        os.write(write, b"data")
        assert os.read(read, 4) == b"data"
        """
    )
    assert re.findall(r"^(\w+(?:Error|Warning))", child.stderr, re.MULTILINE) == [
        "ZeroDivisionError"
    ]


def test_an_exception_with_a_ring_open() -> None:
    child = run_child(
        """
        import os, uring_rs
        read, write = os.pipe()
        ring = uring_rs.Ring(8)
        ring.prep_read(read, bytearray(4))
        ring.submit()
        raise ZeroDivisionError
        """,
        expect=1,
    )
    assert re.findall(r"^(\w+(?:Error|Warning))", child.stderr, re.MULTILINE) == [
        "ZeroDivisionError"
    ]


def test_what_was_staged_at_the_end_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "never"
    run_child(
        """
        import os, sys, uring_rs
        ring = uring_rs.Ring(8)
        ring.prep_openat(sys.argv[1], os.O_CREAT | os.O_WRONLY)
        """,
        str(path),
    )
    assert not path.exists()


def test_a_subinterpreter_is_refused_or_works() -> None:
    child = run_child(
        """
        import sys, textwrap
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            try:
                import _interpreters as interpreters
            except ImportError:
                sys.exit("absent")
        import uring_rs
        code = textwrap.dedent('''
            import uring_rs
            found = uring_rs.probe()
            if found.ok:
                with uring_rs.Ring(8) as ring:
                    ring.prep_nop()
                    assert ring.submit(wait=1) == 1
            else:
                assert found.reason, found
                try:
                    uring_rs.Ring(8)
                except uring_rs.UringUnavailable as error:
                    assert error.reason
                else:
                    raise AssertionError("made a ring")
        ''')
        # One only: CPython 3.12.1 does not survive importlib.metadata in a second one.
        interpreter = interpreters.create()
        answer = interpreters.run_string(interpreter, code)
        assert answer is None, answer
        interpreters.destroy(interpreter)
        with uring_rs.Ring(8) as ring:
            ring.prep_nop()
            assert ring.submit(wait=1) == 1
        """,
        expect=None,
    )
    if child.stderr == "absent\n":
        pytest.skip("this Python has no module to make subinterpreters with")
    assert child.returncode == 0, child.stderr

"""Arguments whose methods do something to the ring in the middle of a call with it."""

from __future__ import annotations

import sys

import pytest

from helpers.child import run_child

# What a method does before it answers. "full" takes every slot there is.
DEEDS = """
import array, gc, os, signal, sys, uring_rs

class Mischief(Exception):
    pass

def enough(number, frame):
    raise Mischief

signal.signal(signal.SIGALRM, enough)

def close(): ring.close()
def raises(): raise Mischief
def prep(): ring.prep_nop(user_data="nested"); ring.submit()
def reap(): ring.prep_nop(); ring.submit(wait=1); ring.reap()
def collect(): gc.collect()
def discard(): ring.discard()
def full():
    while True:
        try:
            ring.prep_read(idle, bytearray(1))
        except uring_rs.SubmissionQueueFull:
            return
def swap():
    global ring
    ring = uring_rs.Ring(8)
def exit_child():
    # A fork in the middle of a call: the child comes out of it with ForkedRing, and nothing else.
    global forked
    forked = os.fork()

forked = None
REFUSALS = (uring_rs.RingClosed, Mischief, uring_rs.SubmissionQueueFull, uring_rs.ForkedRing,
            ValueError)
idle, _idle_writer = os.pipe()
null = os.open("/dev/null", os.O_RDWR)
target = bytearray(64)
"""

# One hostile object for each way in, and a call that takes it.
WAYS = {
    "fileno": """
        class File:
            def fileno(self):
                deed()
                return null
        calls = [lambda: ring.prep_read(File(), target), lambda: ring.prep_write(File(), target),
                 lambda: ring.prep_readv(File(), [target]), lambda: ring.prep_fsync(File()),
                 lambda: ring.prep_poll_add(File(), 1), lambda: ring.prep_cancel_fd(File()),
                 lambda: ring.run_reads(File(), target, [0, 32]),
                 lambda: ring.prep_read_batch([File()], target, [0]),
                 lambda: ring.prep_recvmsg(File(), [target]),
                 lambda: ring.prep_splice(File(), File(), 1), lambda: ring.prep_statx(File()),
                 lambda: ring.prep_renameat("/no", "/no", src_dir_fd=File(), dst_dir_fd=File()),
                 lambda: ring.prep_fsetxattr(File(), "user.a", target),
                 lambda: ring.push(uring_rs.Sqe.read(File(), target))]
    """,
    "index": """
        class Number:
            def __index__(self):
                deed()
                return 1
        calls = [lambda: ring.prep_read(null, target, Number()),
                 lambda: ring.prep_read(null, target, 0, Number()),
                 lambda: ring.prep_nop(flags=Number()), lambda: ring.submit(Number(), 0.001),
                 lambda: ring.wait(Number(), 0.001), lambda: ring.enter(Number()),
                 lambda: ring.prep_timeout(1.0, count=Number()), lambda: ring.reap(Number())]
    """,
    "float": """
        class Seconds:
            def __float__(self):
                deed()
                return 0.001
        calls = [lambda: ring.wait(1, Seconds()), lambda: ring.submit(1, Seconds()),
                 lambda: ring.prep_timeout(Seconds()), lambda: ring.completions(1, Seconds()),
                 lambda: ring.prep_link_timeout(Seconds()), lambda: ring.close(Seconds())]
    """,
    "fspath": """
        class Path:
            def __fspath__(self):
                deed()
                return "/nonexistent"
        calls = [lambda: ring.prep_openat(Path()), lambda: ring.push(uring_rs.Sqe.openat(Path())),
                 lambda: ring.prep_openat2(Path()), lambda: ring.prep_rename(Path(), Path()),
                 lambda: ring.prep_statx(Path()), lambda: ring.prep_getxattr(Path(), Path()),
                 lambda: ring.push(uring_rs.Sqe.statx(Path()))]
    """,
    "iter": """
        class Buffers:
            def __iter__(self):
                yield target
                deed()
                yield bytearray(4)
        class Sqes:
            def __iter__(self):
                yield uring_rs.Sqe.nop()
                deed()
                yield uring_rs.Sqe.nop()
        class Files:
            def __iter__(self):
                deed()
                return iter([null, null])
        class Offsets(Files):
            def __iter__(self):
                deed()
                return iter([0, 32])
        class Ancillary:
            def __iter__(self):
                deed()
                return iter(())
        calls = [lambda: ring.prep_readv(null, Buffers()),
                 lambda: ring.prep_writev(null, Buffers()),
                 lambda: ring.prep_sendmsg(null, Buffers()), lambda: ring.push_many(Sqes()),
                 lambda: ring.prep_read_batch(null, Buffers(), 0),
                 lambda: ring.run_reads(null, Buffers(), 0),
                 lambda: ring.prep_write_batch(Files(), target, 0),
                 lambda: ring.run_writes(null, target, Offsets()),
                 lambda: ring.prep_sendmsg(null, [b""], Ancillary())]
    """,
    "getattr": """
        class Sock:
            @property
            def family(self):
                deed()
                return 2
            def fileno(self):
                return null
        calls = [lambda: ring.prep_connect(Sock(), ("127.0.0.1", 1)),
                 lambda: ring.prep_send(Sock(), target, address=("127.0.0.1", 1))]
    """,
    "register": """
        class Number:
            def __index__(self):
                deed()
                return 1
        class Seconds:
            def __float__(self):
                deed()
                return 0.001
        class Numbers:
            def __iter__(self):
                deed()
                return iter([0])
        class File:
            def fileno(self):
                deed()
                return null
        def restricted():
            uring_rs.Ring(4, restrictions=uring_rs.Restrictions(sqe_ops=Numbers())).close()
        def message():
            try:
                uring_rs.send_msg(File(), 0, Number())
            except uring_rs.UringError:
                pass
        def cancel():
            try:
                ring.cancel_sync(file=File(), op=Number(), all=True, timeout=Seconds())
            except TypeError:
                pass
        calls = [lambda: ring.prep_nop(personality=Number()),
                 lambda: uring_rs.Sqe.nop(personality=Number()),
                 lambda: ring.register_iowq_aff(Numbers()),
                 lambda: ring.register_iowq_max_workers(Number(), Number()),
                 lambda: ring.register_napi(Seconds()), lambda: ring.register_region(Number()),
                 restricted, message, cancel]
    """,
    "buffer": """
        class Exporter:
            def __buffer__(self, flags):
                deed()
                return memoryview(target)
            def __release_buffer__(self, view):
                view.release()
        calls = [lambda: ring.prep_read(null, Exporter()),
                 lambda: ring.prep_write(null, Exporter()),
                 lambda: ring.prep_readv(null, [Exporter(), Exporter()]),
                 lambda: ring.prep_fgetxattr(null, "user.a", Exporter()),
                 lambda: ring.prep_fsetxattr(null, "user.a", Exporter()),
                 lambda: ring.run_reads(null, Exporter(), [0, 32]),
                 lambda: ring.prep_write_batch(null, [Exporter()], [0]),
                 lambda: ring.run_nops(2, results=Exporter())]
    """,
    "release": """
        class Exporter:
            def __buffer__(self, flags):
                return memoryview(target)
            def __release_buffer__(self, view):
                view.release()
                if not releasing:
                    releasing.append(1)
                    try:
                        deed()
                    except REFUSALS:
                        pass
        releasing = []
        def round_trip():
            releasing.clear()
            ring.prep_read(null, Exporter())
            ring.submit(wait=1)
            ring.reap()
        def taken_back():
            releasing.clear()
            ring.prep_read(null, Exporter())
            ring.discard()
        def never_staged():
            releasing.clear()
            ring.prep_read(null, Exporter(), nbytes=65)
        def vectors():
            releasing.clear()
            ring.prep_readv(null, [Exporter(), Exporter()])
            ring.close()
        def bulk():
            releasing.clear()
            ring.prep_read_batch(null, [Exporter(), Exporter()], 0)
            ring.submit(wait=2)
            ring.reap_into(bytearray(64))
            releasing.clear()
            ring.run_reads(null, Exporter(), [0, 1], 1)
        calls = [round_trip, taken_back, never_staged, vectors, bulk]
    """,
}

RUN = """
for call in calls:
    for shared in (False, True):
        mine = ring = uring_rs.Ring(8, shared=shared)
        if deed is full:
            # A run waits for room, and there will never be any.
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except REFUSALS:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if forked is not None:
            if forked == 0:
                try:
                    mine.prep_nop()
                except uring_rs.ForkedRing:
                    os._exit(0)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
            forked = None
        if not mine.closed:
            mine.submit()
        mine.close()
        mine.reap()
        ring.close()
        assert mine.in_flight == 0
        target.append(0)
        del target[64:]
"""

NEEDS_PEP_688 = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python classes export buffers from CPython 3.12 on"
)


@pytest.mark.parametrize(
    "deed",
    ["close", "raises", "prep", "reap", "collect", "discard", "full", "swap", "exit_child"],
)
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, marks=NEEDS_PEP_688) if way in ("buffer", "release") else way
        for way in WAYS
    ],
)
def test_a_method_that(way: str, deed: str) -> None:
    import textwrap

    code = f"{DEEDS}\ndeed = {deed}\n{textwrap.dedent(WAYS[way])}\n{RUN}"
    run_child(code, timeout=20, options=["-W", "ignore::DeprecationWarning"])


def test_a_path_that_answers_nonsense() -> None:
    run_child(
        """
        import uring_rs
        class Path:
            def __fspath__(self):
                return 3
        class File:
            answer = None
            def fileno(self):
                return self.answer
        with uring_rs.Ring(8) as ring:
            for call in (lambda: ring.prep_openat(Path()), lambda: ring.prep_fsync(File())):
                try:
                    call()
                except TypeError:
                    continue
                raise SystemExit("taken")
            for File.answer in (-1, -5):
                try:
                    ring.prep_read(File(), bytearray(1))
                except ValueError:
                    continue
                raise SystemExit("taken")
            assert ring.in_flight == 0
        """
    )


def test_a_file_that_closes_itself_after_its_number_was_asked() -> None:
    run_child(
        """
        import os, uring_rs
        class Fickle:
            def fileno(self):
                fd = os.open("/dev/null", os.O_RDONLY)
                os.close(fd)
                return fd
        with uring_rs.Ring(8) as ring:
            ring.prep_read(Fickle(), bytearray(4), user_data="gone")
            ring.submit(wait=1)
            assert ring.pop().res == -9
        """
    )


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(0)", "GeneratorExit"])
def test_exceptions_that_are_no_exceptions_pass_through(error: str) -> None:
    child = run_child(
        f"""
        import uring_rs
        class File:
            def fileno(self):
                raise {error}
        buf = bytearray(4)
        with uring_rs.Ring(8) as ring:
            try:
                ring.prep_read(File(), buf)
            except BaseException as caught:
                print(type(caught).__name__, ring.in_flight)
            buf.append(1)
        """
    )
    assert child.stdout == f"{error.partition('(')[0]} 0\n"

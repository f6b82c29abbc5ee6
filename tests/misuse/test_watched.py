"""Code that watches other code run, and uses the library meanwhile: trace and profile functions,
collections at every allocation and in the middle of calls, frozen generations; and interpreters
within the interpreter."""

from __future__ import annotations

import sys

import pytest

from helpers.cases import run_cases
from helpers.child import run_child

WORK = """
import gc, os, selectors, sys, tempfile, threading
import uring_rs
from uring_rs import IoOp
from uring_rs.selectors import UringSelector

folder = tempfile.mkdtemp()
paths = []
for number in range(20):
    paths.append(f"{folder}/{number}")
    with open(paths[-1], "wb") as file:
        file.write(b"content" * number)
fd = os.open(paths[3], os.O_RDWR)
null = os.open("/dev/null", os.O_RDWR)

def work():
    with uring_rs.Ring(8, trace=lambda event, info: None) as ring:
        table = ring.register_files([null])
        with ring.buffer_ring(2, 64) as pool:
            for number in range(3):
                ring.prep_read(fd, bytearray(8), 0, user_data=[number])
                ring.prep_read(table[0], pool=pool, nbytes=8)
                ring.submit(wait=2)
                for cqe in ring:
                    str(cqe), cqe.value, cqe.buffer
        ring.run_reads(fd, bytearray(16), [0, 8])
    with uring_rs.IoQueue(4, registered_buffers=1) as queue:
        queue.register(fd)
        queue.prepare(IoOp.READ, fd, 0, [bytearray(4)], user=queue)
        queue.commit()
        assert len(queue.wait(1)) == 1
    with UringSelector(4) as selector:
        selector.register(writer, selectors.EVENT_WRITE, selector)
        assert len(selector.select(0)) == 1
    assert len(list(uring_rs.read_many(paths, in_flight=4))) == 20
    assert len(list(uring_rs.walk(folder))) >= 20
    uring_rs.write_many(((path, b"content" * number) for number, path in enumerate(paths)))
    uring_rs.save(f"{folder}/saved", (bytes(9) for _ in range(3)), fsync=False)
    uring_rs.copy(paths[4], f"{folder}/copied", progress=lambda *_: None)
    assert [len(chunk) for chunk in uring_rs.stream(paths[4], chunk=16)] == [16, 12]
    uring_rs.stat_many(paths)
    list(uring_rs.checksum_many(paths))

reader, writer = os.pipe()
work()
"""


# What a trace function raises in a callback is told, and goes no further.
QUIET = "sys.unraisablehook = lambda event: None"


def test_watched_and_collected_at_every_moment() -> None:
    run_cases(
        f"""{WORK}\n{QUIET}
inside = threading.local()
def uses(*_):
    # What a debugger may do at any line, call and return: the same things.
    if getattr(inside, "busy", False):
        return
    inside.busy = True
    try:
        other.prep_nop(user_data=_[0]), other.submit(wait=1), other.reap()
        watched_queue.wait(0)
        watched_selector.select(0)
        next(watched_job, None)
    finally:
        inside.busy = False

other = uring_rs.Ring(8, shared=True)
watched_queue = uring_rs.IoQueue(4)
watched_selector = UringSelector(4)
watched_job = uring_rs.read_many(paths * 50)

@case
def traced():
    def trace(frame, event, arg):
        uses(frame)
        return trace
    sys.settrace(trace), threading.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None), threading.settrace(None)

@case
def profiled():
    sys.setprofile(uses), threading.setprofile(uses)
    try:
        work()
    finally:
        sys.setprofile(None), threading.setprofile(None)

@case
def a_trace_function_that_raises():
    # In the middle of callbacks of ours, too. What it breaks off is let go of.
    lines = [0]
    def trace(frame, event, arg):
        lines[0] += 1
        if lines[0] == at:
            raise ZeroDivisionError
        return trace
    seen = 0
    for at in range(1, 200, 3):
        lines[0] = 0
        sys.settrace(trace)
        try:
            work()
        except (ZeroDivisionError, RuntimeError):
            seen += 1
        finally:
            sys.settrace(None)
        gc.collect()
    assert seen

@case
def monitored():
    if sys.version_info < (3, 12):
        return
    tool = sys.monitoring.DEBUGGER_ID
    sys.monitoring.use_tool_id(tool, "tests")
    events = sys.monitoring.events
    for event in (events.PY_START, events.LINE, events.CALL, events.C_RETURN, events.RAISE):
        sys.monitoring.register_callback(tool, event, uses)
    sys.monitoring.set_events(tool, events.PY_START | events.LINE | events.CALL | events.RAISE)
    try:
        work()
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.free_tool_id(tool)

@case
def a_collection_at_each_allocation():
    old = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        work()
    finally:
        gc.set_threshold(*old)

@case
def the_library_used_in_collections():
    def during(phase, info):
        uses(phase)
    old = gc.get_threshold()
    gc.set_threshold(5)
    gc.callbacks.append(during)
    try:
        work()
    finally:
        gc.callbacks.remove(during)
        gc.set_threshold(*old)

@case
def frozen_in_the_middle():
    ring = uring_rs.Ring(8)
    ring.prep_read(reader, bytearray(4), user_data=ring)
    ring.submit()
    queue = uring_rs.IoQueue(4)
    queue.register(fd)
    queue.prepare(IoOp.READ, fd, 0, bytearray(4), user=queue)
    queue.commit()
    job = uring_rs.read_many(paths)
    next(job)
    gc.freeze()
    gc.collect()
    assert len(queue.wait(1)) == 1
    assert len(list(job)) == 19
    gc.unfreeze()
    gc.collect()
    os.write(writer, b"data")
    assert ring.wait_cqe().res == 4
    ring.close(), queue.close()
    # A frozen cycle is collected by nobody, and closed at the end.
    kept = [uring_rs.Ring(2)]
    kept.append(kept)
    gc.freeze()
    kept[0].close()

@case
def sizes_and_referents_of_everything():
    with uring_rs.Ring(8) as ring:
        ring.prep_nop(user_data=[ring])
        for thing in (ring, watched_queue, watched_job, uring_rs.CqeArray(2), uring_rs.Sqe.nop()):
            gc.get_referents(thing), gc.get_referrers(thing), sys.getsizeof(thing), repr(thing)
        ring.submit(wait=1)

other.close(), watched_queue.close(), watched_selector.close(), watched_job.close()
""",
        least=8,
        timeout=50,
        options=["-W", "ignore"],
    )


INSIDE = """
import uring_rs, os, sys, tempfile
found = uring_rs.probe()
backend = uring_rs.backend()
if found.ok:
    with uring_rs.Ring(8) as ring:
        ring.prep_nop(user_data="inside")
        ring.submit(wait=1)
        assert ring.pop().user_data == "inside"
else:
    # Refused, in words, and by the stated exception.
    assert found.reason
    for make in (lambda: uring_rs.Ring(8),):
        try:
            make()
        except uring_rs.UringUnavailable as error:
            assert error.reason
        else:
            raise AssertionError("made")
# What has another way goes it, or says the same.
from uring_rs.selectors import UringSelector
with UringSelector() as selector:
    selector.select(0)
for call in (lambda: list(uring_rs.read_many([sys.executable])),
             lambda: uring_rs.stat_many([sys.executable])):
    try:
        call()
    except (uring_rs.UringUnavailable, ImportError) as error:
        assert str(error)
"""


@pytest.mark.parametrize("order", ["loaded before", "loaded after"])
@pytest.mark.parametrize(
    "kind",
    [
        "legacy",
        pytest.param(
            "isolated",
            marks=pytest.mark.skipif(
                sys.version_info < (3, 12), reason="a lock of its own is new in CPython 3.12"
            ),
        ),
    ],
)
def test_interpreters_within_the_interpreter(kind: str, order: str) -> None:
    if (kind, order) == ("isolated", "loaded after") and sys.version_info[:3] <= (3, 12, 1):
        pytest.skip("CPython 3.12.1 dies of the package's Python half alone, nothing compiled")
    child = run_child(
        f"""
import sys
first = {order!r} == "loaded before"
if first:
    import uring_rs
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
# One only: CPython 3.12.1 does not survive importlib.metadata in a second one.
if sys.version_info >= (3, 13):
    inner = interpreters.create({kind!r})
elif sys.version_info >= (3, 12):
    inner = interpreters.create(isolated={kind == "isolated"})
else:
    inner = interpreters.create()
said = interpreters.run_string(inner, {INSIDE!r})
assert said is None, said
interpreters.destroy(inner)
import uring_rs
with uring_rs.Ring(8) as ring:
    ring.prep_nop()
    assert ring.submit(wait=1) == 1
print("done")
""",
        expect=None,
        options=["-W", "ignore"],
        env={"LEAKS_ARE_OTHERS": "yes"},
    )
    assert (child.returncode, child.stdout) == (0, "done\n"), child.stderr

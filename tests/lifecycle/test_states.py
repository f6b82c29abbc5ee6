"""Queues, selectors, pools and jobs in every state: in cycles that are collected, closed from
callbacks, finalizers, handlers and other threads, in forked children however those are made, and at
the end of the interpreter. What `tests/lifecycle` has for rings, for everything above them."""

from __future__ import annotations

import pytest

from helpers.cases import run_cases
from helpers.child import run_child

# Everything that can be under way, by name: how it is begun, one step of it, and its close.
STATES = """
import atexit, gc, os, select, signal, sys, tempfile, threading, time, warnings, weakref
import uring_rs
from uring_rs import IoOp
from uring_rs.selectors import UringSelector

folder = tempfile.mkdtemp()
os.makedirs(f"{folder}/tree/inner")
paths = []
for number in range(100):
    paths.append(f"{folder}/tree/inner/{number}")
    with open(paths[-1], "wb") as file:
        file.write(b"content " * number)
with open(f"{folder}/large", "wb") as file:
    file.write(bytes(1 << 20))
fd = os.open(f"{folder}/large", os.O_RDWR)
reader, writer = os.pipe()

class Box:
    # What cycles are made of.
    pass

def queue_prepared(box):
    queue = uring_rs.IoQueue(8)
    queue.register(fd)
    queue.prepare(IoOp.READ, fd, 0, bytearray(64), box)
    return queue, lambda: queue.commit(), queue.close

def queue_under_way(box):
    queue = uring_rs.IoQueue(8, registered_buffers=2)
    queue.register(reader)
    if queue.backend == "io_uring":
        queue.prepare(IoOp.READ, reader, 0, bytearray(64), box)
    queue.commit()
    return queue, lambda: queue.wait(0), queue.close

def queue_ended(box):
    queue = uring_rs.IoQueue(8)
    queue.register(fd)
    queue.prepare(IoOp.READ, fd, 0, bytearray(64), box)
    queue.commit()
    return queue, lambda: queue.wait(0), queue.close

def selector_armed(box):
    selector = UringSelector()
    selector.register(reader, select.POLLIN, box)
    selector.select(0)
    return selector, lambda: selector.select(0), selector.close

def selector_ready(box):
    selector = UringSelector()
    selector.register(writer, selectors.EVENT_WRITE, box)
    return selector, lambda: selector.select(0), selector.close

def files_begun(box):
    def source():
        yield from paths
        box
    job = uring_rs.read_many(source(), in_flight=8)
    next(job)
    return job, lambda: next(job), job.close

def files_in_order(box):
    job = uring_rs.read_many(paths, order="input")
    return job, lambda: next(job), job.close

def stream_begun(box):
    chunks = uring_rs.stream(f"{folder}/large", chunk=4096, depth=4)
    box.chunk = next(chunks)
    return chunks, lambda: next(chunks), chunks.close

def stream_of_a_pipe(box):
    chunks = uring_rs.stream(reader, chunk=16, depth=2)
    return chunks, lambda: None, chunks.close

def walk_begun(box):
    walk = uring_rs.walk(f"{folder}/tree")
    next(walk)
    return walk, lambda: next(walk), walk.close

def sums_begun(box):
    sums = uring_rs.checksum_many(paths)
    next(sums)
    return sums, lambda: next(sums), sums.close

def ranges(box):
    views = uring_rs.read_ranges(f"{folder}/large", [0, 4096], 64)
    return views, lambda: bytes(views[1]), lambda: None

def pool_in_use(box):
    ring = uring_rs.Ring(8)
    pool = ring.buffer_ring(4, 64)
    zero = os.open("/dev/zero", os.O_RDONLY)
    ring.prep_read(zero, pool=pool, nbytes=8, user_data=box)
    ring.submit(wait=1)
    os.close(zero)
    box.part = ring.pop().buffer
    def close():
        box.part = None
        ring.close()
    return ring, lambda: (ring.prep_nop(), pool.available), close

def table_in_use(box):
    ring = uring_rs.Ring(8)
    table = ring.register_files([reader, fd])
    box.file = table[1]
    ring.prep_read(table[0], bytearray(8), user_data=box)
    ring.submit()
    return ring, lambda: (ring.prep_nop(), table[0]), ring.close

def aligned(box):
    pool = uring_rs.AlignedPool(2, 4096)
    box.one = pool.acquire()
    def close():
        box.one = None
        pool.close()
    return pool, lambda: memoryview(box.one)[0], close

import selectors
STATES = [queue_prepared, queue_under_way, queue_ended, selector_armed, selector_ready, files_begun,
          files_in_order, stream_begun, stream_of_a_pipe, walk_begun, sums_begun, ranges,
          pool_in_use, table_in_use, aligned]
"""


@pytest.mark.parametrize("switch", ["", "1"], ids=["ring", "threads"])
def test_in_cycles_and_closed_from_anywhere(switch: str) -> None:
    run_cases(
        f"""{STATES}
if {switch!r}:
    STATES = [make for make in STATES if make not in
              (pool_in_use, table_in_use, queue_under_way, stream_of_a_pipe)]
warnings.simplefilter("ignore", ResourceWarning)

def collected(make, closed):
    box = Box()
    box.thing, box.step, box.close = make(box)
    box.itself = box
    if closed:
        box.close()
    gone = weakref.ref(box)
    del box
    gc.collect(), gc.collect()
    assert gone() is None, gc.get_referrers(gone())

def from_a_finalizer(make, how):
    box = Box()
    thing, step, close = make(box)
    class Last:
        def __del__(self): close()
    if how == "del":
        last = Last()
        del last
    elif how == "del in a cycle":
        last = Last()
        last.itself = last
        del last
        gc.collect()
    elif how == "weakref":
        last = Box()
        ref = weakref.ref(last, lambda _: close())
        del last
    elif how == "collection":
        # Closed in the middle of a collection, by its own hook.
        gc.callbacks.append(lambda phase, info: close())
        gc.collect()
        gc.callbacks.clear()
    elif how == "thread":
        thread = threading.Thread(target=close)
        thread.start(), thread.join()
    elif how == "signal":
        signal.signal(signal.SIGALRM, lambda *_: close())
        signal.raise_signal(signal.SIGALRM)
    elif how == "signal in a step":
        signal.signal(signal.SIGALRM, lambda *_: close())
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        try:
            for _ in range(20): step()
        except (uring_rs.RingClosed, StopIteration, ValueError, RuntimeError): pass
        # Its turn may not have come yet.
        signal.setitimer(signal.ITIMER_REAL, 0)
    close()
    try:
        step()
    except (uring_rs.RingClosed, uring_rs.WrongThread, StopIteration, ValueError, RuntimeError):
        pass
    except TypeError:
        # A buffer that was let go of with its pool.
        assert make is aligned
    box.__dict__.clear()

for make in STATES:
    for closed in (False, True):
        run(f"{{make.__name__}} collected, closed: {{closed}}", collected, make, closed)
    for how in ("del", "del in a cycle", "weakref", "collection", "thread", "signal",
                "signal in a step"):
        if make in (pool_in_use, table_in_use) and how == "thread":
            continue
        run(f"{{make.__name__}} closed by {{how}}", from_a_finalizer, make, how)
""",
        least=95,
        timeout=50,
        env={"URING_RS_DISABLE": switch},
    )


FORKED = f"""{STATES}
import multiprocessing, subprocess
warnings.simplefilter("ignore")

boxes, things = [], {{}}
for make in STATES:
    box = Box()
    boxes.append(box)
    things[make.__name__] = make(box)
selectors_ = ("selector_armed", "selector_ready")
plain = ("ranges", "aligned")

def in_child():
    # Returns what is wrong. A selector arms itself anew; memory that was read is its owner's.
    wrong = []
    for name, (thing, step, close) in things.items():
        try:
            step()
        except uring_rs.ForkedRing:
            if name in selectors_ + plain: wrong.append(f"{{name}}: refused")
        except StopIteration:
            # A generator that hands out what it has already.
            if name != "sums_begun": wrong.append(f"{{name}}: ended")
        except BaseException as error:
            wrong.append(f"{{name}}: {{error!r}}")
        else:
            # A pipe's stream has no step here, and what a walk had found before it may tell.
            if name not in selectors_ + plain + ("stream_of_a_pipe", "sums_begun"):
                wrong.append(f"{{name}}: went on")
    for name, (thing, step, close) in things.items():
        try:
            close()
        except uring_rs.ForkedRing:
            pass
        except BaseException as error:
            wrong.append(f"{{name}} close: {{error!r}}")
    # All of it works anew.
    with uring_rs.read_many(paths[:3]) as own: list(own)
    if wrong: print("child:", *wrong, sep="\\n", file=sys.stderr, flush=True)
    return bool(wrong)

def forked():
    child = os.fork()
    if child == 0:
        os._exit(in_child())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def forked_and_ended_as_python_ends():
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def grandchild():
    child = os.fork()
    if child == 0:
        inner = os.fork()
        if inner == 0: os._exit(in_child())
        os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def multiprocessed():
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(in_child()))
    process.start(), process.join()
    assert process.exitcode == 0, process.exitcode

def preexec():
    # Between fork and exec, where nothing may touch the parent's.
    def before():
        if in_child(): os._exit(9)
    assert subprocess.run(["true"], preexec_fn=before).returncode == 0

def spawned():
    child = os.posix_spawn("/bin/true", ["true"], os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def from_another_thread():
    thread = threading.Thread(target=forked)
    thread.start(), thread.join()

def the_parent_goes_on():
    for name, (thing, step, close) in things.items():
        step()
    os.write(writer, b"data" * 32)
    with uring_rs.read_many(paths) as files:
        assert len(list(files)) == 100
    for name, (thing, step, close) in things.items():
        close()

for way in (forked, grandchild, multiprocessed, preexec, spawned, from_another_thread,
            forked_and_ended_as_python_ends):
    run(way.__name__, way)
boxes.clear()
the_parent_goes_on()
"""


@pytest.mark.parametrize("switch", ["", "1"], ids=["ring", "threads"])
def test_forked_however(switch: str) -> None:
    code = FORKED
    if switch:
        code = code.replace(
            "boxes, things = [], {}",
            "STATES = [make for make in STATES if make not in (pool_in_use, table_in_use,\n"
            "          queue_under_way, stream_of_a_pipe)]\nboxes, things = [], {}",
        )
    run_cases(code, least=7, timeout=50, env={"URING_RS_DISABLE": switch})


ENDS = {
    "return": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "exception": ("raise SystemExit(5)", 5),
    "unhandled": ("raise ZeroDivisionError", 1),
    "in a thread": ("t = threading.Thread(target=sys.exit, args=(6,)); t.start(); t.join()", 0),
    "with": ("with uring_rs.Ring(4), uring_rs.IoQueue(4): raise SystemExit(7)", 7),
    "exit hooks": ("atexit.register(use); threading._register_atexit(use)", 0),
    "killed": ("signal.raise_signal(signal.SIGTERM)", -15),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_with_daemon_threads_everywhere(end: str) -> None:
    """One thread in each thing that can be waited in or gone on with, when the interpreter ends."""
    code, status = ENDS[end]
    child = run_child(
        f"""{STATES}
def use():
    # After the exit hooks of the library have run: refused, or answered.
    for thing in kept:
        try: thing()
        except (uring_rs.RingClosed, uring_rs.WrongThread, StopIteration, ValueError, RuntimeError):
            pass

def again(make):
    def work():
        box = Box()
        while True:
            thing, step, close = make(box)
            ready.release()
            try:
                while True: step()
            except StopIteration: pass
            close()
    return work

def waits_in_queue():
    queue = uring_rs.IoQueue(8)
    queue.register(reader)
    ready.release()
    queue.wait()

def waits_in_selector():
    selector = UringSelector()
    selector.register(reader, select.POLLIN)
    ready.release()
    selector.select()

def waits_in_stream():
    ready.release()
    next(uring_rs.stream(reader, chunk=16))

def submits():
    ring = uring_rs.Ring(8)
    ready.release()
    while True:
        ring.prep_read(fd, bytearray(4096), 0), ring.submit(wait=1), ring.reap()

def copies():
    ready.release()
    while True: uring_rs.copy(f"{{folder}}/tree", f"{{folder}}/copied", recursive=True)

def writes():
    ready.release()
    while True: uring_rs.write_many((f"{{folder}}/new{{n}}", b"data") for n in range(20))

def saves():
    ready.release()
    while True: uring_rs.save(f"{{folder}}/saved", [bytes(100_000)] * 3, fsync=False)

def stats():
    ready.release()
    while True: uring_rs.stat_many(paths)

# Two threads that print at the end of the interpreter by sys.stderr are a fatal error of CPython's.
threading.excepthook = lambda told: os.write(2, f"{{told.exc_type.__name__}}:".encode())
ready = threading.Semaphore(0)
works = [again(make) for make in (queue_ended, files_begun, files_in_order, stream_begun,
         walk_begun, selector_ready)]
works += [waits_in_queue, waits_in_selector, waits_in_stream, submits, copies, writes, saves, stats]
for work in works:
    threading.Thread(target=work, daemon=True).start()
for work in works:
    ready.acquire()
held = [make(Box()) for make in STATES if make is not stream_of_a_pipe]
kept = [step for _, step, _ in held]
{code}
""",
        expect=status,
        timeout=40,
        options=["-W", "ignore"],
    )
    assert "Fatal" not in child.stderr
    assert "panicked" not in child.stderr

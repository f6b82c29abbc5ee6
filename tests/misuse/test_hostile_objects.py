"""Objects whose methods do something to the queue, selector, table, pool or job that is just asking
them: close it, use it, raise, fork, drop it."""

from __future__ import annotations

import pytest

from helpers.cases import run_cases

COMMON = """
import array, contextlib, gc, os, signal, sys, tempfile
import uring_rs
from uring_rs import IoOp
from uring_rs.selectors import UringSelector

class Mischief(Exception):
    pass

folder = tempfile.mkdtemp()
path = os.path.join(folder, "file")
with open(path, "wb") as file:
    file.write(bytes(range(256)) * 16)
fd = os.memfd_create("content")
os.write(fd, bytes(range(256)) * 16)
null = os.open("/dev/null", os.O_RDWR)
reader, writer = os.pipe()
sys.unraisablehook = lambda event: None

PEP_688 = sys.version_info >= (3, 12)
forked = None

def fork():
    # The child comes out of the call with an exception or an answer, and ends.
    global forked
    if forked is None:
        forked = os.fork()

def after_fork():
    global forked
    if forked == 0:
        os._exit(0)
    if forked:
        assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    forked = None

def raising():
    raise Mischief

REFUSALS = (uring_rs.RingClosed, Mischief, uring_rs.SubmissionQueueFull, uring_rs.ForkedRing,
            ValueError, KeyError, TypeError, BufferError, IndexError, OSError, RuntimeError,
            StopIteration)

# What answers by doing `deed` first; `deed` is set before each call.
class Number:
    def __index__(self): deed(); return 1
class Seconds:
    def __float__(self): deed(); return 0.001
class File:
    def __init__(self, fd=None): self.fd = fd
    def fileno(self): deed(); return fd if self.fd is None else self.fd
class Path:
    def __fspath__(self): deed(); return path
class Items(list):
    def __iter__(self): deed(); return super().__iter__()
    def __len__(self): deed(); return super().__len__()
    def __getitem__(self, at): deed(); return super().__getitem__(at)
class Lazy:
    def __init__(self, *items): self.items = items
    def __iter__(self):
        for item in self.items:
            deed()
            yield item
    def __len__(self): deed(); return len(self.items)
    def __length_hint__(self): deed(); return 1 << 40
class Exporter:
    def __init__(self): self.memory = bytearray(64)
    def __buffer__(self, flags): deed(); return memoryview(self.memory)
    def __release_buffer__(self, view):
        view.release()
        if not releasing:
            releasing.append(1)
            with contextlib.suppress(*REFUSALS): deed()
            releasing.clear()
releasing = []
class Dying(bytearray):
    def __del__(self):
        with contextlib.suppress(*REFUSALS): deed()
class Twin:
    # Compared, hashed or shown, it acts.
    def __eq__(self, other): deed(); return False
    def __hash__(self): deed(); return 1
    def __bool__(self): deed(); return True
    def __repr__(self): deed(); return "twin"
"""

QUEUE = """
def make():
    global queue, mine
    mine = queue = uring_rs.IoQueue(8, registered_buffers=1)
    queue.register(fd)
    queue.register(reader)
    if queue.backend == "io_uring":
        # A thread that reads from a silent pipe cannot be stopped.
        queue.prepare(IoOp.READ, reader, 0, bytearray(4), "idle")
        queue.commit()
    queue.prepare(IoOp.READ, fd, 0, bytearray(4), "prepared")

def swap():
    global queue
    queue = uring_rs.IoQueue(4)

def end():
    mine.close()
    if queue is not mine:
        queue.close()
    with contextlib.suppress(*REFUSALS):
        mine.wait(0)

DEEDS = {
    "close": lambda: queue.close(), "commit": lambda: queue.commit(), "collect": gc.collect,
    "wait": lambda: queue.wait(0), "cancel": lambda: queue.cancel_all(),
    "deregister": lambda: queue.deregister(fd), "wake": lambda: queue.wakeup(),
    "prepare": lambda: queue.prepare(IoOp.SYNC, fd, user="nested"), "raise": raising,
    "fork": fork, "swap": swap,
}
def completed(user=None, buffer=None):
    queue.prepare(IoOp.READ, fd, 0, bytearray(4) if buffer is None else buffer, user)
    queue.commit()
    return queue.wait(1, 0.3)

CALLS = {
    "register": lambda: queue.register(File(null)), "known": lambda: queue.register(File()),
    "deregister": lambda: queue.deregister(File()),
    "file": lambda: queue.prepare(IoOp.SYNC, File()),
    "op": lambda: queue.prepare(Number(), fd, 0, b"data"),
    "offset": lambda: queue.prepare(IoOp.READ, fd, Number(), bytearray(4)),
    "length": lambda: queue.prepare(IoOp.DISCARD, fd, 0, Number()),
    "list": lambda: queue.prepare(IoOp.READ, fd, 0, Items([bytearray(4), bytearray(4)])),
    "min": lambda: queue.wait(Number(), 0), "timeout": lambda: queue.wait(0, Seconds()),
    "max": lambda: queue.wait(0, 0, Number()),
    "cancel": lambda: queue.cancel(Number()), "close": lambda: queue.close(Seconds()),
    "depth": lambda: uring_rs.IoQueue(Number(), files=Number()).close(),
    "buffers": lambda: uring_rs.IoQueue(2, registered_buffers=Lazy(bytearray(8))).close(),
    "user": lambda: [repr(done) for done in completed(Twin())],
    "dying user": lambda: completed(Dying()), "dying buffer": lambda: completed(None, Dying(64)),
    "exporter": lambda: completed(None, Exporter()) if PEP_688 else None,
    "registered": lambda: uring_rs.IoQueue(2, registered_buffers=[Exporter()]).close(),
}
"""

SELECTOR = """
zero, other = os.pipe()
def make():
    global selector, mine
    mine = selector = UringSelector(8)
    selector.register(reader, 1, "idle")
    selector.register(writer, 2, Twin())

def swap():
    global selector
    selector = UringSelector(8)

def end():
    mine.close()
    selector.close()

DEEDS = {
    "close": lambda: selector.close(), "select": lambda: selector.select(0), "collect": gc.collect,
    "register": lambda: selector.register(null, 1),
    "unregister": lambda: selector.unregister(writer),
    "again":
        lambda: selector.modify(writer, 1, "again"), "raise": raising, "fork": fork, "swap": swap,
    "child selects": lambda: (fork(), selector.select(0)),
}
CALLS = {
    "register": lambda: selector.register(File(), 1),
    "known": lambda: selector.register(File(reader), 1),
    "other": lambda: selector.register(File(zero), 3, Twin()),
    "unregister": lambda: selector.unregister(File(reader)),
    "modify": lambda: selector.modify(File(writer), 1, Twin()),
    "data": lambda: selector.modify(writer, 2, Twin()),
    "both": lambda: (selector.modify(writer, 2, Twin()), selector.select(0)),
    "events": lambda: selector.register(null, Number()),
    "get_key": lambda: selector.get_key(File(reader)), "unknown": lambda: selector.get_key(Twin()),
    "map": lambda: selector.get_map()[File(writer)],
    "timeout": lambda: selector.select(Seconds()),
    "entries": lambda: UringSelector(Number()).close(),
}
"""

POOLS = """
def make():
    global ring, mine, table, pool, aligned, records, legacy
    mine = ring = uring_rs.Ring(16)
    table = ring.register_files([null, None, None, None])
    pool = ring.buffer_ring(4, 64)
    aligned = uring_rs.AlignedPool(2, 4096)
    records = uring_rs.CqeArray(8)

def swap():
    global ring, table, pool, aligned
    ring = table = pool = aligned = None
    gc.collect()
    ring = uring_rs.Ring(16)
    table, pool = ring.register_files(4), ring.buffer_ring(4, 64)
    aligned = uring_rs.AlignedPool(2, 4096)

def end():
    mine.discard() if not mine.closed else None
    mine.close()
    ring.close()
    aligned.close()
    for each in mine, ring:
        each.reap()

DEEDS = {
    "close": lambda: ring.close(), "close table": lambda: table.close(), "collect": gc.collect,
    "close pool": lambda: pool.close(), "close aligned": lambda: aligned.close(),
    "update": lambda: table.update(2, [null]), "reserve": lambda: table.reserve(),
    "unregister": lambda: ring.unregister_files(), "raise": raising, "fork": fork, "swap": swap,
    "reap":
        lambda: (ring.prep_nop_batch(2), ring.submit(wait=2, timeout=0.3), ring.reap_into(records)),
    "register": lambda: ring.register_files(2),
}
def received(**more):
    ring.prep_read(File(zero), pool=pool, nbytes=4, **more)
    ring.submit(wait=1, timeout=0.3)
    return [cqe.buffer and bytes(cqe.buffer) for cqe in ring]

zero = os.open("/dev/zero", os.O_RDONLY)
CALLS = {
    "slot": lambda: table.update(Number(), [null]),
    "files": lambda: table.update(1, Lazy(null, null)),
    "file": lambda: table.update(1, [File(), File()]),
    "tags": lambda: table.update(1, [null], tags=Lazy(Twin())),
    "item": lambda: table[Number()], "reserve": lambda: table.reserve(Number()),
    "range": lambda: table.set_alloc_range(Number(), Number()),
    "make table": lambda: uring_rs.Ring(4).register_files(Lazy(null, null)),
    "use":
        lambda: (ring.prep_read(table[0], bytearray(4), Number()), ring.submit(1, 0.3), list(ring)),
    "direct":
        lambda: (ring.prep_openat(Path(), file_index=Number()), ring.submit(1, 0.3), list(ring)),
    "files_update": lambda: ring.prep_files_update(Lazy(null, File()), slot=Number()),
    "buffer ring": lambda: ring.buffer_ring(Number(), Number()).close(),
    "provided": lambda: ring.provided_buffers(Number(), Number()).close(),
    "pool": lambda: ring.buffer_pool(Number(), Number()).close(),
    "received": received, "token": lambda: received(user_data=Dying()),
    "queued": lambda: ring.buffer_ring(2, 64, sending=True).queue(Exporter() if PEP_688 else b"a"),
    "aligned": lambda: uring_rs.AlignedPool(Number(), Number()).close(),
    "aligned registered": lambda: uring_rs.AlignedPool(1, 8, register=ring).close(),
    "acquire": lambda: aligned.release(aligned.acquire()),
    "records": lambda: (uring_rs.CqeArray(Number()), records[Number()]),
    "reap_into": lambda: ring.reap_into(Exporter() if PEP_688 else records),
    "buffers": lambda: ring.register_buffers(Lazy(bytearray(8), None)),
    "buffers update": lambda: ring.register_buffers_update(Number(), Lazy(None)),
    "buffer": lambda: ring.register_buffers([Exporter()]),
    "dying":
        lambda: (ring.prep_read(fd, Dying(8), 0), ring.submit(wait=1, timeout=0.3), ring.reap()),
    "dying batch": lambda: ring.run_reads(fd, [Dying(8), Dying(8)], [0, 0]),
}
"""

JOBS = """
def make():
    global job, stream, walk, ring
    job = uring_rs.read_many(endless(), in_flight=4)
    next(job)
    stream = uring_rs.stream(path, chunk=64)
    walk = uring_rs.walk(folder)
    ring = uring_rs.Ring(8)

def endless():
    while True:
        yield path

def end():
    for each in job, stream, walk, ring:
        with contextlib.suppress(uring_rs.ForkedRing):
            each.close()

def recursion():
    list(uring_rs.read_many([path] * 3))
    uring_rs.stat_many([path])

DEEDS = {
    "close": lambda: (job.close(), stream.close(), walk.close()), "collect": gc.collect,
    "next": lambda: (next(job), next(stream), next(walk, None)), "raise": raising, "fork": fork,
    "jobs": recursion,
    "stop": lambda: next(iter(())), "exit": lambda: (_ for _ in ()).throw(GeneratorExit),
    "interrupt": lambda: signal.raise_signal(signal.SIGALRM),
}
def alarm(number, frame):
    raise Mischief
signal.signal(signal.SIGALRM, alarm)
target = os.path.join(folder, "target")
CALLS = {
    "read_many": lambda: list(uring_rs.read_many(Lazy(path, Path(), path))),
    "read_many in order":
        lambda: list(uring_rs.read_many(Lazy(path, Path()), order="input", errors="yield")),
    "in_flight": lambda: list(uring_rs.read_many([path], in_flight=Number(), max_bytes=Number())),
    "checksum_many": lambda: list(uring_rs.checksum_many(Lazy(path, Path()))),
    "stat_many": lambda: uring_rs.stat_many(Lazy(path, Path()), threads=Number()),
    "dir_fd": lambda: uring_rs.stat_many(["file"], dir_fd=Number()),
    "walk": lambda: list(uring_rs.walk(Path())),
    "copy": lambda: uring_rs.copy(Path(), target, progress=lambda *_: deed()),
    "copy to": lambda: uring_rs.copy(path, Path(), threads=Number()),
    "stream": lambda: list(uring_rs.stream(File(), chunk=64, size=Number())),
    "stream path": lambda: list(uring_rs.stream(Path(), chunk=Number())),
    "read_ranges": lambda: uring_rs.read_ranges([File(), File()], Lazy(0, 8), Lazy(8, 8)),
    "read_ranges path":
        lambda: uring_rs.read_ranges(Path(), Lazy(Number()), Number(), depth=Number()),
    "read_ranges out":
        lambda: uring_rs.read_ranges(fd, [0], 8, out=Exporter() if PEP_688 else Dying(8)),
    "read_ranges list":
        lambda: uring_rs.read_ranges(fd, [0, 1], 8, out=Items([Dying(8), Dying(8)])),
    "index": lambda: uring_rs.read_ranges(Lazy(File()), [0, 0], 8, index=Lazy(0, Number())),
    "write_ranges": lambda: uring_rs.write_ranges(File(), Lazy(0, 8), Items([b"a" * 8, Dying(8)])),
    "write_many":
        lambda: uring_rs.write_many(Lazy((target, b"a"), (Path(), Dying(4)), (target, b"b"))),
    "write_many pair": lambda: uring_rs.write_many([Items([target, b"a"])], dir_fd=File()),
    "write_many exporter": lambda: uring_rs.write_many([(target, Exporter())], fsync=True),
    "save": lambda: uring_rs.save(Path(), Lazy(b"a", Dying(9), b"b"), progress=lambda _: deed()),
    "save list": lambda: uring_rs.save(target, Items([b"a", b"b"]), dir_fd=File(), fsync=False),
    "save exporter": lambda: uring_rs.save(target, Lazy(Exporter()), fsync=False, size=Number()),
    "given": lambda: uring_rs.read_ranges(path, [0], 8, kernel=Twin()),
}
"""

RUN = """
def hostile(name, what):
    global deed, forked
    deed, forked = DEEDS[name], None
    make()
    signal.alarm(0)
    try:
        CALLS[what]()
    except REFUSALS + (GeneratorExit,):
        pass
    after_fork()
    deed = list
    # An exception may hold objects whose end is part of the case.
    gc.collect()
    end()
    for name in NAMES:
        globals().pop(name, None)
    gc.collect()

for name in DEEDS:
    for what in CALLS:
        run(f"{name} in {what}", hostile, name, what)
"""

GROUPS = {
    "queue": (QUEUE, ("queue", "mine")),
    "selector": (SELECTOR, ("selector", "mine")),
    "pools": (POOLS, ("ring", "mine", "table", "pool", "aligned", "records")),
    "jobs": (JOBS, ("job", "stream", "walk", "ring")),
}


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("switch", ["", "1"], ids=["ring", "threads"])
def test_methods_that_use_what_asks_them(group: str, switch: str) -> None:
    if switch and group in ("pools", "selector"):
        pytest.skip("there is no other way than a ring, or the standard library's selector is it")
    code, names = GROUPS[group]
    run_cases(
        f"{COMMON}\n{code}\nNAMES = {names!r}\n{RUN}",
        least=100,
        timeout=120,
        options=["-W", "ignore"],
        env={"URING_RS_DISABLE": switch},
    )

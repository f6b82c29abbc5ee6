"""Memory of every kind of exporter, while something uses it: freed, resized, exported once more,
its own target, or described by a class that does not tell the truth."""

from __future__ import annotations

import sys

import pytest

from helpers.cases import run_cases

# Each way to hold memory: a call that begins to use it, and one that ends that use.
USES = """
import array, contextlib, ctypes, gc, io, mmap, os, pickle, socket, sys, tempfile
from multiprocessing import shared_memory
import uring_rs
from uring_rs import IoOp

folder = tempfile.mkdtemp()
path = os.path.join(folder, "file")
with open(path, "wb") as file:
    file.write(bytes(range(256)) * 16)
fd = os.open(path, os.O_RDWR)
reader, writer = os.pipe()
ring = uring_rs.Ring(16)
queue = uring_rs.IoQueue(16)
queue.register(fd)
queue.register(reader)

@contextlib.contextmanager
def in_ring(memory):
    ring.prep_read(reader, memory, nbytes=4)
    ring.submit()
    yield
    os.write(writer, b"data")
    assert ring.wait_cqe().res == 4

@contextlib.contextmanager
def staged(memory):
    ring.prep_readv(reader, [memory, memory])
    yield
    assert ring.discard() == 1

@contextlib.contextmanager
def in_batch(memory):
    ring.prep_read_batch(reader, [memory], [-1], [4])
    ring.submit()
    yield
    os.write(writer, b"data")
    ring.wait(1)
    assert ring.reap_into(bytearray(64)) == 1

@contextlib.contextmanager
def in_sqe(memory):
    sqe = uring_rs.Sqe.read(reader, memory)
    yield
    del sqe

@contextlib.contextmanager
def registered(memory):
    table = ring.register_buffers([memory])
    yield
    del table
    ring.unregister_buffers()

@contextlib.contextmanager
def in_queue(memory):
    queue.prepare(IoOp.READ, reader, 0, memory)
    queue.commit()
    yield
    os.write(writer, b"data")
    assert queue.wait()[0].res == 4

@contextlib.contextmanager
def prepared(memory):
    handle = queue.prepare(IoOp.READ, fd, 0, [memory, memory])
    yield
    queue.cancel(handle)
    assert len(queue.wait()) == 1

@contextlib.contextmanager
def registered_with_queue(memory):
    with uring_rs.IoQueue(2, registered_buffers=[memory]):
        yield

@contextlib.contextmanager
def in_ranges(memory):
    # The result is made of views of it.
    views = uring_rs.read_ranges(path, [0], len(memoryview(memory).cast("B")), out=memory)
    yield
    del views

@contextlib.contextmanager
def being_saved(memory):
    def buffers():
        yield memory
        yield b"x" * (3 << 20)
        result.append(None)
        yield b"end"
    # While the save runs it is inside this generator, too.
    result = []
    yield
    uring_rs.save(path + ".saved", buffers(), fsync=False)

USES = [in_ring, staged, in_batch, in_sqe, registered, in_queue, prepared, registered_with_queue,
        in_ranges]
"""

EXPORTERS = """
# Makes the memory, and tells what must be refused as long as it is used.
def of_bytearray():
    memory = bytearray(64)
    return memory, [lambda: memory.append(0), lambda: memory.clear(), lambda: memory.pop(),
                    lambda: memory.__init__(3), lambda: memory.__delitem__(slice(2))], list

def of_array():
    memory = array.array("b", bytes(64))
    attempts = [lambda: memory.append(0), lambda: memory.pop(), lambda: memory.extend([1])]
    return memory, attempts, list

def of_mmap():
    memory = mmap.mmap(-1, 4096)
    return memory, [memory.close, lambda: memory.resize(8192)], memory.close

def of_file_mmap():
    memory = mmap.mmap(fd, 4096)
    return memory, [memory.close], memory.close

def of_memoryview():
    under = bytearray(64)
    memory = memoryview(under)
    return memory, [memory.release, lambda: under.append(0)], memory.release

def of_part():
    under = bytearray(64)
    memory = memoryview(under).cast("i")[4:8].cast("B")
    return memory, [memory.release, lambda: under.append(0)], memory.release

def of_bytes_io():
    file = io.BytesIO(bytes(64))
    memory = file.getbuffer()
    return memory, [memory.release, lambda: file.truncate(3), file.close,
                    lambda: (file.seek(64), file.write(b"more"))], memory.release

def of_pickle_buffer():
    # Released, it lets go of its own hold only; ours stays.
    under = bytearray(64)
    memory = pickle.PickleBuffer(under)
    return memory, [lambda: under.append(0)], memory.release

def of_shared_memory():
    shared = shared_memory.SharedMemory(create=True, size=64)
    shared.unlink()
    return shared.buf, [shared.close], shared.close

def of_ctypes():
    memory = ctypes.create_string_buffer(64)
    return memory, [], list

EXPORTERS = [of_bytearray, of_array, of_mmap, of_file_mmap, of_memoryview, of_part, of_bytes_io,
             of_pickle_buffer, of_shared_memory, of_ctypes]
"""


def test_memory_in_use_cannot_be_taken_away() -> None:
    """Each exporter under each use: what frees or resizes it is refused until the use has ended,
    and works then."""
    done = run_cases(
        f"""{USES}\n{EXPORTERS}
from multiprocessing import resource_tracker
def held(make, use):
    memory, attempts, after = make()
    if use is in_ranges and isinstance(memory, memoryview):
        # A view of a view holds what is under it, and lets the first one go.
        attempts = attempts[1:]
    with use(memory):
        for attempt in attempts:
            refused(BufferError, attempt)
    # Nothing holds it now.
    after()
    for attempt in attempts[:1]:
        if after is list:
            attempt()

with contextlib.suppress(Exception):
    # Started by the first shared memory, and stays.
    shared_memory.SharedMemory(create=True, size=1).unlink()
for make in EXPORTERS:
    for use in USES:
        # The kernel registers no memory of files.
        if (make, use) != (of_file_mmap, registered):
            run(f"{{make.__name__}} {{use.__name__}}", held, make, use)
ring.close(); queue.close()
""",
        least=89,
        options=["-W", "error"],
    )
    assert done == 89


def test_memory_whose_owner_is_gone() -> None:
    """Only the request holds it: nothing else is given the memory before the kernel is done."""
    run_cases(
        f"""{USES}\n{EXPORTERS}
def freed(make, use):
    memory = make()[0]
    view = memoryview(memory).cast("B")
    start = ctypes.addressof(ctypes.c_char.from_buffer(view)) if not view.readonly else 0
    size = view.nbytes
    view = None
    with use(memory):
        memory = None
        gc.collect()
        # As much as would take its place, were it free.
        for _ in range(200):
            other = bytearray(size)
            at = ctypes.addressof(ctypes.c_char.from_buffer(other))
            assert at + size <= start or start + size <= at

for make in (of_bytearray, of_array, of_part, of_bytes_io, of_ctypes):
    for use in USES:
        run(f"{{make.__name__}} {{use.__name__}}", freed, make, use)
ring.close(); queue.close()
""",
        least=45,
    )


def test_memory_of_our_own_objects_as_targets() -> None:
    """What the library itself exports, used as the target of another request, or of the same."""
    run_cases(
        f"""{USES}
def round_trip(memory, size=4):
    ring.prep_read(fd, memory, 0, size)
    ring.submit(wait=1)
    assert ring.pop().res == size

@case
def a_record_array_of_completions():
    with contextlib.suppress(BufferError):
        records = uring_rs.CqeArray(4)
        ring.prep_nop_batch(2, tag=7)
        # Completions are written where a read is to be written: torn, and no worse.
        ring.prep_read(fd, records, 0, 16)
        ring.submit(wait=3)
        ring.reap_into(records)
        ring.reap()
        assert len(records) == 4
    ring.reap(), ring.reap_into(bytearray(64))

@case
def a_buffer_of_a_pool_twice():
    with ring.buffer_pool(2, 4096) as pool, pool.take() as one:
        round_trip(one)
        ring.prep_readv(fd, [one, memoryview(one)], 0)
        ring.submit(wait=1)
        assert ring.pop().res == 4096
        assert bytes(one[:4] if hasattr(one, "__getitem__") else memoryview(one)[:4])

@case
def a_buffer_that_the_kernel_chose():
    with ring.buffer_ring(2, 64) as pool:
        os.write(writer, b"data")
        ring.prep_read(reader, pool=pool, nbytes=4)
        ring.submit(wait=1)
        part = ring.pop().buffer
        round_trip(part)
        assert bytes(part) == bytes(range(4))
        ring.prep_read(reader, part)
        ring.submit()
        refused(BufferError, part.release)
        del part
        gc.collect()
        assert pool.available == 1      # still the kernel's target
        os.write(writer, b"late")
        assert ring.wait_cqe().res == 4
        gc.collect()
        assert pool.available == 2

@case
def an_aligned_buffer():
    with uring_rs.AlignedPool(1, 4096) as pool:
        one = pool.acquire()
        ring.prep_read(reader, one)
        ring.submit()
        refused(BufferError, one.release)
        refused(BufferError, pool.release, one)
        del one
        gc.collect()
        assert pool.available == 0
        os.write(writer, b"late")
        assert ring.wait_cqe().res == 4
        gc.collect()
        assert pool.available == 1

@case
def an_entry_is_read_only():
    refused(BufferError, ring.prep_read, fd, uring_rs.Sqe.nop())
    sqe = uring_rs.Sqe.nop()
    ring.prep_write(fd, sqe, 0)
    ring.submit(wait=1)
    assert ring.pop().res == 64

@case
def chunks_of_a_stream():
    with uring_rs.stream(path, chunk=1024, depth=2) as chunks:
        first = next(chunks)
        if first.readonly:
            refused(BufferError, ring.prep_read, fd, first)
        else:
            round_trip(first)
        ring.prep_write(fd, first, 0)
        ring.submit()
        del first
        # Not used again before the write is done.
        list(chunks)
        ring.wait(1)
        assert ring.pop().res == 1024
    assert os.path.getsize(path) == 4096

@case
def views_of_ranges_as_their_own_target():
    views = uring_rs.read_ranges(path, [0, 8], 8)
    for view in views:
        round_trip(view)
    again = uring_rs.read_ranges(path, [0, 8], 8, out=views.out)
    assert bytes(again[0]) == bytes(views[0])

@case
def source_and_target_of_one_request():
    memory = bytearray(range(64))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ring.prep_write(ours, memory)
        ring.prep_read(theirs, memory)
        ring.submit(wait=2)
        assert {{cqe.res for cqe in ring}} == {{64}}
        assert memory == bytes(range(64))

@case
def its_own_results():
    memory = array.array("i", [0] * 16)
    found = ring.run_reads(fd, memory, [0] * 16, [4] * 16, results=memory)
    assert len(memory) == 16
    memory.append(0)

@case
def reading_into_the_offsets():
    offsets = array.array("q", [0, 8, 16, 24])
    ring.run_reads(fd, offsets, offsets, 8)
    uring_rs.read_ranges(path, offsets.tobytes() and array.array("q", [0] * 4), 8, out=offsets)
    offsets.append(0)

ring.close(); queue.close()
""",
        least=10,
    )


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python classes export buffers from CPython 3.12 on"
)
def test_exporters_written_in_python() -> None:
    """Every call that takes a buffer: exported and released equally often, whatever happens; and
    classes that lie."""
    run_cases(
        f"""{USES}
class Counting:
    def __init__(self, size=64):
        self.memory, self.got, self.released = bytearray(size), 0, 0
    def __buffer__(self, flags):
        self.got += 1
        return memoryview(self.memory)
    def __release_buffer__(self, view):
        self.released += 1
        view.release()

def records(counting):
    ring.prep_nop_batch(2)
    ring.submit(wait=2)
    ring.reap_into(counting)

def pushed(counting):
    sqe = uring_rs.Sqe.write(fd, counting)
    for _ in range(3):
        ring.push(sqe)
    ring.submit(wait=3)
    ring.reap()

def queued(counting):
    with ring.buffer_ring(2, 64, sending=True) as pool:
        pool.queue(counting)

def broken_off(counting):
    def buffers():
        yield counting
        yield counting
        raise ZeroDivisionError
    refused(ZeroDivisionError, lambda: uring_rs.save(path + ".s", buffers(), fsync=False))
    items = ((path + ".w", each) for each in buffers())
    refused(ZeroDivisionError, lambda: uring_rs.write_many(items))

def round(counting, prepare, *arguments):
    prepare(*arguments)
    ring.submit(wait=1)
    list(ring), ring.reap_into(bytearray(1024))

CALLS = {{
    "read": lambda c: round(c, ring.prep_read, fd, c, 0),
    "write": lambda c: round(c, ring.prep_write, fd, c, 0),
    "readv": lambda c: round(c, ring.prep_readv, fd, [c, c, c], 0),
    "writev": lambda c: round(c, ring.prep_writev, fd, [c, c], 0),
    "batch": lambda c: round(c, ring.prep_read_batch, fd, [c, c], [0, 0]),
    "run": lambda c: ring.run_reads(fd, c, [0, 16]),
    "runs": lambda c: ring.run_writes(fd, [c, c], [0, 64]),
    "results": lambda c: ring.run_nops(8, results=c),
    "xattr": lambda c: round(c, ring.prep_fsetxattr, fd, "user.a", c),
    "records": records,
    "pushed": pushed,
    "queued": queued,
    "discarded": lambda c: (ring.prep_read(fd, c), ring.discard()),
    "refused": lambda c: refused(ValueError, ring.prep_read, fd, c, 0, 65),
    "too late": lambda c: refused(ValueError, ring.prep_read, -1, c, 0),
    "registered": lambda c: (ring.register_buffers([c, c]), ring.unregister_buffers()),
    "ranges": lambda c: uring_rs.read_ranges(path, [0, 8], 8, out=c),
    "ranges each": lambda c: uring_rs.read_ranges(path, [0, 8], 8, out=[c, c]),
    "write_ranges": lambda c: uring_rs.write_ranges(path, [0, 64], [c, c]),
    "save": lambda c: uring_rs.save(path + ".s", [c, c], fsync=False),
    "save direct": lambda c: uring_rs.save(path + ".s", [c] * 99, fsync=False, direct=True),
    "write_many": lambda c: uring_rs.write_many([(path + ".w", c)] * 3),
    "broken off": broken_off,
    "queue": lambda c: (queue.prepare(IoOp.READ, fd, 0, c), queue.commit(), queue.wait()),
    "queue each":
        lambda c: (queue.prepare(IoOp.WRITE, fd, 0, [c, c]), queue.commit(), queue.wait()),
    "queue refused": lambda c: refused(KeyError, queue.prepare, IoOp.READ, writer, 0, c),
    "queue registered": lambda c: uring_rs.IoQueue(2, registered_buffers=[c]).close(),
    "as columns": lambda c: refused(TypeError, ring.run_reads, fd, bytearray(8), "no", c),
}}

def balanced(call):
    counting = Counting()
    with contextlib.suppress(OSError, TypeError, ValueError):
        call(counting)
    ring.discard(), ring.submit(), ring.reap()
    gc.collect()
    assert counting.got == counting.released, (counting.got, counting.released)
    counting.memory.append(0)

for name, call in CALLS.items():
    run(name, balanced, call)

@case
def not_released_before_the_end():
    counting = Counting()
    ring.prep_read(reader, counting, nbytes=4)
    ring.submit()
    gc.collect()
    assert counting.got == 1 and counting.released == 0
    os.write(writer, b"data")
    assert ring.wait_cqe().res == 4
    assert counting.released == 1
    assert counting.memory[:4] == b"data"

class Lying:
    def __init__(self, answers):
        self.answers = iter(answers)
    def __buffer__(self, flags):
        answer = next(self.answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer
    def __release_buffer__(self, view):
        raise ZeroDivisionError("while it is released")

def gone():
    view = memoryview(bytearray(8))
    view.release()
    return view

LIES = {{
    "no view": (3, TypeError), "raises": (ZeroDivisionError(), ZeroDivisionError),
    "none": (None, TypeError), "read-only": (memoryview(bytes(8)), BufferError),
    "released": (gone(), (ValueError, BufferError)),
    "interrupt": (KeyboardInterrupt(), KeyboardInterrupt),
    "strided": (memoryview(bytearray(8))[::2], BufferError),
}}
def lies(answer, error):
    for call in (lambda c: ring.prep_read(fd, c), lambda c: ring.run_reads(fd, c, [0]),
                 lambda c: uring_rs.read_ranges(path, [0], 4, out=c),
                 lambda c: queue.prepare(IoOp.READ, fd, 0, c), lambda c: ring.reap_into(c),
                 lambda c: uring_rs.IoQueue(2, registered_buffers=[c])):
        found = refused(error, call, Lying([answer] * 9))
    assert ring.in_flight == 0 and queue.prepared == 0

for name, (answer, error) in LIES.items():
    run(f"lies: {{name}}", lies, answer, error)

@case
def another_size_each_time():
    sizes = [memoryview(bytearray(n)) for n in (64, 8, 0, 1 << 16)] * 4
    lying = Lying(sizes)
    sys.unraisablehook = lambda event: None
    for _ in range(4):
        with contextlib.suppress(ValueError):
            ring.prep_read(fd, lying, 0)
    ring.submit(wait=1)
    for cqe in ring:
        assert cqe.res in (64, 8, 0, 4096), cqe
    ring.reap()

@case
def it_forks():
    class Forking(Counting):
        def __buffer__(self, flags):
            self.child = os.fork()
            return super().__buffer__(flags)
    forking = Forking()
    try:
        ring.prep_read(fd, forking, 0)
    except uring_rs.ForkedRing:
        os._exit(forking.child)     # 0: the child
    if forking.child == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(forking.child, 0)[1]) == 0
    ring.submit(wait=1)
    assert ring.pop().res == 64

ring.close(); queue.close()
""",
        least=38,
        options=["-W", "ignore"],
        timeout=60,
    )

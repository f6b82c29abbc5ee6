"""Memory that runs out: at each allocation in turn for everything above the ring, and for sizes
that the caller chose, where the address space ends."""

from __future__ import annotations

import pytest

from helpers.cases import run_cases
from helpers.child import run_child

# CPython 3.12 and 3.13: where there is no memory for a function, the reference to its code that the
# enclosing code holds is dropped; when that is run again, so is memory that was freed. Nothing of
# ours is in this.
PROBE = """
import sys, _testcapi
def make():
    return lambda: 0
code = next(each for each in make.__code__.co_consts if hasattr(each, "co_code"))
kept = [code] * 9
before = sys.getrefcount(code)
for at in range(5):
    _testcapi.set_nomemory(at, at + 1)
    try:
        make()
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
print("sound" if sys.getrefcount(code) == before else "drops code", flush=True)
import os
os._exit(0)
"""

SETUP = """
import gc, os, socket, sys, tempfile
import uring_rs
from uring_rs.selectors import UringSelector

folder = tempfile.mkdtemp()
source = folder + "/source"
os.makedirs(source + "/deep")
paths = []
for number in range(6):
    paths.append(f"{source}/deep/{number}")
    with open(paths[-1], "w") as file:
        file.write("0123456789" * 50)
path, target = paths[0], folder + "/target"
null = os.open("/dev/null", os.O_RDWR)
fd = os.open(path, os.O_RDONLY)
reader, writer = os.pipe()
ours, theirs = socket.socketpair()
buf, other, token = bytearray(4096), bytearray(4096), object()
ring = uring_rs.Ring(16)
class Mine(uring_rs.Ring):
    pass
sys.unraisablehook = lambda event: None
# Made here: CPython 3.12 and 3.13 drop a reference to the code too many where there is no memory
# for a function, and crash when it is run again.
def quiet(*_): pass
"""

WORK = {
    "read_many": "for pair in uring_rs.read_many(paths): pass",
    "read_many in order": "list(uring_rs.read_many(paths, order='input', errors='yield'))",
    "read_many left": "job = uring_rs.read_many(paths); next(job); job.close()",
    "read_ranges": "list(uring_rs.read_ranges(path, [0, 10, 20], 10))",
    "read_ranges out": "uring_rs.read_ranges(paths[:2], [0, 1], [3, 3], out=[buf, other])",
    "write_ranges": "uring_rs.write_ranges(target, [0, 10], buf, [5, 5])",
    "stream": "for chunk in uring_rs.stream(path, chunk=4096): bytes(chunk)",
    "save": "uring_rs.save(target, [buf, other, b'abc'], fsync=False)",
    "save direct": "uring_rs.save(target, [buf, other, b'abc'], fsync=False, direct=True)",
    "write_many": "uring_rs.write_many([(f'{target}{n}', buf) for n in range(3)])",
    "write_many fsync": "uring_rs.write_many([(f'{target}{n}', buf) for n in '01'], fsync=True)",
    "copy": "uring_rs.copy(source, folder + '/copied', recursive=True)",
    "copy one": "uring_rs.copy(path, folder + '/one', progress=quiet)",
    "walk": "list(uring_rs.walk(source))",
    "stat_many": "uring_rs.stat_many(paths)",
    "checksum_many": "list(uring_rs.checksum_many(paths))",
    "queue": """
with uring_rs.IoQueue(8, registered_buffers=2) as queue:
    queue.register(fd)
    queue.prepare(uring_rs.IoOp.READ, fd, 0, queue.buffers[0], token)
    queue.prepare(uring_rs.IoOp.READ, fd, 0, [buf, other], token)
    queue.commit()
    for done in queue.wait(2):
        done.result(), repr(done)
""",
    "selector": """
selector = UringSelector(8)
try:
    selector.register(reader, 1, token), selector.register(writer, 2, token)
    selector.select(0), selector.modify(reader, 3), selector.select(0), selector.unregister(reader)
finally:
    selector.close()
""",
    "subclass": "with Mine(4) as mine: mine.prep_nop(user_data=token), mine.submit(wait=1)",
    "aligned": "uring_rs.AlignedPool(2, 4096).acquire().release()",
    "records": "ring.prep_nop_batch(4), ring.submit(4), ring.reap_into(uring_rs.CqeArray(8))",
    "files": "table = ring.register_files([null, null]); ring.prep_read(table[0], buf, "
    "user_data=token); ring.submit(1); ring.reap()",
    "buffers": "ring.register_buffers([buf, None])",
    "multishot": "pool = ring.buffer_ring(2, 64); ring.prep_recv_multishot(ours, pool, "
    "user_data=token); ring.submit(); theirs.send(b'x'); bytes(ring.wait_cqe(1).buffer)",
    "ancillary": "ring.prep_recvmsg(ours, [buf], ancbufsize=64); theirs.send(b'x'); "
    "ring.submit(1); cqe = ring.pop(); cqe.ancdata, cqe.address",
    "traced": "with uring_rs.Ring(4, trace=quiet) as traced: traced.prep_nop(), "
    "traced.submit(1), traced.reap()",
}


def test_each_allocation_that_fails() -> None:
    """Each piece of work again and again, with the first, second, third... allocation of the
    interpreter's failing. MemoryError, or what CPython and PyO3 raise where they cannot make even
    that; nothing is lost or locked, no descriptor stays, and the work succeeds afterwards."""
    pytest.importorskip("_testcapi", reason="this Python cannot make allocations fail")
    if run_child(PROBE).stdout != "sound\n":
        pytest.skip("this CPython itself frees code in use when it has no memory for a function")
    run_cases(
        f"""{SETUP}
import _testcapi
WORK = {WORK!r}
KEPT = set(globals())

def settle():
    ring.discard()
    ring.submit()
    try:
        ring.cancel_sync(all=True)
    except OSError:
        pass
    while ring.in_flight:
        ring.wait(1, 0.05)
        list(ring)
        while ring.reap_into(bytearray(1024)): pass
    list(ring)
    while ring.reap_into(bytearray(1024)): pass
    for name in set(globals()) - KEPT - {{"KEPT", "settle", "failing"}}:
        del globals()[name]
    gc.collect()
    try:
        ring.unregister_buffers()
    except (OSError, ValueError):
        pass
    if ring.files is not None:
        ring.unregister_files()
    buf.append(0), other.append(0)
    del buf[4096:], other[4096:]

def failing(text):
    work = compile(text, "work", "exec")
    for _ in range(2):
        exec(work, globals())
        settle()
    references = sys.getrefcount(token)
    at = failures = passed = 0
    while passed < 2:
        error = None
        _testcapi.set_nomemory(at, at + 1)
        try:
            try:
                exec(work, globals())
            finally:
                _testcapi.remove_mem_hooks()
        except BaseException as caught:
            error = type(caught).__name__
            assert error in ("MemoryError", "SystemError", "PanicException", "RuntimeError"), caught
            caught = None
        failures += error is not None
        passed = 0 if error else passed + 1
        settle()
        at += 1
        assert at < 1000
    assert failures and sys.getrefcount(token) == references

for name, text in WORK.items():
    run(name, failing, text)
""",
        least=len(WORK),
        timeout=60,
        options=["-W", "ignore"],
        env={"LEAKS_ARE_OTHERS": "yes"},
    )


# Sizes that a caller chooses, and of which Rust would have ended the process.
LARGE = {
    "a path": "ring.prep_openat('a' * SIZE)",
    "paths": "list(uring_rs.read_many([b'a' * SIZE] * 2))",
    "paths to ask for": "uring_rs.stat_many(['a' * SIZE] * 4)",
    "offsets": "ring.run_reads(null, bytearray(8), [0] * (SIZE // 8))",
    "an array of offsets": "ring.run_reads(null, bytearray(8), array.array('q', bytes(SIZE)))",
    "a range of offsets": "ring.prep_read_batch(null, bytearray(8), range(1 << 24))",
    "ranges": "uring_rs.read_ranges(path, range(1 << 24), 0)",
    "bytes of ranges": "uring_rs.read_ranges(path, [0] * 16, 1 << 30)",
    "ranges to write": "uring_rs.write_ranges(target, range(1 << 24), b'', sizes=0)",
    "a file table": "ring.register_files(1 << 20)",
    "files": "ring.register_files([null] * (1 << 20))",
    "entries": "uring_rs.Ring(32768, cq_entries=65536, shared=True).close()",
    "a queue": "uring_rs.IoQueue(32768, files=32768).close()",
    "buffers of a queue": "uring_rs.IoQueue(1, registered_buffers=1 << 14, buffer_size=1 << 30)",
    "an aligned pool": "uring_rs.AlignedPool(1 << 14, 1 << 30)",
    "a buffer pool": "ring.buffer_pool(1 << 14, 1 << 30)",
    "a buffer ring": "ring.buffer_ring(1 << 15, 1 << 30)",
    "provided buffers": "ring.provided_buffers(1 << 15, 1 << 30)",
    "records": "uring_rs.CqeArray(1 << 24)",
    "results": "ring.run_nops(1 << 24, results=array.array('i', bytes(4)) * (1 << 24))",
    "a region": "ring.register_region(1 << 30)",
    "chunks": "list(uring_rs.stream(path, chunk=1 << 30, depth=1024))",
    "aligned chunks": "uring_rs.save(target, [b'abc'], chunk=1 << 30, depth=64, direct=True)",
    "a file": "list(uring_rs.read_many([huge]))",
    "a selector": "UringSelector(32768).close()",
    "threads": "uring_rs.copy(source, folder + '/copied', recursive=True, threads=1 << 40)",
}


@pytest.mark.unsanitized("a sanitizer ends where it gets no address space itself")
@pytest.mark.once
@pytest.mark.parametrize("room", [2, 24])
def test_no_addresses_for_what_is_asked(room: int) -> None:
    """With `room` MiB of address space left: an exception, never the end of the process."""
    run_cases(
        f"""{SETUP}
import array, resource
huge = folder + "/huge"
with open(huge, "wb") as file:
    file.truncate(2 << 30)
SIZE = 64 << 20
uring_rs.stat_many(paths), list(uring_rs.read_many(paths))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
spare = bytearray(1 << 20)

def large(text):
    limit = used + ({room} << 20)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        exec(text, globals())
    except (MemoryError, OSError, ValueError) as error:
        # EMFILE: the kernel's bound on registered files.
        assert not isinstance(error, OSError) or error.errno in (None, 12, 24, 36), error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        ring.discard()

for name, text in {LARGE!r}.items():
    run(name, large, text)
ring.prep_nop()
assert ring.submit(wait=1) == 1
""",
        least=len(LARGE),
        timeout=60,
        options=["-W", "ignore"],
    )

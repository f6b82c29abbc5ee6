"""Threads that the interpreter ends while they are in Python code that the library has called.

Before CPython 3.14 such a thread is unwound through the library's frames, which took the process
down at its very end. In each case a daemon thread is inside a call when the main thread leaves.
"""

from __future__ import annotations

import pytest

from helpers.child import run_child

PRELUDE = """
import os, sys, tempfile, threading, time, warnings
import uring_rs

inside = threading.Semaphore(0)
folder = tempfile.mkdtemp()
path = f"{folder}/file"
with open(path, "wb") as file:
    file.write(bytes(4096))
fd = os.open(path, os.O_RDWR)
made = uring_rs.Ring(8, shared=True)

def stay(*_):
    # Asks for the GIL again and again, so that it is ended soon.
    inside.release()
    while True: time.sleep(0.0001)

class File:
    def fileno(self): stay()

class Number:
    def __index__(self): stay()

class Path:
    def __fspath__(self): stay()

class Memory:
    def __len__(self): return 1
    def __getitem__(self, at): stay()

class Last:
    def __del__(self): stay()

def some(*items):
    yield from items
    stay()
"""

INSIDE = {
    "fileno of a prep": "uring_rs.Ring(8).prep_read(File(), bytearray(8), 0)",
    "fileno of a shared ring's prep": "made.prep_read(File(), bytearray(8), 0)",
    "number of a prep": "uring_rs.Ring(8).prep_read(fd, bytearray(8), Number())",
    "path of a prep": "uring_rs.Ring(8).prep_openat(Path(), os.O_RDONLY)",
    "fileno of an entry": "uring_rs.Sqe.read(File(), bytearray(8), 0)",
    "fileno of a bulk run": "uring_rs.Ring(8).run_reads([fd, File()], bytearray(16), [0, 0])",
    "callback of a trace": "uring_rs.Ring(8, trace=stay).prep_nop()",
    "end of a token": """ring = uring_rs.Ring(8)
    ring.prep_nop(user_data=Last())
    ring.submit(wait=1)
    ring.reap()""",
    "end of a token at close": """ring = uring_rs.Ring(8)
    ring.prep_nop(user_data=Last())
    ring.close()""",
    "fileno of a queue's file": "uring_rs.IoQueue(8).register(File())",
    "paths of read_many": "list(uring_rs.read_many(some(path)))",
    "name of read_many": "list(uring_rs.read_many([Path()]))",
    "memory of read_many": "list(uring_rs.read_many([path], out=Memory()))",
    "paths of stat_many": "uring_rs.stat_many(some(path))",
    "paths of checksum_many": "list(uring_rs.checksum_many(some(path)))",
    "items of write_many": """uring_rs.write_many(some((f"{folder}/new", b"data")))""",
    "pieces of save": """uring_rs.save(f"{folder}/new", some(b"data"))""",
    "progress of save": """uring_rs.save(f"{folder}/new", [b"data"], progress=stay)""",
    "progress of copy": """os.mkdir(f"{folder}/tree")
    for name in range(50): open(f"{folder}/tree/{name}", "wb").close()
    uring_rs.copy(f"{folder}/tree", f"{folder}/other", recursive=True, progress=stay)""",
    "file of read_ranges": "uring_rs.read_ranges(File(), [0], [8])",
    "file of write_ranges": "uring_rs.write_ranges(File(), [0], [b'data'])",
    "file of stream": "next(uring_rs.stream(File()))",
}


@pytest.mark.parametrize("where", INSIDE)
def test_a_thread_ended_in_code_that_was_called(where: str) -> None:
    child = run_child(
        f"""{PRELUDE}
def work():
    {INSIDE[where]}
    os.write(2, b"it was not called")

threading.Thread(target=work, daemon=True).start()
if not inside.acquire(timeout=10):
    raise SystemExit("nothing called it")
# So that taking the interpreter down takes a while.
kept = [{{}} for _ in range(100_000)]
"""
    )
    assert child.stderr == ""


def test_a_thread_that_works_on_when_the_interpreter_has_ended() -> None:
    """It comes back to look for signals, finds no interpreter, and stands still without a word."""
    child = run_child(
        f"""{PRELUDE}
os.mkdir(f"{{folder}}/tree")
for name in range(2000): open(f"{{folder}}/tree/{{name}}", "wb").close()

def work():
    inside.release()
    for number in range(1000):
        uring_rs.copy(f"{{folder}}/tree", f"{{folder}}/{{number}}", recursive=True)

class Last:
    def __del__(self, sleep=time.sleep): sleep(1)

threading.Thread(target=work, daemon=True).start()
inside.acquire()
# Goes when the exit hooks have run and the threads are ended, the very last thing but the end.
sys.modules["last"] = Last()
"""
    )
    assert child.stderr == ""


# What is let go of, by a thread that has never called the library.
DROPPED = {
    "completion": """made.prep_nop(user_data=Last())
made.submit(wait=1)
box = made.reap()""",
    "ring, with a token": """ring = uring_rs.Ring(4, shared=True)
ring.prep_nop(user_data=Last())
box.append(ring)
del ring""",
    "ring, with a warning": """warnings.showwarning = stay
warnings.simplefilter("always")
ring = uring_rs.Ring(4)
ring.prep_nop()
box.append(ring)
del ring""",
    "ring, with a trace": """ring = uring_rs.Ring(4, trace=Held())
ring.close()
box.append(ring)
del ring""",
    "entry": "box.append(uring_rs.Sqe.nop(user_data=Last()))",
    "queue": """queue = uring_rs.IoQueue(8)
queue.register(fd)
queue.prepare(uring_rs.IoOp.READ, fd, 0, bytearray(8), user=Last())
box.append(queue)
del queue""",
    "completion of a queue": """queue = uring_rs.IoQueue(8)
queue.register(fd)
queue.prepare(uring_rs.IoOp.READ, fd, 0, bytearray(8), user=Last())
queue.commit()
box = queue.wait(1)""",
    "read_many": """job = uring_rs.read_many(Held())
next(job)
box.append(job)
del job""",
    "stream": "box.append(uring_rs.stream(Held()))",
    "table": """table = made.register_files([fd])
box.append([table, Last()])
del table""",
}


@pytest.mark.parametrize("what", DROPPED)
def test_a_thread_ended_in_code_that_the_end_of_something_called(what: str) -> None:
    child = run_child(
        f"""{PRELUDE}
class Held:
    # As a file, as a source of paths, as a trace.
    def __init__(self): self.last = Last()
    def fileno(self): return fd
    def __iter__(self): return self
    def __next__(self): return path
    def __call__(self, *_): pass

box = []
{DROPPED[what]}
threading.Thread(target=box.clear, daemon=True).start()
if not inside.acquire(timeout=10):
    raise SystemExit("nothing called it")
kept = [{{}} for _ in range(100_000)]
""",
        options=["-W", "ignore"],
    )
    assert child.stderr == ""


@pytest.mark.unsanitized("a sanitizer keeps freed memory")
def test_a_thread_that_ends_before_the_interpreter_does() -> None:
    """Nothing of it is left behind: the threads that were armed have their memory back."""
    run_child(
        """
import threading, uring_rs

def work():
    with uring_rs.Ring(4) as ring:
        ring.prep_nop(), ring.submit(wait=1)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

def rounds(count):
    for _ in range(count):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()

rounds(50)
before = resident()
rounds(300)
assert resident() - before < 200, resident() - before
""",
        timeout=60,
    )

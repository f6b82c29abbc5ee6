"""No descriptor of the library's reaches a program that is started: all are close-on-exec."""

from __future__ import annotations

from helpers.cases import run_cases


def test_a_program_that_is_started_has_none_of_ours() -> None:
    """Everything that holds descriptors at once; then every way to start a program."""
    run_cases(
        """
import os, select, socket, subprocess, sys, tempfile, threading
import uring_rs
from uring_rs.selectors import UringSelector

folder = tempfile.mkdtemp()
for number in range(300):
    os.makedirs(f"{folder}/tree/{number}", exist_ok=True)
    with open(f"{folder}/tree/{number}/file", "wb") as file:
        file.write(b"x" * 70_000)
paths = [f"{folder}/tree/{number}/file" for number in range(300)]
reader, writer = os.pipe()
known = {0, 1, 2}

# What the user opened says so itself: Python's own descriptors are close-on-exec, too.
ring = uring_rs.Ring(8)
shared = uring_rs.Ring(8, shared=True)
polled = uring_rs.Ring(8, sqpoll_idle_ms=50)
shared.wake()
ring.prep_read(reader, bytearray(4))
ring.prep_openat(paths[0], user_data="opened")
ring.prep_socket(user_data="socket")
ring.prep_pipe(user_data="pipe")
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
ring.prep_accept(listener)
ring.submit(wait=4)
queue = uring_rs.IoQueue(8)
queue.register(reader)
queue.wakeup_fd
selector = UringSelector()
selector.register(reader, select.POLLIN)
selector.select(0)
job = uring_rs.read_many(paths, in_flight=64)
next(job)
chunks = uring_rs.stream(paths[0], chunk=4096, depth=4)
next(chunks)
walk = uring_rs.walk(f"{folder}/tree")
next(walk)
program = "import os, sys; print(*(fd + ':' + os.readlink('/proc/self/fd/' + fd) for fd in " \\
    "os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + fd) and int(fd) > 2))"
command = [sys.executable, "-I", "-S", "-c", program]

def through(start):
    found = start()
    # The listing itself has one.
    assert all("/proc/" in each for each in found.split()), found

def spawned():
    read_end, write_end = os.pipe()
    child = os.posix_spawn(command[0], command, os.environ,
                           file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)])
    os.close(write_end)
    with os.fdopen(read_end) as file:
        found = file.read()
    os.waitpid(child, 0)
    return found

def executed():
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write_end, 1)
        os.execv(command[0], command)
    os.close(write_end)
    with os.fdopen(read_end) as file:
        found = file.read()
    os.waitpid(child, 0)
    return found

def subprocessed(**options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout

WAYS = {
    "subprocess": lambda: subprocessed(close_fds=False),
    "preexec_fn": lambda: subprocessed(close_fds=False, preexec_fn=lambda: None),
    "posix_spawn": spawned,
    "fork and exec": executed,
}
for name, start in WAYS.items():
    run(name, through, start)

def in_the_middle(work):
    # From inside a job, while its files are open.
    found = []
    work(lambda *_: found or found.append(subprocessed(close_fds=False)))
    assert found and all("/proc/" in each for each in found[0].split()), found

def buffers(look):
    yield b"x" * (3 << 20)
    look()
    yield b"y"

def items(look):
    yield f"{folder}/one", b"x"
    look()
    yield f"{folder}/two", b"y"

run("in save", in_the_middle, lambda look: uring_rs.save(f"{folder}/s", buffers(look), fsync=True))
run("in direct save", in_the_middle,
    lambda look: uring_rs.save(f"{folder}/s", buffers(look), fsync=False, direct=True))
run("in write_many", in_the_middle, lambda look: uring_rs.write_many(items(look), fsync=True))
run("in copy", in_the_middle,
    lambda look: uring_rs.copy(f"{folder}/tree", f"{folder}/copied", recursive=True, progress=look))
for cqe in ring:
    pass
for each in job, chunks, walk, selector, queue, ring, shared, polled:
    each.close()
""",
        least=8,
        timeout=40,
        options=["-W", "ignore"],
    )

"""docs/troubleshooting.md quotes what the package says: each text is in the sources, and comes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from helpers.child import child_env, run_child
from helpers.readme import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
QUOTED = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
# What Python and NumPy say, and what may come all the same.
NOT_OURS = {
    "Existing exports of data: object cannot be re-sized",
    "Object is not writable.",
    "ndarray is not C-contiguous",
    "expected str, bytes or os.PathLike object, not …",
}
# What takes another host or kernel than this one. The texts are tested in Rust
# (src/ring/probe/refusal.rs), those of the sysctl also in tests/hosts.
NOT_HERE = {
    "kernel.io_uring_disabled is …, for everybody",
    "kernel.io_uring_disabled is 1, the process has no CAP_SYS_ADMIN…",
    "SELinux enforces a policy that refuses it",
    "RLIMIT_MEMLOCK is …, a ring of … entries locks …, and all rings of this user count together",
    "Linux … is older than io_uring",
    "the kernel has no memory for it",
    "no huge page is free for the ring (…): /proc/sys/vm/nr_hugepages says how many there are",
    "the ring is corrupted: …",
}


@cache
def sources() -> str:
    """All texts of the package, those in several pieces joined."""
    places = [ROOT / "src", ROOT / "python" / "uring_rs"]
    files = [each for place in places for each in place.rglob("*.[rp][sy]")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(files))
    text = re.sub(r"\\\n\s*", "", text)
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_sources_say_so(quoted: str) -> None:
    if quoted in NOT_OURS:
        return
    pieces = [piece for piece in quoted.split("…") if piece.strip(" .,:()'")]
    assert pieces
    pieces[-1] = pieces[-1].rstrip(" :")
    pattern = r"[^\n]{0,200}?".join(re.escape(piece) for piece in pieces)
    assert re.search(pattern, sources()), quoted


def test_no_text_is_there_twice() -> None:
    assert len(QUOTED) == len(set(QUOTED)) > 100


# How to get them: what raises them, warns, or prints them, by the words they begin with.
BEGIN = """
import array, errno, logging, mmap, os, resource, socket, sys, threading, warnings
from helpers.seccomp import refuse_io_uring
import uring_rs
from uring_rs import IoOp, IoQueue, Ring, SetupFlags, SimKernel, SqeFlags
from uring_rs.testing import SimRing
"""

SIM = """
kernel = SimKernel(seed=1)
for nth in range(40):  # whatever it asks for, and asks again
    kernel.fail_call("setup", nth, errno.{})
Ring(8, kernel=kernel)
"""
POOL = """
ring = Ring(8)
pool = ring.buffer_pool(1, 4096)
buffer = pool.take()
"""
RANGES = """
uring_rs.save("file", [bytes(100)], fsync=False)
"""
QUEUE = """
queue = IoQueue(2, files=1)
reader, writer = os.pipe()
queue.register(reader)
"""
IN_FLIGHT = QUEUE + "queue.prepare(IoOp.READ, reader, 0, bytearray(1)); queue.commit()\n"
FORK = """
pid = os.fork()
if pid:
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
CLOSED_SELECTOR = """
from uring_rs.selectors import UringSelector
selector = UringSelector()
selector.close()
"""
WITHOUT = """
for name in [name for name in sys.modules if name.startswith("uring_rs")]:
    del sys.modules[name]
sys.modules["uring_rs._uring"] = None
"""

HOW: dict[str, str] = {
    "a seccomp filter refuses": "refuse_io_uring(errno.EPERM); Ring(8)",
    "neither kernel.io_uring_disabled": SIM.format("EACCES"),
    "this Linux …": SIM.format("ENOSYS"),
    "the process has all": """
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
rings = [Ring(8) for _ in range(16)]
""",
    "the system has no descriptor": SIM.format("ENFILE"),
    "Linux … does not take": SIM.format("EINVAL"),
    "disabled by": 'os.environ["URING_RS_DISABLE"] = "1"; print(uring_rs.backend().reason)',
    "io_uring exists on Linux only": WITHOUT
    + 'sys.platform = "plan9"\nimport uring_rs\nuring_rs.Ring(8)',
    "the compiled module of": WITHOUT + "import uring_rs\nuring_rs.Ring(8)",
    "io_uring is required here": """
os.environ["URING_RS_DISABLE"] = "1"
uring_rs.read_many([], require_uring=True)
""",
    "io_uring is not used, threads": """
logging.basicConfig(level=logging.INFO)
os.environ["URING_RS_DISABLE"] = "1"
list(uring_rs.read_many([]))
""",
    "io_uring is not used (": """
from uring_rs.cli import main
os.environ["URING_RS_DISABLE"] = "1"
main(["cat"])
""",
    "the probe itself failed": """
import uring_rs._uring
uring_rs._uring.probe = None
print(uring_rs.probe().reason)
""",
    "the ring is closed": "ring = Ring(8); ring.close(); ring.prep_nop()",
    "this ring belongs to the thread": """
ring = Ring(8)
ring.prep_nop()
threading.Thread(target=ring.prep_nop).start()
""",
    "this ring belongs to the parent": "ring = Ring(8)\n" + FORK + "ring.prep_nop()",
    "this queue belongs to the parent": QUEUE + FORK + "queue.commit()",
    "the submission queue is full": """
ring = Ring(2, sq_full="raise")
for _ in range(3):
    ring.prep_nop()
""",
    "… requests are in flight, as many": """
reader, writer = os.pipe()
ring = Ring(2, cq_entries=2)
for _ in range(3):
    ring.prep_read(reader, bytearray(1))
""",
    "a chain of linked requests": """
ring = Ring(2)
for _ in range(3):
    ring.prep_nop(flags=SqeFlags.IO_LINK)
""",
    "the ring is disabled": """
ring = Ring(8, flags=SetupFlags.R_DISABLED)
ring.prep_nop()
ring.submit()
""",
    "a ring needs at least": "Ring(0)",
    "… entries are too many": "Ring(100_000)",
    "this kernel has no": """
ring = Ring(8, kernel=SimKernel(seed=1, linux=(5, 11)))
ring.iowait = False
""",
    "no completion in time": "Ring(8).wait_cqe(timeout=0)",
    "… is not possible on an IOPOLL": """
left, right = socket.socketpair()
ring = Ring(8, flags=SetupFlags.IOPOLL)
ring.prep_recv(left, bytearray(1))
""",
    "this request has an entry of 128": "Ring(8).prep_nop128()",
    "the ring's restrictions do not": """
ring = Ring(8, restrictions=uring_rs.Restrictions(register_ops=[]))
ring.register_personality()
""",
    "io_uring_enter: …": """
ring = SimRing(8, seed=1)
ring.prep_nop()
ring.faults.enter(errno.EBADF)
ring.submit()
""",
    "io_uring_register: …": """
ring = SimRing(8, seed=1)
ring.faults.register(errno.ENOMEM)
ring.buffer_pool(1, 4096)
""",
    "unclosed ring": "warnings.simplefilter('always'); Ring(8)",
    "unclosed IoQueue": "warnings.simplefilter('always'); IoQueue(8)",
    "… requests of a closed ring": """
warnings.simplefilter('always')
ring = SimRing(8, seed=1)
ring.faults.late(3600)
ring.prep_nop()
ring.submit()
ring.close(timeout=0.001)
""",
    "Existing exports of data": """
reader, writer = os.pipe()
ring, buffer = Ring(8), bytearray(1)
ring.prep_read(reader, buffer)
buffer.clear()
""",
    "Object is not writable": "Ring(8).prep_read(0, b'bytes')",
    "ndarray is not C-contiguous": "import numpy\nRing(8).prep_read(0, numpy.zeros((4, 4)).T)",
    "a bytes-like object or a pool": "Ring(8).prep_read(0, None)",
    "nbytes must be 0 to": "Ring(8).prep_read(0, bytearray(4), nbytes=5)",
    "one request moves at most 4 GiB": "Ring(8).prep_read(0, mmap.mmap(-1, 5 << 30))",
    "all … buffers of the pool": POOL + "pool.take()",
    "this buffer was given back": POOL + "buffer.release(); bytes(buffer)",
    "a memoryview of this buffer": POOL + "view = memoryview(buffer); buffer.release()",
    "a request in flight uses this buffer": POOL
    + "reader, writer = os.pipe(); ring.prep_read_fixed(reader, buffer); buffer.release()",
    "a fixed operation needs": "Ring(8).prep_read_fixed(0, bytearray(4))",
    "the ring has a pool already": POOL + "ring.buffer_pool(1, 4096)",
    "… requests in flight, or Sqes, use": """
reader, writer = os.pipe()
ring = Ring(8)
pool = ring.buffer_ring(1, 64)
ring.prep_read(reader, pool=pool)
pool.close()
""",
    "this registered buffer is read-only": """
ring = Ring(8)
buffer, = ring.register_buffers([bytes(4096)])
ring.prep_read_fixed(0, buffer)
""",
    "the ring has no file table": "Ring(8).prep_openat('file', direct=True)",
    "no slot of the file table": """
ring = Ring(8)
table = ring.register_files(1)
first, second = table.reserve(), table.reserve()
""",
    "this direct descriptor is stale": """
ring = Ring(8)
table = ring.register_files(1)
file = table.reserve()
file.close()
ring.prep_read(file, bytearray(1))
""",
    "… takes no direct descriptor": """
ring = Ring(8)
file = ring.register_files(1).reserve()
ring.prep_openat("file", dir_fd=file)
""",
    "… is not a numeric address": "Ring(8).prep_connect(socket.socket(), ('localhost', 80))",
    "is open for appending": RANGES
    + "with open('file', 'ab') as file: uring_rs.write_ranges(file, [0], [b'x'])",
    "not a regular file": "os.mkfifo('fifo'); list(uring_rs.read_many(['fifo']))",
    "the file is larger than max_bytes": RANGES + "list(uring_rs.read_many(['file'], max_bytes=9))",
    "the file is larger than its buffer": RANGES
    + "list(uring_rs.read_many(['file'], out=[bytearray(9)]))",
    "there are more paths than buffers": RANGES
    + "list(uring_rs.read_many(['file', 'file'], out=[bytearray(100)]))",
    "out must have one row": RANGES + "list(uring_rs.read_many(['file'], out=bytearray(100)))",
    "read_many was called from its own": RANGES
    + """
def paths():
    yield "file"
    next(found)
found = uring_rs.read_many(paths(), in_flight=1)
list(found)
""",
    "files, offsets and sizes": RANGES + "uring_rs.read_ranges('file', [0, 1], [1, 2, 3])",
    "the ranges are": RANGES + "uring_rs.read_ranges('file', [0, 1], 8, out=bytearray(9))",
    "ranges … and … overlap": RANGES + "uring_rs.write_ranges('file', [0, 1], [b'xx', b'xx'])",
    "items must be pairs": "uring_rs.write_many({'name': b'x', 'other': b'y'})",
    "paths must be an iterable": "uring_rs.stat_many('file')",
    "is a directory, and not": "os.mkdir('a'); uring_rs.copy('a', 'b')",
    "cannot be copied into": "os.mkdir('a'); uring_rs.copy('a', 'a/b', recursive=True)",
    "is the same file": RANGES + "uring_rs.copy('file', 'file')",
    "not copied: it is a named pipe": """
os.mkdir('a')
os.mkfifo('a/fifo')
uring_rs.copy('a', 'b', recursive=True, specials=False)
""",
    "the ring has no registered buffers": "Ring(8).unregister_buffers()",
    "the pool is closed": """
pool = Ring(8).buffer_pool(1, 64)
pool.close()
pool.take()
""",
    "this buffer belongs to another pool": """
one, other = uring_rs.AlignedPool(1, 4096), uring_rs.AlignedPool(1, 4096)
other.release(one.acquire())
""",
    "multishot and bundle need a pool": "Ring(8).prep_recv(0, bytearray(4), bundle=True)",
    "a pool is incremental or for": """
Ring(8).buffer_ring(1, 64, incremental=True, sending=True)
""",
    "sending takes a BufferRing": """
ring = Ring(8)
ring.prep_send_bundle(0, ring.buffer_ring(1, 64))
""",
    "… cannot use an incremental": """
ring = Ring(8)
ring.prep_recvmsg_multishot(0, ring.buffer_ring(1, 256, incremental=True))
""",
    "a futex word must be aligned": """
Ring(8).prep_futex_wait(memoryview(mmap.mmap(-1, 4096))[1:5], 0)
""",
    "madvise works on whole pages": "Ring(8).prep_madvise(mmap.mmap(-1, 8192), 4, 1, 100)",
    "the ring has a file table already": """
ring = Ring(8)
ring.register_files(1)
ring.register_files(1)
""",
    "…, which came with Linux": """
import ctypes
ctypes.CDLL(None).personality(0x0020000)  # UNAME26: tell of a Linux 2.6
ring, file = Ring(8), os.memfd_create("file")
ring.prep_ftruncate(os.open(f"/proc/self/fd/{file}", os.O_RDONLY), 1)
ring.wait_cqe(timeout=10).result()
""",
    "expected str, bytes or": "Ring(8).prep_openat(None)",
    "embedded null byte": "Ring(8).prep_openat('a' + chr(0))",
    "dir_fd goes with a path": "Ring(8).prep_statx(0, dir_fd=0)",
    "a unix socket's path": """
Ring(8).prep_connect(socket.socket(socket.AF_UNIX), "x" * 200)
""",
    "index needs a sequence": RANGES + "uring_rs.read_ranges('file', [0], [1], index=[0])",
    "… bytes cannot be divided": RANGES + "uring_rs.write_ranges('file', [0, 1, 2], bytearray(10))",
    "files, buffers, offsets and": """
Ring(8).run_reads(0, bytearray(64), array.array("q", [0, 8]), array.array("q", [8, 8, 8]))
""",
    "rows of a batch cannot": """
Ring(8).prep_nop_batch(2, flags=SqeFlags.IO_LINK)
""",
    "results must have room": "Ring(8).run_nops(4, results=array.array('i', [0]))",
    "op must be an IoOp": QUEUE + "queue.prepare(77, reader)",
    "syncing takes neither": QUEUE + "queue.prepare(IoOp.SYNC, reader, 0, bytearray(1))",
    "give a request, file=": "Ring(8).cancel_sync()",
    "seconds, or ns, is required": "Ring(8).prep_timeout()",
    "seconds or ns, not both": "Ring(8).prep_timeout(1, ns=1)",
    "there is no hash": "uring_rs.checksum_many(['file'], 'shake_128')",
    "the file is not registered": QUEUE + "queue.prepare(IoOp.SYNC, writer)",
    "… requests are unfinished": IN_FLIGHT + "[queue.prepare(IoOp.SYNC, reader) for _ in range(2)]",
    "the queue is closed": QUEUE + "queue.close(); queue.commit()",
    "a file of this descriptor": QUEUE + "queue.register(reader)",
    "… requests on this file": IN_FLIGHT + "queue.deregister(reader)",
    "… files are registered": QUEUE + "queue.register(writer)",
    "I/O operation on closed selector": CLOSED_SELECTOR + "selector.select()",
    "Selector is closed": CLOSED_SELECTOR + "selector.get_key(0)",
    "… (FD …) is already": """
from uring_rs.selectors import UringSelector
with UringSelector() as selector:
    reader, writer = os.pipe()
    selector.register(reader, 1)
    selector.register(reader, 1)
""",
    "… is not registered": """
from uring_rs.selectors import UringSelector
with UringSelector() as selector:
    selector.unregister(0)
""",
    "… does not take the bits": "Ring(8).prep_unlinkat('file', 1 << 30)",
    "flags must be SqeFlags": "Ring(8).prep_nop(flags=1 << 20)",
    "expected a Request": "Ring(8).prep_cancel('user_data')",
}


# What changes the process, or says it otherwise than by an exception, has one of its own.
APART = (
    "fork",
    "refuse",
    "rlimit",
    "Thread",
    "warnings",
    "environ",
    "main(",
    "sys.modules",
    "probe",
)


def words(quoted: str) -> str:
    """A quoted text as a pattern."""
    return ".*".join(re.escape(piece) for piece in quoted.split("…"))


def how(quoted: str) -> str:
    """What causes it."""
    found = [code for begin, code in HOW.items() if quoted.startswith(begin)]
    assert len(found) == 1, f"{quoted}: {len(found)} ways to cause it"
    return found[0]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What was raised by all that can be caused in one process, each in a folder of its own."""
    codes = {quoted: how(quoted) for quoted in QUOTED if quoted not in NOT_HERE}
    codes = {q: code for q, code in codes.items() if not any(word in code for word in APART)}
    every = """
import json, tempfile
raised = {}
for quoted, code in json.loads(sys.stdin.read()).items():
    os.chdir(tempfile.mkdtemp(dir=sys.argv[1]))
    try:
        exec(code, dict(globals()))
    except Exception as error:
        raised[quoted] = str(error)
print(json.dumps(raised))
"""
    folder = tmp_path_factory.mktemp("together")
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + every, str(folder)],
        input=json.dumps(codes),
        capture_output=True,
        text=True,
        env=child_env(),
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(codes) > 80
    return dict(json.loads(ran.stdout))


@pytest.mark.parametrize("quoted", [quoted for quoted in QUOTED if quoted not in NOT_HERE])
def test_it_comes(quoted: str, together: dict[str, str], tmp_path: Path) -> None:
    if any(word in how(quoted) for word in APART):
        ran = run_child(BEGIN + how(quoted), expect=None, cwd=tmp_path)
        said = ran.stdout + ran.stderr
    else:
        said = together.get(quoted, "nothing was raised")
    assert re.search(words(quoted), " ".join(said.split())), said


def test_few_are_not_provoked() -> None:
    assert set(QUOTED) > NOT_HERE | NOT_OURS
    assert len(NOT_HERE) <= 8

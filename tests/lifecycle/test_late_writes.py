"""No memory on the heap is written after it was freed, the kernel's writes included.

An allocator that fills and keeps back what is freed is put under a child (.ci/sanitizers/canary.c):
it ends the process when the filling has changed. `nox -s canary` runs all tests over it.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.child import run_child

SANITIZERS = Path(__file__).parents[2] / ".ci" / "sanitizers"

pytestmark = [
    pytest.mark.once,
    pytest.mark.unsanitized("the sanitizer has an allocator of its own"),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the canary is put under glibc"),
]


@pytest.fixture(scope="module")
def over_the_canary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    library = tmp_path_factory.mktemp("canary") / "canary.so"
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run(["gcc", *options, str(SANITIZERS / "canary.c")], check=True)
    return {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"}


def test_a_late_write_of_the_kernel_is_noticed(over_the_canary: dict[str, str]) -> None:
    command = [sys.executable, str(SANITIZERS / "late_write.py")]
    env = {**os.environ, **over_the_canary}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert ran.returncode == -signal.SIGABRT, ran.stderr
    assert "written after free: bytes 50000 to 50010" in ran.stderr


# In each state requests are under way that will write, and nothing but they keeps their memory.
CODE = """
import contextlib, ctypes, gc, mmap, os, socket, sys, threading, time, warnings
import uring_rs

warnings.simplefilter("ignore")
path = sys.argv[1]
big = os.open(path, os.O_RDONLY)
direct = os.open(path, os.O_RDONLY | os.O_DIRECT)

def idle_reads(ring):
    read, write = os.pipe()
    for _ in range(8):
        ring.prep_read(read, bytearray(20_000))
    return lambda: os.write(write, b"X" * 60_000)

def workers(ring):
    for _ in range(4):
        ring.prep_read(big, bytearray(4 << 20), 0, flags=uring_rs.SqeFlags.ASYNC)
    return lambda: None

def direct_reads(ring):
    for at in range(4):
        # A whole page of it is aligned as direct reads want it.
        whole = bytearray((1 << 20) + 4096)
        skip = -address_of(whole) % 4096
        ring.prep_read(direct, memoryview(whole)[skip : skip + (1 << 20)], at << 20)
    return lambda: None

def messages(ring):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for _ in range(4):
        ring.prep_recvmsg(near, [bytearray(5_000), bytearray(5_000)])
    def refill(near=near, far=far):
        for _ in range(4):
            with contextlib.suppress(OSError):
                far.send(b"X" * 9_000)
    return refill

def address_of(buffer):
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))

def close(ring):
    ring.close()

def drop(ring):
    pass

def collect(ring):
    cycle = [ring]
    cycle.append(cycle)

def fail(ring):
    with contextlib.suppress(ZeroDivisionError), ring:
        1 / 0

refills = []
for state in (idle_reads, workers, direct_reads, messages):
    for end in (close, drop, collect, fail):
        for options in ({}, {"shared": True}):
            ring = uring_rs.Ring(8, **options)
            refill = state(ring)
            ring.submit()
            end(ring)
            del ring
            gc.collect()
            refills.append(refill)

deadline = time.monotonic() + 20
while uring_rs._uring._graveyard():
    assert time.monotonic() < deadline, "never finished"
    time.sleep(0.001)
for refill in refills:
    refill()
# Whatever the kernel still has to say to that memory, it says within half a second; the allocator
# looks at the end of the process.
time.sleep(0.5)
print("done")
"""


def test_what_requests_wrote_to_is_not_written_once_freed(
    over_the_canary: dict[str, str], tmp_path: Path
) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(range(256)) * (4 << 12))
    ran = run_child(CODE, str(big), env=over_the_canary, timeout=55)
    assert ran.stdout == "done\n"

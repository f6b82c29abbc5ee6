"""Nothing that was in memory before is ever shown: buffers of the library are zeroed, or exactly as
long as what was written into them. The allocators poison what they give out, so that a byte that
nobody wrote would be seen; kernels tell of less than there was room for."""

from __future__ import annotations

import pytest

from helpers.cases import run_cases

# What PYTHONMALLOC=debug fills fresh and freed memory with, and what MALLOC_PERTURB_ does. A
# sanitizer sees no pointers to what the former gives out.
ENVIRONMENT = {"PYTHONMALLOC": "debug", "MALLOC_PERTURB_": "165", "LEAKS_ARE_OTHERS": "yes"}


@pytest.mark.once
def test_no_byte_that_nobody_wrote() -> None:
    run_cases(
        """
import gc, mmap, os, select, socket, struct, sys, tempfile
import uring_rs
from uring_rs.testing import SimRing

folder = tempfile.mkdtemp()
path = os.path.join(folder, "file")
DATA = b"0123456789" * 500
with open(path, "wb") as file:
    file.write(DATA)
fd = os.open(path, os.O_RDWR)
ring = uring_rs.Ring(16)
POISON = {0xcd, 0xdd, 0xfd, 0xa5, 0x5a}

def dirty():
    # Memory of ours that others had before: freed with a pattern in it.
    gc.collect()
    for size in (64, 512, 4096, 65536, 1 << 20, 2 << 20):
        held = [bytearray(b"\\xa5" * size) for _ in range(4)]
        del held
    area = mmap.mmap(-1, 1 << 20)
    area.write(b"\\xa5" * (1 << 20))
    area.close()

def zeros(memory):
    return not any(memoryview(memory).cast("B"))

@case
def pools_are_zeroed():
    for _ in range(3):
        dirty()
        with uring_rs.AlignedPool(4, 5000) as pool:
            assert all(zeros(pool.acquire()) for _ in range(2))
        with ring.buffer_pool(4, 5000) as pool:
            assert all(zeros(pool.take()) for _ in range(2))
        with ring.buffer_ring(4, 4096, sending=True) as pool:
            assert zeros(pool.take())
        assert zeros(uring_rs.CqeArray(3000))
        assert all(zeros(buffer) for buffer in uring_rs.IoQueue(2, registered_buffers=3).buffers)
    region = ring.register_region(8192)
    assert zeros(region)

@case
def a_used_buffer_shows_what_its_own_pool_had():
    # Within a pool a buffer that was given back has what was last read into it: it is its owner's.
    with uring_rs.AlignedPool(1, 4096) as pool:
        with pool.acquire() as one:
            memoryview(one)[:6] = b"secret"
        assert memoryview(pool.acquire())[:6].tobytes() in (b"secret", bytes(6))
    with uring_rs.AlignedPool(1, 4096) as pool:
        assert zeros(pool.acquire())

@case
def records_behind_those_that_were_written():
    records = uring_rs.CqeArray(64)
    ring.prep_nop_batch(3, tag=5)
    ring.submit(wait=3)
    assert ring.reap_into(records) == 3
    assert zeros(memoryview(records).cast("B")[3 * 16:])
    assert records[5] == (0, 0, 0)

@case
def parts_that_the_kernel_chose():
    reader, writer = os.pipe()
    with ring.buffer_ring(2, 4096) as pool:
        os.write(writer, b"abc")
        ring.prep_read(reader, pool=pool, nbytes=4096)
        ring.submit(wait=1)
        with ring.pop().buffer as part:
            assert len(part) == 3 and bytes(part) == b"abc"
            assert memoryview(part).nbytes == 3
            # Nor through the view of the view.
            assert memoryview(memoryview(part)).obj is part
    os.close(reader), os.close(writer)

@case
def whole_files_and_ranges():
    with open(folder + "/empty", "w"):
        pass
    dirty()
    for _, data in uring_rs.read_many([path] * 20 + [folder + "/empty"]):
        assert data in (DATA, b"")
    views = uring_rs.read_ranges(path, [0, 4990, 6000], [10, 100, 5000])
    assert [bytes(view) for view in views] == [DATA[:10], DATA[4990:], b""]
    # What was not read stays as it was made: zeros.
    assert zeros(memoryview(views.out).cast("B")[20:])
    views = uring_rs.read_ranges([path, folder], [0, 0], 100, errors="yield")
    assert 1 in views.errors and bytes(views[1]) == b""
    assert zeros(memoryview(views.out).cast("B")[100:])
    for direct in (False, "auto"):
        for depth in (1, 8):
            dirty()
            chunks = uring_rs.stream(path, chunk=4096, depth=depth, direct=direct)
            found = [bytes(chunk) for chunk in chunks]
            assert b"".join(found) == DATA and [len(each) for each in found] == [4096, 904]

@case
def files_that_shrink_under_way():
    for _ in range(20):
        os.ftruncate(fd, 0), os.pwrite(fd, DATA, 0)
        def paths():
            yield path
            os.ftruncate(fd, 7)
            yield path
        for _, data in uring_rs.read_many(paths(), in_flight=1):
            assert DATA.startswith(data)
    os.ftruncate(fd, 0), os.pwrite(fd, DATA, 0)

@case
def what_the_kernel_answers_with():
    ours, theirs = socket.socketpair()
    dirty()
    ring.prep_getsockopt(ours, socket.SOL_SOCKET, socket.SO_RCVBUF, user_data="number")
    ring.prep_getsockopt(ours, socket.SOL_SOCKET, socket.SO_PEERCRED, 64, user_data="bytes")
    ring.prep_getsockname(ours, user_data="name")
    ring.submit(wait=3)
    for cqe in ring:
        if cqe.user_data == "bytes" and cqe.res >= 0:
            assert len(cqe.value) == struct.calcsize("3i")
        elif cqe.user_data == "number" and cqe.res >= 0:
            assert cqe.value == ours.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        elif cqe.res >= 0:
            assert cqe.address in ("", b"")
    try:
        os.setxattr(path, "user.a", b"value")
    except OSError:
        pass
    else:
        for prepare, what in ((ring.prep_fgetxattr, fd), (ring.prep_getxattr, path)):
            prepare(what, "user.a")
            ring.submit(wait=1)
            assert ring.pop().value == b"value"
    theirs.send(b"abc")
    target = bytearray(64)
    ring.prep_recvmsg(ours, [target], ancbufsize=256)
    ring.submit(wait=1)
    cqe = ring.pop()
    assert (cqe.res, cqe.ancdata, zeros(target[3:])) == (3, [], True)
    watcher = select.epoll()
    watcher.register(theirs, select.EPOLLOUT)
    ring.prep_epoll_wait(watcher, 16)
    ring.submit(wait=1)
    cqe = ring.pop()
    assert cqe.res < 0 or len(cqe.value) == 1, cqe.value
    watcher.close(), ours.close(), theirs.close()

@case
def saved_files_end_where_the_data_ends():
    # Through aligned buffers, whose last block is filled up.
    for size in (1, 4095, 4097, 1_000_001):
        dirty()
        target = folder + "/saved"
        for direct in (False, True):
            try:
                uring_rs.save(target, [b"x" * size], direct=direct, fsync=False, chunk=65536)
            except OSError as error:
                assert direct and error.errno == 22
                continue
            with open(target, "rb") as file:
                assert file.read() == b"x" * size

@case
def holes_and_short_reads_of_a_simulated_kernel():
    for seed in range(20):
        kernel = uring_rs.SimKernel(seed=seed)
        with uring_rs.Ring(8, kernel=kernel) as simulated:
            target = bytearray(b"\\x11" * 64)
            simulated.prep_read(3, target)
            simulated.submit(wait=1)
            cqe = simulated.pop()
            # Behind what it says it has read, nothing was changed.
            assert cqe.res <= 64
            assert target[max(cqe.res, 0):] == b"\\x11" * (64 - max(cqe.res, 0))

ring.close()
""",
        least=9,
        timeout=40,
        options=["-W", "ignore"],
        env=ENVIRONMENT,
    )

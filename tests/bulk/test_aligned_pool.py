"""AlignedPool: memory for direct I/O that is one user's at a time."""

from __future__ import annotations

import gc
import mmap
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import uring_rs


def test_buffers_are_aligned_zeroed_and_nobody_elses() -> None:
    pool = uring_rs.AlignedPool(4, 5000)
    assert (pool.count, pool.size, pool.available, pool.registered) == (4, 5000, 4, False)
    buffers = [pool.acquire() for _ in range(4)]
    places = [np.frombuffer(buffer, np.uint8).ctypes.data for buffer in buffers]
    assert len(set(places)) == 4
    assert all(place % mmap.PAGESIZE == 0 for place in places)
    for number, buffer in enumerate(buffers):
        assert bytes(buffer) == bytes(5000)
        memoryview(buffer)[:] = bytes([number + 1]) * 5000
    assert [bytes(b) for b in buffers] == [bytes([i]) * 5000 for i in range(1, 5)]
    with pytest.raises(BufferError, match="all 4 buffers"):
        pool.acquire()
    pool.release(buffers.pop())
    assert pool.available == 1
    assert "4 x 5000 bytes, 1 free" in repr(pool)
    # One that is collected goes back by itself.
    del buffer, buffers
    gc.collect()
    assert pool.available == 4


def test_nothing_goes_back_that_is_in_use() -> None:
    pool = uring_rs.AlignedPool(1, 4096)
    buffer = pool.acquire()
    view = memoryview(buffer)
    with pytest.raises(BufferError, match="memoryview"):
        buffer.release()
    array = np.asarray(buffer)
    view.release()
    with pytest.raises(BufferError):
        pool.release(buffer)
    del array
    with pytest.raises(ValueError, match="another pool"):
        uring_rs.AlignedPool(1, 4096).release(buffer)
    pool.release(buffer)
    with pytest.raises(ValueError, match="given back"):
        memoryview(buffer)
    with pool.acquire() as again:
        assert pool.available == 0
        assert len(again) == 4096
    assert pool.available == 1


def test_memory_outlives_the_pool() -> None:
    buffer = uring_rs.AlignedPool(2, 4096).acquire()
    gc.collect()
    view = memoryview(buffer)
    view[:3] = b"abc"
    del buffer
    gc.collect()
    assert view[:4] == b"abc\0"


def test_a_closed_pool() -> None:
    with uring_rs.AlignedPool(2, 4096) as pool:
        buffer = pool.acquire()
    with pytest.raises(ValueError, match="closed"):
        pool.acquire()
    memoryview(buffer)[0] = 1
    buffer.release()
    pool.close()


def test_arguments() -> None:
    pool: Any = uring_rs.AlignedPool
    for count, size in ((0, 1), (-1, 1), (16_385, 1), (1, 0), (1, (1 << 30) + 1)):
        with pytest.raises(ValueError, match="must be 1 to"):
            pool(count, size)
    with pytest.raises(TypeError):
        pool(1, 1, register="ring")


def test_many_threads(carrier: str) -> None:
    pool = uring_rs.AlignedPool(8, 64)
    wrong: list[object] = []

    def use(mark: int) -> None:
        for _ in range(200):
            try:
                buffer = pool.acquire()
            except BufferError:
                continue
            with buffer, memoryview(buffer) as view:
                view[:] = bytes([mark]) * 64
                if bytes(view) != bytes([mark]) * 64:
                    wrong.append(mark)

    threads = [threading.Thread(target=use, args=(i,)) for i in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.available == 8


@pytest.mark.requires_op("READ_FIXED")
def test_registered(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    fd = os.open(path, os.O_RDONLY)
    with uring_rs.Ring(4) as ring:
        pool = uring_rs.AlignedPool(2, 4096, register=ring)
        assert pool.registered
        assert "registered" in repr(pool)
        buffer = pool.acquire()
        ring.prep_read_fixed(fd, buffer, 0)
        ring.submit(wait=1)
        assert ring.pop().result() == 10
        assert bytes(buffer)[:10] == b"0123456789"
        ordinary = uring_rs.AlignedPool(1, 4096).acquire()
        with pytest.raises(ValueError, match="not registered"):
            ring.prep_read_fixed(fd, ordinary, 0)
        pool.close()
        assert not pool.registered
    os.close(fd)


def test_without_enough_locked_memory(run_child: Any) -> None:
    said = run_child(
        """
        import os, resource, uring_rs
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        try:
            ring = uring_rs.Ring(4)
        except uring_rs.UringUnavailable as error:
            print("refused", error)
            raise SystemExit
        with ring:
            pool = uring_rs.AlignedPool(64, 1 << 20, register=ring)
            print("registered" if pool.registered else "ordinary")
            with pool.acquire() as buffer:
                assert uring_rs.read_ranges("/proc/self/status", 0, 5, out=buffer)[0] == b"Name:"
        """
    )
    assert said.stdout.split()[0] in ("ordinary", "refused")

"""What IORING_FEAT_* promises, where no other test is about it."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import Pipe, one
from uring_rs import Features, Op, SqeFlags


@pytest.fixture(autouse=True)
def _has_it(request: pytest.FixtureRequest, ring: uring_rs.Ring) -> None:
    """Skips where the kernel lacks the feature that the test is named after."""
    name = request.node.originalname.removeprefix("test_").upper()
    feature = Features[name]
    if feature not in ring.features:
        pytest.skip(f"the running kernel lacks IORING_FEAT_{name}")


def ring_maps() -> int:
    return Path("/proc/self/maps").read_text().count("anon_inode:[io_uring]")


def test_single_mmap(make_ring: Callable[..., uring_rs.Ring]) -> None:
    """Both queues are in one mapping, the entries in another."""
    before = ring_maps()
    make_ring(8)
    assert ring_maps() == before + 2


def test_native_workers(ring: uring_rs.Ring, fd: int) -> None:
    """Workers are threads of this process, named after it."""
    threads = Path("/proc/self/task")
    ring.prep_read(fd, bytearray(8), 0, flags=SqeFlags.ASYNC)
    assert one(ring).res == 8
    names = [(thread / "comm").read_text() for thread in threads.iterdir()]
    assert any(name.startswith("iou-wrk-") for name in names), names


def test_poll_32bits(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """Events beyond 16 bits are not cut off: EPOLLEXCLUSIVE is refused with others, not unseen."""
    pipe.feed()
    ring.prep_poll_add(pipe.out, select.EPOLLIN | select.EPOLLONESHOT)
    assert one(ring).res == select.EPOLLIN
    left, right = socket.socketpair()
    with left, right:
        right.shutdown(socket.SHUT_WR)
        ring.prep_poll_add(left, select.EPOLLRDHUP)
        assert one(ring).res & select.EPOLLRDHUP


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_cur_personality(ring: uring_rs.Ring, tmp_path: Path) -> None:
    """Requests have the credentials of their submission, not those of the ring's making."""
    private = tmp_path / "private"
    private.write_bytes(b"secret")
    private.chmod(0o600)
    # Every folder on the way is root's own; this way leads through none of them.
    folder = os.open(tmp_path, os.O_PATH)
    try:
        os.seteuid(65534)
        try:
            ring.prep_openat("private", os.O_RDONLY, dir_fd=folder)
            refused = one(ring)
        finally:
            os.seteuid(0)
        assert refused.op == Op.OPENAT.name
        with pytest.raises(PermissionError):
            refused.result()
        ring.prep_openat("private", os.O_RDONLY, dir_fd=folder)
        os.close(one(ring).result())
    finally:
        os.close(folder)

"""FSYNC, as fsync and fdatasync, and SYNC_FILE_RANGE."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from conformance.kit import Pipe, failed, idle, one, several
from uring_rs import SqeFlags, SyncFileRangeFlags

pytestmark = pytest.mark.requires_op("FSYNC", "SYNC_FILE_RANGE")

RANGE = {"offset": 4096, "nbytes": 4096}


@pytest.mark.parametrize(
    ("method", "keywords", "op"),
    [
        ("prep_fsync", {}, "FSYNC"),
        ("prep_fsync", {"datasync": True}, "FSYNC"),
        ("prep_fsync", RANGE, "FSYNC"),
        ("prep_fdatasync", {}, "FSYNC"),
        ("prep_sync_file_range", {}, "SYNC_FILE_RANGE"),
        ("prep_sync_file_range", RANGE, "SYNC_FILE_RANGE"),
        ("prep_sync_file_range", {"sync_flags": 0}, "SYNC_FILE_RANGE"),
        ("prep_sync_file_range", {"sync_flags": SyncFileRangeFlags.WRITE}, "SYNC_FILE_RANGE"),
    ],
)
def test_result(
    ring: uring_rs.Ring, fd: int, method: str, keywords: dict[str, Any], op: str
) -> None:
    os.pwrite(fd, b"dirty", 0)
    getattr(ring, method)(fd, user_data="s", **keywords)
    cqe = one(ring)
    assert (cqe.user_data, cqe.result(), cqe.op) == ("s", 0, op)
    idle(ring)


def test_behind_the_write_it_covers(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_write(fd, b"data", 0, user_data="write", flags=SqeFlags.IO_LINK)
    ring.prep_fdatasync(fd, user_data="sync")
    assert [(cqe.user_data, cqe.result()) for cqe in several(ring, 2)] == [
        ("write", 4),
        ("sync", 0),
    ]


def test_read_only_descriptor_and_file_object(ring: uring_rs.Ring, path: Path) -> None:
    with path.open("rb") as file:
        ring.prep_fsync(file)
        assert one(ring).result() == 0


def test_files_that_cannot_be_synced(ring: uring_rs.Ring, pipe: Pipe) -> None:
    for prep in (ring.prep_fsync, ring.prep_fdatasync):
        prep(pipe.out)
        failed(one(ring), OSError, errno.EINVAL)
    ring.prep_sync_file_range(pipe.out)
    failed(one(ring), OSError, errno.ESPIPE)


def test_closed_descriptor(ring: uring_rs.Ring, closed_fd: int) -> None:
    for prep in (ring.prep_fsync, ring.prep_fdatasync, ring.prep_sync_file_range):
        prep(closed_fd)
        failed(one(ring), OSError, errno.EBADF)


def test_unknown_range_flags(ring: uring_rs.Ring, fd: int) -> None:
    ring.prep_sync_file_range(fd, sync_flags=8)
    failed(one(ring), OSError, errno.EINVAL)


@pytest.mark.parametrize("method", ["prep_fsync", "prep_sync_file_range"])
def test_bad_arguments(ring: uring_rs.Ring, fd: int, method: str) -> None:
    prep: Callable[..., object] = getattr(ring, method)
    with pytest.raises(ValueError, match="offset"):
        prep(fd, offset=-1)
    for nbytes in (-1, 2**32):
        with pytest.raises(ValueError, match="nbytes"):
            prep(fd, nbytes=nbytes)
    with pytest.raises(OverflowError):
        prep(fd, offset=2**63)
    with pytest.raises(ValueError, match="negative"):
        prep(-1)
    with pytest.raises(TypeError):
        prep("file")
    with pytest.raises(TypeError):
        prep(fd, nbytes="1")
    idle(ring)

"""Where a queue under test lives: the real kernel, threads in place of a ring, a simulated one."""

from __future__ import annotations

import os
from unittest import mock

import uring_rs
from uring_rs import IoQueue, SimKernel

BLOCK = 512
BLOCKS = 12


class World:
    """Files of zeroes, and a queue on them."""

    name = "ring"

    def __init__(self) -> None:
        self.fds: list[int] = []

    def queue(self, depth: int, **options: object) -> IoQueue:
        queue = IoQueue(depth, **options)  # type: ignore[arg-type]
        assert queue.backend == "io_uring"
        return queue

    def file(self) -> int:
        fd = os.memfd_create("queue")
        os.ftruncate(fd, BLOCK * BLOCKS)
        self.fds.append(fd)
        return fd

    def contents(self, fd: int) -> bytes:
        return os.pread(fd, BLOCK * BLOCKS, 0)

    def close_file(self, fd: int) -> None:
        self.fds.remove(fd)
        os.close(fd)

    def ring_from_outside(self, queue: IoQueue) -> None:
        os.eventfd_write(queue.wakeup_fd, 1)

    def faults_left(self) -> int:
        return 0

    def end(self) -> None:
        for fd in self.fds:
            os.close(fd)


class ThreadWorld(World):
    """Rings are not to be used."""

    name = "threads"

    def queue(self, depth: int, **options: object) -> IoQueue:
        with mock.patch.dict(os.environ, URING_RS_DISABLE="1"):
            queue = IoQueue(depth, **options)  # type: ignore[arg-type]
        assert queue.backend == "threads"
        return queue


class SimWorld(World):
    """A simulated kernel."""

    name = "sim"

    def __init__(self, seed: int = 1, **options: object) -> None:
        super().__init__()
        self.kernel = SimKernel(seed, **options)  # type: ignore[arg-type]
        self.names: dict[int, str] = {}

    def queue(self, depth: int, **options: object) -> IoQueue:
        return IoQueue(depth, kernel=self.kernel, **options)  # type: ignore[arg-type]

    def file(self) -> int:
        name = f"file{len(self.names)}"
        fd = self.kernel.file(name, bytes(BLOCK * BLOCKS))
        self.names[fd] = name
        self.fds.append(fd)
        return fd

    def contents(self, fd: int) -> bytes:
        found = self.kernel.contents(self.names[fd])
        assert found is not None
        return found

    def close_file(self, fd: int) -> None:
        self.fds.remove(fd)
        self.kernel.close(fd)

    def ring_from_outside(self, queue: IoQueue) -> None:
        self.kernel.feed(queue.wakeup_fd, (1).to_bytes(8, "little"))

    def faults_left(self) -> int:
        return self.kernel.faults_left

    def end(self) -> None:
        for fd in self.fds:
            self.kernel.close(fd)
        assert self.kernel.violations == []
        assert self.kernel.open_fds == []
        assert self.kernel.live_maps == 0
        assert self.kernel.in_flight == 0


def supported() -> bool:
    """Whether rings can be made here."""
    return uring_rs.is_supported()

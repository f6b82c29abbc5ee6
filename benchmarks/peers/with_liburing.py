"""liburing (Python and Zig over the C library): its functions are the C library's, one by one.

"tuned" is with SINGLE_ISSUER, DEFER_TASKRUN and the ring's descriptor registered.
"""

from __future__ import annotations

import importlib
import os
import select
import socket
from functools import partial
from itertools import repeat
from typing import Any

from harness.cells import Cell, Contestants, Measurement, Task, Unable
from harness.resident import resident_bytes
from harness.ticker import Busy, delayed_byte, longest_stall_ms
from harness.transfers import Transfer

L: Any = importlib.import_module("liburing")

TUNED = L.IORING_SETUP_SINGLE_ISSUER | L.IORING_SETUP_DEFER_TASKRUN


def new_ring(entries: int, tuned: bool) -> Any:
    ring = L.Ring()
    L.io_uring_queue_init(entries, ring, TUNED if tuned else 0)
    if tuned:
        L.io_uring_register_ring_fd(ring)
    return ring


class Nops(Cell):
    def __init__(self, task: Task, tuned: bool = False) -> None:
        self.unit = self.batch = task.number
        self.ring = new_ring(1024, tuned)
        self.cqe = L.Cqe()

    def prepare(self, ops: int) -> None:
        self.batches = ops // self.batch

    def run(self) -> None:
        get, prep, wait = L.io_uring_get_sqe, L.io_uring_prep_nop, L.io_uring_submit_and_wait
        completions, advance = L.CqeIter, L.io_uring_cq_advance
        ring, cqe, batch = self.ring, self.cqe, self.batch
        for _ in repeat(None, self.batches):
            for i in range(batch):
                sqe = get(ring)
                prep(sqe)
                sqe.user_data = i
            wait(ring, batch)
            count = 0
            for _n in completions(ring, cqe):
                entry = cqe[0]
                token, res = entry.user_data, entry.res  # noqa: F841
                count += 1
            advance(ring, count)

    def verify(self) -> None:
        for i in range(self.batch):
            sqe = L.io_uring_get_sqe(self.ring)
            L.io_uring_prep_nop(sqe)
            sqe.user_data = i + 1
        L.io_uring_submit_and_wait(self.ring, self.batch)
        got = []
        for _ in L.CqeIter(self.ring, self.cqe):
            got.append((self.cqe[0].user_data, self.cqe[0].res))
        L.io_uring_cq_advance(self.ring, len(got))
        if got != [(i + 1, 0) for i in range(self.batch)]:
            raise AssertionError(f"wrong completions: {got[:5]}...")

    def close(self) -> None:
        L.io_uring_queue_exit(self.ring)


class NopsOneByOne(Nops):
    """A batch of one is taken by peek and seen, which is quicker than the iterator."""

    def run(self) -> None:
        if self.batch > 1:
            super().run()
            return
        get, prep, wait = L.io_uring_get_sqe, L.io_uring_prep_nop, L.io_uring_submit_and_wait
        peek, seen = L.io_uring_peek_cqe, L.io_uring_cqe_seen
        ring, cqe = self.ring, self.cqe
        for _ in repeat(None, self.batches):
            sqe = get(ring)
            prep(sqe)
            sqe.user_data = 7
            wait(ring, 1)
            peek(ring, cqe)
            entry = cqe[0]
            token, res = entry.user_data, entry.res  # noqa: F841
            seen(ring, entry)


class Files(Transfer):
    def __init__(self, task: Task, writing: bool = False, tuned: bool = False) -> None:
        if task.direct:
            raise Unable("it takes bytearray and bytes only, and they are not aligned")
        super().__init__(task, writing)
        self.ring = new_ring(256, tuned)
        self.cqe = L.Cqe()
        self.prep: Any = L.io_uring_prep_write if writing else L.io_uring_prep_read
        self.buffers: list[Any] = list(self.slots)

    def arrange(self) -> None:
        self.batches = self.chunks()

    def fill(self, contents: list[bytes]) -> None:
        self.buffers = list(contents)

    def run(self) -> None:
        get, prep, wait = L.io_uring_get_sqe, self.prep, L.io_uring_submit_and_wait
        completions, advance = L.CqeIter, L.io_uring_cq_advance
        ring, cqe, fd, buffers = self.ring, self.cqe, self.fd, self.buffers
        if self.writing and isinstance(buffers[0], bytearray):
            buffers = [bytes(buffer) for buffer in buffers]
        for offsets in self.batches:
            for offset, buffer in zip(offsets, buffers):  # noqa: B905
                sqe = get(ring)
                prep(sqe, fd, buffer, offset)
                sqe.user_data = offset
            wait(ring, len(offsets))
            count = 0
            for _n in completions(ring, cqe):
                entry = cqe[0]
                token, res = entry.user_data, entry.res  # noqa: F841
                count += 1
            advance(ring, count)

    def close(self) -> None:
        L.io_uring_queue_exit(self.ring)
        super().close()


class FilesFixed(Files):
    """Tuned, with registered buffers."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, tuned=True)
        self.vector = L.Iovec(self.buffers)
        L.io_uring_register_buffers(self.ring, self.vector)

    def run(self) -> None:
        get, prep, wait = L.io_uring_get_sqe, L.io_uring_prep_read_fixed, L.io_uring_submit_and_wait
        completions, advance = L.CqeIter, L.io_uring_cq_advance
        ring, cqe, fd = self.ring, self.cqe, self.fd
        numbered = list(enumerate(self.buffers))
        for offsets in self.batches:
            for offset, (index, buffer) in zip(offsets, numbered):  # noqa: B905
                sqe = get(ring)
                prep(sqe, fd, buffer, index, offset)
                sqe.user_data = offset
            wait(ring, len(offsets))
            count = 0
            for _n in completions(ring, cqe):
                entry = cqe[0]
                token, res = entry.user_data, entry.res  # noqa: F841
                count += 1
            advance(ring, count)


class PingPong(Cell):
    unit = 2

    def __init__(self, task: Task) -> None:
        self.armed = task.cell == "armed"
        self.ring = new_ring(64, True)
        self.cqe = L.Cqe()
        self.left, self.right = socket.socketpair()
        self.out, self.into = bytes(range(64)), bytearray(64)

    def prepare(self, ops: int) -> None:
        self.turns = ops // 2

    def run(self) -> None:
        get, wait, ring, cqe = L.io_uring_get_sqe, L.io_uring_submit_and_wait, self.ring, self.cqe
        send, recv, submit = L.io_uring_prep_send, L.io_uring_prep_recv, L.io_uring_submit
        completions, advance = L.CqeIter, L.io_uring_cq_advance
        left, right, out, into = self.left.fileno(), self.right.fileno(), self.out, self.into
        for _ in repeat(None, self.turns):
            for here, there in ((left, right), (right, left)):
                if self.armed:
                    recv(get(ring), there, into)
                    submit(ring)
                    send(get(ring), here, out)
                else:
                    send(get(ring), here, out)
                    recv(get(ring), there, into)
                wait(ring, 2)
                for _n in completions(ring, cqe):
                    if cqe[0].res != 64:
                        raise OSError(-cqe[0].res, "message")
                advance(ring, 2)

    def verify(self) -> None:
        self.into[:] = bytes(64)
        self.prepare(2)
        self.run()
        if self.into != self.out:
            raise AssertionError("the message is not what was sent")

    def close(self) -> None:
        L.io_uring_queue_exit(self.ring)


class InFlight(Nops):
    """32768 entries, since its completion queue is always twice the submission queue."""

    def __init__(self, task: Task) -> None:
        self.held = task.number
        self.beside = task.cell.startswith("beside")
        super().__init__(Task("32"), tuned=True)
        L.io_uring_queue_exit(self.ring)
        self.ring = new_ring(32768, True)
        self.event = os.eventfd(0)
        self.unit = self.batch if self.beside else self.held
        if self.beside:
            self.arm()

    def arm(self) -> None:
        get, prep, ring, event = L.io_uring_get_sqe, L.io_uring_prep_poll_add, self.ring, self.event
        for i in range(self.held):
            sqe = get(ring)
            prep(sqe, event, select.POLLIN)
            sqe.user_data = i
        L.io_uring_submit(ring)

    def prepare(self, ops: int) -> None:
        self.times = ops // self.unit
        super().prepare(ops)

    def run(self) -> None:
        if self.beside:
            super().run()
            return
        ring, cqe, held, event = self.ring, self.cqe, self.held, self.event
        for _ in repeat(None, self.times):
            self.arm()
            os.eventfd_write(event, 1)
            L.io_uring_submit_and_wait(ring, held)
            count = 0
            for _n in L.CqeIter(ring, cqe):
                entry = cqe[0]
                token, res = entry.user_data, entry.res  # noqa: F841
                count += 1
            L.io_uring_cq_advance(ring, count)
            os.eventfd_read(event)
            if count != held:
                raise AssertionError(f"{count} of {held} completions")

    def close(self) -> None:
        super().close()
        os.close(self.event)


class Rings(Cell):
    def __init__(self, task: Task) -> None:
        self.unit = task.number
        self.rings = []
        for _ in range(task.number):
            ring = L.Ring()
            L.io_uring_queue_init(8, ring, TUNED)
            self.rings.append(ring)
        self.cqe = L.Cqe()

    def prepare(self, ops: int) -> None:
        self.times = ops // self.unit

    def run(self) -> None:
        rings, cqe = self.rings, self.cqe
        for _ in repeat(None, self.times):
            for ring in rings:
                sqe = L.io_uring_get_sqe(ring)
                L.io_uring_prep_nop(sqe)
                sqe.user_data = 7
                L.io_uring_submit_and_wait(ring, 1)
                L.io_uring_peek_cqe(ring, cqe)
                entry = cqe[0]
                token, res = entry.user_data, entry.res  # noqa: F841
                L.io_uring_cqe_seen(ring, entry)

    def verify(self) -> None:
        self.prepare(self.unit)
        self.run()

    def close(self) -> None:
        for ring in self.rings:
            L.io_uring_queue_exit(ring)


class OpenClose(Cell):
    def __init__(self, task: Task) -> None:
        self.entries = task.number

    def prepare(self, ops: int) -> None:
        self.times = ops

    def run(self) -> None:
        entries = self.entries
        for _ in repeat(None, self.times):
            ring = L.Ring()
            L.io_uring_queue_init(entries, ring, TUNED)
            L.io_uring_queue_exit(ring)

    def verify(self) -> None:
        Nops(Task("1"), tuned=True).verify()


class Memory(Measurement):
    def __init__(self, task: Task) -> None:
        self.of_ring = task.cell == "ring"

    def measure(self) -> float:
        if self.of_ring:
            new_ring(256, True)
            before = resident_bytes()
            rings = []
            for _ in range(200):
                ring = L.Ring()
                L.io_uring_queue_init(256, ring, TUNED)
                rings.append(ring)
            each = (resident_bytes() - before) / len(rings)
            for ring in rings:
                L.io_uring_queue_exit(ring)
            return each
        held = InFlight(Task("turnover 32768"))
        before = resident_bytes()
        held.arm()
        each = (resident_bytes() - before) / held.held
        held.close()
        return each


class OtherThreads(Measurement):
    def __init__(self, task: Task) -> None:
        self.task = task

    def measure(self) -> float:
        ring, cqe = new_ring(64, True), L.Cqe()
        buffers = [bytearray(1)]
        offsets, child = [0], None
        if self.task.cell == "wait":
            fd, child = delayed_byte(0.3)
        else:
            fd = os.open(self.task.file, os.O_RDONLY)
            buffers = [bytearray(4 << 20) for _ in range(64)]
            offsets = [i * (4 << 20) for i in range(64)]
        for offset, buffer in zip(offsets, buffers, strict=True):
            L.io_uring_prep_read(L.io_uring_get_sqe(ring), fd, buffer, offset)
        count = len(buffers)
        stall = longest_stall_ms(lambda: L.io_uring_submit_and_wait(ring, count))
        got = []
        for _ in L.CqeIter(ring, cqe):
            got.append(cqe[0].res)
        if got != [len(buffer) for buffer in buffers]:
            raise AssertionError("a read failed")
        L.io_uring_queue_exit(ring)
        os.close(fd)
        if child:
            child.wait()
        return stall


class BesideBusy(NopsOneByOne):
    def __init__(self, task: Task) -> None:
        super().__init__(Task("1"), tuned=True)
        self.busy = None if task.cell == "alone" else Busy()
        if self.busy:
            self.busy.__enter__()

    def close(self) -> None:
        if self.busy:
            self.busy.__exit__()
        super().close()


CONTESTANTS: Contestants = {
    "nop": {"": NopsOneByOne, "tuned": partial(NopsOneByOne, tuned=True)},
    "reads_cached": {"": Files, "tuned": partial(Files, tuned=True), "fixed": FilesFixed},
    "reads_direct": {"": Files},
    "writes_cached": {"": partial(Files, writing=True, tuned=True)},
    "pingpong": {"": PingPong},
    "in_flight": {"": InFlight},
    "rings": {"": Rings},
    "open_close": {"": OpenClose},
    "memory": {"": Memory},
    "other_threads": {"": OtherThreads},
    "busy_thread": {"": BesideBusy},
}

"""Cost and memory as requests in flight and rings become many."""

from __future__ import annotations

import os
import select
import statistics
import time
from itertools import repeat

from harness.cells import Cell, Contestants, Measurement, Task
from harness.resident import resident_bytes

from uring_rs import Ring

BATCH = 32


class InFlight(Cell):
    def __init__(self, task: Task) -> None:
        self.held = task.number
        self.beside = task.cell.startswith("beside")
        self.unit = BATCH if self.beside else self.held
        self.ring = Ring(1024, cq_entries=65536)
        self.event = os.eventfd(0)
        if self.beside:
            self.arm()

    def arm(self) -> None:
        prep, event = self.ring.prep_poll_add, self.event
        for i in range(self.held):
            prep(event, select.POLLIN, user_data=i)
        self.ring.submit()

    def prepare(self, ops: int) -> None:
        self.times = ops // self.unit

    def run(self) -> None:
        if self.beside:
            self.nops()
        else:
            self.turnover()

    def nops(self) -> None:
        ring, prep, submit = self.ring, self.ring.prep_nop, self.ring.submit
        for _ in repeat(None, self.times):
            for i in range(BATCH):
                prep(i)
            submit(BATCH)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841

    def turnover(self) -> None:
        ring, held, event = self.ring, self.held, self.event
        for _ in repeat(None, self.times):
            self.arm()
            os.eventfd_write(event, 1)
            ring.submit(held)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841
            os.eventfd_read(event)

    def verify(self) -> None:
        self.prepare(self.unit)
        self.run()
        if self.ring.in_flight != (self.held if self.beside else 0):
            raise AssertionError(f"{self.ring.in_flight} requests are in flight")

    def close(self) -> None:
        os.eventfd_write(self.event, 1)
        self.ring.submit(self.ring.in_flight)
        self.ring.close()
        os.close(self.event)


class Rings(Cell):
    def __init__(self, task: Task) -> None:
        self.unit = task.number
        self.rings = [Ring(8) for _ in range(task.number)]

    def prepare(self, ops: int) -> None:
        self.times = ops // self.unit

    def run(self) -> None:
        rings = self.rings
        for _ in repeat(None, self.times):
            for ring in rings:
                ring.prep_nop(7)
                ring.submit(1)
                for cqe in ring:
                    token, res = cqe.user_data, cqe.res  # noqa: F841

    def verify(self) -> None:
        self.prepare(self.unit)
        self.run()
        if any(ring.in_flight or ring.cq_ready for ring in self.rings):
            raise AssertionError("a completion was not taken")

    def close(self) -> None:
        for ring in self.rings:
            ring.close()


class OpenClose(Cell):
    def __init__(self, task: Task) -> None:
        self.entries = task.number

    def prepare(self, ops: int) -> None:
        self.times = ops

    def run(self) -> None:
        entries = self.entries
        for _ in repeat(None, self.times):
            Ring(entries).close()

    def verify(self) -> None:
        with Ring(self.entries) as ring:
            ring.prep_nop("token")
            ring.submit(1)
            if [(cqe.user_data, cqe.res) for cqe in ring] != [("token", 0)]:
                raise AssertionError("the ring does not work")


class Close(Measurement):
    """Nanoseconds of a close with requests in flight."""

    CLOSES = 5

    def __init__(self, task: Task) -> None:
        self.held = task.number

    def measure(self) -> float:
        event = os.eventfd(0)
        took = statistics.median(self.once(event) for _ in range(self.CLOSES))
        os.close(event)
        return took

    def once(self, event: int) -> int:
        ring = Ring(1024, cq_entries=65536)
        for _ in repeat(None, self.held):
            ring.prep_poll_add(event, select.POLLIN)
        ring.submit()
        start = time.perf_counter_ns()
        ring.close()
        return time.perf_counter_ns() - start


class Memory(Measurement):
    """Resident bytes per ring, or per waiting request in a ring that is there already."""

    RINGS = 200
    REQUESTS = 32768

    def __init__(self, task: Task) -> None:
        self.of_ring = task.cell == "ring"

    def measure(self) -> float:
        return self.per_ring() if self.of_ring else self.per_request()

    def per_ring(self) -> float:
        Ring(256).close()
        before = resident_bytes()
        rings = [Ring(256) for _ in range(self.RINGS)]
        each = (resident_bytes() - before) / self.RINGS
        for ring in rings:
            ring.close()
        return each

    def per_request(self) -> float:
        with Ring(1024, cq_entries=65536) as ring:
            ring.prep_nop()
            ring.submit(1)
            before = resident_bytes()
            event = os.eventfd(0)
            for _ in repeat(None, self.REQUESTS):
                ring.prep_poll_add(event, select.POLLIN)
            ring.submit()
            each = (resident_bytes() - before) / self.REQUESTS
            os.eventfd_write(event, 1)
            ring.submit(self.REQUESTS)
        os.close(event)
        return each


CONTESTANTS: Contestants = {
    "in_flight": {"": InFlight},
    "rings": {"": Rings},
    "open_close": {"": OpenClose},
    "close": {"": Close},
    "memory": {"": Memory},
}

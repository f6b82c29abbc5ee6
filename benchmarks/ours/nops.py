"""NOPs in every shape that uring_rs offers."""

from __future__ import annotations

from array import array
from itertools import repeat

from harness.cells import Cell, Contestants, Task

from uring_rs import CQE_SIZE, Ring, Sqe

ENTRIES = 1024


class Nops(Cell):
    """Batches of NOPs: how they are staged and taken is up to the subclass."""

    def __init__(self, task: Task) -> None:
        self.unit = self.batch = task.number
        self.ring = Ring(ENTRIES)
        self.batches = 0

    def prepare(self, ops: int) -> None:
        self.batches = ops // self.batch

    def verify(self) -> None:
        """One batch whose every token and result is looked at, then one of the timed kind."""
        for i in range(self.batch):
            self.ring.prep_nop(i)
        if self.ring.submit(self.batch) != self.batch:
            raise AssertionError("not all were submitted")
        got = [(token, res) for token, res, _ in self.ring]
        if got != [(i, 0) for i in range(self.batch)]:
            raise AssertionError(f"wrong completions: {got[:5]}...")
        self.prepare(self.batch)
        self.run()
        if self.ring.in_flight or self.ring.cq_ready:
            raise AssertionError("completions were left over")

    def close(self) -> None:
        self.ring.close()


class Read(Nops):
    """One call per operation; `user_data` and `res` of every completion are read."""

    def run(self) -> None:
        prep, submit, ring, batch = self.ring.prep_nop, self.ring.submit, self.ring, self.batch
        if batch == 1:
            for _ in repeat(None, self.batches):
                prep(7)
                submit(1)
                for cqe in ring:
                    token, res = cqe.user_data, cqe.res
            return
        for _ in repeat(None, self.batches):
            for i in range(batch):
                prep(i)
            submit(batch)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841


class Unpacked(Nops):
    """One call per operation; every completion is unpacked."""

    def run(self) -> None:
        prep, submit, ring, batch = self.ring.prep_nop, self.ring.submit, self.ring, self.batch
        for _ in repeat(None, self.batches):
            for i in range(batch):
                prep(i)
            submit(batch)
            for token, res, flags in ring:  # noqa: B007
                pass


class Unread(Nops):
    """One call per operation; the completions are taken and not looked at."""

    def run(self) -> None:
        prep, submit, ring, batch = self.ring.prep_nop, self.ring.submit, self.ring, self.batch
        for _ in repeat(None, self.batches):
            for i in range(batch):
                prep(i)
            submit(batch)
            for _cqe in ring:
                pass


class Pushed(Nops):
    """One Sqe, made once and pushed for every operation; every completion is read."""

    def run(self) -> None:
        push, submit, ring, batch = self.ring.push, self.ring.submit, self.ring, self.batch
        sqe = Sqe.nop(user_data=7)
        for _ in repeat(None, self.batches):
            for _i in repeat(None, batch):
                push(sqe)
            submit(batch)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841


class PushedMany(Nops):
    """A list of Sqe objects, made once and pushed in one call; every completion is read."""

    def run(self) -> None:
        push, submit, ring, batch = self.ring.push_many, self.ring.submit, self.ring, self.batch
        sqes = [Sqe.nop(user_data=i) for i in range(batch)]
        for _ in repeat(None, self.batches):
            push(sqes)
            submit(batch)
            for cqe in ring:
                token, res = cqe.user_data, cqe.res  # noqa: F841


class Bulk(Nops):
    """prep_nop_batch, submit, reap_into; the results are read from the records."""

    read = True

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.records = bytearray(CQE_SIZE * self.batch)
        self.results = memoryview(self.records).cast("i")[2::4]

    def run(self) -> None:
        prep, submit, reap, batch = (
            self.ring.prep_nop_batch,
            self.ring.submit,
            self.ring.reap_into,
            self.batch,
        )
        records, results = self.records, self.results if self.read else ()
        for _ in repeat(None, self.batches):
            prep(batch)
            submit(batch)
            if reap(records) != batch:
                raise AssertionError("completions are missing")
            for res in results:  # noqa: B007
                pass


class BulkUnread(Bulk):
    read = False


class Run(Nops):
    """run_nops: one call does a whole batch; its array of results is read."""

    read = True

    def run(self) -> None:
        run, batch = self.ring.run_nops, self.batch
        array_of_results = array("i", [1]) * batch
        results = array_of_results if self.read else ()
        for _ in repeat(None, self.batches):
            run(batch, results=array_of_results)
            for res in results:  # noqa: B007
                pass
        if any(array_of_results):
            raise AssertionError("a result is not there")


class RunUnread(Run):
    read = False


CONTESTANTS: Contestants = {
    "nop": {
        "": Read,
        "unpack": Unpacked,
        "unread": Unread,
        "push": Pushed,
        "push_many": PushedMany,
        "bulk": Bulk,
        "bulk-unread": BulkUnread,
        "run": Run,
        "run-unread": RunUnread,
    }
}

"""A disk for a virtual machine: a sparse image behind a queue, as a virtual-machine monitor has it.

The guest puts requests into a ring of its own and kicks the monitor, at any time and from any of
its processors; here each processor is a thread. The monitor's I/O thread does nothing but wait on
one `IoQueue`: for what has ended, which it tells the guest, or for a kick, on which it takes what
the guest has put there. So one system call waits for both, and a hundred kicks cost one wake-up.

A guest's flush is a barrier for what it knows to be written: what was completed before. That is
what fdatasync promises, so it needs no draining.

    python examples/block_device.py [seconds]
"""

from __future__ import annotations

import errno
import os
import random
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from uring_rs import IoOp, IoQueue, SubmissionQueueFull

SECTOR = 512
DEPTH = 64

Done = Callable[["Request", int], None]


@dataclass(eq=False)
class Request:
    """What a guest asks for: sectors, memory, and whom to tell."""

    op: IoOp
    sector: int
    memory: memoryview | None
    length: int
    done: Done
    moved: int = 0


class BlockDevice:
    """An image file as a disk of `sectors` sectors."""

    def __init__(self, path: str, sectors: int, **queue_options: object) -> None:
        self.sectors = sectors
        self.image = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(self.image, sectors * SECTOR)
            self.queue = IoQueue(DEPTH, **queue_options)  # type: ignore[arg-type]
        except BaseException:
            os.close(self.image)
            raise
        self.queue.register(self.image)
        self.kicks = 0
        self.wakeups = 0
        self.requests = 0
        # What the guest's processors have put there; append and popleft are atomic.
        self._guest_ring: deque[Request] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="block-device")
        self._thread.start()

    # The guest's side: any thread.

    def submit(self, request: Request) -> None:
        """Put a request into the guest's ring, and kick."""
        end = request.sector * SECTOR + request.length
        if request.sector < 0 or end > self.sectors * SECTOR:
            raise ValueError("beyond the end of the disk")
        self._guest_ring.append(request)
        self.kicks += 1
        self.queue.wakeup()

    # The monitor's side: one thread.

    def _run(self) -> None:
        busy = 0
        while busy or self._guest_ring or not self._stopping:
            busy += self._take()
            completions = self.queue.wait()
            self.wakeups += completions.interrupted
            for completion in completions:
                busy -= 1
                self._ended(completion.user, completion.res)

    def _take(self) -> int:
        """Take what the guest has put there, as far as there is room. How many were taken."""
        taken = 0
        while self._guest_ring:
            request = self._guest_ring.popleft()
            try:
                self._prepare(request)
            except SubmissionQueueFull:
                self._guest_ring.appendleft(request)
                break
            taken += 1
        while self.queue.prepared:
            # A commit may take fewer; what it took is under way meanwhile.
            self.queue.commit()
        return taken

    def _prepare(self, request: Request) -> None:
        offset = request.sector * SECTOR + request.moved
        if request.memory is not None:
            rest = request.memory[request.moved :]
            self.queue.prepare(request.op, self.image, offset, rest, request)
        elif request.op is IoOp.DISCARD:
            self.queue.prepare(request.op, self.image, offset, request.length, request)
        else:
            self.queue.prepare(request.op, self.image, user=request)

    def _ended(self, request: Request, res: int) -> None:
        if request.memory is not None and 0 < res < request.length - request.moved:
            # A disk knows no short transfers: the rest is another request.
            request.moved += res
            self._guest_ring.appendleft(request)
            self.queue.wakeup()
            return
        self.requests += 1
        short = request.memory is not None and res == 0 < request.length - request.moved
        request.done(request, -errno.EIO if short else min(res, 0))

    def close(self) -> None:
        """Finish what the guest asked for, and let go of the image."""
        self._stopping = True
        self.queue.wakeup()
        self._thread.join()
        self.queue.close()
        os.close(self.image)


class Processor:
    """One processor of the guest: random requests on its own part of the disk, checked.

    It keeps several requests under way, never two on the same sectors, and knows what each sector
    must hold.
    """

    def __init__(self, device: BlockDevice, first: int, sectors: int, seed: int) -> None:
        self.device, self.first, self.sectors = device, first, sectors
        self.random = random.Random(seed)
        self.reference = bytearray(sectors * SECTOR)
        self.busy: set[int] = set()
        self.room = threading.Condition()
        self.failures: list[str] = []
        self.counts = dict.fromkeys(IoOp, 0)

    def run(self, until: float) -> None:
        """Ask for one thing after the other until then."""
        while time.monotonic() < until and not self.failures:
            self.step()
        with self.room:
            self.room.wait_for(lambda: not self.busy)

    def step(self) -> None:
        """Ask for one thing."""
        op = self.random.choices(list(IoOp), [45, 45, 2, 5, 3])[0]
        count = self.random.randint(1, 16)
        start = self.random.randrange(self.sectors - count)
        sectors = set(range(start, start + count))
        with self.room:
            self.room.wait_for(lambda: len(self.busy) < 128 and not sectors & self.busy)
            self.busy |= sectors
        length = count * SECTOR
        place = slice(start * SECTOR, start * SECTOR + length)
        memory = None
        if op is IoOp.WRITE:
            memory = memoryview(self.random.randbytes(length))
        elif op is IoOp.READ:
            memory = memoryview(bytearray(length))

        def done(request: Request, result: int) -> None:
            with self.room:
                self.counts[op] += 1
                if result < 0:
                    self.failures.append(f"{op.name} of {length}: {os.strerror(-result)}")
                elif op is IoOp.READ and bytes(memory or b"") != self.reference[place]:
                    self.failures.append(f"sector {self.first + start} holds something else")
                elif op is IoOp.WRITE:
                    assert memory is not None
                    self.reference[place] = memory
                elif op is IoOp.DISCARD:
                    self.reference[place] = bytes(length)
                self.busy.difference_update(sectors)
                self.room.notify_all()

        self.device.submit(Request(op, self.first + start, memory, length, done))


def run(seconds: float, processors: int = 4, sectors: int = 4096, **options: object) -> str:
    """Let a guest use a disk for so long, and check the image afterwards. What was done, in words.

    Raises:
        AssertionError: a read, or the image, did not hold what was written.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "disk.img")
        device = BlockDevice(path, processors * sectors, **options)
        guest = [Processor(device, n * sectors, sectors, seed=n) for n in range(processors)]
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=each.run, args=(until,)) for each in guest]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            device.close()
        failures = [failure for each in guest for failure in each.failures]
        assert not failures, failures
        with open(path, "rb") as image:
            for each in guest:
                assert image.read(sectors * SECTOR) == each.reference, "the image differs"
        kinds = {op.name: sum(each.counts[op] for each in guest) for op in IoOp}
        words = ", ".join(f"{count} {name}" for name, count in kinds.items())
        return (
            f"{device.queue.backend}: {device.requests} requests ({words}), "
            f"{device.kicks} kicks, {device.wakeups} wake-ups; every sector as it should be"
        )


if __name__ == "__main__":
    print(run(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0))

"""More completions than a queue of two holds, from many sides at once: none is lost, none doubled.

PYTHONPATH=tests python -m load.storms --messages 1000000
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

import uring_rs

PATIENCE = 60.0


class Storm:
    """A shared ring with a completion queue of eight, and everything that can overrun it."""

    def __init__(self) -> None:
        self.ring = uring_rs.Ring(8, cq_entries=8, shared=True)
        self.got: Counter[tuple[str, int]] = Counter()
        self.arm: dict[str, Callable[[], object]] = {}
        self.overflows = 0
        self.armed_again = 0
        self.errors: list[BaseException] = []

    def start(self, what: str, arm: Callable[[], object]) -> None:
        """Arm a multishot request, and do it again whenever an overflow ends it."""
        self.arm[what] = arm
        arm()

    def watch(self, want: int, what: str, until: float = PATIENCE) -> None:
        """Reap, never much, until so many of this kind came."""
        deadline = time.monotonic() + until
        while self.total(what) < want:
            if time.monotonic() > deadline or self.errors:
                raise AssertionError(f"{self.total(what)} of {want} {what}: {self.errors}")
            self.ring.submit(wait=1, timeout=0.5)
            self.overflows += self.ring.cq_overflowed
            for cqe in self.ring.reap(4):
                self.take(cqe)

    def take(self, cqe: uring_rs.Completion) -> None:
        what = "message" if cqe.op == "MSG_RING" else cqe.user_data
        if what == "accept" and cqe.res >= 0:
            os.close(cqe.res)
            self.got[what, self.total(what)] += 1
        elif what == "recv" and cqe.buffer is not None:
            with cqe.buffer as view, memoryview(view) as data:
                self.got[what, int.from_bytes(data, "little")] += 1
        elif what == "message":
            self.got[what, cqe.res] += 1
        elif cqe.res > 0:
            self.got[what, 0] += 1
        if what in self.arm and not cqe.more:
            self.armed_again += 1
            self.arm[what]()

    def total(self, what: str) -> int:
        return sum(count for key, count in self.got.items() if key[0] == what)

    def thread(self, work: Callable[..., object], *args: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread


def messages(total: int, senders: int = 4) -> dict[str, int | float]:
    """Rings of other threads post to one that reads slowly."""
    storm = Storm()
    each = total // senders

    def send(first: int) -> None:
        with uring_rs.Ring(64) as ring:
            for start in range(first, first + each, 64):
                batch = range(start, min(start + 64, first + each))
                for number in batch:
                    ring.prep_msg_ring(storm.ring, res=number)
                ring.submit(wait=len(batch))
                for cqe in ring:
                    cqe.result()

    began = time.monotonic()
    with storm.ring:
        threads = [storm.thread(send, number * each) for number in range(senders)]
        storm.watch(each * senders, "message", PATIENCE + total / 200)
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        wanted = {("message", number): 1 for number in range(each * senders)}
        if storm.got != wanted:
            raise AssertionError("messages lost or doubled")
        if storm.ring.stray_completions:
            raise AssertionError(f"{storm.ring.stray_completions} stray completions")
    return {
        "messages": each * senders,
        "message_overflows": storm.overflows,
        "messages_per_second": round(each * senders / seconds),
    }


def multishots(turns: int) -> dict[str, int]:
    """Multishot polls, accepts and receives, all firing at once into eight entries."""
    storm = Storm()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    eventfd = os.eventfd(0)
    server = socket.create_server(("127.0.0.1", 0), backlog=1024)
    with left, right, server, storm.ring as ring:
        pool = ring.buffer_ring(4096, 16)
        storm.start("accept", lambda: ring.prep_multishot_accept(server, user_data="accept"))
        storm.start("recv", lambda: ring.prep_recv_multishot(left, pool, user_data="recv"))
        storm.start(
            "poll",
            lambda: ring.prep_poll_add(eventfd, select.POLLIN, multishot=True, user_data="poll"),
        )
        ring.submit()

        def fire() -> None:
            for turn in range(turns):
                socket.create_connection(server.getsockname()).close()
                right.send(turn.to_bytes(4, "little"))
                os.eventfd_write(eventfd, 1)

        shooter = storm.thread(fire)
        storm.watch(turns, "recv", PATIENCE + turns / 20)
        storm.watch(turns, "accept")
        storm.watch(1, "poll")
        shooter.join()
        received = {key: count for key, count in storm.got.items() if key[0] == "recv"}
        if received != {("recv", turn): 1 for turn in range(turns)}:
            raise AssertionError("datagrams lost or doubled")
        if storm.total("accept") != turns or storm.errors:
            raise AssertionError(f"{storm.total('accept')} of {turns} accepted; {storm.errors}")
        storm.arm.clear()
    os.close(eventfd)
    return {
        "multishot_turns": turns,
        "multishot_overflows": storm.overflows,
        "multishots_armed_again": storm.armed_again,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Overflow storms.")
    parser.add_argument("--messages", type=int, default=1_000_000)
    options = parser.parse_args()
    print(messages(options.messages))
    print(multishots(options.messages // 50))


if __name__ == "__main__":
    main()

"""Many threads at rings: what is submitted comes back once, whoever closes, drops or collects."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import uring_rs
from helpers.together import THREADS, together

pytestmark = [pytest.mark.requires_op("NOP", "READ"), pytest.mark.once]

ROUNDS = 100


@pytest.fixture
def zero() -> Iterator[int]:
    fd = os.open("/dev/zero", os.O_RDONLY)
    yield fd
    os.close(fd)


class Bag:
    """What came back, counted by whom it was for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.found: Counter[object] = Counter()

    def put(self, completions: list[uring_rs.Completion]) -> int:
        with self.lock:
            for cqe in completions:
                assert cqe.res >= 0, cqe
                self.found[cqe.user_data] += 1
            return self.found.total()


def test_what_all_submit_comes_back_once(zero: int) -> None:
    bag = Bag()
    buffers = [[bytearray(b"x" * 64) for _ in range(ROUNDS)] for _ in range(THREADS)]
    with uring_rs.Ring(32, shared=True) as ring:

        def work(number: int) -> None:
            for turn, buffer in enumerate(buffers[number]):
                ring.prep_read(zero, buffer, user_data=(number, turn))
                if turn % 3 == 0:
                    ring.submit()
                bag.put(ring.reap())
                if turn % 25 == number:
                    gc.collect()

        together(work)
        while bag.put(list(ring.completions(1, timeout=0.05))) < THREADS * ROUNDS:
            pass
    assert set(bag.found.values()) == {1}
    for buffer in (buffer for each in buffers for buffer in each):
        assert buffer == bytes(64)
        buffer.append(0)  # no export is left


def test_closed_by_one_while_all_use_it(zero: int) -> None:
    for turn in range(20):
        buffers: list[bytearray] = []
        ring = uring_rs.Ring(16, shared=True)

        def work(
            number: int,
            ring: uring_rs.Ring = ring,
            turn: int = turn,
            buffers: list[bytearray] = buffers,
        ) -> None:
            if number == 0:
                for _ in range(turn):
                    ring.prep_nop()
                ring.close()
                return
            with contextlib.suppress(uring_rs.RingClosed):
                while True:
                    buffer = bytearray(64)
                    buffers.append(buffer)
                    ring.prep_read(zero, buffer)
                    ring.submit(wait=number % 2)
                    ring.reap(4)

        together(work, 4)
        assert ring.closed
        ring.reap()
        for buffer in buffers:
            buffer.append(0)


def test_rings_of_their_own_made_and_dropped(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"contents")

    def work(_: int) -> None:
        for turn in range(ROUNDS // 4):
            ring = uring_rs.Ring(8)
            # A cycle through a token: only the collector ends it, in whatever thread.
            ring.prep_nop(user_data=[ring])
            ring.submit(wait=1)
            if turn % 2:
                ring.close()
            del ring
            if turn % 8 == 0:
                gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        together(work)
        gc.collect()
    assert uring_rs._uring._graveyard() == 0  # type: ignore[attr-defined]


def test_a_ring_ends_elsewhere_while_its_thread_closes_files() -> None:
    # The handles know the ring, but do not keep it: its last reference goes in another thread.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for _ in range(40):
            ready, go = threading.Event(), threading.Event()
            # Made here, since without a GIL an object comes to its end in the thread that made it;
            # used first there.
            rings = [uring_rs.Ring(4)]

            def own(
                rings: list[uring_rs.Ring] = rings,
                ready: threading.Event = ready,
                go: threading.Event = go,
            ) -> None:
                table = rings[0].register_files(8)
                slots = [table.reserve(slot) for slot in range(8)]
                del table
                ready.set()
                go.wait()
                while slots:
                    slots.pop().close()

            thread = threading.Thread(target=own)
            thread.start()
            ready.wait()
            go.set()
            rings.clear()
            thread.join()
        gc.collect()


def test_a_file_table_is_closed_once() -> None:
    with uring_rs.Ring(8, shared=True) as ring:
        for _ in range(ROUNDS // 2):
            table = ring.register_files(4)
            together(lambda _, table=table: table.close(), 4)  # type: ignore[misc]
            assert table.closed
            assert ring.files is None


def test_an_entry_that_the_kernel_writes_into_is_in_flight_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    bag = Bag()
    with uring_rs.Ring(64, shared=True) as ring:
        sqe = uring_rs.Sqe.statx(path, user_data="stat")

        def work(_: int) -> None:
            for _ in range(ROUNDS):
                with contextlib.suppress(BufferError):
                    ring.push(sqe)
                ring.submit()
                taken = ring.reap()
                assert all(cqe.value.st_size == 5 for cqe in taken)
                bag.put(taken)

        together(work, 4)
        while ring.in_flight:
            ring.wait(1, timeout=0.05)
            bag.put(ring.reap())
        bag.put(ring.reap())
    assert bag.found["stat"] >= 1


@pytest.mark.requires_op("PIPE")
def test_one_completion_asked_by_all() -> None:
    for _ in range(20):
        with uring_rs.Ring(8) as ring:
            ring.prep_pipe()
            cqe = ring.wait_cqe()
            seen: set[object] = set()
            parts: list[object] = []
            shared_iterator = iter(cqe)

            def ask(
                _: int,
                cqe: uring_rs.Completion = cqe,
                iterator: Iterator[object] = shared_iterator,
                seen: set[object] = seen,
                parts: list[object] = parts,
            ) -> None:
                seen.add(cqe.value)
                assert cqe.address is None
                assert cqe.buffers == []
                parts.extend(iterator)
                assert "Completion" in repr(cqe)

            together(ask, 4)
            assert len(seen) == 1
            assert len(parts) >= 3
            for fd in cqe.value:
                os.close(fd)


def test_connections_of_one_accept_reaped_by_all() -> None:
    count = 48
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        ring = uring_rs.Ring(64, shared=True)
        with ring:
            ring.register_files(count)
            request = ring.prep_multishot_accept(listener, direct=True, user_data="m")
            ring.submit()
            files: list[uring_rs.DirectFile] = []
            clients: list[socket.socket] = []
            lock = threading.Lock()

            def work(number: int) -> None:
                if number < 2:
                    for _ in range(count // 2):
                        clients.append(socket.create_connection(listener.getsockname()))
                    return
                while len(files) < count:
                    taken = [cqe.value for cqe in ring.completions(1, timeout=0.05)]
                    with lock:
                        files.extend(taken)

            together(work, 6)
            assert sorted(file.slot for file in files) == list(range(count))
            assert ring.is_live(request)
            files.clear()
            for client in clients:
                # Closed with its handle, which nobody has any more.
                assert client.recv(1) == b""
                client.close()


def test_what_a_shot_brought_is_kept_when_its_request_ends_first() -> None:
    # While completions are on their way to be seen, letting go of another request's file runs code
    # that ends the accept: what it had accepted by then has an owner all the same.
    class File:
        def __init__(self, fd: int) -> None:
            self.fd = fd

        def fileno(self) -> int:
            return self.fd

        def __del__(self) -> None:
            ring.prep_cancel(request, user_data="cancel")
            ring.submit(wait=2)
            inner.extend(ring.reap())
            os.close(self.fd)

    inner: list[uring_rs.Completion] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, uring_rs.Ring(8) as ring:
        ring.register_files(2)
        client = socket.create_connection(listener.getsockname())
        ring.prep_read(File(os.open("/dev/zero", os.O_RDONLY)), bytearray(1), user_data="read")
        request = ring.prep_multishot_accept(listener, direct=True, user_data="accept")
        ring.submit()
        outer = list(ring.completions(2))
        found = {cqe.user_data: cqe for cqe in outer if cqe.more or cqe.user_data == "read"}
        assert not ring.is_live(request)
        assert isinstance(found["accept"].value, uring_rs.DirectFile)
        assert not found["accept"].value.closed
        found["accept"].value.close()
        assert client.recv(1) == b""
        client.close()
        del found, outer
        inner.clear()

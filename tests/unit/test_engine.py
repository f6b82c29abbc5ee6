"""The engine of the commands over a kernel that answers late, short, interrupted, out of order."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from uring_rs.cli import cat
from uring_rs.cli.engine import LARGE, SMALL, Engine, Task, read_file
from uring_rs.cli.messages import Reporter
from uring_rs.cli.transport import CURRENT, Op

RANDOM = random.Random(1).randbytes(10_000_000)
MOST = 128  # what a ring of 64 entries takes at once


class Whimsical:
    """A transport that does what a kernel may do, as seldom as it may do it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.begun: list[Op] = []
        self.most = 0
        self.closed = False
        self.fail: dict[int, int] = {}  # errno by offset

    def start(self, op: Op) -> None:
        assert not self.closed
        self.begun.append(op)
        self.most = max(self.most, len(self.begun))
        assert len(self.begun) <= MOST

    def wait(self) -> Iterator[tuple[Op, int]]:
        assert self.begun, "would wait for ever"
        self.random.shuffle(self.begun)
        count = self.random.randint(1, len(self.begun))
        batch, self.begun = self.begun[:count], self.begun[count:]
        for op in batch:
            yield op, self.result(op)

    def result(self, op: Op) -> int:
        whim = self.random.random()
        if whim < 0.1:
            return -self.random.choice([errno.EINTR, errno.EAGAIN])
        views, position = op.rest(), op.position()
        if position in self.fail:
            return -self.fail[position]
        if whim < 0.4:
            cut = self.random.randint(1, len(views[0]))
            # Not just where the file was expected to end: there a short read counts as its end.
            views = [views[0][: cut + (op.done + cut == op.enough)]]
        if op.writing:
            return (
                os.writev(op.fd, views)
                if position == CURRENT
                else os.pwritev(op.fd, views, position)
            )
        return os.readv(op.fd, views) if position == CURRENT else os.preadv(op.fd, views, position)

    def close(self) -> None:
        self.closed = True
        self.begun.clear()


sizes = st.one_of(
    st.integers(0, 300),
    st.sampled_from(
        [SMALL - 1, SMALL, SMALL + 1, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE, 5_000_001]
    ),
    st.integers(0, 2_000_000),
)
# What fstat said beforehand, against what there is: the file grew, shrank, or is of /proc.
errors_of_size = st.sampled_from([0, 0, 0, 1, -1, LARGE, -LARGE, SMALL, -SMALL, 10**7, -(10**7)])
some = settings(max_examples=100)


def content(size: int) -> bytes:
    """Bytes that differ from those of other sizes, and from their own neighbourhood."""
    return RANDOM[size % 9973 :][:size]


@some
@given(st.lists(st.tuples(sizes, errors_of_size), max_size=20), st.integers())
def test_files_are_read_whole_and_in_order(files: list[tuple[int, int]], seed: int) -> None:
    transport = Whimsical(seed)
    results: dict[int, bytes] = {}

    def job(number: int, fd: int, told: int) -> Task:
        parts: list[bytes] = []
        total = yield from read_file(
            engine, fd, b"path", told, lambda view: parts.append(bytes(view))
        )
        results[number] = b"".join(parts)
        assert total == len(results[number])

    with tempfile.TemporaryDirectory() as folder:
        opened = []
        for number, (size, _) in enumerate(files):
            Path(folder, str(number)).write_bytes(content(size))
            opened.append(os.open(f"{folder}/{number}", os.O_RDONLY))
        with Engine(transport) as engine:
            engine.run(
                job(number, opened[number], max(0, size + wrong))
                for number, (size, wrong) in enumerate(files)
            )
        for fd in opened:
            os.close(fd)
    assert transport.closed
    for number, (size, _) in enumerate(files):
        assert results[number] == content(size), number


@some
@given(
    st.lists(st.tuples(sizes, st.sampled_from([0, 0, 1, SMALL, 10**6])), max_size=30),
    st.integers(),
)
def test_cat_keeps_the_order(files: list[tuple[int, int]], seed: int) -> None:
    """Also of files that grow between being opened and being read."""
    transport = Whimsical(seed)
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, (size, _) in enumerate(files):
            path = Path(folder, str(number))
            path.write_bytes(content(size))
            names += [os.fsencode(path), b"/none"][: 2 if number % 7 == 0 else 1]
        out = os.open(f"{folder}/out", os.O_RDWR | os.O_CREAT)
        said: list[str] = []
        report = Reporter("cat")
        report.print = said.append
        growth = dict(enumerate(extra for _, extra in files))

        class Growing(Whimsical):
            def start(self, op: Op) -> None:
                name = os.path.basename(os.readlink(f"/proc/self/fd/{op.fd}"))
                if name.isdigit() and (extra := growth.pop(int(name), 0)):
                    with open(f"{folder}/{name}", "ab") as file:
                        file.write(content(extra))
                super().start(op)

        transport = Growing(seed)
        with Engine(transport) as engine:
            engine.run([cat._Cat(engine, names, out, report).job()])
        os.close(out)
        expected = b"".join(content(size) + content(extra) for size, extra in files)
        assert Path(folder, "out").read_bytes() == expected
    assert len(said) == sum(number % 7 == 0 for number in range(len(files)))


@some
@given(sizes, st.integers(0, 5_000_000), st.integers(0, 20), st.integers())
def test_cat_of_a_file_that_shrinks_gives_a_beginning_of_it(
    size: int, left: int, when: int, seed: int
) -> None:
    """Never a piece from behind the new end after the piece that met it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content(size))
        out = os.open(f"{folder}/out", os.O_RDWR | os.O_CREAT)

        class Shrinking(Whimsical):
            reads = 0

            def result(self, op: Op) -> int:
                self.reads += not op.writing
                if self.reads == when and left < size:
                    os.truncate(path, left)
                return super().result(op)

        report = Reporter("cat")
        with Engine(Shrinking(seed)) as engine:
            engine.run([cat._Cat(engine, [os.fsencode(path)], out, report).job()])
        os.close(out)
        written = Path(folder, "out").read_bytes()
    assert not report.failed
    assert len(written) >= min(size, left)
    assert written == content(size)[: len(written)]


def test_an_error_ends_one_job_and_frees_its_buffers(tmp_path: Path) -> None:
    """A hundred jobs that fail in the middle leave enough for the next to go on."""
    path = tmp_path / "file"
    path.write_bytes(bytes(20 * LARGE))
    fd = os.open(path, os.O_RDONLY)
    transport = Whimsical(1)
    transport.fail = {5 * LARGE: errno.EIO}
    failed = []

    def job() -> Task:
        with pytest.raises(OSError, match="name") as caught:
            yield from read_file(engine, fd, b"name", 20 * LARGE, len)
        failed.append((caught.value.errno, caught.value.filename))

    with Engine(transport) as engine:
        engine.run(job() for _ in range(100))
        assert failed == [(errno.EIO, b"name")] * 100
        buffers = [engine.grab(LARGE) for _ in range(17)]
        assert buffers.pop() is None
        assert None not in buffers
    os.close(fd)


def test_an_interruption_closes_the_transport_before_the_jobs(tmp_path: Path) -> None:
    transport = Whimsical(1)
    order: list[str] = []

    def job() -> Task:
        try:
            engine.read(0, memoryview(bytearray(8)), 0)
            yield
        finally:
            order.append("job" if transport.closed else "too early")

    def interrupted() -> Iterator[Task]:
        yield job()
        yield job()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Engine(transport) as engine:
        engine.run(interrupted())
    assert order == ["job", "job"]

"""Direct descriptors: the file table, its handles, and the operations that make and use them."""

from __future__ import annotations

import errno
import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, failed, idle, one, results, several
from uring_rs import FixedFdFlags, Sqe, SqeFlags

pytestmark = pytest.mark.requires_op("OPENAT", "CLOSE", "FILES_UPDATE")

SLOTS = 8


@pytest.fixture
def table(ring: uring_rs.Ring) -> Iterator[uring_rs.FileTable]:
    return ring.register_files(SLOTS)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def opened(ring: uring_rs.Ring, path: Path, flags: int = os.O_RDWR) -> uring_rs.DirectFile:
    """A direct descriptor of the file, in a slot of the kernel's choice."""
    ring.prep_openat(path, flags, direct=True)
    cqe = one(ring)
    assert cqe.result() == cqe.value.slot
    file = cqe.value
    assert isinstance(file, uring_rs.DirectFile)
    return file


def content(ring: uring_rs.Ring, file: uring_rs.DirectFile, nbytes: int = 8) -> bytes:
    """The first bytes of it."""
    buf = bytearray(nbytes)
    ring.prep_read(file, buf, 0)
    return bytes(buf[: one(ring).result()])


def hung_up(fd: int) -> bool:
    """Whether nobody has the other end of a pipe or socket (which takes a moment to be told)."""
    import select

    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(5000))


# --- the table


def test_sparse(ring: uring_rs.Ring, table: uring_rs.FileTable) -> None:
    assert (len(table), table.closed, table.alloc_range) == (SLOTS, False, (0, SLOTS))
    assert [table[slot] for slot in range(SLOTS)] == [None] * SLOTS
    for slot in (SLOTS, -1):
        with pytest.raises(IndexError):
            table[slot]
    assert ring.files is not None
    assert len(ring.files) == SLOTS
    assert repr(table) == "<FileTable of 8 slots>"
    table.close()
    table.close()  # once more does nothing
    assert table.closed
    assert ring.files is None
    assert table[0] is None
    assert repr(table) == "<FileTable of 8 slots (closed)>"


def test_files_of_the_table(ring: uring_rs.Ring, path: Path, pipe: Pipe) -> None:
    fd = os.open(path, os.O_RDONLY)
    with open(path, "rb") as file:
        table = ring.register_files([fd, None, file, pipe.into])
        os.close(fd)
    assert table[1] is None
    for slot in (0, 2):
        direct = table[slot]
        assert direct is not None
        assert (direct.slot, direct.closed, direct.reserved) == (slot, False, False)
        assert content(ring, direct) == CONTENT[:8]
        # A handle of the table's own file does not take it along.
        del direct
        gc.collect()
        direct = table[slot]
        assert direct is not None
    pipe_in = table[3]
    assert pipe_in is not None
    ring.prep_write(pipe_in, b"hello")
    assert one(ring).result() == 5
    assert os.read(pipe.out, 9) == b"hello"


def test_unregister_and_register_again(ring: uring_rs.Ring, fd: int) -> None:
    table = ring.register_files([fd])
    old = table[0]
    assert old is not None
    with pytest.raises(ValueError, match="file table already"):
        ring.register_files(4)
    ring.unregister_files()
    assert table.closed
    assert old.closed
    with pytest.raises(ValueError, match="closed"):
        ring.prep_read(old, bytearray(1), 0)
    with pytest.raises(ValueError, match="no file table"):
        ring.unregister_files()
    for use in (lambda: table.reserve(), lambda: table.update(0, [fd]), table.__enter__):
        with pytest.raises(ValueError, match="closed"):
            use()
    with ring.register_files([fd]) as table:
        assert table[0] is not None
        with pytest.raises(ValueError, match="closed"):
            ring.prep_read(old, bytearray(1), 0)
    assert ring.files is None
    idle(ring)


def test_update(ring: uring_rs.Ring, table: uring_rs.FileTable, fd: int, pipe: Pipe) -> None:
    first, second = table.update(2, [fd, fd])
    assert first is not None
    assert second is not None
    assert (first.slot, second.slot) == (2, 3)
    assert content(ring, first) == content(ring, second) == CONTENT[:8]
    made = ring.register_files_update(1, [None, uring_rs.REGISTER_FILES_SKIP, None, pipe.into])
    assert [handle and handle.slot for handle in made] == [None, None, None, 4]
    assert content(ring, first) == CONTENT[:8]
    assert table[3] is None
    with pytest.raises(ValueError, match="stale"):
        ring.prep_read(second, bytearray(1), 0)
    # The same file again is another occupant.
    (third,) = table.update(2, [fd])
    assert third is not None
    assert first.closed
    with pytest.raises(ValueError, match="stale"):
        ring.prep_read(first, bytearray(1), 0)
    assert content(ring, third) == CONTENT[:8]
    assert table.update(0, []) == []


def test_update_of_what_is_in_use(
    ring: uring_rs.Ring, table: uring_rs.FileTable, fd: int, pipe: Pipe
) -> None:
    (file,) = table.update(0, [pipe.out])
    assert file is not None
    buf = bytearray(4)
    ring.prep_read(file, buf)
    for submit in (False, True):
        if submit:
            ring.submit()
        for change in (lambda: table.update(0, [fd]), table.close):
            with pytest.raises(ValueError, match="uses? "):
                change()
    pipe.feed(b"data")
    assert one(ring).result() == 4
    assert table.update(0, [fd])[0] is not None


def test_update_stops_at_a_bad_file(
    ring: uring_rs.Ring, table: uring_rs.FileTable, fd: int, closed_fd: int
) -> None:
    with pytest.raises(uring_rs.UringError) as caught:
        table.update(0, [fd, closed_fd, fd])
    assert caught.value.errno == errno.EBADF
    assert [table[slot] is not None for slot in range(3)] == [True, False, False]


def test_bad_tables(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    for count in (0, -1, 2**20 + 1, 2**62):
        with pytest.raises(ValueError, match="1 to 1048576"):
            ring.register_files(count)
    with pytest.raises(ValueError, match="1 to 1048576"):
        ring.register_files([])
    with pytest.raises(ValueError, match="skip"):
        ring.register_files([uring_rs.REGISTER_FILES_SKIP])
    for wrong in (None, 1.5, "x", [1.5], ["x"]):
        with pytest.raises(TypeError):
            ring.register_files(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        ring.register_files([-1])
    with pytest.raises(uring_rs.UringError) as caught:
        ring.register_files([fd, closed_fd])
    assert caught.value.errno == errno.EBADF
    assert ring.files is None
    with pytest.raises(ValueError, match="no file table"):
        ring.register_files_update(0, [fd])
    table = ring.register_files([fd])
    for slot in (1, 2**31, -1):
        with pytest.raises(IndexError):
            table.update(slot, [fd])
    with pytest.raises(IndexError):
        table.update(0, [fd, fd])
    with pytest.raises(uring_rs.UringError):
        table.update(0, [ring])  # the kernel registers no rings
    idle(ring)


# --- made by requests


def test_open(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    ring.prep_openat(path, direct=True, user_data="o")
    cqe = one(ring)
    file = cqe.value
    assert (cqe.user_data, cqe.result()) == ("o", file.slot)
    assert cqe.value is file
    assert set(os.listdir("/proc/self/fd")) == before
    assert content(ring, file) == CONTENT[:8]
    assert repr(file) == f"<DirectFile slot={file.slot}>"
    file.close()
    file.close()  # once more does nothing
    assert file.closed
    assert repr(file) == f"<DirectFile slot={file.slot} (closed)>"
    with pytest.raises(ValueError, match="stale|closed"):
        ring.prep_read(file, bytearray(1), 0)
    assert table[file.slot] is None
    idle(ring)


def test_open_without_direct(ring: uring_rs.Ring, path: Path) -> None:
    for direct in (None, False):
        ring.prep_openat(path, direct=direct)
        cqe = one(ring)
        assert cqe.value is None
        assert not os.get_inheritable(cqe.result())
        os.close(cqe.result())


def test_failed_open(ring: uring_rs.Ring, table: uring_rs.FileTable, tmp_path: Path) -> None:
    table.set_alloc_range(0, 4)
    slot = table.reserve()
    for direct in (True, slot):
        ring.prep_openat(tmp_path / "absent", direct=direct)
        cqe = one(ring)
        failed(cqe, FileNotFoundError, errno.ENOENT)
        assert cqe.value is None
    assert [table[number] for number in range(4)] == [None] * 4
    table.close()


def test_full_table(ring: uring_rs.Ring, path: Path) -> None:
    ring.register_files(2)
    kept = [opened(ring, path), opened(ring, path)]
    assert sorted(file.slot for file in kept) == [0, 1]
    ring.prep_openat(path, direct=True)
    failed(one(ring), OSError, errno.ENFILE)
    kept.pop()
    assert opened(ring, path).slot in (0, 1)


def test_dropped_is_closed(ring: uring_rs.Ring, table: uring_rs.FileTable, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    out = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    file = opened(ring, fifo, os.O_WRONLY)
    slot = file.slot
    del file
    gc.collect()
    assert hung_up(out)
    assert table[slot] is None
    os.close(out)


def test_with(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    with opened(ring, path) as file:
        assert content(ring, file) == CONTENT[:8]
    assert file.closed
    with pytest.raises(ValueError, match="stale|closed"):
        file.__enter__()


def test_unclaimed_are_closed(
    shared: bool, ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path
) -> None:
    """Swallowed, discarded and unread completions leave no slot taken."""
    ring.prep_openat(path, direct=True, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("seen", flags=SqeFlags.IO_DRAIN)
    assert one(ring).user_data == "seen"
    ring.prep_openat(path, direct=True)
    cqe = one(ring)
    del cqe
    gc.collect()
    ring.prep_openat(path, direct=True)
    assert ring.discard() == 1
    assert [table[slot] for slot in range(SLOTS)] == [None] * SLOTS
    table.set_alloc_range(0, 1)
    file = opened(ring, path)
    assert file.slot == 0


def test_never_descriptor_zero(shared: bool, path: Path, tmp_path: Path) -> None:
    """A slot's number is no descriptor: dropping an unread completion closes nothing else."""
    before = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)}
    ring = uring_rs.Ring(4, shared=shared)
    ring.register_files(3)
    for _ in range(3):
        ring.prep_openat(path, direct=True)
    ring.wait(3)
    ring.close()
    del ring
    gc.collect()
    assert {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)} == before


def test_no_table(ring: uring_rs.Ring, path: Path) -> None:
    with pytest.raises(ValueError, match="no file table"):
        ring.prep_openat(path, direct=True)
    sqe = Sqe.openat(path, direct=True)
    with pytest.raises(ValueError, match="no file table"):
        ring.push(sqe)
    idle(ring)
    # Nothing of the refusal stays behind in the slot.
    ring.prep_nop("n")
    assert one(ring).user_data == "n"


def test_bad_direct(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path, fd: int) -> None:
    for wrong in (1, 0, "x", path):
        with pytest.raises(TypeError, match="reserved DirectFile"):
            ring.prep_openat(path, direct=wrong)  # type: ignore[arg-type]
    (file,) = table.update(0, [fd])
    with pytest.raises(ValueError, match="reserved"):
        ring.prep_openat(path, direct=file)
    slot = table.reserve()
    slot.close()
    with pytest.raises(ValueError, match="closed|stale"):
        ring.prep_openat(path, direct=slot)
    idle(ring)


def test_accept(ring: uring_rs.Ring, table: uring_rs.FileTable, listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        ring.prep_accept(listener, direct=True)
        cqe = one(ring)
        file = cqe.value
        assert cqe.result() == file.slot
        assert cqe.address == client.getsockname()
        ring.prep_send(file, b"hello")
        assert one(ring).result() == 5
        assert client.recv(9) == b"hello"
        file.close()
        assert client.recv(9) == b""


def test_accept_into_a_slot(
    ring: uring_rs.Ring, table: uring_rs.FileTable, listener: socket.socket
) -> None:
    slot = table.reserve(5)
    with socket.create_connection(listener.getsockname()) as client:
        ring.prep_accept(listener, direct=slot)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (0, slot)
        ring.prep_send(slot, b"x")
        assert one(ring).result() == 1
        assert client.recv(1) == b"x"
    with pytest.raises(ValueError, match="one slot"):
        ring.prep_multishot_accept(listener, direct=slot)


def test_multishot_accept(ring: uring_rs.Ring, listener: socket.socket) -> None:
    request = ring.prep_multishot_accept(listener, user_data="m")
    accepted = []
    for _ in range(3):
        with socket.create_connection(listener.getsockname()) as client:
            cqe = one(ring)
            assert cqe.more
            assert cqe.address is None
            accepted.append(cqe.result())
            os.write(accepted[-1], b"hi")
            assert client.recv(2) == b"hi"
    assert len(set(accepted)) == 3
    ring.prep_cancel(request)
    assert results(ring, 2) == {"m": -errno.ECANCELED, None: 0}
    for fd in accepted:
        os.close(fd)


def test_multishot_accept_direct(
    ring: uring_rs.Ring, table: uring_rs.FileTable, listener: socket.socket
) -> None:
    request = ring.prep_multishot_accept(listener, direct=True, user_data="m")
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    files = []
    while len(files) < 3:
        ring.wait(1)
        for cqe in ring:
            assert cqe.more
            assert cqe.result() == cqe.value.slot
            files.append(cqe.value)
    assert len({file.slot for file in files}) == 3
    ring.prep_send(files[1], b"hello")
    assert one(ring).result() == 5
    assert clients[1].recv(9) == b"hello"
    # One nobody looked at, and one that was not even taken off the ring.
    del files[0], cqe
    gc.collect()
    assert clients[0].recv(1) == b""
    late = socket.create_connection(listener.getsockname())
    ring.wait(1)
    ring.prep_cancel(request, user_data="c")
    ring.wait(3)
    found = {cqe.user_data: cqe for cqe in ring.reap()}
    assert found["c"].res == 0
    for client in [*clients, late]:
        client.close()


def test_multishot_accept_unread_when_closed(shared: bool, listener: socket.socket) -> None:
    ring = uring_rs.Ring(4, shared=shared)
    ring.register_files(4)
    ring.prep_multishot_accept(listener, direct=True)
    with socket.create_connection(listener.getsockname()) as client:
        ring.wait(1)
        ring.close()
        assert client.recv(1) == b""


# --- other makers of files


@pytest.mark.requires_op("OPENAT2")
def test_openat2(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    ring.prep_openat2(path, os.O_RDONLY | os.O_CLOEXEC, direct=True)
    cqe = one(ring)
    assert cqe.result() == cqe.value.slot
    assert content(ring, cqe.value) == CONTENT[:8]
    slot = table.reserve(6)
    ring.push(Sqe.openat2(path, direct=slot))
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (0, slot)
    assert content(ring, slot) == CONTENT[:8]
    ring.prep_openat2(path.with_name("none"), direct=slot)
    assert one(ring).res == -errno.ENOENT
    with pytest.raises(TypeError, match="direct"):
        ring.prep_openat2(path, direct=5)  # type: ignore[arg-type]
    idle(ring)


@pytest.mark.requires_op("SOCKET")
def test_socket(ring: uring_rs.Ring, table: uring_rs.FileTable, listener: socket.socket) -> None:
    slot = table.reserve(6)
    table.set_alloc_range(0, 4)
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
    ring.prep_socket(socket.AF_INET, kind, direct=True)
    chosen = one(ring).value
    assert chosen.slot < 4
    ring.push(Sqe.socket(socket.AF_INET, kind, direct=slot))
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (0, slot)
    for sock in (chosen, slot):
        ring.prep_connect(sock, listener.getsockname())
        assert one(ring).result() == 0
        peer, _ = listener.accept()
        with peer:
            ring.prep_send(sock, b"hello")
            assert one(ring).result() == 5
            assert peer.recv(9) == b"hello"
    ring.prep_socket(socket.AF_INET, 77, direct=True)
    assert one(ring).res == -errno.EINVAL
    idle(ring)


def through(ring: uring_rs.Ring, ends: tuple[uring_rs.DirectFile, uring_rs.DirectFile]) -> None:
    """Bytes go from one end to the other."""
    out, into = ends
    buf = bytearray(8)
    ring.prep_write(into, b"hello")
    assert one(ring).result() == 5
    ring.prep_read(out, buf)
    assert one(ring).result() == 5
    assert buf[:5] == b"hello"


@pytest.mark.requires_op("PIPE")
def test_pipe(ring: uring_rs.Ring, table: uring_rs.FileTable) -> None:
    ring.prep_pipe(direct=True)
    cqe = one(ring)
    assert cqe.result() == 0
    out, into = cqe.value
    assert out.slot != into.slot
    assert cqe.value == (out, into)
    through(ring, (out, into))
    into.close()
    ring.prep_read(out, bytearray(1))
    assert one(ring).result() == 0
    out.close()
    del cqe, out, into
    # Nobody looks: both slots are free again, however often.
    sqe = Sqe.pipe(direct=True)
    for _ in range(SLOTS):
        ring.push(sqe)
        assert one(ring).result() == 0
        gc.collect()
    assert [table[slot] for slot in range(SLOTS)] == [None] * SLOTS
    idle(ring)


@pytest.mark.requires_op("PIPE")
def test_pipe_into_slots(ring: uring_rs.Ring, table: uring_rs.FileTable) -> None:
    first, second, third = (table.reserve(slot) for slot in (4, 5, 6))
    ring.prep_pipe(direct=(first, second))
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (0, (first, second))
    through(ring, (first, second))
    ring.push(Sqe.pipe(os.O_NONBLOCK, direct=(second, third)))
    assert one(ring).value == (second, third)
    through(ring, (second, third))
    for wrong in ((second, first), (first, third)):
        with pytest.raises(ValueError, match="neighbours"):
            ring.prep_pipe(direct=wrong)
    for bad in (first, (first,), (first, 5), (True, True), 7):
        with pytest.raises(TypeError, match="direct is True"):
            ring.prep_pipe(direct=bad)  # type: ignore[arg-type]
    idle(ring)


@pytest.mark.requires_op("PIPE")
def test_pipe_without_room(ring: uring_rs.Ring) -> None:
    table = ring.register_files(1)
    ring.prep_pipe(direct=True)
    assert one(ring).res == -errno.ENFILE
    assert table[0] is None
    # The slot it had taken for the first end is free again.
    ring.prep_pipe()
    os.close(max(ends := one(ring).value))
    table.update(0, [min(ends)])
    os.close(min(ends))
    idle(ring)


@pytest.mark.requires_op("PIPE")
def test_pipe_unread_when_closed(shared: bool) -> None:
    ring = uring_rs.Ring(4, shared=shared)
    ring.register_files(4)
    ring.prep_pipe(direct=True)
    ring.wait(1)
    ring.close()


@pytest.mark.requires_op("SPLICE", "TEE")
def test_splice_and_tee(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    file = opened(ring, path)
    pipes = [os.pipe() for _ in range(2)]
    ends = table.update(4, [end for pipe in pipes for end in pipe])
    out, into, other_out, other_into = (end for end in ends if end is not None)
    ring.prep_splice(file, into, 8, offset_src=0)
    assert one(ring).result() == 8
    ring.push(Sqe.tee(out, other_into, 8))
    assert one(ring).result() == 8
    assert os.read(pipes[1][0], 99) == CONTENT[:8]
    # One of them direct, the other not.
    ring.prep_tee(pipes[0][0], other_into, 8)
    assert one(ring).result() == 8
    with path.open("r+b") as dst:
        ring.prep_splice(other_out, dst, 8, offset_dst=8)
        assert one(ring).result() == 8
    assert path.read_bytes()[:16] == CONTENT[:8] * 2
    for end in (*pipes[0], *pipes[1]):
        os.close(end)
    # Held by the Sqe: closed when that is gone.
    sqe = Sqe.splice(out, other_into, 8)
    out.close()
    other_into.close()
    ring.push(sqe)
    assert one(ring).result() == 8
    idle(ring)


@pytest.mark.requires_op("ASYNC_CANCEL")
def test_cancel_op_on_it(ring: uring_rs.Ring, table: uring_rs.FileTable, pipe: Pipe) -> None:
    first, second = table.update(0, [pipe.out, pipe.into])
    assert first is not None
    assert second is not None
    for file, tag in ((first, "a"), (second, "b")):
        ring.prep_poll_add(file, 1, user_data=tag)
    ring.submit()
    ring.prep_cancel_op("POLL_ADD", file=second, user_data="c")
    assert results(ring, 2) == {"b": -errno.ECANCELED, "c": 0}
    assert ring.cancel_sync(file=first) == 1
    assert one(ring).res == -errno.ECANCELED
    first.close()
    with pytest.raises(ValueError, match="stale"):
        ring.cancel_sync(file=first)


# --- reserved slots


def test_reserve(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    slot = table.reserve(3)
    assert (slot.slot, slot.reserved, slot.closed) == (3, True, False)
    assert repr(slot) == "<DirectFile slot=3 (reserved)>"
    with pytest.raises(ValueError, match="taken"):
        table.reserve(3)
    with pytest.raises(IndexError):
        table.reserve(SLOTS)
    ring.prep_read(slot, bytearray(1), 0)
    failed(one(ring), OSError, errno.EBADF)
    for _ in range(2):
        ring.prep_openat(path, direct=slot)
        cqe = one(ring)
        assert (cqe.result(), cqe.value) == (0, slot)
        assert content(ring, slot) == CONTENT[:8]
    ring.prep_close(slot)
    assert one(ring).result() == 0
    assert not slot.closed
    ring.prep_read(slot, bytearray(1), 0)
    failed(one(ring), OSError, errno.EBADF)
    slot.close()
    assert table.reserve(3).slot == 3


def test_chain(ring: uring_rs.Ring, table: uring_rs.FileTable, tmp_path: Path) -> None:
    """Open, read and close in one submission, again and again through the same slot."""
    slot = table.reserve()
    for number in range(3):
        path = tmp_path / str(number)
        path.write_bytes(b"file %d" % number)
        buf = bytearray(6)
        ring.prep_openat(path, direct=slot, flags=SqeFlags.IO_LINK, user_data="open")
        ring.prep_read(slot, buf, 0, flags=SqeFlags.IO_LINK, user_data="read")
        ring.prep_close(slot, user_data="close")
        assert results(ring, 3) == {"open": 0, "read": 6, "close": 0}
        assert buf == b"file %d" % number


def test_chain_as_sqes(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    slot = table.reserve()
    buf = bytearray(8)
    chain = [
        Sqe.openat(path, direct=slot, flags=SqeFlags.IO_LINK, user_data="open"),
        Sqe.read(slot, buf, 0, flags=SqeFlags.IO_LINK, user_data="read"),
        Sqe.close(slot, user_data="close"),
    ]
    for _ in range(3):
        buf[:] = bytes(8)
        ring.push_many(chain)
        assert results(ring, 3) == {"open": 0, "read": 8, "close": 0}
        assert buf == CONTENT[:8]
    # They use the slot as long as they live.
    slot.close()
    with pytest.raises(ValueError, match="use registered files"):
        table.close()
    del chain
    gc.collect()
    table.close()


def test_reserved_and_chosen_do_not_meet(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path, listener: socket.socket
) -> None:
    slot = table.reserve()
    with pytest.raises(ValueError, match="alloc_range"):
        ring.prep_openat(path, direct=True)
    slot.close()
    request = ring.prep_multishot_accept(listener, direct=True, user_data="m")
    ring.submit()
    with pytest.raises(ValueError, match="alloc_range"):
        table.reserve()
    with pytest.raises(ValueError, match="alloc_range"):
        table.update(0, [listener])
    with pytest.raises(ValueError, match="use registered files"):
        table.close()
    table.set_alloc_range(4, 4)
    assert table.alloc_range == (4, 4)
    slot = table.reserve()
    assert slot.slot == 0
    assert table.update(1, [listener])[0] is not None
    with pytest.raises(ValueError, match="reserved in the range"):
        ring.register_file_alloc_range(0, 4)
    with pytest.raises(IndexError):
        table.set_alloc_range(4, 5)
    with socket.create_connection(listener.getsockname()):
        cqe = one(ring)
        assert cqe.value.slot >= 4
    ring.prep_cancel(request)
    several(ring, 2)
    table.set_alloc_range(0, 0)
    ring.prep_openat(path, direct=True)
    failed(one(ring), OSError, errno.ENFILE)


# --- closing


def test_close_by_request(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    file = opened(ring, path)
    ring.prep_read(file, bytearray(4), 0)
    for submit in (False, True):
        # It could start when the slot has another file.
        with pytest.raises(ValueError, match="close\\(\\) waits"):
            ring.prep_close(file)
        if submit:
            assert one(ring).result() == 4
        else:
            ring.submit()
    ring.prep_close(file, user_data="close")
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        ring.prep_read(file, bytearray(1), 0)
    with pytest.raises(ValueError, match="closed"):
        ring.prep_close(file)
    assert results(ring, 1) == {"close": 0}
    assert table[file.slot] is None
    other = opened(ring, path)
    assert other.slot == file.slot
    file.close()
    del file
    gc.collect()
    assert content(ring, other) == CONTENT[:8]


def test_close_that_fails_leaves_it_open(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path, closed_fd: int
) -> None:
    file = opened(ring, path)
    ring.prep_read(closed_fd, bytearray(1), 0, flags=SqeFlags.IO_LINK, user_data="read")
    ring.prep_close(file, user_data="close")
    assert results(ring, 2) == {"read": -errno.EBADF, "close": -errno.ECANCELED}
    assert content(ring, file) == CONTENT[:8]
    ring.prep_close(file)
    assert ring.discard() == 1
    assert content(ring, file) == CONTENT[:8]
    # Dropped meanwhile, it goes when the close has failed.
    slot = file.slot
    ring.prep_close(file)
    del file
    gc.collect()
    assert table[slot] is not None
    assert ring.discard() == 1
    assert table[slot] is None


def test_no_close_as_an_sqe(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    file = opened(ring, path)
    with pytest.raises(ValueError, match="pushed again"):
        Sqe.close(file)
    with pytest.raises(ValueError, match="pushed again"):
        Sqe.files_update([None], file)
    assert content(ring, file) == CONTENT[:8]


def test_closed_while_in_use(ring: uring_rs.Ring, table: uring_rs.FileTable, pipe: Pipe) -> None:
    """What was staged or submitted goes on; the slot is emptied after it, and not reused before."""
    (file,) = table.update(0, [pipe.out])
    assert file is not None
    buf = bytearray(4)
    ring.prep_read(file, buf)
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        ring.prep_read(file, bytearray(1))
    assert table[0] is not None
    ring.submit()
    pipe.feed(b"data")
    assert one(ring).result() == 4
    assert buf == b"data"
    assert table[0] is None


def test_a_chain_reaches_no_other_file(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path, pipe: Pipe
) -> None:
    """A linked request looks its slot up only when it starts: until then nothing else is there."""
    table.set_alloc_range(0, 1)
    file = opened(ring, path)
    gate, buf = bytearray(1), bytearray(8)
    ring.prep_read(pipe.out, gate, flags=SqeFlags.IO_LINK, user_data="gate")
    ring.prep_read(file, buf, 0, user_data="late")
    ring.submit()
    del file
    gc.collect()
    ring.prep_openat("/dev/null", os.O_RDWR, direct=True, user_data="other")
    cqe = one(ring)
    assert (cqe.user_data, cqe.res) == ("other", -errno.ENFILE)
    pipe.feed(b"x")
    assert results(ring, 2) == {"gate": 1, "late": 8}
    assert buf == CONTENT[:8]
    assert opened(ring, path).slot == 0


def test_dropped_by_another_thread(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path
) -> None:
    table.set_alloc_range(0, 1)
    kept = [opened(ring, path)]
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    # Where only the ring's own thread may do it, the next submission does.
    assert opened(ring, path).slot == 0


def test_closed_with_the_ring(
    make_ring: Callable[..., uring_rs.Ring], path: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    out = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    ring = make_ring(4)
    table = ring.register_files(4)
    file = opened(ring, fifo, os.O_WRONLY)
    ring.close()
    assert hung_up(out)
    assert file.closed
    assert table.closed
    file.close()
    with pytest.raises(ValueError, match="closed"):
        table.reserve()
    os.close(out)


def test_outlives_the_ring(shared: bool, path: Path) -> None:
    ring = uring_rs.Ring(4, shared=shared)
    ring.register_files(4)
    file = opened(ring, path)
    ring.close()
    del ring
    gc.collect()
    assert file.closed
    file.close()
    del file
    gc.collect()


# --- where they are accepted


def test_not_another_rings_file(
    ring: uring_rs.Ring, table: uring_rs.FileTable, make_ring: Callable[..., uring_rs.Ring], fd: int
) -> None:
    other = make_ring(4)
    file = other.register_files([fd])[0]
    assert file is not None
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_read(file, bytearray(1), 0)
    with pytest.raises(ValueError, match="another ring"):
        ring.push(Sqe.read(file, bytearray(1), 0))
    with pytest.raises(ValueError, match="another ring"):
        ring.run_reads(file, bytearray(8), [0])
    idle(ring)
    with ring.buffer_pool(1, 64) as pool, pytest.raises(ValueError, match="another ring"):
        ring.prep_read_fixed(file, pool.take(), 0)
    other.unregister_files()
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_openat("x", direct=other.register_files(2).reserve())
    idle(ring)


def test_operations_on_it(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path, pair: tuple[socket.socket, ...]
) -> None:
    file = opened(ring, path)
    ring.prep_writev(file, [b"ab", b"cd"], 0)
    assert one(ring).result() == 4
    bufs = [bytearray(2), bytearray(3)]
    ring.prep_readv(file, bufs, 0)
    assert one(ring).result() == 5
    assert bufs == [b"ab", b"cd" + CONTENT[4:5]]
    ring.prep_fsync(file)
    assert one(ring).result() == 0
    with ring.buffer_pool(1, 64) as pool:
        buf = pool.take()
        ring.prep_read_fixed(file, buf, 0)
        assert one(ring).result() == 64
        assert memoryview(buf)[:4] == b"abcd"
        del buf
    (sock,) = table.update(7, [pair[0]])
    assert sock is not None
    ring.prep_poll_add(sock, 1, user_data="poll")
    ring.submit()
    pair[1].send(b"hello")
    assert one(ring).result() == 1
    got = bytearray(9)
    ring.prep_recv(sock, got)
    assert one(ring).result() == 5
    ring.prep_sendmsg(sock, [b"wor", b"ld"])
    assert one(ring).result() == 5
    assert pair[1].recv(9) == b"world"
    ring.prep_recvmsg(sock, [got])
    ring.submit()
    pair[1].send(b"again")
    assert one(ring).result() == 5


def test_sqe(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    file = opened(ring, path)
    buf = bytearray(4)
    sqe = Sqe.read(file, buf, 0)
    assert bytes(memoryview(sqe))[1] == SqeFlags.FIXED_FILE
    for _ in range(3):
        buf[:] = bytes(4)
        ring.push(sqe)
        assert one(ring).result() == 4
        assert buf == CONTENT[:4]
    file.close()
    assert file.closed
    ring.push(sqe)  # it has a use of its own
    assert one(ring).result() == 4
    slot = file.slot
    assert table[slot] is not None
    del sqe
    gc.collect()
    assert table[slot] is None


def test_open_as_an_sqe(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    sqe = Sqe.openat(path, direct=True)
    files = []
    for _ in range(3):
        ring.push(sqe)
        files.append(one(ring).value)
    assert len({file.slot for file in files}) == 3
    table.update(7, [None])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accept = Sqe.multishot_accept(listener, direct=True)
        request = ring.push(accept)
        with socket.create_connection(listener.getsockname()):
            cqe = one(ring)
            assert cqe.value.slot == cqe.res
        ring.prep_cancel(request)
        several(ring, 2)


def test_batches(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    file = opened(ring, path)
    buf = bytearray(16)
    assert list(ring.run_reads(file, buf, [0, 100])) == [8, 8]
    assert buf == CONTENT[:8] + CONTENT[100:108]
    with pytest.raises(TypeError):
        ring.run_reads([file, file], buf, [0, 100])  # type: ignore[list-item]
    file.close()
    assert table[file.slot] is None


def test_cancel(ring: uring_rs.Ring, table: uring_rs.FileTable, pipe: Pipe) -> None:
    (file,) = table.update(0, [pipe.out])
    assert file is not None
    for number in range(2):
        ring.prep_read(file, bytearray(1), user_data=number)
    ring.submit()
    ring.prep_cancel_fd(file, all=True, user_data="c")
    assert results(ring, 3) == {0: -errno.ECANCELED, 1: -errno.ECANCELED, "c": 2}


def test_not_as_a_folder_or_epoll_set(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path
) -> None:
    """Operations that would take the slot's number for a descriptor's."""
    file = opened(ring, path)
    for refused in (
        lambda: ring.prep_openat("x", dir_fd=file),
        lambda: ring.prep_epoll_ctl(file, uring_rs.EpollOp.ADD, 0),
        lambda: Sqe.openat("x", dir_fd=file),
    ):
        with pytest.raises(TypeError, match="direct descriptor"):
            refused()
    for refused in (
        lambda: ring.register_eventfd(file),
        lambda: os.read(file, 1),
        lambda: ring.prep_epoll_ctl(0, uring_rs.EpollOp.ADD, file),
    ):
        with pytest.raises(TypeError):
            refused()
    idle(ring)
    file.close()
    assert table[file.slot] is None  # what was refused does not hold it


# --- install


@pytest.mark.requires_op("FIXED_FD_INSTALL")
def test_install(ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path) -> None:
    file = opened(ring, path)
    ring.prep_fixed_fd_install(file)
    fd = one(ring).result()
    assert os.fstat(fd).st_ino == path.stat().st_ino
    assert not os.get_inheritable(fd)
    ring.push(Sqe.fixed_fd_install(file, install_flags=FixedFdFlags.NO_CLOEXEC))
    other = one(ring).result()
    assert os.get_inheritable(other)
    file.close()
    assert os.pread(fd, 4, 0) == CONTENT[:4]
    for number in (fd, other):
        os.close(number)
    with pytest.raises(TypeError):
        ring.prep_fixed_fd_install(0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="FixedFdFlags"):
        ring.prep_fixed_fd_install(opened(ring, path), install_flags=2)


@pytest.mark.requires_op("FIXED_FD_INSTALL")
def test_unclaimed_install_is_closed(
    ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path
) -> None:
    file = opened(ring, path)
    before = set(os.listdir("/proc/self/fd"))
    ring.prep_fixed_fd_install(file, flags=SqeFlags.CQE_SKIP_SUCCESS)
    ring.prep_nop("seen", flags=SqeFlags.IO_DRAIN)
    assert one(ring).user_data == "seen"
    assert set(os.listdir("/proc/self/fd")) == before


# --- files_update


def test_files_update_chosen(
    ring: uring_rs.Ring, table: uring_rs.FileTable, fd: int, path: Path, tmp_path: Path
) -> None:
    with open(path, "rb") as file:
        ring.prep_files_update([fd, file])
        cqe = one(ring)
    assert (cqe.result(), cqe.op) == (2, "FILES_UPDATE")
    first, second = cqe.value
    assert content(ring, first) == content(ring, second) == CONTENT[:8]
    sqe = Sqe.files_update([fd])
    for _ in range(2):
        ring.push(sqe)
        (made,) = one(ring).value
        assert content(ring, made) == CONTENT[:8]
    slots = first.slot, second.slot
    del cqe, first, second, made
    gc.collect()
    assert [table[slot] for slot in slots] == [None, None]


def test_files_update_of_slots(ring: uring_rs.Ring, table: uring_rs.FileTable, fd: int) -> None:
    slot = table.reserve(1)
    buf = bytearray(8)
    ring.prep_files_update([fd], slot, flags=SqeFlags.IO_LINK, user_data="update")
    ring.prep_read(slot, buf, 0, user_data="read")
    assert results(ring, 2) == {"update": 1, "read": 8}
    assert buf == CONTENT[:8]
    ring.prep_files_update([fd, fd, uring_rs.REGISTER_FILES_SKIP], slot)
    cqe = one(ring)
    assert cqe.result() == 3
    kept, made, skipped = cqe.value
    assert (kept.slot, made.slot, skipped) == (1, 2, None)
    assert kept.reserved
    ring.prep_files_update([None], made)
    assert one(ring).result() == 1
    assert made.closed
    assert table[2] is None
    # One taken back changes nothing.
    (file,) = table.update(4, [fd])
    assert file is not None
    ring.prep_files_update([None], file)
    assert file.closed
    assert ring.discard() == 1
    assert content(ring, file) == CONTENT[:8]


def test_bad_files_updates(
    ring: uring_rs.Ring, table: uring_rs.FileTable, fd: int, closed_fd: int, pipe: Pipe
) -> None:
    slot = table.reserve(SLOTS - 1)
    with pytest.raises(ValueError, match="alloc_range"):
        ring.prep_files_update([fd])
    with pytest.raises(IndexError):
        ring.prep_files_update([fd, fd], slot)
    with pytest.raises(ValueError, match="at least one"):
        ring.prep_files_update([], slot)
    with pytest.raises(TypeError, match="DirectFile"):
        ring.prep_files_update([fd], 0)  # type: ignore[arg-type]
    ring.prep_files_update([closed_fd], slot)
    failed(one(ring), OSError, errno.EBADF)
    slot.close()
    with pytest.raises(ValueError, match="all must be files"):
        ring.prep_files_update([None])
    ring.prep_files_update([fd, closed_fd])
    cqe = one(ring)
    assert cqe.result() == 1
    assert len(cqe.value) == 1
    (busy,) = table.update(5, [pipe.out])
    assert busy is not None
    ring.prep_read(busy, bytearray(1))
    with pytest.raises(ValueError, match="uses the file"):
        ring.prep_files_update([fd], busy)
    ring.discard()
    idle(ring)


# --- to another ring


@pytest.mark.requires_op("MSG_RING")
def test_to_another_ring(
    ring: uring_rs.Ring,
    table: uring_rs.FileTable,
    make_ring: Callable[..., uring_rs.Ring],
    path: Path,
) -> None:
    other = make_ring(4)
    there = other.register_files(4)
    file = opened(ring, path)
    ring.prep_msg_ring_fd(other, file)
    ring.submit()
    other.submit()  # whose thread has to look in at the kernel
    cqe = one(ring)
    sent = cqe.value
    assert sent.slot == cqe.result()
    assert content(other, sent) == CONTENT[:8]
    with pytest.raises(ValueError, match="another ring"):
        ring.prep_read(sent, bytearray(1), 0)
    slot = sent.slot
    del sent, cqe
    gc.collect()
    assert there[slot] is None
    reserved = there.reserve(3)
    ring.push(Sqe.msg_ring_fd(other, file, direct=reserved))
    ring.submit()
    other.submit()
    cqe = one(ring)
    assert (cqe.result(), cqe.value) == (0, reserved)
    file.close()
    assert content(other, reserved) == CONTENT[:8]
    idle(other)


@pytest.mark.requires_op("MSG_RING")
def test_to_the_ring_of_another_thread(
    shared: bool, ring: uring_rs.Ring, table: uring_rs.FileTable, path: Path
) -> None:
    ready, sent = threading.Event(), threading.Event()
    rings: list[uring_rs.Ring] = []
    handles: list[uring_rs.DirectFile] = []
    found: list[bytes] = []

    def work() -> None:
        with uring_rs.Ring(4, shared=shared) as other:
            other.register_files(2)
            rings.append(other)
            ready.set()
            while not sent.is_set():
                other.wait(1, timeout=0.01)  # the kernel does its part when the thread looks in
            found.append(content(other, handles[0]))

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    ring.prep_msg_ring_fd(rings[0], opened(ring, path))
    cqe = one(ring)
    handles.append(cqe.value)
    sent.set()
    thread.join()
    assert found == [CONTENT[:8]]
    assert handles[0].closed


def _own(table: uring_rs.FileTable) -> uring_rs.DirectFile:
    table.set_alloc_range(0, 4)
    return table.reserve()


@pytest.mark.requires_op("MSG_RING")
def test_bad_messages(
    ring: uring_rs.Ring,
    table: uring_rs.FileTable,
    make_ring: Callable[..., uring_rs.Ring],
    path: Path,
) -> None:
    other = make_ring(4)
    file = opened(ring, path)
    with pytest.raises(ValueError, match="no file table"):
        ring.prep_msg_ring_fd(other, file)
    there = other.register_files(2)
    for one_of in (ring, other):
        with pytest.raises(ValueError, match="already"):
            one_of.prep_msg_ring_fd(ring, file)
    with pytest.raises(ValueError, match="other ring's table"):
        ring.prep_msg_ring_fd(other, file, direct=_own(table))
    with pytest.raises(TypeError):
        ring.prep_msg_ring_fd(other, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ring.prep_msg_ring_fd(0, file)  # type: ignore[arg-type]
    kept = there.reserve()
    with pytest.raises(ValueError, match="alloc_range"):
        ring.prep_msg_ring_fd(other, file)
    kept.close()
    idle(ring)
    there.close()
    other.close()
    with pytest.raises(uring_rs.RingClosed):
        ring.prep_msg_ring_fd(other, file)

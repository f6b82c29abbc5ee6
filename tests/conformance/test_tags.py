"""Tags of registered files and buffers: told when the kernel lets go of what they belong to."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import uring_rs
from conformance.kit import CONTENT, Pipe, idle, one
from uring_rs import Features, SetupFlags

pytestmark = pytest.mark.requires_op("NOP", "READ", "CLOSE", "READ_FIXED")

LAST = 2**56 - 1


@pytest.fixture(autouse=True)
def _tags_there(open_ring: Callable[..., uring_rs.Ring]) -> None:
    if Features.RSRC_TAGS not in open_ring(1).features:
        pytest.skip("the running kernel knows no tags (RSRC_TAGS)")


def told(ring: uring_rs.Ring) -> list[int]:
    """The tags of what the kernel has let go of, in order of number."""
    found = list(ring.reap())
    for cqe in found:
        assert (cqe.op, cqe.res, cqe.flags, cqe.value) == ("MSG_RING", 0, 0, cqe.user_data)
    return sorted(int(cqe.user_data) for cqe in found)


# --- files


def test_files(ring: uring_rs.Ring, fd: int, pipe: Pipe) -> None:
    table = ring.register_files([fd, None, fd, pipe.out], tags=[LAST, 0, 0, 7])
    assert told(ring) == []
    first = table[0]
    assert first is not None
    buf = bytearray(8)
    ring.prep_read(first, buf, 0)
    assert one(ring).result() == 8
    assert buf == CONTENT[:8]
    made = ring.register_files_update(0, [fd, fd], tags=iter([1, 2]))
    assert [handle and handle.slot for handle in made] == [0, 1]
    assert told(ring) == [LAST]
    # Without tags, and with a slot that is left alone.
    skip = uring_rs.REGISTER_FILES_SKIP
    table.update(0, [skip, fd])
    assert told(ring) == [2]
    table.update(0, [skip, None, fd], tags=[0, 0, 2**40])
    assert told(ring) == []
    table.close()
    assert told(ring) == [1, 7, 2**40]
    idle(ring)


def test_files_closed_one_by_one(ring: uring_rs.Ring, fd: int) -> None:
    table = ring.register_files([fd, fd], tags=[1, 2])
    first, second = table[0], table[1]
    assert first is not None
    assert second is not None
    first.close()
    assert told(ring) == [1]
    ring.prep_close(second, user_data="closed")
    ring.submit(wait=2)
    assert {cqe.user_data for cqe in ring.reap()} == {"closed", 2}
    ring.unregister_files()
    idle(ring)


def test_files_that_are_refused(ring: uring_rs.Ring, fd: int, closed_fd: int) -> None:
    with pytest.raises(uring_rs.UringError) as caught:
        ring.register_files([fd, closed_fd], tags=[1, 2])
    assert caught.value.errno == errno.EBADF
    table = ring.register_files(3, tags=[0, 0, 0])
    with pytest.raises(uring_rs.UringError) as caught:
        table.update(0, [fd, closed_fd, fd], tags=[1, 2, 3])
    assert caught.value.errno == errno.EBADF
    assert [table[slot] is not None for slot in range(3)] == [True, False, False]
    assert told(ring) == []
    ring.unregister_files()
    assert told(ring) == [1]


def test_a_file_in_use(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """A handle that is closed takes its slot along only when the last request is done."""
    (file,) = ring.register_files(1).update(0, [pipe.out], tags=[3])
    assert file is not None
    ring.prep_read(file, bytearray(4), user_data="read")
    ring.submit()
    file.close()
    assert told(ring) == []
    pipe.feed()
    assert ring.wait_cqe().user_data == "read"
    ring.submit()
    assert ring.wait_cqe(5).user_data == 3
    idle(ring)


# --- buffers


def test_buffers(ring: uring_rs.Ring, fd: int) -> None:
    bufs = [bytearray(8) for _ in range(3)]
    ring.register_buffers([bufs[0], None, bufs[1]], tags=(1, 0, LAST))
    assert told(ring) == []
    made = ring.register_buffers_update(1, [bufs[2], None], tags=[5, 0])
    assert [handle and handle.index for handle in made] == [1, None]
    assert told(ring) == [LAST]
    assert made[0] is not None
    ring.prep_read_fixed(fd, made[0], 0)
    assert one(ring).result() == 8
    assert bufs[2] == CONTENT[:8]
    ring.register_buffers_update(0, [bufs[0]])
    assert told(ring) == [1]
    ring.unregister_buffers()
    assert told(ring) == [5]
    idle(ring)


def test_a_buffer_in_use(ring: uring_rs.Ring, pipe: Pipe) -> None:
    """It is let go of when the request is done, whoever has replaced it."""
    (old,) = ring.register_buffers([bytearray(4)], tags=[1])
    assert old is not None
    ring.prep_read_fixed(pipe.out, old, user_data="read")
    ring.submit()
    ring.register_buffers_update(0, [bytearray(4)], tags=[2])
    assert told(ring) == []
    pipe.feed()
    ring.submit(wait=2)
    assert {cqe.user_data for cqe in ring.reap()} == {"read", 1}
    ring.unregister_buffers()
    assert told(ring) == [2]


def test_clones_have_none(ring: uring_rs.Ring, make_ring: Callable[..., uring_rs.Ring]) -> None:
    source = make_ring(4)
    source.register_buffers([bytearray(4)], tags=[1])
    try:
        ring.clone_buffers(source)
    except uring_rs.UringError as error:
        pytest.skip(f"the running kernel clones no buffers: {error}")
    source.unregister_buffers()
    assert told(source) == [1]
    ring.unregister_buffers()
    assert told(ring) == []


# --- both


@pytest.fixture
def ways(
    ring: uring_rs.Ring, fd: int
) -> dict[str, tuple[Callable[..., object], Callable[..., object], object]]:
    """How to register with tags, how to update, and what."""
    return {
        "files": (ring.register_files, ring.register_files_update, fd),
        "buffers": (ring.register_buffers, ring.register_buffers_update, bytearray(1)),
    }


@pytest.mark.parametrize("kind", ["files", "buffers"])
def test_bad_tags(
    ring: uring_rs.Ring,
    ways: dict[str, tuple[Callable[..., object], Callable[..., object], object]],
    kind: str,
) -> None:
    register, update, what = ways[kind]
    for few in ([], [1], [1, 2, 3], iter(())):
        with pytest.raises(ValueError, match="2 slots need as many tags"):
            register([what, what], tags=few)
    for number in (-1, 2**56, 2**64 - 1, 2**64):
        with pytest.raises(ValueError, match=r"0 to 2\*\*56 - 1"):
            register([what], tags=[number])
    for wrong in (1, ["x"], [None], [1.5], "1"):
        with pytest.raises(TypeError):
            register([what], tags=wrong)
    for empty in (1, [None]):
        with pytest.raises(ValueError, match="gets nothing"):
            register(empty, tags=[1])
    with pytest.raises(TypeError):
        register([what], [1])
    register([what], tags=[5])
    with pytest.raises(ValueError, match="gets nothing"):
        update(0, [None], tags=[1])
    with pytest.raises(ValueError, match="as many tags"):
        update(0, [what], tags=[])
    with pytest.raises(TypeError):
        update(0, [what], [1])
    assert told(ring) == []

    def close() -> Iterator[int]:
        ring.close()
        yield 1

    with pytest.raises((uring_rs.RingClosed, ValueError), match="closed|no registered"):
        update(0, [what], tags=close())
    assert told(ring) == [5]


def test_no_tag_for_a_slot_left_alone(ring: uring_rs.Ring, fd: int) -> None:
    table = ring.register_files([fd])
    with pytest.raises(ValueError, match="gets nothing"):
        table.update(0, [uring_rs.REGISTER_FILES_SKIP], tags=[1])


def test_of_a_ring_that_is_closed(make_ring: Callable[..., uring_rs.Ring], fd: int) -> None:
    """None is lost, though the queue has no room for that many."""
    ring = make_ring(2)
    ring.register_files([fd] * 50, tags=range(1, 51))
    ring.register_buffers([bytearray(1)] * 50, tags=range(51, 101))
    ring.prep_nop("unread")
    ring.submit()
    ring.close()
    assert ring.pop().user_data == "unread"  # type: ignore[union-attr]
    assert told(ring) == list(range(1, 101))


def test_of_a_ring_that_was_never_enabled(open_ring: Callable[..., uring_rs.Ring], fd: int) -> None:
    """Nothing can be taken off it, which does not keep it from being closed."""
    ring = open_ring(2, flags=SetupFlags.R_DISABLED)
    ring.register_files([fd] * 10, tags=range(1, 11))
    ring.close()
    assert ring.closed
    assert set(told(ring)) <= set(range(1, 11))


def test_whose_thread_has_ended(fd: int) -> None:
    made: list[uring_rs.Ring] = []

    def work() -> None:
        ring = uring_rs.Ring(2)
        ring.register_files([fd] * 10, tags=range(1, 11))
        ring.register_files_update(0, [None] * 8)
        made.append(ring)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    made[0].close()
    assert set(told(made[0])) <= set(range(1, 11))


def test_more_than_the_queue_has_room_for(make_ring: Callable[..., uring_rs.Ring], fd: int) -> None:
    ring = make_ring(2)
    tags = list(range(1, 101))
    ring.register_files([fd] * 100, tags=tags).close()
    assert sorted(int(ring.wait_cqe(5).user_data) for _ in tags) == tags
    idle(ring)


@pytest.mark.parametrize("flags", [SetupFlags.CQE32, SetupFlags.CQE_MIXED], ids=repr)
def test_with_big_completions(
    make_ring: Callable[..., uring_rs.Ring], fd: int, flags: SetupFlags
) -> None:
    missing = flags & ~uring_rs.probe().setup_flags
    if missing:
        pytest.skip(f"the running kernel lacks the set-up flags {missing!r}")
    ring = make_ring(4, flags=flags)
    ring.register_files([fd] * 3, tags=[1, 2, 3]).close()
    assert told(ring) == [1, 2, 3]


def test_without_a_descriptor(open_ring: Callable[..., uring_rs.Ring], path: Path) -> None:
    """Of a ring that is only an index in its thread's table."""
    flags = SetupFlags.NO_MMAP | SetupFlags.REGISTERED_FD_ONLY
    if flags & ~uring_rs.probe().setup_flags:
        pytest.skip("the running kernel lacks REGISTERED_FD_ONLY")
    ring = open_ring(4, flags=flags)
    fd = os.open(path, os.O_RDONLY)
    table = ring.register_files([fd, fd], tags=[1, 2])
    os.close(fd)
    (handle,) = ring.register_buffers([bytearray(8)], tags=[3])
    file = table[1]
    assert file is not None
    assert handle is not None
    ring.prep_read_fixed(file, handle, 0)
    assert one(ring).result() == 8
    file.close()
    assert told(ring) == [2]
    ring.close()
    assert told(ring) == [1, 3]

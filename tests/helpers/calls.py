"""Every call there is on a ring, for rings that must refuse it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uring_rs

Call = Callable[[uring_rs.Ring], object]

# What a ring is made of does not change, and may be asked for anywhere at any time.
FACTS = ("sq_entries", "cq_entries", "flags", "features", "shared")

# What tells how things stand: a closed ring still knows.
STANDING = (
    "closed",
    "sq_space",
    "sq_ready",
    "cq_ready",
    "in_flight",
    "cq_overflowed",
    "sq_needs_wakeup",
    "stray_completions",
    "files",
)


def _preps(
    other: uring_rs.Ring, fixed: uring_rs.FixedBuffer, direct: uring_rs.DirectFile, null: int
) -> dict[str, Call]:
    """One call of each builder with arguments that an open ring would take."""
    buf = bytearray(8)
    request = other.prep_nop()
    home = ("127.0.0.1", 9)
    return {
        "prep_nop": lambda r: r.prep_nop(),
        "prep_read": lambda r: r.prep_read(null, buf),
        "prep_write": lambda r: r.prep_write(null, b"data"),
        "prep_readv": lambda r: r.prep_readv(null, [buf]),
        "prep_writev": lambda r: r.prep_writev(null, [b"data"]),
        "prep_read_fixed": lambda r: r.prep_read_fixed(null, fixed),
        "prep_write_fixed": lambda r: r.prep_write_fixed(null, fixed),
        "prep_readv_fixed": lambda r: r.prep_readv_fixed(null, fixed, [(0, 8)]),
        "prep_writev_fixed": lambda r: r.prep_writev_fixed(null, fixed, [(0, 8)]),
        "prep_fsync": lambda r: r.prep_fsync(null),
        "prep_fdatasync": lambda r: r.prep_fdatasync(null),
        "prep_sync_file_range": lambda r: r.prep_sync_file_range(null),
        "prep_openat": lambda r: r.prep_openat("/dev/null"),
        "prep_close": lambda r: r.prep_close(1_000_000),
        "prep_fixed_fd_install": lambda r: r.prep_fixed_fd_install(direct),
        "prep_files_update": lambda r: r.prep_files_update([null]),
        "prep_msg_ring_fd": lambda r: r.prep_msg_ring_fd(other, direct),
        "prep_accept": lambda r: r.prep_accept(null),
        "prep_connect": lambda r: r.prep_connect(null, home),
        "prep_send": lambda r: r.prep_send(null, b"data"),
        "prep_recv": lambda r: r.prep_recv(null, buf),
        "prep_sendmsg": lambda r: r.prep_sendmsg(null, [b"data"]),
        "prep_recvmsg": lambda r: r.prep_recvmsg(null, [buf]),
        "prep_poll_add": lambda r: r.prep_poll_add(null, 1),
        "prep_poll_remove": lambda r: r.prep_poll_remove(request),
        "prep_poll_update": lambda r: r.prep_poll_update(request, 1),
        "prep_timeout": lambda r: r.prep_timeout(1.0),
        "prep_timeout_remove": lambda r: r.prep_timeout_remove(request),
        "prep_timeout_update": lambda r: r.prep_timeout_update(request, 1.0),
        "prep_link_timeout": lambda r: r.prep_link_timeout(1.0),
        "prep_cancel": lambda r: r.prep_cancel(request),
        "prep_cancel_fd": lambda r: r.prep_cancel_fd(null),
        "prep_cancel_all": lambda r: r.prep_cancel_all(),
        "prep_epoll_ctl": lambda r: r.prep_epoll_ctl(null, 1, null),
        "prep_nop_batch": lambda r: r.prep_nop_batch(3),
        "prep_read_batch": lambda r: r.prep_read_batch(null, buf, [0, 4]),
        "prep_write_batch": lambda r: r.prep_write_batch(null, [b"a", b"b"], [0, 4]),
    }


def _others(other: uring_rs.Ring) -> dict[str, Call]:
    """Everything that works only on an open ring, builders excepted."""
    sqe = uring_rs.Sqe.nop()
    return {
        "__enter__": lambda r: r.__enter__(),
        "fileno": lambda r: r.fileno(),
        "supports": lambda r: r.supports("READ"),
        "push": lambda r: r.push(sqe),
        "push_many": lambda r: r.push_many([sqe, sqe]),
        "flush": lambda r: r.flush(),
        "discard": lambda r: r.discard(),
        "submit": lambda r: r.submit(),
        "submit and wait": lambda r: r.submit(wait=1, timeout=0.01),
        "enter": lambda r: r.enter(0),
        "sq_wait": lambda r: r.sq_wait(),
        "wake": lambda r: r.wake(),
        "wait": lambda r: r.wait(timeout=0.01),
        "wait_cqe": lambda r: r.wait_cqe(timeout=0.01),
        "completions": lambda r: r.completions(min=1, timeout=0.01),
        "flush_overflow": lambda r: r.flush_overflow(),
        "buffer_pool": lambda r: r.buffer_pool(1, 4096),
        "register_files": lambda r: r.register_files(1),
        "register_files_update": lambda r: r.register_files_update(0, [0]),
        "register_file_alloc_range": lambda r: r.register_file_alloc_range(0, 1),
        "unregister_files": lambda r: r.unregister_files(),
        "register_buffers": lambda r: r.register_buffers(1),
        "register_buffers_update": lambda r: r.register_buffers_update(0, [None]),
        "unregister_buffers": lambda r: r.unregister_buffers(),
        "clone_buffers": lambda r: r.clone_buffers(other),
        "register_eventfd": lambda r: r.register_eventfd(0),
        "unregister_eventfd": lambda r: r.unregister_eventfd(),
        "run_nops": lambda r: r.run_nops(3),
        "run_reads": lambda r: r.run_reads(0, bytearray(8), [0, 4]),
        "run_writes": lambda r: r.run_writes(0, b"12345678", [0, 4]),
    }


def _reading(request: uring_rs.Request) -> dict[str, Call]:
    """What reads completions or state: a closed ring answers, no other wrong one does."""
    found: dict[str, Call] = {
        "__next__": lambda r: next(r),
        "peek": lambda r: r.peek(),
        "pop": lambda r: r.pop(),
        "reap": lambda r: r.reap(),
        "reap_into": lambda r: r.reap_into(bytearray(64)),
        "is_live": lambda r: r.is_live(request),
        "sq_wakeup": lambda r: r.sq_wakeup(),
    }
    for name in STANDING:
        found[name] = lambda r, name=name: getattr(r, name)
    return found


class Calls:
    """The calls by kind: `opening` need an open ring, `reading` work on closed ones too."""

    def __init__(
        self, preps: dict[str, Call], other: uring_rs.Ring, request: uring_rs.Request
    ) -> None:
        self.preps = preps
        self.opening = {**preps, **_others(other)}
        self.reading = _reading(request)
        self.all = {**self.opening, **self.reading}

    def complaints(self, ring: uring_rs.Ring, error: type[BaseException]) -> list[str]:
        """The calls on `ring` that do not raise just `error`."""
        found = []
        for name, call in self.all.items():
            try:
                answer = call(ring)
            except error:
                continue
            except BaseException as other:
                found.append(f"{name} raised {other!r}")
            else:
                found.append(f"{name} returned {answer!r}")
        return found


@contextmanager
def all_calls() -> Iterator[Calls]:
    """The calls, with the helping ring, pool and file that their arguments come from."""
    null = os.open("/dev/null", os.O_RDWR)
    try:
        with uring_rs.Ring(8) as other, other.buffer_pool(1, 4096) as pool, pool.take() as fixed:
            direct = other.register_files([null])[0]
            assert direct is not None
            yield Calls(_preps(other, fixed, direct, null), other, other.prep_nop())
            other.discard()
    finally:
        os.close(null)

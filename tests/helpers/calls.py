"""Every call there is on a ring, for rings that must refuse it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uring_rs

Call = Callable[[uring_rs.Ring], object]

# What a ring is made of does not change, and may be asked for anywhere at any time.
FACTS = ("sq_entries", "cq_entries", "flags", "features", "shared", "restrictions")

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
    "clock",
    "registered_ring_fd",
    "iowait",
    "files",
    "cq_eventfd_enabled",
)


def _preps(
    other: uring_rs.Ring, fixed: uring_rs.FixedBuffer, direct: uring_rs.DirectFile, null: int
) -> dict[str, Call]:
    """One call of each builder with arguments that an open ring would take."""
    buf = bytearray(8)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    request = other.prep_nop()
    home = ("127.0.0.1", 9)
    pool, legacy = other.buffer_ring(2, 512), other.provided_buffers(2, 512)
    queue = other.buffer_ring(2, 512, sending=True)
    return {
        "prep_nop": lambda r: r.prep_nop(),
        "prep_nop128": lambda r: r.prep_nop128(),
        "prep_read": lambda r: r.prep_read(null, buf),
        "prep_write": lambda r: r.prep_write(null, b"data"),
        "prep_read_pi": lambda r: r.prep_read_pi(null, buf, bytearray(8), 0),
        "prep_write_pi": lambda r: r.prep_write_pi(null, b"data", b"info", 0),
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
        "prep_openat2": lambda r: r.prep_openat2("/dev/null"),
        "prep_renameat": lambda r: r.prep_renameat("/no/a", "/no/b"),
        "prep_rename": lambda r: r.prep_rename("/no/a", "/no/b"),
        "prep_unlinkat": lambda r: r.prep_unlinkat("/no/a"),
        "prep_unlink": lambda r: r.prep_unlink("/no/a"),
        "prep_mkdirat": lambda r: r.prep_mkdirat("/no/a"),
        "prep_mkdir": lambda r: r.prep_mkdir("/no/a"),
        "prep_symlinkat": lambda r: r.prep_symlinkat("a", "/no/b"),
        "prep_symlink": lambda r: r.prep_symlink("a", "/no/b"),
        "prep_linkat": lambda r: r.prep_linkat("/no/a", "/no/b"),
        "prep_link": lambda r: r.prep_link("/no/a", "/no/b"),
        "prep_statx": lambda r: r.prep_statx("/dev/null"),
        "prep_getxattr": lambda r: r.prep_getxattr("/dev/null", "user.a"),
        "prep_fgetxattr": lambda r: r.prep_fgetxattr(null, "user.a"),
        "prep_setxattr": lambda r: r.prep_setxattr("/no/a", "user.a", b""),
        "prep_fsetxattr": lambda r: r.prep_fsetxattr(null, "user.a", b""),
        "prep_fallocate": lambda r: r.prep_fallocate(null, 0, 1),
        "prep_ftruncate": lambda r: r.prep_ftruncate(null, 0),
        "prep_fadvise": lambda r: r.prep_fadvise(null, 0, 0, 0),
        "prep_madvise": lambda r: r.prep_madvise(memory, 0),
        "prep_splice": lambda r: r.prep_splice(null, null, 1),
        "prep_tee": lambda r: r.prep_tee(null, null, 1),
        "prep_close": lambda r: r.prep_close(1_000_000),
        "prep_fixed_fd_install": lambda r: r.prep_fixed_fd_install(direct),
        "prep_files_update": lambda r: r.prep_files_update([null]),
        "prep_msg_ring_fd": lambda r: r.prep_msg_ring_fd(other, direct),
        "prep_accept": lambda r: r.prep_accept(null),
        "prep_connect": lambda r: r.prep_connect(null, home),
        "prep_send": lambda r: r.prep_send(null, b"data"),
        "prep_recv": lambda r: r.prep_recv(null, buf),
        "prep_recv_multishot": lambda r: r.prep_recv_multishot(null, pool),
        "prep_recvmsg_multishot": lambda r: r.prep_recvmsg_multishot(null, pool),
        "prep_read_multishot": lambda r: r.prep_read_multishot(null, pool),
        "prep_send_bundle": lambda r: r.prep_send_bundle(null, queue),
        "prep_provide_buffers": lambda r: r.prep_provide_buffers(legacy),
        "prep_remove_buffers": lambda r: r.prep_remove_buffers(legacy),
        "prep_recv_zc": lambda r: r.prep_recv_zc(null, 0),
        "prep_sendmsg": lambda r: r.prep_sendmsg(null, [b"data"]),
        "prep_recvmsg": lambda r: r.prep_recvmsg(null, [buf]),
        "prep_socket": lambda r: r.prep_socket(),
        "prep_bind": lambda r: r.prep_bind(null, home),
        "prep_listen": lambda r: r.prep_listen(null),
        "prep_shutdown": lambda r: r.prep_shutdown(null, 2),
        "prep_multishot_accept": lambda r: r.prep_multishot_accept(null),
        "prep_sendto": lambda r: r.prep_sendto(null, b"data", home),
        "prep_send_zc": lambda r: r.prep_send_zc(null, b"data"),
        "prep_send_zc_fixed": lambda r: r.prep_send_zc_fixed(null, fixed),
        "prep_sendmsg_zc": lambda r: r.prep_sendmsg_zc(null, [b"data"]),
        "prep_sendmsg_zc_fixed": lambda r: r.prep_sendmsg_zc_fixed(null, fixed, [(0, 1)]),
        "prep_siocinq": lambda r: r.prep_siocinq(null),
        "prep_siocoutq": lambda r: r.prep_siocoutq(null),
        "prep_getsockopt": lambda r: r.prep_getsockopt(null, 1, 3),
        "prep_setsockopt": lambda r: r.prep_setsockopt(null, 1, 2, 1),
        "prep_getsockname": lambda r: r.prep_getsockname(null),
        "prep_getpeername": lambda r: r.prep_getpeername(null),
        "prep_tx_timestamp": lambda r: r.prep_tx_timestamp(null),
        "prep_cmd_discard": lambda r: r.prep_cmd_discard(null, 0, 512),
        "prep_uring_cmd": lambda r: r.prep_uring_cmd(null, 0),
        "prep_poll_add": lambda r: r.prep_poll_add(null, 1),
        "prep_poll_remove": lambda r: r.prep_poll_remove(request),
        "prep_poll_update": lambda r: r.prep_poll_update(request, 1),
        "prep_timeout": lambda r: r.prep_timeout(1.0),
        "prep_timeout_remove": lambda r: r.prep_timeout_remove(request),
        "prep_timeout_update": lambda r: r.prep_timeout_update(request, 1.0),
        "prep_link_timeout": lambda r: r.prep_link_timeout(1.0),
        "prep_cancel": lambda r: r.prep_cancel(request),
        "prep_cancel_fd": lambda r: r.prep_cancel_fd(null),
        "prep_cancel_op": lambda r: r.prep_cancel_op("READ"),
        "prep_cancel_all": lambda r: r.prep_cancel_all(),
        "prep_epoll_ctl": lambda r: r.prep_epoll_ctl(null, 1, null),
        "prep_epoll_wait": lambda r: r.prep_epoll_wait(null),
        "prep_futex_wait": lambda r: r.prep_futex_wait(buf, 1),
        "prep_futex_wake": lambda r: r.prep_futex_wake(buf),
        "prep_futex_waitv": lambda r: r.prep_futex_waitv([(buf, 1)]),
        "prep_waitid": lambda r: r.prep_waitid(os.P_PID, 1, os.WEXITED),
        "prep_pipe": lambda r: r.prep_pipe(),
        "prep_msg_ring": lambda r: r.prep_msg_ring(null),
        "prep_nop_batch": lambda r: r.prep_nop_batch(3),
        "prep_read_batch": lambda r: r.prep_read_batch(null, buf, [0, 4]),
        "prep_write_batch": lambda r: r.prep_write_batch(null, [b"a", b"b"], [0, 4]),
    }


def _others(other: uring_rs.Ring, request: uring_rs.Request) -> dict[str, Call]:
    """Everything that works only on an open ring, builders excepted."""
    sqe = uring_rs.Sqe.nop()
    return {
        "__enter__": lambda r: r.__enter__(),
        "fileno": lambda r: r.fileno(),
        "supports": lambda r: r.supports("READ"),
        "buffer_ring": lambda r: r.buffer_ring(1, 64),
        "provided_buffers": lambda r: r.provided_buffers(1, 64),
        "push": lambda r: r.push(sqe),
        "push_many": lambda r: r.push_many([sqe, sqe]),
        "rearm": lambda r: r.rearm(sqe),
        "set_user_data": lambda r: r.set_user_data(request, None),
        "flush": lambda r: r.flush(),
        "discard": lambda r: r.discard(),
        "submit": lambda r: r.submit(),
        "submit and wait": lambda r: r.submit(wait=1, timeout=0.01),
        "enter": lambda r: r.enter(0),
        "enable": lambda r: r.enable(),
        "resize": lambda r: r.resize(16),
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
        "cq_eventfd_enabled = False": lambda r: setattr(r, "cq_eventfd_enabled", False),
        "register_personality": lambda r: r.register_personality(),
        "unregister_personality": lambda r: r.unregister_personality(1),
        "register_iowq_aff": lambda r: r.register_iowq_aff([0]),
        "unregister_iowq_aff": lambda r: r.unregister_iowq_aff(),
        "register_iowq_max_workers": lambda r: r.register_iowq_max_workers(),
        "register_napi": lambda r: r.register_napi(0.001),
        "unregister_napi": lambda r: r.unregister_napi(),
        "add_napi_id": lambda r: r.add_napi_id(1000),
        "remove_napi_id": lambda r: r.remove_napi_id(1000),
        "register_clock": lambda r: r.register_clock("boottime"),
        "register_region": lambda r: r.register_region(1),
        "register_ifq": lambda r: r.register_ifq("lo", 0),
        "cancel_sync": lambda r: r.cancel_sync(all=True),
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
        "find": lambda r: r.find(None),
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
        self.opening = {**preps, **_others(other, request)}
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

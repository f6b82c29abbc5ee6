"""The compiled half of uring_rs. Import these names from `uring_rs`."""

import os
import socket
import sys
from collections.abc import Buffer, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias, final

class HasFileno(Protocol):
    def fileno(self) -> int: ...

File: TypeAlias = int | HasFileno
Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | str | bytes
AncData: TypeAlias = Iterable[tuple[int, int, Buffer]]
Trace: TypeAlias = Callable[[str, dict[str, object]], object]

@final
class Request:
    """Names one request of one ring: what every `prep_*` returns, what cancel takes."""
    @property
    def op(self) -> str: ...
    @property
    def key(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Completion:
    """One completion."""

    user_data: Any
    res: int
    flags: int
    @property
    def more(self) -> bool: ...
    @property
    def op(self) -> str: ...
    @property
    def request(self) -> Request: ...
    @property
    def address(self) -> Address | None: ...
    @property
    def ancdata(self) -> list[tuple[int, int, bytes]]: ...
    @property
    def msg_flags(self) -> int: ...
    def result(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...

@final
class Sqe:
    """A request prepared apart from any ring; the same builders as `Ring.prep_*`."""
    @staticmethod
    def nop(user_data: object = None, *, flags: int = 0) -> Sqe: ...
    # ... one static method per Ring.prep_* with the same arguments
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Ring:
    def __new__(
        cls,
        entries: int = 64,
        *,
        cq_entries: int | None = None,
        flags: int | None = None,
        sqpoll_idle_ms: int | None = None,
        sqpoll_cpu: int | None = None,
        shared: bool = False,
        sq_full: str = "submit",
        trace: Trace | None = None,
        kernel: SimKernel | None = None,
    ) -> Self: ...
    # life
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None: ...
    def close(self, timeout: float | None = None) -> None: ...
    def fileno(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    # facts
    @property
    def sq_entries(self) -> int: ...
    @property
    def cq_entries(self) -> int: ...
    @property
    def flags(self) -> int: ...  # SetupFlags
    @property
    def features(self) -> int: ...  # Features
    @property
    def shared(self) -> bool: ...
    @property
    def sq_space(self) -> int: ...  # free submission entries
    @property
    def sq_ready(self) -> int: ...  # staged, not yet taken by the kernel
    @property
    def cq_ready(self) -> int: ...  # completions that can be had without blocking
    @property
    def in_flight(self) -> int: ...  # requests staged or with the kernel
    @property
    def cq_overflowed(self) -> bool: ...
    @property
    def sq_needs_wakeup(self) -> bool: ...
    def is_live(self, request: Request, /) -> bool: ...
    def supports(self, op: int | str, /) -> bool: ...
    # submission
    def push(self, sqe: Sqe, /) -> Request: ...
    def push_many(self, sqes: Iterable[Sqe], /) -> list[Request]: ...
    def flush(self) -> int: ...  # publish staged entries without entering the kernel; how many wait
    def discard(self) -> int: ...  # roll back what is staged and unpublished
    def submit(self, wait: int = 0, timeout: float | None = None) -> int: ...
    def enter(self, to_submit: int, min_complete: int = 0, flags: int = 0) -> int: ...
    def sq_wakeup(self) -> None: ...
    def sq_wait(self) -> int: ...  # block until the submission queue has space
    def wake(self) -> None: ...  # from any thread: the current or next wait returns early
    # completions
    def __iter__(self) -> Self: ...
    def __next__(self) -> Completion: ...
    def peek(self) -> Completion | None: ...  # the next one, left in place
    def pop(self) -> Completion | None: ...  # the next one, taken
    def reap(self, max: int | None = None) -> list[Completion]: ...
    def wait(
        self, min: int = 1, timeout: float | None = None
    ) -> int: ...  # cq_ready afterwards; fewer than min on timeout or wake
    def wait_cqe(self, timeout: float | None = None) -> Completion: ...  # TimeoutError
    def completions(self, min: int = 0, timeout: float | None = None) -> Iterator[Completion]: ...
    def flush_overflow(self) -> int: ...
    # resources
    def buffer_pool(self, count: int, size: int) -> BufferPool: ...
    def register_eventfd(self, file: File, *, async_only: bool = False) -> None: ...
    def unregister_eventfd(self) -> None: ...
    # builders; every one also takes the keyword-only C = (*, user_data=None, flags=0, personality=0)
    def prep_nop(self, user_data: object = None, *, flags: int = 0) -> Request: ...
    def prep_read(
        self,
        file: File,
        buf: Buffer,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    # prep_write: as prep_read
    # prep_readv / prep_writev(file, bufs: Sequence[Buffer], offset=-1, *, rw_flags=0, ioprio=0, C)
    # prep_read_fixed / prep_write_fixed(file, buf: FixedBuffer, offset=-1, nbytes=None, *, start=0, rw_flags=0, ioprio=0, C)
    # prep_fsync(file, *, datasync=False, offset=0, nbytes=0, C); prep_fdatasync(file, *, C)
    # prep_sync_file_range(file, offset=0, nbytes=0, sync_flags=WAIT_BEFORE|WRITE|WAIT_AFTER (7), *, C)
    # prep_openat(path, open_flags=os.O_RDONLY, mode=0o777, *, dir_fd=None, C)   (O_CLOEXEC always added)
    # prep_close(file, *, C)
    # prep_accept(sock, accept_flags=SOCK_CLOEXEC, *, C)        -> Completion.address
    # prep_connect(sock, address, *, C)
    # prep_send(sock, data, msg_flags=0, nbytes=None, *, address=None, ioprio=0, C); prep_recv(sock, buf, msg_flags=0, nbytes=None, *, ioprio=0, C)
    # prep_sendmsg(sock, buffers, ancdata=(), msg_flags=0, address=None, *, ioprio=0, C)
    # prep_recvmsg(sock, buffers, ancbufsize=0, msg_flags=0, *, ioprio=0, C)   -> Completion.address/.ancdata/.msg_flags
    # prep_poll_add(file, events, *, multishot=False, C); prep_poll_remove(request, *, C); prep_poll_update(request, events, *, C)
    # prep_timeout(seconds, *, count=0, absolute=False, clock="monotonic"|"boottime"|"realtime", etime_success=False, C)
    # prep_timeout_remove(request, *, C); prep_timeout_update(request, seconds, *, absolute=False, clock=..., C)
    # prep_link_timeout(seconds, *, absolute=False, clock=..., etime_success=False, C)
    # prep_cancel(request, *, C); prep_cancel_fd(file, *, all=False, C); prep_cancel_all(*, C)
    # prep_epoll_ctl(epfd, op, file, events=0, data=None, *, C)

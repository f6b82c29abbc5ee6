"""The compiled half of uring_rs. Import these names from `uring_rs`."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias, final, type_check_only

from typing_extensions import Buffer, disjoint_base

from .flags import Features, SetupFlags

__all__ = [
    "BufferPool",
    "Completion",
    "DirectFile",
    "FileTable",
    "FixedBuffer",
    "RegisteredBuffer",
    "Request",
    "Ring",
    "SimKernel",
    "Sqe",
    "__version__",
    "_close_all",
    "_graveyard",
    "_operations",
    "probe",
]

__version__: str

@type_check_only
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

_Descriptor: TypeAlias = int | _HasFileno
_File: TypeAlias = _Descriptor | DirectFile
_Direct: TypeAlias = bool | DirectFile | None
_Fixed: TypeAlias = FixedBuffer | RegisteredBuffer
_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Address: TypeAlias = (
    tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, int] | str | bytes
)
_Files: TypeAlias = _File | Buffer | Sequence[_Descriptor]
_Buffers: TypeAlias = _Fixed | Buffer | Sequence[Buffer]
_Ints: TypeAlias = int | Buffer | Iterable[int]
_AncData: TypeAlias = Iterable[tuple[int, int, Buffer]]
_Clock: TypeAlias = Literal["monotonic", "boottime", "realtime"]
_Trace: TypeAlias = Callable[[str, dict[str, Any]], object]

@final
class Request:
    @property
    def op(self) -> str: ...
    @property
    def key(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Completion:
    __match_args__: ClassVar[tuple[str, str, str]]
    @property
    def user_data(self) -> Any: ...
    @property
    def res(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def more(self) -> bool: ...
    @property
    def op(self) -> str: ...
    @property
    def request(self) -> Request: ...
    @property
    def value(self) -> Any: ...
    @property
    def address(self) -> Any: ...
    @property
    def ancdata(self) -> list[tuple[int, int, bytes]]: ...
    @property
    def msg_flags(self) -> int: ...
    def result(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...

@final
class Sqe:
    @property
    def op(self) -> str: ...
    @property
    def flags(self) -> int: ...
    @property
    def user_data(self) -> Any: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @staticmethod
    def nop(user_data: object = None, *, flags: int = 0, personality: int = 0) -> Sqe: ...
    @staticmethod
    def read(
        file: _File,
        buf: Buffer,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def write(
        file: _File,
        buf: Buffer,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def readv(
        file: _File,
        bufs: Iterable[Buffer],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def writev(
        file: _File,
        bufs: Iterable[Buffer],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def read_fixed(
        file: _File,
        buf: _Fixed,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        start: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def write_fixed(
        file: _File,
        buf: _Fixed,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        start: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def readv_fixed(
        file: _File,
        buf: _Fixed,
        parts: Iterable[tuple[int, int]],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def writev_fixed(
        file: _File,
        buf: _Fixed,
        parts: Iterable[tuple[int, int]],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def fsync(
        file: _File,
        *,
        datasync: bool = False,
        offset: int = 0,
        nbytes: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def fdatasync(
        file: _File, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Sqe: ...
    @staticmethod
    def sync_file_range(
        file: _File,
        offset: int = 0,
        nbytes: int = 0,
        sync_flags: int = 7,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def openat(
        path: _Path,
        open_flags: int = 0,
        mode: int = 0o777,
        *,
        dir_fd: _Descriptor | None = None,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def close(
        file: _File, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Sqe: ...
    @staticmethod
    def fixed_fd_install(
        file: DirectFile,
        *,
        install_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def files_update(
        files: Iterable[_Descriptor | None],
        slot: DirectFile | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def msg_ring_fd(
        ring: Ring,
        file: DirectFile,
        *,
        direct: Literal[True] | DirectFile | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def accept(
        sock: _File,
        accept_flags: int = 0o2000000,
        *,
        multishot: bool = False,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def connect(
        sock: _File,
        address: _Address,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def send(
        sock: _File,
        data: Buffer,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        address: _Address | None = None,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def recv(
        sock: _File,
        buf: Buffer,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def sendmsg(
        sock: _File,
        buffers: Iterable[Buffer],
        ancdata: _AncData | None = None,
        msg_flags: int = 0,
        address: _Address | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def recvmsg(
        sock: _File,
        buffers: Iterable[Buffer],
        ancbufsize: int = 0,
        msg_flags: int = 0,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def poll_add(
        file: _File,
        events: int,
        *,
        multishot: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def poll_remove(
        request: Request, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Sqe: ...
    @staticmethod
    def poll_update(
        request: Request,
        events: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def timeout(
        seconds: float,
        *,
        count: int = 0,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def timeout_remove(
        request: Request, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Sqe: ...
    @staticmethod
    def timeout_update(
        request: Request,
        seconds: float,
        *,
        absolute: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def link_timeout(
        seconds: float,
        *,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def cancel(
        request: Request, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Sqe: ...
    @staticmethod
    def cancel_fd(
        file: _File,
        *,
        all: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...
    @staticmethod
    def cancel_all(*, user_data: object = None, flags: int = 0, personality: int = 0) -> Sqe: ...
    @staticmethod
    def epoll_ctl(
        epfd: _Descriptor,
        op: int,
        file: _Descriptor,
        events: int = 0,
        data: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Sqe: ...

@final
class FixedBuffer:
    @property
    def index(self) -> int: ...
    def release(self) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...

@final
class BufferPool:
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def available(self) -> int: ...
    def take(self) -> FixedBuffer: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...

@final
class RegisteredBuffer:
    @property
    def index(self) -> int: ...
    @property
    def registered(self) -> bool: ...
    @property
    def readonly(self) -> bool: ...
    @property
    def obj(self) -> Any: ...
    def __len__(self) -> int: ...

@final
class DirectFile:
    @property
    def slot(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def reserved(self) -> bool: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...

@final
class FileTable:
    @property
    def closed(self) -> bool: ...
    @property
    def alloc_range(self) -> tuple[int, int]: ...
    def set_alloc_range(self, start: int, count: int) -> None: ...
    def reserve(self, slot: int | None = None) -> DirectFile: ...
    def update(self, slot: int, files: Iterable[_Descriptor | None]) -> list[DirectFile | None]: ...
    def close(self) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, slot: int, /) -> DirectFile | None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...

@disjoint_base
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
        sq_full: Literal["submit", "raise"] = "submit",
        trace: _Trace | None = None,
        kernel: SimKernel | None = None,
    ) -> Self: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...
    def close(self, timeout: float | None = None) -> None: ...
    def fileno(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def sq_entries(self) -> int: ...
    @property
    def cq_entries(self) -> int: ...
    @property
    def flags(self) -> SetupFlags: ...
    @property
    def features(self) -> Features: ...
    @property
    def shared(self) -> bool: ...
    @property
    def sq_space(self) -> int: ...
    @property
    def sq_ready(self) -> int: ...
    @property
    def cq_ready(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def cq_overflowed(self) -> bool: ...
    @property
    def sq_needs_wakeup(self) -> bool: ...
    @property
    def stray_completions(self) -> int: ...
    def is_live(self, request: Request, /) -> bool: ...
    def supports(self, op: int | str, /) -> bool: ...
    def push(self, sqe: Sqe, /) -> Request: ...
    def push_many(self, sqes: Iterable[Sqe], /) -> list[Request]: ...
    def flush(self) -> int: ...
    def discard(self) -> int: ...
    def submit(self, wait: int = 0, timeout: float | None = None) -> int: ...
    def enter(self, to_submit: int, min_complete: int = 0, flags: int = 0) -> int: ...
    def sq_wakeup(self) -> None: ...
    def sq_wait(self) -> int: ...
    def wake(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Completion: ...
    def peek(self) -> Completion | None: ...
    def pop(self) -> Completion | None: ...
    def reap(self, max: int | None = None) -> list[Completion]: ...
    def wait(self, min: int = 1, timeout: float | None = None) -> int: ...
    def wait_cqe(self, timeout: float | None = None) -> Completion: ...
    def completions(self, min: int = 0, timeout: float | None = None) -> Iterator[Completion]: ...
    def flush_overflow(self) -> int: ...
    def buffer_pool(self, count: int, size: int) -> BufferPool: ...
    @property
    def files(self) -> FileTable | None: ...
    def register_files(self, files: int | Iterable[_Descriptor | None], /) -> FileTable: ...
    def register_files_update(
        self, slot: int, files: Iterable[_Descriptor | None], /
    ) -> list[DirectFile | None]: ...
    def register_file_alloc_range(self, start: int, count: int, /) -> None: ...
    def unregister_files(self) -> None: ...
    def register_buffers(
        self, buffers: int | Iterable[Buffer | None], /
    ) -> list[RegisteredBuffer | None]: ...
    def register_buffers_update(
        self, start: int, buffers: Iterable[Buffer | None], /
    ) -> list[RegisteredBuffer | None]: ...
    def unregister_buffers(self) -> None: ...
    def clone_buffers(
        self,
        source: Ring,
        *,
        source_start: int = 0,
        start: int = 0,
        count: int | None = None,
        replace: bool = False,
    ) -> list[RegisteredBuffer | None]: ...
    def register_eventfd(self, file: _Descriptor, *, async_only: bool = False) -> None: ...
    def unregister_eventfd(self) -> None: ...
    def prep_nop_batch(self, count: int, *, tag: int = 0, flags: int = 0) -> int: ...
    def prep_read_batch(
        self,
        files: _Files,
        bufs: _Buffers,
        offsets: _Ints,
        nbytes: _Ints | None = None,
        *,
        tag: int = 0,
        flags: int = 0,
    ) -> int: ...
    def prep_write_batch(
        self,
        files: _Files,
        bufs: _Buffers,
        offsets: _Ints,
        nbytes: _Ints | None = None,
        *,
        tag: int = 0,
        flags: int = 0,
    ) -> int: ...
    def run_nops(
        self, count: int, *, results: Buffer | None = None, depth: int | None = None
    ) -> Any: ...
    def run_reads(
        self,
        files: _Files,
        bufs: _Buffers,
        offsets: _Ints,
        nbytes: _Ints | None = None,
        *,
        results: Buffer | None = None,
        depth: int | None = None,
        flags: int = 0,
    ) -> Any: ...
    def run_writes(
        self,
        files: _Files,
        bufs: _Buffers,
        offsets: _Ints,
        nbytes: _Ints | None = None,
        *,
        results: Buffer | None = None,
        depth: int | None = None,
        flags: int = 0,
    ) -> Any: ...
    def reap_into(self, records: Buffer, /) -> int: ...
    def prep_nop(
        self, user_data: object = None, *, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_read(
        self,
        file: _File,
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
    def prep_write(
        self,
        file: _File,
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
    def prep_readv(
        self,
        file: _File,
        bufs: Iterable[Buffer],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_writev(
        self,
        file: _File,
        bufs: Iterable[Buffer],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_read_fixed(
        self,
        file: _File,
        buf: _Fixed,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        start: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_write_fixed(
        self,
        file: _File,
        buf: _Fixed,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        start: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_readv_fixed(
        self,
        file: _File,
        buf: _Fixed,
        parts: Iterable[tuple[int, int]],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_writev_fixed(
        self,
        file: _File,
        buf: _Fixed,
        parts: Iterable[tuple[int, int]],
        offset: int = -1,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_fsync(
        self,
        file: _File,
        *,
        datasync: bool = False,
        offset: int = 0,
        nbytes: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_fdatasync(
        self, file: _File, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_sync_file_range(
        self,
        file: _File,
        offset: int = 0,
        nbytes: int = 0,
        sync_flags: int = 7,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_openat(
        self,
        path: _Path,
        open_flags: int = 0,
        mode: int = 0o777,
        *,
        dir_fd: _Descriptor | None = None,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_close(
        self, file: _File, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_fixed_fd_install(
        self,
        file: DirectFile,
        *,
        install_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_files_update(
        self,
        files: Iterable[_Descriptor | None],
        slot: DirectFile | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_msg_ring_fd(
        self,
        ring: Ring,
        file: DirectFile,
        *,
        direct: Literal[True] | DirectFile | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_accept(
        self,
        sock: _File,
        accept_flags: int = 0o2000000,
        *,
        multishot: bool = False,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_connect(
        self,
        sock: _File,
        address: _Address,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_send(
        self,
        sock: _File,
        data: Buffer,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        address: _Address | None = None,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_recv(
        self,
        sock: _File,
        buf: Buffer,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_sendmsg(
        self,
        sock: _File,
        buffers: Iterable[Buffer],
        ancdata: _AncData | None = None,
        msg_flags: int = 0,
        address: _Address | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_recvmsg(
        self,
        sock: _File,
        buffers: Iterable[Buffer],
        ancbufsize: int = 0,
        msg_flags: int = 0,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_poll_add(
        self,
        file: _File,
        events: int,
        *,
        multishot: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_poll_remove(
        self, request: Request, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_poll_update(
        self,
        request: Request,
        events: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_timeout(
        self,
        seconds: float,
        *,
        count: int = 0,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_timeout_remove(
        self, request: Request, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_timeout_update(
        self,
        request: Request,
        seconds: float,
        *,
        absolute: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_link_timeout(
        self,
        seconds: float,
        *,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_cancel(
        self, request: Request, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_cancel_fd(
        self,
        file: _File,
        *,
        all: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...
    def prep_cancel_all(
        self, *, user_data: object = None, flags: int = 0, personality: int = 0
    ) -> Request: ...
    def prep_epoll_ctl(
        self,
        epfd: _Descriptor,
        op: int,
        file: _Descriptor,
        events: int = 0,
        data: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: int = 0,
    ) -> Request: ...

@final
class SimKernel:
    def __new__(
        cls,
        seed: int = 0,
        *,
        linux: tuple[int, int] | None = None,
        start: int | None = None,
        cold_percent: int | None = None,
        worker_ns: int | None = None,
        locked_memory: int | None = None,
        patience_ms: int | None = None,
    ) -> Self: ...
    def file(self, name: str, contents: bytes | None = None) -> int: ...
    def contents(self, name: str) -> bytes | None: ...
    def pipe(self) -> tuple[int, int]: ...
    def socketpair(self) -> tuple[int, int]: ...
    def feed(self, fd: int, data: bytes) -> None: ...
    def drain(self, fd: int) -> bytes: ...
    def close(self, fd: int) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def signal_after(self, seconds: float) -> None: ...
    def fail_call(self, call: str, nth: int, errno: int | str | tuple[str, int]) -> None: ...
    def fail_request(self, nth: int, what: str, value: int = 0) -> None: ...
    @property
    def faults_left(self) -> int: ...
    @property
    def submitted(self) -> list[tuple[str, int]]: ...
    @property
    def completed(self) -> list[tuple[int, int, int]]: ...
    @property
    def violations(self) -> list[str]: ...
    @property
    def live_maps(self) -> int: ...
    @property
    def open_fds(self) -> list[int]: ...
    @property
    def in_flight(self) -> int: ...

def probe() -> dict[str, Any]: ...
def _operations() -> list[dict[str, Any]]: ...
def _close_all() -> None: ...
def _graveyard() -> int: ...

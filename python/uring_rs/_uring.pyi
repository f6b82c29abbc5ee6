"""The compiled half of uring_rs. Import these names from `uring_rs`."""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from selectors import SelectorKey
from types import GenericAlias, TracebackType
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    Protocol,
    Self,
    SupportsIndex,
    TypeAlias,
    TypedDict,
    TypeVar,
    final,
    type_check_only,
)

from typing_extensions import Buffer, disjoint_base

from .flags import Features, SetupFlags
from .ioqueue import IoCompletions
from .kernel_info import NapiSettings
from .restrictions import Restrictions

__all__ = [
    "AlignedPool",
    "BufferPool",
    "BufferRing",
    "Completion",
    "CqeArray",
    "DirectFile",
    "FileTable",
    "FixedBuffer",
    "IoCompletion",
    "MemoryRegion",
    "Personality",
    "PollSet",
    "PooledBuffer",
    "ProvidedBuffers",
    "ReadMany",
    "RegisteredBuffer",
    "Request",
    "Ring",
    "SimKernel",
    "Sqe",
    "StatxResult",
    "Stream",
    "TreeWalk",
    "ZcrxBuffer",
    "ZcrxQueue",
    "_IoQueue",
    "_Pages",
    "__version__",
    "_close_all",
    "_constants",
    "_copy",
    "_graveyard",
    "_operations",
    "_query",
    "_read_ranges",
    "_register_operations",
    "_save",
    "_stat_many",
    "_stream",
    "_write_many",
    "_write_ranges",
    "probe",
    "send_msg",
]

__version__: str

@type_check_only
class _HasFileno(Protocol):
    def fileno(self) -> int: ...

_Descriptor: TypeAlias = int | _HasFileno
_File: TypeAlias = _Descriptor | DirectFile
_Direct: TypeAlias = bool | DirectFile | None
_DirectPair: TypeAlias = bool | tuple[DirectFile, DirectFile] | None
_Fixed: TypeAlias = FixedBuffer | RegisteredBuffer
_Pool: TypeAlias = BufferRing | ProvidedBuffers
_Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_Address: TypeAlias = (
    tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, int] | str | bytes
)
_Files: TypeAlias = _File | Buffer | Sequence[_Descriptor]
_Buffers: TypeAlias = _Fixed | Buffer | Sequence[Buffer]
_Ints: TypeAlias = int | Buffer | Iterable[int]
_AncData: TypeAlias = Iterable[tuple[int, int, Buffer]]
_Clock: TypeAlias = Literal["monotonic", "boottime", "realtime"]
_Way: TypeAlias = Literal["auto", "ring", "threads"]
_Trace: TypeAlias = Callable[[str, dict[str, Any]], object]

@final
class Request:
    @property
    def op(self) -> str: ...
    @property
    def live(self) -> bool: ...
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
    @property
    def big_cqe(self) -> tuple[int, int] | None: ...
    @property
    def buffer(self) -> PooledBuffer | None: ...
    @property
    def buffers(self) -> list[PooledBuffer]: ...
    def result(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...

@final
class CqeArray:
    def __new__(cls, length: int) -> CqeArray: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[int, int, int]: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class MemoryRegion:
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class ZcrxQueue:
    @property
    def id(self) -> int: ...
    def buffer(self, offset: int, nbytes: int) -> ZcrxBuffer: ...

@final
class ZcrxBuffer:
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
class Personality:
    @property
    def id(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def __index__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...

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
    def nop(
        user_data: object = None,
        *,
        result: int | None = None,
        file: _File | None = None,
        buf: _Fixed | None = None,
        nop_flags: int = 0,
        extra: tuple[int, int] | None = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def nop128(
        *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def read(
        file: _File,
        buf: Buffer | None = None,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        pool: _Pool | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def read_pi(
        file: _File,
        buf: Buffer,
        pi: Buffer,
        offset: int,
        *,
        nbytes: int | None = None,
        checks: int = 7,
        app_tag: int = 0,
        seed: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def write_pi(
        file: _File,
        buf: Buffer,
        pi: Buffer,
        offset: int,
        *,
        nbytes: int | None = None,
        checks: int = 7,
        app_tag: int = 0,
        seed: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def fdatasync(
        file: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
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
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def fallocate(
        file: _File,
        offset: int,
        nbytes: int,
        mode: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def ftruncate(
        file: _File,
        length: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def fadvise(
        file: _File,
        offset: int,
        nbytes: int,
        advice: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def madvise(
        buf: Buffer,
        advice: int,
        start: int = 0,
        nbytes: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def splice(
        src: _File,
        dst: _File,
        nbytes: int,
        offset_src: int = -1,
        offset_dst: int = -1,
        splice_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def tee(
        src: _File,
        dst: _File,
        nbytes: int,
        splice_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def openat2(
        path: _Path,
        open_flags: int = 0,
        mode: int | None = None,
        resolve: int = 0,
        *,
        dir_fd: _Descriptor | None = None,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def renameat(
        src: _Path,
        dst: _Path,
        *,
        src_dir_fd: _Descriptor | None = None,
        dst_dir_fd: _Descriptor | None = None,
        rename_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def rename(
        src: _Path,
        dst: _Path,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def unlinkat(
        path: _Path,
        unlink_flags: int = 0,
        *,
        dir_fd: _Descriptor | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def unlink(
        path: _Path,
        unlink_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def mkdirat(
        path: _Path,
        mode: int = 0o777,
        *,
        dir_fd: _Descriptor | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def mkdir(
        path: _Path,
        mode: int = 0o777,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def symlinkat(
        src: _Path,
        dst: _Path,
        *,
        dir_fd: _Descriptor | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def symlink(
        src: _Path,
        dst: _Path,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def linkat(
        src: _Path,
        dst: _Path,
        *,
        src_dir_fd: _Descriptor | None = None,
        dst_dir_fd: _Descriptor | None = None,
        link_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def link(
        src: _Path,
        dst: _Path,
        *,
        link_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def statx(
        path: _Path | _File,
        statx_flags: int = 0,
        mask: int = 0xFFF,
        *,
        dir_fd: _Descriptor | None = None,
        follow_symlinks: bool = True,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def getxattr(
        path: _Path,
        attribute: _Path,
        buf: Buffer | None = None,
        *,
        size: int | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def fgetxattr(
        file: _File,
        attribute: _Path,
        buf: Buffer | None = None,
        *,
        size: int | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def setxattr(
        path: _Path,
        attribute: _Path,
        value: Buffer,
        xattr_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def fsetxattr(
        file: _File,
        attribute: _Path,
        value: Buffer,
        xattr_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def close(
        file: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def fixed_fd_install(
        file: DirectFile,
        *,
        install_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def files_update(
        files: Iterable[_Descriptor | None],
        slot: DirectFile | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def msg_ring_fd(
        ring: Ring,
        file: DirectFile,
        *,
        direct: Literal[True] | DirectFile | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def accept(
        sock: _File,
        accept_flags: int = 0o2000000,
        *,
        ioprio: int = 0,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def connect(
        sock: _File,
        address: _Address,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def send(
        sock: _File,
        data: Buffer | Iterable[Buffer] | None = None,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        address: _Address | None = None,
        ioprio: int = 0,
        pool: _Pool | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def recv(
        sock: _File,
        buf: Buffer | None = None,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        pool: _Pool | None = None,
        multishot: bool = False,
        bundle: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def recv_zc(
        sock: _File,
        queue: ZcrxQueue | int,
        nbytes: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def recvmsg(
        sock: _File,
        buffers: Iterable[Buffer] | None = None,
        ancbufsize: int = 0,
        msg_flags: int = 0,
        *,
        ioprio: int = 0,
        pool: _Pool | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def recv_multishot(
        sock: _File,
        pool: _Pool,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        total: int | None = None,
        bundle: bool = False,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def recvmsg_multishot(
        sock: _File,
        pool: _Pool,
        ancbufsize: int = 0,
        msg_flags: int = 0,
        *,
        with_address: bool = True,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def read_multishot(
        file: _File,
        pool: _Pool,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def send_bundle(
        sock: _File,
        pool: _Pool,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def provide_buffers(
        pool: ProvidedBuffers,
        first: int = 0,
        count: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def remove_buffers(
        pool: ProvidedBuffers,
        count: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def socket(
        family: int = 2,
        type: int = 1,
        proto: int = 0,
        *,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def bind(
        sock: _File,
        address: _Address,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def listen(
        sock: _File,
        backlog: int = 128,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def shutdown(
        sock: _File,
        how: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def multishot_accept(
        sock: _File,
        accept_flags: int = 0o2000000,
        *,
        ioprio: int = 0,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def sendto(
        sock: _File,
        data: Buffer | Iterable[Buffer],
        address: _Address,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def send_zc(
        sock: _File,
        data: Buffer | Iterable[Buffer],
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        address: _Address | None = None,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def send_zc_fixed(
        sock: _File,
        buf: _Fixed,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        start: int = 0,
        address: _Address | None = None,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def sendmsg_zc(
        sock: _File,
        buffers: Iterable[Buffer],
        ancdata: _AncData | None = None,
        msg_flags: int = 0,
        address: _Address | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def sendmsg_zc_fixed(
        sock: _File,
        buf: _Fixed,
        parts: Iterable[tuple[int, int]],
        ancdata: _AncData | None = None,
        msg_flags: int = 0,
        address: _Address | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def siocinq(
        sock: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def siocoutq(
        sock: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def getsockopt(
        sock: _File,
        level: int,
        optname: int,
        buflen: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def setsockopt(
        sock: _File,
        level: int,
        optname: int,
        value: int | Buffer,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def getsockname(
        sock: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def getpeername(
        sock: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def tx_timestamp(
        sock: _File, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def cmd_discard(
        file: _File,
        offset: int,
        nbytes: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def uring_cmd(
        file: _File,
        cmd_op: int,
        data: Buffer | None = None,
        *,
        addr: int = 0,
        nbytes: int = 0,
        optlen: int = 0,
        cmd_flags: int = 0,
        fixed: _Fixed | None = None,
        locks: Iterable[Buffer] | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def poll_add(
        file: _File,
        events: int,
        *,
        multishot: bool = False,
        level: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def poll_remove(
        request: Request,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def poll_update(
        request: Request,
        events: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def timeout(
        seconds: float | None = None,
        *,
        ns: int | None = None,
        count: int = 0,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        multishot: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def timeout_remove(
        request: Request,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def timeout_update(
        request: Request,
        seconds: float | None = None,
        *,
        ns: int | None = None,
        absolute: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def link_timeout(
        seconds: float | None = None,
        *,
        ns: int | None = None,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def cancel(
        request: Request,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def cancel_fd(
        file: _File,
        *,
        all: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def cancel_op(
        op: int | str,
        *,
        file: _File | None = None,
        all: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def cancel_all(
        *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Sqe: ...
    @staticmethod
    def futex_wait(
        buf: Buffer,
        value: int,
        offset: int = 0,
        *,
        mask: int = 0xFFFFFFFF,
        shared: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def futex_wake(
        buf: Buffer,
        count: int = 1,
        offset: int = 0,
        *,
        mask: int = 0xFFFFFFFF,
        shared: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def futex_waitv(
        words: Iterable[tuple[Buffer, int] | tuple[Buffer, int, int]],
        *,
        shared: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def waitid(
        idtype: int,
        id: _File,
        options: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def pipe(
        pipe_flags: int = 0o2000000,
        *,
        direct: _DirectPair = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def msg_ring(
        ring: Ring | _File,
        res: int = 0,
        data: int = 0,
        *,
        cqe_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
    @staticmethod
    def epoll_wait(
        epfd: _File,
        maxevents: int = 64,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Sqe: ...
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
        personality: SupportsIndex = 0,
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
class AlignedPool:
    def __new__(cls, count: int, size: int, *, register: Ring | None = None) -> Self: ...
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def available(self) -> int: ...
    @property
    def registered(self) -> bool: ...
    def acquire(self) -> FixedBuffer: ...
    def release(self, buffer: FixedBuffer, /) -> None: ...
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
class Stream:
    def __iter__(self) -> Self: ...
    def __next__(self) -> memoryview: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def stats(self) -> dict[str, int]: ...
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
class BufferRing:
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def incremental(self) -> bool: ...
    @property
    def sending(self) -> bool: ...
    @property
    def available(self) -> int: ...
    @property
    def taken(self) -> int: ...
    @property
    def free(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def take(self) -> PooledBuffer: ...
    def queue(self, data: Buffer, /) -> None: ...
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
class ProvidedBuffers:
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def provided(self) -> int: ...
    @property
    def taken(self) -> int: ...
    @property
    def free(self) -> int: ...
    @property
    def closed(self) -> bool: ...
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
class PooledBuffer:
    @property
    def id(self) -> int: ...
    @property
    def released(self) -> bool: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def release(self) -> None: ...
    def queue(self, nbytes: int | None = None) -> None: ...
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
    def update(
        self,
        slot: int,
        files: Iterable[_Descriptor | None],
        *,
        tags: Iterable[int] | None = None,
    ) -> list[DirectFile | None]: ...
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
        attach_to: Ring | None = None,
        huge_pages: bool = False,
        shared: bool = False,
        sq_full: Literal["submit", "raise"] = "submit",
        restrictions: Restrictions | None = None,
        wait_region: bool = False,
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
    def rearm(self, sqe: Sqe, /) -> Request: ...
    def find(self, user_data: object, /) -> list[Request]: ...
    def set_user_data(self, request: Request, user_data: object, /) -> None: ...
    def flush(self) -> int: ...
    def discard(self) -> int: ...
    def submit(
        self, wait: int = 0, timeout: float | None = None, *, min_wait: float | None = None
    ) -> int: ...
    def enter(
        self,
        to_submit: int,
        min_complete: int = 0,
        flags: int = 0,
        *,
        timeout: float | None = None,
        min_wait: float | None = None,
        sigmask: Iterable[int] | None = None,
    ) -> int: ...
    def enable(self) -> None: ...
    def resize(self, sq_entries: int, cq_entries: int | None = None) -> None: ...
    @property
    def iowait(self) -> bool: ...
    @iowait.setter
    def iowait(self, counts: bool, /) -> None: ...
    def sq_wakeup(self) -> None: ...
    def sq_wait(self) -> int: ...
    def wake(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Completion: ...
    def peek(self) -> Completion | None: ...
    def pop(self) -> Completion | None: ...
    def reap(self, max: int | None = None) -> list[Completion]: ...
    def wait(
        self, min: int = 1, timeout: float | None = None, *, min_wait: float | None = None
    ) -> int: ...
    def wait_cqe(self, timeout: float | None = None) -> Completion: ...
    def completions(
        self, min: int = 0, timeout: float | None = None, *, min_wait: float | None = None
    ) -> Iterator[Completion]: ...
    def flush_overflow(self) -> int: ...
    def buffer_pool(self, count: int, size: int) -> BufferPool: ...
    def buffer_ring(
        self,
        count: int,
        size: int,
        *,
        incremental: bool = False,
        sending: bool = False,
        kernel_memory: bool = False,
    ) -> BufferRing: ...
    def provided_buffers(self, count: int, size: int) -> ProvidedBuffers: ...
    @property
    def files(self) -> FileTable | None: ...
    def register_files(
        self,
        files: int | Iterable[_Descriptor | None],
        /,
        *,
        tags: Iterable[int] | None = None,
    ) -> FileTable: ...
    def register_files_update(
        self,
        slot: int,
        files: Iterable[_Descriptor | None],
        /,
        *,
        tags: Iterable[int] | None = None,
    ) -> list[DirectFile | None]: ...
    def register_file_alloc_range(self, start: int, count: int, /) -> None: ...
    def unregister_files(self) -> None: ...
    def register_buffers(
        self,
        buffers: int | Iterable[Buffer | None],
        /,
        *,
        tags: Iterable[int] | None = None,
    ) -> list[RegisteredBuffer | None]: ...
    def register_buffers_update(
        self,
        start: int,
        buffers: Iterable[Buffer | None],
        /,
        *,
        tags: Iterable[int] | None = None,
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
    @property
    def cq_eventfd_enabled(self) -> bool: ...
    @cq_eventfd_enabled.setter
    def cq_eventfd_enabled(self, enabled: bool, /) -> None: ...
    def register_personality(self) -> Personality: ...
    def unregister_personality(self, personality: SupportsIndex, /) -> None: ...
    def register_iowq_aff(self, cpus: Iterable[int], /) -> None: ...
    def unregister_iowq_aff(self) -> None: ...
    def register_iowq_max_workers(
        self, bounded: int | None = None, unbounded: int | None = None
    ) -> tuple[int, int]: ...
    def register_napi(
        self,
        busy_poll: float,
        *,
        prefer_busy_poll: bool = False,
        tracking: str = "dynamic",
    ) -> NapiSettings: ...
    def unregister_napi(self) -> NapiSettings: ...
    def add_napi_id(self, napi_id: int, /) -> None: ...
    def remove_napi_id(self, napi_id: int, /) -> None: ...
    def register_clock(self, clock: Literal["monotonic", "boottime"], /) -> None: ...
    @property
    def clock(self) -> str: ...
    @property
    def registered_ring_fd(self) -> int | None: ...
    @property
    def restrictions(self) -> Restrictions | None: ...
    def register_ifq(
        self, interface: str | int, queue: int, *, area: int = ..., entries: int = 4096
    ) -> ZcrxQueue: ...
    def register_region(self, nbytes: int, /) -> MemoryRegion: ...
    def cancel_sync(
        self,
        request: Request | None = None,
        *,
        file: _File | None = None,
        op: str | int | None = None,
        all: bool = False,
        timeout: float | None = None,
    ) -> int: ...
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
        self,
        user_data: object = None,
        *,
        result: int | None = None,
        file: _File | None = None,
        buf: _Fixed | None = None,
        nop_flags: int = 0,
        extra: tuple[int, int] | None = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_nop128(
        self, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Request: ...
    def prep_read(
        self,
        file: _File,
        buf: Buffer | None = None,
        offset: int = -1,
        nbytes: int | None = None,
        *,
        rw_flags: int = 0,
        ioprio: int = 0,
        pool: _Pool | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_read_pi(
        self,
        file: _File,
        buf: Buffer,
        pi: Buffer,
        offset: int,
        *,
        nbytes: int | None = None,
        checks: int = 7,
        app_tag: int = 0,
        seed: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_write_pi(
        self,
        file: _File,
        buf: Buffer,
        pi: Buffer,
        offset: int,
        *,
        nbytes: int | None = None,
        checks: int = 7,
        app_tag: int = 0,
        seed: int = 0,
        rw_flags: int = 0,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_fdatasync(
        self,
        file: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_fallocate(
        self,
        file: _File,
        offset: int,
        nbytes: int,
        mode: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_ftruncate(
        self,
        file: _File,
        length: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_fadvise(
        self,
        file: _File,
        offset: int,
        nbytes: int,
        advice: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_madvise(
        self,
        buf: Buffer,
        advice: int,
        start: int = 0,
        nbytes: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_splice(
        self,
        src: _File,
        dst: _File,
        nbytes: int,
        offset_src: int = -1,
        offset_dst: int = -1,
        splice_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_tee(
        self,
        src: _File,
        dst: _File,
        nbytes: int,
        splice_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_openat2(
        self,
        path: _Path,
        open_flags: int = 0,
        mode: int | None = None,
        resolve: int = 0,
        *,
        dir_fd: _Descriptor | None = None,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_renameat(
        self,
        src: _Path,
        dst: _Path,
        *,
        src_dir_fd: _Descriptor | None = None,
        dst_dir_fd: _Descriptor | None = None,
        rename_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_rename(
        self,
        src: _Path,
        dst: _Path,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_unlinkat(
        self,
        path: _Path,
        unlink_flags: int = 0,
        *,
        dir_fd: _Descriptor | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_unlink(
        self,
        path: _Path,
        unlink_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_mkdirat(
        self,
        path: _Path,
        mode: int = 0o777,
        *,
        dir_fd: _Descriptor | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_mkdir(
        self,
        path: _Path,
        mode: int = 0o777,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_symlinkat(
        self,
        src: _Path,
        dst: _Path,
        *,
        dir_fd: _Descriptor | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_symlink(
        self,
        src: _Path,
        dst: _Path,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_linkat(
        self,
        src: _Path,
        dst: _Path,
        *,
        src_dir_fd: _Descriptor | None = None,
        dst_dir_fd: _Descriptor | None = None,
        link_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_link(
        self,
        src: _Path,
        dst: _Path,
        *,
        link_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_statx(
        self,
        path: _Path | _File,
        statx_flags: int = 0,
        mask: int = 0xFFF,
        *,
        dir_fd: _Descriptor | None = None,
        follow_symlinks: bool = True,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_getxattr(
        self,
        path: _Path,
        attribute: _Path,
        buf: Buffer | None = None,
        *,
        size: int | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_fgetxattr(
        self,
        file: _File,
        attribute: _Path,
        buf: Buffer | None = None,
        *,
        size: int | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_setxattr(
        self,
        path: _Path,
        attribute: _Path,
        value: Buffer,
        xattr_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_fsetxattr(
        self,
        file: _File,
        attribute: _Path,
        value: Buffer,
        xattr_flags: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_close(
        self,
        file: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_fixed_fd_install(
        self,
        file: DirectFile,
        *,
        install_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_files_update(
        self,
        files: Iterable[_Descriptor | None],
        slot: DirectFile | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_msg_ring_fd(
        self,
        ring: Ring,
        file: DirectFile,
        *,
        direct: Literal[True] | DirectFile | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_accept(
        self,
        sock: _File,
        accept_flags: int = 0o2000000,
        *,
        ioprio: int = 0,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_connect(
        self,
        sock: _File,
        address: _Address,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_send(
        self,
        sock: _File,
        data: Buffer | Iterable[Buffer] | None = None,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        address: _Address | None = None,
        ioprio: int = 0,
        pool: _Pool | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_recv(
        self,
        sock: _File,
        buf: Buffer | None = None,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        pool: _Pool | None = None,
        multishot: bool = False,
        bundle: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_recv_zc(
        self,
        sock: _File,
        queue: ZcrxQueue | int,
        nbytes: int = 0,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_recvmsg(
        self,
        sock: _File,
        buffers: Iterable[Buffer] | None = None,
        ancbufsize: int = 0,
        msg_flags: int = 0,
        *,
        ioprio: int = 0,
        pool: _Pool | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_recv_multishot(
        self,
        sock: _File,
        pool: _Pool,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        total: int | None = None,
        bundle: bool = False,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_recvmsg_multishot(
        self,
        sock: _File,
        pool: _Pool,
        ancbufsize: int = 0,
        msg_flags: int = 0,
        *,
        with_address: bool = True,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_read_multishot(
        self,
        file: _File,
        pool: _Pool,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_send_bundle(
        self,
        sock: _File,
        pool: _Pool,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_provide_buffers(
        self,
        pool: ProvidedBuffers,
        first: int = 0,
        count: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_remove_buffers(
        self,
        pool: ProvidedBuffers,
        count: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_socket(
        self,
        family: int = 2,
        type: int = 1,
        proto: int = 0,
        *,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_bind(
        self,
        sock: _File,
        address: _Address,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_listen(
        self,
        sock: _File,
        backlog: int = 128,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_shutdown(
        self,
        sock: _File,
        how: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_multishot_accept(
        self,
        sock: _File,
        accept_flags: int = 0o2000000,
        *,
        ioprio: int = 0,
        direct: _Direct = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_sendto(
        self,
        sock: _File,
        data: Buffer | Iterable[Buffer],
        address: _Address,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_send_zc(
        self,
        sock: _File,
        data: Buffer | Iterable[Buffer],
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        address: _Address | None = None,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_send_zc_fixed(
        self,
        sock: _File,
        buf: _Fixed,
        msg_flags: int = 0,
        nbytes: int | None = None,
        *,
        start: int = 0,
        address: _Address | None = None,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_sendmsg_zc(
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
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_sendmsg_zc_fixed(
        self,
        sock: _File,
        buf: _Fixed,
        parts: Iterable[tuple[int, int]],
        ancdata: _AncData | None = None,
        msg_flags: int = 0,
        address: _Address | None = None,
        *,
        ioprio: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_siocinq(
        self,
        sock: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_siocoutq(
        self,
        sock: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_getsockopt(
        self,
        sock: _File,
        level: int,
        optname: int,
        buflen: int | None = None,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_setsockopt(
        self,
        sock: _File,
        level: int,
        optname: int,
        value: int | Buffer,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_getsockname(
        self,
        sock: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_getpeername(
        self,
        sock: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_tx_timestamp(
        self,
        sock: _File,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_cmd_discard(
        self,
        file: _File,
        offset: int,
        nbytes: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_uring_cmd(
        self,
        file: _File,
        cmd_op: int,
        data: Buffer | None = None,
        *,
        addr: int = 0,
        nbytes: int = 0,
        optlen: int = 0,
        cmd_flags: int = 0,
        fixed: _Fixed | None = None,
        locks: Iterable[Buffer] | None = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_poll_add(
        self,
        file: _File,
        events: int,
        *,
        multishot: bool = False,
        level: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_poll_remove(
        self,
        request: Request,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_poll_update(
        self,
        request: Request,
        events: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_timeout(
        self,
        seconds: float | None = None,
        *,
        ns: int | None = None,
        count: int = 0,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        multishot: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_timeout_remove(
        self,
        request: Request,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_timeout_update(
        self,
        request: Request,
        seconds: float | None = None,
        *,
        ns: int | None = None,
        absolute: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_link_timeout(
        self,
        seconds: float | None = None,
        *,
        ns: int | None = None,
        absolute: bool = False,
        clock: _Clock = "monotonic",
        etime_success: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_cancel(
        self,
        request: Request,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_cancel_fd(
        self,
        file: _File,
        *,
        all: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_cancel_op(
        self,
        op: int | str,
        *,
        file: _File | None = None,
        all: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_cancel_all(
        self, *, user_data: object = None, flags: int = 0, personality: SupportsIndex = 0
    ) -> Request: ...
    def prep_futex_wait(
        self,
        buf: Buffer,
        value: int,
        offset: int = 0,
        *,
        mask: int = 0xFFFFFFFF,
        shared: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_futex_wake(
        self,
        buf: Buffer,
        count: int = 1,
        offset: int = 0,
        *,
        mask: int = 0xFFFFFFFF,
        shared: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_futex_waitv(
        self,
        words: Iterable[tuple[Buffer, int] | tuple[Buffer, int, int]],
        *,
        shared: bool = False,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_waitid(
        self,
        idtype: int,
        id: _File,
        options: int,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_pipe(
        self,
        pipe_flags: int = 0o2000000,
        *,
        direct: _DirectPair = None,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_msg_ring(
        self,
        ring: Ring | _File,
        res: int = 0,
        data: int = 0,
        *,
        cqe_flags: int = 0,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
    ) -> Request: ...
    def prep_epoll_wait(
        self,
        epfd: _File,
        maxevents: int = 64,
        *,
        user_data: object = None,
        flags: int = 0,
        personality: SupportsIndex = 0,
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
        personality: SupportsIndex = 0,
    ) -> Request: ...

@final
class StatxResult:
    @property
    def st_mask(self) -> int: ...
    @property
    def st_mode(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_dev(self) -> int: ...
    @property
    def st_nlink(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_blksize(self) -> int: ...
    @property
    def st_blocks(self) -> int: ...
    @property
    def st_rdev(self) -> int: ...
    @property
    def st_atime(self) -> float: ...
    @property
    def st_mtime(self) -> float: ...
    @property
    def st_ctime(self) -> float: ...
    @property
    def st_atime_ns(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...
    @property
    def st_birthtime(self) -> float | None: ...
    @property
    def st_birthtime_ns(self) -> int | None: ...
    @property
    def st_attributes(self) -> int: ...
    @property
    def st_attributes_mask(self) -> int: ...
    @property
    def st_mnt_id(self) -> int | None: ...
    @property
    def st_dio_mem_align(self) -> int | None: ...
    @property
    def st_dio_offset_align(self) -> int | None: ...
    @property
    def st_dio_read_offset_align(self) -> int | None: ...
    @property
    def st_subvol(self) -> int | None: ...
    @property
    def st_atomic_write_unit_min(self) -> int | None: ...
    @property
    def st_atomic_write_unit_max(self) -> int | None: ...
    @property
    def st_atomic_write_unit_max_opt(self) -> int | None: ...
    @property
    def st_atomic_write_segments_max(self) -> int | None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@type_check_only
class _ReadManyStats(TypedDict):
    at_once: int
    plain: int
    ring: int
    threads: int
    enters: int
    backend: Literal["io_uring", "threads", "syscalls"]
    files: int
    failed: int
    bytes: int
    peak_bytes: int

_PathT = TypeVar("_PathT", covariant=True)
_DataT = TypeVar("_DataT", covariant=True)

@final
class ReadMany(Generic[_PathT, _DataT]):
    def __new__(
        cls,
        paths: Iterable[_PathT],
        *,
        in_flight: int = 64,
        order: str = "completion",
        max_bytes: int | None = None,
        errors: str = "raise",
        out: Sequence[Buffer] | Buffer | None = None,
        dir_fd: int | _HasFileno | None = None,
        way: str = "auto",
        kernel: SimKernel | None = None,
    ) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[_PathT, _DataT]: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def stats(self) -> _ReadManyStats: ...
    def __class_getitem__(cls, item: Any) -> GenericAlias: ...

@final
class PollSet:
    def __new__(cls, entries: int, kernel: SimKernel | None = None) -> Self: ...
    def add(self, fd: int, events: int, /) -> None: ...
    def change(self, fd: int, events: int, /) -> None: ...
    def remove(self, fd: int, /) -> None: ...
    def poll(
        self, timeout: float | None, keys: dict[int, SelectorKey], /
    ) -> list[tuple[SelectorKey, int]]: ...
    def close(self) -> None: ...
    @property
    def broken(self) -> str | None: ...
    @property
    def counts(self) -> tuple[int, int, int]: ...

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
    @property
    def names(self) -> list[str]: ...

@final
class IoCompletion:
    @property
    def request(self) -> int: ...
    @property
    def user(self) -> Any: ...
    @property
    def res(self) -> int: ...
    @property
    def success(self) -> bool: ...
    @property
    def transferred(self) -> int: ...
    @property
    def error(self) -> OSError | None: ...
    def result(self) -> int: ...

@disjoint_base
class _IoQueue:
    def __new__(
        cls,
        depth: int,
        files: int,
        buffers: Iterable[Buffer],
        way: str,
        kernel: SimKernel | None = None,
    ) -> Self: ...
    def register(self, file: _File, /) -> None: ...
    def deregister(self, file: _File, /) -> None: ...
    def prepare(
        self,
        op: int,
        file: _File,
        offset: int | None = None,
        buffer: Buffer | list[Buffer] | tuple[Buffer, ...] | int | None = None,
        user: object = None,
    ) -> int: ...
    def commit(self) -> int: ...
    def wait(
        self, min: int = 1, max: int | None = None, timeout: float | None = None
    ) -> IoCompletions: ...
    def wakeup(self) -> None: ...
    @property
    def wakeup_fd(self) -> int: ...
    def cancel(self, request: int, /) -> bool: ...
    def cancel_all(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def backend(self) -> Literal["io_uring", "threads"]: ...
    @property
    def registered(self) -> int: ...
    @property
    def fixed_files(self) -> bool: ...
    @property
    def prepared(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def close(self, timeout: float | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
        /,
    ) -> None: ...

def probe() -> dict[str, Any]: ...
def _query() -> dict[str, int]: ...
def send_msg(
    ring: Ring | _File, res: int, data: int = 0, *, cqe_flags: int = 0, raw: bool = False
) -> None: ...

@final
class _Pages:
    """Memory of ours, for `memoryview()`; made by `_read_ranges`."""

def _read_ranges(
    files: _Path | _Descriptor | Iterable[_Path | _Descriptor],
    index: _Ints | None,
    offsets: _Ints,
    sizes: _Ints,
    out: Buffer | list[Buffer] | None,
    direct: bool | Literal["auto"],
    depth: int,
    stop: bool,
    way: _Way,
    kernel: SimKernel | None,
) -> tuple[
    Any, array[int] | int | None, array[int], list[int], dict[int, OSError], dict[str, int]
]: ...
def _write_ranges(
    files: _Path | _Descriptor | Iterable[_Path | _Descriptor],
    index: _Ints | None,
    offsets: _Ints,
    sizes: _Ints | None,
    data: Buffer | list[Buffer],
    direct: bool | Literal["auto"],
    depth: int,
    fsync: bool,
    way: _Way,
    kernel: SimKernel | None,
) -> dict[str, int]: ...
def _stream(
    file: _Path | _Descriptor,
    chunk: int,
    depth: int,
    direct_: bool | Literal["auto"],
    offset: int,
    size: int | None,
    way: _Way,
    kernel: SimKernel | None,
) -> Stream: ...
def _operations() -> list[dict[str, Any]]: ...
def _register_operations() -> list[dict[str, Any]]: ...
def _constants() -> list[tuple[str, int, str]]: ...
def _write_many(
    items: Iterable[tuple[_Path, Buffer]],
    /,
    *,
    in_flight: int,
    fsync: bool,
    mode: int,
    overwrite: bool,
    collect: bool,
    dir_fd: int,
    max_bytes: int,
    way: str,
    kernel: SimKernel | None = None,
) -> dict[str, Any]: ...
def _save(
    path: _Path,
    buffers: Iterable[Buffer],
    /,
    *,
    direct: str,
    fsync: bool,
    chunk: int,
    depth: int,
    size: int | None,
    mode: int,
    overwrite: bool,
    dir_fd: int,
    progress: Callable[[int], object] | None,
    way: str,
    kernel: SimKernel | None = None,
) -> dict[str, Any]: ...
def _close_all() -> None: ...
def _graveyard() -> int: ...

_Name = TypeVar("_Name", str, bytes)
_Value_co = TypeVar("_Value_co", covariant=True)

@final
class TreeWalk(Generic[_Name, _Value_co]):
    """A walk under way: an iterator of pairs of a path and what is known of it."""

    def __new__(
        cls,
        top: bytes,
        stat: bool,
        follow: bool,
        collect: bool,
        as_bytes: bool,
        threads: int | None,
        /,
    ) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[_Name, _Value_co]: ...
    def close(self) -> None:
        """End the walk and close what it holds open. Harmless when it has ended."""

def _copy(
    src: bytes,
    dst: bytes,
    recursive: bool,
    collect: bool,
    specials: bool,
    threads: int | None,
    progress: Callable[[int, int | None, int], object] | None,
    way: str,
    /,
) -> tuple[bytes, dict[str, int], list[tuple[int, str | None, bytes, bytes | None]]]: ...
def _stat_many(
    paths: Iterable[str | bytes | os.PathLike[str] | os.PathLike[bytes]],
    follow: bool,
    dir_fd: int | None,
    collect: bool,
    threads: int | None,
    /,
) -> list[Any]: ...

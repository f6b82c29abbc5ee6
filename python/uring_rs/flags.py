"""The numbers of the io_uring interface of Linux 6.18, as enumerations.

Names are the kernel's without their prefix: `IORING_SETUP_SQPOLL` is `SetupFlags.SQPOLL`. Each
member's comment begins with the first kernel that has it. All are integers and combine with `|`,
so they go wherever a flags argument does, and a bit that is not named here passes unharmed.

Whether *this* kernel has something is for `probe()` to say, not for a version number.
This module imports nothing of the package.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag, unique
from typing import Self

__all__ = [
    "CQE_BUFFER_SHIFT",
    "FILE_INDEX_ALLOC",
    "REGISTER_FILES_SKIP",
    "AcceptFlags",
    "AtFlags",
    "CancelFlags",
    "CloneBuffersFlags",
    "CqRingFlags",
    "CqeFlags",
    "EnterFlags",
    "EpollOp",
    "FallocateFlags",
    "Features",
    "FixedFdFlags",
    "FsyncFlags",
    "MadviseAdvice",
    "MemRegionFlags",
    "MemRegionType",
    "MsgRingFlags",
    "MsgRingOp",
    "NapiOp",
    "NapiTracking",
    "NopFlags",
    "NotifUsage",
    "Op",
    "PbufRingFlags",
    "PiFlags",
    "PollFlags",
    "ProbeOpFlags",
    "RecvSendFlags",
    "RegWaitFlags",
    "RegisterOp",
    "RenameFlags",
    "ResolveFlags",
    "RestrictionOp",
    "RsrcFlags",
    "RwAttrFlags",
    "SetupFlags",
    "SocketOp",
    "SpliceFlags",
    "SqRingFlags",
    "SqeFlags",
    "StatxAttributes",
    "StatxMask",
    "SyncFileRangeFlags",
    "TimeoutFlags",
    "UringCmdFlags",
    "WorkerKind",
    "ZcrxAreaFlags",
]

CQE_BUFFER_SHIFT = 16
"""Where the buffer's number begins in `Completion.flags` (`IORING_CQE_BUFFER_SHIFT`)."""

FILE_INDEX_ALLOC = 0xFFFF_FFFF
"""Instead of a slot: let the kernel pick a free one (`IORING_FILE_INDEX_ALLOC`, 5.19)."""

REGISTER_FILES_SKIP = -2
"""Instead of a descriptor: leave this slot as it is (`IORING_REGISTER_FILES_SKIP`, 5.12)."""


@unique
class Op(IntEnum):
    """The operations: `Ring.supports(op)`, `Completion.op`.

    See io_uring_enter(2) (`IORING_OP_*`).
    """

    since: str
    """The first kernel that has it ("5.6")."""

    def __new__(cls, number: int, since: str = "") -> Self:
        member = int.__new__(cls, number)
        member._value_ = number
        member.since = since
        return member

    NOP = 0, "5.1"
    READV = 1, "5.1"
    WRITEV = 2, "5.1"
    FSYNC = 3, "5.1"
    READ_FIXED = 4, "5.1"
    WRITE_FIXED = 5, "5.1"
    POLL_ADD = 6, "5.1"
    POLL_REMOVE = 7, "5.1"
    SYNC_FILE_RANGE = 8, "5.2"
    SENDMSG = 9, "5.3"
    RECVMSG = 10, "5.3"
    TIMEOUT = 11, "5.4"
    TIMEOUT_REMOVE = 12, "5.5"
    ACCEPT = 13, "5.5"
    ASYNC_CANCEL = 14, "5.5"
    LINK_TIMEOUT = 15, "5.5"
    CONNECT = 16, "5.5"
    FALLOCATE = 17, "5.6"
    OPENAT = 18, "5.6"
    CLOSE = 19, "5.6"
    FILES_UPDATE = 20, "5.6"
    STATX = 21, "5.6"
    READ = 22, "5.6"
    WRITE = 23, "5.6"
    FADVISE = 24, "5.6"
    MADVISE = 25, "5.6"
    SEND = 26, "5.6"
    RECV = 27, "5.6"
    OPENAT2 = 28, "5.6"
    EPOLL_CTL = 29, "5.6"
    SPLICE = 30, "5.7"
    PROVIDE_BUFFERS = 31, "5.7"
    REMOVE_BUFFERS = 32, "5.7"
    TEE = 33, "5.8"
    SHUTDOWN = 34, "5.11"
    RENAMEAT = 35, "5.11"
    UNLINKAT = 36, "5.11"
    MKDIRAT = 37, "5.15"
    SYMLINKAT = 38, "5.15"
    LINKAT = 39, "5.15"
    MSG_RING = 40, "5.18"
    FSETXATTR = 41, "5.19"
    SETXATTR = 42, "5.19"
    FGETXATTR = 43, "5.19"
    GETXATTR = 44, "5.19"
    SOCKET = 45, "5.19"
    URING_CMD = 46, "5.19"
    SEND_ZC = 47, "6.0"
    SENDMSG_ZC = 48, "6.1"
    READ_MULTISHOT = 49, "6.7"
    WAITID = 50, "6.7"
    FUTEX_WAIT = 51, "6.7"
    FUTEX_WAKE = 52, "6.7"
    FUTEX_WAITV = 53, "6.7"
    FIXED_FD_INSTALL = 54, "6.8"
    FTRUNCATE = 55, "6.9"
    BIND = 56, "6.11"
    LISTEN = 57, "6.11"
    RECV_ZC = 58, "6.15"
    EPOLL_WAIT = 59, "6.15"
    READV_FIXED = 60, "6.15"
    WRITEV_FIXED = 61, "6.15"
    PIPE = 62, "6.16"


@unique
class SetupFlags(IntFlag):
    """How a ring is made: `Ring(flags=...)`, `Ring.flags`.

    See io_uring_setup(2) (`IORING_SETUP_*`).
    """

    IOPOLL = 1 << 0  # 5.1: busy-poll for completions; O_DIRECT files on devices with poll queues
    SQPOLL = 1 << 1  # 5.1: a kernel thread takes submissions; no system call while it is awake
    SQ_AFF = 1 << 2  # 5.1: bind that thread to a CPU
    CQSIZE = 1 << 3  # 5.5: the completion queue has a size of its own
    CLAMP = 1 << 4  # 5.6: lower sizes that are too large instead of refusing them
    ATTACH_WQ = 1 << 5  # 5.6: share the worker threads of another ring: Ring(attach_to=...)
    R_DISABLED = 1 << 6  # 5.10: start disabled, until Ring.enable()
    SUBMIT_ALL = 1 << 7  # 5.18: an invalid entry does not stop the rest of its batch
    COOP_TASKRUN = 1 << 8  # 5.19: do not interrupt the running thread to complete requests
    TASKRUN_FLAG = 1 << 9  # 5.19: show pending completion work as SqRingFlags.TASKRUN
    SQE128 = 1 << 10  # 5.19: submission entries of 128 bytes
    CQE32 = 1 << 11  # 5.19: completion entries of 32 bytes
    SINGLE_ISSUER = 1 << 12  # 6.0: one thread submits; others get EEXIST
    DEFER_TASKRUN = 1 << 13  # 6.1: complete requests only when the owner waits; needs SINGLE_ISSUER
    NO_MMAP = 1 << 14  # 6.5: the application gives the memory of the rings
    REGISTERED_FD_ONLY = 1 << 15  # 6.5: the ring is an index, not a descriptor; needs NO_MMAP
    NO_SQARRAY = 1 << 16  # 6.6: no index array between ring and entries
    HYBRID_IOPOLL = 1 << 17  # 6.13: sleep before polling; needs IOPOLL
    CQE_MIXED = 1 << 18  # 6.18: completion entries of 16 and of 32 bytes in one queue


@unique
class EnterFlags(IntFlag):
    """What one system call does: `Ring.enter(flags=...)`.

    See io_uring_enter(2) (`IORING_ENTER_*`).
    """

    GETEVENTS = 1 << 0  # 5.1: wait for min_complete completions, and flush an overflow
    SQ_WAKEUP = 1 << 1  # 5.1: wake the thread of an SQPOLL ring
    SQ_WAIT = 1 << 2  # 5.10: wait until an SQPOLL ring has room for submissions
    EXT_ARG = 1 << 3  # 5.11: the argument is a structure with timeout and signal mask
    REGISTERED_RING = 1 << 4  # 5.18: the descriptor is the index of a registered ring
    ABS_TIMER = 1 << 5  # 6.12: the timeout is a point in time
    EXT_ARG_REG = 1 << 6  # 6.13: the argument is an offset into a registered region
    NO_IOWAIT = 1 << 7  # 6.15: do not count the wait as waiting for I/O


@unique
class Features(IntFlag):
    """What the running kernel can do: `Ring.features`, `probe().features`.

    See io_uring_setup(2) (`IORING_FEAT_*`).
    """

    SINGLE_MMAP = 1 << 0  # 5.4: one mapping holds both queues
    NODROP = 1 << 1  # 5.5: completions that do not fit are kept, not dropped
    SUBMIT_STABLE = 1 << 2  # 5.5: arguments may go once the submission has returned
    RW_CUR_POS = 1 << 3  # 5.6: offset -1 means the file's own position
    CUR_PERSONALITY = 1 << 4  # 5.6: requests run with the credentials of their submitter
    FAST_POLL = 1 << 5  # 5.7: a request that would block waits by poll, without a thread
    POLL_32BITS = 1 << 6  # 5.9: poll events of 32 bits
    SQPOLL_NONFIXED = 1 << 7  # 5.11: SQPOLL rings take plain descriptors
    EXT_ARG = 1 << 8  # 5.11: EnterFlags.EXT_ARG works
    NATIVE_WORKERS = 1 << 9  # 5.12: worker threads belong to the process
    RSRC_TAGS = 1 << 10  # 5.13: tags on registered files and buffers
    CQE_SKIP = 1 << 11  # 5.17: SqeFlags.CQE_SKIP_SUCCESS works
    LINKED_FILE = 1 << 12  # 5.17: a linked request sees the file its predecessor opened
    REG_REG_RING = 1 << 13  # 6.3: registering through a registered ring
    RECVSEND_BUNDLE = 1 << 14  # 6.10: RecvSendFlags.BUNDLE works
    MIN_TIMEOUT = 1 << 15  # 6.12: a wait may return after a shorter time with fewer completions
    RW_ATTR = 1 << 16  # 6.14: reads and writes carry attributes
    NO_IOWAIT = 1 << 17  # 6.15: EnterFlags.NO_IOWAIT works


@unique
class SqeFlags(IntFlag):
    """How one request is run: the `flags` of every `prep_*`. See io_uring_enter(2) (`IOSQE_*`)."""

    FIXED_FILE = 1 << 0  # 5.1: the file is an index into the registered files
    IO_DRAIN = 1 << 1  # 5.2: start only when all earlier requests have completed
    IO_LINK = 1 << 2  # 5.3: the next request starts after this one, and not if it fails
    IO_HARDLINK = 1 << 3  # 5.5: the next request starts after this one, whatever its result
    ASYNC = 1 << 4  # 5.6: hand it to a worker thread at once
    BUFFER_SELECT = 1 << 5  # 5.7: the kernel picks a buffer from a group
    CQE_SKIP_SUCCESS = 1 << 6  # 5.17: no completion is reported for a success


@unique
class CqeFlags(IntFlag):
    """What a completion says beside its result: `Completion.flags`.

    Where `BUFFER` is set, `flags >> CQE_BUFFER_SHIFT` is the number of the buffer.
    See io_uring(7) (`IORING_CQE_F_*`).
    """

    BUFFER = 1 << 0  # 5.7: the upper 16 bits are the number of the buffer used
    MORE = 1 << 1  # 5.13: the request goes on; more completions follow
    SOCK_NONEMPTY = 1 << 2  # 5.19: the socket has more to read
    NOTIF = 1 << 3  # 6.0: the memory of a zero-copy send is free again
    BUF_MORE = 1 << 4  # 6.12: the kernel goes on using this buffer
    SKIP = 1 << 5  # 6.18: a filler at the end of a mixed queue, to be ignored
    F_32 = 1 << 15  # 6.18: a completion of 32 bytes in a mixed queue (IORING_CQE_F_32)
    TSTAMP_HW = 1 << 16  # 6.17: the time stamp was taken by the hardware (SocketOp.TX_TIMESTAMP)


@unique
class SqRingFlags(IntFlag):
    """State the kernel shows in the submission ring. See io_uring_setup(2) (`IORING_SQ_*`)."""

    NEED_WAKEUP = 1 << 0  # 5.1: the thread of an SQPOLL ring sleeps
    CQ_OVERFLOW = 1 << 1  # 5.8: completions wait in the kernel for room in the queue
    TASKRUN = 1 << 2  # 5.19: completion work waits for the thread to enter the kernel


@unique
class CqRingFlags(IntFlag):
    """State the application sets in the completion ring.

    See io_uring_register(2) (`IORING_CQ_*`).
    """

    EVENTFD_DISABLED = 1 << 0  # 5.8: no notification through the registered eventfd


@unique
class FsyncFlags(IntFlag):
    """How FSYNC flushes. See fdatasync(2) (`IORING_FSYNC_*`)."""

    DATASYNC = 1 << 0  # 5.1: only the data and what is needed to read it back


@unique
class SyncFileRangeFlags(IntFlag):
    """What SYNC_FILE_RANGE waits for and starts. See sync_file_range(2) (`SYNC_FILE_RANGE_*`)."""

    WAIT_BEFORE = 1 << 0  # 5.2: wait for the write-out already under way
    WRITE = 1 << 1  # 5.2: start writing out the dirty pages
    WAIT_AFTER = 1 << 2  # 5.2: wait for that too


@unique
class TimeoutFlags(IntFlag):
    """How a timeout counts. See io_uring_prep_timeout(3) (`IORING_TIMEOUT_*`)."""

    ABS = 1 << 0  # 5.5: the time is a point, not a span
    UPDATE = 1 << 1  # 5.11: TIMEOUT_REMOVE changes the time instead
    BOOTTIME = 1 << 2  # 5.15: the clock that goes on during suspend
    REALTIME = 1 << 3  # 5.15: the wall clock
    LINK_TIMEOUT_UPDATE = 1 << 4  # 5.15: as UPDATE, of a LINK_TIMEOUT
    ETIME_SUCCESS = 1 << 5  # 5.16: expiry is a success, so a link goes on
    MULTISHOT = 1 << 6  # 6.4: fire again and again


@unique
class PollFlags(IntFlag):
    """How POLL_ADD and POLL_REMOVE work. See io_uring_prep_poll_add(3) (`IORING_POLL_*`)."""

    ADD_MULTI = 1 << 0  # 5.13: report every event, until cancelled
    UPDATE_EVENTS = 1 << 1  # 5.13: POLL_REMOVE changes the events instead
    UPDATE_USER_DATA = 1 << 2  # 5.13: POLL_REMOVE changes the key instead
    ADD_LEVEL = 1 << 3  # 6.0: level-triggered; up to 6.18 refused on POLL_ADD


@unique
class CancelFlags(IntFlag):
    """Which requests a cancellation means.

    See io_uring_prep_cancel(3) (`IORING_ASYNC_CANCEL_*`).
    """

    ALL = 1 << 0  # 5.19: every match, not only the first
    FD = 1 << 1  # 5.19: those on a file
    ANY = 1 << 2  # 5.19: any request
    FD_FIXED = 1 << 3  # 6.0: the file is a registered one
    USERDATA = 1 << 4  # 6.6: those with a key (the default)
    OP = 1 << 5  # 6.6: those of one operation


@unique
class AcceptFlags(IntFlag):
    """How ACCEPT works, in `ioprio`. See io_uring_prep_accept(3) (`IORING_ACCEPT_*`)."""

    MULTISHOT = 1 << 0  # 5.19: a completion for every connection
    DONTWAIT = 1 << 1  # 6.10: EAGAIN if no connection waits
    POLL_FIRST = 1 << 2  # 6.10: wait for readiness before the first try


@unique
class RecvSendFlags(IntFlag):
    """How sends and receives work: the `ioprio` of `prep_send` and its like.

    See io_uring_prep_send(3), io_uring_prep_recv(3) (`IORING_RECVSEND_*`, `IORING_RECV_*`,
    `IORING_SEND_*`).
    """

    POLL_FIRST = 1 << 0  # 5.19: wait for readiness before the first try
    RECV_MULTISHOT = 1 << 1  # 6.0: a completion for every arrival
    FIXED_BUF = 1 << 2  # 6.0: the buffer is a registered one
    SEND_ZC_REPORT_USAGE = 1 << 3  # 6.2: the notification says whether the data was copied
    BUNDLE = 1 << 4  # 6.10: use as many provided buffers as it takes
    SEND_VECTORIZED = 1 << 5  # 6.17: the data is a vector of buffers


@unique
class NotifUsage(IntFlag):
    """The result of a `CqeFlags.NOTIF` completion.

    See io_uring_prep_send_zc(3) (`IORING_NOTIF_USAGE_*`).
    """

    ZC_COPIED = 1 << 31  # 6.2: at least a part was copied after all


@unique
class UringCmdFlags(IntFlag):
    """How URING_CMD works. See io_uring_prep_uring_cmd(3) (`IORING_URING_CMD_*`)."""

    FIXED = 1 << 0  # 6.1: the buffer is a registered one
    MULTISHOT = 1 << 1  # 6.18: many completions, each with a provided buffer


@unique
class NopFlags(IntFlag):
    """What a NOP pretends. See io_uring_prep_nop(3) (`IORING_NOP_*`)."""

    INJECT_RESULT = 1 << 0  # 6.10: complete with the given result
    FILE = 1 << 1  # 6.13: look up a file
    FIXED_FILE = 1 << 2  # 6.13: look up a registered file
    FIXED_BUFFER = 1 << 3  # 6.13: look up a registered buffer
    TW = 1 << 4  # 6.16: complete through task work
    CQE32 = 1 << 5  # 6.18: complete with 32 bytes


@unique
class MsgRingOp(IntEnum):
    """What MSG_RING sends to the other ring. See io_uring_prep_msg_ring(3) (`IORING_MSG_*`)."""

    DATA = 0  # 5.18: a completion
    SEND_FD = 1  # 6.0: a registered file


@unique
class MsgRingFlags(IntFlag):
    """How MSG_RING sends. See io_uring_prep_msg_ring(3) (`IORING_MSG_RING_*`)."""

    CQE_SKIP = 1 << 0  # 6.0: no completion on the other ring
    FLAGS_PASS = 1 << 1  # 6.3: give the flags of that completion too


@unique
class FixedFdFlags(IntFlag):
    """How FIXED_FD_INSTALL makes a descriptor.

    See io_uring_prep_fixed_fd_install(3) (`IORING_FIXED_FD_*`).
    """

    NO_CLOEXEC = 1 << 0  # 6.8: keep it open over execve(2)


@unique
class SpliceFlags(IntFlag):
    """How SPLICE and TEE move data. See splice(2) (`SPLICE_F_*`)."""

    MOVE = 1 << 0  # 5.7: move pages instead of copying them; a hint
    NONBLOCK = 1 << 1  # 5.7: do not wait on the pipe
    MORE = 1 << 2  # 5.7: more data follows
    GIFT = 1 << 3  # 5.7: the pages are a gift to the kernel
    FD_IN_FIXED = 1 << 31  # 5.7: the source is a registered file; io_uring only


@unique
class AtFlags(IntFlag):
    """How the operations on paths find their file: which of them are taken, each says.

    See openat(2), statx(2), unlinkat(2), linkat(2) (`AT_*`).
    """

    SYMLINK_NOFOLLOW = 0x100  # 5.6: the link itself, not what it names
    REMOVEDIR = 0x200  # 5.11: remove a directory
    SYMLINK_FOLLOW = 0x400  # 5.15: what the link names, not the link itself
    NO_AUTOMOUNT = 0x800  # 5.6: do not mount what is mounted when used
    EMPTY_PATH = 0x1000  # 5.6: an empty path means the directory descriptor itself
    STATX_FORCE_SYNC = 0x2000  # 5.6: ask the server
    STATX_DONT_SYNC = 0x4000  # 5.6: only what is cached


@unique
class ResolveFlags(IntFlag):
    """What `prep_openat2` may not do to find a file. See openat2(2) (`RESOLVE_*`)."""

    NO_XDEV = 0x01  # 5.6: cross a mount
    NO_MAGICLINKS = 0x02  # 5.6: follow a link like those of /proc
    NO_SYMLINKS = 0x04  # 5.6: follow any symbolic link
    BENEATH = 0x08  # 5.6: leave the directory it starts from
    IN_ROOT = 0x10  # 5.6: leave it: that directory is the root meanwhile
    CACHED = 0x20  # 5.12: read from the disk; EAGAIN instead


@unique
class RenameFlags(IntFlag):
    """How `prep_renameat` renames. See renameat2(2) (`RENAME_*`)."""

    NOREPLACE = 1 << 0  # 5.11: fail if the new name exists
    EXCHANGE = 1 << 1  # 5.11: exchange the two names
    WHITEOUT = 1 << 2  # 5.11: leave a whiteout, for overlay file systems


@unique
class StatxMask(IntFlag):
    """What `prep_statx` asks for and `StatxResult.st_mask` says there is.

    See statx(2) (`STATX_*`).
    """

    TYPE = 0x1  # 5.6: the type in st_mode
    MODE = 0x2  # 5.6: the permissions in st_mode
    NLINK = 0x4  # 5.6
    UID = 0x8  # 5.6
    GID = 0x10  # 5.6
    ATIME = 0x20  # 5.6
    MTIME = 0x40  # 5.6
    CTIME = 0x80  # 5.6
    INO = 0x100  # 5.6
    SIZE = 0x200  # 5.6
    BLOCKS = 0x400  # 5.6
    BASIC_STATS = 0x7FF  # 5.6: all that stat(2) tells
    BTIME = 0x800  # 5.6: st_birthtime
    MNT_ID = 0x1000  # 5.8: st_mnt_id
    DIOALIGN = 0x2000  # 6.1: st_dio_mem_align, st_dio_offset_align
    MNT_ID_UNIQUE = 0x4000  # 6.8: st_mnt_id is a number never used again
    SUBVOL = 0x8000  # 6.10: st_subvol
    WRITE_ATOMIC = 0x10000  # 6.11: st_atomic_write_*
    DIO_READ_ALIGN = 0x20000  # 6.14: st_dio_read_offset_align


@unique
class StatxAttributes(IntFlag):
    """What is special about a file: `StatxResult.st_attributes`.

    See statx(2) (`STATX_ATTR_*`).
    """

    COMPRESSED = 0x4  # 5.6: compressed by the file system
    IMMUTABLE = 0x10  # 5.6: cannot be changed
    APPEND = 0x20  # 5.6: can only grow
    NODUMP = 0x40  # 5.6: not to be backed up
    ENCRYPTED = 0x800  # 5.6: encrypted by the file system
    AUTOMOUNT = 0x1000  # 5.6: mounted when used
    MOUNT_ROOT = 0x2000  # 5.8: the root of a mount
    VERITY = 0x100000  # 5.6: protected by fs-verity
    DAX = 0x200000  # 5.8: in memory that is the storage
    WRITE_ATOMIC = 0x400000  # 6.11: takes atomic writes


@unique
class FallocateFlags(IntFlag):
    """What `prep_fallocate` does to the range. See fallocate(2) (`FALLOC_FL_*`)."""

    KEEP_SIZE = 0x01  # 5.6: the file does not grow
    PUNCH_HOLE = 0x02  # 5.6: free the range; with KEEP_SIZE
    NO_HIDE_STALE = 0x04  # 5.6: reserved
    COLLAPSE_RANGE = 0x08  # 5.6: take the range out, what follows moves up
    ZERO_RANGE = 0x10  # 5.6: make it zeroes
    INSERT_RANGE = 0x20  # 5.6: what follows moves back by the range
    UNSHARE_RANGE = 0x40  # 5.6: give shared blocks copies of their own
    WRITE_ZEROES = 0x80  # 6.17: zeroes that are written


@unique
class MadviseAdvice(IntEnum):
    """Advice of `prep_madvise` that `mmap` has no name for. See madvise(2) (`MADV_*`)."""

    WIPEONFORK = 18  # 5.6: a forked child sees zeroes
    KEEPONFORK = 19  # 5.6: it sees what the memory held
    COLD = 20  # 5.6: not needed soon
    PAGEOUT = 21  # 5.6: swap it out
    POPULATE_READ = 22  # 5.14: fault it in for reading
    POPULATE_WRITE = 23  # 5.14: fault it in for writing
    DONTNEED_LOCKED = 24  # 5.18: drop the pages, locked ones too
    COLLAPSE = 25  # 6.1: make huge pages of it now


@unique
class RwAttrFlags(IntFlag):
    """Which attributes a read or write carries. See io_uring_enter(2) (`IORING_RW_ATTR_FLAG_*`)."""

    PI = 1 << 0  # 6.14: protection information


@unique
class PiFlags(IntFlag):
    """What of the protection information `prep_read_pi` and `prep_write_pi` have checked.

    See io_uring_enter(2) (`IO_INTEGRITY_CHK_*`).
    """

    GUARD = 1 << 0  # 6.14: the checksums of the data
    REFTAG = 1 << 1  # 6.14: the reference tags, which count up from the seed
    APPTAG = 1 << 2  # 6.14: the application tag


@unique
class EpollOp(IntEnum):
    """What `prep_epoll_ctl` does. See epoll_ctl(2) (`EPOLL_CTL_*`)."""

    ADD = 1  # 5.6: add a file
    DEL = 2  # 5.6: remove it
    MOD = 3  # 5.6: change its events


@unique
class SocketOp(IntEnum):
    """What URING_CMD does to a socket. See io_uring_prep_cmd(3) (`SOCKET_URING_OP_*`)."""

    SIOCINQ = 0  # 6.6: bytes waiting to be read
    SIOCOUTQ = 1  # 6.6: bytes waiting to be sent
    GETSOCKOPT = 2  # 6.7: getsockopt(2), SOL_SOCKET only
    SETSOCKOPT = 3  # 6.7: setsockopt(2)
    TX_TIMESTAMP = 4  # 6.17: time stamps of sent packets
    GETSOCKNAME = 5  # 6.19: getsockname(2), getpeername(2)


@unique
class RegisterOp(IntEnum):
    """What a register call does: `IORING_REGISTER_*`, and `IORING_UNREGISTER_*` as `UNREGISTER_*`.

    See io_uring_register(2).
    """

    BUFFERS = 0  # 5.1
    UNREGISTER_BUFFERS = 1  # 5.1
    FILES = 2  # 5.1
    UNREGISTER_FILES = 3  # 5.1
    EVENTFD = 4  # 5.2
    UNREGISTER_EVENTFD = 5  # 5.2
    FILES_UPDATE = 6  # 5.5
    EVENTFD_ASYNC = 7  # 5.6
    PROBE = 8  # 5.6
    PERSONALITY = 9  # 5.6
    UNREGISTER_PERSONALITY = 10  # 5.6
    RESTRICTIONS = 11  # 5.10
    ENABLE_RINGS = 12  # 5.10
    FILES2 = 13  # 5.13
    FILES_UPDATE2 = 14  # 5.13
    BUFFERS2 = 15  # 5.13
    BUFFERS_UPDATE = 16  # 5.13
    IOWQ_AFF = 17  # 5.14
    UNREGISTER_IOWQ_AFF = 18  # 5.14
    IOWQ_MAX_WORKERS = 19  # 5.15
    RING_FDS = 20  # 5.18
    UNREGISTER_RING_FDS = 21  # 5.18
    PBUF_RING = 22  # 5.19
    UNREGISTER_PBUF_RING = 23  # 5.19
    SYNC_CANCEL = 24  # 6.0
    FILE_ALLOC_RANGE = 25  # 6.0
    PBUF_STATUS = 26  # 6.8
    NAPI = 27  # 6.9
    UNREGISTER_NAPI = 28  # 6.9
    CLOCK = 29  # 6.12
    CLONE_BUFFERS = 30  # 6.12
    SEND_MSG_RING = 31  # 6.13
    ZCRX_IFQ = 32  # 6.15
    RESIZE_RINGS = 33  # 6.13
    MEM_REGION = 34  # 6.13
    QUERY = 35  # 6.18
    USE_REGISTERED_RING = 1 << 31  # 6.3: added to the number: the ring is a registered index


@unique
class PbufRingFlags(IntFlag):
    """How a ring of provided buffers is made.

    See io_uring_register_buf_ring(3) (`IOU_PBUF_RING_*`).
    """

    MMAP = 1 << 0  # 6.4: the kernel allocates it
    INC = 1 << 1  # 6.12: buffers are consumed bit by bit


@unique
class RsrcFlags(IntFlag):
    """How a table of files or buffers is registered.

    See io_uring_register(2) (`IORING_RSRC_REGISTER_*`).
    """

    SPARSE = 1 << 0  # 5.19: all entries empty


@unique
class CloneBuffersFlags(IntFlag):
    """How registered buffers are cloned. See io_uring_clone_buffers(3) (`IORING_REGISTER_*`)."""

    SRC_REGISTERED = 1 << 0  # 6.12: the source ring is a registered index
    DST_REPLACE = 1 << 1  # 6.13: replace what is there


@unique
class RestrictionOp(IntEnum):
    """What a restriction is about.

    See io_uring_register_restrictions(3) (`IORING_RESTRICTION_*`).
    """

    REGISTER_OP = 0  # 5.10: allow a register operation
    SQE_OP = 1  # 5.10: allow an operation
    SQE_FLAGS_ALLOWED = 2  # 5.10: allow request flags
    SQE_FLAGS_REQUIRED = 3  # 5.10: demand request flags


@unique
class WorkerKind(IntEnum):
    """The two kinds of worker threads, each with a limit.

    See io_uring_register_iowq_max_workers(3) (`IO_WQ_*`).
    """

    BOUND = 0  # 5.15: for work that ends by itself, such as file I/O
    UNBOUND = 1  # 5.15: for work that may wait for ever


@unique
class NapiOp(IntEnum):
    """How the NAPI list of a ring changes. See io_uring_register_napi(3) (`IO_URING_NAPI_*`)."""

    REGISTER_OP = 0  # 6.9: set timeout and tracking
    STATIC_ADD_ID = 1  # 6.13: add a queue
    STATIC_DEL_ID = 2  # 6.13: remove a queue


@unique
class NapiTracking(IntEnum):
    """Who keeps the NAPI list. See io_uring_register_napi(3) (`IO_URING_NAPI_TRACKING_*`)."""

    DYNAMIC = 0  # 6.9: the kernel, from the sockets used
    STATIC = 1  # 6.13: the application
    INACTIVE = 255  # 6.13: nobody


@unique
class MemRegionType(IntEnum):
    """Who owns the memory of a region.

    See io_uring_register_region(3) (`IORING_MEM_REGION_TYPE_*`).
    """

    USER = 1  # 6.13: the application


@unique
class MemRegionFlags(IntFlag):
    """What a region is for. See io_uring_register_region(3) (`IORING_MEM_REGION_*`)."""

    REG_WAIT_ARG = 1 << 0  # 6.13: arguments of EnterFlags.EXT_ARG_REG


@unique
class RegWaitFlags(IntFlag):
    """What a registered wait argument holds.

    See io_uring_register_region(3) (`IORING_REG_WAIT_*`).
    """

    TS = 1 << 0  # 6.13: a timeout


@unique
class ZcrxAreaFlags(IntFlag):
    """What memory zero-copy receive writes to. See io_uring_register(2) (`IORING_ZCRX_AREA_*`)."""

    DMABUF = 1 << 0  # 6.16: a dma-buf


@unique
class ProbeOpFlags(IntFlag):
    """What a probe says of one operation. See io_uring_get_probe(3) (`IO_URING_OP_*`)."""

    SUPPORTED = 1 << 0  # 5.6: this kernel has it

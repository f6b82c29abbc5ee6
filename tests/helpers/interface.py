"""The interface of Linux 6.18 as the compiled tables have it, and where Python has each part.

Read by the tests of completeness and by docs/generate.py.
"""

from __future__ import annotations

import inspect
import re
from enum import Enum
from functools import cache
from typing import Any

import uring_rs
from uring_rs import _uring, flags

OPERATIONS: list[dict[str, Any]] = _uring._operations()
REGISTERS: list[dict[str, Any]] = _uring._register_operations()
CONSTANTS: list[tuple[str, int, str]] = _uring._constants()

# Which class has the names with this prefix; the first that fits counts.
ENUMS: dict[str, type[Enum]] = {
    "IORING_OP_": flags.Op,
    "IOSQE_": flags.SqeFlags,
    "IORING_SETUP_": flags.SetupFlags,
    "IORING_ENTER_": flags.EnterFlags,
    "IORING_FEAT_": flags.Features,
    "IORING_CQE_F_": flags.CqeFlags,
    "IORING_SQ_": flags.SqRingFlags,
    "IORING_CQ_": flags.CqRingFlags,
    "IORING_FSYNC_": flags.FsyncFlags,
    "IORING_TIMEOUT_": flags.TimeoutFlags,
    "IORING_POLL_": flags.PollFlags,
    "IORING_ASYNC_CANCEL_": flags.CancelFlags,
    "IORING_ACCEPT_": flags.AcceptFlags,
    "IORING_RECVSEND_": flags.RecvSendFlags,
    "IORING_MSG_RING_": flags.MsgRingFlags,
    "IORING_MSG_": flags.MsgRingOp,
    "IORING_URING_CMD_": flags.UringCmdFlags,
    "IORING_FIXED_FD_": flags.FixedFdFlags,
    "IORING_NOP_": flags.NopFlags,
    "IORING_RSRC_REGISTER_": flags.RsrcFlags,
    "IORING_NOTIF_USAGE_": flags.NotifUsage,
    "IORING_RESTRICTION_": flags.RestrictionOp,
    "IORING_RW_ATTR_FLAG_": flags.RwAttrFlags,
    "IO_INTEGRITY_CHK_": flags.PiFlags,
    "IORING_MEM_REGION_TYPE_": flags.MemRegionType,
    "IORING_MEM_REGION_": flags.MemRegionFlags,
    "IORING_REG_WAIT_": flags.RegWaitFlags,
    "IORING_ZCRX_AREA_": flags.ZcrxAreaFlags,
    "IORING_REGISTER_": flags.RegisterOp,
    "IORING_UNREGISTER_": flags.RegisterOp,
    "IOU_PBUF_RING_": flags.PbufRingFlags,
    "IO_WQ_": flags.WorkerKind,
    "IO_URING_NAPI_TRACKING_": flags.NapiTracking,
    "IO_URING_NAPI_": flags.NapiOp,
    "IO_URING_OP_": flags.ProbeOpFlags,
    "SOCKET_URING_OP_": flags.SocketOp,
    "SPLICE_F_": flags.SpliceFlags,
}
WHOLE_NAMES: dict[str, Enum] = {
    "IORING_CQE_F_32": flags.CqeFlags.F_32,
    "IORING_LINK_TIMEOUT_UPDATE": flags.TimeoutFlags.LINK_TIMEOUT_UPDATE,
    "IORING_RECV_MULTISHOT": flags.RecvSendFlags.RECV_MULTISHOT,
    "IORING_SEND_ZC_REPORT_USAGE": flags.RecvSendFlags.SEND_ZC_REPORT_USAGE,
    "IORING_SEND_VECTORIZED": flags.RecvSendFlags.SEND_VECTORIZED,
    "IORING_REGISTER_SRC_REGISTERED": flags.CloneBuffersFlags.SRC_REGISTERED,
    "IORING_REGISTER_DST_REPLACE": flags.CloneBuffersFlags.DST_REPLACE,
}

# How the parts are laid out, which nobody chooses: places in words, masks, limits, mmap offsets.
LAYOUT = re.compile(r"_BIT$|_SHIFT$|_MASK$|_MAX$|^IORING_OFF_|^IO_URING_QUERY_")
# io_uring's own constants, and those of other headers that Python's standard library lacks.
OWN = re.compile(r"^(IO|IOU|IORING|IOSQE|SOCKET_URING_OP|RESOLVE|SPLICE_F)_")


@cache
def member(constant: str) -> Enum | None:
    """The enumeration member for a constant of the kernel, if there is one."""
    if constant in WHOLE_NAMES:
        return WHOLE_NAMES[constant]
    for prefix, kind in ENUMS.items():
        if constant.startswith(prefix):
            name = constant.removeprefix(prefix)
            if constant.startswith("IORING_UNREGISTER_"):
                name = constant.removeprefix("IORING_")
            return kind.__members__.get(name)
    # A class of its own for constants without io_uring's prefix: ResolveFlags.BENEATH.
    head, _, tail = constant.partition("_")
    for name, value in vars(flags).items():
        if name.lower().startswith(head.lower()) and tail in getattr(value, "__members__", ()):
            return getattr(value, tail)
    return None


@cache
def python_name(constant: str) -> str | None:
    """Where Python has a constant: `SetupFlags.SQPOLL`, `FILE_INDEX_ALLOC`, or nowhere."""
    if (found := member(constant)) is not None:
        return f"{type(found).__name__}.{found.name}"
    short = re.sub(r"^IORING_", "", constant)
    return short if hasattr(flags, short) else None


def chosen() -> list[tuple[str, int, str]]:
    """The constants that a program may want to name, operations and register operations apart."""
    operations = re.compile(r"^IORING_OP_|^IORING_(UN)?REGISTER_(?!SRC_|DST_)")
    return [
        row
        for row in CONSTANTS
        if OWN.match(row[0]) and not LAYOUT.search(row[0]) and not operations.match(row[0])
    ]


# Operations of later kernels, which the table of Linux 6.18 does not have, but a builder does.
LATER: list[dict[str, Any]] = [{"name": "NOP128", "method": "nop128", "since": (6, 19)}]

# Builders that are not named after their operation.
OTHER_NAMES = {
    "fdatasync": "FSYNC",
    "poll_update": "POLL_REMOVE",
    "poll_multishot": "POLL_ADD",
    "timeout_update": "TIMEOUT_REMOVE",
    "multishot_accept": "ACCEPT",
    "open": "OPENAT",
    "rename": "RENAMEAT",
    "unlink": "UNLINKAT",
    "mkdir": "MKDIRAT",
    "symlink": "SYMLINKAT",
    "link": "LINKAT",
    "stat": "STATX",
    "sendto": "SEND",
    "siocinq": "URING_CMD",
    "siocoutq": "URING_CMD",
    "getsockopt": "URING_CMD",
    "setsockopt": "URING_CMD",
    "getsockname": "URING_CMD",
    "getpeername": "URING_CMD",
    "tx_timestamps": "URING_CMD",
    "tx_timestamp": "URING_CMD",
    "discard": "URING_CMD",
    "cmd_discard": "URING_CMD",
    "cmd_sock": "URING_CMD",
}


def builders() -> list[str]:
    """The builders of single requests, without `prep_`."""
    names = (name.removeprefix("prep_") for name in dir(uring_rs.Ring) if name.startswith("prep_"))
    return [name for name in names if not name.endswith("_batch")]


def operation_of(builder: str) -> str:
    """The operation that a builder prepares."""
    if builder in OTHER_NAMES:
        return OTHER_NAMES[builder]
    fitting = [
        row
        for row in [*OPERATIONS, *LATER]
        if builder == row["method"] or builder.startswith(f"{row['method']}_")
    ]
    if not fitting:
        raise LookupError(f"prep_{builder}: tests/helpers/interface.py must say which operation")
    return str(max(fitting, key=lambda row: len(row["method"]))["name"])


# What stands for each register operation: a method of Ring, an argument of Ring(), a function.
# Where the library calls it by itself, what it does it for.
REGISTER_WAYS: dict[str, tuple[str, ...]] = {
    "REGISTER_BUFFERS": ("Ring.register_buffers", "Ring.buffer_pool"),
    "UNREGISTER_BUFFERS": ("Ring.unregister_buffers", "BufferPool.close"),
    "REGISTER_FILES": ("Ring.register_files",),
    "UNREGISTER_FILES": ("Ring.unregister_files",),
    "REGISTER_EVENTFD": ("Ring.register_eventfd",),
    "UNREGISTER_EVENTFD": ("Ring.unregister_eventfd",),
    "REGISTER_FILES_UPDATE": ("Ring.register_files_update",),
    "REGISTER_EVENTFD_ASYNC": ("Ring.register_eventfd(async_only)",),
    "REGISTER_PROBE": ("Ring.supports", "probe"),
    "REGISTER_PERSONALITY": ("Ring.register_personality",),
    "UNREGISTER_PERSONALITY": ("Ring.unregister_personality",),
    "REGISTER_RESTRICTIONS": ("Ring(restrictions)",),
    "REGISTER_ENABLE_RINGS": ("Ring.enable",),
    "REGISTER_FILES2": ("Ring.register_files(tags)",),
    "REGISTER_FILES_UPDATE2": ("Ring.register_files_update(tags)", "FileTable.update(tags)"),
    "REGISTER_BUFFERS2": ("Ring.register_buffers(tags)",),
    "REGISTER_BUFFERS_UPDATE": ("Ring.register_buffers_update(tags)",),
    "REGISTER_IOWQ_AFF": ("Ring.register_iowq_aff",),
    "UNREGISTER_IOWQ_AFF": ("Ring.unregister_iowq_aff",),
    "REGISTER_IOWQ_MAX_WORKERS": ("Ring.register_iowq_max_workers",),
    "REGISTER_RING_FDS": ("Ring.registered_ring_fd",),
    "UNREGISTER_RING_FDS": ("Ring.close",),
    "REGISTER_PBUF_RING": ("Ring.buffer_ring",),
    "UNREGISTER_PBUF_RING": ("BufferRing.close",),
    "REGISTER_SYNC_CANCEL": ("Ring.cancel_sync", "Ring.close"),
    "REGISTER_FILE_ALLOC_RANGE": ("Ring.register_file_alloc_range",),
    "REGISTER_PBUF_STATUS": ("BufferRing.available",),
    "REGISTER_NAPI": ("Ring.register_napi",),
    "UNREGISTER_NAPI": ("Ring.unregister_napi",),
    "REGISTER_CLOCK": ("Ring.register_clock",),
    "REGISTER_CLONE_BUFFERS": ("Ring.clone_buffers",),
    "REGISTER_SEND_MSG_RING": ("send_msg", "Ring.wake"),
    "REGISTER_ZCRX_IFQ": ("Ring.register_ifq",),
    "REGISTER_RESIZE_RINGS": ("Ring.resize",),
    "REGISTER_MEM_REGION": ("Ring.register_region",),
    "REGISTER_QUERY": ("probe",),
}


def _argument_is_there(found: Any, argument: str) -> bool:
    try:
        return argument in inspect.signature(found).parameters
    except ValueError:
        return False


def way_is_there(way: str) -> bool:
    """Whether `Ring.method`, `Ring.method(argument)`, `function` is there."""
    name, _, argument = way.rstrip(")").partition("(")
    found: Any = uring_rs
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return not argument or _argument_is_there(found, argument)

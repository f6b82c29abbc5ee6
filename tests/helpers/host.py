"""Put a child process on a host that refuses: no privileges, little lockable memory, no rings.

Imported inside children. The interpreter may stand in a folder that only root can read, so a child
that drops its privileges keeps the one capability that lets it read files.
"""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

PR_SET_KEEPCAPS = 8
CAP_DAC_READ_SEARCH = 2
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534

SYSCTL = Path("/proc/sys/kernel/io_uring_disabled")


class CapHeader(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapData(ctypes.Structure):
    """struct __user_cap_data_struct."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def become_nobody() -> None:
    """Give up every privilege but reading files; where we are not root there is none to give."""
    if os.geteuid() == 0:
        become_user(NOBODY)


def become_user(number: int) -> None:
    """From root to this user and group, with no privilege but reading files."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    if libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_KEEPCAPS)")
    os.setgroups([])
    os.setresgid(number, number, number)
    os.setresuid(number, number, number)
    header = CapHeader(CAPABILITY_VERSION_3, 0)
    data = (CapData * 2)()
    data[0].effective = data[0].permitted = 1 << CAP_DAC_READ_SEARCH
    if libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def limit_lockable_memory(size: int) -> None:
    """RLIMIT_MEMLOCK, for a process without CAP_IPC_LOCK."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (size, size))

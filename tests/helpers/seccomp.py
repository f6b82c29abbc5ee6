"""A seccomp filter that refuses io_uring, as container runtimes install one.

For use inside a child process: a filter stays until the process ends.
"""

from __future__ import annotations

import ctypes
import os

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_KILL_PROCESS = 0x80000000
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000

BPF_LD_W_ABS = 0x20
BPF_JMP_JGE_K = 0x35
BPF_JMP_JGT_K = 0x25
BPF_RET_K = 0x06

# io_uring_setup, io_uring_enter, io_uring_register: one number on every architecture but alpha.
FIRST, LAST = 425, 427


class SockFilter(ctypes.Structure):
    """struct sock_filter of linux/filter.h."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class SockFprog(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(SockFilter)))


def refuse_io_uring(
    errno: int, first: int = FIRST, last: int = LAST, action: int = SECCOMP_RET_ERRNO
) -> None:
    """From now on the io_uring system calls of this process fail with `errno`.

    `first` and `last` narrow the range of refused call numbers, e.g. to io_uring_register alone;
    `action` is another answer than an errno.
    """
    program = (SockFilter * 5)(
        SockFilter(BPF_LD_W_ABS, 0, 0, 0),  # seccomp_data.nr
        SockFilter(BPF_JMP_JGE_K, 0, 2, first),  # below the range: allow
        SockFilter(BPF_JMP_JGT_K, 1, 0, last),  # above it: allow
        SockFilter(BPF_RET_K, 0, 0, action | errno),
        SockFilter(BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW),
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    filters = SockFprog(len(program), program)
    steps = (
        (PR_SET_NO_NEW_PRIVS, 1, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(filters)),
    )
    for option, second, third in steps:
        if libc.prctl(option, second, third, 0, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"prctl({option}): {os.strerror(code)}")

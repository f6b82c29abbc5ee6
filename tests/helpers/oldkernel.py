"""The running kernel as if it were an older one: what came later is not known to it.

io_uring_setup(2) is answered by the supervisor, which makes the ring, takes away the features that
came later and refuses the flags that did; so are the probe, the other register operations, the
flags of io_uring_enter(2), the version, and the system calls that there were not. What entries ask
for is not looked at: a library that submits what the probe does not name is wrong.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from helpers.realfaults.supervisor import Hook, Notice, Supervisor, number

Version = tuple[int, int]

# Bits of IORING_FEAT_*, in their order, with the version each came with; then how many bits of the
# set-up and enter flags, how many operations and register operations each version knew. From
# include/uapi/linux/io_uring.h of each release.
FEATURES: list[Version] = [
    (5, 4), (5, 5), (5, 5), (5, 6), (5, 6), (5, 7), (5, 9), (5, 11), (5, 11), (5, 12), (5, 13),
    (5, 17), (5, 17), (6, 3), (6, 10), (6, 12), (6, 14), (6, 15),
]  # fmt: skip
SETUP: list[tuple[Version, int]] = [
    ((5, 10), 7), ((5, 18), 8), ((5, 19), 12), ((6, 0), 13), ((6, 1), 14), ((6, 5), 16),
    ((6, 6), 17), ((6, 13), 18), ((6, 18), 19),
]  # fmt: skip
ENTER: list[tuple[Version, int]] = [
    ((5, 10), 3), ((5, 11), 4), ((5, 18), 5), ((6, 12), 6), ((6, 13), 7), ((6, 15), 8),
]  # fmt: skip
OPS: list[tuple[Version, int]] = [
    ((5, 8), 34), ((5, 11), 37), ((5, 15), 40), ((5, 18), 41), ((5, 19), 47), ((6, 0), 48),
    ((6, 1), 49), ((6, 7), 54), ((6, 8), 55), ((6, 9), 56), ((6, 11), 58), ((6, 15), 62),
    ((6, 16), 63),
]  # fmt: skip
REGISTER: list[tuple[Version, int]] = [
    ((5, 10), 13), ((5, 13), 17), ((5, 18), 22), ((5, 19), 24), ((6, 0), 26), ((6, 13), 32),
    ((6, 18), 36),
]  # fmt: skip
# System calls that came later than 5.10.
CALLS: dict[str, Version] = {"cachestat": (6, 5), "fchmodat2": (6, 6)}
RESOLVE_CACHED, CACHED_SINCE = 0x20, (5, 12)

PROBE, FILES2, BUFFERS2, USE_REGISTERED_RING = 8, 13, 15, 1 << 31
# IORING_RSRC_REGISTER_SPARSE.
SPARSE, SPARSE_SINCE = 1, (5, 19)


def count(table: list[tuple[Version, int]], version: Version) -> int:
    """How many of something a version knew."""
    return max((many for since, many in table if since <= version), default=0)


@dataclass
class OldKernel:
    """The answers of one version."""

    version: Version
    # The operations of the running kernel, from a ring of ours.
    _probe: bytes = b""
    _rings: list[int] = field(default_factory=list)

    def hooks(self) -> dict[str, Hook]:
        """By the name of the call."""
        hooks: dict[str, Hook] = {
            "io_uring_setup": self.setup,
            "io_uring_enter": self.enter,
            "io_uring_register": self.register,
            "openat2": self.openat2,
            "uname": self.uname,
        }
        for name, since in CALLS.items():
            if since > self.version:
                hooks[name] = lambda notice, listener: -errno.ENOSYS
        return hooks

    def setup(self, notice: Notice, listener: int) -> int | None:
        entries, address = notice.args[:2]
        params = bytearray(notice.read(address, 120))
        (flags,) = struct.unpack_from("I", params, 8)
        if flags >> count(SETUP, self.version):
            return -errno.EINVAL
        fd = setup(entries, params)
        if fd < 0:
            return fd
        known = sum(1 << bit for bit, since in enumerate(FEATURES) if since <= self.version)
        (features,) = struct.unpack_from("I", params, 20)
        struct.pack_into("I", params, 20, features & known)
        try:
            notice.write(address, bytes(params))
            return notice.give(listener, fd, cloexec=True)
        finally:
            os.close(fd)

    def enter(self, notice: Notice, listener: int) -> int | None:
        return -errno.EINVAL if notice.args[3] >> count(ENTER, self.version) else None

    def register(self, notice: Notice, listener: int) -> int | None:
        _, op, address, entries = notice.args[:4]
        op &= ~USE_REGISTERED_RING
        if op >= count(REGISTER, self.version):
            return -errno.EINVAL
        if op in (FILES2, BUFFERS2) and self.version < SPARSE_SINCE:
            (flags,) = struct.unpack("I", notice.read(address + 4, 4))
            return -errno.EINVAL if flags & SPARSE else None
        if op != PROBE:
            return None
        many = min(count(OPS, self.version), entries)
        answer = bytearray(self.operations())
        struct.pack_into("BB", answer, 0, count(OPS, self.version) - 1, many)
        notice.write(address, bytes(answer[: 16 + 8 * many]))
        return 0

    def operations(self) -> bytes:
        """The probe's answer of the running kernel."""
        if not self._probe:
            fd = setup(1, bytearray(120))
            if fd < 0:
                raise OSError(-fd, os.strerror(-fd))
            room = ctypes.create_string_buffer(16 + 8 * 256)
            libc = ctypes.CDLL(None, use_errno=True)
            libc.syscall.argtypes = [ctypes.c_long] * 3 + [ctypes.c_void_p, ctypes.c_uint]
            done = libc.syscall(number("io_uring_register"), fd, PROBE, room, 256)
            os.close(fd)
            if done != 0:
                raise OSError(ctypes.get_errno(), "probe")
            self._probe = room.raw
        return self._probe

    def openat2(self, notice: Notice, listener: int) -> int | None:
        (resolve,) = struct.unpack("Q", notice.read(notice.args[2] + 16, 8))
        cached = resolve & RESOLVE_CACHED and self.version < CACHED_SINCE
        return -errno.EINVAL if cached else None

    def uname(self, notice: Notice, listener: int) -> int | None:
        fields = list(os.uname()) + ["(none)"]
        fields[2] = "{}.{}.0".format(*self.version)
        notice.write(notice.args[0], b"".join(f.encode().ljust(65, b"\0") for f in fields))
        return 0


def setup(entries: int, params: bytearray) -> int:
    """io_uring_setup(2): a descriptor, or an errno as a negative number."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = [ctypes.c_long, ctypes.c_uint, ctypes.c_void_p]
    room = (ctypes.c_char * len(params)).from_buffer(params)
    fd = libc.syscall(number("io_uring_setup"), entries, ctypes.addressof(room))
    return int(fd) if fd >= 0 else -ctypes.get_errno()


@contextmanager
def old_kernel(version: Version, patience: float = 60.0) -> Iterator[Supervisor]:
    """A supervisor that has programs believe in that version."""
    old = OldKernel(version)
    old.operations()
    hooks = old.hooks()
    yield Supervisor(hooks, patience, hooks)

"""System calls of a forked child that somebody else answers (seccomp_unotify(2), Linux 5.5).

The child asks, by a filter, that some of its calls be answered by its parent: which lets most of
them go on, and has the nth of a kind fail. Nothing of the child is changed or slowed otherwise, and
no privilege is needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import platform
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.seccomp import (
    PR_SET_NO_NEW_PRIVS,
    SECCOMP_RET_ALLOW,
    SockFilter,
    SockFprog,
)

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
# Linux 5.19: what only looks like a signal, as io_uring's own work does, begins no call anew.
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1
# _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp).
SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101

# _IOW('!', 3, struct seccomp_notif_addfd).
SECCOMP_IOCTL_NOTIF_ADDFD = 0x40182103

BPF_LD_W_ABS, BPF_JEQ_K, BPF_RET_K = 0x20, 0x15, 0x06

# x86-64 and the generic table (aarch64); a call that one of them lacks has no number there.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mmap": (9, 222),
    "clone3": (435, 435),
    "clone": (56, 220),
    "openat": (257, 56),
    "openat2": (437, 437),
    "pread64": (17, 67),
    "preadv2": (327, 286),
    "read": (0, 63),
    "pwrite64": (18, 68),
    "pwritev2": (328, 287),
    "write": (1, 64),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "sync_file_range": (277, 84),
    "fallocate": (285, 47),
    "ftruncate": (77, 46),
    "lseek": (8, 62),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "getdents64": (217, 61),
    "renameat2": (316, 276),
    "linkat": (265, 37),
    "symlinkat": (266, 36),
    "readlinkat": (267, 78),
    "mkdirat": (258, 34),
    "mknodat": (259, 33),
    "unlinkat": (263, 35),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
    "copy_file_range": (326, 285),
    "sendfile": (40, 71),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "dup3": (292, 24),
    "eventfd2": (290, 19),
    "pipe2": (293, 59),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "ppoll": (271, 73),
    "poll": (7, None),
    "fadvise64": (221, 223),
    "madvise": (28, 233),
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "flistxattr": (196, 13),
    "fgetxattr": (193, 10),
    "fsetxattr": (190, 7),
    "llistxattr": (195, 12),
    "lgetxattr": (192, 9),
    "lsetxattr": (189, 6),
    "socket": (41, 198),
    "getsockopt": (55, 209),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "prlimit64": (302, 261),
    "sched_getaffinity": (204, 123),
}

COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), -1)


def number(name: str) -> int | None:
    """The number of a call on this machine; None: it has no such call."""
    return None if COLUMN is None else NUMBERS[name][COLUMN]


def why_not() -> str | None:
    """Why calls cannot be answered here, or None."""
    if COLUMN is None:
        return f"the numbers of {platform.machine()}'s system calls are not known here"
    try:
        outcome = Supervisor(["getdents64"]).run(lambda armed: None)
    except OSError as error:
        return f"no seccomp listener can be had here (Linux 5.5, no other listener): {error}"
    return None if outcome.ended == 0 else f"a filtered child ended with {outcome.ended}"


def _listen(names: Iterable[str]) -> int:
    """Have the calls of this process answered by whoever holds the returned descriptor."""
    numbers = sorted({number(name) for name in names} - {None})
    steps = [SockFilter(BPF_LD_W_ABS, 0, 0, 0)]
    for at, each in enumerate(numbers):
        steps.append(SockFilter(BPF_JEQ_K, len(numbers) - at, 0, each))
    steps.append(SockFilter(BPF_RET_K, 0, 0, SECCOMP_RET_ALLOW))
    steps.append(SockFilter(BPF_RET_K, 0, 0, SECCOMP_RET_USER_NOTIF))
    program = (SockFilter * len(steps))(*steps)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.syscall.argtypes = [ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p]
    libc.syscall.restype = ctypes.c_long
    prog = SockFprog(len(program), program)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    for more in (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0):
        flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | more
        fd = libc.syscall(SECCOMP, SECCOMP_SET_MODE_FILTER, flags, ctypes.addressof(prog))
        if fd >= 0:
            return int(fd)
    raise OSError(ctypes.get_errno(), "seccomp")


@dataclass(frozen=True)
class Fault:
    """The nth call of that name (0: the first; None: each) fails with an errno."""

    name: str
    nth: int | None
    errno: int


@dataclass(frozen=True)
class Notice:
    """A call that waits for an answer."""

    ident: int
    pid: int
    name: str
    args: tuple[int, ...]

    def read(self, address: int, length: int) -> bytes:
        """Memory of the caller."""
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(length)

    def write(self, address: int, data: bytes) -> None:
        """Change memory of the caller."""
        with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(address)
            memory.write(data)

    def give(self, listener: int, fd: int, cloexec: bool) -> int:
        """A descriptor of ours, for the caller: its number there (Linux 5.9)."""
        # Not as the answer itself: interrupted in the middle, that would be 0 and no descriptor.
        flags = os.O_CLOEXEC if cloexec else 0
        wanted = struct.pack("QIIII", self.ident, 0, fd, 0, flags)
        return fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, bytearray(wanted))


# What somebody answers: an errno as a negative number, what the call returns, or None: let it go
# on.
Hook = Callable[[Notice, int], "int | None"]


@dataclass
class Outcome:
    """What became of a child."""

    # 0, or what it was killed by as a negative number; None: it had to be killed.
    ended: int | None = None
    # What it returned, or the traceback of what it did not expect.
    told: bytes = b""
    # The calls it made while armed, in their order.
    made: list[str] = field(default_factory=list)
    happened: int = 0
    # Of one that had to be killed: in which call each of its threads was.
    stuck: str = ""


def _where(pid: int) -> str:
    """In which system call each thread of a process is."""
    found = []
    for task in sorted(os.listdir(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/syscall") as call:
            found.append(call.read().split(maxsplit=1)[0])
    return f"{len(found)} threads in the calls {' '.join(found)}"


class Armed:
    """A switch that child and parent share: calls fail while it is on."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 1)

    def __enter__(self) -> None:
        self._page[0] = 1

    def __exit__(self, *exc: object) -> None:
        self._page[0] = 0

    def __bool__(self) -> bool:
        return self._page[0] == 1

    def close(self) -> None:
        """Give the page back."""
        self._page.close()


class Supervisor:
    """Runs functions in forked children and answers their calls."""

    def __init__(
        self,
        names: Iterable[str],
        patience: float = 60.0,
        hooks: Mapping[str, Hook] | None = None,
    ) -> None:
        self.names = {number(name): name for name in names if number(name) is not None}
        self.patience = patience
        self.hooks = hooks or {}

    def execute(self, command: Sequence[str], env: Mapping[str, str]) -> Outcome:
        """Run a program whose calls the hooks answer; `told` is what it printed."""

        def become(armed: Armed, write: int) -> None:
            for fd in (1, 2):
                os.dup2(write, fd)
            os.execve(command[0], list(command), dict(env))

        return self.run(become, with_pipe=True)

    def run(
        self, what: Callable[..., Any], faults: Iterable[Fault] = (), with_pipe: bool = False
    ) -> Outcome:
        """Run `what` in a child. It must arm the switch for what may fail, and return JSON text."""
        armed = Armed()
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            if with_pipe:
                program = what
                what = lambda armed: program(armed, write)  # noqa: E731
            self._child(what, armed, theirs, write, close=(ours.fileno(), read))
        theirs.close()
        os.close(write)
        try:
            return self._supervise(pid, ours, read, armed, list(faults))
        finally:
            ours.close()
            os.close(read)
            armed.close()

    def _child(
        self,
        what: Callable[[Armed], Any],
        armed: Armed,
        sock: socket.socket,
        write: int,
        close: tuple[int, ...],
    ) -> None:
        code = 1
        try:
            for fd in close:
                os.close(fd)
            listener = _listen(self.names.values())
            socket.send_fds(sock, [b"x"], [listener])
            os.close(listener)
            sock.close()
            told = what(armed)
            os.write(write, (told or "").encode())
            code = 0
        except BaseException:
            armed.__exit__()
            with contextlib.suppress(OSError):
                os.write(write, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(code)

    def _supervise(
        self, pid: int, sock: socket.socket, read: int, armed: Armed, faults: list[Fault]
    ) -> Outcome:
        _, fds, _, _ = socket.recv_fds(sock, 1, 1)
        outcome = Outcome()
        deadline = time.monotonic() + self.patience
        counts: dict[str, int] = {}
        poller = select.poll()
        poller.register(read, select.POLLIN)
        listener = fds[0] if fds else -1
        if listener >= 0:
            poller.register(listener, select.POLLIN)
        told = bytearray()
        reading = True
        while reading:
            ready = poller.poll(max(0, (deadline - time.monotonic()) * 1000))
            if not ready:
                outcome.stuck = _where(pid)
                # Not SIGABRT: a call that waits for an answer would not be ended by it.
                os.kill(pid, signal.SIGKILL)
                break
            for fd, events in ready:
                if fd == read:
                    data = os.read(read, 65536)
                    told += data
                    reading = bool(data)
                elif events & select.POLLIN:
                    self._answer(listener, armed, faults, counts, outcome)
                else:
                    poller.unregister(listener)
        if listener >= 0:
            os.close(listener)
        _, status = os.waitpid(pid, 0)
        outcome.ended = os.waitstatus_to_exitcode(status) if not reading else None
        outcome.told = bytes(told)
        return outcome

    def _answer(
        self,
        listener: int,
        armed: Armed,
        faults: list[Fault],
        counts: dict[str, int],
        outcome: Outcome,
    ) -> None:
        notice = bytearray(80)
        try:
            fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notice)
        except OSError:
            return  # The call was given up meanwhile: a signal, or the end of the child.
        ident, pid, _, call = struct.unpack_from("QIIi", notice)
        name = self.names[call]
        value, error, flags = 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE
        if name in self.hooks:
            args = struct.unpack_from("6Q", notice, 32)
            said = self.hooks[name](Notice(ident, pid, name, args), listener)
            if said is not None:
                value, error, flags = max(said, 0), min(said, 0), 0
        elif armed:
            nth = counts.get(name, 0)
            counts[name] = nth + 1
            outcome.made.append(name)
            for fault in faults:
                if fault.name == name and fault.nth in (nth, None):
                    error, flags = -fault.errno, 0
                    outcome.happened += 1
                    break
        answer = bytearray(struct.pack("QqiI", ident, value, error, flags))
        with contextlib.suppress(OSError):
            fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, answer)

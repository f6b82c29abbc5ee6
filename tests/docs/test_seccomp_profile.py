"""The profile that docs/how-to/containers.md gives to people, on this kernel.

What a container runtime does with it is done here by hand: names to numbers, rules to a filter of
the kernel (BPF), the filter onto a child.
"""

from __future__ import annotations

import errno
import json
import re
import subprocess
from functools import cache
from typing import Any

from helpers.child import run_child
from helpers.readme import ROOT

PROFILE = ROOT / "docs" / "how-to" / "io_uring.seccomp.json"

LOAD, JEQ, AND, RET = 0x20, 0x15, 0x54, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
# Where seccomp_data has the low half of an argument (and 4 further the high one).
ARGUMENTS = 16


@cache
def numbers() -> dict[str, int]:
    """The system calls that the kernel headers here know."""
    command = ["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", "/dev/null"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in re.findall(r"__NR_(\w+) (\d+)", printed)}


def answer(rule: dict[str, Any]) -> int:
    """What a rule says, as the kernel wants it."""
    if rule["action"] == "SCMP_ACT_ALLOW":
        return ALLOW
    assert rule["action"] == "SCMP_ACT_ERRNO", rule
    return ERRNO | rule.get("errnoRet", errno.EPERM)


def compiled(profile: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """The filter. All comparisons here are of the low 32 bits, which is enough for these."""
    program = [(LOAD, 0, 0, 0)]
    for rule in profile["syscalls"]:
        assert len(rule.get("args", ())) <= 1
        for name in rule["names"]:
            if name not in numbers():
                continue
            body = [(RET, 0, 0, answer(rule))]
            for argument in rule.get("args", ()):
                body = [
                    (LOAD, 0, 0, ARGUMENTS + 8 * argument["index"]),
                    *comparison(argument),
                    *body,
                ]
            # Not this call, or not these arguments: on to the next rule, with the number again.
            body.append((LOAD, 0, 0, 0))
            program += [(JEQ, 0, len(body), numbers()[name]), *body]
    default = {"action": profile["defaultAction"]}
    return [*program, (RET, 0, 0, answer(default))]


def comparison(argument: dict[str, Any]) -> list[tuple[int, int, int, int]]:
    """Go on where the argument is as the rule wants it, skip the rule's answer where not."""
    match argument["op"]:
        case "SCMP_CMP_EQ":
            return [(JEQ, 0, 1, argument["value"])]
        case "SCMP_CMP_NE":
            return [(JEQ, 1, 0, argument["value"])]
        case "SCMP_CMP_MASKED_EQ":
            return [(AND, 0, 0, argument["value"]), (JEQ, 0, 1, argument["valueTwo"])]
        case other:
            raise AssertionError(other)


UNDER = """
import ctypes, json, os, sys
from helpers.seccomp import SockFilter, SockFprog
program = [SockFilter(*each) for each in json.loads(sys.argv.pop(1))]
program = (SockFilter * len(program))(*program)
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
def load():
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.addressof(SockFprog(len(program), program)), 0, 0) == 0
def call(number, *arguments):
    given = [ctypes.c_long(each) for each in arguments] + [ctypes.c_long(0)] * (6 - len(arguments))
    return 0 if libc.syscall(ctypes.c_long(number), *given) >= 0 else ctypes.get_errno()
"""

profile: dict[str, Any] = json.loads(PROFILE.read_text())


def run_under(of: dict[str, Any], code: str, *args: str) -> str:
    """What a snippet prints that runs under a profile."""
    return run_child(UNDER + code, json.dumps(compiled(of)), *args).stdout


WORK = """
load()
import uring_rs, socket, subprocess, tempfile, threading
print(uring_rs.probe().reason or "io_uring")
print(subprocess.run([sys.executable, "-c", "print('a child')"], capture_output=True).stdout)
thread = threading.Thread(target=print, args=["a thread"])
thread.start(); thread.join()
with tempfile.TemporaryDirectory() as folder:
    uring_rs.write_many((f"{folder}/{n}", b"x" * n) for n in range(100))
    print(len(list(uring_rs.read_many(f"{folder}/{n}" for n in range(100)))), "files")
left, right = socket.socketpair()
left.close(); right.close()
"""


def test_a_program_works_under_it() -> None:
    assert run_under(profile, WORK).splitlines() == [
        "io_uring",
        "b'a child\\n'",
        "a thread",
        "100 files",
    ]


def test_it_is_the_profile_that_allows_it() -> None:
    rules = [rule for rule in profile["syscalls"] if "io_uring_setup" not in rule["names"]]
    printed = run_under({**profile, "syscalls": rules}, WORK)
    assert "a seccomp filter refuses the call" in printed
    assert "100 files" in printed


# What nobody in a container should get, with arguments that would be EINVAL or EFAULT elsewhere.
REFUSED = [
    *("add_key", "bpf", "delete_module", "finit_module", "init_module", "kexec_load", "keyctl"),
    *("mount", "move_mount", "open_by_handle_at", "perf_event_open", "pivot_root", "ptrace"),
    *("process_vm_readv", "process_vm_writev", "reboot", "request_key", "setns", "swapon"),
    *("umount2", "unshare", "userfaultfd", "fsopen", "open_tree", "pidfd_getfd", "settimeofday"),
]


def test_what_stays_refused() -> None:
    asked = {name: numbers()[name] for name in REFUSED}
    code = """
load()
for name, number in json.loads(sys.argv[1]).items():
    print(name, call(number, -1, -1, -1, -1, -1))
CLONE_NEWUSER, AF_VSOCK, AF_INET = 0x10000000, 40, 2
clone, clone3, socket, personality = json.loads(sys.argv[2])
print("clone", call(clone, CLONE_NEWUSER))
print("clone3", call(clone3, 0, 0))
print("vsock", call(socket, AF_VSOCK, 1))
print("personality", call(personality, 0x0040000))
print("inet", call(socket, AF_INET, 1))
print("personality now", call(personality, 0xFFFFFFFF))
"""
    more = [numbers()[name] for name in ("clone", "clone3", "socket", "personality")]
    printed = run_under(profile, code, json.dumps(asked), json.dumps(more)).splitlines()
    found = dict(line.rsplit(" ", 1) for line in printed)
    expected = dict.fromkeys([*REFUSED, "clone", "vsock", "personality"], str(errno.EPERM))
    expected |= {"clone3": str(errno.ENOSYS), "inet": "0", "personality now": "0"}
    assert found == expected


def test_nothing_is_named_twice_or_wrongly() -> None:
    names = [name for rule in profile["syscalls"] if "args" not in rule for name in rule["names"]]
    assert len(names) == len(set(names))
    assert not set(REFUSED) & set(names)
    # The headers here may be older than the profile, not much else.
    unknown = {name for name in names if name not in numbers()}
    assert len(unknown) <= 15, unknown


def test_the_page_links_to_it() -> None:
    page = (PROFILE.parent / "containers.md").read_text()
    assert f"]({PROFILE.name})" in page

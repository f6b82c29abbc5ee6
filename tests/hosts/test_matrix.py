"""Every kind of host that refuses, or knows less: what `info` says, what works, what is raised.

The checks are those of `helpers.hostcheck`, the same on each. A few hosts are looked at with each
run of the tests, the others with `-m soak` (all of them: `nox -s hosts`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import uring_rs
from helpers.child import child_env, run_child
from helpers.host import SYSCTL
from helpers.oldkernel import old_kernel
from helpers.realfaults.supervisor import why_not
from uring_rs.testing import SimKernel

pytestmark = pytest.mark.once

CHECK = "from helpers.hostcheck import main; main()"


@pytest.fixture
def top() -> Iterator[str]:
    """A folder that nobody may use as well."""
    with tempfile.TemporaryDirectory(prefix="uring_rs-hosts-") as name:
        os.chmod(name, 0o777)
        yield name


def check(rings: str, top: str, *before: str) -> dict[str, Any]:
    """What was found on a host where this was taken away before."""
    done = run_child(CHECK, rings, top, *before, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["jobs"] == 14
    return found


@pytest.mark.requires_op("NOP")
def test_an_unprivileged_user(top: str) -> None:
    assert check("yes", top, "nobody")["ring"] == "works"


@pytest.mark.requires_op("NOP")
@pytest.mark.soak
def test_64_kibibytes_of_lockable_memory(top: str) -> None:
    """What a process had by default before systemd 240: enough for the rings of jobs."""
    assert check("yes", top, "memlock:64", "nobody")["ring"] == "works"


def test_next_to_no_lockable_memory(top: str) -> None:
    found = check("no", top, "memlock:4", "nobody")
    assert found["cause"] == "memlock"
    assert "RLIMIT_MEMLOCK is 4 KiB" in found["ring"]


SANDBOX = ["EPERM", "ENOSYS", "EACCES", "EOPNOTSUPP"]
# Each call once with each run of the tests, and the errno that is most common.
ALWAYS = {("all", "EPERM"), ("setup", "ENOSYS"), ("enter", "EACCES"), ("register", "EPERM")}
FILTERS = [
    pytest.param(call, name, marks=() if (call, name) in ALWAYS else pytest.mark.soak)
    for call in ("all", "setup", "enter", "register")
    for name in SANDBOX
]


@pytest.mark.parametrize(("call", "name"), FILTERS)
def test_a_seccomp_filter(top: str, call: str, name: str) -> None:
    found = check("no", top, f"seccomp:{call}:{name}")
    assert found["cause"] == "seccomp"
    refused = "io_uring_setup" if call in ("all", "setup") else f"io_uring_{call}"
    for said in (found["reason"], found["ring"]):
        assert said.startswith(f"{refused} failed with {name}"), said
    assert "seccomp" in found["hint"]


VERSIONS = [(5, 10), (5, 11), (5, 15), (5, 19), (6, 1), (6, 6), (6, 12)]
SELDOM = {(5, 15), (6, 1), (6, 12)}


@pytest.mark.requires_op("NOP")
@pytest.mark.parametrize(
    "version",
    [pytest.param(v, marks=pytest.mark.soak if v in SELDOM else ()) for v in VERSIONS],
    ids=lambda version: f"Linux {version[0]}.{version[1]}",
)
def test_an_older_kernel(top: str, version: tuple[int, int]) -> None:
    """The running kernel, without what came later."""
    if reason := why_not():
        pytest.skip(reason)
    rings = "yes" if version >= (5, 11) else "no"
    command = [sys.executable, "-X", "faulthandler", "-c", CHECK, rings, top]
    with old_kernel(version) as supervisor:
        outcome = supervisor.execute(command, child_env())
    assert outcome.ended == 0, outcome.told.decode()
    found = json.loads(outcome.told.decode().splitlines()[-1])
    if rings == "no":
        assert found["cause"] == "old-kernel"
        assert "Linux 5.10.0" in found["ring"]
        assert "5.11 or newer" in found["hint"]
        return
    assert found["ring"] == "works"
    # Everything came by 6.18: buffer rings with 5.19, another size for queues with 6.13. Only rings
    # that came with 6.6 are asked for that.
    assert found["lacking"] > 0
    if version < (5, 19):
        assert "buffer rings (5.19)" in found["stopped"], found
    elif version < (6, 6):
        assert found["stopped"] == "", found
    else:
        assert "resiz" in found["stopped"], found


@pytest.mark.parametrize("version", [v for v in VERSIONS if v >= (5, 11)])
def test_an_operation_that_an_older_kernel_lacks(version: tuple[int, int]) -> None:
    """The simulated kernel does refuse it; supports() says so before, its completion names it."""
    kernel = SimKernel(1, linux=version)
    with uring_rs.Ring(4, kernel=kernel) as ring:
        assert ring.supports("SHUTDOWN")
        assert ring.supports("MSG_RING") == (version >= (5, 18))
        assert not ring.supports("FTRUNCATE")
        fd = kernel.file("data", b"bytes")
        ring.prep_ftruncate(fd, 1)
        ring.submit(wait=1)
        cqe = ring.pop()
        assert cqe is not None
        assert cqe.res == -errno.EINVAL
        with pytest.raises(OSError, match="FTRUNCATE") as caught:
            cqe.result()
        assert caught.value.errno == errno.EINVAL
        kernel.close(fd)
        ring.prep_nop(user_data="goes on")
        ring.submit(wait=1)
        assert [cqe.user_data for cqe in ring] == ["goes on"]


TOO_NEW = """
    import ctypes, os, tempfile, uring_rs
    # personality(UNAME26): this process is told of a Linux 2.6.
    assert ctypes.CDLL(None).personality(0x0020000) != -1
    with uring_rs.Ring(4) as ring, tempfile.TemporaryFile() as file:
        reading = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)
        for fd in (reading, 1_000_000):
            ring.prep_ftruncate(fd, 1)
            try:
                ring.wait_cqe(timeout=10).result()
            except OSError as error:
                print(error.errno, error)
        os.close(reading)
"""


@pytest.mark.requires_op("FTRUNCATE")
def test_what_came_later_than_this_kernel_says_since_when() -> None:
    """EINVAL has many causes: only where the version says so, and of no other errno."""
    of_einval, of_ebadf = run_child(TOO_NEW).stdout.splitlines()
    assert of_einval.startswith(f"{errno.EINVAL} ")
    assert "(FTRUNCATE, which came with Linux 6.9; this is 2.6." in of_einval
    assert of_ebadf.startswith(f"{errno.EBADF} ")
    assert of_ebadf.endswith("(FTRUNCATE)")


@pytest.mark.alone
def test_io_uring_disabled(top: str) -> None:
    if not SYSCTL.exists():
        pytest.skip("kernel.io_uring_disabled came with Linux 6.6, this kernel has none")
    if os.geteuid() != 0 or not os.access(SYSCTL, os.W_OK):
        pytest.skip("kernel.io_uring_disabled can be written by root alone")
    was = SYSCTL.read_text()
    try:
        for value, before in (("1", ["nobody"]), ("2", []), ("2", ["nobody"])):
            SYSCTL.write_text(value)
            found = check("no", top, *before)
            assert found["cause"] == "sysctl"
            assert f"io_uring_disabled is {value}" in found["ring"]
            assert "sysctl" in found["hint"]
    finally:
        SYSCTL.write_text(was)


# --- small cgroups


def _group(controller: str) -> Path | None:
    """The folder of a new cgroup with that controller, of either version; None if none can be."""
    name = f"uring_rs-{os.getpid()}"
    # Version 1, then version 2 where it has the controller.
    for root in (Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")):
        group = root / name
        with contextlib.suppress(OSError):
            group.mkdir()
            if any(group.glob(f"{controller}.*")):
                return group
            group.rmdir()
    return None


def _limit(group: Path, controller: str) -> None:
    """As little as a small container gets."""
    if controller == "memory":
        names = {"memory.max": str(96 << 20), "memory.limit_in_bytes": str(96 << 20)}
    elif controller == "pids":
        names = {"pids.max": "6"}
    else:
        names = {"cpu.max": "20000 100000", "cpu.cfs_quota_us": "20000"}
    some = [name for name in names if (group / name).exists()]
    assert some, f"{controller} has none of {list(names)}"
    for name in some:
        (group / name).write_text(names[name])


@pytest.mark.soak
@pytest.mark.requires_op("NOP")
@pytest.mark.parametrize("controller", ["memory", "pids", "cpu"])
def test_a_small_cgroup(top: str, controller: str) -> None:
    """Little memory, few tasks (io_uring's workers and our threads count), little time."""
    group = _group(controller)
    if group is None:
        pytest.skip(f"no cgroup with the controller {controller} can be made here")
    try:
        _limit(group, controller)
        assert check("yes", top, f"cgroup:{group}")["ring"] == "works"
    finally:
        # The last process leaves some time after its end.
        for _ in range(100):
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.05)

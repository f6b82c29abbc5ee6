"""What must hold on every host, however little of io_uring it lets through.

    python -m helpers.hostcheck RINGS FOLDER [BEFORE ...]

RINGS is yes or no. BEFORE are names of functions of this module, called first: they take something
from the process (privileges, memory, system calls). It prints what was found, as JSON, and ends
with an exception where something does not hold.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import uring_rs
from helpers.host import become_nobody, limit_lockable_memory
from helpers.realfaults.scripts import SCRIPTS, tables
from helpers.seccomp import refuse_io_uring
from uring_rs.cli.entry import main as command
from uring_rs.selectors import UringSelector

CALLS = {"setup": (425, 425), "enter": (426, 426), "register": (427, 427), "all": (425, 427)}


def seccomp(call: str, name: str) -> None:
    """A filter answers one of the three calls, or all of them, with an errno."""
    refuse_io_uring(getattr(errno, name), *CALLS[call])


def nobody() -> None:
    """No privileges."""
    become_nobody()


def memlock(kilobytes: str) -> None:
    """So much memory can be locked."""
    limit_lockable_memory(int(kilobytes) << 10)


def cgroup(folder: str) -> None:
    """A control group."""
    (Path(folder) / "cgroup.procs").write_text(str(os.getpid()))


BEFORE = {"seccomp": seccomp, "nobody": nobody, "memlock": memlock, "cgroup": cgroup}


def info(*words: str) -> str:
    """What `uring_rs info` prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        command(["info", *words])
    return out.getvalue()


def check_info(rings: bool) -> dict[str, Any]:
    """The command and `probe` tell the same; a refusal has its reason and what helps."""
    found = uring_rs.probe()
    told, text = json.loads(info("--json")), info()
    assert found.ok == told["ok"] == rings == uring_rs.is_supported(), found
    assert ("unavailable" in text) != rings, text
    assert found.reason == told["reason"]
    if not rings:
        assert all((found.reason, found.hint, found.cause)), found
        flat = " ".join(text.split())
        assert found.cause in flat, text
        assert found.reason in flat, (found.reason, text)
        assert " ".join(found.hint.split()[:4]) in flat, (found.hint, text)
    return {"reason": found.reason, "hint": found.hint, "cause": found.cause}


def check_ring(rings: str) -> dict[str, Any]:
    """A ring works, or says that there is none, why, and what helps."""
    try:
        with uring_rs.Ring(8) as ring:
            ring.prep_nop(user_data="token")
            ring.submit(wait=1)
            assert [cqe.user_data for cqe in ring] == ["token"]
    except uring_rs.UringUnavailable as error:
        assert rings != "yes", error
        assert all((error.reason, error.hint, error.errno)), error
        assert error.reason in str(error)
        assert isinstance(error.cause, uring_rs.Cause)
        return {"ring": error.reason}
    assert rings == "yes", "a ring in spite of everything"
    return {"ring": "works"}


def check_operations(folder: Path) -> dict[str, Any]:
    """What this kernel lacks is said by its name and version."""
    with uring_rs.Ring(8) as ring:
        lacking = [name for name in uring_rs.Op.__members__ if not ring.supports(name)]
    found = uring_rs.probe()
    assert set(found.ops).isdisjoint(lacking)
    stopped = ""
    try:
        tables(folder)
    except uring_rs.UnsupportedOperation as error:
        assert error.since, error
        stopped = f"{error.op} ({error.since[0]}.{error.since[1]})"
    except ValueError as error:
        # Resizing needs flags that this kernel does not have.
        assert "resized" in str(error), error
        stopped = str(error)
    return {"lacking": len(lacking), "stopped": stopped}


def check_jobs(top: Path) -> dict[str, Any]:
    """Every high-level function gives what it gives anywhere."""
    for script in SCRIPTS.values():
        if script.falls_back:
            folder = top / script.name
            folder.mkdir()
            script.prepare(folder)
            result = script.act(folder)
            assert result == script.expected(), f"{script.name}: {result!r}"[:2000]
    return {"jobs": sum(script.falls_back for script in SCRIPTS.values())}


def check_backends(rings: bool, register_only: bool) -> dict[str, Any]:
    """What is used instead is said, and why."""
    with UringSelector() as selector:
        assert selector.backend == ("io_uring" if rings else "epoll"), selector.backend
        assert bool(selector.reason) != rings, selector.reason
    with uring_rs.IoQueue(4) as queue:
        # A queue's ring never has to register anything.
        works = rings or register_only
        assert queue.backend == ("io_uring" if works else "threads"), queue.backend
    if not rings and not register_only:
        try:
            uring_rs.IoQueue(4, require_uring=True).close()
        except uring_rs.UringError:
            pass
        else:
            raise AssertionError("a queue on a ring in spite of everything")
    assert uring_rs.backend().name == ("io_uring" if rings else "threads"), uring_rs.backend()
    return {"selector": "io_uring" if rings else "epoll"}


def main() -> None:
    rings, folder, *before = sys.argv[1:]
    top = Path(tempfile.mkdtemp(dir=folder))
    top.chmod(0o777)
    for word in before:
        name, *args = word.split(":")
        BEFORE[name](*args)
    work = Path(tempfile.mkdtemp(dir=top))
    (work / "tables").mkdir()
    found: dict[str, Any] = {}
    found |= check_info(rings == "yes")
    found |= check_ring(rings)
    if rings == "yes":
        SCRIPTS["ring tables"].prepare(work / "tables")
        found |= check_operations(work / "tables")
    register_only = any(word.startswith("seccomp:register") for word in before)
    found |= check_backends(rings == "yes", register_only)
    found |= check_jobs(work)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

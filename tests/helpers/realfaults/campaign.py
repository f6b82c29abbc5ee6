"""Scripts on the real kernel, each of their system calls failing in turn.

    python -m helpers.realfaults.campaign [--all] [--share S] [--only SCRIPT]

First a script is run to see which calls it makes; then, in a child each, with the nth call of a
kind failing with an errno. Afterwards the child must be as if nothing had been: what it claims to
have done right is right, files are old or new and whole, nothing temporary is left, descriptors
and rings are what they were, and the same script, with nothing failing, succeeds.
"""

from __future__ import annotations

import argparse
import collections
import errno
import gc
import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.realfaults.scripts import SCRIPTS, CommandFailed, Script, content, facts
from helpers.realfaults.supervisor import NUMBERS, Armed, Fault, Outcome, Supervisor, why_not

# What each call can return, from its manual page (man-pages 6.9, liburing 2.9) and, for io_uring,
# the source of Linux 6.18. EPERM, ENOSYS and EACCES: what sandboxes answer.
SANDBOX = ["EPERM", "ENOSYS", "EACCES", "EOPNOTSUPP"]
ERRNOS: dict[str, list[str]] = {
    "io_uring_setup": [*SANDBOX, "ENOMEM", "EMFILE", "ENFILE", "EINVAL", "EAGAIN"],
    "io_uring_enter": [*SANDBOX, "EINTR", "EAGAIN", "EBUSY", "ENOMEM", "EBADF", "EINVAL"],
    "io_uring_register": [*SANDBOX, "EINVAL", "ENOMEM", "EBUSY", "EINTR", "EAGAIN", "EMFILE"],
    "mmap": ["ENOMEM", "EAGAIN", "EPERM"],
    "clone3": ["EAGAIN", "ENOMEM", "EPERM"],
    "clone": ["EAGAIN"],
    "openat": ["EINTR", "EMFILE", "ENFILE", "EACCES", "ENOENT", "ENOMEM", "EIO", "ELOOP", "EPERM"],
    "openat2": ["EINTR", "EAGAIN", "ENOSYS", "EPERM", "EMFILE", "EACCES", "ENOENT", "EINVAL"],
    "pread64": ["EIO", "EINTR", "EINVAL", "ENOMEM", "ESTALE"],
    "preadv2": ["EIO", "EINTR", "EAGAIN", "EOPNOTSUPP", "EINVAL", "ENOSYS", "EPERM", "ENOMEM"],
    "read": ["EIO", "EINTR", "EISDIR"],
    "pwrite64": ["ENOSPC", "EIO", "EINTR", "EDQUOT", "EFBIG"],
    "pwritev2": ["ENOSPC", "EIO", "EINTR", "EDQUOT", "EFBIG", "EOPNOTSUPP"],
    "write": ["ENOSPC", "EIO", "EINTR"],
    "fsync": ["EIO", "ENOSPC", "EINTR", "EDQUOT"],
    "fdatasync": ["EIO", "ENOSPC", "EINTR"],
    "sync_file_range": ["EIO", "ENOSYS", "ENOSPC", "EPERM"],
    "fallocate": ["ENOSPC", "EOPNOTSUPP", "EINTR", "EIO", "EFBIG", "ENOSYS"],
    "ftruncate": ["EIO", "EINTR", "EFBIG"],
    "lseek": ["EINVAL", "ENXIO", "ESPIPE", "EOVERFLOW"],
    "fstat": ["ENOMEM", "EOVERFLOW", "EIO"],
    "newfstatat": ["EACCES", "ENOMEM", "ELOOP", "EIO"],
    "statx": ["EACCES", "ENOMEM", "ELOOP", "EIO", "ENOSYS", "EPERM"],
    "statfs": ["EIO", "ENOSYS", "EINTR"],
    "fstatfs": ["EIO", "ENOSYS", "EINTR"],
    "getdents64": ["EIO", "ENOENT", "ENOMEM"],
    "renameat2": ["EXDEV", "EACCES", "ENOSPC", "EIO", "EINTR", "EINVAL", "EDQUOT"],
    "linkat": ["EACCES", "EMLINK", "ENOSPC", "EPERM", "EIO"],
    "symlinkat": ["EACCES", "ENOSPC", "EIO", "EPERM"],
    "readlinkat": ["EACCES", "EIO", "ENOMEM"],
    "mkdirat": ["EACCES", "ENOSPC", "EDQUOT", "EROFS", "EIO"],
    "mknodat": ["EACCES", "ENOSPC", "EPERM", "EIO"],
    "unlinkat": ["EACCES", "EIO"],
    "fchmod": ["EPERM", "EIO", "EROFS"],
    "fchmodat": ["EPERM", "EIO", "EROFS"],
    "fchmodat2": ["EPERM", "ENOSYS", "EIO", "EOPNOTSUPP"],
    "fchown": ["EPERM", "EIO"],
    "fchownat": ["EPERM", "EIO"],
    "utimensat": ["EPERM", "EACCES", "EROFS"],
    "copy_file_range": [
        "EXDEV",
        "EINVAL",
        "EIO",
        "ENOSPC",
        "EOPNOTSUPP",
        "ENOSYS",
        "EPERM",
        "EINTR",
        "ETXTBSY",
    ],
    "sendfile": ["EINVAL", "EIO", "ENOMEM"],
    "ioctl": ["EOPNOTSUPP", "EINVAL", "EXDEV", "ENOTTY", "EPERM"],
    "fcntl": ["EINVAL", "EMFILE", "EPERM"],
    "dup3": ["EMFILE", "EBUSY"],
    "eventfd2": ["EMFILE", "ENFILE", "ENOMEM"],
    "pipe2": ["EMFILE", "ENFILE"],
    "epoll_create1": ["EMFILE", "ENFILE", "ENOMEM"],
    "epoll_ctl": ["ENOMEM", "ENOSPC", "EPERM"],
    "epoll_wait": ["EINTR"],
    "epoll_pwait": ["EINTR"],
    "ppoll": ["EINTR", "ENOMEM"],
    "poll": ["EINTR", "ENOMEM"],
    "fadvise64": ["EINVAL", "ESPIPE"],
    "madvise": ["EINVAL", "ENOMEM"],
    "mincore": ["EPERM", "ENOMEM"],
    "cachestat": ["ENOSYS", "EPERM", "EOPNOTSUPP", "EBADF"],
    "flistxattr": ["EOPNOTSUPP", "EIO", "EACCES"],
    "fgetxattr": ["EOPNOTSUPP", "EIO", "ENODATA"],
    "fsetxattr": ["EOPNOTSUPP", "ENOSPC", "EPERM", "EDQUOT"],
    "llistxattr": ["EOPNOTSUPP", "EIO"],
    "lgetxattr": ["EOPNOTSUPP", "EIO", "ENODATA"],
    "lsetxattr": ["EOPNOTSUPP", "ENOSPC", "EPERM"],
    "socket": ["EMFILE", "ENFILE", "ENOMEM"],
    "getsockopt": ["ENOMEM"],
    "uname": ["EFAULT"],
    "sysinfo": ["EFAULT"],
    "prlimit64": ["EPERM"],
    "sched_getaffinity": ["EINVAL", "EPERM"],
}

assert ERRNOS.keys() == NUMBERS.keys()

# Whole calls refused, as sandboxes do.
REFUSED = ("io_uring_setup", "io_uring_enter", "io_uring_register")


def _descriptors() -> list[str]:
    found = []
    for name in sorted(os.listdir("/proc/self/fd"), key=int):
        try:
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue
    return found


def _ring_maps() -> int:
    with open("/proc/self/maps") as lines:
        return sum("io_uring" in line for line in lines)


def _damage(folder: Path) -> list[str]:
    """What must never be, whatever failed: half a file, a temporary one."""
    wrong = []
    for path in folder.rglob("*"):
        if path.name.endswith(".uring_rs") or ".uring_rs-" in path.name:
            wrong.append(f"temporary: {path.name}")
    for number in range(5):
        path = folder / f"f{number}"
        if not path.exists():
            continue
        data = path.read_bytes()
        old = content(number, len(data))
        # Ranges and rings write into the middle; whole files are the old or the new.
        new = [content(50 + number, 3_000), b"".join(content(n, 50_000) for n in range(4))]
        whole = len(data) == (0, 1, 5_000, 70_000, 300_000)[number] or data in new
        if not whole or (number < 2 and data not in (old, *new)):
            wrong.append(f"{path.name}: {len(data)} bytes")
    top, copied = folder / "tree", folder / "copy"
    if copied.exists():
        source = {name: fact[2] for name, fact in facts(top).items()}
        for name, (_, _, data) in facts(copied).items():
            if data != source.get(name):
                wrong.append(f"copied {name}")
    return wrong


def _child(script: Script, first: Path, second: Path, armed: Armed) -> str:
    """Run the script with what fails, look at what became of it, and run it once more."""
    # Where exceptions go that nobody can catch.
    unseen: list[str] = []
    sys.unraisablehook = lambda what: unseen.append(f"{what.exc_type} {what.exc_value}")
    warnings.simplefilter("error")
    report: dict[str, Any] = {"said": None}
    script.prepare(first)
    descriptors, maps = _descriptors(), _ring_maps()
    try:
        with armed:
            result = script.act(first)
        report["right"] = result == script.expected()
        if not report["right"]:
            report["result"] = repr(result)[:2000]
    except (OSError, MemoryError, RuntimeError, CommandFailed, ExceptionGroup) as error:
        report["said"] = [type(error).__name__, getattr(error, "errno", None), str(error)[:500]]
        del error
    gc.collect()
    report["damage"] = _damage(first)
    report["fds"] = [fd for fd in _descriptors() if fd not in descriptors]
    report["maps"] = _ring_maps() - maps
    report["unseen"] = unseen[:]
    script.prepare(second)
    again = script.act(second)
    report["later"] = again == script.expected() or repr(again)[:2000]
    report["copied"] = second.joinpath("copy").exists() and (
        facts(second / "tree") != facts(second / "copy")
    )
    return json.dumps(report)


@dataclass
class Tally:
    """Figures."""

    scripts: int = 0
    calls: collections.Counter[str] = field(default_factory=collections.Counter)
    runs: int = 0
    injected: int = 0
    told: int = 0
    errnos: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Campaign:
    """Runs scripts with faults; `wrong` is what was found."""

    def __init__(self, patience: float = 60.0) -> None:
        self.supervisor = Supervisor(NUMBERS, patience)
        self.tally = Tally()

    def once(self, script: Script, faults: Sequence[Fault]) -> tuple[Outcome, dict[str, Any]]:
        with tempfile.TemporaryDirectory(prefix="uring_rs-faults-") as name:
            folders = [Path(name) / "first", Path(name) / "second"]
            for folder in folders:
                folder.mkdir()
            outcome = self.supervisor.run(lambda armed: _child(script, *folders, armed), faults)
        try:
            report = json.loads(outcome.told) if outcome.ended == 0 else {}
        except ValueError:
            report = {}
        return outcome, report

    def record(self, script: Script) -> collections.Counter[str]:
        """The calls that the script makes where nothing fails."""
        outcome, report = self.once(script, [])
        problems = self.problems(script, [], outcome, report)
        if problems or report["said"] or not report["right"]:
            raise AssertionError(
                f"{script.name}, nothing failing: {outcome.ended} {report} {outcome.told.decode()}"
            )
        self.tally.scripts += 1
        self.tally.calls.update(outcome.made)
        return collections.Counter(outcome.made)

    def try_one(self, script: Script, faults: Sequence[Fault]) -> None:
        outcome, report = self.once(script, faults)
        self.tally.runs += 1
        self.tally.injected += outcome.happened
        self.tally.errnos.update(fault.errno for fault in faults)
        self.tally.told += bool(report.get("said"))
        problems = self.problems(script, faults, outcome, report)
        if problems:
            what = ", ".join(
                f"{fault.name} {'always' if fault.nth is None else fault.nth} "
                f"{errno.errorcode[fault.errno]}"
                for fault in faults
            )
            self.tally.wrong.append(f"{script.name}; {what}: {'; '.join(problems)}")

    def problems(
        self, script: Script, faults: Sequence[Fault], outcome: Outcome, report: dict[str, Any]
    ) -> list[str]:
        """What is not as it must be."""
        if outcome.ended != 0 or not report:
            hung = f"hung: {outcome.stuck} after {outcome.made[-6:]}"
            how = hung if outcome.ended is None else f"ended with {outcome.ended}"
            return [f"{how}: {outcome.told.decode(errors='replace')[-2000:]}"]
        wrong = [f"{key}: {report[key]}" for key in ("damage", "fds", "unseen") if report[key]]
        wrong += ["rings stay mapped"] if report["maps"] > 0 else []
        wrong += [f"later: {report['later']}"] if report["later"] is not True else []
        wrong += ["the copy differs"] if report["copied"] else []
        said = report["said"]
        if said is None:
            if not report["right"]:
                wrong.append(f"claimed to be right: {report.get('result')}")
            return wrong
        kind, number, text = said
        codes = {fault.errno for fault in faults if outcome.happened}
        names = {fault.name for fault in faults if outcome.happened}
        fits = number in codes or kind in ("CommandFailed",)
        fits |= kind in ("MemoryError",) and bool(codes & {errno.ENOMEM, errno.EAGAIN, errno.EPERM})
        fits |= kind == "RuntimeError" and bool(names & {"clone", "clone3", "mmap", "madvise"})
        fits |= number == errno.ENOMEM and "mmap" in names
        # What is opened without following links is said to be no folder; or a folder again, when it
        # is looked at once more.
        fits |= number in (errno.ENOTDIR, errno.EISDIR) and errno.ELOOP in codes
        # An operation that is said not to be there.
        fits |= kind in ("UnsupportedOperation", "UringUnavailable")
        if not fits:
            wrong.append(f"{kind} {number}: {text}")
        heals = all(self.heals(script, fault) for fault in faults) and faults
        if heals:
            wrong.append(f"told what heals: {kind} {number}: {text}")
        return wrong

    def heals(self, script: Script, fault: Fault) -> bool:
        """Nobody may notice."""
        passing = {errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ENOMEM}
        if fault.name in ("fadvise64", "sync_file_range", "cachestat", "mincore"):
            return True
        if fault.name == "io_uring_setup" and script.falls_back:
            return True
        if fault.name == "io_uring_register":
            # A file that cannot be registered with a queue is for its owner to know, and so is a
            # signal that comes while a ring waits for buffers to be given back.
            later = script.name == "IoQueue" and fault.nth != 0
            return script.falls_back and not (later and fault.nth is not None)
        if fault.name == "io_uring_enter" and fault.nth is not None and script.falls_back:
            return fault.errno in passing
        return fault.errno == errno.EINTR and fault.nth is not None

    def faults(self, script: Script, calls: collections.Counter[str]) -> Iterator[Fault]:
        """Every one there is."""
        for name, count in sorted(calls.items()):
            if script.python_threads and name == "mmap":
                continue
            for nth in range(count):
                for code in ERRNOS[name]:
                    yield Fault(name, nth, getattr(errno, code))
            if name in REFUSED:
                for code in SANDBOX:
                    yield Fault(name, None, getattr(errno, code))


def sample(faults: list[Fault], share: float, dice: random.Random) -> list[Fault]:
    """Each call by name once at least, and so much of the rest."""
    first: dict[str, list[Fault]] = collections.defaultdict(list)
    for fault in faults:
        first[fault.name].append(fault)
    chosen = [dice.choice(group) for group in first.values()]
    rest = [fault for fault in faults if fault not in chosen]
    return chosen + dice.sample(rest, int(len(rest) * share))


def brief(todo: list[tuple[Script, Fault]], dice: random.Random) -> list[tuple[Script, Fault]]:
    """Each call once, in whatever script, and a few in each script.

    The dice are thrown anew for each kind of call, so that how often a script happens to make one
    changes nothing for the others.
    """
    kinds: dict[str, list[tuple[Script, Fault]]] = collections.defaultdict(list)
    for script, fault in todo:
        kinds[f"{script.name} {fault.name}"].append((script, fault))
    seed = dice.random()
    dealt = [(random.Random(f"{seed} {kind}"), group) for kind, group in kinds.items()]
    dealt.sort(key=lambda each: each[0].random())
    few: collections.Counter[str] = collections.Counter()
    seen: set[str] = set()
    chosen = []
    for own, group in dealt:
        script, fault = own.choice(group)
        if fault.name not in seen or few[script.name] < 3:
            chosen.append((script, fault))
            seen.add(fault.name)
            few[script.name] += 1
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true", help="every fault, not a sample")
    parser.add_argument("--brief", action="store_true", help="each call once, three a script")
    parser.add_argument("--share", type=float, default=0.0, help="of them, besides one a call")
    parser.add_argument("--only", help="this script alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    if reason := why_not():
        print(reason)
        return 77
    began = time.monotonic()
    dice = random.Random(options.seed)
    campaign = Campaign()
    todo: list[tuple[Script, Fault]] = []
    for script in SCRIPTS.values():
        if options.only in (None, script.name):
            faults = list(campaign.faults(script, campaign.record(script)))
            every = options.all or options.brief
            some = faults if every else sample(faults, options.share, dice)
            todo += [(script, fault) for fault in some]
    possible = len(todo)
    if options.brief:
        todo = brief(todo, dice)
    dice.shuffle(todo)
    print(f"{len(todo)} faults", flush=True)
    for script, fault in todo:
        if time.monotonic() - began > options.minutes * 60:
            break
        before = len(campaign.tally.wrong)
        campaign.try_one(script, [fault])
        for wrong in campaign.tally.wrong[before:]:
            print(wrong, flush=True)
    tally = campaign.tally
    figures = {
        "scripts": tally.scripts,
        "calls": sum(tally.calls.values()),
        "kinds_of_calls": len(tally.calls),
        "faults_possible": possible,
        "runs": tally.runs,
        "faults_injected": tally.injected,
        "errnos": len(tally.errnos),
        "errors_told": tally.told,
        "wrong": len(tally.wrong),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(figures))
    if options.json:
        options.json.write_text(json.dumps(figures))
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""`uring-rs info`: whether io_uring works here, what it can do, and what stands in the way."""

from __future__ import annotations

import errno
import json
import platform
import shutil
import textwrap
from collections.abc import Iterator
from enum import IntFlag
from typing import Any

from .._version import __version__
from ..availability import Availability, probe
from ..backend import backend
from ..flags import Op
from .progress import amount

__all__ = ["run"]

_INDENT = 13


def _names(flags: IntFlag) -> list[str]:
    """The names of the bits set, and the number of those without one."""
    known = [member.name for member in type(flags) if member in flags and member.name]
    rest = int(flags) & ~sum(int(member) for member in type(flags))
    return known + ([hex(rest)] if rest else [])


def _as_json(found: Availability) -> str:
    code = found.errno
    facts = {
        "version": __version__,
        "python": platform.python_version(),
        "ok": found.ok,
        "reason": found.reason,
        "hint": found.hint,
        "cause": found.cause,
        "errno": code,
        "errno_name": errno.errorcode.get(code, str(code)) if code else None,
        "backend": str(backend()),
        "kernel": found.kernel,
        "features": _names(found.features),
        "setup_flags": _names(found.setup_flags),
        "operations": [{"name": name, "since": _since(name)} for name in found.ops],
        "register_operations": list(found.register_ops),
        "environment": dict(found.environment),
    }
    return json.dumps(facts, indent=2, default=str)


def _since(name: str) -> str:
    return Op[name].since if name in Op.__members__ else ""


def _operations(names: tuple[str, ...]) -> str:
    """The operations in groups, each after the kernel that brought it."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_since(name) or "later", []).append(name)
    parts = (f"[{since}] {' '.join(group)}" for since, group in groups.items())
    return f"{len(names)}: " + " ".join(parts)


def _state(found: Availability) -> Iterator[tuple[str, str]]:
    """What matters first: does it work, and if not, why not."""
    if found.ok:
        yield "io_uring", "available"
        yield "backend", "io_uring, and plain system calls for what is cached"
        return
    name = f" ({errno.errorcode.get(found.errno, found.errno)})" if found.errno else ""
    yield "io_uring", f"unavailable{name}"
    yield "cause", f"{found.reason} [{found.cause}]" if found.cause else found.reason
    if found.hint:
        yield "fix", found.hint
    yield (
        "backend",
        "threads and plain system calls: read_many, read_ranges, copy and the like, uring:// and "
        "all commands give the same results, slower where many requests wait",
    )


def _bytes(value: Any) -> str:
    """A limit for people; none is told as -1, None or the largest number."""
    if value is None or not 0 <= int(value) < 1 << 62:
        return "unlimited"
    return amount(int(value))


def _limits(facts: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Sysctls and limits, as far as they could be read."""
    if (disabled := facts.get("io_uring_disabled")) is not None:
        meaning = {0: "everybody may", 1: "only one group, or CAP_SYS_ADMIN", 2: "nobody may"}
        told = f"io_uring_disabled={disabled} ({meaning.get(disabled, 'unknown')})"
        if (group := facts.get("io_uring_group")) is not None:
            told += f", io_uring_group={group}"
        yield "sysctl", told
    if (mode := facts.get("seccomp")) is not None:
        meaning = {0: "none", 1: "strict", 2: "a filter is active"}
        yield "seccomp", str(meaning.get(mode, mode))
    limits = []
    if (files := facts.get("nofile")) is not None:
        limits.append(f"open files {files}")
    if "memlock_soft" in facts:
        soft, hard = _bytes(facts["memlock_soft"]), _bytes(facts.get("memlock_hard"))
        limits.append(f"locked memory {soft}" + (f" (at most {hard})" if hard != soft else ""))
    if (cpus := facts.get("cpus")) is not None:
        share = facts.get("cgroup_cpus")
        limits.append(f"CPUs {cpus}" + (f" (cgroup allows {share})" if share else ""))
    if limits:
        yield "limits", ", ".join(limits)


def _table(found: Availability) -> Iterator[tuple[str, str]]:
    yield "uring_rs", f"{__version__}, Python {platform.python_version()}"
    yield "kernel", f"{found.kernel or 'unknown'} ({platform.machine()})"
    yield from _state(found)
    yield from _limits(dict(found.environment))
    for title, flags in (("features", found.features), ("setup flags", found.setup_flags)):
        if flags:
            names = _names(flags)
            yield title, f"{len(names)}: {' '.join(names)}"
    if found.ops:
        yield "operations", _operations(found.ops)
    if found.register_ops:
        yield "registering", f"{len(found.register_ops)}: {' '.join(found.register_ops)}"


def run(*, as_json: bool) -> int:
    """Print what was found. Always succeeds: to find out is what it is for."""
    found = probe()
    if as_json:
        print(_as_json(found))
        return 0
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    for title, text in _table(found):
        lines = textwrap.wrap(text, width - _INDENT, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines or [""]):
            print(f"{title if not number else '':<{_INDENT}}{line}")
    return 0

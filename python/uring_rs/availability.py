"""Whether io_uring can be used here, and what stands in the way if not.

Nothing in this module raises: it is what a program calls to decide between a ring and another
way of doing its work.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _native
from .errors import Cause
from .flags import Features, SetupFlags

__all__ = ["Availability", "is_disabled", "is_supported", "probe"]

_SWITCH = "URING_RS_DISABLE"
_NO_FEATURES = Features(0)
_NO_FLAGS = SetupFlags(0)


@dataclass(frozen=True)
class Availability:
    """What `probe()` found. True in a condition if rings can be made."""

    ok: bool
    """Whether a ring can be made here and now."""

    reason: str = ""
    """Why not, in one sentence; empty if ok."""

    hint: str = ""
    """How to change that, where it can be changed."""

    errno: int | None = None
    """The errno of io_uring_setup(2), where it was called and failed."""

    cause: str = ""
    """The reason in one word, for programs ("seccomp", "memlock", ...); empty if ok."""

    kernel: str = ""
    """The release of the running kernel ("6.18.44")."""

    features: Features = _NO_FEATURES
    """What the kernel says it can do."""

    setup_flags: SetupFlags = _NO_FLAGS
    """The set-up flags the kernel accepts."""

    ops: tuple[str, ...] = ()
    """The operations the kernel has ("READ", ...)."""

    register_ops: tuple[str, ...] = ()
    """The register operations the kernel has, by the names of RegisterOp ("CLOCK", ...)."""

    environment: Mapping[str, object] = field(default_factory=dict, hash=False)
    """What was looked at besides: sysctls, seccomp mode, limits, CPUs."""

    def __bool__(self) -> bool:
        return self.ok


def is_disabled() -> bool:
    """Whether the environment variable URING_RS_DISABLE asks not to use io_uring."""
    return os.environ.get(_SWITCH, "") not in ("", "0")


def probe() -> Availability:
    """Find out whether io_uring works here; try it, rather than guess from a version number.

    Never raises. The answer may change while the process runs (a sysctl, a seccomp filter, a
    limit), so it is not kept.
    """
    if is_disabled():
        return _refused(f"disabled by {_SWITCH}", f"unset {_SWITCH}", Cause.DISABLED)
    if _native.import_error is not None:
        why = _native.unavailable()
        return _refused(why.reason, why.hint, why.cause)
    try:
        from ._uring import probe as probe_kernel

        return _from_kernel(probe_kernel())
    except Exception as error:
        return _refused(f"the probe itself failed: {error!r}", "", Cause.OTHER)


def is_supported() -> bool:
    """Whether a ring can be made here: `probe().ok`."""
    return probe().ok


def _refused(reason: str, hint: str, cause: str) -> Availability:
    """An answer that was found without asking the kernel."""
    kernel = platform.release() if platform.system() == "Linux" else ""
    environment = {"kernel": kernel}
    return Availability(
        ok=False, reason=reason, hint=hint, cause=cause, kernel=kernel, environment=environment
    )


def _from_kernel(found: Mapping[str, Any]) -> Availability:
    """The answer of the compiled probe, with types."""
    ok = bool(found["ok"])
    return Availability(
        ok=ok,
        reason=found["reason"] or "",
        hint=found["hint"] or "",
        errno=found["errno"] or None,
        cause="" if ok else str(found["cause"] or Cause.OTHER),
        kernel=found["kernel"],
        features=Features(found["features"]),
        setup_flags=SetupFlags(found["setup_flags"]),
        ops=tuple(found["ops"]),
        register_ops=tuple(
            name.removeprefix("REGISTER_") for name in found.get("register_ops", ())
        ),
        environment=dict(found["environment"]),
    )

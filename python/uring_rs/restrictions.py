"""What a ring may do: said when it is made, and never changed after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from .flags import Op, RegisterOp, SqeFlags

__all__ = ["Restrictions"]

_E = TypeVar("_E", bound=IntEnum)

_KNOWN = 0x7F


@dataclass(frozen=True, kw_only=True)
class Restrictions:
    """All that a ring may ever do: `Ring(8, restrictions=Restrictions(sqe_ops=["READ"]))`.

    What is not allowed completes with EACCES, or raises PermissionError's errno from a register
    method. `None` allows everything, an empty list nothing.

    Two things are the library's own. SYNC_CANCEL is always allowed, since a ring could not be
    closed without it. And a restricted ring does not register its descriptor with its thread.
    """

    register_ops: Iterable[RegisterOp | str | int] | None = None
    """The register operations that are allowed: a frozenset of RegisterOp once made."""

    sqe_ops: Iterable[Op | str | int] | None = None
    """The operations that are allowed: a frozenset of Op once made."""

    sqe_flags_allowed: SqeFlags | int | None = None
    """The flags that a request may have, besides those it must have."""

    sqe_flags_required: SqeFlags | int = 0
    """The flags that every request must have."""

    def __post_init__(self) -> None:
        registers = _members(RegisterOp, self.register_ops, "IORING_REGISTER_")
        if registers is not None and RegisterOp.USE_REGISTERED_RING in registers:
            raise ValueError("USE_REGISTERED_RING is a flag, not a register operation")
        object.__setattr__(self, "register_ops", registers)
        object.__setattr__(self, "sqe_ops", _members(Op, self.sqe_ops, "IORING_OP_"))
        required = _flags(self.sqe_flags_required)
        if required & SqeFlags.CQE_SKIP_SUCCESS:
            raise ValueError(
                "CQE_SKIP_SUCCESS cannot be required: the library needs every completion, and "
                "hides those that were to be skipped"
            )
        object.__setattr__(self, "sqe_flags_required", required)
        if self.sqe_flags_allowed is not None:
            object.__setattr__(self, "sqe_flags_allowed", _flags(self.sqe_flags_allowed))


def _members(
    kind: type[_E], given: Iterable[_E | str | int] | None, prefix: str
) -> frozenset[_E] | None:
    if given is None:
        return None
    if isinstance(given, str | bytes):
        raise TypeError(f"give an iterable of {kind.__name__}s, not one string")
    return frozenset(_member(kind, each, prefix) for each in given)


def _member(kind: type[_E], given: _E | str | int, prefix: str) -> _E:
    if not isinstance(given, str):
        return kind(given)
    try:
        return kind[given.upper().removeprefix(prefix)]
    except KeyError:
        raise ValueError(f"{given!r} is not a {kind.__name__}") from None


def _flags(given: SqeFlags | int) -> SqeFlags:
    if int(given) & ~_KNOWN:
        raise ValueError(f"not SqeFlags: {given:#x}")
    return SqeFlags(given)

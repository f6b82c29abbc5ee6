"""What the kernel says of itself, and settings it gives back: the answers of register operations.

Nothing here needs the compiled module until it is called.
"""

from __future__ import annotations

from typing import NamedTuple

from .flags import EnterFlags, Features, Op, RegisterOp, SetupFlags, SqeFlags

__all__ = ["KernelInfo", "NapiSettings", "query"]


class NapiSettings(NamedTuple):
    """How a ring polls network devices while waiting: what `Ring.register_napi` takes.

    ring.register_napi(**previous._asdict())
    """

    busy_poll: float
    """Seconds to poll before sleeping; 0 for not at all."""

    prefer_busy_poll: bool
    """Whether the devices' interrupts are kept off meanwhile."""

    tracking: str
    """Who finds the queues: 'dynamic', 'static' or 'inactive'."""


class KernelInfo(NamedTuple):
    """All that the running kernel's io_uring knows, whatever this library knows of it.

    The flags keep bits that have no name here, so that `int(info.features)` is the kernel's word.
    """

    request_ops: int
    """How many operations there are, from 0 on."""

    register_ops: int
    """How many register operations there are, from 0 on."""

    features: Features
    """Every feature it has."""

    setup_flags: SetupFlags
    """Every set-up flag it takes."""

    enter_flags: EnterFlags
    """Every flag of io_uring_enter(2) it takes."""

    sqe_flags: SqeFlags
    """Every flag of a request it takes."""

    queries: int
    """How many kinds of queries there are."""

    def has(self, op: Op | RegisterOp) -> bool:
        """Whether it knows an operation or a register operation.

        An operation may still be left out of its configuration: `probe().ops` tells.
        """
        if isinstance(op, RegisterOp):
            return int(op) < self.register_ops
        return int(op) < self.request_ops


def query() -> KernelInfo:
    """Ask the kernel what its io_uring can do; this needs no ring.

    Raises:
        UnsupportedOperation: before Linux 6.18; `probe()` tells less, but works everywhere.
        UringError: the host refuses io_uring; `probe()` says why.

    Source: io_uring_query(7).
    """
    from ._native import import_error, unavailable

    if import_error is not None:
        raise unavailable()
    from ._uring import _query

    answer = _query()
    return KernelInfo(
        request_ops=answer["request_ops"],
        register_ops=answer["register_ops"],
        features=Features(answer["features"]),
        setup_flags=SetupFlags(answer["setup_flags"]),
        enter_flags=EnterFlags(answer["enter_flags"]),
        sqe_flags=SqeFlags(answer["sqe_flags"]),
        queries=answer["queries"],
    )

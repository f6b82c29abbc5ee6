"""What a request may come to: which results Linux may give each operation, and no others."""

from __future__ import annotations

import errno
import select
from typing import TYPE_CHECKING

from uring_rs import CqeFlags

if TYPE_CHECKING:
    from .model import Req

POLLED = select.POLLIN | select.POLLHUP | select.POLLERR | 0x40 | 0x2000
"""What a poll for input may report: POLLRDNORM and POLLRDHUP besides."""

ACTING = {0, -errno.ENOENT, -errno.EALREADY}
"""Of requests that act upon another one."""


def complaint(req: Req, res: int, flags: int) -> str | None:
    """What is wrong with this completion of `req`, if anything is."""
    if flags & CqeFlags.MORE:
        if not req.multishot:
            return "MORE on a request that completes once"
        return None if res > 0 and not res & ~POLLED else "not an event that was asked for"
    if req.fault is not None and res == req.fault:
        return None
    if res == -errno.ECANCELED:
        return None if req.may_be_cancelled() else "cancelled, and nobody asked for it"
    if res == -errno.EINVAL and req.invalid:
        return None
    if req.invalid:
        return "a request that the kernel must refuse"
    return SAYS[req.op](req, res)


def nop(req: Req, res: int) -> str | None:
    return None if res == 0 else "a NOP comes to 0"


def reads(req: Req, res: int) -> str | None:
    most = req.size if req.fault is None else min(req.size, max(req.fault, 0))
    if 0 < res <= most and res % 4 == 0:
        return None
    if res == 0 and req.source is not None and req.source.closed:
        return None
    # A worker that is stopped in the middle of a read reports the signal that stopped it.
    if res == -errno.EINTR and req.cancelled:
        return None
    return "not so many bytes were asked for, or the end is not reached"


def writes(req: Req, res: int) -> str | None:
    most = req.size if req.fault is None else min(req.size, max(req.fault, 0))
    if res == most or (res == -errno.EINTR and req.cancelled):
        return None
    return "a short write is taken whole or not at all"


def polls(req: Req, res: int) -> str | None:
    return None if res > 0 and not res & ~POLLED else "not an event that was asked for"


def timeout(req: Req, res: int) -> str | None:
    if res == -errno.ETIME or (res == 0 and req.count > 0):
        return None
    return "a timeout runs out, or is ended by its count"


def link_timeout(req: Req, res: int) -> str | None:
    return None if res == -errno.ETIME or res in ACTING else "not a result of a link timeout"


def acts(req: Req, res: int) -> str | None:
    return None if res in ACTING else "not a result of acting upon a request"


def counts(req: Req, res: int) -> str | None:
    return None if res >= 0 or res in ACTING else "not a count"


def opens(req: Req, res: int) -> str | None:
    if req.missing:
        return None if res == -errno.ENOENT else "there is no such file"
    return None if res >= 0 else "the file is there"


def zero(req: Req, res: int) -> str | None:
    return None if res == 0 else "comes to 0"


SAYS = {
    "NOP": nop,
    "READ": reads,
    "READV": reads,
    "RECV": reads,
    "RECVMSG": reads,
    "WRITE": writes,
    "WRITEV": writes,
    "FSYNC": zero,
    "OPENAT": opens,
    "POLL_ADD": polls,
    "POLL_REMOVE": acts,
    "TIMEOUT": timeout,
    "TIMEOUT_REMOVE": acts,
    "LINK_TIMEOUT": link_timeout,
    "ASYNC_CANCEL": counts,
}

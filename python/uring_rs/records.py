"""The records that `Ring.reap_into` writes: one completion of a batch in 16 bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

__all__ = ["CQE_FORMAT", "CQE_SIZE", "cqe_dtype"]

CQE_FORMAT = "=QiI"
"""tag, res, flags: for `struct.iter_unpack` where there is no NumPy."""

CQE_SIZE = 16
"""Bytes of a record."""


def cqe_dtype() -> numpy.dtype[Any]:
    """The record as a NumPy dtype with the fields `tag` (u8), `res` (i4) and `flags` (u4).

        records = numpy.empty(128, uring_rs.cqe_dtype())
        count = ring.reap_into(records)
        failed = records[:count][records["res"][:count] < 0]

    Raises ImportError where NumPy is not installed (`pip install uring_rs[numpy]`).
    """
    import numpy

    return numpy.dtype([("tag", "u8"), ("res", "i4"), ("flags", "u4")])

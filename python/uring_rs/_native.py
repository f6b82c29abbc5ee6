"""The compiled module where it can be loaded; where not, the same names, which say why not.

Importing uring_rs must work on every platform: a program that can live without io_uring asks
`probe()` and goes on.
"""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING

from .errors import Cause, UringUnavailable

__all__ = [
    "AlignedPool",
    "BufferPool",
    "BufferRing",
    "Completion",
    "CqeArray",
    "DirectFile",
    "FileTable",
    "FixedBuffer",
    "IoCompletion",
    "MemoryRegion",
    "Personality",
    "PollSet",
    "PooledBuffer",
    "ProvidedBuffers",
    "ReadMany",
    "RegisteredBuffer",
    "Request",
    "Ring",
    "SimKernel",
    "Sqe",
    "StatxResult",
    "Stream",
    "TreeWalk",
    "ZcrxBuffer",
    "ZcrxQueue",
    "_IoQueue",
    "_copy",
    "_stat_many",
    "import_error",
    "read_ranges",
    "send_msg",
    "stream",
    "unavailable",
    "write_ranges",
]

import_error: ImportError | None = None


def unavailable() -> UringUnavailable:
    """Why there is no compiled module here, as the exception that using it raises."""
    if sys.platform.startswith("linux"):
        reason = f"the compiled module of uring_rs cannot be loaded: {import_error}"
        hint = f"install uring_rs with pip for this interpreter ({sys.executable})"
        cause = Cause.OTHER
    else:
        reason = f"io_uring exists on Linux only, and this is {sys.platform}"
        hint = ""
        cause = Cause.UNSUPPORTED
    error = UringUnavailable(errno.ENOSYS, reason)
    error.reason, error.hint, error.cause = reason, hint, cause
    return error


try:
    from ._uring import (
        AlignedPool,
        BufferPool,
        BufferRing,
        Completion,
        CqeArray,
        DirectFile,
        FileTable,
        FixedBuffer,
        IoCompletion,
        MemoryRegion,
        Personality,
        PollSet,
        PooledBuffer,
        ProvidedBuffers,
        ReadMany,
        RegisteredBuffer,
        Request,
        Ring,
        SimKernel,
        Sqe,
        StatxResult,
        Stream,
        TreeWalk,
        ZcrxBuffer,
        ZcrxQueue,
        _copy,
        _IoQueue,
        _stat_many,
        send_msg,
    )
    from ._uring import _read_ranges as read_ranges
    from ._uring import _stream as stream
    from ._uring import _write_ranges as write_ranges
except ImportError as _error:
    import_error = _error
    if not TYPE_CHECKING:

        class _Missing:
            """Stands in for a compiled class; cannot be made."""

            def __new__(cls, *_args: object, **_kwargs: object) -> object:
                raise unavailable()

        class Ring(_Missing):
            """A ring, which cannot be made here: see `uring_rs.probe()`."""

        class CqeArray(_Missing):
            """Room for completions of batches, which cannot be had here."""

        class Sqe(_Missing):
            """A detached request, which cannot be made here."""

        class Request(_Missing):
            """The name of a request, of which there are none here."""

        class Completion(_Missing):
            """A completion, of which there are none here."""

        class BufferPool(_Missing):
            """A pool of registered buffers, which cannot be made here."""

        class FixedBuffer(_Missing):
            """A registered buffer, of which there are none here."""

        class MemoryRegion(_Missing):
            """Memory shared with a ring, of which there is none here."""

        class ZcrxBuffer(_Missing):
            """Bytes received without a copy, of which there are none here."""

        class ZcrxQueue(_Missing):
            """A queue of a network interface, of which there is none here."""

        class Personality(_Missing):
            """Registered credentials, of which there are none here."""

        def send_msg(*_args: object, **_kwargs: object) -> None:
            """Post a completion into a ring, of which there are none here."""
            raise unavailable()

        def read_ranges(*_args: object, **_kwargs: object) -> None:
            """Read ranges of files, which cannot be done here."""
            raise unavailable()

        def write_ranges(*_args: object, **_kwargs: object) -> None:
            """Write ranges of files, which cannot be done here."""
            raise unavailable()

        def stream(*_args: object, **_kwargs: object) -> None:
            """Read a file chunk by chunk, which cannot be done here."""
            raise unavailable()

        class Stream(_Missing):
            """The chunks of a file, of which there are none here."""

        class AlignedPool(_Missing):
            """A pool of aligned buffers, which cannot be made here."""

        class BufferRing(_Missing):
            """A pool that the kernel chooses buffers from, which cannot be made here."""

        class ProvidedBuffers(_Missing):
            """The older kind of such a pool, which cannot be made here."""

        class PooledBuffer(_Missing):
            """A buffer that the kernel chose, of which there are none here."""

        class DirectFile(_Missing):
            """A direct descriptor, of which there are none here."""

        class FileTable(_Missing):
            """A table of registered files, which cannot be made here."""

        class RegisteredBuffer(_Missing):
            """A registered buffer, of which there are none here."""

        class ReadMany(_Missing):
            """What `read_many` gives, which cannot be had here."""

            def __class_getitem__(cls, _item: object) -> object:
                return cls

        class SimKernel(_Missing):
            """A simulated kernel, which cannot be made here."""

        class PollSet(_Missing):
            """What a selector watches with a ring, which cannot be made here."""

        class StatxResult(_Missing):
            """What is known of a file, of which there are none here."""

        class TreeWalk(_Missing):
            """A walk over a tree, which cannot be made here."""

        def _copy(*_args: object) -> None:
            raise unavailable()

        def _stat_many(*_args: object) -> None:
            raise unavailable()

        class _IoQueue(_Missing):
            """The compiled half of a queue, which cannot be made here."""

        class IoCompletion(_Missing):
            """The completion of a queue's request, of which there are none here."""

"""A file from beginning to end, with the next chunks read ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _native
from ..backend import way

if TYPE_CHECKING:
    from .._native import SimKernel, Stream
    from .ranges import Direct, File

__all__ = ["stream"]


def stream(
    file: File,
    *,
    chunk: int = 1 << 20,
    depth: int = 16,
    direct: Direct = "auto",
    offset: int = 0,
    size: int | None = None,
    require_uring: bool = False,
    kernel: SimKernel | None = None,
) -> Stream:
    """Read a file in order, chunk by chunk: an iterator of memoryviews.

        for view in uring_rs.stream("model.bin"):
            digest.update(view)

    What is not in the page cache is read ahead, `depth` chunks at a time, past the page cache where
    the file system can do that; what is in there is read when its turn comes. The memory of a chunk
    is used again as soon as nothing refers to its memoryview any more; for chunks that are kept,
    new memory is made. So it takes `depth` chunks of memory, and those that are kept.

    Args:
        file: a path, a descriptor or an open file. Of an open regular file the position is neither
            used nor moved. From pipes, sockets and terminals chunks come as they arrive, in the
            sizes in which they arrive.
        chunk: bytes of each memoryview but the last, up to 2**30.
        depth: chunks read ahead, 1 to 1024. With 1, plain system calls are made.
        direct: past the page cache (O_DIRECT)? "auto": what is not cached, where the file system
            can do that. True: all, or an error. False: nothing.
        offset: where in the file to begin.
        size: how many bytes to read at most. Default: to the end of the file, wherever that is when
            it is reached.
        require_uring: raise where io_uring is refused, rather than use threads.
        kernel: a simulated kernel, for tests.

    Leaving the loop early is fine: when the stream is dropped or closed (it is a context manager,
    too), what is under way is waited for and the file is closed. Chunks that were handed out stay
    valid. Several threads may take chunks from one stream; each gets one at a time.

    Raises, here or while iterating:
        OSError: naming the file, and the offset at which reading failed.
        UringUnavailable: `require_uring`, and it is.
    """
    return _native.stream(file, chunk, depth, direct, offset, size, way(require_uring), kernel)

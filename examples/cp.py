"""cp on a ring of one's own: reads and writes overlap, in any order, through a few buffers.

`uring_rs.copy` does this better (it lets the kernel copy, or share blocks); this shows how a ring
is kept full, and how short transfers are gone on with.

    python examples/cp.py SOURCE TARGET
"""

from __future__ import annotations

import os
import sys
from itertools import islice

from uring_rs import Ring

CHUNK, DEPTH = 256 * 1024, 16


def copy(ring: Ring, source: int, target: int, size: int) -> None:
    """Copy so many bytes of one open file to another."""
    offsets = iter(range(0, size, CHUNK))

    def read(buffer: bytearray, offset: int, end: int) -> None:
        room = memoryview(buffer)[: end - offset]
        ring.prep_read(source, room, offset, user_data=("read", buffer, offset, end))

    def write(buffer: bytearray, start: int, offset: int, end: int) -> None:
        rest = memoryview(buffer)[start : start + end - offset]
        what = ("write", buffer, start, offset, end)
        ring.prep_write(target, rest, offset, user_data=what)

    for offset in islice(offsets, DEPTH):
        read(bytearray(CHUNK), offset, min(offset + CHUNK, size))
    while ring.in_flight:
        for cqe in ring.completions(min=1):
            moved = cqe.result()
            match cqe.user_data:
                case "read", _, _, _ if moved == 0:
                    pass  # the file has become shorter meanwhile
                case "read", buffer, offset, end:
                    write(buffer, 0, offset, offset + moved)
                    if offset + moved < end:  # short: the rest into another buffer
                        read(bytearray(CHUNK), offset + moved, end)
                case "write", buffer, start, offset, end if offset + moved < end:
                    write(buffer, start + moved, offset + moved, end)
                case "write", buffer, *_:
                    if (offset := next(offsets, None)) is not None:
                        read(buffer, offset, min(offset + CHUNK, size))


def main() -> None:
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
        size = os.fstat(source.fileno()).st_size
        with Ring(DEPTH) as ring:
            copy(ring, source.fileno(), target.fileno(), size)


if __name__ == "__main__":
    main()

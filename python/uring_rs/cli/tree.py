"""Walking a folder tree lazily, in a stable order."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["walk"]


def walk(top: bytes) -> Iterator[os.DirEntry[bytes] | OSError]:
    """The regular files below a folder, sorted by name at each level, a folder at its own place.

    Symbolic links met on the way are not followed, and pipes, sockets and devices are passed over:
    what `grep -r` and `find -type f` do. A folder that cannot be read is an OSError in its place.
    """
    # A stack rather than recursion: trees may be deeper than Python's own limit.
    stack: list[Iterator[os.DirEntry[bytes] | OSError]] = [_entries(top)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif isinstance(entry, OSError):
            yield entry
        else:
            try:
                if entry.is_file(follow_symlinks=False):
                    yield entry
                elif entry.is_dir(follow_symlinks=False):
                    stack.append(_entries(entry.path))
            except OSError as error:  # where the file system tells no types, each is asked for
                yield error


def _entries(folder: bytes) -> Iterator[os.DirEntry[bytes] | OSError]:
    try:
        with os.scandir(folder) as found:
            return iter(sorted(found, key=lambda entry: entry.name))
    except OSError as error:
        return iter([error])

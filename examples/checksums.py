"""Duplicates below a folder: the checksums of all files, many at a time, and which ones are alike.

Only files of equal size are read at all.

    python examples/checksums.py FOLDER
"""

from __future__ import annotations

import stat
import sys
from collections import defaultdict
from pathlib import Path

import uring_rs


def duplicates(folder: Path) -> list[list[Path]]:
    """Groups of files with the same contents, the largest files first."""
    sizes: dict[int, list[Path]] = defaultdict(list)
    for path, status in uring_rs.walk(folder):
        if stat.S_ISREG(status.st_mode) and status.st_size:
            sizes[status.st_size].append(Path(path))
    alike: dict[tuple[int, str], list[Path]] = defaultdict(list)
    candidates = {path: size for size, paths in sizes.items() if len(paths) > 1 for path in paths}
    for path, checksum in uring_rs.checksum_many(candidates, "blake2b", errors="yield"):
        if isinstance(checksum, Exception):
            print(f"{path}: {checksum}", file=sys.stderr)
        else:
            alike[candidates[path], checksum].append(path)
    groups = [(size, sorted(paths)) for (size, _), paths in alike.items() if len(paths) > 1]
    return [paths for _, paths in sorted(groups, reverse=True)]


def main() -> None:
    for group in duplicates(Path(sys.argv[1])):
        print(*group, sep="\n", end="\n\n")


if __name__ == "__main__":
    main()

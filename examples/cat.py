"""cat in ten lines: files one after the other, each read ahead past the page cache.

python examples/cat.py FILE...
"""

from __future__ import annotations

import sys

import uring_rs


def main() -> None:
    for path in sys.argv[1:]:
        with uring_rs.stream(path) as chunks:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)


if __name__ == "__main__":
    main()

"""The trees and large files that jobs work on, and what must be in them.

Block `n` of the large file and small file `n` hold `block(n)`; every megabyte of `large` files
begins with the block of the file's number.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .data import BLOCK, WrongData, block
from .question import Question
from .residency import drop, drop_inodes

__all__ = ["Corpus", "check_file", "load_paths", "number_of"]

SMALL_FILES, PER_DIRECTORY = 10_000, 100
LINKS_EACH = 10
LARGE_FILES, LARGE_NAMES = 64, 2000
MIB = 1 << 20
GIGABYTE = 1 << 30


def load_paths(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def number_of(path: str) -> int:
    """The number in a file's name: `f00012.dat` and all links to it have 12."""
    return int(path[path.rindex("/f") + 2 :].partition(".")[0])


def check_file(path: str, data: bytes | bytearray | memoryview) -> None:
    """A small file must have been read whole, and as it is."""
    if data != block(number_of(path)):
        raise WrongData(f"what was read is not what {path} holds")


class Corpus:
    """A directory with what the questions about files need.

    small/    10 000 files of 4 KiB, a hundred in each directory; the first half is a tree by itself
    links/    ten more names for each of them
    large/    2000 names of 64 files of 1 MiB
    gigabyte  one file
    lists/    the names of each, a line for each
    new0 ...  what contestants write
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trees = 0
        self.made: set[str] = set()
        self.paths: dict[str, list[str]] = {}

    def place(self, data: str) -> Path:
        """What a contestant is told: a list of names, a directory, or the file."""
        if data in ("small", "half"):
            return self.directory / "lists" / data
        return self.directory / ("small/first" if data == "tree" else data)

    @property
    def new(self) -> Path:
        """Where the next contestant writes; nothing is there."""
        return self.directory / f"new{self.trees}"

    def make(self, kinds: set[str]) -> None:
        self.remove()
        (self.directory / "lists").mkdir(parents=True)
        if kinds & {"small", "half", "tree", "lists"}:
            self.make_small()
        if "lists" in kinds:
            self.make_links()
            self.make_large()
        if "gigabyte" in kinds:
            self.make_gigabyte()
        os.sync()

    def make_small(self) -> None:
        paths: list[str] = []
        for number in range(SMALL_FILES):
            half = "first" if number < SMALL_FILES // 2 else "second"
            parent = self.directory / "small" / half / f"d{number // PER_DIRECTORY:03}"
            if number % PER_DIRECTORY == 0:
                parent.mkdir(parents=True)
            path = parent / f"f{number:05}.dat"
            path.write_bytes(block(number))
            paths.append(str(path))
        self.write_list("small", paths)
        self.write_list("half", paths[: SMALL_FILES // 2])

    def make_links(self) -> None:
        """Ten names for each file: as many to open and read, in a tenth of the space."""
        paths: list[str] = []
        for at in range(LINKS_EACH):
            for source in self.paths["small"]:
                number = number_of(source)
                parent = self.directory / "links" / f"d{at}{number // PER_DIRECTORY:03}"
                if number % PER_DIRECTORY == 0:
                    parent.mkdir(parents=True)
                path = f"{parent}/f{number:05}.{at}"
                os.link(source, path)
                paths.append(path)
        self.write_list(f"{len(paths)} x 4 KiB", paths)

    def make_large(self) -> None:
        parent = self.directory / "large"
        parent.mkdir()
        paths: list[str] = []
        for at in range(LARGE_NAMES):
            number = at % LARGE_FILES
            path = f"{parent}/f{number:05}.{at}"
            if at < LARGE_FILES:
                Path(path).write_bytes(block(number) * (MIB // BLOCK))
            else:
                os.link(paths[number], path)
            paths.append(path)
        self.write_list(f"{len(paths)} x 1 MiB", paths)

    def make_gigabyte(self) -> None:
        per_piece = MIB // BLOCK
        with self.place("gigabyte").open("wb") as out:
            for start in range(0, GIGABYTE // BLOCK, per_piece):
                out.write(b"".join(block(start + i) for i in range(per_piece)))

    def write_list(self, name: str, paths: list[str]) -> None:
        self.paths[name] = paths
        (self.directory / "lists" / name).write_text("\n".join(paths) + "\n")

    def before(self, question: Question, file: Path | None) -> None:
        """Have the data as the question wants it; once before every process."""
        if question.before == "fresh":
            self.clear()
            # Nobody is to pay for what was written by the one before.
            os.sync()
            return
        paths: list[str] | list[Path] = self.paths.get(question.data, [])
        if not paths:
            paths = [file or self.place(question.data)]
        if question.before == "cold":
            drop(paths)
        elif question.before == "cold inodes":
            drop_inodes(paths)

    def clear(self) -> None:
        """Have nothing at `new`. Trees stay until the end: for minutes ext4 gives no inode out
        again that was removed, and looks at each of them, so that whoever writes a tree after one
        was removed takes ten times as long."""
        if self.new.is_dir():
            self.trees += 1
        else:
            self.new.unlink(missing_ok=True)

    def remove(self) -> None:
        if self.directory.exists():
            shutil.rmtree(self.directory)

"""The questions about whole files and trees: jobs of a fixed size, each done once in a process."""

from __future__ import annotations

from functools import partial

from .question import Floor, Question

__all__ = ["FILE_QUESTIONS"]

SMALL = ("10000 x 4 KiB",)
HALF = ("5000 x 4 KiB",)
RANGES = ("16384 x 4 KiB",)
GIGABYTE = ("1024 x 1 MiB",)

# The kernel's threads, or the contestant's own, take part in all of these.
files = partial(Question, group="files", pinned=False, rounds=5, quick_rounds=1, timeout=120.0)
once = partial(files, repeats=1)

FILE_QUESTIONS = (
    files(
        "read_many_warm",
        "small files read whole, their data in the page cache",
        "us",
        "file",
        SMALL,
        program="small_files",
        floors=(Floor("c", "loop"), Floor("c:ring", "ring")),
        data="small",
        quick_rounds=2,
    ),
    once(
        "read_many_cold",
        "small files read whole, their data on the disk",
        "us",
        "file",
        SMALL,
        program="small_files",
        floors=(Floor("c", "ring"), Floor("c:loop", "loop")),
        data="small",
        before="cold",
        quick_rounds=2,
    ),
    once(
        "read_many_memory",
        "how much memory is added at most while files are read, taken one by one and hashed",
        "bytes",
        "",
        ("100000 x 4 KiB", "2000 x 1 MiB"),
        floors=(),
        data="lists",
        rounds=3,
    ),
    once(
        "read_ranges_cold",
        "random ranges of one file into one buffer, the data on the disk",
        "us",
        "range",
        RANGES,
        program="ranges",
        floors=(Floor("c", "direct"), Floor("c:cached", "cached")),
        file="reads",
        before="cold",
        quick_rounds=2,
    ),
    files(
        "read_ranges_warm",
        "random ranges of one file into one buffer, the data in the page cache",
        "us",
        "range",
        RANGES,
        program="ranges",
        floors=(Floor("c", "loop"), Floor("c:ring", "cached")),
        file="reads",
    ),
    once(
        "cat_ranges_cold",
        "random ranges by fsspec's cat_ranges, the data on the disk",
        "us",
        "range",
        ("8192 x 4 KiB",),
        program="ranges",
        floors=(Floor("c", "direct"),),
        file="reads",
        before="cold",
    ),
    once(
        "copy_file",
        "a file copied from page cache to page cache",
        "us",
        "MiB",
        GIGABYTE,
        program="copies",
        floors=(Floor("c", "file"),),
        data="gigabyte",
        before="fresh",
    ),
    once(
        "copy_tree",
        "a tree of small files copied",
        "us",
        "file",
        HALF,
        program="copies",
        floors=(Floor("c", "tree"),),
        data="tree",
        before="fresh",
    ),
    once(
        "checksum_cold",
        "SHA-256 of small files, their data on the disk",
        "us",
        "file",
        HALF,
        floors=(),
        data="half",
        before="cold",
    ),
    once(
        "checkpoint_read",
        "a large file read whole into memory, the data on the disk",
        "us",
        "MiB",
        GIGABYTE,
        program="checkpoint",
        floors=(Floor("c", "read"),),
        data="gigabyte",
        before="cold",
    ),
    once(
        "checkpoint_save",
        "a large file written from memory, on the disk at the end",
        "us",
        "MiB",
        GIGABYTE,
        program="checkpoint",
        floors=(Floor("c", "save"),),
        before="fresh",
        rounds=3,
    ),
    files(
        "stat_many_warm",
        "stat of files whose inodes are in memory",
        "us",
        "file",
        SMALL,
        program="stats",
        floors=(Floor("c", "loop"), Floor("c:threads", "threads")),
        data="small",
    ),
    once(
        "stat_many_cold",
        "stat of files whose inodes are on the disk",
        "us",
        "file",
        SMALL,
        program="stats",
        floors=(Floor("c", "threads"), Floor("c:loop", "loop")),
        data="small",
        before="cold inodes",
    ),
)

"""The README's tables, from a result: python benchmarks/summary.py results/NAME.json

Writes the table between the README's two marks for it: `performance` for what was measured on
rings, `files` for whole files and trees, or both if the result has both. `--check` only tells
whether they are there already.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from harness.bars import best_peer

README = Path(__file__).parent.parent / "README.md"
MARKS = ("<!-- {}: benchmarks/summary.py -->\n", "<!-- end of {} -->\n")


class Row(NamedTuple):
    question: str
    cell: str
    text: str
    per_op: str = "uring_rs"
    bulk: tuple[str, ...] = ()


BULK = ("uring_rs:bulk", "uring_rs:run", "uring_rs:run-fixed")
ROWS = (
    Row("nop", "1", "one NOP at a time"),
    Row("nop", "32", "32 NOPs per submit", bulk=BULK),
    Row("nop", "128", "128 NOPs per submit", bulk=BULK),
    Row("reads_cached", "128", "cached 4 KiB reads, 128 at a time", bulk=BULK),
    Row("reads_direct", "32", "`O_DIRECT` 4 KiB reads, 32 in flight", bulk=BULK),
    Row("reads_direct", "128", "`O_DIRECT` 4 KiB reads, 128 in flight", bulk=BULK),
    Row("writes_direct", "32", "`O_DIRECT` 4 KiB writes, 32 in flight", bulk=BULK),
    Row("in_flight", "beside 32768", "a NOP beside 32 768 waiting requests"),
    Row("pingpong", "armed", "64-byte message, receiver waiting"),
    Row("rings", "1000", "one NOP at a time, on 1000 rings in turn"),
    Row("open_close", "256", "open and close a ring of 256 entries"),
    Row("reads_cached", "1", "**loses:** one cached read at a time"),
    Row("reads_direct", "1", "**no gain:** one `O_DIRECT` read at a time"),
    Row("writes_cached", "32", "**loses:** cached 4 KiB writes, 32 at a time", bulk=BULK),
    Row("pingpong", "inline", "**loses:** 64-byte message, nobody waits"),
    Row("memory", "ring", "**loses:** memory of a ring of 256 entries"),
)


class FileRow(NamedTuple):
    question: str
    cell: str
    text: str
    plain: str
    """Plain Python's way."""
    ours: str = "uring_rs"
    field: str = "median"


SMALL, HALF, GIGABYTE = "10000 x 4 KiB", "5000 x 4 KiB", "1024 x 1 MiB"
RANGES = "16384 x 4 KiB"
FILE_ROWS = (
    FileRow("read_many_cold", SMALL, "`read_many`, 10 000 files of 4 KiB, cold", "os:read"),
    FileRow("read_many_warm", SMALL, "the same, warm", "os:read"),
    FileRow("read_ranges_cold", RANGES, "`read_ranges`, 16 384 of 4 KiB, cold", "os:readinto"),
    FileRow("read_ranges_warm", RANGES, "the same, warm", "os:readinto"),
    FileRow(
        "cat_ranges_cold",
        "8192 x 4 KiB",
        "fsspec `cat_ranges`, 8192 of 4 KiB, cold",
        "fsspec",
        "uring_rs:fsspec",
    ),
    FileRow("copy_file", GIGABYTE, "`copy` of 1 GiB", "os:shutil"),
    FileRow("copy_tree", HALF, "`copy` of a tree, 5000 files of 4 KiB", "os:shutil"),
    FileRow("checksum_cold", HALF, "`checksum_many`, 5000 files of 4 KiB, cold", "os:hashlib"),
    FileRow("checkpoint_read", GIGABYTE, "1 GiB read, cold", "os:readinto"),
    FileRow("checkpoint_read", GIGABYTE, "its CPU time", "os:readinto", field="cpu"),
    FileRow(
        "checkpoint_read", GIGABYTE, "what it puts in the page cache", "os:readinto", field="cached"
    ),
    FileRow("checkpoint_save", GIGABYTE, "1 GiB written, with fsync", "os:write"),
    FileRow("stat_many_cold", SMALL, "`stat_many`, 10 000 files, cold", "os:stat"),
    FileRow("stat_many_warm", SMALL, "the same, warm", "os:stat"),
    FileRow(
        "read_many_memory",
        "100000 x 4 KiB",
        "memory that `read_many` adds, 100 000 files of 4 KiB",
        "os:open",
    ),
    FileRow("read_many_memory", "2000 x 1 MiB", "the same, 2000 files of 1 MiB", "os:open"),
)


def amount(value: float, unit: str) -> str:
    """Three digits, in a unit that suits them."""
    steps = {
        "ns": ("us", 1000),
        "us": ("ms", 1000),
        "ms": ("s", 1000),
        "bytes": ("KiB", 1024),
        "KiB": ("MiB", 1024),
        "MiB": ("GiB", 1024),
    }
    while unit in steps and value >= steps[unit][1]:
        unit, step = steps[unit]
        value /= step
    return f"{value:.3g} {'µs' if unit == 'us' else unit}"


def line(questions: dict[str, Any], row: Row) -> str:
    """One row of the table."""
    question = questions[row.question]
    table, unit = question["contestants"], question["unit"]
    medians = {
        name: float(cells[row.cell]["median"]) for name, cells in table.items() if row.cell in cells
    }

    def shown(name: str | None) -> str:
        if name is None or name not in medians:
            return ""
        times = f"{medians[name] / medians['c']:.2f} x"
        return f"{amount(medians[name], unit)} ({times})"

    measured = [name for name in row.bulk if name in medians]
    bulk = min(measured, key=medians.__getitem__, default=None)
    peer = best_peer(table, row.cell)
    other = f"{shown(peer)} `{peer.removesuffix(':tuned')}`" if peer else ""
    cells = [row.text, amount(medians["c"], unit), shown(row.per_op), shown(bulk), other]
    return "| " + " | ".join(cells) + " |"


def file_line(questions: dict[str, Any], row: FileRow) -> str:
    """One row of the other table: whole jobs, and how many times as long they take as ours."""
    question = questions[row.question]
    table = question["contestants"]
    timed = row.field in ("median", "cpu") and question["unit"] != "bytes"
    unit = question["unit"] if timed else "bytes"
    times = question["ops"][row.cell] if timed else 1

    def value(name: str) -> float:
        return float(table[name][row.cell][row.field]) * times

    def shown(name: str | None) -> str:
        if name is None or row.field not in table.get(name, {}).get(row.cell, {}):
            return ""
        ratio = f" ({value(name) / value(row.ours):.2f} x)" if timed and name != row.ours else ""
        return amount(value(name), unit) + ratio

    others = {name: cells for name, cells in table.items() if name != row.plain}
    peer = best_peer(others, row.cell)
    other = f"{shown(peer)} `{peer}`" if peer else ""
    cells = [row.text, shown(row.ours), shown(row.plain), other, shown("c")]
    return "| " + " | ".join(cells) + " |"


def taken(result: dict[str, Any]) -> str:
    machine = result["machine"]
    where = f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}"
    return f"Medians of {result['date'][:10]} on {where}, {machine['python']}."


def render(result: dict[str, Any]) -> str:
    """The table of what was measured on rings."""
    lines = [
        "| work | C | one call each | in bulk | best other way |",
        "|---|---|---|---|---|",
        *(line(result["questions"], row) for row in ROWS),
    ]
    return "\n".join([*lines, "", f"{taken(result)} In brackets: times C."]) + "\n"


def render_files(result: dict[str, Any]) -> str:
    """The table of whole files and trees."""
    lines = [
        "| work | uring_rs | plain Python | best other way | C |",
        "|---|---|---|---|---|",
        *(file_line(result["questions"], row) for row in FILE_ROWS),
    ]
    return "\n".join([*lines, "", f"{taken(result)} In brackets: times ours."]) + "\n"


def blocks(result: dict[str, Any]) -> dict[str, str]:
    """The tables that this result has all the numbers of, by their name in the marks."""
    asked = result["questions"].keys()
    found = {}
    if asked >= {row.question for row in ROWS}:
        found["performance"] = render(result)
    if asked >= {row.question for row in FILE_ROWS}:
        found["files"] = render_files(result)
    return found


def replaced(text: str, name: str, block: str) -> str:
    """The text with another table between the marks."""
    begin, end = (mark.format(name) for mark in MARKS)
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        sys.exit(f"{README} has no {begin.strip()} ... {end.strip()}")
    return before + begin + block + end + after


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("result", type=Path)
    options.add_argument("--check", action="store_true")
    given = options.parse_args()
    new = old = README.read_text()
    found = blocks(json.loads(given.result.read_text()))
    if not found:
        sys.exit(f"{given.result} has not all the numbers of a table")
    for name, block in found.items():
        new = replaced(new, name, block)
    if given.check:
        return 0 if old == new else 1
    README.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())

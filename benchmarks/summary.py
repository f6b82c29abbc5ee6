"""The README's performance table, from a result: python benchmarks/summary.py results/NAME.json

Writes the table between the README's two `performance` marks; `--check` only tells whether it is
there already.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from harness.bars import best_peer

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- performance: benchmarks/summary.py -->\n", "<!-- end of performance -->\n"


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


def amount(value: float, unit: str) -> str:
    """Three digits, in a unit that suits them."""
    steps = {"ns": ("us", 1000), "us": ("ms", 1000), "bytes": ("KiB", 1024)}
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


def render(result: dict[str, Any]) -> str:
    """The whole block."""
    lines = [
        "| work | C | one call each | in bulk | best other way |",
        "|---|---|---|---|---|",
        *(line(result["questions"], row) for row in ROWS),
    ]
    machine = result["machine"]
    where = f"{machine['cpu']}, {machine['cpus']} CPUs, Linux {machine['kernel']}"
    taken = f"Medians of {result['date'][:10]} on {where}, {machine['python']}."
    return "\n".join([*lines, "", f"{taken} In brackets: times C."]) + "\n"


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("result", type=Path)
    options.add_argument("--check", action="store_true")
    given = options.parse_args()
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    old, mark, after = rest.partition(END)
    if not mark:
        sys.exit(f"{README} has no {BEGIN.strip()}")
    new = render(json.loads(given.result.read_text()))
    if given.check:
        return 0 if old == new else 1
    README.write_text(before + BEGIN + new + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())

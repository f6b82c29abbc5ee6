"""The budgets of bars.toml, judged by a run."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

__all__ = ["Judged", "best_peer", "judge"]

BARS = Path(__file__).parent.parent / "bars.toml"
NOT_PEERS = ("c", "uring_rs")
NO_IO = "os:loop"

Table: TypeAlias = dict[str, dict[str, dict[str, Any]]]


@dataclass
class Judged:
    text: str
    question: str
    cell: str
    ours: str
    value: float
    """What is compared: a ratio, or a number in the question's unit."""
    wanted: str
    reached: bool
    against: str
    numbers: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def best_peer(table: Table, cell: str) -> str | None:
    """The quickest that is neither C nor ours, and does the work."""
    peers = [
        name
        for name, cells in table.items()
        if name.partition(":")[0] not in NOT_PEERS and name != NO_IO and cell in cells
    ]
    return min(peers, key=lambda name: float(table[name][cell]["median"]), default=None)


def judge(results: dict[str, Table]) -> list[Judged]:
    """Every bar whose question was asked."""
    bars = tomllib.loads(BARS.read_text())["bar"]
    judged = []
    for bar in bars:
        table = results.get(bar["question"])
        if table is not None:
            one = judge_one(bar, table)
            if one is not None:
                judged.append(one)
    return judged


def judge_one(bar: dict[str, Any], table: Table) -> Judged | None:
    cell = bar["cell"]
    candidates = [name for name in bar["ours"] if cell in table.get(name, {})]
    if not candidates:
        return None
    ours = min(candidates, key=lambda name: float(table[name][cell]["median"]))
    mine = float(table[ours][cell]["median"])

    def result(value: float, wanted: str, reached: bool, against: str, numbers: str) -> Judged:
        return Judged(
            bar["text"], bar["question"], cell, ours, value, wanted, reached, against, numbers
        )

    if "most" in bar:
        value = float(table[ours][cell]["max"]) if bar.get("worst") else mine
        return result(value, f"<= {bar['most']}", value <= bar["most"], "", f"{value:.3g}")
    if "growth" in bar:
        base = float(table[ours][bar["from"]]["median"])
        numbers = f"{base:.3g} -> {mine:.3g}"
        grown = mine / base
        return result(grown, f"<= {bar['growth']} x", grown <= bar["growth"], bar["from"], numbers)
    if "peer" in bar:
        peer = best_peer(table, cell)
        if peer is None:
            return None
        theirs = float(table[peer][cell]["median"])
        if bar.get("beyond_c"):
            # What each adds to the work that the kernel does for anyone.
            floor = float(table["c"][cell]["median"])
            mine, theirs = max(mine - floor, 1e-9), theirs - floor
        numbers = f"{mine:.4g} against {theirs:.4g}"
        ratio = theirs / mine
        return result(ratio, f">= {bar['peer']} x", ratio >= bar["peer"], peer, numbers)
    against, most = ("c", bar["times_c"]) if "times_c" in bar else (bar["of"], bar["times"])
    if cell not in table.get(against, {}):
        return None
    base = float(table[against][cell]["median"])
    ratio = mine / base
    numbers = f"{mine:.4g} against {base:.4g}"
    return result(ratio, f"<= {most} x", ratio <= most, against, numbers)

"""The budgets of bars.toml, judged by a run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
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


def best_of(table: Table, cell: str, names: Iterable[str]) -> str | None:
    """The quickest of these that did the work."""
    able = [name for name in names if cell in table.get(name, {})]
    return min(able, key=lambda name: float(table[name][cell]["median"]), default=None)


def best_peer(table: Table, cell: str) -> str | None:
    """The quickest that is neither C nor ours, and does the work."""
    peers = (name for name in table if name.partition(":")[0] not in NOT_PEERS and name != NO_IO)
    return best_of(table, cell, peers)


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
    cell, field = bar["cell"], bar.get("field", "median")
    ours = best_of(table, cell, bar["ours"])
    if ours is None:
        return None
    mine = float(table[ours][cell][field])

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
    wanted = bar.get("of", "c")
    against = best_of(table, cell, [wanted] if isinstance(wanted, str) else wanted)
    if against is None:
        return None
    base = float(table[against][cell][field])
    numbers = f"{mine:.4g} against {base:.4g}"
    if "faster" in bar:
        least = bar["faster"]
        ratio = base / mine
        return result(ratio, f">= {least} x", ratio >= least, against, numbers)
    most = bar["times_c"] if "times_c" in bar else bar["times"]
    ratio = mine / base
    return result(ratio, f"<= {most} x", ratio <= most, against, numbers)

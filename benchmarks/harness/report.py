"""Tables on stdout."""

from __future__ import annotations

from typing import Any

from .bars import best_peer

__all__ = ["print_bars", "print_question"]


def number(value: float) -> str:
    if value >= 1_000_000:
        return f"{value:.3e}"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_question(name: str, asked: dict[str, Any]) -> None:
    """One question: rows of contestants, columns of cells, ratios to C or to the best peer."""
    table, cells = asked["contestants"], asked["cells"]
    per = f" per {asked['per']}" if asked["per"] else ""
    print(f"\n## {name}: {asked['title']}")
    print(f"{asked['unit']}{per}: median [lowest..highest of {asked['rounds']} rounds]", end="")
    print(", times C" if "c" in table else "")
    print(f"{'':22}" + "".join(f"{cell:>33}" for cell in cells))
    for who, row in table.items():
        print(f"{who:22}" + "".join(f" {one_cell(table, row, cell):>32}" for cell in cells))
    for who, reason in asked["failed"].items():
        print(f"{who:22}  failed: {reason}")
    for who, reasons in asked["unable"].items():
        by_reason: dict[str, list[str]] = {}
        for cell, reason in reasons.items():
            by_reason.setdefault(reason, []).append(cell)
        for reason, where in by_reason.items():
            print(f"{who:22}  not at {', '.join(where)}: {reason}")
    best = {cell: best_peer(table, cell) for cell in cells}
    if any(best.values()):
        found = (f"{cell}: {peer}" for cell, peer in best.items() if peer)
        print(f"{'best peer':22}  {'; '.join(found)}", flush=True)


def one_cell(table: dict[str, Any], row: dict[str, Any], cell: str) -> str:
    if cell not in row:
        return "-"
    have = row[cell]
    text = f"{number(have['median'])} [{number(have['min'])}..{number(have['max'])}]"
    base = table.get("c", {}).get(cell)
    if base and base["median"]:
        text += f" x{have['median'] / base['median']:.2f}"
    if "cached" in have:
        text += f", cpu {number(have['cpu'])}, {have['cached'] / 2**20:.0f} MiB cached"
    return text


def print_bars(bars: list[dict[str, Any]]) -> None:
    if not bars:
        return
    print("\n## budgets (bars.toml)")
    for bar in bars:
        word = "reached" if bar["reached"] else "MISSED "
        against = f" of {bar['against']}" if bar["against"] else ""
        print(
            f"{word}  {bar['text']}: {bar['value']:.3g}{against}, wanted {bar['wanted']}"
            f"  ({bar['ours']}: {bar['numbers']})"
        )

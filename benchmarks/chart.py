"""Draw the chart of a result: python benchmarks/chart.py results/NAME.json [--out STEM]

Writes STEM.png and STEM.svg (default: beside the JSON). Needs matplotlib.
"""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

OURS, C, PEER = "#c2410c", "#334155", "#94a3b8"
PANELS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "nop",
        "1",
        "NOP, one at a time",
        ("c", "uring_rs:push", "uring_rs", "liburing:tuned", "liburing", "pyuring"),
    ),
    (
        "nop",
        "32",
        "NOP, 32 per submit",
        ("c", "uring_rs:run", "uring_rs:bulk", "uring_rs", "liburing:tuned", "liburing"),
    ),
    (
        "reads_cached",
        "128",
        "4 KiB cached reads, 128 at a time",
        (
            "c:fixed",
            "uring_rs:run-fixed",
            "uring_rs:bulk",
            "uring_rs:fixed",
            "uring_rs",
            "os:pread",
            "liburing:tuned",
            "pyuring",
            "caio:no-sqpoll",
        ),
    ),
    (
        "reads_direct",
        "32",
        "4 KiB O_DIRECT reads, 32 in flight",
        ("c", "uring_rs:run", "uring_rs", "threads", "os:preadv"),
    ),
    (
        "pingpong",
        "inline",
        "64-byte messages over a socket pair",
        ("c", "uring_rs", "liburing", "os:socket", "asyncio"),
    ),
    (
        "writes_cached",
        "32",
        "4 KiB cached writes (where a ring loses)",
        ("c", "uring_rs:run", "uring_rs", "liburing", "os:pwrite"),
    ),
    (
        "read_many_cold",
        "10000 x 4 KiB",
        "10 000 files of 4 KiB read, cold",
        ("c", "uring_rs", "uring_rs:input", "threads:32", "threads:8", "os:read", "os:open"),
    ),
    (
        "read_many_warm",
        "10000 x 4 KiB",
        "10 000 files of 4 KiB read, warm",
        ("c", "uring_rs", "uring_rs:input", "os:read", "os:open", "threads:8"),
    ),
    (
        "read_ranges_cold",
        "16384 x 4 KiB",
        "16 384 random ranges of 4 KiB, cold",
        ("c", "uring_rs", "uring_rs:cached", "threads:32", "os:readinto"),
    ),
    (
        "cat_ranges_cold",
        "8192 x 4 KiB",
        "fsspec cat_ranges, 8192 of 4 KiB, cold",
        ("c", "uring_rs:fsspec", "fsspec"),
    ),
    (
        "copy_tree",
        "5000 x 4 KiB",
        "a tree of 5000 files of 4 KiB copied",
        ("c", "uring_rs", "coreutils:cp-r", "coreutils:cp-a", "os:shutil"),
    ),
    (
        "checkpoint_read",
        "1024 x 1 MiB",
        "1 GiB read into memory, cold",
        ("c", "uring_rs", "uring_rs:stream", "threads:4", "os:readinto"),
    ),
)
LABELS = {
    "c": "C",
    "c:fixed": "C, registered",
    "uring_rs": "uring_rs",
    "uring_rs:push": "uring_rs, Sqe pushed again",
    "uring_rs:run": "uring_rs, run_*",
    "uring_rs:run-fixed": "uring_rs, run_reads, registered",
    "uring_rs:bulk": "uring_rs, prep_*_batch",
    "uring_rs:fixed": "uring_rs, registered",
    "os:pread": "os.pread",
    "os:preadv": "os.preadv",
    "os:pwrite": "os.pwrite",
    "os:socket": "socket.send, recv_into",
    "os:read": "os.open, read, close",
    "os:open": "open().read()",
    "os:readinto": "readinto",
    "os:shutil": "shutil",
    "coreutils:cp-r": "cp -r",
    "coreutils:cp-a": "cp -a",
    "uring_rs:input": "uring_rs, in input order",
    "uring_rs:cached": "uring_rs, page cache",
    "uring_rs:stream": "uring_rs, stream",
    "uring_rs:fsspec": "uring_rs",
    "fsspec": "fsspec, local",
    "threads": "ThreadPoolExecutor",
    "threads:4": "ThreadPoolExecutor(4)",
    "threads:8": "ThreadPoolExecutor(8)",
    "threads:32": "ThreadPoolExecutor(32)",
    "liburing:tuned": "liburing, tuned",
    "caio:no-sqpoll": "caio, no SQPOLL",
}


def colour(name: str) -> str:
    base = name.partition(":")[0]
    return {"c": C, "uring_rs": OURS}.get(base, PEER)


def panel(axes: Any, title: str, cell: str, asked: dict[str, Any], wanted: tuple[str, ...]) -> None:
    table = asked["contestants"]
    names = [name for name in wanted if cell in table.get(name, {})]
    rows = [table[name][cell] for name in names]
    places = range(len(names))
    medians = [row["median"] for row in rows]
    spread = [
        [row["median"] - row["min"] for row in rows],
        [row["max"] - row["median"] for row in rows],
    ]
    # A round beside other load must not squeeze all bars.
    limit = max(medians) * 1.3
    axes.barh(places, medians, color=[colour(name) for name in names], height=0.68)
    axes.errorbar(medians, places, xerr=spread, fmt="none", ecolor="#0f172a", lw=0.8, capsize=2)
    axes.set_xlim(0, limit)
    axes.set_yticks(list(places), [LABELS.get(name, name) for name in names], fontsize=8)
    axes.invert_yaxis()
    unit = asked["unit"]
    for place, row in zip(places, rows, strict=True):
        median = row["median"]
        text = f"{median:,.0f}" if median >= 100 else f"{median:.3g}"
        inside = median > limit * 0.2
        axes.annotate(
            text,
            (0 if inside else min(row["max"], limit * 0.9), place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color="white" if inside else "#0f172a",
        )
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(f"{unit} per {asked['per']}, less is better", fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw(result: dict[str, Any], stem: Path) -> list[Path]:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    # The same JSON gives the same bytes, so that a chart in the repository changes with its data.
    matplotlib.rcParams["svg.hashsalt"] = "uring_rs"
    plots = importlib.import_module("matplotlib.pyplot")
    panels = [one for one in PANELS if one[0] in result["questions"]]
    if not panels:
        return []
    rows = (len(panels) + 1) // 2
    figure, grid = plots.subplots(rows, 2, figsize=(10, 2.35 * rows + 0.5), squeeze=False)
    flat = [axes for row in grid for axes in row]
    for axes, (question, cell, title, wanted) in zip(flat, panels, strict=False):
        panel(axes, title, cell, result["questions"][question], wanted)
    for axes in flat[len(panels) :]:
        axes.set_visible(False)
    machine = result["machine"]
    note = (
        f"medians, whiskers from the lowest to the highest round; {machine['cpus']} CPUs, "
        f"Linux {machine['kernel']}, {machine['python']}, commit {result['commit']}"
    )
    figure.text(0.01, 0.005, note, fontsize=7, color="#475569")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    written = []
    for kind, extra in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
        path = stem.with_suffix(f".{kind}")
        figure.savefig(path, **extra)
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, help="without suffix")
    options = parser.parse_args()
    result = json.loads(options.results.read_text())
    for path in draw(result, options.out or options.results.with_suffix("")):
        print(f"drew {path}")


if __name__ == "__main__":
    main()

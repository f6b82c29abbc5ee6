"""A Dask cluster that reads Parquet through io_uring: `uring://` instead of a plain path.

Dask does the distributing; each worker process reads its part with as many requests at a time as
the device likes. With the option below, Dask asks for all pieces of the wanted columns of a file in
one call (`cat_ranges`), which this file system turns into one `read_ranges`.

    python examples/dask_parquet.py FOLDER

Needs `pip install 'uring_rs[fsspec]' 'dask[dataframe,distributed]'`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
from dask.distributed import Client, LocalCluster

ALL_RANGES_AT_ONCE = {"precache_options": {"method": "parquet"}}


def make(folder: Path, files: int, rows: int) -> None:
    """Some Parquet to read."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        frame = pd.DataFrame(
            {
                "kind": [f"k{row % 7}" for row in range(rows)],
                "value": range(number * rows, (number + 1) * rows),
                "unused": ["x" * 50] * rows,
            }
        )
        frame.to_parquet(f"uring://{folder}/part-{number}.parquet", index=False)


def sums(folder: Path) -> dict[str, int]:
    """The sum of the values of each kind, computed where a client is connected to."""
    frame = dd.read_parquet(
        f"uring://{folder}/*.parquet",
        columns=["kind", "value"],
        index=False,
        open_file_options=ALL_RANGES_AT_ONCE,
    )
    found = frame.groupby("kind")["value"].sum().compute()
    return {str(kind): int(value) for kind, value in sorted(found.items())}


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    if not folder.exists():
        make(folder, files=4, rows=10_000)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        for kind, value in sums(folder).items():
            print(kind, value)


if __name__ == "__main__":
    main()

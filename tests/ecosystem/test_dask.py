"""Dask and pandas read Parquet through `uring://`, on a cluster of two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

from helpers.child import child_env, run_child

EXAMPLE = Path(__file__).resolve().parent.parent.parent / "examples" / "dask_parquet.py"

# Dask's own deprecations are none of ours: without -W error.
CLUSTER = """
import os, sys
import dask
import dask.dataframe as dd
from dask.distributed import Client, LocalCluster

import uring_rs.fsspec

def where():
    import os, fsspec
    # Had it used a ring of its parent's, it would have failed by now.
    return os.getpid(), type(fsspec.filesystem("uring")).__name__

def count_calls():
    import uring_rs.fsspec as module
    real = module.read_ranges
    module.calls = []
    def spy(*args, **options):
        module.calls.append(real(*args, **options))
        return module.calls[-1]
    module.read_ranges = spy

def calls():
    import uring_rs.fsspec as module
    return sum(len(ranges) for ranges in module.calls)

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from dask_parquet import make, sums
    from pathlib import Path
    folder = Path(sys.argv[2])
    make(folder, files=4, rows=1000)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster, Client(cluster) as client:
        found = client.run(where)
        pids = {pid for pid, _ in found.values()}
        assert len(pids) == 2 and os.getpid() not in pids, found
        assert {name for _, name in found.values()} == {"UringFileSystem"}
        client.run(count_calls)
        print(sums(folder))
        print("ranges:", sum(client.run(calls).values()) > 0)
        frame = dd.read_parquet(f"uring://{folder}/*.parquet")
        print("rows:", len(frame))
        # The file system itself goes over the wire, too.
        fs = uring_rs.fsspec.UringFileSystem()
        paths = sorted(fs.glob(f"{folder}/*.parquet"))
        heads = client.submit(fs.cat_ranges, paths, 0, 4).result()
        print("heads:", set(heads))
"""


def test_a_cluster_of_two_processes(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CLUSTER)
    command = [sys.executable, str(program), str(EXAMPLE.parent), str(tmp_path / "table")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=child_env(), cwd=tmp_path, timeout=55
    )
    assert done.returncode == 0, done.stderr[-5000:]
    values = {f"k{kind}": sum(n for n in range(4000) if n % 1000 % 7 == kind) for kind in range(7)}
    assert done.stdout.splitlines() == [
        str(values),
        "ranges: True",
        "rows: 4000",
        "heads: {b'PAR1'}",
    ]


PANDAS = """
import sys
import pandas as pd
url = f"uring://{sys.argv[1]}/table.parquet"
frame = pd.DataFrame({"a": range(1000), "b": ["x"] * 1000})
frame.to_parquet(url)
assert pd.read_parquet(url).equals(frame)
assert pd.read_parquet(url, columns=["a"])["a"].sum() == 499500
frame.to_csv(f"uring://{sys.argv[1]}/table.csv.gz", index=False)
assert pd.read_csv(f"uring://{sys.argv[1]}/table.csv.gz").equals(frame)
print("the same")
"""


def test_pandas(tmp_path: Path) -> None:
    assert run_child(PANDAS, str(tmp_path)).stdout == "the same\n"
    assert len(pd.read_parquet(tmp_path / "table.parquet")) == 1000
    assert sorted(os.listdir(tmp_path)) == ["table.csv.gz", "table.parquet"]

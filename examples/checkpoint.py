"""Write a checkpoint and load it back, at the speed of the device.

    save("step-1000.safetensors", {"weight": array, ...}, {"step": "1000"})
    state = load("step-1000.safetensors")

`uring_rs.save` takes the pieces as they are, without joining them, writes past the page cache with
several writes under way, and gives the file its name when all of it is on the disk: a program that
dies meanwhile leaves the checkpoint before. The file is a safetensors file, which any framework
reads; `safetensors_load.py` beside this file is how it is read here.

    python examples/checkpoint.py /tmp/checkpoint.safetensors --mib 256
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors_load import DTYPES, load

import uring_rs

__all__ = ["load", "save"]

NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items() if name != "BF16"}


def save(
    path: str | Path,
    state: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
    *,
    fsync: bool = True,
) -> int:
    """Write these arrays as a safetensors file. Returns its size in bytes."""
    # Wide types first, so that every tensor begins where its type wants to.
    order = sorted(state, key=lambda name: (-state[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    arrays, at = [], 0
    for name in order:
        array = np.ascontiguousarray(state[name])
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(state[name].shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    beginning = len(text).to_bytes(8, "little") + text
    uring_rs.save(path, [beginning, *arrays], fsync=fsync)
    return len(beginning) + at


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a checkpoint, and load it back.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--mib", type=int, default=64)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    layers = {f"layers.{n}": random.random((1024, 128)) for n in range(given.mib)}
    begun = time.perf_counter()
    size = save(given.path, layers, {"step": "0"})
    written = time.perf_counter()
    loaded = load(given.path)
    read = time.perf_counter()
    same = all(np.array_equal(loaded[name], layers[name]) for name in layers)
    print(f"written: {size / (written - begun) / 2**20:.0f} MiB/s")
    print(f"read: {size / (read - written) / 2**20:.0f} MiB/s")
    print(f"{len(loaded)} tensors, {'the same' if same else 'NOT the same'}")


if __name__ == "__main__":
    main()

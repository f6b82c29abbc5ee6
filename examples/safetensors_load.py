"""Load tensors of safetensors files: only those that are wanted, all of them in one call.

    tensors = load("model.safetensors", only=["layers.0.*", "norm.weight"])

The format is 8 bytes with the length of the header, the header (JSON), and the tensors behind each
other: https://github.com/huggingface/safetensors. What is read lands in one page-aligned piece of
memory that the arrays share, past the page cache where that is faster; nothing is copied.

    python examples/safetensors_load.py model-*.safetensors --only 'layers.0.*'
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import uring_rs

HEADER_MOST = 100_000_000
DTYPES = {
    "BOOL": np.bool_,
    "U8": np.uint8,
    "I8": np.int8,
    "U16": np.uint16,
    "I16": np.int16,
    "F16": np.float16,
    "BF16": np.uint16,  # NumPy has no bfloat16: its bits
    "U32": np.uint32,
    "I32": np.int32,
    "F32": np.float32,
    "U64": np.uint64,
    "I64": np.int64,
    "F64": np.float64,
    "C64": np.complex64,
}


class Tensor(NamedTuple):
    """Where a tensor is, and what it is."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size: int


def read_header(path: str | os.PathLike[str]) -> list[Tensor]:
    """What a file holds, in the order in which it does."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > HEADER_MOST:
            raise ValueError(f"{path}: a header of {length} bytes is no safetensors header")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = []
    for name, facts in header.items():
        begin, end = facts["data_offsets"]
        dtype, shape = np.dtype(DTYPES[facts["dtype"]]), tuple(facts["shape"])
        if end - begin != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{path}: {name} is {shape} of {dtype}, but {end - begin} bytes")
        tensors.append(Tensor(name, dtype, shape, 8 + length + begin, end - begin))
    return sorted(tensors, key=lambda tensor: tensor.offset)


def load(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    only: Sequence[str] = ("*",),
) -> dict[str, np.ndarray[Any, Any]]:
    """The tensors whose names match a pattern, from one file or from all shards of a model."""
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    wanted = [
        (number, tensor)
        for number, path in enumerate(files)
        for tensor in read_header(path)
        if any(fnmatch.fnmatchcase(tensor.name, pattern) for pattern in only)
    ]
    if not wanted:
        return {}
    views = uring_rs.read_ranges(
        files,
        [tensor.offset for _, tensor in wanted],
        [tensor.size for _, tensor in wanted],
        index=[number for number, _ in wanted],
    )
    if len(views.eof):
        number, tensor = wanted[views.eof[0]]
        raise ValueError(f"{files[number]} ends within {tensor.name}")
    arrays = {}
    for (_, tensor), view in zip(wanted, views, strict=True):
        array: np.ndarray[Any, Any] = np.ndarray(tensor.shape, tensor.dtype, buffer=view)
        # A tensor may begin where its type should not; only then is it copied.
        arrays[tensor.name] = np.require(array, requirements="A")
    return arrays


def main() -> None:
    parser = argparse.ArgumentParser(description="List tensors of safetensors files.")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN")
    given = parser.parse_args()
    for name, array in load(given.files, given.only).items():
        print(f"{name}: {array.dtype} {list(array.shape)}, {array.nbytes} bytes")


if __name__ == "__main__":
    main()

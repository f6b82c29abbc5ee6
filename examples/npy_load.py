"""Load many .npy files at once: two calls, whatever their number.

    arrays = load(["a.npy", "b.npy"])

The first call reads the beginning of every file, where the header is (`numpy.lib.format` knows how
to read it); the second reads all data straight into the arrays.

    python examples/npy_load.py *.npy
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

import uring_rs

BEGINNING = 4096  # enough for all headers but those of records with very many fields

Header = tuple[tuple[int, ...], bool, np.dtype[Any], int]


def read_header(file: BinaryIO) -> Header:
    """Shape, whether in Fortran's order, type, and where the data begins."""
    version = npy.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = npy.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = npy.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version} of the format")
    if dtype.hasobject:
        raise ValueError("Python objects, which only pickle can load")
    return shape, fortran, dtype, file.tell()


def header_of(path: str | os.PathLike[str], beginning: memoryview) -> Header:
    """The header in the beginning of a file, or in the file where that is too short."""
    try:
        return read_header(io.BytesIO(beginning))
    except ValueError:
        with open(path, "rb") as file:
            return read_header(file)


def load(paths: Sequence[str | os.PathLike[str]]) -> list[np.ndarray[Any, Any]]:
    """The arrays in these files, in their order."""
    if not paths:
        return []
    beginnings = uring_rs.read_ranges(paths, 0, BEGINNING)
    headers = [header_of(path, view) for path, view in zip(paths, beginnings, strict=True)]
    # Fortran's order is C's order of the transposed array.
    buffers = [
        np.empty(shape[::-1] if fortran else shape, dtype) for shape, fortran, dtype, _ in headers
    ]
    offsets = [offset for _, _, _, offset in headers]
    sizes = [buffer.nbytes for buffer in buffers]
    # As bytes: a buffer may hold dates, to which the buffer protocol has no name.
    out = [buffer.reshape(-1).view(np.uint8) for buffer in buffers]
    ranges = uring_rs.read_ranges(paths, offsets, sizes, out)
    if len(ranges.eof):
        raise ValueError(f"{paths[ranges.eof[0]]} ends too early")
    return [
        buffer.T if fortran else buffer
        for buffer, (_, fortran, _, _) in zip(buffers, headers, strict=True)
    ]


def main() -> None:
    for path, array in zip(sys.argv[1:], load(sys.argv[1:]), strict=True):
        print(f"{path}: {array.dtype} {list(array.shape)}")


if __name__ == "__main__":
    main()

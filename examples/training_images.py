"""Feed a training loop from a folder of images: files read ahead, many at a time, in any order.

    for images, labels in batches(paths, size=64):
        ...

The images are binary PPM, for which the decoder is a few lines; with JPEG put that of Pillow or
torchvision in its place. The label of an image is the name of its folder. Reading goes on in the
kernel while the loop works on a batch; what is held ahead of it is bounded (`max_bytes`).

    python examples/training_images.py FOLDER
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import uring_rs

PPM = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")

Images = np.ndarray[Any, np.dtype[np.uint8]]


def decode(data: bytes) -> Images:
    """A binary PPM image: height x width x 3."""
    found = PPM.match(data)
    if not found:
        raise ValueError("not a binary PPM of 8 bits")
    width, height = int(found[1]), int(found[2])
    return np.frombuffer(data, np.uint8, height * width * 3, found.end()).reshape(height, width, 3)


def batches(
    paths: Sequence[Path], size: int, *, seed: int | None = None
) -> Iterator[tuple[Images, list[str]]]:
    """All images once, shuffled, so many at a time; the last batch may be smaller.

    A file that cannot be read or decoded is told of and left out: one of a million must not end a
    training of a week.
    """
    order = list(paths)
    random.Random(seed).shuffle(order)
    images, labels = [], []
    # In completion order: it is shuffled anyway, and no fast file waits for a slow one.
    with uring_rs.read_many(order, errors="yield", max_bytes=64 << 20) as files:
        for path, data in files:
            try:
                if isinstance(data, Exception):
                    raise data
                image = decode(data)
            except (OSError, ValueError) as error:
                print(f"left out: {path}: {error}", file=sys.stderr)
                continue
            images.append(image)
            labels.append(path.parent.name)
            if len(images) == size:
                yield np.stack(images), labels
                images, labels = [], []
    if images:
        yield np.stack(images), labels


def main() -> None:
    paths = sorted(Path(sys.argv[1]).rglob("*.ppm"))
    for number, (images, labels) in enumerate(batches(paths, 64)):
        print(f"batch {number}: {images.shape}, {len(set(labels))} labels")


if __name__ == "__main__":
    main()

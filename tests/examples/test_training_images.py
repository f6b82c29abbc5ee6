"""The example that feeds a training loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

Example = Callable[[str], ModuleType]


def write_image(path: Path, value: int) -> None:
    """A binary PPM of 6 x 4 points, all of this value."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"P6\n6 4\n255\n" + bytes([value]) * 72)


def test_all_images_once(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in range(100):
        write_image(tmp_path / f"class{value % 3}" / f"{value}.ppm", value)
    (tmp_path / "class0" / "bad.ppm").write_bytes(b"no image")
    paths = [*tmp_path.rglob("*.ppm"), tmp_path / "class0" / "gone.ppm"]
    seen = []
    sizes = []
    for images, labels in example("training_images").batches(paths, 32, seed=1):
        assert images.shape == (len(labels), 4, 6, 3)
        assert images.dtype == np.uint8
        sizes.append(len(labels))
        for image, label in zip(images, labels, strict=True):
            assert label == f"class{image[0, 0, 0] % 3}"
            assert (image == image[0, 0, 0]).all()
            seen.append(int(image[0, 0, 0]))
    assert sizes == [32, 32, 32, 4]
    assert sorted(seen) == list(range(100))
    assert seen != sorted(seen)
    left_out = capsys.readouterr().err.splitlines()
    assert len(left_out) == 2
    assert all("bad.ppm" in line or "gone.ppm" in line for line in left_out)


def test_breaking_off(example: Example, tmp_path: Path) -> None:
    for value in range(100):
        write_image(tmp_path / "class" / f"{value}.ppm", value)
    batches = example("training_images").batches(sorted(tmp_path.rglob("*.ppm")), 8)
    assert next(batches)[0].shape == (8, 4, 6, 3)
    batches.close()

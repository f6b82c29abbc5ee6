"""The loaders of the examples against the packages whose formats they read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.child import run_child

from .conftest import EXAMPLES

Example = Callable[[str], ModuleType]
RNG = np.random.default_rng(1)

STATE: dict[str, np.ndarray[Any, Any]] = {
    "layers.0.weight": RNG.random((300, 257)),
    "layers.0.bias": RNG.random(257).astype(np.float32),
    "layers.1.half": RNG.random((3, 5, 7)).astype(np.float16),
    "layers.1.odd": RNG.integers(0, 255, 13).astype(np.uint8),
    "scalar": np.array(7, np.int64),
    "empty": np.zeros((0, 4), np.int32),
    "mask": RNG.random(11) > 0.5,
}


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Byte for byte, with types and shapes."""
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def test_safetensors(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(STATE, path)
    load = example("safetensors_load").load
    same(load(path), safetensors.numpy.load_file(path))
    some = load(path, only=["layers.1.*", "scalar"])
    same(some, {n: a for n, a in STATE.items() if n.startswith("layers.1") or n == "scalar"})
    assert load(path, only=["none"]) == {}
    for array in some.values():
        assert array.flags.aligned


def test_shards_of_a_model(example: Example, tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(STATE):
        paths.append(tmp_path / f"model-{number}.safetensors")
        safetensors.numpy.save_file({name: STATE[name]}, paths[-1])
    same(example("safetensors_load").load(paths), STATE)


def test_safetensors_that_are_cut_or_wrong(example: Example, tmp_path: Path) -> None:
    load = example("safetensors_load").load
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file(STATE, path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(ValueError, match="ends within"):
        load(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="no safetensors header"):
        load(path)
    header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(ValueError, match="4 bytes"):
        load(path)


def test_bits_of_bfloat16(example: Example, tmp_path: Path) -> None:
    path = tmp_path / "bf16.safetensors"
    bits = np.arange(6, dtype=np.uint16)
    header = b'{"x":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    assert (example("safetensors_load").load(path)["x"] == bits.reshape(2, 3)).all()


def test_npy(example: Example, tmp_path: Path) -> None:
    fields = np.dtype([(f"field_{n}_{'x' * 20}", "<f8") for n in range(200)])
    arrays = [
        *STATE.values(),
        np.asfortranarray(RNG.random((40, 30))),
        np.zeros((), "M8[s]"),
        np.array(["2026-01-01", "NaT"], "M8[D]"),
        np.array(["text", "", "more"]),
        RNG.random(4).astype(">f4"),
        np.zeros(3, fields),  # its header is longer than what is read for headers
    ]
    paths = [tmp_path / f"{number}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    found = example("npy_load").load(paths)
    same(dict(enumerate(found)), dict(enumerate(np.load(path) for path in paths)))
    assert found[len(STATE)].flags.f_contiguous
    assert example("npy_load").load([]) == []


def test_npy_that_is_cut_or_unsafe(example: Example, tmp_path: Path) -> None:
    load = example("npy_load").load
    np.save(tmp_path / "a.npy", np.arange(1000))
    os.truncate(tmp_path / "a.npy", 5000)
    with pytest.raises(ValueError, match="ends too early"):
        load([tmp_path / "a.npy"])
    np.save(tmp_path / "b.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        load([tmp_path / "b.npy"])
    (tmp_path / "c.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match="magic"):
        load([tmp_path / "c.npy"])


@given(
    shapes=st.lists(st.lists(st.integers(0, 40), max_size=3), max_size=8),
    dtype=st.sampled_from(["u1", "<i2", "<f4", "<f8"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_checkpoints(example: Example, tmp_path: Path, shapes: list[list[int]], dtype: str) -> None:
    checkpoint = example("checkpoint")
    state = {
        f"t{number}": (RNG.random(shape) * 100).astype(dtype) for number, shape in enumerate(shapes)
    }
    path = tmp_path / "checkpoint.safetensors"
    size = checkpoint.save(path, state, {"step": "1"}, fsync=False)
    assert size == path.stat().st_size
    same(checkpoint.load(path), state)
    same(safetensors.numpy.load_file(path), state)


def test_the_programs(tmp_path: Path) -> None:
    code = "import runpy, sys; sys.argv.pop(0); sys.path.insert(0, sys.argv[1]); " + (
        "sys.argv.pop(1); runpy.run_path(sys.argv[0], run_name='__main__')"
    )

    def run(name: str, *words: str) -> str:
        return run_child(code, str(EXAMPLES / name), str(EXAMPLES), *words).stdout

    model = str(tmp_path / "model.safetensors")
    assert "2 tensors, the same" in run("checkpoint.py", model, "--mib", "2")
    told = run("safetensors_load.py", model, "--only", "layers.1")
    assert told == "layers.1: float64 [1024, 128], 1048576 bytes\n"
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    assert run("npy_load.py", f"{tmp_path}/a.npy") == f"{tmp_path}/a.npy: float64 [2, 3]\n"

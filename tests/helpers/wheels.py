"""What a wheel must have inside: types, licences, commands, a bill of materials, no more names.

As a script: `wheels.py FILE...` checks each. Needs the standard library only.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

NAMES = {
    "uring_rs/__init__.py",
    "uring_rs/_uring.pyi",
    "uring_rs/py.typed",
    "{info}/METADATA",
    "{info}/entry_points.txt",
    "{info}/licenses/LICENSE-APACHE",
    "{info}/licenses/LICENSE-MIT",
    "{info}/sboms/uring_rs.cyclonedx.json",
}


def bill_of_materials(wheel: zipfile.ZipFile, info: str) -> set[str]:
    """The crates that the wheel's bill of materials names."""
    bill = json.loads(wheel.read(f"{info}/sboms/uring_rs.cyclonedx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    return {component["name"] for component in bill["components"]}


def check(path: Path) -> None:
    """Raise AssertionError for a wheel that lacks something, or has what it should not have."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (info,) = {name.split("/")[0] for name in names if name.endswith(".dist-info/METADATA")}
        missing = {name.format(info=info) for name in NAMES} - names
        assert not missing, f"{path.name} lacks {sorted(missing)}"
        strange = {name for name in names if name.split("/")[0] not in ("uring_rs", info)}
        assert not strange, f"{path.name} has {sorted(strange)}"
        metadata = wheel.read(f"{info}/METADATA").decode()
        needed = re.findall(r"^Requires-Dist: (?!.*extra ==)(.*)$", metadata, re.MULTILINE)
        assert not needed, f"{path.name} needs {needed}"
        crates = bill_of_materials(wheel, info)
        assert {"libc", "pyo3"} <= crates, f"the bill of materials names {sorted(crates)} only"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        check(Path(name))
        print(f"{name}: complete")

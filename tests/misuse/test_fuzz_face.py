"""The programs of calls that fuzzing of the Python face has kept: those that once found something,
and some of the others. `nox -s fuzz` looks for new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.child import run_child

FUZZ = Path(__file__).resolve().parent.parent.parent / "fuzz"
# Others of the corpus that are run each time.
OTHERS = 16


def _inputs(part: str) -> list[Path]:
    return sorted((FUZZ / part / "face").glob("*"))


@pytest.mark.once
def test_programs_that_were_kept(tmp_path: Path) -> None:
    found, others = _inputs("regressions"), _inputs("corpus")
    assert others, "no program was kept"
    chosen = [*found, *others[:: max(1, len(others) // OTHERS)][:OTHERS]]
    child = run_child(
        """
        import runpy, sys
        sys.path.insert(0, sys.argv.pop(1))
        runpy.run_path(sys.path[0] + "/face.py", run_name="__main__")
        """,
        str(FUZZ / "python"),
        str(tmp_path),
        "--replay",
        *map(str, chosen),
        timeout=55,
        # Without a /proc, which a sanitizer needs to look for them.
        env={"LEAKS_ARE_OTHERS": "yes"},
    )
    assert f"Done {len(chosen)} runs" in child.stderr

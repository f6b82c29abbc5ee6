"""Many cases of one sort in one child, each reported by itself: a child costs more than a case.

In the child:

    from helpers.cases import case, finish

    @case
    def name(): ...        # runs at once; what it raises is told, and the next one runs

    finish()

and in the test `run_cases(code)`. A child that dies names the case that it died in.
"""

from __future__ import annotations

import gc
import os
import sys
import textwrap
import traceback
from collections.abc import Callable
from typing import Any

from helpers.child import run_child, tally

_process = os.getpid()
_done: list[str] = []
_failed: list[str] = []


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if os.path.lexists(path):
            found[name] = os.readlink(path)
    return found


def run(name: str, function: Callable[..., object], *args: object) -> None:
    """Run a case: it must return, and leave the open descriptors as they were."""
    print("begin", name, flush=True)
    if not _done:
        # What the imports made stays, and collections need not look at it each time.
        gc.collect()
        gc.freeze()
    gc.collect()
    before = _descriptors()
    try:
        function(*args)
        gc.collect()
        left = _descriptors()
        assert left == before, f"descriptors: before {before}, after {left}"
    except BaseException:
        if os.getpid() != _process:
            # A forked child that ends as Python ends.
            raise
        _failed.append(name)
        print("failed", name, flush=True)
        traceback.print_exc()
    _done.append(name)


def case(function: Callable[[], object]) -> Callable[[], object]:
    """A decorator that runs the function, as a case of its name."""
    run(function.__name__, function)
    return function


def refused(
    kind: type[BaseException] | tuple[type[BaseException], ...], call: Any, *args: Any
) -> BaseException:
    """Call it; it must raise that. Returns the exception."""
    try:
        answer = call(*args)
    except kind as error:
        return error
    raise AssertionError(f"{call} returned {answer!r}, and did not raise {kind}")


def finish() -> None:
    """After the last case."""
    print("cases", len(_done), len(_failed), flush=True)
    sys.exit(1 if _failed else 0)


def run_cases(code: str, *args: str, least: int = 1, **options: Any) -> int:
    """Run the child. All its cases must have passed, and be `least` at least. Returns how many."""
    head = "from helpers.cases import case, finish, refused, run\n"
    child = run_child(head + textwrap.dedent(code) + "\nfinish()\n", *args, expect=None, **options)
    lines = child.stdout.splitlines()
    said = f"\n--- stdout\n{child.stdout}\n--- stderr\n{child.stderr}"
    if not lines or not lines[-1].startswith("cases "):
        raise AssertionError(f"the child ended with {child.returncode} in {lines[-1:]}{said}")
    _, done, failed = lines[-1].split()
    assert (child.returncode, int(failed)) == (0, 0), said
    assert int(done) >= least, said
    tally(int(done))
    return int(done)

"""What of the interface is missing, by kind: what tests/unit/not_yet.toml must say.

As a script it prints that file.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(TESTS)

from helpers import interface  # noqa: E402
from helpers.entries.cases import CASES  # noqa: E402
from helpers.named import by_tests, is_a_test  # noqa: E402

ROOT = TESTS.parent
UNIT = TESTS / "unit"
EVIDENCE: dict[str, list[str]] = tomllib.loads((UNIT / "evidence.toml").read_text())

BUILDERS = interface.builders()
THERE = [case for case in CASES if case.there]

# The helpers of liburing that make nothing of their own: another one's first half, or another name
# for the same entry.
SAME_ENTRY = {
    "rw",
    "cancel",  # cancel64, with a pointer for the key
    "madvise64",  # madvise, for more memory than the cases have
    "open",  # openat, from the current directory: so are these
    "open_direct",
    "link",
    "mkdir",
    "rename",
    "symlink",
    "unlink",
    "socket_direct_alloc",  # socket_direct with any slot
    "msg_ring_fd_alloc",  # msg_ring_fd with any slot
}


def builders() -> set[str]:
    """Operations that nothing prepares."""
    return {row["method"] for row in interface.OPERATIONS} - set(BUILDERS)


def tests() -> set[str]:
    """Builders that no conformance test calls."""
    return set(BUILDERS) - by_tests("conformance").calls


def entries() -> set[str]:
    """Builders that are not cross-checked with C."""
    return {name for name in BUILDERS if not _is_evident(name)} - {c.method for c in THERE}


def cases() -> set[str]:
    """Cases of the cross-check that fit no builder."""
    return {str(case) for case in CASES if not case.there}


def helpers() -> set[str]:
    """Helpers of liburing whose entry no builder makes, as far as a case shows."""
    text = (TESTS / "abi" / "prep.h").read_text()
    known = re.findall(r"^OURS\((\w+),|\bio_uring_prep_(\w+)\(SQE", text, re.MULTILINE)
    names = {one or other for one, other in known} - SAME_ENTRY
    return names - set().union(*(case.helpers for case in THERE))


def _asked_for() -> set[str]:
    """The register operations that the library makes, as its source names them."""
    sources = [*(ROOT / "src" / "py").rglob("*.rs"), *(ROOT / "src" / "ring").rglob("*.rs")]
    text = "\n".join(path.read_text() for path in sources if "sim" not in path.parts)
    return set(re.findall(r"\bIORING_((?:UN)?REGISTER_\w+)", text))


def registers() -> set[str]:
    """Register operations that Python has no way to, or that the library never makes."""
    ways, asked = interface.REGISTER_WAYS, _asked_for()
    there = {name for name in ways if all(map(interface.way_is_there, ways[name]))}
    return set(ways) - (there & asked)


def _way_is_tested(way: str) -> bool:
    """Whether a test calls the method, with that argument, or reads the attribute."""
    name, _, argument = way.rstrip(")").partition("(")
    short = name.rpartition(".")[2]
    named = by_tests()
    return (short, argument) in named.keywords if argument else short in named.attributes


def register_tests() -> set[str]:
    """Register operations that no test is about."""
    ways = interface.REGISTER_WAYS
    return {
        name for name in ways if not _is_evident(name) and not all(map(_way_is_tested, ways[name]))
    }


def names() -> set[str]:
    """Constants that have no name in Python."""
    return {row[0] for row in interface.chosen() if interface.python_name(row[0]) is None}


def _is_evident(name: str) -> bool:
    """Whether evidence.toml knows a test of this that is there: each it names must be."""
    for evidence in EVIDENCE.get(name, ()):
        method, _, argument = evidence.rstrip(")").partition("(")
        if evidence.startswith("impossible: "):
            found = True
        elif "::" in evidence:
            found = is_a_test(evidence)
        elif argument:
            found = (method, argument) in by_tests("conformance").keywords
        else:
            named = by_tests("conformance")
            found = method in named.calls | named.attributes
        if found:
            return True
    return False


def _flag_is_tested(constant: str, name: str) -> bool:
    """A test names the member, or gives it to C, or evidence.toml knows one that is about it."""
    if name in by_tests().members or any(constant in case.c for case in THERE):
        return True
    return _is_evident(name) or ("." not in name and name in by_tests().attributes)


def flags() -> set[str]:
    """Flags that no test is about."""
    found = ((row[0], interface.python_name(row[0])) for row in interface.chosen())
    return {name for constant, name in found if name and not _flag_is_tested(constant, name)}


KINDS = {
    "builders": builders,
    "tests": tests,
    "entries": entries,
    "cases": cases,
    "helpers": helpers,
    "registers": registers,
    "register_tests": register_tests,
    "names": names,
    "flags": flags,
}


def main() -> None:
    """Print not_yet.toml as it must be now."""
    print("# What of Linux 6.18 is not there yet, by kind: see tests/helpers/missing.py.")
    for kind, missing in KINDS.items():
        if found := sorted(missing()):
            print(f"\n# {' '.join((missing.__doc__ or '').split())}\n{kind} = [")
            for name in found:
                print(f"    {name!r}," if '"' in name else f'    "{name}",')
            print("]")


if __name__ == "__main__":
    main()

"""Writes docs/reference from the tables and docstrings of the installed package.

python docs/generate.py            # write
python docs/generate.py --check    # say whether what is there is up to date
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from enum import Enum, EnumType
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))

import uring_rs  # noqa: E402
from helpers import interface  # noqa: E402

NOTE = "<!-- Written by docs/generate.py: change the docstrings or the tables, not this page. -->"

RESULTS = {
    "none": "0",
    "bytes": "bytes moved",
    "fd": "a descriptor, or a slot",
    "fdpair": "0; two descriptors in memory",
    "count": "a number of things",
    "mask": "events",
    "index": "a place",
    "driver": "the driver's",
}
UNTIL = {
    "nothing": "none",
    "submit": "submission",
    "completion": "the last completion",
    "notification": "the notification",
    "beyond": "taken back",
}


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table with its heading."""
    titles = list(titles)
    yield row(*titles)
    yield row(*("---" for _ in titles))
    for cells in rows:
        yield row(*cells)


def version(pair: tuple[int, int]) -> str:
    """A kernel as people write it."""
    return f"{pair[0]}.{pair[1]}"


def parts(documentation: str) -> dict[str, str]:
    """`Kernel:`, `Memory:`, ... of a docstring, each as one line."""
    found: dict[str, str] = {}
    current = ""
    for line in documentation.splitlines():
        if match := re.match(r"([A-Z][a-z]+): *(.*)$", line):
            current = match[1]
            found[current] = match[2]
        elif not line.strip():
            current = ""
        elif current and not line.startswith(" " * 8):
            found[current] += " " + line.strip()
    return found


def summary(documentation: str) -> str:
    """The first paragraph as one line."""
    return " ".join(documentation.partition("\n\n")[0].split())


def first_of(operation: str) -> list[str]:
    """The builders of an operation, the one named after it first."""
    every = [*interface.OPERATIONS, *interface.LATER]
    method = next(each["method"] for each in every if each["name"] == operation)
    names = [name for name in interface.builders() if interface.operation_of(name) == operation]
    return sorted(names, key=lambda name: (name != method, name))


def builder_rows() -> Iterator[list[str]]:
    """A row for each builder, in the operations' order."""
    for each in [*interface.OPERATIONS, *interface.LATER]:
        builders = first_of(each["name"])
        for name in builders:
            text = inspect.getdoc(getattr(uring_rs.Ring, f"prep_{name}")) or ""
            said = parts(text)
            since = (said.get("Kernel") or version(each["since"])).rstrip(".")
            told = [said.get(part, "").rstrip(".") for part in ("Memory", "Result", "Source")]
            yield [f"`{each['name']}`", f"`prep_{name}`", summary(text), since, *told]
        if not builders:
            yield [f"`{each['name']}`", "none yet", "", version(each["since"]), "", "", ""]


def can(each: dict[str, Any]) -> str:
    """What an operation can do besides."""
    words = {
        "multishot": "multishot",
        "zero_copy": "zero copy",
        "fixed_buffer": "registered buffer",
        "buffer_select": "provided buffers",
        "direct": "direct descriptor",
    }
    return ", ".join(word for key, word in words.items() if each[key])


def pointers(each: dict[str, Any]) -> str:
    """The memory an operation names."""
    told = []
    for pointer in each["pointers"]:
        arrow = "->" if pointer["indirect"] else ""
        told.append(f"`{pointer['field']}`{arrow} {pointer['what']}: {UNTIL[pointer['until']]}")
    return "; ".join(told)


def operation_rows() -> Iterator[list[str]]:
    """A row for each operation of the table."""
    for each in interface.OPERATIONS:
        yield [
            str(each["number"]),
            f"`{each['name']}`",
            version(each["since"]),
            RESULTS[each["result"]],
            pointers(each),
            can(each),
        ]


def way(text: str) -> str:
    """Where Python has a register operation."""
    name, _, argument = text.rstrip(")").partition("(")
    return f"`{name}`" + (f" with `{argument}`" if argument else "")


def register_rows() -> Iterator[list[str]]:
    """A row for each register operation."""
    meanings = {name: doc for name, _, doc in interface.CONSTANTS}
    for each in interface.REGISTERS:
        ways = [text for text in interface.REGISTER_WAYS[each["name"]]]
        there = [way(text) for text in ways if interface.way_is_there(text)]
        yield [
            str(each["number"]),
            f"`{each['name']}`",
            meanings[f"IORING_{each['name']}"],
            version(each["since"]),
            ", ".join(there) or "none yet",
        ]


def operations_page() -> Iterator[str]:
    """docs/reference/operations.md."""
    yield "# Operations"
    yield ""
    yield NOTE
    yield ""
    yield "Every operation of Linux 6.18, and the methods of `Ring` that prepare it; at the end"
    yield "those of later kernels that have a method. `Sqe` has the same under the name without"
    yield "`prep_`. Memory says how long the kernel uses what you give:"
    yield "until then a buffer cannot be resized, and nothing of it can be freed. `Ring.supports`"
    yield "tells whether the running kernel has an operation. `uring_rs.Op` has their numbers,"
    yield "`uring_rs.RegisterOp` those of the register operations."
    yield ""
    titles = ["operation", "method", "", "since", "memory", "result", "manual page"]
    yield from table(titles, builder_rows())
    yield ""
    yield "## What the kernel does with them"
    yield ""
    yield "The table that the library is built on. Each field of the entry that holds an address,"
    yield "what is there (`->`: at the end of what is there), and until when the kernel uses it."
    yield ""
    titles = ["number", "operation", "since", "result", "memory until", "can"]
    yield from table(titles, operation_rows())
    yield ""
    yield "## Register operations"
    yield ""
    yield "What io_uring_register(2) does, and where Python has it. Those without a method of their"
    yield "own are what the library does on its own account there."
    yield ""
    titles = ["number", "operation", "", "since", "in Python"]
    yield from table(titles, register_rows())


def summary_of(kind: type[Enum]) -> str:
    """What a class of flags is about."""
    return summary(inspect.getdoc(kind) or "")


def member_rows(kind: type[Enum]) -> Iterator[list[str]]:
    """A row for each member of a class: by the table, or by its comment in flags.py."""
    known = {interface.python_name(row[0]): (row[0], row[2]) for row in interface.chosen()}
    comments = dict(
        re.findall(r"^    (\w+) = .*?  # [\d.]+(?:: )?(.*)$", inspect.getsource(kind), re.MULTILINE)
    )
    for member in kind.__members__.values():
        name = f"{kind.__name__}.{member.name}"
        constant, doc = known.get(name, ("", comments.get(member.name, "")))
        yield [
            f"`{name}`",
            f"`{constant}`" if constant else "",
            number(member.value),
            doc,
        ]


def number(value: int) -> str:
    """Small ones as they are, flags as people read them."""
    return f"`{value if -10 < value < 10 else hex(value)}`"


def number_rows() -> Iterator[list[str]]:
    """A row for each number of flags.py that is in no class, by the text below it."""
    source = inspect.getsource(uring_rs.flags)
    for name, text in re.findall(r'^(\w+) = -?\w+\n"""(.*?)"""', source, re.MULTILINE | re.DOTALL):
        doc, _, constant = " ".join(text.split()).rpartition(" (`")
        constant, _, since = constant.rstrip(".)").partition("`")
        doc += f" ({since.removeprefix(', ')})." if since else "."
        yield [f"`{name}`", f"`{constant}`", number(getattr(uring_rs.flags, name)), doc]


def flags_page() -> Iterator[str]:
    """docs/reference/flags.md."""
    yield "# Flags and numbers"
    yield ""
    yield NOTE
    yield ""
    yield "Every constant of the interface of Linux 6.18 that a program may name; all are in"
    yield "`uring_rs` and in `uring_rs.flags`. Where a builder has an argument for it (`multishot`,"
    yield "`absolute`), the flag need not be named."
    yield ""
    titles = ["Python", "kernel", "value", ""]
    loose = [each for each in interface.chosen() if interface.member(each[0]) is None]
    named = [(interface.python_name(each[0]) or each[0], each) for each in loose]
    rows = [[f"`{name}`", f"`{each[0]}`", number(each[1]), each[2]] for name, each in named]
    rows += [row for row in number_rows() if row[0] not in {cells[0] for cells in rows}]
    yield from table(titles, (cells for cells in rows if "." not in cells[0]))
    for name, kind in sorted(vars(uring_rs.flags).items()):
        if name in ("Op", "RegisterOp") or type(kind) is not EnumType:
            continue
        if kind.__module__ == uring_rs.flags.__name__:
            yield from ("", f"## {name}", "", summary_of(kind), "")
            yield from table(titles, member_rows(kind))


PAGES = {"operations.md": operations_page, "flags.md": flags_page}


def main(arguments: list[str]) -> int:
    """See the module."""
    stale = []
    for name, page in PAGES.items():
        path = DOCS / "reference" / name
        text = "\n".join(page()) + "\n"
        if "--check" in arguments:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                stale.append(f"{path} is out of date: run python docs/generate.py")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    print("\n".join(stale), end="\n" if stale else "")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

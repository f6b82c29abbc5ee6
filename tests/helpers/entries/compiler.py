"""What C makes of the cases: tests/abi/sqe.c, compiled with them and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from helpers.readme import ROOT

SOURCES = ROOT / "tests" / "abi"
# Where headers newer than the system's may be: both liburing.h and linux/io_uring.h.
INCLUDE = os.environ.get("ABI_INCLUDE")


class Pointee(NamedTuple):
    """Memory of the library's own that the entry leads to; no bytes: for the kernel to write."""

    field: int
    inner: int | None
    bytes: bytes | None


class Entry(NamedTuple):
    """An entry as C makes it."""

    bytes: bytes
    pointees: tuple[Pointee, ...]


def _compiler() -> str:
    return os.environ.get("CC", "cc")


def _options(liburing: bool) -> list[str]:
    options = ["-std=gnu11", "-I", str(SOURCES)]
    if INCLUDE:
        options += ["-I", INCLUDE]
    return [*options, "-DLIBURING"] if liburing else options


def missing(liburing: bool) -> str | None:
    """Why C cannot be asked here, or None."""
    if not shutil.which(_compiler()):
        return f"there is no C compiler ({_compiler()})"
    program = "#include <liburing.h>" if liburing else "#include <linux/io_uring.h>"
    # A field of Linux 5.19: older headers cannot describe the entries.
    program += "\nstruct io_uring_sqe sqe = {.addr3 = 1, .addr_len = 1};\n"
    command = [_compiler(), *_options(liburing), "-fsyntax-only", "-x", "c", "-"]
    done = subprocess.run(command, input=program, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    if liburing:
        return "liburing.h is not installed (liburing-dev), nor is it in ABI_INCLUDE"
    return "linux/io_uring.h is not installed or older than Linux 6.1 (linux-libc-dev)"


def ask(
    folder: Path, cases: Mapping[int, str], defines: str, *, liburing: bool
) -> dict[int, Entry]:
    """The entries by the cases' numbers, without those that these headers are too old for."""
    numbers = list(cases)
    while True:
        lines = [f"CASE({number}, {cases[number]})" for number in numbers]
        (folder / "cases.h").write_text("\n".join([*lines, ""]))
        (folder / "names.h").write_text(defines)
        program = folder / "entries"
        command = [_compiler(), *_options(liburing), "-I", str(folder), "-include", "names.h"]
        command += ["-Werror=implicit-function-declaration", "-fmax-errors=0"]
        command += ["-o", str(program), str(SOURCES / "sqe.c")]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode == 0:
            break
        rejected = {int(line) for line in re.findall(r"cases\.h:(\d+):\d+: error", done.stderr)}
        rejected |= {int(line) for line in re.findall(r"cases\.h:(\d+):\d+: note", done.stderr)}
        assert rejected, f"the compiler failed otherwise:\n{done.stderr}"
        numbers = [number for at, number in enumerate(numbers, 1) if at not in rejected]
    ran = subprocess.run([program], capture_output=True, text=True, check=True)
    return _parse(ran.stdout)


def _parse(text: str) -> dict[int, Entry]:
    found: dict[int, Entry] = {}
    number, pointees = -1, []
    for line in text.splitlines():
        match line.split(" "):
            case ["case", given]:
                number, pointees = int(given), []
            case ["copy", field, inner, data]:
                place = None if inner == "-1" else int(inner)
                pointees.append(Pointee(int(field), place, bytes.fromhex(data)))
            case ["room", field, inner]:
                place = None if inner == "-1" else int(inner)
                pointees.append(Pointee(int(field), place, None))
            case ["entry", data]:
                found[number] = Entry(bytes.fromhex(data), tuple(pointees))
            case _:
                raise AssertionError(f"not understood: {line}")
    return found

"""Where the instructions of an operation go, counted by callgrind.

    python benchmarks/profile.py [SHAPE ...] [--ops N] [--lines] [--top N]

Runs the same work twice under valgrind, once with `--ops` operations more, and subtracts: what is
left is what these operations take, without the start of the interpreter. Counts instructions in
user space only; the kernel's part does not show. Needs valgrind, and a release build of uring_rs
with its symbols:

    CARGO_PROFILE_RELEASE_DEBUG=1 maturin build --release --strip=false -o dist
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

BATCH = 32
FEW = 3200


def nop(ops: int) -> None:
    """prep_nop, submit, iterate; user_data and res are read"""
    from uring_rs import Ring

    ring = Ring(1024)
    prep, submit = ring.prep_nop, ring.submit
    for _ in repeat(None, ops // BATCH):
        for i in range(BATCH):
            prep(i)
        submit(BATCH)
        for cqe in ring:
            token, res = cqe.user_data, cqe.res  # noqa: F841


def alone(ops: int) -> None:
    """the same, one at a time"""
    from uring_rs import Ring

    ring = Ring(1024)
    prep, submit = ring.prep_nop, ring.submit
    for _ in repeat(None, ops):
        prep(7)
        submit(1)
        for cqe in ring:
            token, res = cqe.user_data, cqe.res  # noqa: F841


def push(ops: int) -> None:
    """one Sqe pushed again and again"""
    from uring_rs import Ring, Sqe

    ring = Ring(1024)
    push, submit, sqe = ring.push, ring.submit, Sqe.nop(user_data=7)
    for _ in repeat(None, ops // BATCH):
        for _i in repeat(None, BATCH):
            push(sqe)
        submit(BATCH)
        for cqe in ring:
            token, res = cqe.user_data, cqe.res  # noqa: F841


def read(ops: int) -> None:
    """prep_read of 64 bytes into a bytearray"""
    from uring_rs import Ring

    ring = Ring(1024)
    prep, submit = ring.prep_read, ring.submit
    fd = os.open(__file__, os.O_RDONLY)
    buffers = [bytearray(64) for _ in range(BATCH)]
    for _ in repeat(None, ops // BATCH):
        for buffer in buffers:
            prep(fd, buffer, 0)
        submit(BATCH)
        for cqe in ring:
            token, res = cqe.user_data, cqe.res  # noqa: F841


def push_read(ops: int) -> None:
    """the same read as an Sqe for each buffer, pushed again and again"""
    from uring_rs import Ring, Sqe

    ring = Ring(1024)
    push, submit = ring.push, ring.submit
    fd = os.open(__file__, os.O_RDONLY)
    sqes = [Sqe.read(fd, bytearray(64), 0) for _ in range(BATCH)]
    for _ in repeat(None, ops // BATCH):
        for sqe in sqes:
            push(sqe)
        submit(BATCH)
        for cqe in ring:
            token, res = cqe.user_data, cqe.res  # noqa: F841


def bulk(ops: int) -> None:
    """prep_nop_batch, submit, reap_into; the results are not read"""
    from uring_rs import CQE_SIZE, Ring

    ring = Ring(1024)
    prep, submit, reap = ring.prep_nop_batch, ring.submit, ring.reap_into
    records = bytearray(CQE_SIZE * 128)
    for _ in repeat(None, ops // 128):
        prep(128)
        submit(128)
        reap(records)


def run(ops: int) -> None:
    """run_nops in batches of 128; the results are not read"""
    from array import array

    from uring_rs import Ring

    ring = Ring(1024)
    results = array("i", [0]) * 128
    for _ in repeat(None, ops // 128):
        ring.run_nops(128, results=results)


SHAPES: dict[str, Callable[[int], None]] = {
    work.__name__: work for work in (nop, alone, push, read, push_read, bulk, run)
}


class Counts:
    """The self cost of functions and of source lines in a callgrind file."""

    def __init__(self, path: Path) -> None:
        self.functions: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        file = function = ""
        number, skip = 0, False
        for line in path.read_text(errors="replace").splitlines():
            if line[:3] in ("fl=", "fi=", "fe="):
                file = self.name("file", line[3:])
            elif line.startswith("fn="):
                function = self.name("fn", line[3:])
            elif line.startswith(("cfn=", "cfi=", "cfl=")):
                # Names may be introduced here, and are referred to by number later.
                self.name("fn" if line.startswith("cfn") else "file", line[4:])
            elif line.startswith("calls="):
                skip = True
            elif line[:1] in "0123456789+-*" and line[:1]:
                at, _, cost = line.partition(" ")
                number = self.position(at, number)
                if skip:
                    skip = False
                    continue
                self.functions[function] += int(cost or 0)
                self.lines[f"{file}:{number}"] += int(cost or 0)

    @staticmethod
    def position(text: str, before: int) -> int:
        if text == "*":
            return before
        return before + int(text) if text[0] in "+-" else int(text)

    def name(self, kind: str, text: str) -> str:
        found = re.match(r"\((\d+)\)(?: (.*))?", text)
        if not found:
            return text
        key = f"{kind} {found[1]}"
        if found[2]:
            self.names[key] = found[2]
        return self.names.get(key, "?")


def profiled(shape: str, ops: int, directory: Path) -> Counts:
    out = directory / f"{shape}.{ops}"
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={out}",
        sys.executable,
        __file__,
        "--work",
        shape,
        "--ops",
        str(ops),
    ]
    # The same hash seed, so that dictionaries collide alike in both runs.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"valgrind failed:\n{done.stderr[-2000:]}")
    return Counts(out)


def short(name: str) -> str:
    """A Rust path without its hash and generic arguments' crates."""
    return re.sub(r"::h[0-9a-f]{16}$", "", name).replace("uring_rs::", "")


def report(shape: str, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        few = profiled(shape, FEW, Path(directory))
        many = profiled(shape, FEW + options.ops, Path(directory))
    print(f"\n## {shape}: {SHAPES[shape].__doc__}")
    tables = [("function", few.functions, many.functions)]
    if options.lines:
        tables.append(("line", few.lines, many.lines))
    for what, before, after in tables:
        spent = Counter({name: after[name] - before[name] for name in after})
        total = sum(spent.values())
        print(f"{total / options.ops:8.1f} instructions per operation, by {what}")
        for name, count in spent.most_common(options.top):
            if count / options.ops < 0.05:
                break
            print(f"{count / options.ops:8.2f}  {short(name)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    parser.add_argument("--ops", type=int, default=320000)
    parser.add_argument("--top", type=int, default=25)
    parser.add_argument("--lines", action="store_true", help="also by source line")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        SHAPES[options.work](options.ops)
        return 0
    if not shutil.which("valgrind"):
        print("profile.py: valgrind is not installed", file=sys.stderr)
        return 2
    for shape in options.shapes or SHAPES:
        if shape not in SHAPES:
            print(f"profile.py: there is no shape {shape!r}", file=sys.stderr)
            return 2
        report(shape, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

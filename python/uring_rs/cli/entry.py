"""Arguments, exit codes and signals of the command.

Exit status: 0 done, 1 something failed (the rest was done), 2 wrong usage, 130 interrupted,
141 whoever read the output went away.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from .._version import __version__
from .cp import Terminated
from .messages import Reporter

__all__ = ["main"]

_SIGNALLED = 128

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_DEPTHS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
_THREADS: Final = (1, 8, 32)
_MOST: Final = 4096
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uring-rs",
        description="Read, sum and copy files through io_uring; say whether it works here, and "
        "measure what it gains.",
    )
    parser.add_argument("--version", action="version", version=f"uring-rs {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="whether io_uring works here, and if not, why")
    info.add_argument("--json", action="store_true", help="as one JSON object")

    cat = commands.add_parser("cat", help="files to standard output")
    cat.add_argument("files", nargs="*", metavar="FILE", help="- or none is standard input")

    summer = commands.add_parser(
        "sum",
        help="checksums of files, and of all files below directories",
        description="Checksums in the format that sha256sum -c accepts (b2sum -c for blake2b, and "
        "so on). Below directories: every regular file, in sorted order; symbolic links met on "
        "the way are not followed.",
    )
    summer.add_argument("-a", "--algo", default="sha256", metavar="ALGO", help="default: sha256")
    summer.add_argument("--json", action="store_true", help="one JSON object a line")
    summer.add_argument("paths", nargs="*", metavar="PATH", help="- or none is standard input")

    copy = commands.add_parser(
        "cp",
        help="copy files and directories, keeping modes, times, owners and attributes",
        description="Copies files, keeping modes and times, and as far as permitted owners and "
        "extended attributes. A file appears under its name when it is complete. With -r symbolic "
        "links are copied as links and hard links kept; pipes, sockets and devices are reported "
        "and not copied.",
    )
    copy.add_argument("-r", "-R", "--recursive", action="store_true", help="directories too")
    copy.add_argument("--json", action="store_true", help="what was done, one JSON object a source")
    copy.add_argument("sources", nargs="+", metavar="SRC")
    copy.add_argument("target", metavar="DST")
    _add_bench(commands)
    return parser


def _add_bench(commands: _Commands) -> None:
    bench = commands.add_parser(
        "bench",
        help="random reads of a file or device, by queue depth, compared with threads",
        description="Reads blocks at random places, past the page cache where the file system can, "
        "with more and more requests at a time. Reads only, unless --write is given.",
    )
    bench.add_argument("path", metavar="FILE", help="a file or a block device")
    bench.add_argument(
        "-b", "--block", type=_size, default=4096, metavar="BYTES", help="default: 4096"
    )
    bench.add_argument(
        "-d",
        "--depths",
        type=_numbers,
        default=list(_DEPTHS),
        metavar="N,...",
        help=f"requests at a time; default: {','.join(map(str, _DEPTHS))}",
    )
    bench.add_argument(
        "-t",
        "--threads",
        type=_numbers,
        default=list(_THREADS),
        metavar="N,...",
        help=f"threads to compare with, 0 for none; default: {','.join(map(str, _THREADS))}",
    )
    bench.add_argument(
        "-s", "--seconds", type=_seconds, default=1.0, metavar="S", help="for each; default: 1"
    )
    bench.add_argument(
        "--buffered",
        action="store_true",
        help="through the page cache, emptied of the file before each",
    )
    bench.add_argument(
        "--write",
        action="store_true",
        help="random writes, of a new file that is removed at the end",
    )
    bench.add_argument(
        "--size",
        type=_size,
        default=256 << 20,
        metavar="BYTES",
        help="of the file that --write makes; default: 256M",
    )
    bench.add_argument(
        "--yes-destroy",
        action="store_true",
        help="with --write: overwrite an existing file or device, whose content is lost",
    )
    bench.add_argument("--json", action="store_true", help="as one JSON object")


def _size(text: str) -> int:
    """4096, 64K, 1M, 2G."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in _UNITS or not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"not a size: {text!r}; 4096, 64K, 1M, 2G")
    return int(number) << _UNITS[unit]


def _numbers(text: str) -> list[int]:
    """1,2,4."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) <= _MOST for part in parts):
        raise argparse.ArgumentTypeError(f"not numbers up to {_MOST}: {text!r}; 1,2,4")
    return [int(part) for part in parts]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"not a time in seconds: {text!r}")
    return seconds


def _command(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Callable[[], int]:
    """The chosen command, ready to run. Modules are loaded only for the one that is used."""
    if given.command == "info":
        from . import info

        return lambda: info.run(as_json=given.json)
    report = Reporter(given.command)

    def finish(run: Callable[[], None]) -> Callable[[], int]:
        def command() -> int:
            try:
                run()
            except BrokenPipeError:
                raise
            except OSError as error:
                where = error.filename or "uring-rs"
                report.fail_at(os.fsencode(where), error)
            return 1 if report.failed else 0

        return command

    if given.command == "cat":
        from . import cat

        files = [os.fsencode(name) for name in given.files]
        return finish(lambda: cat.run(files, report))
    if given.command == "sum":
        from . import sum as summing

        if given.algo not in summing.algorithms():
            parser.error(f"no algorithm {given.algo!r}: one of {', '.join(summing.algorithms())}")
        paths = [os.fsencode(path) for path in given.paths]
        return finish(lambda: summing.run(paths, given.algo, given.json, report))
    if given.command == "bench":
        from . import bench

        if problem := bench.check(given):
            parser.error(problem)
        return finish(lambda: bench.run(given, report))
    from . import cp

    sources = [os.fsencode(source) for source in given.sources]
    target = os.fsencode(given.target)
    return finish(lambda: cp.run(sources, target, given.recursive, given.json, report))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of these arguments (those of the process, by default)."""
    parser = _parser()
    try:
        status = _command(parser, parser.parse_args(arguments))()
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _SIGNALLED + signal.SIGINT
    except Terminated as error:
        return _SIGNALLED + error.number
    except BrokenPipeError:
        # Nobody reads on, which is no error of ours. Python must not find out again at exit.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return _SIGNALLED + signal.SIGPIPE

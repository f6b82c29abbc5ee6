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

from .._version import __version__
from .cp import Terminated
from .messages import Reporter

__all__ = ["main"]

_SIGNALLED = 128


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uring-rs",
        description="Read, sum and copy files through io_uring; say whether it works here.",
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
    copy.add_argument("sources", nargs="+", metavar="SRC")
    copy.add_argument("target", metavar="DST")
    return parser


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
        return finish(lambda: summing.run(paths, given.algo, report))
    from . import cp

    sources = [os.fsencode(source) for source in given.sources]
    target = os.fsencode(given.target)
    return finish(lambda: cp.run(sources, target, given.recursive, report))


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

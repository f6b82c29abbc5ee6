"""The command `uring-rs`, also `python -m uring_rs`: info, cat, sum, cp, bench.

entry       arguments, exit codes, signals
info cat sum cp bench    the commands, each on top of the library's functions for many files
tree        walks folders in a stable order, for sum
"""

from .entry import main

__all__ = ["main"]

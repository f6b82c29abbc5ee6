"""The command `uring-rs`, also `python -m uring_rs`: info, cat, sum, cp.

entry       arguments, exit codes, signals
info cat sum cp    the commands; cp is uring_rs.copy, tree serves sum
engine      many jobs at once, each a generator that waits for its own reads and writes
transport   how those are done: a ring, or plain system calls where rings are refused
"""

from .entry import main

__all__ = ["main"]

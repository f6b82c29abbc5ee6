"""kernel.io_uring_disabled: the one refusal that is a setting of the whole host."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from helpers.child import run_child
from helpers.host import SYSCTL

ASK = """
import os, sys
import uring_rs
from helpers.host import become_nobody
if sys.argv[1] == "nobody":
    become_nobody()
found = uring_rs.probe()
print(found.ok, found.reason, found.hint, sep="|")
try:
    uring_rs.Ring(8).close()
    print("ring")
except uring_rs.UringUnavailable as error:
    print(error.reason, error.hint, sep="|")
"""


@contextlib.contextmanager
def disabled(value: str) -> Iterator[None]:
    """The setting, put back as it was whatever happens."""
    was = SYSCTL.read_text()
    SYSCTL.write_text(value)
    try:
        yield
    finally:
        SYSCTL.write_text(was)


@pytest.mark.alone
def test_io_uring_disabled() -> None:
    if not SYSCTL.exists():
        pytest.skip("kernel.io_uring_disabled came with Linux 6.6, this kernel has none")
    if os.geteuid() != 0 or not os.access(SYSCTL, os.W_OK):
        pytest.skip("kernel.io_uring_disabled can be written by root alone")
    for value, user, refused in [
        ("2", "root", True),
        ("2", "nobody", True),
        ("1", "nobody", True),
        ("1", "root", False),
        ("0", "nobody", False),
    ]:
        with disabled(value):
            told, ring = run_child(ASK, user).stdout.splitlines()
        case = f"io_uring_disabled={value} as {user}: {told}"
        if refused:
            ok, reason, hint = told.split("|")
            assert ok == "False", case
            assert "io_uring_disabled" in reason, case
            assert "sysctl" in hint, case
            assert ring == f"{reason}|{hint}", case
        else:
            assert told.startswith("True"), case
            assert ring == "ring", case

"""Resident memory of this process."""

import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["peak_growth", "resident_bytes"]


def resident_bytes() -> int:
    """As /proc/self/statm has it, with the pages a ring shares with the kernel."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def peak_bytes() -> int:
    """The most that was ever resident, since the mark was last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/self/status has no VmHWM")


def peak_growth(action: Callable[[], object]) -> int:
    """By how much `action` raises what is resident, at its highest."""
    Path("/proc/self/clear_refs").write_text("5\n")  # the mark is set to what is resident now
    before = peak_bytes()
    action()
    # The kernel keeps its count by CPU, and is a few pages off.
    return max(peak_bytes() - before, 0)

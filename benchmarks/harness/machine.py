"""Facts about the machine and the tree that a result was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["commit", "facts", "load", "now"]

ROOT = Path(__file__).parent.parent.parent


def output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def commit() -> str:
    """The commit of the tree, "+changes" if the sources differ from it, "" outside of git."""
    name = output("git", "rev-parse", "--short=12", "HEAD")
    changed = output("git", "status", "--porcelain", "--", "src", "python", "Cargo.toml")
    return name + ("+changes" if changed else "")


def load() -> float:
    return os.getloadavg()[0]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def file_system(path: Path) -> str:
    return output("stat", "-f", "-c", "%T", str(path)) or "unknown"


def facts(scratch: Path) -> dict[str, Any]:
    return {
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") >> 20,
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_compiler": platform.python_compiler(),
        "compiler": output(os.environ.get("CC") or "cc", "--version").partition("\n")[0],
        "scratch_file_system": file_system(scratch),
    }

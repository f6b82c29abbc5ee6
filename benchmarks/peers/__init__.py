"""Other ways from Python to the same work: one adapter each, `with_<name>.py`.

An adapter has `CONTESTANTS`, by question and variant, as `ours` has. It imports its package when
it is itself imported, which only happens in the processes that measure it.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.question import Group

__all__ = ["PEERS", "Peer"]


@dataclass(frozen=True)
class Peer:
    name: str
    requires: str = ""
    """What pip is to install; nothing for the standard library."""
    pinned: bool = True
    """Whether it keeps to one thread, so that it can be pinned to one CPU."""

    groups: tuple[Group, ...] = ("ring",)
    """Of which questions it answers some."""

    @property
    def module(self) -> str:
        return f"peers.with_{self.name}"


PEERS = (
    Peer("liburing", "liburing"),
    Peer("pyuring", "pyuring"),
    Peer("caio", "caio", pinned=False),
    Peer("aiofile", "aiofile", pinned=False),
    Peer("aiofiles", "aiofiles", pinned=False),
    Peer("anyio", "anyio", pinned=False),
    Peer("os", groups=("ring", "files")),
    Peer("threads", pinned=False, groups=("ring", "files")),
    Peer("asyncio"),
    Peer("coreutils", groups=("files",)),
    Peer("fsspec", "fsspec", groups=("files",)),
    Peer("selectors"),
)

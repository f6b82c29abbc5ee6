"""UringSelector: by itself, and under an asyncio loop."""

from __future__ import annotations

from functools import partial

from harness.cells import Contestants
from harness.echoing import Echo
from harness.selecting import Selecting

from uring_rs.selectors import UringSelector


def on_ring() -> UringSelector:
    selector = UringSelector()
    if selector.backend != "io_uring":
        raise RuntimeError(selector.reason)
    return selector


CONTESTANTS: Contestants = {
    "selectors": {"": partial(Selecting, make=on_ring)},
    "echo": {"": partial(Echo, make=on_ring)},
}

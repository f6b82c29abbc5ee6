"""selectors, as it comes with Python: EpollSelector by itself, and under an asyncio loop."""

from __future__ import annotations

import selectors
from functools import partial

from harness.cells import Contestants
from harness.echoing import Echo
from harness.selecting import Selecting

CONTESTANTS: Contestants = {
    "selectors": {"": partial(Selecting, make=selectors.EpollSelector)},
    "echo": {"": partial(Echo, make=selectors.EpollSelector)},
}

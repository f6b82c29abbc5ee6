"""Many descriptors: idle ones, and all of them at once on a small ring."""

from __future__ import annotations

import pytest

from helpers.child import run_child

# As many as the limit of open files allows, at most 10 000; both ends of each pair are watched.
MANY = """
import resource, selectors, socket
from selector.kit import READ, WRITE, enters, on_ring, ready

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
COUNT = min(10_000, (hard - 200) // 2 * 2)
print(COUNT)
ends = []
for _ in range(COUNT // 2):
    ends += socket.socketpair()
peers = {one: other for pair in zip(ends[::2], ends[1::2]) for one, other in (pair, pair[::-1])}
"""


def run(code: str) -> None:
    done = run_child(MANY + code, timeout=60, options=["-W", "error::UserWarning"])
    count = int(done.stdout.splitlines()[0])
    if count < 10_000:
        pytest.skip(f"RLIMIT_NOFILE allows only {count} of 10 000 descriptors; passed with those")


def test_idle_connections() -> None:
    run("""
selector = on_ring(512)
for end in ends:
    selector.register(end, READ, end)
assert ready(selector) == {}
before = enters(selector)
for end in ends[::97]:
    peers[end].send(b"x")
    assert ready(selector, None) == {end.fileno(): READ}
    assert end.recv(1) == b"x"
    assert ready(selector) == {}
turns = len(ends[::97])
# Each turn arms one descriptor and waits for one; that so many others are watched costs nothing.
assert enters(selector) - before <= 4 * turns, (enters(selector) - before, turns)
selector.close()
for end in ends:
    end.close()
""")


def test_an_edge_storm_on_a_small_ring() -> None:
    """All become ready at once, armed and not, many more than there is room for completions."""
    run("""
selector = on_ring(32)
everything = {end.fileno(): READ for end in ends}
for end in ends:
    selector.register(end, READ, end)
assert ready(selector) == {}
for turn in range(3):
    for end in ends:
        end.send(b"x")
    found = {}
    while len(found) < len(ends):
        for key, mask in selector.select(10):
            # Level-triggered: what was said before is said again while it is so.
            found[key.fd] = mask
    assert found == everything
    assert ready(selector) == everything
    for end in ends:
        assert end.recv(1) == b"x"
    assert ready(selector) == {}
for end in ends:
    selector.modify(end, WRITE)
assert ready(selector) == {end.fileno(): WRITE for end in ends}
for end in ends:
    selector.unregister(end)
    end.close()
selector.close()
""")

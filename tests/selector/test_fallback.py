"""Where rings are refused, or the ring stops working: epoll, with the same behaviour."""

from __future__ import annotations

import errno

import pytest

from helpers.child import run_child

REFUSALS = [errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL, errno.EMFILE]
refusals = pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.__getitem__)

USE = """
import asyncio, sys
from helpers.seccomp import refuse_io_uring
from selector.kit import READ, WRITE, pairs, ready
from uring_rs.selectors import UringSelector

def use(selector):
    with pairs(2) as [(one, other), (two, _)]:
        selector.register(one, READ, "one")
        selector.register(two, READ | WRITE, "two")
        assert ready(selector) == {two.fileno(): WRITE}
        other.send(b"x")
        assert ready(selector, 1) == {one.fileno(): READ, two.fileno(): WRITE}
        selector.modify(two, READ, "changed")
        assert [(key.data, mask) for key, mask in selector.select()] == [("one", READ)]
        selector.unregister(one)
        assert ready(selector) == {}
        assert dict(selector.get_map()) == {two.fileno(): selector.get_key(two)}
        selector.unregister(two)
"""


@refusals
def test_refused(number: int) -> None:
    run_child(
        USE
        + """
refuse_io_uring(int(sys.argv[1]))
with UringSelector() as selector:
    assert selector.backend == "epoll" and selector.reason, selector.reason
    use(selector)

async def main():
    return await asyncio.to_thread(lambda: 42)

with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(UringSelector())) as runner:
    assert runner.run(main()) == 42
""",
        str(number),
    )


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("timeout", ["0", "None"])
def test_refused_in_the_middle(number: int, timeout: str) -> None:
    """A filter that comes later: nothing that was registered is lost."""
    run_child(
        USE
        + """
selector = UringSelector()
assert selector.backend == "io_uring"
with pairs(2) as [(one, other), (two, _)]:
    selector.register(one, READ, "one")
    selector.register(two, READ, "two")
    assert ready(selector) == {}
    mapping = selector.get_map()
    refuse_io_uring(int(sys.argv[1]))
    selector.modify(two, READ | WRITE, "changed")
    other.send(b"x")
    timeout = eval(sys.argv[2])
    assert ready(selector, timeout) == {one.fileno(): READ, two.fileno(): WRITE}
    assert selector.backend == "epoll" and "io_uring_enter" in selector.reason, selector.reason
    assert mapping[two].data == "changed" and len(mapping) == 2
    selector.unregister(one)
    selector.unregister(two)
use(selector)
selector.close()
""",
        str(number),
        timeout,
    )


def test_switched_off() -> None:
    run_child(
        USE
        + """
with UringSelector() as selector:
    assert selector.backend == "epoll"
    assert selector.reason == "disabled by URING_RS_DISABLE"
    use(selector)
""",
        env={"URING_RS_DISABLE": "1"},
    )


def test_without_the_compiled_module() -> None:
    run_child(
        """
import sys
sys.modules["uring_rs._uring"] = None
"""
        + USE
        + """
with UringSelector() as selector:
    assert selector.backend == "epoll"
    assert "cannot be loaded" in selector.reason
    use(selector)
"""
    )


def test_as_the_default_selector() -> None:
    """A program may have it be what `selectors.DefaultSelector` means."""
    run_child(
        """
import selectors
from uring_rs.selectors import UringSelector
selectors.DefaultSelector = UringSelector
"""
        + USE
        + """
refuse_io_uring(1)
with selectors.DefaultSelector() as selector:
    assert type(selector) is UringSelector and selector.backend == "epoll"
    use(selector)
"""
    )


def test_no_memory_for_a_larger_ring() -> None:
    """Growing is refused: the ring at hand goes on."""
    run_child(
        USE
        + """
from selector.kit import on_ring
selector = on_ring(4)
with pairs(40) as made:
    for one, _ in made:
        selector.register(one, READ)
    assert ready(selector) == {}
    refuse_io_uring(12, 425, 425)
    with pairs(400) as more:
        for one, _ in more:
            selector.register(one, READ)
        assert ready(selector) == {}
        for _, other in made + more:
            other.send(b"x")
        everything = {one.fileno(): READ for one, _ in made + more}
        assert ready(selector, None) == everything
        assert ready(selector) == everything
        assert selector.backend == "io_uring"
selector.close()
"""
    )

"""The build under test checks arithmetic and assertions: what a broken one becomes in Python."""

from __future__ import annotations

import pytest

import uring_rs
from uring_rs import _uring

pytestmark = pytest.mark.skipif(
    not hasattr(_uring, "_plant"), reason="a release build, which has no debug checks"
)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [("overflow", "attempt to add with overflow"), ("assertion", "planted")],
)
def test_a_mistake_in_rust_is_an_exception(
    mistake: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    # Not an Exception: nobody who catches those is to go on as if nothing had been.
    with pytest.raises(BaseException, match=says) as caught:
        _uring._plant(mistake)
    assert type(caught.value).__name__ == "PanicException"
    assert not isinstance(caught.value, Exception)
    assert "planted.rs" in capfd.readouterr().err
    # The process is whole, and so is the library.
    with uring_rs.Ring(4, kernel=uring_rs.SimKernel()) as ring:
        ring.prep_nop(1)
        assert ring.submit(1) == 1
        assert [completion.user_data for completion in ring] == [1]


def test_no_mistake_of_that_name() -> None:
    with pytest.raises(ValueError, match="no such mistake"):
        _uring._plant("none")

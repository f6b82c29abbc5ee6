"""CPython's own tests of selectors, from the installed interpreter's test package."""

from __future__ import annotations

import unittest

import pytest

from selector.kit import on_ring
from uring_rs.selectors import UringSelector

theirs = pytest.importorskip(
    "test.test_selectors", reason="this interpreter came without its test package"
)


class TestOnRing(theirs.BaseSelectorTestCase, theirs.ScalableSelectorMixIn, unittest.TestCase):
    """All that the standard selectors promise, on a ring."""

    SELECTOR = staticmethod(on_ring)

    def test_modify_unregister(self) -> None:
        self.skipTest("looks into the standard selectors; test_behaviour has it for ours")


@pytest.mark.soak
class TestFallback(theirs.BaseSelectorTestCase, theirs.ScalableSelectorMixIn, unittest.TestCase):
    """The same where rings are refused."""

    SELECTOR = UringSelector

    @pytest.fixture(autouse=True)
    def _refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("URING_RS_DISABLE", "1")

    def test_modify_unregister(self) -> None:
        self.skipTest("looks into the standard selectors; test_behaviour has it for ours")

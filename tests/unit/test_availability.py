"""probe() and is_supported(): always an answer, never an exception."""

from __future__ import annotations

import os

import pytest

import uring_rs
from helpers.child import run_child
from uring_rs import Availability, Cause, Features, Op, SetupFlags, is_supported, probe


def test_the_answer_is_what_a_ring_does() -> None:
    found = probe()
    assert is_supported() is found.ok is bool(found)
    if not found.ok:
        with pytest.raises(uring_rs.UringUnavailable):
            uring_rs.Ring(8)
        return
    with uring_rs.Ring(8) as ring:
        assert int(found.features) == int(ring.features)
        for name in found.ops:
            assert ring.supports(name)


def test_the_facts_have_their_types() -> None:
    found = probe()
    assert isinstance(found, Availability)
    assert isinstance(found.features, Features)
    assert isinstance(found.setup_flags, SetupFlags)
    assert isinstance(found.ops, tuple)
    assert found.kernel == os.uname().release
    assert found.environment["kernel"] == found.kernel
    if found.ok:
        assert (found.reason, found.hint, found.errno, found.cause) == ("", "", None, "")
        assert {"NOP", "READV", "WRITEV"} <= set(found.ops)
        assert [Op[name] for name in found.ops if name in Op.__members__] == sorted(
            Op[name] for name in found.ops if name in Op.__members__
        )


def test_it_is_frozen_and_hashable() -> None:
    found = probe()
    hash(found)
    with pytest.raises(AttributeError):
        found.ok = True  # type: ignore[misc]


@pytest.mark.parametrize("value", ["1", "yes"])
def test_disabled_by_the_environment(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("URING_RS_DISABLE", value)
    found = probe()
    assert not found
    assert not is_supported()
    assert found.reason == "disabled by URING_RS_DISABLE"
    assert "URING_RS_DISABLE" in found.hint
    assert found.cause == Cause.DISABLED
    assert found.ops == ()


@pytest.mark.parametrize("value", ["", "0"])
def test_not_disabled(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.delenv("URING_RS_DISABLE", raising=False)
    before = probe().ok
    monkeypatch.setenv("URING_RS_DISABLE", value)
    assert probe().ok is before


def test_disabled_makes_no_ring() -> None:
    """The switch is for sandboxes that kill: not even the probe may try."""
    run_child(
        """
        from helpers.seccomp import SECCOMP_RET_KILL_PROCESS, refuse_io_uring
        refuse_io_uring(0, action=SECCOMP_RET_KILL_PROCESS)
        import uring_rs
        assert not uring_rs.probe().ok
        """,
        env={"URING_RS_DISABLE": "1"},
    )


def test_a_failing_probe_is_an_answer() -> None:
    run_child(
        """
        import sys, types, uring_rs
        broken = types.ModuleType("uring_rs._uring")
        def probe():
            raise RuntimeError("no such luck")
        broken.probe = probe
        sys.modules["uring_rs._uring"] = uring_rs._uring = broken
        found = uring_rs.probe()
        assert not found.ok and "no such luck" in found.reason, found
        broken.probe = dict  # an answer without the facts
        assert not uring_rs.probe().ok
        """
    )


def test_another_platform() -> None:
    """No compiled module and no Linux: the names exist, and say that it is the platform."""
    run_child(
        """
        import sys
        sys.modules["uring_rs._uring"] = None
        import uring_rs
        sys.platform = "darwin"
        found = uring_rs.probe()
        assert not found.ok and "darwin" in found.reason, found
        for name in ("Ring", "Sqe", "BufferPool"):
            try:
                getattr(uring_rs, name)(8)
            except uring_rs.UringUnavailable as error:
                assert error.cause is uring_rs.Cause.UNSUPPORTED
                assert error.reason == found.reason
            else:
                raise AssertionError(name)
        """
    )

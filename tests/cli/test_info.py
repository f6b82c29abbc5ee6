"""`uring-rs info`: the state of io_uring here, for people and for programs."""

from __future__ import annotations

import json
import os
import platform
from typing import Any

import uring_rs


def test_for_people(uring: Any) -> None:
    out, said = uring.end(uring.start("info", COLUMNS="100"), notice=False)
    text = out.decode()
    assert not said
    assert len(text.splitlines()) <= 40, "more than one screen"
    assert max(map(len, text.splitlines())) <= 100
    assert platform.release() in text
    if uring.plain:
        assert "unavailable" in text
        assert "disabled by URING_RS_DISABLE" in text
        assert "unset URING_RS_DISABLE" in text
        assert "backend      threads" in text
        return
    assert "backend      io_uring" in text
    found = uring_rs.probe()
    words = text.split()
    assert "unavailable" not in words
    assert set(found.ops) <= set(words)
    names = [member.name for member in uring_rs.Features if member in found.features]
    assert set(names) <= set(words)
    assert "[5.6]" in words


def test_for_programs(uring: Any) -> None:
    out, said = uring.end(uring.start("info", "--json"), notice=False)
    assert not said
    told = json.loads(out)
    found = uring_rs.probe()
    assert told["version"] == uring_rs.__version__
    assert told["ok"] is not uring.plain
    assert told["kernel"] == os.uname().release
    assert told["backend"] == ("threads" if uring.plain else "io_uring")
    if uring.plain:
        assert told["cause"] == "disabled"
        assert told["operations"] == []
        return
    assert (told["reason"], told["cause"], told["errno"]) == ("", "", None)
    assert [entry["name"] for entry in told["operations"]] == list(found.ops)
    since = {entry["name"]: entry["since"] for entry in told["operations"]}
    assert since["READ"] == "5.6"
    assert told["environment"]["kernel"] == os.uname().release


def test_version(uring: Any) -> None:
    out, _ = uring.end(uring.start("--version"), notice=False)
    assert out.decode().split() == ["uring-rs", uring_rs.__version__]

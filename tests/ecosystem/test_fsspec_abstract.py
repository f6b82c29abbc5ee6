"""fsspec's own tests for file systems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.tests import abstract

from uring_rs.fsspec import UringFileSystem


class Fixtures(abstract.AbstractFixtures):
    """What the tests need to know of this file system."""

    @pytest.fixture
    def fs(self) -> UringFileSystem:
        return UringFileSystem(auto_mkdir=True)

    @pytest.fixture
    def fs_path(self, tmp_path: Path) -> str:
        return str(tmp_path / "remote")

    @pytest.fixture
    def fs_sanitize_path(self) -> Callable[[str], str]:
        return UringFileSystem._strip_protocol


class TestCopy(abstract.AbstractCopyTests, Fixtures):
    pass


class TestGet(abstract.AbstractGetTests, Fixtures):
    pass


class TestPut(abstract.AbstractPutTests, Fixtures):
    pass


class TestPipe(abstract.AbstractPipeTests, Fixtures):
    pass


class TestOpen(abstract.AbstractOpenTests, Fixtures):
    pass

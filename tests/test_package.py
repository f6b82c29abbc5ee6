"""The package as a whole: its public names, its documentation, its import on any host."""

from __future__ import annotations

import inspect
import re
import types

import pytest

import uring_rs
from helpers.child import run_child
from helpers.readme import ROOT

PUBLIC = {
    # the ring and what it hands out
    "Ring",
    "Request",
    "Completion",
    "Sqe",
    "BufferPool",
    "FixedBuffer",
    "SimKernel",
    # what is here
    "Availability",
    "is_supported",
    "probe",
}


def names() -> list[str]:
    """The public names that are objects of our own."""
    return sorted(set(uring_rs.__all__) - {"__version__"})


def test_all_is_sorted_and_without_doubles() -> None:
    assert len(set(uring_rs.__all__)) == len(uring_rs.__all__)


def test_all_is_what_dir_shows() -> None:
    shown = {name for name in dir(uring_rs) if not name.startswith("_")}
    modules = {name for name in shown if isinstance(getattr(uring_rs, name), types.ModuleType)}
    assert shown - modules == set(names()) - modules


def test_all_has_the_ring_and_every_exception_and_flag() -> None:
    public = set(uring_rs.__all__)
    assert public >= PUBLIC
    assert "__version__" in public
    for module in (uring_rs.errors, uring_rs.flags):
        exported = set(module.__all__)
        assert exported <= public, f"{module.__name__}: {sorted(exported - public)}"
        for name in exported:
            assert getattr(uring_rs, name) is getattr(module, name)


@pytest.mark.parametrize("name", names())
def test_public_object_is_documented(name: str) -> None:
    documented = getattr(uring_rs, name)
    doc = inspect.getdoc(documented)
    assert doc, f"{name} has no docstring"
    if inspect.isclass(documented):
        # An inherited docstring (that of int, of OSError) tells nothing about this class.
        assert documented.__dict__.get("__doc__"), f"{name} has only an inherited docstring"
        for member, value in vars(documented).items():
            if not member.startswith("_") and (callable(value) or inspect.isdatadescriptor(value)):
                assert inspect.getdoc(getattr(documented, member)), f"{name}.{member}"


def test_public_objects_know_where_they_are_public() -> None:
    """What a traceback or help() shows is a module that the user may import from."""
    for name in names():
        module = getattr(getattr(uring_rs, name), "__module__", "uring_rs")
        if module.startswith("uring_rs"):
            assert not re.search(r"\._", module.removesuffix("._uring")), f"{name}: {module}"


def test_version_is_the_one_of_the_crate_and_of_the_changelog() -> None:
    cargo = (ROOT / "Cargo.toml").read_text()
    found = re.search(r'^version = "(.+)"$', cargo, re.MULTILINE)
    assert found
    assert uring_rs.__version__ == found[1]
    assert re.search(rf"^## .*\b{re.escape(found[1])}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_types_are_shipped() -> None:
    assert uring_rs.__file__ is not None
    files = {path.name for path in (ROOT / "python" / "uring_rs").iterdir()}
    assert {"py.typed", "_uring.pyi"} <= files


@pytest.mark.parametrize("leaf", ["errors", "flags"])
def test_leaves_import_nothing_of_the_package(leaf: str) -> None:
    run_child(
        f"""
        import importlib.util, sys
        found = importlib.util.find_spec("uring_rs").submodule_search_locations[0]
        spec = importlib.util.spec_from_file_location("leaf", f"{{found}}/{leaf}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["leaf"] = module
        spec.loader.exec_module(module)
        assert not [name for name in sys.modules if name.startswith("uring_rs")]
        """
    )


def test_import_where_the_compiled_module_cannot_load() -> None:
    """On a host it was not built for the package still imports, and says why it does nothing."""
    done = run_child(
        """
        import sys
        sys.modules["uring_rs._uring"] = None  # what an import of it meets: ImportError
        import uring_rs

        assert uring_rs.is_supported() is False
        found = uring_rs.probe()
        assert not found.ok and found.reason and found.hint
        print(found.reason)
        try:
            uring_rs.Ring(8)
        except uring_rs.UringUnavailable as error:
            assert error.reason == found.reason and error.hint == found.hint
        else:
            raise AssertionError("a ring without the compiled module")
        assert uring_rs.SqeFlags.IO_LINK and issubclass(uring_rs.UringError, OSError)
        """
    )
    assert "compiled" in done.stdout


def test_import_makes_no_system_call_on_a_ring() -> None:
    """A sandbox that kills on io_uring calls must survive the import."""
    run_child(
        """
        from helpers.seccomp import SECCOMP_RET_KILL_PROCESS, refuse_io_uring
        refuse_io_uring(0, action=SECCOMP_RET_KILL_PROCESS)
        import uring_rs
        uring_rs.Op.READ
        """
    )


def test_a_killing_sandbox_kills() -> None:
    """The control of the test above: the same filter ends a process that makes a ring."""
    done = run_child(
        """
        import uring_rs
        from helpers.seccomp import SECCOMP_RET_KILL_PROCESS, refuse_io_uring
        refuse_io_uring(0, action=SECCOMP_RET_KILL_PROCESS)
        uring_rs.Ring(8)
        """,
        expect=None,
        options=["-X", "faulthandler"],
    )
    assert done.returncode == -31  # SIGSYS

"""The version, which Cargo.toml alone states."""

from __future__ import annotations

__all__ = ["__version__"]


def _find() -> str:
    """From the compiled module if it says so, else from what the installer recorded."""
    try:
        from . import _uring
    except ImportError:
        compiled = None
    else:
        compiled = getattr(_uring, "__version__", None)
    if compiled is not None:
        return str(compiled)
    # Slow to import, so only here.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("uring_rs")
    except PackageNotFoundError:
        return "0+unknown"


__version__ = _find()

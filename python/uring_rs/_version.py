"""The version, which Cargo.toml alone states."""

from __future__ import annotations

__all__ = ["__version__"]


def _find() -> str:
    """From the compiled module; where there is none, from what the installer recorded."""
    try:
        from ._uring import __version__ as compiled
    except ImportError:
        # Slow to import, so only here.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("uring_rs")
        except PackageNotFoundError:
            return "0+unknown"
    return compiled


__version__ = _find()

"""What the tests share: children, refusing hosts, the README's commands."""

from helpers.child import run_child

__all__ = ["run_child"]

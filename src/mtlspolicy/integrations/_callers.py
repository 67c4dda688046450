"""Which modules have called the code that asks. For what belongs into tests, and decides nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

__all__ = ["called_from", "is_below"]


def called_from(packages: Iterable[str]) -> bool:
    """Return whether a module of *packages* is among the callers, on whose behalf a coroutine runs included."""
    frame = inspect.currentframe()
    while frame is not None:
        if is_below(frame.f_globals.get("__name__"), packages):
            return True
        frame = frame.f_back
    return False


def is_below(module: object, packages: Iterable[str]) -> bool:
    """Return whether *module* is the name of one of *packages*, or of a module in one."""
    return isinstance(module, str) and any(module == name or module.startswith(f"{name}.") for name in packages)

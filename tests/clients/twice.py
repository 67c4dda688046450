"""Asks once, or twice over one connection with something in between; for clients that block and those that wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Between: TypeAlias = Callable[[], object] | None


def twice(once: Callable[[], Any], between: Between) -> Any:
    """Return what the last question of *once* is answered with."""
    found = once()
    if between is None:
        return found
    between()
    return once()


async def twice_async(once: Callable[[], Awaitable[Any]], between: Between) -> Any:
    """Return the same of a coroutine."""
    found = await once()
    if between is None:
        return found
    between()
    return await once()

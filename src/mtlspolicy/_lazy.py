"""An attribute that is computed when it is first read, and kept. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - used as a decorator, like property
    """`functools.cached_property` without the lock that it takes up to Python 3.11, which costs more than most values.

    For pure functions of the instance alone: two threads may compute the value at once, and either result stays.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self.function = function
        self.name: str = function.__name__
        self.__doc__ = function.__doc__

    def __get__(self, instance: object | None, owner: type) -> T:
        """Return the value; the next read finds it in the instance and does not come here.

        On the class itself it is the descriptor, as for ``property``; no type says so, since nobody reads it there.
        """
        if instance is None:
            return cast("T", self)
        value = instance.__dict__[self.name] = self.function(instance)
        return value

"""What a source of facts is, and what it may return. Sources are only described and looked over here, never called."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeGuard, cast

from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError

__all__ = ["Answer", "Instant", "Source", "Terms", "instant_of", "is_async", "readable_sources"]

Source: TypeAlias = Callable[[Any], Any]
"""A function of a need's key, ``def`` or ``async def``, that returns the value (``None`` is a value: not there).

A callable is all that a source is. What a later source needs besides fits in without a second protocol: everything that
the answer depends on is in the key (so that flights and cache cannot mix two questions), and what a source knows about
its answer's age and life it says by returning an `Answer`. To say "not to be had" a source raises.

A callable object may have a method ``at_hand`` as well: it is given the key where nobody can wait, as in a handshake on
an event loop, and returns an `Answer` that costs no I/O to speak of, or ``None``.
"""
Instant: TypeAlias = "Callable[[Any], Answer | None]"
"""Such a method."""


class Answer:
    """A value that knows when it was obtained and how long it may be kept; plain values need none.

    Attributes:
        value: The fact's value.
        obtained_at: When it was obtained, aware, for sources with a store of their own; ``None``: by this very call.
        keep: Longest time to keep it, in seconds, for example of "the responder is down"; ``None``: as its need allows.
    """

    __slots__ = ("keep", "obtained_at", "value")

    def __init__(self, value: Any, *, obtained_at: datetime | None = None, keep: float | None = None) -> None:
        if obtained_at is not None and obtained_at.utcoffset() is None:
            raise ConfigurationError("obtained_at is naive: pass an aware datetime, for example datetime.now(UTC)")
        if keep is not None:
            _require_number("keep", keep, least=0)
        self.value: Any = value
        self.obtained_at: datetime | None = obtained_at
        self.keep: float | None = keep


class Terms(NamedTuple):
    """The bounds that a resolver works within; times in seconds."""

    deadline: float
    max_entries: int
    default_max_age: float
    negative_max_age: float
    max_pending: int

    def require(self) -> Terms:
        """Return these terms.

        Raises:
            ConfigurationError: A bound is not a finite number in its range; the message names it.
        """
        _require_number("deadline", self.deadline, above=0)
        _require_number("max_entries", self.max_entries, least=1)
        _require_number("default_max_age", self.default_max_age, least=0)
        _require_number("negative_max_age", self.negative_max_age, least=0)
        _require_number("max_pending", self.max_pending, least=1)
        return self


def readable_sources(sources: object) -> Mapping[str, Source]:
    """Return *sources* as an immutable mapping from the kind of a need to its source.

    Raises:
        ConfigurationError: It is empty, a kind is not text, or a source is not a plain or async function.
    """
    if not _is_mapping(sources) or not sources:
        raise ConfigurationError(
            "a Resolver takes at least one source by kind: Resolver({'partner.enrolled': fetch_row})",
            code="resolver.sources",
        )
    for kind, source in sources.items():
        if not isinstance(kind, str) or not kind:
            raise ConfigurationError(f"the kind {kind!r} is not the text of a Need's kind", code="resolver.sources")
        call = inspect.unwrap(source) if callable(source) else source
        if not callable(source) or inspect.isclass(source):
            reason = "is not a function"
        elif inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
            reason = "is a generator: it would yield an iterator and no value"
        else:
            continue
        raise ConfigurationError(
            f"the source for {quoted(kind)} {reason}; give a def or async def that takes the key and returns the value",
            code="resolver.sources",
        )
    return MappingProxyType(dict(sources))


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def is_async(source: Source) -> bool:
    """Return whether calling *source* gives a coroutine: async functions, partials of them, objects called so."""
    call = getattr(source, "__call__", None)  # noqa: B004 - wanted is the method itself, to see whether it is async
    return inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(call)


def instant_of(source: Source) -> Instant | None:
    """Return the method of *source* that answers at once; ``None``: it has none."""
    found: Any = getattr(source, "at_hand", None)
    return cast("Instant", found) if callable(found) else None


def _require_number(name: str, value: object, *, least: float = -math.inf, above: float = -math.inf) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and math.isfinite(value) and value >= least and value > above:  # type: ignore[operator,arg-type]
        return
    rule = f"at least {least:g}" if least > above else f"more than {above:g}"
    raise ConfigurationError(f"{name}={value!r}: it must be a finite number, {rule}", code="resolver.limits")

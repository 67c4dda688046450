"""predicate and lookup: a function of the user's own as a policy, without I/O and with a fact from outside.

A function permits on exactly ``True`` and denies on exactly ``False``. Whatever else it returns or raises is
INDETERMINATE, so that a forgotten ``return``, an ``async def`` or a truthy value admits nobody, under ``~`` either.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

from mtlspolicy._codes import CODES
from mtlspolicy._decision import Decision, require_code
from mtlspolicy._evidence import Evidence, Need
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, failed
from mtlspolicy._text import escape, quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import require_duration

__all__ = ["lookup", "predicate"]

Question: TypeAlias = Callable[[Evidence], Any]
"""Takes the evidence, returns ``True`` or ``False``."""
Reading: TypeAlias = Callable[[Any, Evidence], Any]
"""Takes the fact's value and the evidence, returns ``True`` or ``False``."""


def predicate(name: str, *, identifies: bool = False) -> Callable[[Question], Policy]:
    """Return a decorator that makes a policy of a function of the evidence.

    The function permits on exactly ``True`` and denies on exactly ``False``, with *name* as the reason code. It must do
    no I/O: what it needs from outside is for `lookup`.

    Args:
        name: Reason code, ``area.fact``; not one of the library's own.
        identifies: Whether a PERMIT says who the peer is.

    Raises:
        ConfigurationError: *name* is no such code, or what is decorated is no plain function of one argument.
    """
    what = f"policies.predicate({name!r})"
    _require_name(name, what)

    def decorate(function: Question) -> Policy:
        _require_plain(function, what, arguments=1)
        return Predicate(name, function, bool(identifies))

    return decorate


def lookup(
    kind: str,
    *,
    key: Callable[[CertificationPath], Hashable],
    max_age: timedelta | None = None,
    identifies: bool = False,
) -> Callable[[Reading], Policy]:
    """Return a decorator that makes a policy of a function of a looked-up fact and the evidence.

    The fact is what the `Resolver` has for *kind* and the key; where there is none the answer is INDETERMINATE
    ``fact.missing`` and the function is not called. ``None`` is a fact too: looked up, and not there.

    Args:
        kind: Which source answers, ``area.fact``.
        key: Takes the path, returns what is asked; equal keys share one answer.
        max_age: Oldest answer that is accepted, or ``None`` for any age.
        identifies: Whether a PERMIT says who the peer is.

    Raises:
        ConfigurationError: *kind* is not of that form, *max_age* is not positive, or *key* or what is decorated is no
            plain function of one and two arguments.
    """
    what = f"policies.lookup({kind!r})"
    _require_name(kind, what)
    _require_plain(key, f"the key of {what}", arguments=1)
    if max_age is not None:
        require_duration(max_age, f"{what}: max_age")

    def decorate(function: Reading) -> Policy:
        _require_plain(function, what, arguments=2)
        return LookUp(kind, key, max_age, function, bool(identifies))

    return decorate


class _Own(Policy):
    """Shared by both: a function of the user's, shown by its name and explained by the first line of its docstring."""

    __slots__ = ()

    function: Callable[..., Any]

    def __repr__(self) -> str:
        return _name(self.function)

    def _answer(self, result: Any, permit: str, deny: str, detail: str) -> Decision:
        if result is True:
            return self.permit(permit, detail)
        if result is False:
            return self.deny(deny, detail)
        if inspect.iscoroutine(result):
            result.close()  # it never runs, and must not complain about that from somewhere else
        kind = escape(type(result).__name__, 80)
        return self.indeterminate("policy.bad-result", f"{self!r} returned {kind}, neither True nor False")


@dataclass(frozen=True, slots=True, repr=False)
class Predicate(_Own):
    """A function of the evidence as a policy; made by `predicate`."""

    name: str
    function: Question
    identifies: bool  # type: ignore[misc]  # a class attribute of other leaves, an argument of the decorator here

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return what the function says of *evidence*."""
        try:
            result = self.function(evidence)
        except Exception as error:  # noqa: BLE001 - whatever the function raises, the answer is "not known"
            return failed(self, error)
        return self._answer(result, self.name, self.name, _about(self.function))


@dataclass(frozen=True, slots=True, repr=False)
class LookUp(_Own):
    """A function of a looked-up fact and the evidence as a policy; made by `lookup`."""

    kind: str
    key: Callable[[CertificationPath], Hashable]
    max_age: timedelta | None
    function: Reading
    identifies: bool  # type: ignore[misc]  # a class attribute of other leaves, an argument of the decorator here

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return the one need, or none where the key function fails, which `evaluate` reports."""
        try:
            return (self._need(path),)
        except Exception:  # noqa: BLE001 - asked for needs before anybody decides
            return ()

    def _need(self, path: CertificationPath) -> Need:
        need = Need(self.kind, self.key(path), self.max_age)
        hash(need)
        return need

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return what the function says of the fact, or INDETERMINATE where there is none that is fresh enough."""
        try:
            need = self._need(evidence.path)
            fact = evidence.fact(need)
            if fact is None:
                return self.indeterminate("fact.missing", f"{self.kind} is not known for this peer", needs=(need,))
            result = self.function(fact.value, evidence)
        except Exception as error:  # noqa: BLE001 - whatever the functions raise, the answer is "not known"
            return failed(self, error)
        absent = "looked up and not there; " if fact.value is None else ""
        return self._answer(result, "fact.found", "fact.refused", f"{self.kind}: {absent}{_about(self.function)}")


def _require_name(name: object, what: str) -> None:
    if callable(name):
        raise ConfigurationError(
            f"a name is missing: write @{what.partition('(')[0]}('area.fact', ...) above the function"
        )
    require_code(name)  # type: ignore[arg-type]  # it says so itself where this is no text
    if name in CODES:
        raise ConfigurationError(
            f"{what}: that code is the library's own, and has its meaning and answers: choose another"
        )


def _require_plain(function: object, what: str, *, arguments: int) -> None:
    """Raise `ConfigurationError` unless *function* is hashable, takes *arguments* and answers when it is called."""
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(f"{what} takes a function, not {quoted(repr(function), 80)}")
    if _answers_later(function):
        raise ConfigurationError(
            f"{what}: {_name(function)} is a coroutine or generator function, whose answer comes too late; evaluation "
            "does no I/O: look things up with policies.lookup and a Resolver"
        )
    try:
        hash(function)
        inspect.signature(function).bind(*[None] * arguments)
    except ValueError:
        return  # a built-in without a signature
    except TypeError as error:
        counted = "one argument" if arguments == 1 else f"{arguments} arguments"
        raise ConfigurationError(f"{what}: {_name(function)} must be hashable and take {counted}: {error}") from None


def _answers_later(function: object) -> bool:
    """Return whether calling *function* gives a coroutine or generator instead of an answer."""
    while isinstance(function, partial):
        function = function.func
    called = function if inspect.isroutine(function) else type(function).__call__
    return any(
        kind(one)
        for one in (function, called)
        for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    )


def _name(function: object) -> str:
    while isinstance(function, partial):
        function = function.func
    return escape(str(getattr(function, "__name__", type(function).__name__)), 80)


def _about(function: object) -> str:
    """Return the first line of the function's docstring, or its name."""
    documentation = inspect.isroutine(function) and function.__doc__
    return documentation.strip().partition("\n")[0] if isinstance(documentation, str) else _name(function)

"""What every policy with a list shares: entries parsed when it is built, or a source that is asked each time.

A source is a callable that returns the current list. One that raises, or returns something else or nothing, leaves the
clause
INDETERMINATE: it never means "all" or "none".
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, Generic, Self, TypeAlias, TypeVar, cast

from mtlspolicy._policy import Policy
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import PathInput, read_list

T = TypeVar("T")

Source: TypeAlias = "Callable[[], object]"
"""Returns the current list: a policy of the same kind, used as it is, or a collection of entries, parsed each time."""
SHOWN: Final = 4
"""Most entries that a ``repr`` repeats."""


class ListPolicy(Policy, Generic[T]):
    """A policy that compares something with the entries of a list, in constant time however long it is."""

    __slots__ = ()

    entries: frozenset[T] | Source

    @classmethod
    @abc.abstractmethod
    def _entry(cls, value: Any) -> T:
        """Return the entry for what a caller gave; raise `ConfigurationError` where it is none."""

    @classmethod
    @abc.abstractmethod
    def _shown(cls, entry: T) -> str:
        """Return the entry as a ``repr`` and a message show it."""

    @property
    def _reads_path_only(self) -> bool:  # type: ignore[override]  # a live list changes, so this depends on the instance
        return not callable(self.entries)

    @property
    def _is_live(self) -> bool:
        return callable(self.entries)

    def _sources_now(self) -> tuple[object, ...]:
        return (self._current(),) if callable(self.entries) else ()

    @classmethod
    def _holding(cls, entries: frozenset[T], **others: object) -> Self:
        """Return a policy of parsed *entries*, without parsing them again."""
        made = cls.__new__(cls)
        object.__setattr__(made, "entries", entries)
        for name, value in others.items():
            object.__setattr__(made, name, value)
        return made

    @classmethod
    def _gathered(cls, values: tuple[object, ...]) -> frozenset[T] | Source:
        """Return the entries for a constructor's arguments, or the source that is the only one of them."""
        first = values[0] if len(values) == 1 else None
        return first if callable(first) and not isinstance(first, type) else cls._parsed(values)

    @classmethod
    def _parsed(cls, values: Iterable[object]) -> frozenset[T]:
        entries = frozenset(map(cls._entry, values))
        if not entries:
            raise ConfigurationError(
                f"{cls.__name__} without an entry: an empty list is refused, not read as 'all'; name at least one, or "
                "say policies.Anyone() if any peer is meant"
            )
        return entries

    def _current(self) -> frozenset[T]:
        """Return the entries as they are now.

        Raises:
            ConfigurationError: The source returned something else; what it raises goes through, to `decide`.
        """
        held = self.entries
        return self._asked(held()) if callable(held) else held

    def _asked(self, value: object) -> frozenset[T]:
        kind = type(self)
        if isinstance(value, kind):
            if callable(value.entries) or not self._alike(value):
                raise ConfigurationError(
                    f"the source of {self!r} returned {value!r}, whose entries mean something else"
                )
            return value.entries
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Collection):
            raise ConfigurationError(f"the source of {self!r} returned {type(value).__name__}, not a list of entries")
        return self._parsed(cast("Collection[object]", value))

    def _alike(self, other: Any) -> bool:
        """Return whether the entries of *other*, of this very kind, mean the same as those of this policy."""
        del other
        return True

    def _listed(self) -> str:
        """Return the entries for a ``repr``: each, where they are few, else their number."""
        held = self.entries
        if callable(held):
            return f"<{escape(getattr(held, '__name__', type(held).__name__), 80)}>"
        if len(held) > SHOWN:
            return f"{len(held)} entries"
        return ", ".join(sorted(map(self._shown, held)))

    def _arguments(self) -> str:
        return self._listed()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments()})"


class TextListPolicy(ListPolicy[T]):
    """A list policy whose entries have a text form, and nothing besides the list."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return a policy of the one entry that *text* writes.

        Raises:
            ConfigurationError: *text* is no such entry.
        """
        return cls._holding(frozenset({cls._entry(text)}))

    @classmethod
    def from_list_file(cls, path: PathInput) -> Self:
        """Return a policy of the entries in the file *path*: UTF-8, one a line, ``#`` begins a comment.

        Raises:
            ConfigurationError: The file cannot be read, has no entry, or one bad entry, whose line is named.
        """
        return cls._holding(read_list(path, cls.__name__, cls._entry))

"""CommonName: the subject's one common name, exactly or by a pattern. It says nothing about who may assert that name.

A common name is free text that no name constraint reaches: under a CA with name constraints it counts only where it is
a DNS name inside them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Self

from mtlspolicy._constraints import common_name_objection
from mtlspolicy._decision import Verdict
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._patterns import SUBJECT_LIMIT, SafePattern
from mtlspolicy._reference import Match, common_name_doubt, match_texts
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import CertificateInput
from mtlspolicy.policies._lists import Source
from mtlspolicy.policies._names import TextNamePolicy, names_in, require_text

__all__ = ["CommonName"]

_PERMIT: Final = Verdict.PERMIT


@dataclass(frozen=True, slots=True, init=False, repr=False)
class CommonName(TextNamePolicy[str]):
    """The subject has exactly one common name, and it is one of those expected, code point by code point.

    Several common names are INDETERMINATE (``name.ambiguous``), and so is none.

    Args:
        names: The names; or one collection of them; or one source, a callable that returns the current ones.
        allow_unconstrained: Whether a CA that has name constraints may vouch for a common name that they do not reach.

    Raises:
        ConfigurationError: No name, or one that no certificate could have.
    """

    entries: frozenset[str] | Source
    allow_unconstrained: bool
    pattern: SafePattern | None
    _defaults: ClassVar[Mapping[str, object]] = MappingProxyType({"pattern": None})

    def __init__(self, *names: str | Collection[str] | Source, allow_unconstrained: bool = False) -> None:
        object.__setattr__(self, "entries", self._entries_of(names))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)
        object.__setattr__(self, "pattern", None)

    @classmethod
    def matching(
        cls, pattern: str, *, casefold: Literal["ascii"] | None = None, allow_unconstrained: bool = False
    ) -> Self:
        r"""Return a policy for names that *pattern* matches as a whole: ``[0-9A-F]{16}``.

        Args:
            pattern: Literals, classes, groups, ``|`` and counts, as in `re` with ``re.ASCII``: ``\d`` is 0 to 9. Runs
                in linear time; a name of more than 256 characters is INDETERMINATE.
            casefold: ``"ascii"`` lets ASCII letters match in either case. No other letter is ever folded.
            allow_unconstrained: As for the constructor.

        Raises:
            ConfigurationError: The pattern cannot be parsed, is not regular, or matches the empty text or every name.
        """
        if casefold not in (None, "ascii"):
            raise ConfigurationError(
                f"casefold={casefold!r}: None or 'ascii'; other folding takes distinct names for one"
            )
        compiled = SafePattern(pattern, ascii_casefold=casefold == "ascii")
        return cls._holding(frozenset(), pattern=compiled, allow_unconstrained=allow_unconstrained)

    @classmethod
    def of(cls, *certificates: CertificateInput, allow_unconstrained: bool = False) -> Self:
        """Return a policy for the one common name of each of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A certificate has none, or several.
        """
        found = [names_in(one, cls.__name__, lambda parsed: parsed.names.common_names) for one in certificates]
        if any(len(names) > 1 for names in found):
            raise ConfigurationError(
                f"{cls.__name__}.of: a certificate with several common names: nobody says which is meant"
            )
        return cls([name for names in found for name in names], allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> str:
        if value == "*":
            raise ConfigurationError(
                f"{cls.__name__}('*') is that one character; say policies.Anyone() if any peer is meant"
            )
        return require_text(value, cls.__name__)

    @classmethod
    def _shown(cls, entry: str) -> str:
        return quoted(entry)

    def _alike(self, other: Self) -> bool:
        return other.pattern == self.pattern

    def _match(self, path: CertificationPath) -> Match:
        names = path.end_entity.names
        if len(names.common_names) != 1 or names.unreadable:
            doubt = common_name_doubt(names)
            if doubt is not None:
                return doubt
        name = names.common_names[0]
        if self.pattern is None:
            held = self.entries
            wanted = self._current() if callable(held) else held
            if name in wanted:
                return _PERMIT, "name.match", quoted(name)
            return match_texts("common name", wanted, names.common_names, unreadable=False)
        if len(name) > SUBJECT_LIMIT:
            detail = f"a common name of {len(name)} characters; patterns are run on at most {SUBJECT_LIMIT}"
            return Verdict.INDETERMINATE, "name.too-long", detail
        if self.pattern.matches(name):
            return Verdict.PERMIT, "name.match", quoted(name)
        return (
            Verdict.DENY,
            "name.mismatch",
            f"expected a match of {quoted(self.pattern.text)}, presented {quoted(name)}",
        )

    def _objection(self, path: CertificationPath) -> str | None:
        if path.__dict__.get("name_constraints") == ():
            return None  # path validation has looked, and there are none
        name = path.end_entity.names.common_names[0]
        return common_name_objection(path, name, allow_unconstrained=self.allow_unconstrained)

    def __repr__(self) -> str:
        if self.pattern is None:
            return f"{type(self).__name__}({self._listed()}{self._options})"
        folded = ", casefold='ascii'" if self.pattern.ascii_casefold else ""
        return f"{type(self).__name__}.matching({quoted(self.pattern.text)}{folded}{self._options})"

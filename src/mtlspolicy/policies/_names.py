"""What every policy on names shares: a list of expected names, three answers, and the name constraints of the path.

PERMIT where a readable name matches, DENY only where all names of the kind were read and none does, INDETERMINATE else;
so a name that is absent, unreadable, ambiguous, or not the CA's to give, is not admitted under ``~`` either.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Self, TypeVar, cast

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict, decision_of
from mtlspolicy._evidence import Evidence
from mtlspolicy._identifiers import is_hostile
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import Match
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies._input import CertificateInput, PathInput, certificate_of, read_list
from mtlspolicy.policies._lists import ListPolicy, Source

T = TypeVar("T")
_INDETERMINATE: Final = Verdict.INDETERMINATE


class NamePolicy(ListPolicy[T]):
    """A policy that compares names of the end entity with a list of expected ones. It identifies.

    Any anchor of the store may vouch for any name, so in a store of several anchors a name alone does not say whose
    peer it is: join it with ``& policies.IssuerPin(...)``.
    """

    __slots__ = ()

    identifies: ClassVar[bool] = True
    allow_unconstrained: bool
    _defaults: ClassVar[Mapping[str, object]] = MappingProxyType({})
    """Fields of a subclass that `_holding` sets where it is not told otherwise."""

    @classmethod
    def _holding(cls, entries: frozenset[T], **others: object) -> Self:
        return super()._holding(entries, **{**cls._defaults, **others})

    @abc.abstractmethod
    def _match(self, path: CertificationPath) -> Match:
        """Return the answer, name constraints aside; raise `MalformedEvidence` for what cannot be read."""

    @abc.abstractmethod
    def _objection(self, path: CertificationPath) -> str | None:
        """Return why the name constraints of *path* keep the names from counting, or ``None`` (see `_constraints`)."""

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether the end entity has one of the expected names, and its CAs may vouch for it."""
        path = evidence.path
        try:
            verdict, code, detail = self._match(path)
            objection = None if verdict is _INDETERMINATE else self._objection(path)
        except MalformedEvidence as error:
            return self.indeterminate("name.unreadable", str(error))
        if objection is not None:
            return self.indeterminate("name.constrained", objection)
        return decision_of(verdict, code, detail, self)

    @classmethod
    def _entries_of(cls, values: tuple[object, ...]) -> frozenset[T] | Source:
        """Return the entries of a constructor's arguments: names, one collection of names, or one source."""
        if len(values) == 1 and isinstance(values[0], Collection) and not isinstance(values[0], str | bytes):
            return cls._parsed(cast("Collection[object]", values[0]))
        return cls._gathered(values)

    @property
    def _options(self) -> str:
        """What a ``repr`` says after the entries."""
        return ", allow_unconstrained=True" if self.allow_unconstrained else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._listed()}{self._options})"


class TextNamePolicy(NamePolicy[T]):
    """A name policy whose entries have a text form, and nothing besides the list."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, *, allow_unconstrained: bool = False) -> Self:
        """Return a policy of the one name that *text* writes.

        Raises:
            ConfigurationError: *text* is no such name.
        """
        return cls._holding(frozenset({cls._entry(text)}), allow_unconstrained=allow_unconstrained)

    @classmethod
    def from_list_file(cls, path: PathInput, *, allow_unconstrained: bool = False) -> Self:
        """Return a policy of the names in the file *path*: UTF-8, one a line, ``#`` begins a comment.

        Raises:
            ConfigurationError: The file cannot be read, has no entry, or one bad entry, whose line is named.
        """
        return cls._holding(read_list(path, cls.__name__, cls._entry), allow_unconstrained=allow_unconstrained)


def require_str(value: object, what: str) -> str:
    """Return *value* if it is text.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, str):
        return value
    raise ConfigurationError(
        f"{what} takes text, not {type(value).__name__}: {what}.of(certificate) reads a certificate"
    )


def require_text(value: object, what: str) -> str:
    """Return *value* if it is text that a certificate could hold and a person could mean.

    Raises:
        ConfigurationError: No text, empty, with white space around it, or with control or format characters.
    """
    value = require_str(value, what)
    if not value:
        raise ConfigurationError(f"{what}: an empty name names nobody; leave it out")
    if value != value.strip():
        raise ConfigurationError(f"{what} {value!r} has white space around it, which no certificate has: leave it out")
    if is_hostile(value):
        raise ConfigurationError(f"{what} {value!r} has control or format characters, which no valid certificate has")
    return value


def names_in(
    certificate: CertificateInput, what: str, read: Callable[[ParsedCertificate], Collection[object]]
) -> tuple[str, ...]:
    """Return as text the names that *read* finds in *certificate*, for ``X.of(certificate)``.

    Raises:
        ConfigurationError: It cannot be read, or has no such name.
    """
    parsed = certificate_of(certificate, f"{what}.of")
    try:
        found = tuple(str(name) for name in read(parsed))
    except MalformedEvidence as error:
        raise ConfigurationError(f"{what}.of: {error}") from None
    if not found:
        raise ConfigurationError(f"{what}.of: {parsed} has no such name: give another certificate, or write the name")
    return found

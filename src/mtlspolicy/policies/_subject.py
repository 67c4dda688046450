"""SubjectDN and SubjectAttribute: the subject's distinguished name, whole or one attribute of it, as parsed RDNs.

No printed name is ever searched. Values are compared code point by code point; what RFC 4518 would fold stays distinct.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from mtlspolicy._constraints import subject_objection
from mtlspolicy._decision import Verdict
from mtlspolicy._names import COMMON_NAME, SHORT_NAMES, DistinguishedName, attribute_oid
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._reference import Match, absent, match_texts
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import CertificateInput, PathInput, read_list
from mtlspolicy.policies._lists import SHOWN, Source
from mtlspolicy.policies._names import NamePolicy, TextNamePolicy, names_in, require_str, require_text

__all__ = ["SubjectAttribute", "SubjectDN"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SubjectDN(TextNamePolicy[DistinguishedName]):
    """The subject is one of the expected names: same RDNs in the same order, each the same set of types and values.

    A subject with a value that cannot be read, and one that equals an expected name only with its RDNs reversed, are
    INDETERMINATE.

    Args:
        names: RFC 4514 text, most specific RDN first (``CN=client,O=Example,C=DE``), attribute types by name in any
            case or by OID; or one collection of such texts; or one source, a callable that returns the current ones.
        allow_unconstrained: Whether a CA that has name constraints may vouch for a subject that they do not reach.

    Raises:
        ConfigurationError: No name, or text that is not RFC 4514.
    """

    entries: frozenset[DistinguishedName] | Source
    allow_unconstrained: bool

    def __init__(
        self,
        *names: str | DistinguishedName | Collection[str | DistinguishedName] | Source,
        allow_unconstrained: bool = False,
    ) -> None:
        object.__setattr__(self, "entries", self._entries_of(names))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)

    @classmethod
    def of(cls, *certificates: CertificateInput, allow_unconstrained: bool = False) -> Self:
        """Return a policy for the subject of each of *certificates* (PEM or DER bytes, or parsed).

        Raises:
            ConfigurationError: A subject is empty, or has a value that cannot be read.
        """
        found = [name for one in certificates for name in _subjects(one, cls.__name__)]
        return cls(found, allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> DistinguishedName:
        name = (
            value if isinstance(value, DistinguishedName) else DistinguishedName.parse(require_str(value, cls.__name__))
        )
        if not name.rdns or not name.readable:
            raise ConfigurationError(
                f"{cls.__name__} {name}: an empty name, or a value that cannot be read, names nobody"
            )
        return name

    @classmethod
    def _shown(cls, entry: DistinguishedName) -> str:
        return quoted(entry.rfc4514())

    def _match(self, path: CertificationPath) -> Match:
        wanted = self._current()
        subject = path.end_entity.subject
        if not subject.rdns:
            return absent("subject")
        if subject in wanted:
            return Verdict.PERMIT, "name.match", str(subject)
        if not subject.readable:
            return Verdict.INDETERMINATE, "name.unreadable", f"the subject {subject} has a value that cannot be read"
        if subject.reversed() in wanted:
            return (
                Verdict.INDETERMINATE,
                "name.reversed",
                f"presented {subject}: the expected text has the RDNs in reverse; write it as printed here",
            )
        expected = " or ".join(sorted(map(str, wanted))) if len(wanted) <= SHOWN else f"one of {len(wanted)}"
        return Verdict.DENY, "name.mismatch", f"expected {expected}, presented {subject}"

    def _objection(self, path: CertificationPath) -> str | None:
        return subject_objection(path, whole=True, allow_unconstrained=self.allow_unconstrained)


def _subjects(certificate: CertificateInput, what: str) -> tuple[str, ...]:
    def readable(name: DistinguishedName) -> tuple[str, ...]:
        return (name.rfc4514(),) if name.rdns and name.readable else ()

    return names_in(certificate, what, lambda parsed: readable(parsed.subject))


@dataclass(frozen=True, slots=True, init=False, repr=False)
class SubjectAttribute(NamePolicy[str]):
    """The subject has an attribute of a type with one of the expected values, code point by code point.

    Several values of one type are usual (OU, DC): one readable value that is expected permits, DENY needs all to be
    read. For the common name, where several are a doubt, there is `CommonName`.

    Args:
        attribute: The type by name (``O``, ``organizationIdentifier``) in any case, or by dotted OID.
        values: The values; or one collection of them; or one source, a callable that returns the current ones.
        allow_unconstrained: Whether a CA that has name constraints may vouch for attributes, which they do not reach.

    Raises:
        ConfigurationError: The type is not known or is CN, or there is no value.
    """

    entries: frozenset[str] | Source
    allow_unconstrained: bool
    attribute: str
    """Dotted OID of the attribute type."""

    def __init__(
        self, attribute: str, *values: str | Collection[str] | Source, allow_unconstrained: bool = False
    ) -> None:
        object.__setattr__(self, "attribute", _attribute_type(attribute))
        object.__setattr__(self, "entries", self._entries_of(values))
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)

    @classmethod
    def of(cls, certificate: CertificateInput, attribute: str, *, allow_unconstrained: bool = False) -> Self:
        """Return a policy for every value of the type *attribute* in the subject of *certificate*.

        Raises:
            ConfigurationError: It has none that can be read.
        """
        oid = _attribute_type(attribute)
        values = names_in(
            certificate, cls.__name__, lambda parsed: [text for text in parsed.subject.values(oid) if text is not None]
        )
        return cls(attribute, values, allow_unconstrained=allow_unconstrained)

    @classmethod
    def parse(cls, text: str, *, allow_unconstrained: bool = False) -> Self:
        """Return a policy for the one attribute that *text* writes: ``O=Example`` (RFC 4514).

        Raises:
            ConfigurationError: *text* is no attribute, or more than one.
        """
        name = DistinguishedName.parse(require_str(text, cls.__name__))
        attributes = [attribute for rdn in name.rdns for attribute in rdn]
        if len(attributes) != 1:
            raise ConfigurationError(
                f"{cls.__name__} {text!r} has several attributes: join policies by &, or use SubjectDN"
            )
        oid, value = attributes[0]
        return cls(oid, str(value), allow_unconstrained=allow_unconstrained)

    @classmethod
    def from_list_file(cls, path: PathInput, attribute: str, *, allow_unconstrained: bool = False) -> Self:
        """Return a policy of the values in the file *path*: UTF-8, one a line, ``#`` begins a comment.

        Raises:
            ConfigurationError: The file cannot be read, has no entry, or one bad entry, whose line is named.
        """
        entries = read_list(path, cls.__name__, cls._entry)
        return cls._holding(entries, attribute=_attribute_type(attribute), allow_unconstrained=allow_unconstrained)

    @classmethod
    def _entry(cls, value: object) -> str:
        return require_text(value, cls.__name__)

    @classmethod
    def _shown(cls, entry: str) -> str:
        return quoted(entry)

    def _alike(self, other: Self) -> bool:
        return other.attribute == self.attribute

    @property
    def _type(self) -> str:
        return SHORT_NAMES.get(self.attribute, self.attribute)

    def _match(self, path: CertificationPath) -> Match:
        values = path.end_entity.subject.values(self.attribute)
        readable = tuple(value for value in values if value is not None)
        return match_texts(self._type, self._current(), readable, unreadable=len(readable) != len(values))

    def _objection(self, path: CertificationPath) -> str | None:
        return subject_objection(path, whole=False, allow_unconstrained=self.allow_unconstrained)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._type!r}, {self._listed()}{self._options})"


def _attribute_type(name: object) -> str:
    if not isinstance(name, str):
        raise ConfigurationError(
            f"SubjectAttribute takes an attribute type and values, as text, not {type(name).__name__}"
        )
    oid = attribute_oid(name)
    if oid == COMMON_NAME:
        raise ConfigurationError(
            "SubjectAttribute('CN', ...): use policies.CommonName, which refuses several common names"
        )
    return oid

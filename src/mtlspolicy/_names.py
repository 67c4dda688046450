"""Distinguished names: RFC 4514 text and DER, compared as parsed RDNs (RFC 5280, section 7.1, narrowed).

Two names are equal when they have the same RDNs in the same order, each a set of (type, value) with values equal code
point by code point. Deliberately not done: case folding, white space squeezing and the rest of RFC 4518.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mtlspolicy._der import OID, SEQUENCE, SET, element, elements, object_identifier
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

COMMON_NAME: Final = "2.5.4.3"
EMAIL_ADDRESS: Final = "1.2.840.113549.1.9.1"

SHORT_NAMES: Final = {
    COMMON_NAME: "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
    "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode", "2.5.4.41": "name", "2.5.4.42": "GN",
    "2.5.4.43": "initials", "2.5.4.44": "generationQualifier", "2.5.4.45": "x500UniqueIdentifier",
    "2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier",
    EMAIL_ADDRESS: "emailAddress", "0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
    "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionLocalityName",
    "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionStateOrProvinceName",
    "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionCountryName",
}  # fmt: skip
_ALIASES: Final = {
    "commonname": COMMON_NAME, "surname": "2.5.4.4", "countryname": "2.5.4.6", "localityname": "2.5.4.7",
    "stateorprovincename": "2.5.4.8", "s": "2.5.4.8", "streetaddress": "2.5.4.9", "organizationname": "2.5.4.10",
    "organizationalunitname": "2.5.4.11", "givenname": "2.5.4.42", "e": EMAIL_ADDRESS, "email": EMAIL_ADDRESS,
    "userid": "0.9.2342.19200300.100.1.1", "domaincomponent": "0.9.2342.19200300.100.1.25",
    "jurisdictionlocality": "1.3.6.1.4.1.311.60.2.1.1", "jurisdictionstate": "1.3.6.1.4.1.311.60.2.1.2",
    "jurisdictioncountry": "1.3.6.1.4.1.311.60.2.1.3",
}  # fmt: skip
_BY_NAME: Final = {short.lower(): oid for oid, short in SHORT_NAMES.items()} | _ALIASES
_X520: Final = b"\x06\x03\x55\x04"
"""OBJECT IDENTIFIER of the arc 2.5.4, up to its last arc: the attribute types of ITU-T X.520."""
_X520_NAMES: Final = tuple(f"2.5.4.{number}" for number in range(128))
_DOTTED: Final = re.compile(r"(?:oid\.)?([0-2](?:\.(?:0|[1-9][0-9]*))+)", re.ASCII | re.IGNORECASE)
_SPECIAL: Final = frozenset(',+"\\<>;=\0')
_ENCODINGS: Final = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii", 0x1E: "utf-16-be"}
"""UTF8String, PrintableString, IA5String, BMPString: the string types that are read; every other one is unreadable."""

Attribute = tuple[str, str | None]
"""Dotted OID and value; ``None`` for a value that cannot be read."""


def attribute_oid(name: str) -> str:
    """Return the dotted OID of an attribute type given by name, alias or OID, without regard to case.

    Raises:
        ConfigurationError: The name is not known.
    """
    dotted = _DOTTED.fullmatch(name)
    oid = dotted[1] if dotted else _BY_NAME.get(name.lower())
    if oid is None:
        raise ConfigurationError(
            f"attribute type {name!r} is not known: use its dotted OID or one of "
            + ", ".join(sorted(SHORT_NAMES.values()))
        )
    return oid


def decode_string(tag: int, content: bytes) -> str | None:
    """Return the text of a directory string, or ``None`` where its type is not read or its bytes are wrong for it."""
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        return None
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name as its RDNs in the order of the certificate (most general first), each a set of `Attribute`."""

    rdns: tuple[frozenset[Attribute], ...]

    @classmethod
    def from_der(cls, der: bytes) -> DistinguishedName:
        """Return the name whose DER is *der*.

        Raises:
            MalformedEvidence: *der* does not have the shape of a Name. A value of an unread type is ``None`` instead.
        """
        tag, start, end = element(der, 0, len(der))
        if tag != SEQUENCE or end != len(der):
            raise MalformedEvidence("a distinguished name that is no SEQUENCE, or something follows it")
        rdns: list[frozenset[Attribute]] = []
        while start < end:
            # one attribute of the arc 2.5.4, all of it in less than 128 bytes, as nearly all: read in a few steps
            if start + 11 <= end and der[start] == SET and der.startswith(_X520, start + 4):
                _, whole, sequence, part, _, _, _, _, number, kind, length = der[start : start + 11]
                stop = start + 11 + length
                if (
                    stop <= end and whole == length + 9 < 0x80 and part == length + 7 and sequence == SEQUENCE
                    and number < 0x80 and kind & 0x1F != 0x1F
                ):  # fmt: skip
                    rdns.append(frozenset(((_X520_NAMES[number], decode_string(kind, der[start + 11 : stop])),)))
                    start = stop
                    continue
            tag, at, start = element(der, start, end)
            rdns.append(_rdn(der, tag, at, start))
        return cls(tuple(rdns))

    @classmethod
    def parse(cls, text: str) -> DistinguishedName:
        """Return the name that *text* writes in RFC 4514 form (most specific first), attribute names in any case.

        Raises:
            ConfigurationError: Not RFC 4514, an unknown attribute type, or the empty name.
        """
        from mtlspolicy._rfc4514 import parse_rdns

        return cls(parse_rdns(text))

    @property
    def readable(self) -> bool:
        """Return whether every value could be read."""
        return all(value is not None for rdn in self.rdns for _, value in rdn)

    def values(self, oid: str) -> tuple[str | None, ...]:
        """Return every value of the attribute type *oid*, most general first; ``None`` for one that cannot be read."""
        return tuple([value for kind, value in self.attributes if kind == oid])

    @property
    def attributes(self) -> list[Attribute]:
        """Every attribute, most general first."""
        return [attribute for rdn in self.rdns for attribute in in_order(rdn)]

    def reversed(self) -> DistinguishedName:
        """Return the name with its RDNs the other way round."""
        return DistinguishedName(self.rdns[::-1])

    def rfc4514(self) -> str:
        """Return the RFC 4514 text, most specific first; values keep hostile characters."""
        return ",".join("+".join(_assertion(*one) for one in in_order(rdn)) for rdn in reversed(self.rdns))

    def __str__(self) -> str:
        """Return the RFC 4514 text, escaped for printing."""
        return escape(self.rfc4514()) or "(empty name)"


def in_order(rdn: frozenset[Attribute]) -> Iterable[Attribute]:
    """Return the attributes of *rdn* in an order that does not depend on the hash seed."""
    return rdn if len(rdn) == 1 else sorted(rdn, key=str)


def _rdn(der: bytes, tag: int, start: int, end: int) -> frozenset[Attribute]:
    if tag != SET:
        raise MalformedEvidence("an RDN that is no SET")
    found: list[Attribute] = []
    for kind, at, stop in elements(der, start, end):
        fields = elements(der, at, stop)
        if kind != SEQUENCE or len(fields) != 2 or fields[0][0] != OID:
            raise MalformedEvidence("an attribute of another shape in a distinguished name")
        oid = object_identifier(der[fields[0][1] : fields[0][2]])
        found.append((oid, decode_string(fields[1][0], der[fields[1][1] : fields[1][2]])))
    if not found or len(set(found)) != len(found):
        raise MalformedEvidence("an RDN that is empty or repeats an attribute")
    return frozenset(found)


def _assertion(oid: str, value: str | None) -> str:
    name = SHORT_NAMES.get(oid, oid)
    if value is None:
        return f"{name}=#?"
    text = value
    if not _SPECIAL.isdisjoint(value):  # RFC 4514, section 2.4
        text = re.sub(r'([,+"\\<>;=])', r"\\\1", value).replace("\0", r"\00")
    if text[:1] in (" ", "#"):
        text = "\\" + text
    if text.endswith(" ") and len(value) > 1:
        text = text[:-1] + "\\ "
    return f"{name}={text}"

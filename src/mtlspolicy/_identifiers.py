"""Presented identifiers: every name that a certificate says its subject has, each readable or counted as unreadable.

One unreadable entry does not hide the readable ones. Nothing here decides whether the CA was entitled to assert a name.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from typing import Final

from mtlspolicy._der import SEQUENCE, element, elements
from mtlspolicy._names import COMMON_NAME, EMAIL_ADDRESS, DistinguishedName, in_order
from mtlspolicy.errors import MalformedEvidence

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

SUBJECT_ALT_NAME: Final = "2.5.29.17"
EMAIL, DNS, DIRECTORY, URI, IP = "email", "dns", "directory", "uri", "ip"
_KINDS: Final = {0x81: EMAIL, 0x82: DNS, 0xA4: DIRECTORY, 0x86: URI, 0x87: IP}
_TEXTS: Final = (EMAIL, DNS, URI)
_ATTRIBUTES: Final = (COMMON_NAME, EMAIL_ADDRESS)
_HOSTILE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})
"""Categories no name may contain: control, format (bidirectional marks, zero width), line and paragraph separators,
surrogates, private use, unassigned."""


@dataclass(frozen=True, slots=True)
class PresentedIdentifiers:
    """The names of one certificate (RFC 9525, section 2: presented identifiers), in the order of the certificate.

    Attributes:
        common_names: Every CN of the subject that can be read.
        dns_names: dNSName entries, as presented.
        ip_addresses: iPAddress entries.
        emails: rfc822Name entries.
        uris: uniformResourceIdentifier entries.
        subject_emails: emailAddress attributes of the subject.
        has_san: Whether there is a subjectAltName extension, readable or not.
        unreadable: Kinds (``dns``, ``ip``, ``email``, ``uri``, ``common-name``) of which some entry cannot be read;
            an extension that cannot be read at all counts for every kind but ``common-name``.
        hostile: The first name with a control or format character, or ``None``.
    """

    common_names: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[IPAddress, ...] = ()
    emails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    subject_emails: tuple[str, ...] = ()
    has_san: bool = False
    unreadable: frozenset[str] = frozenset()
    hostile: str | None = None

    @classmethod
    def read(cls, subject: DistinguishedName, san: bytes | None) -> PresentedIdentifiers:
        """Return the identifiers in *subject* and in *san*, the DER of the subjectAltName value or ``None``."""
        found: dict[str, list[str]] = {}
        addresses: list[IPAddress] = []
        unreadable: set[str] = set()
        texts: list[str] = []
        for rdn in subject.rdns:
            for kind, value in rdn if len(rdn) == 1 else in_order(rdn):
                if value is not None:
                    texts.append(value)
                    if kind in _ATTRIBUTES:
                        found.setdefault(kind, []).append(value)
                elif kind == COMMON_NAME:
                    unreadable.add("common-name")
        if san is not None:
            try:
                _read_general_names(san, found, addresses, unreadable)
            except MalformedEvidence:
                unreadable |= {EMAIL, DNS, URI, IP}
            texts += [name for kind in _TEXTS if kind in found for name in found[kind]]
        get = found.get  # fields in their order: names for all of them take longer than all of the above
        return cls(
            tuple(get(COMMON_NAME, ())), tuple(get(DNS, ())), tuple(addresses), tuple(get(EMAIL, ())),
            tuple(get(URI, ())), tuple(get(EMAIL_ADDRESS, ())), san is not None, frozenset(unreadable),
            None if "".join(texts).isprintable() else next(filter(is_hostile, texts), None),
        )  # fmt: skip


def _read_general_names(
    san: bytes, found: dict[str, list[str]], addresses: list[IPAddress], unreadable: set[str]
) -> None:
    tag, start, end = element(san, 0, len(san))
    if tag != SEQUENCE or end != len(san):
        raise MalformedEvidence("a subjectAltName of another shape")
    for tag, at, stop in elements(san, start, end):
        kind = _KINDS.get(tag)
        content = san[at:stop]
        if kind in _TEXTS:
            if content and content.isascii():
                found.setdefault(kind, []).append(content.decode("ascii"))
            else:
                unreadable.add(kind)
        elif kind == IP:
            if len(content) in (4, 16):
                addresses.append(ipaddress.ip_address(content))
            else:
                unreadable.add(IP)


def is_hostile(text: str) -> bool:
    """Return whether *text* holds a character that no name may contain."""
    return not text.isprintable() and any(unicodedata.category(char) in _HOSTILE for char in text)

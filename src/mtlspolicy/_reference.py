"""Reference identifiers and RFC 9525 matching: which presented identifier of a server is the one that was meant.

Deliberately not done: SRV-IDs, U-labels (write A-labels), and the common name, but for a reference that asks for it. A
dNSName that is no DNS name (an address, a final dot, a space) never matches and leaves doubt.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar, Final

from mtlspolicy._decision import Verdict
from mtlspolicy._identifiers import DNS, IP, URI, IPAddress, PresentedIdentifiers
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError

_LABEL: Final = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_DNS_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*({_LABEL})", re.ASCII)
_PART: Final = re.compile(r"0[xX][0-9A-Fa-f]+|0[0-7]*|[1-9][0-9]*", re.ASCII)
Match = tuple[Verdict, str, str]
"""Verdict, reason code and detail."""


def is_dns_name(text: str) -> bool:
    """Return whether *text* is a DNS name in A-label form: no wildcard, no final dot, last label not a number.

    ``1.2.3`` and ``0x7f.1`` are read as IPv4 addresses by some resolvers, so a last label that is a number, decimal or
    hexadecimal, makes a text no DNS name (WHATWG URL, "ends in a number").
    """
    match = _DNS_NAME.fullmatch(text) if len(text) <= 253 else None
    return match is not None and not _is_number(match[1])


def _is_number(label: str) -> bool:
    return label.isdigit() or re.fullmatch(r"0[xX][0-9A-Fa-f]*", label, re.ASCII) is not None


def normal_dns(text: str) -> str:
    """Return *text* in lower-case ASCII; other letters are left alone, so that no confusable folds into ASCII."""
    if text.isascii():
        return text.lower()
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def loose_address(text: str) -> IPAddress | None:
    """Return the IP address that some resolver reads in *text*, or ``None``: ``1.2.3`` and ``0x7f.1`` are some too.

    For doubt only: one to four parts, decimal, octal or hexadecimal, the last filling what is left (inet_aton).
    """
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    parts = text.split(".")
    if len(parts) > 4 or len(text) > 64 or not all(_PART.fullmatch(part) for part in parts):
        return None
    numbers = [int(part, 16 if part[:2] in ("0x", "0X") else 8 if part[0] == "0" else 10) for part in parts]
    *leading, last = numbers
    if any(number > 0xFF for number in leading) or last >> 8 * (5 - len(parts)):
        return None
    return ipaddress.IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(leading)) + last)


def parse_dns(text: str, what: str = "DNS name") -> str:
    """Return *text* as a lower-case DNS name.

    Raises:
        ConfigurationError: A wildcard, an IP address, a final dot, a non-ASCII or malformed name.
    """
    if text.startswith("*."):
        raise ConfigurationError(
            f"{what} {text!r}: no wildcard is expected; policies.DNSName.under({text[2:]!r}) is for a whole domain"
        )
    if not text.isascii():
        raise ConfigurationError(f"{what} {text!r} is not ASCII: write it in A-label form ('xn--...')")
    if not is_dns_name(text):
        raise ConfigurationError(
            f"{what} {text!r} is not a DNS name: labels of letters, digits and hyphens, the last no number, no final "
            "dot, no port"
        )
    return normal_dns(text)


@dataclass(frozen=True, slots=True)
class ReferenceIdentifier:
    """The server that was meant (RFC 9525, section 2: reference identifier).

    Attributes:
        kind: ``dns``, ``ip``, ``uri``, ``common-name`` or ``dialed``.
        value: Lower-case A-labels, the address's canonical text, the URI as given, the common name; empty for
            ``dialed``.
    """

    kind: str
    value: str
    DIALED: ClassVar[ReferenceIdentifier]
    """The name that the connection was opened to."""

    @classmethod
    def parse(cls, text: str) -> ReferenceIdentifier:
        """Return the identifier that *text* is: an IP address, a URI (has ``://``), or else a DNS name.

        Raises:
            ConfigurationError: *text* is none of them.
        """
        if "://" in text:
            if not text.isascii() or not text.isprintable() or " " in text:
                raise ConfigurationError(f"expected URI {text!r}: printable ASCII without spaces, percent-encoded")
            return cls(URI, text)
        literal = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
        try:
            address = ipaddress.ip_address(literal)
        except ValueError:
            return cls(DNS, parse_dns(text, "expected name"))
        if "%" in literal:
            raise ConfigurationError(f"expected address {text!r} has a zone, which no certificate states: leave it out")
        return cls(IP, str(address))

    @classmethod
    def common_name(cls, name: str) -> ReferenceIdentifier:
        """Return a reference to the subject's common name; RFC 9525 forbids it, so it is asked for by name."""
        if not name:
            raise ConfigurationError("the expected common name is empty")
        return cls("common-name", name)

    def __str__(self) -> str:
        return "the name that was dialed" if self.kind == "dialed" else quoted(self.value)

    def match(self, names: PresentedIdentifiers) -> Match:
        """Return whether *names* hold this identifier (RFC 9525, section 6), as verdict, code and detail."""
        if self.kind == DNS:
            return match_dns(self.value, names)
        if self.kind == IP:
            return match_ip(ipaddress.ip_address(self.value), names)
        if self.kind == URI:
            return match_texts("uri", frozenset({self.value}), names.uris, unreadable=URI in names.unreadable)
        if self.kind == "common-name":
            return self._match_common_name(names)
        return Verdict.INDETERMINATE, "identity.unknown", "the name that the connection was opened to is not known"

    def _match_common_name(self, names: PresentedIdentifiers) -> Match:
        if names.has_san:
            return (
                Verdict.DENY,
                "name.mismatch",
                "the common name counts only where there is no subjectAltName, and there is one",
            )
        return match_single(frozenset({self.value}), names)


ReferenceIdentifier.DIALED = ReferenceIdentifier("dialed", "")


def covers(pattern: str, name: str) -> bool:
    """Return whether the presented wildcard *pattern* covers *name*: ``*`` alone as the whole left-most label.

    RFC 9525, section 6.3. Both in lower case; what follows the wildcard must have two labels at least.
    """
    if not pattern.startswith("*."):
        return False
    rest = pattern[2:]
    _, _, parent = name.partition(".")
    return parent == rest and "." in rest and is_dns_name(rest)


def match_dns(wanted: str, names: PresentedIdentifiers) -> Match:
    """Return whether a dNSName is *wanted* (lower case) or a wildcard that covers it."""
    for presented in names.dns_names:
        candidate = normal_dns(presented)
        if candidate == wanted:
            return Verdict.PERMIT, "name.match", quoted(presented)
        if covers(candidate, wanted):
            return Verdict.PERMIT, "name.match", f"{quoted(presented)} covers {quoted(wanted)}"
    if not names.dns_names and DNS not in names.unreadable:
        return absent("dNSName")
    return unreadable_dns(names) or (
        Verdict.DENY,
        "name.mismatch",
        f"expected {quoted(wanted)}, presented {presented_list(names.dns_names)}",
    )


def unreadable_dns(names: PresentedIdentifiers) -> Match | None:
    """Return the doubt that a dNSName leaves which cannot be read or is no DNS name; ``None`` where all are."""
    if DNS in names.unreadable:
        return Verdict.INDETERMINATE, "name.unreadable", "a dNSName of the certificate cannot be read"
    for presented in names.dns_names:
        if not is_dns_name(presented.removeprefix("*.")):
            detail = f"the dNSName {quoted(presented)} is no DNS name (an address, a final dot, a space?)"
            return Verdict.INDETERMINATE, "name.unreadable", detail
    return None


def match_ip(wanted: IPAddress, names: PresentedIdentifiers) -> Match:
    """Return whether an iPAddress entry equals *wanted*, compared in binary."""
    if wanted in names.ip_addresses:
        return Verdict.PERMIT, "name.match", str(wanted)
    misplaced = next((text for text in names.dns_names if loose_address(text) == wanted), None)
    if misplaced is not None:
        return misplaced_address(misplaced)
    if IP in names.unreadable:
        return Verdict.INDETERMINATE, "name.unreadable", "an iPAddress of the certificate cannot be read"
    if not names.ip_addresses:
        return absent("iPAddress")
    shown = presented_list(tuple(map(str, names.ip_addresses)))
    return Verdict.DENY, "name.mismatch", f"expected {wanted}, presented {shown}"


def misplaced_address(text: str) -> Match:
    """Return the answer where the address stands in a dNSName alone: never a match, but a doubt."""
    return (
        Verdict.INDETERMINATE,
        "name.unreadable",
        f"the address stands in the dNSName {quoted(text)}, not in an iPAddress",
    )


def match_texts(kind: str, wanted: frozenset[str], presented: tuple[str, ...], *, unreadable: bool) -> Match:
    """Return whether one of *presented* is among *wanted*, exactly."""
    for text in presented:
        if text in wanted:
            return Verdict.PERMIT, "name.match", quoted(text)
    if unreadable:
        return Verdict.INDETERMINATE, "name.unreadable", f"a {kind} of the certificate cannot be read"
    if not presented:
        return absent(kind)
    return Verdict.DENY, "name.mismatch", f"expected {expected_list(wanted)}, presented {presented_list(presented)}"


def common_name_doubt(names: PresentedIdentifiers) -> Match | None:
    """Return why there is no one common name to compare, or ``None``; nobody says which of several is meant."""
    if "common-name" in names.unreadable:
        return Verdict.INDETERMINATE, "name.unreadable", "a common name of the certificate cannot be read"
    if len(names.common_names) > 1:
        shown = presented_list(names.common_names)
        return Verdict.INDETERMINATE, "name.ambiguous", f"the certificate has several common names: {shown}"
    return None if names.common_names else absent("common name")


def match_single(wanted: frozenset[str], names: PresentedIdentifiers) -> Match:
    """Return whether the one common name is among *wanted*."""
    return common_name_doubt(names) or match_texts("common name", wanted, names.common_names, unreadable=False)


def absent(kind: str) -> Match:
    """Return the answer where the certificate has no name of *kind*: a doubt, so that ``~`` does not admit it."""
    return Verdict.INDETERMINATE, "name.absent", f"the certificate has no {kind}"


def presented_list(texts: tuple[str, ...] | list[str], limit: int = 4) -> str:
    """Return *texts* quoted, escaped and shortened to *limit* entries, or ``none``."""
    shown = ", ".join(quoted(text, 80) for text in texts[:limit])
    more = f" and {len(texts) - limit} more" if len(texts) > limit else ""
    return (shown + more) or "none"


def expected_list(wanted: frozenset[str], limit: int = 4) -> str:
    """Return *wanted* quoted and escaped where they are few, else their number: long lists are not sorted for it."""
    return presented_list(sorted(wanted)) if len(wanted) <= limit else f"one of {len(wanted)}"

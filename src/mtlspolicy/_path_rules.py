"""Rules of ours on single certificates, held before any signature is verified: what the path engine leaves out.

Serial numbers, hostile characters in names, number of names, key strength and size. They can only refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Limits
from mtlspolicy._der import element, elements
from mtlspolicy._identifiers import SUBJECT_ALT_NAME, is_hostile
from mtlspolicy._keys import weakness
from mtlspolicy._names import COMMON_NAME, EMAIL_ADDRESS, DistinguishedName
from mtlspolicy._profile import Purpose
from mtlspolicy._text import quoted
from mtlspolicy.errors import MalformedEvidence

SERIAL_LIMIT = 2**159
"""RFC 5280, section 4.1.2.2: positive and at most 20 octets."""
_KEY_USAGE = "2.5.29.15"
_NAME_CONSTRAINTS = "2.5.29.30"
_BIT_STRING = 0x03
_SIGNS_OR_AGREES, _ENCIPHERS = 0x88, 0x20
"""Bits of keyUsage (RFC 5280, section 4.2.1.3): digitalSignature and keyAgreement, keyEncipherment."""
_USUAL_KEY_USAGES: Final = (b"\x03\x02\x07\x80", b"\x03\x02\x05\xa0")
"""DER of keyUsage with digitalSignature, alone and with keyEncipherment, which is enough for either purpose."""
_DIRECTORY_NAME = 0xA4
"""Tag of the GeneralName that is a distinguished name (RFC 5280, section 4.2.1.6)."""


COMPARISONS: Final = 8192
"""Most comparisons of a name with a subtree of nameConstraints: what a hostile CA can make of both costs seconds."""
CONSTRAINED_BYTES: Final = 8 * 1024
"""Most bytes of extensions in CAs of a path that have nameConstraints, the anchor aside: reading one costs 1 us."""


class Refusal(NamedTuple):
    """Why a path is not valid: a reason code and a sentence that names the certificate and the remedy."""

    code: str
    detail: str


def serial_refusal(certificate: ParsedCertificate) -> Refusal | None:
    """Return why the serial number is refused, or ``None``. Reads the bytes alone, so it comes before anything else."""
    if 0 < certificate.serial_number < SERIAL_LIMIT:
        return None
    return Refusal(
        "serial.out-of-range",
        f"the serial number of the certificate sha256:{certificate.sha256[:16]} is not positive or exceeds 20 octets "
        "(RFC 5280, section 4.1.2.2): issue it again",
    )


def end_entity_refusal(certificate: ParsedCertificate, limits: Limits) -> Refusal | None:
    """Return why the end entity *certificate* is refused whatever its path, or ``None``.

    Raises:
        MalformedEvidence: Parts of it cannot be read.
    """
    names = certificate.names
    hostile = names.hostile
    san = certificate.extension_value(SUBJECT_ALT_NAME)
    # An entry has two bytes at least, a directoryName its tag among them: most extensions need no second reading.
    if san is not None and (names.unreadable or len(san) > 2 * limits.names or _DIRECTORY_NAME in san):
        alternative = _alternative_names(certificate)
        if len(alternative) > limits.names:
            return Refusal("chain.too-large", f"{len(alternative)} names in the subjectAltName; at most {limits.names}")
        hostile = hostile or next(filter(None, map(_hostile_directory_name, alternative)), None)
    if hostile is not None:
        return Refusal("name.hostile", f"the name {quoted(hostile)} holds control or format characters")
    weak = weakness(certificate)
    if weak is not None:
        return Refusal("path.weak-key", f"{certificate} has {weak}; issue it again with a stronger key")
    return None


def key_usage_refusal(certificate: ParsedCertificate, purpose: Purpose) -> Refusal | None:
    """Return why the keyUsage of the end entity *certificate* does not allow TLS, or ``None``; the engine does not ask.

    RFC 5280, section 4.2.1.12: keyUsage and extKeyUsage hold independently, and both must allow the purpose. A client
    signs or agrees on a key; a server may also be sent one (RFC 5246, section 7.4.2), as OpenSSL has it.

    Raises:
        MalformedEvidence: It cannot be read.
    """
    value = certificate.extension_value(_KEY_USAGE)
    if value is None or value in _USUAL_KEY_USAGES:
        return None
    tag, start, end = element(value, 0, len(value))
    if tag != _BIT_STRING or end - start < 1:
        raise MalformedEvidence(f"keyUsage of {certificate} cannot be read")
    bits = value[start + 1] if end - start > 1 else 0
    if bits & (_SIGNS_OR_AGREES | (_ENCIPHERS if purpose is Purpose.SERVER else 0)):
        return None
    more = " nor keyEncipherment" if purpose is Purpose.SERVER else ""
    return Refusal(
        "path.key-usage",
        f"keyUsage of {certificate} allows neither digitalSignature nor keyAgreement{more}: issue it with "
        "keyUsage=critical,digitalSignature",
    )


def comparisons_refusal(candidate: Sequence[ParsedCertificate]) -> Refusal | None:
    """Return why the name constraints of *candidate*, end entity first, are not evaluated, or ``None``.

    Raises:
        MalformedEvidence: They cannot be read.
    """
    below = [one for one in candidate[1:-1] if one.extension_value(_NAME_CONSTRAINTS) is not None]
    size = sum(len(value) for one in below for _, _, value in one.layout.extensions)
    if size > CONSTRAINED_BYTES:
        return Refusal(
            "chain.too-large",
            f"{size} bytes of extensions in CAs with name constraints; at most {CONSTRAINED_BYTES}: use fewer subtrees",
        )
    found = [constraints for one in candidate[1:] if (constraints := one.name_constraints) is not None]
    if not found:
        return None
    # The names of the subject are compared as well, by us: emailAddress of all but the anchor, CN by policies.
    mailboxes = sum(len(one.subject.values(EMAIL_ADDRESS)) for one in candidate[:-1])
    names = max(len(_alternative_names(candidate[0])), len(candidate[0].subject.values(COMMON_NAME)), mailboxes)
    subtrees = sum(len(one.permitted_subtrees or ()) + len(one.excluded_subtrees or ()) for one in found)
    if names * subtrees <= COMPARISONS:
        return None
    return Refusal(
        "chain.too-large",
        f"{names} names to be compared with {subtrees} name constraints; at most {COMPARISONS} comparisons are made: "
        "spread the names over several certificates",
    )


def unconstrained(candidate: Sequence[ParsedCertificate]) -> bool:
    """Return whether no CA of *candidate* has name constraints.

    Raises:
        MalformedEvidence: The extensions of one cannot be read.
    """
    for one in candidate[1:]:  # noqa: SIM110 - a generator costs more than what it goes through
        if _NAME_CONSTRAINTS in one._extension_values:
            return False
    return True


def issuer_refusal(certificate: ParsedCertificate) -> Refusal | None:
    """Return why *certificate* is refused as a CA, or ``None``; bounds what verifying its signatures can cost.

    Raises:
        MalformedEvidence: Parts of it cannot be read.
    """
    weak = weakness(certificate)
    if weak is not None:
        return Refusal("path.weak-key", f"the CA {certificate} has {weak}; its key must be replaced")
    hostile = _hostile_value(certificate.subject)
    if hostile is not None:
        return Refusal("name.hostile", f"the name {quoted(hostile)} of a CA holds control or format characters")
    certificate.sound_issuer = True
    return None


def _alternative_names(certificate: ParsedCertificate) -> list[tuple[int, bytes]]:
    """Return tag and content of every entry of the subjectAltName, whatever its kind and whether it can be read."""
    san = certificate.extension_value(SUBJECT_ALT_NAME)
    if san is None:
        return []
    _, start, end = element(san, 0, len(san))
    return [(tag, san[at:stop]) for tag, at, stop in elements(san, start, end)]


def _hostile_directory_name(entry: tuple[int, bytes]) -> str | None:
    tag, content = entry
    return _hostile_value(DistinguishedName.from_der(content)) if tag == _DIRECTORY_NAME else None


def _hostile_value(name: DistinguishedName) -> str | None:
    values = (value for rdn in name.rdns for _, value in rdn)
    return next((value for value in values if value is not None and is_hostile(value)), None)


def malformed(error: MalformedEvidence) -> Refusal:
    """Return the refusal for bytes that could not be read."""
    return Refusal(error.code, str(error))

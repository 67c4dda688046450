"""Rules of ours on single certificates, held before any signature is verified: what the path engine leaves out.

Serial numbers, hostile characters in names, number of names, key strength and size. They can only refuse.
"""

from __future__ import annotations

from typing import NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import Limits
from mtlspolicy._der import element, elements
from mtlspolicy._identifiers import SUBJECT_ALT_NAME, is_hostile
from mtlspolicy._keys import weakness
from mtlspolicy._names import DistinguishedName
from mtlspolicy._text import quoted
from mtlspolicy.errors import MalformedEvidence

SERIAL_LIMIT = 2**159
"""RFC 5280, section 4.1.2.2: positive and at most 20 octets."""
_DIRECTORY_NAME = 0xA4
"""Tag of the GeneralName that is a distinguished name (RFC 5280, section 4.2.1.6)."""


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
    alternative = _alternative_names(certificate)
    if len(alternative) > limits.names:
        return Refusal("chain.too-large", f"{len(alternative)} names in the subjectAltName; at most {limits.names}")
    hostile = names.hostile or next(filter(None, map(_hostile_directory_name, alternative)), None)
    if hostile is not None:
        return Refusal("name.hostile", f"the name {quoted(hostile)} holds control or format characters")
    weak = weakness(certificate)
    if weak is not None:
        return Refusal("path.weak-key", f"{certificate} has {weak}; issue it again with a stronger key")
    return None


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
    return None


def _alternative_names(certificate: ParsedCertificate) -> list[tuple[int, bytes]]:
    """Return tag and content of every entry of the subjectAltName, whatever its kind and whether it can be read."""
    san = next((value for oid, _, value in certificate.layout.extensions if oid == SUBJECT_ALT_NAME), None)
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

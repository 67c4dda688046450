"""Reads the parts of an OCSP response (RFC 6960, section 4.2.1) that `cryptography` does not show as they stand.

It decides which entries of a response are about the certificate in question, and nothing about whether they are true.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from cryptography.x509 import ocsp

from mtlspolicy import _der
from mtlspolicy._certificate import PARSER_ERRORS, ParsedCertificate
from mtlspolicy._der import OCTET_STRING, element, elements
from mtlspolicy._revocation import RevocationQuestion
from mtlspolicy.errors import MalformedEvidence

Extensions: TypeAlias = "dict[str, tuple[bool, bytes]]"
"""By dotted OID: critical, and the DER of the value."""

DIGESTS: Final = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
"""Names, as `hashlib` has them, of the digests that a CertID is recognised by."""
ASKED: Final = frozenset({"sha1", "sha256"})
"""Those that a request may use; RFC 5019, section 2.1.1, and RFC 9654, appendix."""

_RESPONSES = 2
_STATED: Final = 3
"""Fields of an entry before its optional ones; a revoked certStatus bears the same tag as the extensions."""
_EXPLICIT_1: Final = 0xA1


class Unusable(Exception):
    """A response that gives no answer, and why. It never leaves this package."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Layout(NamedTuple):
    """Parts of a ResponseData as they stand in its bytes.

    Attributes:
        responder: Tag (``0xA1`` by name, ``0xA2`` by key) and content of the ResponderID.
        extensions: The response's.
        entries: The extensions of each entry, in the order of the entries.
    """

    responder: tuple[int, bytes]
    extensions: Extensions
    entries: tuple[Extensions, ...]


class Entry(NamedTuple):
    """One entry about the certificate in question: the digest of its CertID, what it says, and its extensions."""

    digest: str
    single: ocsp.OCSPSingleResponse
    extensions: Extensions


def layout_of(tbs: bytes) -> Layout:
    """Return the layout of the ResponseData *tbs*, which `cryptography` has parsed: v1, which DER leaves out.

    Raises:
        MalformedEvidence: Extensions in another form, or one of them twice.
    """
    _, start, end = element(tbs, 0, len(tbs))
    fields = elements(tbs, start, end)
    tag, at, stop = fields[0]
    optional = fields[_RESPONSES + 1 :]
    entries = elements(tbs, *fields[_RESPONSES][1:])
    return Layout(
        (tag, tbs[at:stop]),
        _extensions(tbs, optional),
        tuple([_extensions(tbs, elements(tbs, first, last)[_STATED:]) for _, first, last in entries]),
    )


def _extensions(data: bytes, optional: list[tuple[int, int, int]]) -> Extensions:
    for tag, start, end in optional:
        if tag == _EXPLICIT_1:
            listed = _der._extensions(data, start, end)
            found = {oid: (critical, value) for oid, critical, value in listed}
            if len(found) != len(listed):
                raise MalformedEvidence("an OCSP response has an extension twice")
            return found
    return {}


def octets(value: bytes) -> bytes:
    """Return the content of the OCTET STRING that *value* is.

    Raises:
        MalformedEvidence: It is something else.
    """
    tag, start, end = element(value, 0, len(value))
    if tag != OCTET_STRING or end != len(value):
        raise MalformedEvidence("not an OCTET STRING alone")
    return value[start:end]


def entries_for(response: ocsp.OCSPResponse, layout: Layout, question: RevocationQuestion) -> list[Entry]:
    """Return the entries about the certificate in question, whatever digest their CertIDs use.

    CertIDs are compared in every part: digest of the issuer's name, digest of its key, and serial number.

    Raises:
        Unusable: There is none, or one with the same serial number whose digest is not known.
    """
    found: list[Entry] = []
    differs = ""
    for single, extensions in zip(response.responses, layout.entries, strict=True):
        parts = _differing(single, question)
        if not parts:
            found.append(Entry(single.hash_algorithm.name, single, extensions))
        differs = differs or parts
    if not found:
        raise Unusable("ocsp.other-certificate", f"the response is about another certificate: {differs} differs")
    return found


def _differing(single: ocsp.OCSPSingleResponse, question: RevocationQuestion) -> str:
    """Return the names of the parts of the CertID that differ; empty where none does."""
    certificate = question.certificate
    same_serial = single.serial_number == certificate.serial_number
    try:
        digest = single.hash_algorithm.name
    except PARSER_ERRORS:
        digest = ""
    if digest not in DIGESTS:
        if same_serial:
            raise Unusable("ocsp.cert-id-algorithm", "a CertID with this serial number uses a digest that is not known")
        return "serial number"
    name, key = issuer_digests(certificate.layout.issuer, question.issuer.layout.spki, digest)
    parts = [] if single.issuer_name_hash == name else ["issuer name"]
    parts += [] if single.issuer_key_hash == key else ["issuer key"]
    parts += [] if same_serial else ["serial number"]
    return " and ".join(parts)


@lru_cache(256)  # as many issuers as one process meets at a time; the digests of a CertID do not depend on the peer
def issuer_digests(name: bytes, spki: bytes, digest: str) -> tuple[bytes, bytes]:
    """Return issuerNameHash and issuerKeyHash of a CertID (RFC 6960, section 4.1.1).

    Args:
        name: DER of the issuer field of the certificate in question.
        spki: DER of the issuer's SubjectPublicKeyInfo.
        digest: One of `DIGESTS`.
    """
    return hashlib.new(digest, name).digest(), hashlib.new(digest, key_bits(spki)).digest()


def key_bits(spki: bytes) -> bytes:
    """Return the content of the subjectPublicKey BIT STRING, without tag, length and number of unused bits."""
    _, start, end = element(spki, 0, len(spki))
    _, first, last = elements(spki, start, end)[1]
    return spki[first + 1 : last]


def names_responder(layout: Layout, certificate: ParsedCertificate) -> bool:
    """Return whether the ResponderID is that of *certificate*: its subject, or the SHA-1 of its key."""
    tag, value = layout.responder
    if tag == _EXPLICIT_1:
        return value == certificate.layout.subject
    # the one digest that RFC 6960 defines here; it only says which key to try, and the signature is what counts
    return octets(value) == hashlib.sha1(key_bits(certificate.layout.spki), usedforsecurity=False).digest()


def generalized_time(value: bytes) -> datetime | None:
    """Return the aware time of the GeneralizedTime *value*, or ``None`` where it cannot be read."""
    try:
        _, start, end = element(value, 0, len(value))
        return datetime.strptime(value[start:end].decode("ascii"), "%Y%m%d%H%M%S%z")
    except (MalformedEvidence, ValueError):
        return None

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
from mtlspolicy._revocation import OCSPQuestion
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.revocation._signatures import Signed, signed_of
from mtlspolicy.revocation._unusable import Unusable

Extensions: TypeAlias = "dict[str, tuple[bool, bytes]]"
"""By dotted OID: critical, and the DER of the value."""

DIGESTS: Final = frozenset({"sha1", "sha224", "sha256", "sha384", "sha512"})
"""Names, as `hashlib` has them, of the digests that a CertID is recognised by."""
ASKED: Final = frozenset({"sha1", "sha256"})
"""Those that a request may use; RFC 5019, section 2.1.1, and RFC 9654, appendix."""

_NO_EXTENSIONS: Final[Extensions] = {}
_SERIAL: Final = "serial number"
BASIC: Final = bytes.fromhex("06092b0601050507300101")
"""OBJECT IDENTIFIER of id-pkix-ocsp-basic (RFC 6960, section 4.2.1)."""
_WITHIN: Final = 32
_RESPONSES: Final = 2
_STATED: Final = 3
"""Fields of an entry before its optional ones; a revoked certStatus bears the same tag as the extensions."""
_EXPLICIT_1: Final = 0xA1
_SIGNED: Final = 3
"""Parts of a signed structure: what is signed, the algorithm, the signature."""


class Layout(NamedTuple):
    """Parts of a BasicOCSPResponse as they stand in its bytes.

    Attributes:
        signed: ResponseData, signature, and its algorithm.
        responder: Tag (``0xA1`` by name, ``0xA2`` by key) and content of the ResponderID.
        extensions: The response's.
        entries: Tag, and where the content of each entry begins and ends in ``signed.content``.
        certificates: How many the response carries; `cryptography` takes 175 us for each of 600 to show them.
    """

    signed: Signed
    responder: tuple[int, bytes]
    extensions: Extensions
    entries: list[tuple[int, int, int]]
    certificates: int


class Entry(NamedTuple):
    """One entry about the certificate in question: the digest of its CertID, what it says, and its extensions."""

    digest: str
    single: ocsp.OCSPSingleResponse
    extensions: Extensions


def layout_of(data: bytes) -> Layout:
    """Return the layout of the OCSPResponse *data*, which `cryptography` has parsed: v1, which DER leaves out.

    Raises:
        MalformedEvidence: Extensions have another form, or one of them is there twice.
    """
    # id-pkix-ocsp-basic, the only kind that `cryptography` loads, stands before the BasicOCSPResponse. No more than the
    # status and the heads of what holds it come before, which are too short to hold the same bytes
    place = data.index(BASIC, 0, _WITHIN) + len(BASIC)
    _, start, end = element(data, place, len(data))
    signed, certificates = signed_of(data, start, end), _certificates(data, start, end)
    tbs = signed.content
    _, start, end = element(tbs, 0, len(tbs))
    fields = elements(tbs, start, end)
    tag, at, stop = fields[0]
    _, first, last = fields[_RESPONSES]
    extensions = _extensions(tbs, fields[_RESPONSES + 1 :])
    return Layout(signed, (tag, tbs[at:stop]), extensions, elements(tbs, first, last), certificates)


def _certificates(data: bytes, start: int, end: int) -> int:
    """Return how many certificates follow the signature of the BasicOCSPResponse between *start* and *end*."""
    _, first, last = element(data, start, end)
    lists = [part for _, at, stop in elements(data, first, last)[_SIGNED:] for part in elements(data, at, stop)]
    return sum(len(elements(data, at, stop)) for _, at, stop in lists)


def _extensions(data: bytes, optional: list[tuple[int, int, int]]) -> Extensions:
    for tag, start, end in optional:
        if tag == _EXPLICIT_1:
            listed = _der._extensions(data, start, end)
            found = {oid: (critical, value) for oid, critical, value in listed}
            if len(found) != len(listed):
                raise MalformedEvidence("an OCSP response has an extension twice")
            return found
    return _NO_EXTENSIONS


def octets(value: bytes) -> bytes:
    """Return the content of the OCTET STRING that *value* is.

    Raises:
        MalformedEvidence: It is something else.
    """
    tag, start, end = element(value, 0, len(value))
    if tag != OCTET_STRING or end != len(value):
        raise MalformedEvidence("not an OCTET STRING alone")
    return value[start:end]


def entries_for(response: ocsp.OCSPResponse, layout: Layout, question: OCSPQuestion) -> list[Entry]:
    """Return the entries about the certificate in question, whatever digest their CertIDs use.

    CertIDs are compared in every part: digest of the issuer's name, digest of its key, and serial number. Extensions
    of entries about other certificates are not read.

    Raises:
        Unusable: There is none, or one with the same serial number whose digest is not known.
        MalformedEvidence: Extensions of another form, or one of them twice.
    """
    found: list[Entry] = []
    tbs = layout.signed.content
    issuer, key = question.certificate.layout.issuer, question.issuer.layout.spki
    serial, differs = question.certificate.serial_number, ""
    for single, (_, start, end) in zip(response.responses, layout.entries, strict=True):
        same_serial = single.serial_number == serial
        digest = _digest_of(single)
        if digest not in DIGESTS:
            if same_serial:
                raise Unusable(
                    "ocsp.cert-id-algorithm", "a CertID with this serial number uses a digest that is not known"
                )
            continue
        named = single.issuer_name_hash, single.issuer_key_hash
        wanted = issuer_digests(issuer, key, digest)
        if same_serial and named == wanted:
            found.append(Entry(digest, single, _extensions(tbs, elements(tbs, start, end)[_STATED:])))
        else:
            differs = differs or _differing(named, wanted, same_serial=same_serial)
    if not found:
        raise Unusable(
            "ocsp.other-certificate", f"the response is about another certificate: {differs or _SERIAL} differs"
        )
    return found


def _digest_of(single: ocsp.OCSPSingleResponse) -> str:
    try:
        return single.hash_algorithm.name
    except PARSER_ERRORS:
        return ""


def _differing(named: tuple[bytes, bytes], wanted: tuple[bytes, bytes], *, same_serial: bool) -> str:
    """Return the names of the parts of a CertID that differ."""
    same = {"issuer name": named[0] == wanted[0], "issuer key": named[1] == wanted[1], _SERIAL: same_serial}
    return " and ".join(part for part, equal in same.items() if not equal)


@lru_cache(256)  # as many issuers as one process meets at a time; the digests of a CertID do not depend on the peer
def issuer_digests(name: bytes, spki: bytes, digest: str) -> tuple[bytes, bytes]:
    """Return issuerNameHash and issuerKeyHash of a CertID (RFC 6960, section 4.1.1).

    Args:
        name: DER of the issuer field of the certificate in question.
        spki: DER of the issuer's SubjectPublicKeyInfo.
        digest: One of `DIGESTS`.
    """
    # a digest here says which certificate is meant and proves nothing; so SHA-1 does no harm
    of_name, of_key = (hashlib.new(digest, one, usedforsecurity=False) for one in (name, key_bits(spki)))
    return of_name.digest(), of_key.digest()


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
    return octets(value) == issuer_digests(certificate.layout.subject, certificate.layout.spki, "sha1")[1]


def generalized_time(value: bytes) -> datetime | None:
    """Return the aware time of the GeneralizedTime *value*, or ``None`` where it cannot be read."""
    try:
        _, start, end = element(value, 0, len(value))
        return datetime.strptime(value[start:end].decode("ascii"), "%Y%m%d%H%M%S%z")
    except (MalformedEvidence, ValueError):
        return None

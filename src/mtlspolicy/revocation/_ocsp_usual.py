"""Recognises the OCSP response that nearly all are: GOOD of this very certificate, signed by its issuer, nothing else.

Of such a response (RFC 6960, section 4.2.1, in DER) every byte is known beforehand but three times and the signature:
it is compared and not parsed. Whatever differs in one byte is for the reader of all responses.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from mtlspolicy._der import BIT_STRING, OCTET_STRING, SEQUENCE
from mtlspolicy._revocation import OCSPQuestion
from mtlspolicy.revocation._ocsp_layout import ASKED, BASIC, issuer_digests
from mtlspolicy.revocation._signatures import WITH_SHA1, Signed, signed_by

__all__ = ["Good", "usual_good"]

_SUCCESSFUL: Final = bytes.fromhex("0a0100")
_ALGORITHMS: Final = {
    "sha1": bytes.fromhex("300906052b0e03021a0500"),
    "sha256": bytes.fromhex("300d06096086480165030402010500"),
}
"""AlgorithmIdentifier of a CertID's digest, with the NULL that responders write."""
_BY_NAME, _BY_KEY, _EXPLICIT_0, _INTEGER = 0xA1, 0xA2, 0xA0, 0x02
_TIME: Final = bytes.fromhex("180f")
"""Tag and length of a GeneralizedTime in seconds of UTC, the only form that RFC 5280, section 4.1.2.5.2, allows."""
_LENGTH: Final = 15
_GOOD: Final = bytes.fromhex("8000") + _TIME
_UNTIL: Final = bytes.fromhex("a011") + _TIME


class Good(NamedTuple):
    """What such a response says, its signature verified: three aware times, none of them judged."""

    this_update: datetime
    next_update: datetime
    produced_at: datetime


class _Form(NamedTuple):
    """One way in which an issuer writes it, but for serial number, times and signature.

    Attributes:
        begin: From the ResponseData up to producedAt.
        middle: From there up to the serial number.
        digest: Of the CertID.
    """

    begin: bytes
    middle: bytes
    digest: str


def usual_good(data: bytes, question: OCSPQuestion, digest: str | None) -> Good | None:
    """Return what the OCSPResponse *data* says if it is of the usual form and signed by the issuer in question.

    ``None`` says nothing about the response. The dates are not judged, and no nonce is looked for: it has none.

    Args:
        data: The response, DER.
        question: Which certificate, by which issuer; of the rule ``allow_sha1`` is not used, since SHA-1 is left out.
        digest: ``sha1`` or ``sha256``, as in the request's CertID; ``None``: either.
    """
    size, certificate, issuer = len(data), question.certificate.layout, question.issuer.layout
    head = _head(size)
    if not head or not data.startswith(head):
        return None
    first, serial = len(head), certificate.serial
    for form in _forms(certificate.issuer, issuer.subject, issuer.spki, len(serial)):
        if data.startswith(form.begin, first) and (digest is None or digest == form.digest):
            break
    else:
        return None
    produced = first + len(form.begin)
    expected = form.middle + serial + _GOOD
    place = produced + _LENGTH
    this = place + len(expected)
    until = this + _LENGTH + len(_UNTIL)
    end = until + _LENGTH
    if end + 2 > size or not data.startswith(expected, place) or not data.startswith(_UNTIL, this + _LENGTH):
        return None
    behind = end + 2 + data[end + 1]
    bits = _bits(size - behind)
    if not bits or not data.startswith(bits, behind):
        return None
    signed = Signed(data[first:end], data[behind + len(bits) :], data[end:behind])
    if signed.algorithm in WITH_SHA1 or not signed_by(question.issuer.public_key, signed):
        return None
    return _good(data[this : this + _LENGTH], data[until:end], data[produced:place])


def _good(this: bytes, until: bytes, produced: bytes) -> Good | None:
    try:
        this_update = _moment(this)
        produced_at = this_update if produced == this else _moment(produced)
        return Good(this_update, _moment(until), produced_at)
    except ValueError:
        return None


def _moment(content: bytes) -> datetime:
    """Return the aware time of the GeneralizedTime with this content.

    Raises:
        ValueError: It is not of the form YYYYMMDDHHMMSSZ, or there is no such time.
    """
    text = content.decode("ascii")
    if not (text[:14].isdigit() and text[14:] == "Z" and text[8:10] < "24"):
        raise ValueError
    return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")


@lru_cache(256)  # four forms for each issuer and length of its serial numbers
def _forms(name: bytes, subject: bytes, spki: bytes, serial: int) -> tuple[_Form, ...]:
    """Return the forms of a response of the issuer.

    Args:
        name: DER of the issuer field of the certificate in question.
        subject: DER of the issuer's subject.
        spki: DER of the issuer's SubjectPublicKeyInfo.
        serial: Bytes of the serial number.
    """
    found: list[_Form] = []
    by_key = _tlv(OCTET_STRING, issuer_digests(subject, spki, "sha1")[1])
    for responder in (_tlv(_BY_KEY, by_key), _tlv(_BY_NAME, subject)):
        for digest in sorted(ASKED):
            parts = [_ALGORITHMS[digest], *(_tlv(OCTET_STRING, one) for one in issuer_digests(name, spki, digest))]
            number = _tlv(_INTEGER, bytes(serial))[: -serial or None]
            inside = b"".join(parts) + number
            certificate = _opened(SEQUENCE, len(inside) + serial) + inside
            rest = len(certificate) + serial + len(_GOOD) + _LENGTH + len(_UNTIL) + _LENGTH
            entry = _opened(SEQUENCE, rest)
            entries = _opened(SEQUENCE, len(entry) + rest)
            said = responder + _TIME
            whole = len(said) + _LENGTH + len(entries) + len(entry) + rest
            found.append(_Form(_opened(SEQUENCE, whole) + said, entries + entry + certificate, digest))
    return tuple(found)


@lru_cache(512)
def _head(size: int) -> bytes:
    """Return how a response of *size* bytes begins, up to the ResponseData; empty where DER has no such size."""
    found = b""
    for tag, before in (
        (SEQUENCE, b""), (_EXPLICIT_0, _SUCCESSFUL), (SEQUENCE, b""), (OCTET_STRING, BASIC), (SEQUENCE, b""),
    ):  # fmt: skip
        opened = _opening(tag, size - len(before))
        if not opened:
            return b""
        found += before + opened
        size -= len(before) + len(opened)
    return found


@lru_cache(512)
def _bits(size: int) -> bytes:
    """Return how a BIT STRING of whole bytes begins that takes *size* bytes; empty where DER has no such size."""
    opened = _opening(BIT_STRING, size)
    return opened and opened + b"\x00"


def _opening(tag: int, size: int) -> bytes:
    """Return tag and length of what takes *size* bytes with them; empty where nothing does."""
    for head in (2, 3, 4):
        if size >= head and len(opened := _opened(tag, size - head)) == head:
            return opened
    return b""


def _tlv(tag: int, content: bytes) -> bytes:
    return _opened(tag, len(content)) + content


def _opened(tag: int, length: int) -> bytes:
    """Return tag and length, in as few bytes as there can be (X.690, section 10.1)."""
    if length < 0x80:
        return bytes((tag, length))
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big")

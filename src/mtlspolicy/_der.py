"""Reads DER (ITU-T X.690) element by element: enough to find the parts of a certificate as they stand in its bytes.

It decides what is well-formed DER and nothing else; `cryptography` parses and verifies certificates, this only shows
raw bytes that it re-encodes or will not show (SubjectPublicKeyInfo, names, subjectAltName beside an unreadable entry).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from mtlspolicy.errors import MalformedEvidence

SEQUENCE: Final = 0x30
SET: Final = 0x31
INTEGER: Final = 0x02
OID: Final = 0x06
BOOLEAN: Final = 0x01
OCTET_STRING: Final = 0x04
BIT_STRING: Final = 0x03

EXTENSIONS: Final = 64
"""Most extensions of one certificate. Those in use have a dozen; reading thousands costs more than any signature."""


_STANDARD: Final = b"\x06\x03\x55\x1d"
"""OBJECT IDENTIFIER of the arc 2.5.29, up to its last arc: the extensions of X.509 itself."""
_STANDARD_NAMES: Final = tuple(f"2.5.29.{number}" for number in range(128))
_TRUE: Final = b"\x01\x01\xff"
_BODY: Final = bytes([INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE])
"""Tags of a TBSCertificate after its version: serial number, signature, issuer, validity, subject, key."""


def _malformed(what: str, offset: int) -> MalformedEvidence:
    return MalformedEvidence(f"not DER: {what} at byte {offset}")


def element(data: bytes, start: int, end: int) -> tuple[int, int, int]:
    """Return ``(tag, content start, content end)`` of the element that begins at *start* and must fit before *end*.

    Raises:
        MalformedEvidence: Truncated, a length that is indefinite or longer than needed (X.690, 10.1), or a tag number
            over 30, which no certificate uses.
    """
    if start + 2 > end:
        raise _malformed("an element is cut short", start)
    tag, length, body = data[start], data[start + 1], start + 2
    if tag & 0x1F == 0x1F:
        raise _malformed("a tag of more than one byte", start)
    if length == 0x82 and body + 2 <= end and data[body]:  # nearly all that is not short
        length = data[body] << 8 | data[body + 1]
        body += 2
    elif length >= 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or body + size > end:
            raise _malformed("a length that is indefinite, too long or cut short", start)
        length = int.from_bytes(data[body : body + size], "big")
        body += size
        if length < 0x80 or length >> (8 * (size - 1)) == 0:
            raise _malformed("a length in more bytes than it needs", start)
    if body + length > end:
        raise _malformed("an element is longer than what holds it", start)
    return tag, body, body + length


def elements(data: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return every element between *start* and *end* as ``(tag, content start, content end)``."""
    found: list[tuple[int, int, int]] = []
    last = end - 2
    while start <= last:
        tag, length = data[start], data[start + 1]
        stop = start + 2 + length
        if length < 0x80 and stop <= end and tag & 0x1F != 0x1F:  # most elements; every other one goes through element
            found.append((tag, start + 2, stop))
            start = stop
        else:
            item = element(data, start, end)
            found.append(item)
            start = item[2]
    if start < end:
        raise _malformed("an element is cut short", start)
    return found


@lru_cache(512)  # the same few dozen stand in every certificate
def object_identifier(data: bytes) -> str:
    """Return the dotted text of an OBJECT IDENTIFIER's content.

    Raises:
        MalformedEvidence: Empty, cut short, padded, or an arc longer than nine bytes.
    """
    arcs: list[int] = []
    value = size = 0
    for byte in data:
        if size == 0 and byte == 0x80:
            raise _malformed("a padded arc of an object identifier", 0)
        value = value << 7 | byte & 0x7F
        size += 1
        if size > 19:  # 128 bits: the UUID arcs of 2.25 fit
            raise _malformed("an arc of an object identifier is too long", 0)
        if not byte & 0x80:
            arcs.append(value)
            value = size = 0
    if size or not arcs:
        raise _malformed("an object identifier is cut short", 0)
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


class Layout(NamedTuple):
    """Parts of a certificate as they stand in its bytes (RFC 5280, section 4.1).

    Attributes:
        version: 1, 2 or 3.
        serial: Content of the INTEGER, big-endian two's complement.
        issuer: DER of the issuer Name.
        subject: DER of the subject Name.
        spki: DER of the SubjectPublicKeyInfo.
        extensions: ``(dotted OID, critical, DER of the value)`` in order, duplicates kept.
    """

    version: int
    serial: bytes
    issuer: bytes
    subject: bytes
    spki: bytes
    extensions: tuple[tuple[str, bool, bytes], ...]


def certificate_layout(data: bytes) -> Layout:
    """Return the layout of the certificate whose DER is *data*; nothing is verified.

    Raises:
        MalformedEvidence: *data* does not have the shape of a certificate, or something follows it.
    """
    tag, start, outer = element(data, 0, len(data))
    if tag != SEQUENCE or outer != len(data):
        raise _malformed("no certificate, or something follows it", 0)
    tag, start, end = element(data, start, outer)
    if tag != SEQUENCE:
        raise _malformed("a certificate without a body", start)
    _require_signature(data, end, outer)
    parts = elements(data, start, end)
    version, starts = 1, start
    if parts and parts[0][0] == 0xA0:
        _, at, stop = element(data, parts[0][1], parts[0][2])
        version = int.from_bytes(data[at:stop], "big") + 1
        starts = parts[0][2]
        del parts[0]
    if bytes([part[0] for part in parts[:6]]) != _BODY:
        raise _malformed("a certificate body of another shape", starts)
    (_, serial, end_serial), *ends = parts[:6]
    signature, issuer, validity, subject, spki = [end for _, _, end in ends]
    found: tuple[tuple[str, bool, bytes], ...] = ()
    for tag, at, stop in parts[6:]:
        if tag == 0xA3:
            found = _extensions(data, at, stop)
    if version > 3 or (found and version != 3):
        # RFC 5280, section 4.1.2.9: v3 only. Read as v1 it would escape every rule that looks at extensions
        raise MalformedEvidence(f"a certificate that says version {version} and has extensions, or no version of X.509")
    return Layout(
        version, data[serial:end_serial], data[signature:issuer], data[validity:subject], data[subject:spki], found
    )


def _require_signature(data: bytes, start: int, end: int) -> None:
    """Return if an algorithm and a signature of whole bytes follow the body, and nothing else.

    Readers that pass over a number of unused bits take several DERs for one certificate, each with a hash of its own.
    """
    rest = elements(data, start, end)
    if [tag for tag, _, _ in rest] != [SEQUENCE, BIT_STRING] or data[rest[1][1] : rest[1][1] + 1] != b"\x00":
        raise _malformed("a certificate whose signature is of another shape", start)


def _extensions(data: bytes, start: int, end: int) -> tuple[tuple[str, bool, bytes], ...]:
    tag, at, stop = element(data, start, end)
    if tag != SEQUENCE or stop != end:
        raise _malformed("extensions of another shape", start)
    return extensions(data, at, stop)


def extensions(data: bytes, start: int, end: int) -> tuple[tuple[str, bool, bytes], ...]:
    """Return the extensions of *data*, in their order, that fill it from *start* to *end* (see `Layout.extensions`).

    Raises:
        MalformedEvidence: One does not have the shape of one, or there are too many.
    """
    found: list[tuple[str, bool, bytes]] = []
    while start < end:
        if len(found) == EXTENSIONS:
            raise MalformedEvidence(
                f"a certificate with {EXTENSIONS + len(elements(data, start, end))} extensions; at most {EXTENSIONS}",
                code="chain.too-large",
            )
        # Of the usual form, as nearly all, it is read here in a few steps, which is a third of what a call for each
        # takes: OID 2.5.29.n, critical as TRUE or left out, a value of less than 128 bytes.
        if start + 10 <= end and data[start] == SEQUENCE and data.startswith(_STANDARD, start + 2):
            until = start + 2 + data[start + 1]
            critical = data.startswith(_TRUE, start + 7)
            value = start + 12 if critical else start + 9
            if value <= until <= end and until - start < 0x82 and data[start + 6] < 0x80:
                length = data[value - 1]
                if data[value - 2] == OCTET_STRING and length < 0x80 and value + length == until:
                    found.append((_STANDARD_NAMES[data[start + 6]], critical, data[value:until]))
                    start = until
                    continue
        _, at, start = element(data, start, end)
        found.append(_extension(data, at, start))
    return tuple(found)


def _extension(data: bytes, at: int, until: int) -> tuple[str, bool, bytes]:
    fields = elements(data, at, until)
    critical = False
    if len(fields) == 3:
        flag, first, last = fields.pop(1)
        critical = data[first:last] != b"\x00"
        if flag != BOOLEAN:
            raise _malformed("an extension of another shape", at)
    if len(fields) != 2 or fields[0][0] != OID or fields[1][0] != OCTET_STRING:
        raise _malformed("an extension of another shape", at)
    (_, first, last), (_, value, whole) = fields
    return object_identifier(data[first:last]), critical, data[value:whole]

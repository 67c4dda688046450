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
    extensions: tuple[tuple[str, bool, bytes], ...] = ()
    for tag, at, stop in parts[6:]:
        if tag == 0xA3:
            extensions = _extensions(data, at, stop)
    if version > 3 or (extensions and version != 3):
        # RFC 5280, section 4.1.2.9: v3 only. Read as v1 it would escape every rule that looks at extensions
        raise MalformedEvidence(f"a certificate that says version {version} and has extensions, or no version of X.509")
    return Layout(
        version, data[serial:end_serial], data[signature:issuer], data[validity:subject], data[subject:spki], extensions
    )


def _require_signature(data: bytes, start: int, end: int) -> None:
    """Return if an algorithm and a signature of whole bytes follow the body, and nothing else.

    Readers that pass over a number of unused bits take several DERs for one certificate, each with a hash of its own.
    """
    rest = elements(data, start, end)
    if [tag for tag, _, _ in rest] != [SEQUENCE, BIT_STRING] or data[rest[1][1] : rest[1][1] + 1] != b"\x00":
        raise _malformed("a certificate whose signature is of another shape", start)


def _extensions(data: bytes, start: int, end: int) -> tuple[tuple[str, bool, bytes], ...]:
    tag, start, stop = element(data, start, end)
    if tag != SEQUENCE or stop != end:
        raise _malformed("extensions of another shape", start)
    entries = elements(data, start, end)
    if len(entries) > EXTENSIONS:
        raise MalformedEvidence(
            f"a certificate with {len(entries)} extensions; at most {EXTENSIONS}", code="chain.too-large"
        )
    found: list[tuple[str, bool, bytes]] = []
    for _, at, until in entries:
        # Of the usual form, as nearly all, it is read here in a few steps, which is a third of what a call for each
        # takes: OID 2.5.29.n, critical as TRUE or left out, a value of less than 128 bytes.
        if until - at >= 8 and data.startswith(_STANDARD, at):
            critical = data.startswith(_TRUE, at + 5)
            value = at + 10 if critical else at + 7
            number, length = data[at + 4], data[value - 1]
            if number < 0x80 and data[value - 2] == OCTET_STRING and length < 0x80 and value + length == until:
                found.append((_STANDARD_NAMES[number], critical, data[value:until]))
                continue
        found.append(_extension(data, at, until))
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


class KeyForm(NamedTuple):
    """A usual key, encoded in the one canonical way: known by its first and last bytes and its length.

    Attributes:
        head: SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7) up to the key itself.
        tail: What it ends with.
        rsa_bits: Bits of an RSA modulus whose exponent is 65537; 0: an elliptic curve, whose point is not looked at.
    """

    head: bytes
    tail: bytes
    rsa_bits: int


_EXPONENT: Final = bytes.fromhex("0203010001")
_RSA: Final = "300d06092a864886f70d0101010500"
_FORMS: Final = {
    91: KeyForm(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), b"", 0),
    120: KeyForm(bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), b"", 0),
    158: KeyForm(bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"), b"", 0),
    294: KeyForm(bytes.fromhex(f"30820122{_RSA}0382010f003082010a0282010100"), _EXPONENT, 2048),
    422: KeyForm(bytes.fromhex(f"308201a2{_RSA}0382018f003082018a0282018100"), _EXPONENT, 3072),
    550: KeyForm(bytes.fromhex(f"30820222{_RSA}0382020f003082020a0282020100"), _EXPONENT, 4096),
}
"""By the length of the whole: P-256, P-384 and P-521 by name with an uncompressed point (RFC 5480, section 2), and RSA
(RFC 3279, section 2.3.1). The head fixes every length, so that the tail can be nothing but the exponent."""


def key_form(spki: bytes) -> KeyForm | None:
    """Return the usual form that the SubjectPublicKeyInfo *spki* has, or ``None`` for every other key and encoding."""
    form = _FORMS.get(len(spki))
    if form is None or not spki.startswith(form.head) or not spki.endswith(form.tail):
        return None
    return None if form.rsa_bits and spki[len(form.head)] < 0x80 else form  # a shorter modulus, padded

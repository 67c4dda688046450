"""The encodings in which proxies write certificates into a header: read strictly, with no second guess.

What is not exactly the encoding that a dialect names is malformed: a reader that tries another one reads something
that nobody wrote. Certificates are split and counted here and parsed later.
"""

from __future__ import annotations

import binascii
import re
import string
from typing import Final

from mtlspolicy._der import SEQUENCE, element
from mtlspolicy._der_usual import has_three_parts
from mtlspolicy._pem import certificate_blocks
from mtlspolicy.errors import MalformedEvidence

__all__ = [
    "MALFORMED",
    "base64_der",
    "concatenated_der",
    "malformed",
    "pem_certificates",
    "percent_decoded",
    "require_certificate",
]

MALFORMED: Final = "forwarded.malformed"
"""Code for a header that is not what its dialect says."""
_BIT_STRING: Final = 0x03

_OCTETS: Final = {
    f"{high}{low}".encode(): bytes.fromhex(high + low) for high in string.hexdigits for low in string.hexdigits
}
_PARTS: Final = 512
"""Certificates that are split off one header before it is too many; a hostile one has tens of thousands."""
_USUAL: Final = tuple((f"%{ord(char):02X}".encode(), char.encode()) for char in "\n +/=")
"""What proxies escape of PEM. None of them is ``%``, so that what is left afterwards are escapes as written."""

_USUAL_BLOCK: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/][A-Za-z0-9+/\n]++(?:={1,2}\n)?)"
    rb"(?<=\n)-----END CERTIFICATE-----(?:\n++|\Z)"
)


def malformed(detail: str) -> MalformedEvidence:
    """Return the error for a header that is not what its dialect says."""
    return MalformedEvidence(detail, code=MALFORMED)


def percent_decoded(text: str) -> bytes:
    """Return *text* with every ``%XX`` as one byte; ``+`` stays ``+``, as RFC 3986 has it and proxies write it.

    Raises:
        MalformedEvidence: A ``%`` without two hexadecimal digits, or a character that is not ASCII.
    """
    problem = "no percent-encoded PEM: a '%' that two hexadecimal digits do not follow, or a character outside ASCII"
    if not text.isascii():
        raise malformed(problem)
    data = text.encode("ascii")
    for escape, char in _USUAL:  # a tenth of the time that one step for each of a hundred escapes takes
        data = data.replace(escape, char)  # by none that is a hexadecimal digit, so that what is broken stays broken
    first, *rest = data.split(b"%")
    try:
        return first + b"".join([_OCTETS[part[:2]] + part[2:] for part in rest])
    except KeyError:
        raise malformed(problem) from None


def base64_der(text: str) -> bytes:
    """Return the bytes of *text*, standard base64 (RFC 4648, section 4), canonical and with its padding.

    Raises:
        MalformedEvidence: It is empty, or anything else.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise malformed(f"not base64: {error}") from None
    # Strict as it is, the decoder passes over bits behind the last byte. Nothing else is passed over where the length
    # is that of what it has read, and to encode the last few bytes costs less than all of them.
    last = (len(data) - 1) % 3 + 1
    if not data or len(text) != (len(data) + 2) // 3 * 4 or _encoded(data[-last:]) != text[-4:].encode("ascii"):
        raise malformed("base64 that is empty or not in its one canonical form")
    return data


def _encoded(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def concatenated_der(data: bytes) -> tuple[bytes, ...]:
    """Return the certificates of which *data* is the concatenated DER.

    Raises:
        MalformedEvidence: Something else than SEQUENCEs one after the other, or hundreds (``forwarded.too-large``).
    """
    parts: list[bytes] = []
    start = 0
    while start < len(data):
        try:
            tag, _, end = element(data, start, len(data))
        except MalformedEvidence as error:
            raise malformed(str(error)) from None
        if tag != SEQUENCE:
            raise malformed("concatenated DER with something else than certificates in it")
        if len(parts) == _PARTS:
            raise MalformedEvidence(f"more than {_PARTS} certificates in one header", code="forwarded.too-large")
        parts.append(data[start:end])
        start = end
    return tuple(parts)


def require_certificate(der: bytes) -> None:
    """Return if *der* is, from its first byte to its last, the three parts of a certificate (RFC 5280, 4.1).

    What stands within them is for the verifier, which refuses a chain with one certificate that it cannot read.

    Raises:
        MalformedEvidence: It is cut short, followed by something, or something else.
    """
    if has_three_parts(der):
        return
    try:
        outer, at, end = element(der, 0, len(der))
        first, _, at = element(der, at, end)
        second, _, at = element(der, at, end)
        third, _, at = element(der, at, end)
    except MalformedEvidence as error:
        raise malformed(str(error)) from None
    if (outer, first, second, third, at) != (SEQUENCE, SEQUENCE, SEQUENCE, _BIT_STRING, len(der)):
        raise malformed("not DER of a certificate, or something follows it")


def pem_certificates(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of each certificate in *data*, PEM, which must begin with the first and end with the last block.

    Text around the blocks is allowed in files (RFC 7468) and not here: a damaged first block reads as such text, and
    the second certificate as the peer's.

    Raises:
        MalformedEvidence: No certificate, or something else.
    """
    text = data.strip(b" \t\r\n")
    usual = _usual_blocks(text)
    if usual:
        return usual
    if not text.startswith(b"-----BEGIN ") or not text.endswith(b"-----") or _outside(text):
        raise malformed("not PEM certificates alone")
    try:
        return certificate_blocks(text)
    except MalformedEvidence as error:
        raise malformed(str(error)) from None


def _usual_blocks(text: bytes) -> tuple[bytes, ...]:
    """Return the certificates of *text* as every proxy writes them, in a tenth of the time; empty: look closer."""
    found: list[bytes] = []
    at = 0
    while at < len(text):
        block = _USUAL_BLOCK.match(text, at)
        if block is None:
            return ()
        try:
            found.append(binascii.a2b_base64(block[1].replace(b"\n", b""), strict_mode=True))
        except binascii.Error:
            return ()
        at = block.end()
    return tuple(found)


def _outside(text: bytes) -> bool:
    """Return whether anything but white space stands between one block's END and the next BEGIN."""
    rest = re.sub(rb"-----BEGIN [^-]{1,64}-----[^-]*-----END [^-]{1,64}-----", b"", text)
    return bool(rest.strip(b" \t\r\n"))

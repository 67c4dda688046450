"""Writes DER (ITU-T X.690) from its parts, right or wrong: what the broken certificates are assembled with.

It decides nothing: tags, order and primitive values are the caller's, so that they can be wrong on purpose. Reading is
left to ``cryptography``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
T61_STRING: Final = 0x14
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
BMP_STRING: Final = 0x1E
SEQUENCE: Final = 0x30
SET: Final = 0x31


TRUE: Final = b"\x01\x01\xff"
"""The BOOLEAN true, whose octet DER wants to be FF (X.690, section 11.1); false is only ever left out, as a default."""

_UTC_TIME_YEARS: Final = range(1950, 2050)  # which a two-digit year stands for
_SHORT_FORM: Final = 0x80  # lengths below it take one octet


def length_octets(length: int) -> bytes:
    """Return *length* in the definite form with the fewest octets (X.690, sections 8.1.3 and 10.1)."""
    if length < _SHORT_FORM:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def tlv(tag: int, *contents: bytes) -> bytes:
    """Return identifier octet *tag*, length and the joined *contents*."""
    content = b"".join(contents)
    return bytes((tag,)) + length_octets(len(content)) + content


def sequence(*members: bytes) -> bytes:
    """Return a SEQUENCE of the encoded *members*."""
    return tlv(SEQUENCE, *members)


def set_of(*members: bytes) -> bytes:
    """Return a SET OF the encoded *members*, sorted as DER asks (X.690, section 11.6)."""
    return tlv(SET, *sorted(members))


def explicit(number: int, content: bytes) -> bytes:
    """Wrap the encoded *content* in the context tag [*number*] EXPLICIT."""
    return tlv(0xA0 | number, content)


def implicit(number: int, content: bytes, *, constructed: bool = False) -> bytes:
    """Return the bare *content* octets under the context tag [*number*] IMPLICIT."""
    return tlv((0xA0 if constructed else 0x80) | number, content)


def integer(value: int) -> bytes:
    """Return an INTEGER in two's complement with the fewest octets; negative ones too."""
    octets = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(INTEGER, value.to_bytes(octets, "big", signed=True))


def null() -> bytes:
    """Return NULL."""
    return tlv(NULL)


def octet_string(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(OCTET_STRING, content)


def bit_string(content: bytes, *, unused: int = 0) -> bytes:
    """Return a BIT STRING whose last octet has *unused* bits at its low end."""
    return tlv(BIT_STRING, bytes((unused,)), content)


def object_identifier(dotted: str) -> bytes:
    """Return the OBJECT IDENTIFIER of dotted decimal text (X.690, section 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return tlv(OBJECT_IDENTIFIER, b"".join(_base128(arc) for arc in (first * 40 + second, *rest)))


def _base128(arc: int) -> bytes:
    octets = [arc & 0x7F]
    while arc := arc >> 7:
        octets.append(0x80 | (arc & 0x7F))
    return bytes(reversed(octets))


def utf8_string(text: str) -> bytes:
    """Return a UTF8String."""
    return tlv(UTF8_STRING, text.encode())


def printable_string(text: str) -> bytes:
    """Return a PrintableString; that *text* keeps to its alphabet is up to the caller."""
    return tlv(PRINTABLE_STRING, text.encode("ascii"))


def ia5_string(text: str) -> bytes:
    """Return an IA5String."""
    return tlv(IA5_STRING, text.encode("ascii"))


def t61_string(text: str) -> bytes:
    """Return a T61String (TeletexString), its octets those of ISO 8859-1, as most software takes them."""
    return tlv(T61_STRING, text.encode("latin-1"))


def bmp_string(text: str) -> bytes:
    """Return a BMPString: two octets a character, big end first."""
    return tlv(BMP_STRING, text.encode("utf-16-be"))


def time(moment: datetime) -> bytes:
    """Return *moment* as UTCTime until 2049 and as GeneralizedTime from 2050 (RFC 5280, section 4.1.2.5)."""
    utc = moment.astimezone(UTC)
    if utc.year in _UTC_TIME_YEARS:
        return tlv(UTC_TIME, utc.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(GENERALIZED_TIME, f"{utc.year:04}{utc:%m%d%H%M%S}Z".encode())

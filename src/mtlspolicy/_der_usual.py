"""Reads certificates of the usual shape in one pass. It answers as `_der.certificate_layout` does, or not at all.

What is not exactly so (short, another version, unique identifiers, lengths in another form) is left to the general
reader, which is the one that refuses. Nothing is verified.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from mtlspolicy._der import BIT_STRING, SEQUENCE, Layout, extensions

_HEAD: Final = Struct(">HHHHIHB")
"""Certificate and its length, body and its length, version, tags up to the serial number, and its length."""
_LONG, _VERSION_3, _SERIAL = 0x3082, 0xA0030201, 0x0202
_LEAST: Final = 256
"""Least length that takes two bytes (X.690, 10.1)."""
_PARTS: Final = range(5)
"""Signature algorithm, issuer, validity, subject and key: all of them SEQUENCE."""
_EXTENSIONS: Final = 0xA3
_LONG_FORM, _ONE_BYTE, _TWO_BYTES = 0x80, 0x81, 0x82
"""First bytes of a length: from here on it says how many bytes the length takes."""
_new: Final[Callable[[type[Layout], tuple[object, ...]], Layout]] = tuple.__new__  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
"""A named tuple's own constructor is a function of Python's, and this runs for every certificate."""


def usual_layout(data: bytes) -> Layout | None:
    """Return the layout of the certificate whose DER is *data*, or ``None`` where it is not of the usual shape.

    Raises:
        MalformedEvidence: An extension does not have the shape of one, or there are too many.
    """
    size = len(data)
    if size < _LEAST + 4:
        return None
    head: tuple[int, ...] = _HEAD.unpack_from(data)
    outer, whole, inner, body, version, serial, length = head
    if outer != _LONG or inner != _LONG or version != _VERSION_3 or serial != _SERIAL or whole + 4 != size:
        return None
    end, at = body + 8, 15 + length
    if body < _LEAST or length >= _LONG_FORM or not _signed(data, end, size):
        return None
    edges = [at]
    for _ in _PARTS:
        if at + 4 > end or data[at] != SEQUENCE:  # four bytes, so that its length is inside the body as well
            return None
        length = data[at + 1]
        if length < _LONG_FORM:
            at += 2 + length
        elif length == _TWO_BYTES and data[at + 2]:
            at += 4 + (data[at + 2] << 8 | data[at + 3])
        elif length == _ONE_BYTE and data[at + 2] >= _LONG_FORM:
            at += 3 + data[at + 2]
        else:
            return None
        edges.append(at)
    first, signature, issuer, validity, subject, key = edges
    at = _opened(data, _EXTENSIONS, key, end)
    at = at and _opened(data, SEQUENCE, at, end)
    if not at:
        return None
    names = data[signature:issuer], data[validity:subject]
    return _new(Layout, (3, data[15:first], *names, data[subject:key], extensions(data, at, end)))


def has_three_parts(data: bytes) -> bool:
    """Return whether *data* is surely what a certificate is from its first byte to its last; false: look closer."""
    size = len(data)
    if size < _LEAST + 4:
        return False
    head: tuple[int, ...] = _HEAD.unpack_from(data)
    outer, whole, inner, body, _, _, _ = head
    if outer != _LONG or inner != _LONG or whole + 4 != size or body < _LEAST:
        return False
    return _signed(data, body + 8, size)


def _signed(data: bytes, start: int, end: int) -> bool:
    """Return whether an algorithm and a signature of whole bytes lie between *start* and *end*, and nothing else."""
    if start + 4 > end or data[start] != SEQUENCE or data[start + 1] >= _LONG_FORM:
        return False
    at = _opened(data, BIT_STRING, start + 2 + data[start + 1], end)
    return 0 < at < end and not data[at]


def _opened(data: bytes, tag: int, at: int, end: int) -> int:
    """Return where the content of the element at *at* begins, or 0 unless it has this *tag* and reaches to *end*."""
    if at + 4 > end or data[at] != tag:
        return 0
    length = data[at + 1]
    if length == _TWO_BYTES and data[at + 2]:
        return at + 4 if at + 4 + (data[at + 2] << 8 | data[at + 3]) == end else 0
    if length == _ONE_BYTE and data[at + 2] >= _LONG_FORM:
        return at + 3 if at + 3 + data[at + 2] == end else 0
    return at + 2 if at + 2 + length == end and length < _LONG_FORM else 0

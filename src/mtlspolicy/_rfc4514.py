"""Parses RFC 4514 text of distinguished names. It decides what is well-formed; equality of names is `_names`'."""

from __future__ import annotations

import re
from typing import Final

from mtlspolicy._der import element
from mtlspolicy._names import Attribute, attribute_oid, decode_string
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

_TYPE: Final = re.compile(r" *([A-Za-z][A-Za-z0-9-]*|(?:OID\.|oid\.)?[0-9]+(?:\.[0-9]+)+) *= *", re.ASCII)
_SPECIAL: Final = '"+,;<>\\'
_ESCAPABLE: Final = frozenset(' "#+,;<=>\\')


def parse_rdns(text: str) -> tuple[frozenset[Attribute], ...]:
    """Return the RDNs of *text*, most general first. Spaces around ``=``, ``+`` and ``,`` are passed over.

    Raises:
        ConfigurationError: Names the place that is not RFC 4514, and the escape that mends it.
    """
    if not text.strip(" "):
        raise ConfigurationError("the distinguished name is empty: write RFC 4514 text like 'CN=client,O=Example,C=DE'")
    if text.startswith("/"):
        raise ConfigurationError(
            f"{text!r} is in openssl's old slash form: print it with 'openssl x509 -noout -subject -nameopt RFC2253'"
        )
    rdns: list[frozenset[Attribute]] = []
    current: list[Attribute] = []
    at = 0
    while True:
        match = _TYPE.match(text, at)
        if match is None:
            raise ConfigurationError(
                f"no attribute type with '=' at character {at} of the distinguished name {text!r}: write it as RFC "
                "4514 does, 'CN=frodo,O=Example'"
            )
        value, at = _value(text, match.end())
        current.append((attribute_oid(match[1]), value))
        separator = text[at : at + 1]
        if separator != "+":
            if len(set(current)) != len(current):
                raise ConfigurationError(f"an attribute stands twice in one RDN of {text!r}")
            rdns.append(frozenset(current))
            current = []
        if not separator:
            return tuple(reversed(rdns))
        at += 1


def _value(text: str, at: int) -> tuple[str, int]:
    """Return the value that begins at *at*, and the index of the ``,`` or ``+`` that ends it, or of the end."""
    if text[at : at + 1] == "#":
        return _hexadecimal(text, at)
    out = bytearray()
    kept = 0  # bytes up to here stay: unescaped spaces after it are the separator's
    while at < len(text) and text[at] not in ",+":
        char = text[at]
        if char == "\\":
            piece, at = _escaped(text, at)
            out += piece
            kept = len(out)
            continue
        if char in _SPECIAL or char == "\0":
            written = r"\00" if char == "\0" else f"\\{char}"
            raise ConfigurationError(
                f"{char!r} at character {at} of the distinguished name {text!r}: write it as {written}"
            )
        out += char.encode("utf-8", "surrogatepass")
        at += 1
        if char != " ":
            kept = len(out)
    try:
        value = out[:kept].decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"the escaped bytes in the distinguished name {text!r} are not UTF-8") from None
    if not value:
        raise ConfigurationError(f"an attribute of the distinguished name {text!r} has no value")
    return value, at


def _escaped(text: str, at: int) -> tuple[bytes, int]:
    following = text[at + 1 : at + 2]
    if following and following in _ESCAPABLE:
        return following.encode(), at + 2
    pair = text[at + 1 : at + 3]
    if re.fullmatch(r"[0-9A-Fa-f]{2}", pair, re.ASCII):
        return bytes.fromhex(pair), at + 3
    raise ConfigurationError(
        f"the backslash at character {at} of the distinguished name {text!r} escapes nothing: write \\\\ or two hex "
        "digits"
    )


def _hexadecimal(text: str, at: int) -> tuple[str, int]:
    match = re.compile(r"#((?:[0-9A-Fa-f]{2})+) *(?=[,+]|$)", re.ASCII).match(text, at)
    value = None
    if match is not None:
        der = bytes.fromhex(match[1])
        try:
            tag, start, end = element(der, 0, len(der))
        except MalformedEvidence:
            tag = start = end = 0
        value = decode_string(tag, der[start:end]) if end == len(der) else None
    if match is None or value is None:
        raise ConfigurationError(
            f"the '#' value at character {at} of the distinguished name {text!r} is not the DER of a "
            "UTF8String, PrintableString, IA5String or BMPString in hex"
        )
    return value, match.end()

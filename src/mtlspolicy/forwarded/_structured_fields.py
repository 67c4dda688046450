"""Reads the structured fields (RFC 8941) in which certificates are forwarded: one byte sequence, or a list of them.

It is stricter than section 4.2 where leniency lets one value have two spellings: base64 is canonical and padded, and
parameters are refused, since none is defined for these fields and what they would say is not known.
"""

from __future__ import annotations

from mtlspolicy.forwarded._encodings import base64_der, malformed

__all__ = ["byte_sequence", "byte_sequences"]


def byte_sequence(text: str) -> bytes:
    """Return the bytes of an Item that is a Byte Sequence (RFC 8941, 3.3.5): ``:`` base64 ``:`` and nothing else.

    Args:
        text: The field's value, without white space around it.

    Raises:
        MalformedEvidence: Anything else: several values, parameters, base64 that is empty, not padded or not canonical.
    """
    if len(text) < 2 or not text.startswith(":") or not text.endswith(":"):
        raise malformed(
            "not a byte sequence, which is base64 between two colons without parameters (RFC 8941, 3.3.5); percent-"
            "encoded PEM is another dialect"
        )
    return base64_der(text[1:-1])


def byte_sequences(text: str) -> tuple[bytes, ...]:
    """Return the members of a List of Byte Sequences (RFC 8941, 3.1); the empty text is the empty list.

    Args:
        text: The field's value, several lines joined by commas, without white space around it.

    Raises:
        MalformedEvidence: A member that is none, or is missing: a comma at the beginning, at the end, or twice.
    """
    # split and stripped, which is linear; around the comma there may be tabs as well as spaces (RFC 8941, 4.2.1)
    return tuple(byte_sequence(member.strip(" \t")) for member in text.split(",")) if text else ()

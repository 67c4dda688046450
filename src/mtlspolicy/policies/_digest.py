"""Text forms of SHA-256 digests: ``sha256/BASE64=`` as in RFC 7469, hex, and openssl's fingerprints with colons.

It decides what is a digest and says which form was meant where it is not; what was hashed is for others.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from mtlspolicy.errors import ConfigurationError

_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)
_COLONS: Final = re.compile(
    r"(?:sha256 fingerprint=)?([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})", re.ASCII | re.IGNORECASE
)
_SHA1: Final = re.compile(r"(?:sha1 fingerprint=)?[0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){19}", re.ASCII | re.IGNORECASE)
_BARE: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)


def parse_digest(text: str, what: str, *, colons: bool) -> bytes:
    """Return the 32 bytes of the digest that *text* writes.

    Args:
        text: ``sha256/`` (or curl's ``sha256//``) and 44 characters of base64, or 64 hex digits of either case.
        what: Begins the message of an error.
        colons: Whether hex pairs with colons are read too, with or without ``SHA256 Fingerprint=`` before them. That is
            how openssl prints the fingerprint of a certificate, which is no pin of a key.

    Raises:
        ConfigurationError: *text* is no such digest.
    """
    if text.startswith("sha256/"):
        digest = _base64(
            text[8:] if len(text) == 52 and text[7] == "/" else text[7:]
        )  # base64 may begin with a slash of its own
        if digest is not None:
            return digest
    elif _HEX.fullmatch(text):
        return bytes.fromhex(text)
    fingerprint = _COLONS.fullmatch(text)
    if fingerprint and colons:
        return bytes.fromhex(fingerprint[1].replace(":", ""))
    raise ConfigurationError(f"{what} {text!r} {_remedy(text, fingerprint=fingerprint is not None)}")


def _base64(text: str) -> bytes | None:
    """Return the 32 bytes in *text*, or ``None`` where it is not their one base64 form (RFC 4648, section 3.5)."""
    try:
        digest = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return digest if len(digest) == 32 and binascii.b2a_base64(digest, newline=False).decode("ascii") == text else None


def _remedy(text: str, *, fingerprint: bool) -> str:
    if fingerprint:
        return "is the fingerprint of a certificate, not the pin of a key: use CertificatePin, or SPKIPin.from_file"
    if _SHA1.fullmatch(text):
        return "is a SHA-1 digest, which can be forged: take SHA-256"
    if _BARE.fullmatch(text):
        return f"lacks its mark: write 'sha256/{text}', in the base64 alphabet with + and /, padded with ="
    return "is no SHA-256 digest: write 'sha256/' and 44 characters of base64, or 64 hex digits"


def digest_text(digest: bytes) -> str:
    """Return *digest* as ``sha256/BASE64=``."""
    return "sha256/" + binascii.b2a_base64(digest, newline=False).decode("ascii")

"""The certificates that a client registers by a JWK Set (RFC 8705, section 2.2; RFC 7517): ``x5c[0]`` of each key.

The rest of ``x5c`` is passed over: it vouches for nobody. Whether a certificate is valid is judged when it is shown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final, cast

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import DEFAULT_LIMITS
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.oauth._binding import THUMBPRINT
from mtlspolicy.oauth._sender import thumbprint_of

__all__ = ["certificates_in"]

MOST_KEYS: Final = 64
"""Keys in a set; a client that rotates has two or three."""
LONGEST: Final = 4 * ((DEFAULT_LIMITS.certificate_bytes + 2) // 3)
"""Characters of base64 of the largest certificate that may be presented."""
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
"""Members of a JWK that are secret (RFC 7518, section 6; RFC 8037)."""
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(message, code="oauth.jwks")


def certificates_in(jwks: object) -> tuple[ParsedCertificate, ...]:
    """Return the certificates in a JWK Set, each whose key agrees with that of its JWK.

    Keys without ``x5c``, and keys that are for something else than signatures (``use``), are passed over.

    Raises:
        ConfigurationError: No JWK Set, no certificate in it, one that cannot be read, a private key, or parameters of
            another key than the certificate's (``oauth.jwks``).
    """
    keys = cast("Mapping[str, object]", jwks).get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list | tuple):
        raise _wrong("a JWK Set is an object with an array 'keys' (RFC 7517, section 5)")
    listed = cast("list[object]", keys)
    if len(listed) > MOST_KEYS:
        raise _wrong(f"a JWK Set of {len(listed)} keys; at most {MOST_KEYS}")
    found = [_certificate(key, f"key {number} of the JWK Set") for number, key in enumerate(listed)]
    certificates = tuple(dict.fromkeys(one for one in found if one is not None))
    if not certificates:
        raise _wrong("no key of the JWK Set has a certificate: each that authenticates has it in 'x5c'")
    return certificates


def _certificate(key: object, where: str) -> ParsedCertificate | None:
    if not isinstance(key, Mapping):
        raise _wrong(f"{where} is an object, not {type(key).__name__}")
    jwk = cast("Mapping[str, object]", key)
    if not PRIVATE.isdisjoint(jwk):
        raise _wrong(f"{where} has private parts: publish public keys only, and replace this one")
    if jwk.get("x5c") is None or jwk.get("use") not in (None, "sig"):
        return None
    certificate = ParsedCertificate(_der(jwk["x5c"], where))
    try:
        expected = _parameters(certificate)
    except MalformedEvidence as error:
        raise _wrong(f"{where}: x5c[0]: {error}") from None
    if expected is None:
        raise _wrong(f"{where}: the certificate's key is of a kind that no JWK of RFC 7518 or 8037 describes")
    if THUMBPRINT in jwk:
        expected[THUMBPRINT] = thumbprint_of(certificate.der)
    for name, value in expected.items():  # RFC 7517, section 4.7: the key of the first certificate is the JWK's
        if jwk.get(name) != value:
            raise _wrong(f"{where}: {name!r} is not that of the certificate in x5c[0]")
    return certificate


def _der(chain: object, where: str) -> bytes:
    first = cast("list[object]", chain)[0] if isinstance(chain, list | tuple) and chain else None
    if not isinstance(first, str):
        raise _wrong(f"{where}: x5c is an array of certificates as text")
    if len(first) > LONGEST:
        raise _wrong(f"{where}: x5c[0] has {len(first)} characters; at most {LONGEST}")
    try:
        der = base64.b64decode(first, validate=True)  # RFC 7517, section 4.7: not base64url
    except ValueError:
        der = b""
    if not der or base64.b64encode(der).decode("ascii") != first:  # a decoder lets stray padding and bits pass
        raise _wrong(f"{where}: x5c[0] is not base64 of a certificate, in one line and with padding")
    return der


def _parameters(certificate: ParsedCertificate) -> dict[str, str] | None:
    """Return the members that a JWK of the certificate's key has (RFC 7518, section 6; RFC 8037, section 2)."""
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        size = (key.key_size + 7) // 8
        point = key.public_numbers()
        crv = _CURVES[key.curve.name]
        return {"kty": "EC", "crv": crv, "x": _number(point.x, size), "y": _number(point.y, size)}
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        crv = "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448"
        return {"kty": "OKP", "crv": crv, "x": _text(key.public_bytes_raw())}
    return None


def _number(value: int, size: int | None = None) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8 if size is None else size, "big"))


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")

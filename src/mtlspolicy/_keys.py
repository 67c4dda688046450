"""Which public keys are strong enough: the one rule that path validation and `policies.KeyStrength` share.

Deliberately not done: known-weak keys (shared primes, ROCA), which need more than one certificate or a list.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.errors import MalformedEvidence

RSA_MINIMUM: Final = 2048
"""Bits; NIST SP 800-57 part 1, and the CA/Browser Forum's Baseline Requirements, section 6.1.5."""
RSA_MAXIMUM: Final = 8192
"""Bits; bounds the cost of one signature verification."""
EXPONENT_MAXIMUM: Final = 2**32
CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_EDWARDS: Final = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)


def weakness(
    certificate: ParsedCertificate, *, rsa_minimum: int = RSA_MINIMUM, curves: frozenset[str] = CURVES
) -> str | None:
    """Return why the key of *certificate* is not accepted, or ``None`` where it is.

    Args:
        certificate: Whose public key is judged.
        rsa_minimum: Smallest RSA modulus, in bits.
        curves: Accepted elliptic curves, by their SEC names.
    """
    try:
        form = certificate.key_form
        if form is not None and (form.curve in curves if form.curve else form.rsa_bits >= rsa_minimum):
            return None  # all of it is known from the bytes, and nothing in them keeps it from being parsed
        key = certificate.public_key
    except MalformedEvidence as error:
        return str(error)
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa_weakness(key, rsa_minimum)
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in curves:
            return f"elliptic curve {key.curve.name}; accepted: {', '.join(sorted(curves))}"
        return None
    if isinstance(key, _EDWARDS) or type(key).__name__.startswith("MLDSA"):
        return None
    return f"a key of kind {type(key).__name__.removesuffix('PublicKey')}"


def _rsa_weakness(key: rsa.RSAPublicKey, minimum: int) -> str | None:
    if key.key_size < minimum:
        return f"an RSA key of {key.key_size} bits; at least {minimum}"
    if key.key_size > RSA_MAXIMUM:
        return f"an RSA key of {key.key_size} bits; at most {RSA_MAXIMUM}"
    if key.public_numbers().e > EXPONENT_MAXIMUM:
        return "an RSA key whose public exponent exceeds 2^32"
    return None

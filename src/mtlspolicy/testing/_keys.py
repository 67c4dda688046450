"""Private keys for test certificates: makes them by name and signs with them.

It does not judge strength: whether a key is good enough for a peer is a matter of the library's policies. Nothing is
written to disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from mtlspolicy.errors import ConfigurationError

PrivateKey = CertificateIssuerPrivateKeyTypes
"""A private key of ``cryptography`` that can sign certificates."""

HashAlgorithm = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

KEY_KINDS: Final[dict[str, Callable[[], PrivateKey]]] = {
    "ec-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ec-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ec-p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}
"""What ``key=`` accepts as text. Weak kinds are only in the catalogue of broken certificates."""

# RFC 8446, section 4.2.3, pairs these curves with these hashes; SHA-256 for every other.
_CURVE_HASHES: Final[dict[str, HashAlgorithm]] = {"secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}

_pool: dict[tuple[str, int], PrivateKey] = {}
_pool_lock = threading.Lock()


def generate_key(kind: str) -> PrivateKey:
    """Make a fresh private key of the *kind* named in `KEY_KINDS`.

    Raises:
        ConfigurationError: The kind is unknown.
    """
    try:
        make = KEY_KINDS[kind]
    except KeyError:
        raise ConfigurationError(
            f"key kind {kind!r} is not known: use one of {', '.join(KEY_KINDS)}, or pass a private key object"
        ) from None
    return make()


def pooled_key(kind: str = "rsa-2048", index: int = 0) -> PrivateKey:
    """Return key number *index* of a pool that lasts as long as this Python process.

    Generating an RSA key takes from 50 milliseconds (2048 bits) to seconds (4096 bits). Tests that make many
    authorities ask for the same few keys again: ``CertificateAuthority(key=pooled_key("rsa-2048", 1))``. The same
    *kind* and *index* always give the same key, so two certificates that should differ for a pin need two indexes. No
    other function takes keys from the pool.

    Raises:
        ConfigurationError: The kind is unknown.
    """
    with _pool_lock:
        key = _pool.get((kind, index))
        if key is None:
            key = _pool[kind, index] = generate_key(kind)
        return key


def resolve_key(key: PrivateKey | str) -> PrivateKey:
    """Return *key* itself, or a fresh one of the kind that the text names."""
    return generate_key(key) if isinstance(key, str) else key


def signature_hash(key: PrivateKey) -> HashAlgorithm | None:
    """Return the digest that belongs to *key*: the curve's for ECDSA, SHA-256 for RSA, none for EdDSA."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVE_HASHES.get(key.curve.name, hashes.SHA256())
    if isinstance(key, rsa.RSAPrivateKey):
        return hashes.SHA256()
    return None


def sign_bytes(key: PrivateKey, data: bytes, digest: hashes.HashAlgorithm | None) -> bytes:
    """Sign *data* with *key*; RSA with PKCS #1 v1.5, ECDSA as DER (RFC 3279, section 2.2.3).

    Raises:
        ConfigurationError: *digest* does not go with the kind of key.
    """
    if isinstance(key, rsa.RSAPrivateKey) and digest is not None:
        return key.sign(data, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey) and digest is not None:
        return key.sign(data, ec.ECDSA(digest))
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) and digest is None:
        return key.sign(data)
    raise ConfigurationError(
        f"cannot sign with a {type(key).__name__} and digest {digest}: use an RSA, EC or EdDSA key"
    )

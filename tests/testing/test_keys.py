"""Private keys for test certificates: the pool, the kinds and the signatures."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, pooled_key
from mtlspolicy.testing._keys import KEY_KINDS, generate_key, sign_bytes, signature_hash


def test_pool_gives_one_key_for_one_number() -> None:
    """The same kind and index give the same key, another index another key."""
    assert pooled_key("ec-p256", 0) is pooled_key("ec-p256", 0)
    assert pooled_key("ec-p256", 0) is not pooled_key("ec-p256", 1)
    assert pooled_key("ec-p256", 0) is not pooled_key("ec-p384", 0)


def test_authorities_never_share_a_key_unasked() -> None:
    """Two authorities made alike have different keys, so that a pin tells them apart."""
    assert CertificateAuthority().key is not CertificateAuthority().key
    assert CertificateAuthority(key="rsa-2048").key is not pooled_key("rsa-2048")


@pytest.mark.parametrize(
    ("kind", "size"), [("ec-p256", 256), ("ec-p384", 384), ("ec-p521", 521), ("rsa-2048", 2048), ("rsa-3072", 3072)]
)
def test_kinds_have_the_size_they_say(kind: str, size: int) -> None:
    """EC and RSA keys have the size in their name."""
    key = generate_key(kind)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    assert key.key_size == size


def test_rsa_4096_is_offered() -> None:
    """The slowest kind is there by name; it is not generated here, for the seconds it takes."""
    assert "rsa-4096" in KEY_KINDS


def test_unknown_kind_is_refused() -> None:
    """An unknown kind is named together with the known ones."""
    with pytest.raises(ConfigurationError, match=r"'rsa-1024' is not known: use one of ec-p256, .*ed448"):
        pooled_key("rsa-1024")


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("ec-p256", "sha256"), ("ec-p384", "sha384"), ("ec-p521", "sha512"), ("ed25519", None), ("ed448", None)],
)
def test_digest_belongs_to_the_key(kind: str, digest: str | None) -> None:
    """ECDSA takes the digest of its curve (RFC 8446, 4.2.3), EdDSA none."""
    found = signature_hash(generate_key(kind))
    assert (found.name if found else None) == digest


def test_digest_that_does_not_go_with_the_key_is_refused() -> None:
    """EdDSA with a digest, and ECDSA without, are errors that name both."""
    with pytest.raises(ConfigurationError, match="cannot sign with a"):
        sign_bytes(ed25519.Ed25519PrivateKey.generate(), b"", hashes.SHA256())
    with pytest.raises(ConfigurationError, match="and digest None"):
        sign_bytes(generate_key("ec-p256"), b"", None)

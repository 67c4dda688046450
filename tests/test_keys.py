"""Which public keys are strong enough (DESIGN 6.5): bounds from both sides, named curves, and nothing unknown."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._keys import EXPONENT_MAXIMUM, weakness
from mtlspolicy.testing import CertificateAuthority, broken

CA = CertificateAuthority("Root")
LEAF = CA.issue_client("leaf")


def bearing(key: Any) -> ParsedCertificate:
    """Return a certificate whose public key reads as *key*."""
    certificate = ParsedCertificate(LEAF.der)
    certificate.__dict__.update(public_key=key, key_form=None)  # of none of the usual forms, which are read by bytes
    return certificate


def numbers(bits: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    """Return an RSA public key of so many bits; nobody knows its factors, which verification does not need."""
    return rsa.RSAPublicNumbers(exponent, (1 << (bits - 1)) | 1).public_key()


@pytest.mark.parametrize(
    "key",
    [
        numbers(2048),
        numbers(8192),
        numbers(2048, EXPONENT_MAXIMUM - 1),
        ec.generate_private_key(ec.SECP256R1()).public_key(),
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        ed448.Ed448PrivateKey.generate().public_key(),
    ],
)
def test_strong_keys(key: Any) -> None:
    """RSA from 2048 to 8192 bits, the three NIST curves, Ed25519 and Ed448 are accepted."""
    assert weakness(bearing(key)) is None


def test_post_quantum_signatures() -> None:
    """ML-DSA keys are accepted, where the library below can make them."""
    mldsa: Any = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    try:
        key = mldsa.MLDSA65PrivateKey.generate().public_key()
    except UnsupportedAlgorithm:
        pytest.skip("no ML-DSA in the OpenSSL below")
    assert weakness(bearing(key)) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (numbers(2047), "an RSA key of 2047 bits; at least 2048"),
        (numbers(1024), "an RSA key of 1024 bits; at least 2048"),
        (numbers(8193), "an RSA key of 8193 bits; at most 8192"),
        (numbers(2048, EXPONENT_MAXIMUM + 1), "an RSA key whose public exponent exceeds 2^32"),
        (
            ec.generate_private_key(ec.SECP256K1()).public_key(),
            "elliptic curve secp256k1; accepted: secp256r1, secp384r1, secp521r1",
        ),
        (ec.generate_private_key(ec.SECP224R1()).public_key(), "elliptic curve secp224r1"),
        (x25519.X25519PrivateKey.generate().public_key(), "a key of kind X25519"),
        (dsa.generate_private_key(2048).public_key(), "a key of kind DSA"),
    ],
)
def test_weak_keys(key: Any, reason: str) -> None:
    """Short, long and unusual RSA keys, other curves and other kinds are refused, with the reason."""
    assert (weakness(bearing(key)) or "").startswith(reason)


def test_bounds_of_the_caller() -> None:
    """A caller may ask for more bits and fewer curves."""
    assert "at least 3072" in (weakness(bearing(numbers(2048)), rsa_minimum=3072) or "")
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert "accepted: secp384r1" in (weakness(bearing(key), curves=frozenset({"secp384r1"})) or "")


def test_a_key_that_cannot_be_read_is_no_strong_key() -> None:
    """Bytes that are no key give a reason and no exception."""
    spki = LEAF.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    spoilt = LEAF.der.replace(spki[-64:], b"\x05" * 64)
    assert "public key of CN=leaf cannot be read" in (weakness(ParsedCertificate(spoilt)) or "")


@pytest.mark.parametrize("name", ["rsa-1024", "secp256k1", "p-224"])
def test_weak_certificates_of_the_catalogue(name: str) -> None:
    """Real certificates with weak keys are found out as well."""
    assert weakness(ParsedCertificate(broken(name, CA).der)) is not None

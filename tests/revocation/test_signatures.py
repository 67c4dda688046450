"""Signature algorithms are recognised by every byte of their AlgorithmIdentifier; a key verifies with its own alone."""

from __future__ import annotations

from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.revocation._signatures import Signed, signed_by, signed_of
from mtlspolicy.testing import CertificateAuthority, pooled_key
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import signature_algorithm
from mtlspolicy.testing._keys import PrivateKey, sign_bytes, signature_hash
from tests.revocation.made import LIFE, NULL, pss_algorithm

KINDS: Final = ("rsa-2048", "ec-p256", "ec-p384", "ec-p521", "ed25519", "ed448")
DIGESTS: Final = (hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512())  # noqa: S303 - recognised, not liked
CONTENT: Final = b"what is signed"


def signed(key: PrivateKey, digest: hashes.HashAlgorithm | None) -> Signed:
    """Return a signature over the content of these tests."""
    return Signed(CONTENT, sign_bytes(key, CONTENT, digest), signature_algorithm(key, digest))


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_each_kind_of_key(kind: str) -> None:
    """The parts of a certificate verify with its issuer's key, and with no other one, of whatever kind."""
    authority = CertificateAuthority("Root", key=pooled_key(kind), **LIFE)
    parts = signed_of(authority.der)
    assert parts.content == authority.certificate.tbs_certificate_bytes
    assert parts.signature == authority.certificate.signature
    assert parts.oid == authority.certificate.signature_algorithm_oid.dotted_string
    assert signed_by(authority.key.public_key(), parts)
    for other in KINDS:
        assert not signed_by(pooled_key(other, 1).public_key(), parts)
    assert not signed_by(authority.key.public_key(), parts._replace(content=parts.content + b"\x00"))
    assert not signed_by(None, parts)


@pytest.mark.parametrize("digest", DIGESTS, ids=lambda one: str(one.name))
@pytest.mark.parametrize(("kind", "family"), [("rsa-2048", "rsa"), ("ec-p256", "ecdsa")])
def test_digests_are_told(kind: str, family: str, digest: hashes.HashAlgorithm) -> None:
    """Family and digest are those that signed; SHA-1 too, so that it can be refused by name; the digest counts."""
    parts = signed(pooled_key(kind), digest)
    assert (parts.family, parts.digest) == (family, digest.name)
    key = pooled_key(kind).public_key()
    assert signed_by(key, parts)
    for other in DIGESTS:
        if other is not digest:
            assert not signed_by(key, parts._replace(algorithm=signature_algorithm(pooled_key(kind), other)))


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_pss_with_its_usual_parameters(name: str) -> None:
    """One digest for message and mask, and a salt of its length; another salt does not verify."""
    key = pooled_key("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    digest = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[name]
    for salt in (digest.digest_size, 20, 0):
        signature = key.sign(CONTENT, padding.PSS(padding.MGF1(digest), salt), digest)
        for null in (NULL, b""):
            parts = Signed(CONTENT, signature, pss_algorithm(name, null=null))
            assert (parts.family, parts.digest) == ("pss", name)
            assert signed_by(key.public_key(), parts) is (salt == digest.digest_size)


def test_an_algorithm_with_one_bit_changed_is_another_one() -> None:
    """Whatever bit of an AlgorithmIdentifier changes, nobody has signed with it: parameters do not go unread."""
    for kind in KINDS:
        parts = signed(pooled_key(kind), signature_hash(pooled_key(kind)))
        for place in range(len(parts.algorithm) * 8):
            changed = bytearray(parts.algorithm)
            changed[place // 8] ^= 1 << place % 8
            assert not signed_by(pooled_key(kind).public_key(), parts._replace(algorithm=bytes(changed)))


UNKNOWN: Final = {
    "RSA with MD5": der.sequence(der.object_identifier("1.2.840.113549.1.1.4"), NULL),
    "RSA with SHA-224": der.sequence(der.object_identifier("1.2.840.113549.1.1.14"), NULL),
    "ECDSA with SHA-224": der.sequence(der.object_identifier("1.2.840.10045.4.3.1")),
    "ECDSA with parameters": der.sequence(der.object_identifier("1.2.840.10045.4.3.2"), NULL),
    "Ed25519 with parameters": der.sequence(der.object_identifier("1.3.101.112"), NULL),
    "PSS, all by default": der.sequence(der.object_identifier("1.2.840.113549.1.1.10"), der.sequence()),
    "PSS with a salt of 33": pss_algorithm(salt=33),
    "PSS with another mask": pss_algorithm(mask="sha512"),
    "something behind it": der.sequence(der.object_identifier("1.3.101.112")) + b"\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_algorithms_have_no_family(name: str) -> None:
    """What is not in the table, to the byte, is not accepted, and verifies nothing."""
    parts = Signed(CONTENT, b"signature", UNKNOWN[name])
    assert (parts.family, parts.digest) == ("", "")
    for kind in KINDS:
        assert not signed_by(pooled_key(kind).public_key(), parts)


@pytest.mark.parametrize("algorithm", [b"", b"\x30", der.sequence(), der.sequence(NULL), b"\x30\x03\x06\x01\x80"])
def test_an_algorithm_without_a_name(algorithm: bytes) -> None:
    """An AlgorithmIdentifier that begins with no object identifier is malformed."""
    with pytest.raises(MalformedEvidence):
        _ = Signed(CONTENT, b"", algorithm).oid


ALGORITHM: Final = der.sequence(der.object_identifier("1.3.101.112"))
BODY: Final = der.sequence(NULL)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        der.sequence(),
        der.sequence(BODY, ALGORITHM),
        der.sequence(BODY, ALGORITHM, der.bit_string(b"s")) + b"\x00",
        der.set_of(BODY, ALGORITHM, der.bit_string(b"s")),
        der.sequence(NULL, ALGORITHM, der.bit_string(b"s")),
        der.sequence(BODY, NULL, der.bit_string(b"s")),
        der.sequence(BODY, ALGORITHM, der.octet_string(b"\x00s")),
        der.sequence(BODY, ALGORITHM, der.bit_string(b"s", unused=1)),
        der.sequence(BODY, ALGORITHM, der.tlv(der.BIT_STRING)),
    ],
)
def test_what_is_no_signed_structure(data: bytes) -> None:
    """Three parts of their tags, a signature of whole bytes, and nothing around them."""
    with pytest.raises(MalformedEvidence):
        signed_of(data)


def test_a_structure_within_others_and_what_follows_the_signature() -> None:
    """The parts are found between given places; a response's certificates may follow them."""
    inner = der.sequence(BODY, ALGORITHM, der.bit_string(b"s"), der.explicit(0, der.sequence()))
    parts = signed_of(b"before" + inner + b"behind", 6, 6 + len(inner))
    assert parts == Signed(BODY, b"s", ALGORITHM)


def test_a_signature_that_is_no_signature() -> None:
    """Bytes of whatever length, under every algorithm, verify nothing and raise nothing."""
    keys: list[Any] = [pooled_key(kind).public_key() for kind in KINDS]
    keys.append(ec.generate_private_key(ec.SECP256K1()).public_key())
    for kind in KINDS:
        algorithm = signature_algorithm(pooled_key(kind), signature_hash(pooled_key(kind)))
        for signature in (b"", b"\x00", bytes(64), bytes(256), bytes(5000)):
            for key in keys:
                assert not signed_by(key, Signed(CONTENT, signature, algorithm))

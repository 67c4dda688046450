"""Takes a good certificate apart and puts it together again with parts that no well-meaning builder would write.

It signs whatever it is given; that the result is wrong is the purpose. It reads only certificates that were made here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._keys import PrivateKey, sign_bytes, signature_hash

V1: Final = b""
"""The version field of X.509 v1: absent, being the default (RFC 5280, section 4.1.2.1)."""
V3: Final = der.explicit(0, der.integer(2))

_RSA: Final = {"sha1": 5, "sha256": 11, "sha384": 12, "sha512": 13}  # RFC 8017, under 1.2.840.113549.1.1
_ECDSA: Final = {"sha1": "1", "sha256": "3.2", "sha384": "3.3", "sha512": "3.4"}  # RFC 5758, under 1.2.840.10045.4


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: dotted OID, DER value (inside the OCTET STRING), critical or not."""

    oid: str
    value: bytes
    critical: bool = False

    def encoded(self) -> bytes:
        """Return the Extension SEQUENCE, DER."""
        critical = der.TRUE if self.critical else b""
        return der.sequence(der.object_identifier(self.oid), critical, der.octet_string(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMade:
    """The fields of a TBSCertificate (RFC 5280, section 4.1), each as DER that may be wrong."""

    serial: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    public_key: bytes
    extensions: tuple[Extension, ...]
    version: bytes = V3

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Take a good certificate apart."""
        return cls(
            serial=der.integer(certificate.serial_number),
            issuer=certificate.issuer.public_bytes(),
            validity=der.sequence(
                der.time(certificate.not_valid_before_utc), der.time(certificate.not_valid_after_utc)
            ),
            subject=certificate.subject.public_bytes(),
            public_key=certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            extensions=tuple(
                Extension(extension.oid.dotted_string, extension.value.public_bytes(), extension.critical)
                for extension in certificate.extensions
            ),
        )

    def without(self, oid: x509.ObjectIdentifier) -> Self:
        """Return a copy that lacks the extensions of type *oid*."""
        return replace(self, extensions=tuple(e for e in self.extensions if e.oid != oid.dotted_string))

    def adding(self, oid: x509.ObjectIdentifier, value: bytes, *, critical: bool = False) -> Self:
        """Return a copy with one more extension at the end, whatever is there already."""
        return replace(self, extensions=(*self.extensions, Extension(oid.dotted_string, value, critical)))

    def setting(self, oid: x509.ObjectIdentifier, value: bytes, *, critical: bool = False) -> Self:
        """Return a copy whose only extension of type *oid* has this *value*."""
        return self.without(oid).adding(oid, value, critical=critical)

    def to_be_signed(self, algorithm: bytes) -> bytes:
        """Return the TBSCertificate, DER, with *algorithm* as its signature field; no empty list of extensions."""
        listed = b"".join(extension.encoded() for extension in self.extensions)
        return der.sequence(
            self.version,
            self.serial,
            algorithm,
            self.issuer,
            self.validity,
            self.subject,
            self.public_key,
            der.explicit(3, der.sequence(listed)) if listed else b"",
        )

    def signed_by(self, key: PrivateKey, *, digest: hashes.HashAlgorithm | None = None) -> bytes:
        """Return the certificate, DER, signed with *key*; *digest* instead of the one that belongs to the key."""
        digest = signature_hash(key) if digest is None else digest
        algorithm = signature_algorithm(key, digest)
        tbs = self.to_be_signed(algorithm)
        return assemble(tbs, algorithm, sign_bytes(key, tbs, digest))


def assemble(tbs: bytes, algorithm: bytes, signature: bytes) -> bytes:
    """Return the Certificate SEQUENCE of its three parts."""
    return der.sequence(tbs, algorithm, der.bit_string(signature))


def signature_algorithm(key: PrivateKey, digest: hashes.HashAlgorithm | None) -> bytes:
    """Return the AlgorithmIdentifier for signatures of *key* over *digest*, DER.

    Raises:
        ConfigurationError: No identifier is known for the two together.
    """
    name = "" if digest is None else digest.name
    if isinstance(key, rsa.RSAPrivateKey) and name in _RSA:
        return der.sequence(der.object_identifier(f"1.2.840.113549.1.1.{_RSA[name]}"), der.null())
    if isinstance(key, ec.EllipticCurvePrivateKey) and name in _ECDSA:
        return der.sequence(der.object_identifier(f"1.2.840.10045.4.{_ECDSA[name]}"))
    if isinstance(key, ed25519.Ed25519PrivateKey) and not name:
        return der.sequence(der.object_identifier("1.3.101.112"))
    if isinstance(key, ed448.Ed448PrivateKey) and not name:
        return der.sequence(der.object_identifier("1.3.101.113"))
    raise ConfigurationError(
        f"a {type(key).__name__} does not sign over {name or 'nothing'} here: use an authority with an EC or RSA key"
    )


def relative_name(*attributes: tuple[str, bytes]) -> bytes:
    """Return one RelativeDistinguishedName of (dotted OID, encoded value) pairs; several make it multi-valued."""
    return der.set_of(*(der.sequence(der.object_identifier(oid), value) for oid, value in attributes))

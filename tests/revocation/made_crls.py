"""CRLs (RFC 5280, section 5.1) put together from parts, right or wrong; of the CA and the clients that ``made`` has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import CRLQuestion, CRLRule, RevocationAnswer
from mtlspolicy.revocation import read_crl
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension, signature_algorithm
from mtlspolicy.testing._keys import PrivateKey, sign_bytes, signature_hash
from tests.revocation.made import AT, FRODO, HOUR, ROOT, generalized

NUMBER: Final = Extension("2.5.29.20", der.integer(7))
REASON, INVALIDITY = "2.5.29.21", "2.5.29.24"
DELTA: Final = Extension("2.5.29.27", der.integer(6), critical=True)
V2: Final = der.integer(1)
HERE, THERE = "http://crl.example.com/1.crl", "http://crl.example.com/2.crl"


def reason(code: int, *, critical: bool = False) -> Extension:
    """Return a reasonCode."""
    return Extension(REASON, der.tlv(0x0A, bytes((code,))), critical)


def invalidity(moment: datetime) -> Extension:
    """Return an invalidityDate."""
    return Extension(INVALIDITY, generalized(moment))


def uri(text: str) -> bytes:
    """Return a GeneralName that is a URI."""
    return der.implicit(6, text.encode())


def full_name(*names: bytes) -> bytes:
    """Return the distributionPoint of a DistributionPoint, or of an issuingDistributionPoint, by full names."""
    return der.explicit(0, der.explicit(0, b"".join(names)))


def scope(*parts: bytes, critical: bool = True) -> Extension:
    """Return an issuingDistributionPoint."""
    return Extension("2.5.29.28", der.sequence(*parts), critical)


def flag(number: int, value: bytes = b"\xff") -> bytes:
    """Return one BOOLEAN of an issuingDistributionPoint."""
    return der.implicit(number, value)


@dataclass(frozen=True)
class Revoked:
    """One entry; every part can be another one than is right."""

    serial: int | bytes = FRODO.certificate.serial_number
    at: datetime | bytes = AT - HOUR
    extensions: tuple[Extension, ...] = ()
    after: bytes = b""

    def encoded(self) -> bytes:
        """Return the entry, DER."""
        serial = self.serial if isinstance(self.serial, bytes) else der.integer(self.serial)
        at = self.at if isinstance(self.at, bytes) else der.time(self.at)
        listed = b"".join(one.encoded() for one in self.extensions)
        return der.sequence(serial, at, der.sequence(listed) if listed else b"", self.after)


@dataclass(frozen=True)
class MadeCRL:
    """One CRL; every part can be another one than is right."""

    entries: Iterable[Revoked | bytes] = ()
    signer: Any = ROOT
    version: bytes = V2
    issuer: bytes | None = None
    this_update: datetime | bytes = AT - HOUR
    next_update: datetime | bytes | None = AT + HOUR
    extensions: tuple[Extension, ...] = (NUMBER,)
    key: PrivateKey | None = None
    digest: hashes.HashAlgorithm | None = None
    algorithm: bytes | None = None
    inner: bytes | None = None
    pss: bool = False
    spoilt: bool = False
    more: bytes = b""
    after: bytes = b""
    empty: bool = False

    def tbs(self, algorithm: bytes) -> bytes:
        """Return the TBSCertList, DER."""
        listed = b"".join(one if isinstance(one, bytes) else one.encoded() for one in self.entries)
        extensions = b"".join(one.encoded() for one in self.extensions)
        return der.sequence(
            self.version,
            self.inner or algorithm,
            self.issuer or self.signer.certificate.subject.public_bytes(),
            _time(self.this_update),
            b"" if self.next_update is None else _time(self.next_update),
            der.sequence(listed) if listed or self.empty else b"",
            der.explicit(0, der.sequence(extensions)) if extensions else b"",
            self.more,
        )

    def encoded(self) -> bytes:
        """Return the CertificateList, DER."""
        key = self.key or self.signer.key
        digest = self.digest or signature_hash(key)
        algorithm = self.algorithm or signature_algorithm(key, digest)
        tbs = self.tbs(algorithm)
        if self.pss:
            assert isinstance(key, rsa.RSAPrivateKey)
            assert digest is not None
            signature = key.sign(tbs, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        else:
            signature = sign_bytes(key, tbs, digest)
        if self.spoilt:
            signature = signature[:-1] + bytes((signature[-1] ^ 1,))
        return der.sequence(tbs, algorithm, der.bit_string(signature), self.after)

    def but(self, **parts: Any) -> MadeCRL:
        """Return a copy with other parts."""
        return replace(self, **parts)


def _time(moment: datetime | bytes) -> bytes:
    return moment if isinstance(moment, bytes) else der.time(moment)


def pointing(*points: bytes, issuer: CertificateAuthority = ROOT, **options: Any) -> IssuedCertificate:
    """Return a client whose cRLDistributionPoints are *points*."""
    value = der.sequence(*points)
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), value)
    return issuer.issue_client(
        "pointing", extensions=[extension], not_before=AT - 24 * HOUR, not_after=AT + 24 * HOUR, **options
    )


def asked(certificate: Any = FRODO, issuer: Any = ROOT, **rule: Any) -> CRLQuestion:
    """Return the question about *certificate*."""
    return CRLQuestion(ParsedCertificate(certificate.der), ParsedCertificate(issuer.der), CRLRule(**rule))


def told(crl: MadeCRL | bytes, about: CRLQuestion | None = None, **options: Any) -> RevocationAnswer:
    """Return what *crl* says about *about*, by default about the client frodo."""
    data = crl.encoded() if isinstance(crl, MadeCRL) else crl
    given: dict[str, Any] = {"at": AT, **options}
    return read_crl(data, about or asked(), **given)

"""A CA, a client, and OCSP responses (RFC 6960, section 4.2.1) put together from parts, right or wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import OCSPQuestion, OCSPRule, RevocationAnswer
from mtlspolicy.revocation import read_ocsp
from mtlspolicy.revocation._ocsp_layout import key_bits
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, pooled_key
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension, signature_algorithm
from mtlspolicy.testing._keys import PrivateKey, sign_bytes, signature_hash

AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""The time of every question here."""
HOUR: Final = timedelta(hours=1)
LIFE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=30), "not_after": AT + timedelta(days=30)}
ROOT: Final = CertificateAuthority("Root", **LIFE)
STRANGER: Final = CertificateAuthority("Stranger", **LIFE)
FRODO: Final = ROOT.issue_client("frodo", **LIFE)
SAM: Final = ROOT.issue_client("sam", **LIFE)
RSA: Final = CertificateAuthority("Root", key=pooled_key("rsa-2048"), **LIFE)
"""The issuer's name with an RSA key."""
BILBO: Final = RSA.issue_client("bilbo", **LIFE)
SIGNING: Final = (ExtendedKeyUsageOID.OCSP_SIGNING,)

BASIC: Final = "1.3.6.1.5.5.7.48.1.1"
NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
NULL: Final = der.null()
GOOD: Final = der.implicit(0, b"")
UNKNOWN: Final = der.implicit(2, b"")
_OIDS: Final = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha224": "2.16.840.1.101.3.4.2.4",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}


def generalized(moment: datetime) -> bytes:
    """Return a GeneralizedTime."""
    return der.tlv(der.GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode())


def revoked(at: datetime = AT - HOUR, reason: int | None = None) -> bytes:
    """Return a certStatus that says revoked."""
    stated = b"" if reason is None else der.explicit(0, der.tlv(0x0A, bytes((reason,))))
    return der.implicit(1, generalized(at) + stated, constructed=True)


def listed(extensions: Iterable[Extension]) -> bytes:
    """Return a list of extensions under [1]; nothing where there is none."""
    encoded = b"".join(one.encoded() for one in extensions)
    return der.explicit(1, der.sequence(encoded)) if encoded else b""


def delegate(issuer: CertificateAuthority = ROOT, **options: Any) -> IssuedCertificate:
    """Return the certificate of a delegated responder, by default one that may sign."""
    given: dict[str, Any] = {"eku": SIGNING, "extensions": [x509.OCSPNoCheck()], **LIFE, **options}
    return issuer.issue_client("responder", **given)


@dataclass(frozen=True)
class Entry:
    """One SingleResponse; every part can be another one than is right."""

    digest: str = "sha1"
    name: bytes = ROOT.certificate.subject.public_bytes()
    spki: bytes = ParsedCertificate(ROOT.der).layout.spki
    serial: int = FRODO.certificate.serial_number
    status: bytes = GOOD
    this_update: datetime = AT - HOUR
    next_update: datetime | None = AT + HOUR
    extensions: tuple[Extension, ...] = ()

    def encoded(self) -> bytes:
        """Return the SingleResponse, DER."""
        known = self.digest if self.digest in hashlib.algorithms_available else "sha1"
        cert_id = der.sequence(
            der.sequence(der.object_identifier(_OIDS.get(self.digest, "1.2.3.4")), NULL),
            der.octet_string(hashlib.new(known, self.name).digest()),
            der.octet_string(hashlib.new(known, key_bits(self.spki)).digest()),
            der.integer(self.serial),
        )
        until = b"" if self.next_update is None else der.explicit(0, generalized(self.next_update))
        return der.sequence(cert_id, self.status, generalized(self.this_update), until, listed(self.extensions))


@dataclass(frozen=True)
class Made:
    """One BasicOCSPResponse; every part can be another one than is right."""

    entries: tuple[Entry, ...] = (Entry(),)
    signer: Any = ROOT
    responder: bytes | None = None
    version: bytes = b""
    produced_at: datetime = AT - HOUR
    extensions: tuple[Extension, ...] = ()
    certificates: tuple[bytes, ...] = ()
    key: PrivateKey | None = None
    digest: hashes.HashAlgorithm | None = None
    algorithm: bytes | None = None
    pss: padding.PSS | None = None
    spoilt: bool = False
    kind: str = BASIC
    status: int = 0
    after: bytes = field(default=b"")

    def encoded(self) -> bytes:
        """Return the OCSPResponse, DER."""
        key = self.key or self.signer.key
        digest = self.digest or signature_hash(key)
        tbs = der.sequence(
            self.version,
            by_name(self.signer.certificate) if self.responder is None else self.responder,
            generalized(self.produced_at),
            der.sequence(*(entry.encoded() for entry in self.entries)),
            listed(self.extensions),
        )
        if self.pss is not None:
            assert isinstance(key, rsa.RSAPrivateKey)
            assert digest is not None
            signature = key.sign(tbs, self.pss, digest)
        else:
            signature = sign_bytes(key, tbs, digest)
        if self.spoilt:
            signature = signature[:-1] + bytes((signature[-1] ^ 1,))
        held = der.explicit(0, der.sequence(*self.certificates)) if self.certificates else b""
        algorithm = self.algorithm or signature_algorithm(key, digest)
        basic = der.sequence(tbs, algorithm, der.bit_string(signature), held)
        body = der.sequence(der.object_identifier(self.kind), der.octet_string(basic + self.after))
        return der.sequence(der.tlv(0x0A, bytes((self.status,))), der.explicit(0, body))

    def saying(self, **parts: Any) -> Made:
        """Return a copy whose only entry has these parts."""
        return replace(self, entries=(replace(self.entries[0], **parts),))


_PSS_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - what is refused
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def pss_algorithm(
    name: str = "sha256", *, mask: str | None = None, salt: int | None = None, null: bytes = NULL
) -> bytes:
    """Return the AlgorithmIdentifier of RSASSA-PSS (RFC 4055, section 3.1), with each parameter stated."""
    digest = der.sequence(der.object_identifier(_OIDS[name]), null)
    masked = der.sequence(der.object_identifier(_OIDS[mask or name]), null)
    length = _PSS_DIGESTS[name].digest_size if salt is None else salt
    return der.sequence(
        der.object_identifier("1.2.840.113549.1.1.10"),
        der.sequence(
            der.explicit(0, digest),
            der.explicit(1, der.sequence(der.object_identifier("1.2.840.113549.1.1.8"), masked)),
            der.explicit(2, der.integer(length)),
        ),
    )


def pss(name: str = "sha256", *, mask: str | None = None, salt: int | None = None, **parts: Any) -> dict[str, Any]:
    """Return the parts of a response that is really signed with RSASSA-PSS of these parameters."""
    digest = _PSS_DIGESTS[name]
    length = digest.digest_size if salt is None else salt
    used = padding.PSS(padding.MGF1(_PSS_DIGESTS[mask or name]), length)
    return {"digest": digest, "pss": used, "algorithm": pss_algorithm(name, mask=mask, salt=salt), **parts}


def about(leaf: IssuedCertificate, issuer: CertificateAuthority, **parts: Any) -> Entry:
    """Return an entry about *leaf*."""
    return Entry(
        name=issuer.certificate.subject.public_bytes(),
        spki=ParsedCertificate(issuer.der).layout.spki,
        serial=leaf.certificate.serial_number,
        **parts,
    )


def by_rsa(**parts: Any) -> Made:
    """Return a response about the client bilbo, by its issuer, whose key is RSA."""
    return Made((about(BILBO, RSA),), signer=RSA, **parts)


def by_name(certificate: x509.Certificate) -> bytes:
    """Return a ResponderID by name."""
    return der.explicit(1, certificate.subject.public_bytes())


def by_key(certificate: ParsedCertificate) -> bytes:
    """Return a ResponderID by key."""
    digest = hashlib.sha1(key_bits(certificate.layout.spki), usedforsecurity=False).digest()
    return der.explicit(2, der.octet_string(digest))


def by_delegate(leaf: IssuedCertificate, **parts: Any) -> Made:
    """Return a response signed by a delegate whose certificate it carries."""
    return Made(signer=leaf, certificates=(leaf.der,), **parts)


def error(status: int) -> bytes:
    """Return an OCSPResponse without a body."""
    return der.sequence(der.tlv(0x0A, bytes((status,))))


def question(leaf: IssuedCertificate = FRODO, issuer: CertificateAuthority = ROOT, **rule: Any) -> OCSPQuestion:
    """Return the question about *leaf*."""
    return OCSPQuestion(ParsedCertificate(leaf.der), ParsedCertificate(issuer.der), OCSPRule(**rule))


def read(response: Made | bytes, about: OCSPQuestion | None = None, **options: Any) -> RevocationAnswer:
    """Return what *response* says about *about*, by default about the client frodo."""
    data = response.encoded() if isinstance(response, Made) else response
    given: dict[str, Any] = {"at": AT, **options}
    return read_ocsp(data, about or question(), **given)

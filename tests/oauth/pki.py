"""The certificates of these tests, new in each run, and how they come to a server."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import Possession, PresentedChain, TrustStore
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

ROOT: Final = CertificateAuthority("Root")
ISSUING: Final = ROOT.intermediate("Issuing CA")
TRUST: Final = TrustStore(anchors=[ROOT.certificate], intermediates=[ISSUING.certificate])
FRODO: Final = ISSUING.issue_client("frodo")
SAM: Final = ISSUING.issue_client("sam")
_CRV: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def shown(leaf: IssuedCertificate, possession: Possession = Possession.TLS) -> PresentedChain:
    """Return what *leaf* presents, with its issuing CAs, to a server that saw it prove possession of its key."""
    return PresentedChain((leaf.der, *leaf.issuers_der), possession)


def base64url(data: bytes) -> str:
    """Return *data* in base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def jwk_of(certificate: x509.Certificate, *others: IssuedCertificate) -> dict[str, Any]:
    """Return the public key of *certificate* as a JWK with ``x5c``, in which *others* follow it."""
    key = certificate.public_key()
    jwk: dict[str, Any]
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        jwk = {"kty": "RSA", "n": base64url(numbers.n.to_bytes(key.key_size // 8, "big")), "e": "AQAB"}
    elif isinstance(key, ec.EllipticCurvePublicKey):
        point, size = key.public_numbers(), (key.key_size + 7) // 8
        coordinates = {name: base64url(getattr(point, name).to_bytes(size, "big")) for name in ("x", "y")}
        jwk = {"kty": "EC", "crv": _CRV[key.curve.name], **coordinates}
    else:
        assert isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
        name = type(key).__name__.removesuffix("PublicKey")
        jwk = {"kty": "OKP", "crv": name, "x": base64url(key.public_bytes_raw())}
    ders = [der_of(certificate), *(leaf.der for leaf in others)]
    return {**jwk, "x5c": [base64.b64encode(der).decode() for der in ders]}


def der_of(certificate: x509.Certificate) -> bytes:
    """Return the DER of *certificate*."""
    return certificate.public_bytes(Encoding.DER)


def jwks_of(*leaves: IssuedCertificate) -> dict[str, Any]:
    """Return the JWK Set of the certificates of *leaves*."""
    return {"keys": [jwk_of(leaf.certificate) for leaf in leaves]}


def pki_client(**subject: Any) -> dict[str, Any]:
    """Return what a client of ``tls_client_auth`` registered."""
    return {"token_endpoint_auth_method": "tls_client_auth", **subject}


def self_signed_client(**members: Any) -> dict[str, Any]:
    """Return what a client of ``self_signed_tls_client_auth`` registered."""
    return {"token_endpoint_auth_method": "self_signed_tls_client_auth", **members}


def self_signed(name: str, *, ca: bool = False, days: tuple[int, int] = (-1, 1), key: Any = None) -> IssuedCertificate:
    """Return a self-signed certificate of a client, as ``openssl req -x509`` makes it."""
    key = key or CertificateAuthority("x").key
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(
        issuer_name=subject,
        subject_name=subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + timedelta(days=days[0]),
        not_valid_after=now + timedelta(days=days[1]),
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    return IssuedCertificate(der=der, issuers_der=(), root_der=der, key=key)

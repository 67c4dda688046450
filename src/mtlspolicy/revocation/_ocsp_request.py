"""Writes OCSP requests (RFC 6960, section 4.1), and takes the question from what a person has in hand.

Requests are not signed, and nothing is sent from here.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlspolicy._revocation import DEFAULT_RULE, OCSPQuestion, OCSPRule
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import CertificateInput, certificate_of
from mtlspolicy.revocation._ocsp_layout import issuer_digests

__all__ = ["ocsp_question", "ocsp_request"]

_DIGESTS: Final[dict[str, type[hashes.HashAlgorithm]]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}


def ocsp_question(
    certificate: CertificateInput, issuer: CertificateInput, rule: OCSPRule = DEFAULT_RULE
) -> OCSPQuestion:
    """Return the question whether *certificate* is revoked; that *issuer* did issue it is not verified.

    Raises:
        ConfigurationError: One of them is no certificate that can be read.
    """
    what = "ocsp_question"
    return OCSPQuestion(certificate_of(certificate, what), certificate_of(issuer, what), rule)


def ocsp_request(question: OCSPQuestion, *, digest: str = "sha1", nonce: bytes | None = None) -> bytes:
    """Return the OCSPRequest for *question*, DER, for one certificate.

    Args:
        question: Which certificate, by which issuer.
        digest: Of the CertID: ``sha1``, which every responder knows (RFC 5019, section 2.1.1), or ``sha256``. It hides
            nothing and signs nothing, so that SHA-1 does no harm here.
        nonce: From 1 to 128 random bytes, 32 by recommendation (RFC 9654, section 2.1), or ``None``.

    Raises:
        ConfigurationError: Another digest, a nonce of another length, or a serial number that is not positive.
    """
    if digest not in _DIGESTS:
        raise ConfigurationError(f"digest={digest!r}: a CertID is asked for by sha1 or sha256")
    name, key = issuer_digests(question.certificate.layout.issuer, question.issuer.layout.spki, digest)
    serial = question.certificate.serial_number
    if serial < 0:
        raise ConfigurationError(f"{question.certificate} has a negative serial number, which no responder knows")
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, serial, _DIGESTS[digest]())
    if nonce is not None:
        require_nonce_length(nonce)
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def require_nonce_length(nonce: bytes) -> None:
    """Raise `ConfigurationError` unless *nonce* has from 1 to 128 bytes (RFC 9654, section 2.1)."""
    if not isinstance(nonce, bytes) or not 1 <= len(nonce) <= 128:
        raise ConfigurationError("a nonce has from 1 to 128 bytes (RFC 9654); give secrets.token_bytes(32)")

"""Decides who signed an OCSP response and whether that key may: the issuer, a delegate of it, or one that was named.

A delegate's own revocation is not looked up: it must carry id-pkix-ocsp-nocheck (RFC 6960, section 4.2.2.2.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._keys import weakness
from mtlspolicy._path_value import REST_OF_SECOND
from mtlspolicy._revocation import RevocationQuestion, shown
from mtlspolicy.revocation._ocsp_layout import Layout, Unusable, names_responder

MOST_CERTIFICATES: Final = 8
"""Certificates that a response may carry; responders send their own and at most those above it."""

_NO_CHECK: Final = "1.3.6.1.5.5.7.48.1.5"
_UNDERSTOOD: Final = frozenset({"2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.32", "2.5.29.37", _NO_CHECK})
"""keyUsage, subjectAltName, basicConstraints, certificatePolicies, extKeyUsage and nocheck, of a delegate."""
_PKCS1: Final = "1.2.840.113549.1.1."
_ECDSA: Final = "1.2.840.10045.4."
_PSS: Final = _PKCS1 + "10"
_EDWARDS: Final = {"1.3.101.112": ed25519.Ed25519PublicKey, "1.3.101.113": ed448.Ed448PublicKey}
_DIGESTS: Final = frozenset({"sha1", "sha256", "sha384", "sha512"})


class Signed(NamedTuple):
    """What was signed, by which signature, under which algorithm; ``digest`` is ``None`` where that has its own."""

    content: bytes
    signature: bytes
    oid: str
    digest: hashes.HashAlgorithm | None


def require_signature(response: ocsp.OCSPResponse, layout: Layout, question: RevocationQuestion, at: datetime) -> None:
    """Return if a key that may speak for the issuer has signed *response*.

    Raises:
        Unusable: No certificate at hand is the responder's, or each that is may not sign or did not.
        MalformedEvidence: A delegate's certificate cannot be read.
    """
    signed = _of_response(response, question)
    problem: Unusable | None = None
    for signer in _candidates(response, layout, question):
        try:
            _require_allowed(signer, question, at)
        except Unusable as found:
            problem = problem or found
            continue
        if _signed_by(signer, signed):
            return
        problem = problem or Unusable("ocsp.signature", f"the signature is not that of {signer}")
    raise problem or Unusable(
        "ocsp.responder-unknown", "the responder is neither the issuer nor one whose certificate is at hand"
    )


def _candidates(
    response: ocsp.OCSPResponse, layout: Layout, question: RevocationQuestion
) -> Iterator[ParsedCertificate]:
    """Return the certificates that the ResponderID names; none that came with the response where the issuer did."""
    trusted = [one for one in (question.issuer, *question.rule.responders) if names_responder(layout, one)]
    yield from trusted
    certificates = response.certificates
    if len(certificates) > MOST_CERTIFICATES:
        raise Unusable("ocsp.too-large", f"{len(certificates)} certificates; at most {MOST_CERTIFICATES}")
    for certificate in certificates:
        parsed = ParsedCertificate.of(certificate)
        if parsed not in trusted and names_responder(layout, parsed):
            yield parsed


def _require_allowed(signer: ParsedCertificate, question: RevocationQuestion, at: datetime) -> None:
    if signer == question.issuer:
        return  # part of a path that was validated
    weak = weakness(signer)
    if weak is not None:
        raise Unusable("ocsp.responder-weak-key", f"the responder {signer} has {weak}")
    if not signer.not_before <= at <= signer.not_after + REST_OF_SECOND:
        raise Unusable(
            "ocsp.responder-validity",
            f"the responder's certificate is valid from {shown(signer.not_before)} to {shown(signer.not_after)}",
        )
    if signer not in question.rule.responders:
        _require_delegate(signer, question)


def _require_delegate(signer: ParsedCertificate, question: RevocationQuestion) -> None:
    """Return if *signer* is a delegate by RFC 6960, section 4.2.2.2: issued directly, and for this purpose."""
    purposes, usage = signer.extension(x509.ExtendedKeyUsage), signer.extension(x509.KeyUsage)
    if signer.layout.spki == question.certificate.layout.spki:
        raise Unusable("ocsp.delegate-is-subject", "the certificate vouches for itself")
    if purposes is None or ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
        raise Unusable("ocsp.delegate-purpose", f"extKeyUsage of {signer} lacks id-kp-OCSPSigning")
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise Unusable("ocsp.delegate-key-usage", f"keyUsage of {signer} does not allow signatures")
    unknown = sorted(signer.critical - _UNDERSTOOD)
    if unknown:
        raise Unusable("ocsp.delegate-critical-extension", f"{signer} has the critical extension {unknown[0]}")
    if signer.extension_value(_NO_CHECK) is None:
        raise Unusable(
            "ocsp.delegate-revocation",
            f"{signer} may itself be revoked and lacks id-pkix-ocsp-nocheck; let the CA issue it with that, or name it "
            "in responders=",
        )
    if signer.layout.issuer != question.issuer.layout.subject or not _signed_by(
        question.issuer, _of_certificate(signer.certificate, question)
    ):
        raise Unusable("ocsp.delegate-issuer", f"{signer} was not issued by the issuer of the certificate in question")


def _of_response(response: ocsp.OCSPResponse, question: RevocationQuestion) -> Signed:
    return Signed(response.tbs_response_bytes, response.signature, *_algorithm(response, question))


def _of_certificate(certificate: x509.Certificate, question: RevocationQuestion) -> Signed:
    # not by verify_directly_issued_by, which knows no SHA-1, whatever the rule allows
    return Signed(certificate.tbs_certificate_bytes, certificate.signature, *_algorithm(certificate, question))


def _algorithm(
    signed: ocsp.OCSPResponse | x509.Certificate, question: RevocationQuestion
) -> tuple[str, hashes.HashAlgorithm | None]:
    """Return OID and digest of a signature algorithm that *question*'s rule accepts; Ed25519 and Ed448 have their own.

    Raises:
        Unusable: It is not accepted.
    """
    oid = signed.signature_algorithm_oid.dotted_string
    if oid in _EDWARDS:
        return oid, None
    try:
        digest = signed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        digest = None
    if digest is None or digest.name not in _DIGESTS or not oid.startswith((_PKCS1, _ECDSA)):
        named = f"RSASSA-PSS ({oid}) of a response" if oid == _PSS else oid
        raise Unusable("ocsp.signature-algorithm", f"signature algorithm {named} is not accepted")
    if digest.name == "sha1" and not question.rule.allow_sha1:
        raise Unusable("ocsp.sha1", "signed with SHA-1; where the responder has nothing better, say allow_sha1=True")
    return oid, digest


def _signed_by(signer: ParsedCertificate, signed: Signed) -> bool:
    """Return whether the key of *signer* is of the kind that the algorithm takes, and verifies the signature."""
    key, oid, digest = signer.public_key, signed.oid, signed.digest
    try:
        if isinstance(key, rsa.RSAPublicKey) and oid.startswith(_PKCS1) and digest is not None:
            # with a mask of another digest than the message's, which nobody uses, a PSS signature does not verify
            pss = padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
            key.verify(signed.signature, signed.content, pss if oid == _PSS else padding.PKCS1v15(), digest)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and oid.startswith(_ECDSA) and digest is not None:
            key.verify(signed.signature, signed.content, ec.ECDSA(digest))
            return True
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and isinstance(key, _EDWARDS.get(oid, ())):
            key.verify(signed.signature, signed.content)
            return True
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return False

"""Decides who signed an OCSP response and whether that key may: the issuer, a delegate of it, or one that was named.

Whether a delegate is itself revoked is not decided: one with id-pkix-ocsp-nocheck is not asked about (RFC 6960, section
4.2.2.2.1), and the word of one without is a claim (`may_be_revoked`) that counts for whoever asks about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._der import SEQUENCE, element, elements
from mtlspolicy._keys import weakness
from mtlspolicy._path_value import REST_OF_SECOND
from mtlspolicy._revocation import OCSPQuestion, shown
from mtlspolicy.revocation._ocsp_layout import Layout, names_responder
from mtlspolicy.revocation._signatures import Signed, signed_by, signed_of
from mtlspolicy.revocation._unusable import Unusable

__all__ = ["MOST_CERTIFICATES", "may_be_revoked", "require_signature"]

MOST_CERTIFICATES: Final = 8
"""Certificates that a response may carry; responders send their own and at most those above it."""

_NO_CHECK: Final = "1.3.6.1.5.5.7.48.1.5"
_UNDERSTOOD: Final = frozenset({"2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.32", "2.5.29.37", _NO_CHECK})
"""keyUsage, subjectAltName, basicConstraints, certificatePolicies, extKeyUsage and nocheck, of a delegate."""


def require_signature(
    response: ocsp.OCSPResponse, layout: Layout, question: OCSPQuestion, at: datetime
) -> ParsedCertificate:
    """Return the certificate of whoever has signed *response*: one that may speak for the issuer.

    Raises:
        Unusable: No certificate at hand is the responder's, or each that is may not sign or did not.
        MalformedEvidence: A delegate's certificate cannot be read.
    """
    signed = layout.signed
    _require_algorithm(signed, question)
    problem: Unusable | None = None
    for signer in _candidates(response, layout, question):
        try:
            _require_allowed(signer, question, at)
        except Unusable as found:
            problem = problem or found
            continue
        if signed_by(signer.public_key, signed):
            return signer
        problem = problem or Unusable("ocsp.signature", f"the signature is not that of {signer}")
    raise problem or Unusable(
        "ocsp.responder-unknown", "the responder is neither the issuer nor one whose certificate is at hand"
    )


def _candidates(response: ocsp.OCSPResponse, layout: Layout, question: OCSPQuestion) -> Iterator[ParsedCertificate]:
    """Return the certificates that the ResponderID names; none that came with the response where the issuer did."""
    trusted = [one for one in (question.issuer, *question.rule.responders) if names_responder(layout, one)]
    yield from trusted
    if layout.certificates > MOST_CERTIFICATES:  # counted in the bytes: see `Layout`
        raise Unusable("ocsp.too-large", f"{layout.certificates} certificates; at most {MOST_CERTIFICATES}")
    for certificate in response.certificates:
        parsed = ParsedCertificate.of(certificate)
        if parsed not in trusted and names_responder(layout, parsed):
            yield parsed


def _require_allowed(signer: ParsedCertificate, question: OCSPQuestion, at: datetime) -> None:
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


def _require_delegate(signer: ParsedCertificate, question: OCSPQuestion) -> None:
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
    if question.delegate and signer.extension_value(_NO_CHECK) is None:
        # RFC 6960 sets no end to delegates that vouch for delegates; here it is one, so that two cannot vouch for each
        # other, and no chain of them costs more than two questions
        raise Unusable(
            "ocsp.delegate-depth",
            f"{signer} speaks for another responder and lacks id-pkix-ocsp-nocheck: that takes the issuer's own "
            "signature, a delegate with nocheck, or a CRL",
        )
    if not _issued(signer, question):
        raise Unusable(
            "ocsp.delegate-issuer",
            f"{signer} was not issued by {question.issuer}, the issuer of the certificate in question; let that very "
            "CA certify a responder, or, where this one is meant to speak for it, name its certificate in responders=",
        )


def may_be_revoked(signer: ParsedCertificate, question: OCSPQuestion) -> bool:
    """Return whether the word of *signer*, who may sign, is a claim: a delegate's without id-pkix-ocsp-nocheck.

    The issuer is part of a path that is asked about by itself, and who is named in the rule is believed as such.
    """
    if signer == question.issuer or signer in question.rule.responders:
        return False
    return signer.extension_value(_NO_CHECK) is None


def _require_algorithm(signed: Signed, question: OCSPQuestion) -> None:
    """Return if *question*'s rule accepts the algorithm of a signature.

    Raises:
        Unusable: It does not.
        MalformedEvidence: The algorithm has no object identifier.
    """
    if not signed.family:
        raise Unusable("ocsp.signature-algorithm", f"signature algorithm {signed.oid}, or its parameters: not accepted")
    if signed.digest == "sha1" and not question.rule.allow_sha1:
        raise Unusable("ocsp.sha1", "signed with SHA-1; where the responder has nothing better, say allow_sha1=True")


def _issued(signer: ParsedCertificate, question: OCSPQuestion) -> bool:
    """Return whether the issuer in question has signed the certificate *signer*, in its own name.

    Not by verify_directly_issued_by, which knows no SHA-1, whatever the rule allows.
    """
    signed = signed_of(signer.der)
    _require_algorithm(signed, question)
    return (
        signer.layout.issuer == question.issuer.layout.subject
        and _algorithm_within(signed.content) == signed.algorithm
        and signed_by(question.issuer.public_key, signed)
    )


def _algorithm_within(tbs: bytes) -> bytes:
    """Return the AlgorithmIdentifier, DER, that a certificate's body has after version and serial number.

    RFC 5280, section 4.1.1.2: it is the same as the one beside the signature.
    """
    _, start, end = element(tbs, 0, len(tbs))
    parts = elements(tbs, start, end)
    place = next(at for at, part in enumerate(parts) if part[0] == SEQUENCE)
    return tbs[parts[place - 1][2] : parts[place][2]]

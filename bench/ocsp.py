"""From the bytes of an OCSP response to the status, against one signature verification over the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bench._harness import Row, Scale, at_most, compare, ratio_row, timed
from bench._material import P256, RSA, Pki
from mtlspolicy import RevocationStatus
from mtlspolicy.revocation import ocsp_question, read_ocsp
from mtlspolicy.testing import CertificateAuthority

HOUR = timedelta(hours=1)
NUMBER = 20
"""Responses a round."""


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for kind in (P256, RSA):
        yield _read(Pki.new(kind, 1), scale)


def _read(pki: Pki, scale: Scale) -> Row:
    leaf, issuer = pki.clients[0].certificate, pki.issuing
    at = datetime.now(UTC).replace(microsecond=0)
    built = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            leaf,
            issuer.certificate,
            hashes.SHA1(),  # noqa: S303 - a CertID, as responders write it
            ocsp.OCSPCertStatus.GOOD,
            at,
            at + HOUR,
            None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
        .sign(issuer.key, hashes.SHA256())
    )
    response, question = built.public_bytes(Encoding.DER), ocsp_question(leaf, issuer.certificate)
    if read_ocsp(response, question, at=at).status is not RevocationStatus.GOOD:
        raise RuntimeError("the response that is to be measured is not accepted")
    ours = timed(lambda: read_ocsp(response, question, at=at), number=NUMBER)
    verify = _verification(issuer, built.signature, built.tbs_response_bytes)
    found = compare(ours, timed(verify, number=NUMBER), rounds=scale.rounds(300))
    return ratio_row(f"OCSP response to status / one signature verification, {pki.label}", found, at_most(1.15))


def _verification(issuer: CertificateAuthority, signature: bytes, content: bytes) -> Callable[[], object]:
    key = issuer.certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm = ec.ECDSA(hashes.SHA256())
        return lambda: key.verify(signature, content, algorithm)
    rsa_key, pkcs1, digest = issuer.certificate.public_key(), padding.PKCS1v15(), hashes.SHA256()
    return lambda: rsa_key.verify(signature, content, pkcs1, digest)  # type: ignore[union-attr,call-arg,arg-type]  # RSA

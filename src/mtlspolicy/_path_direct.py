"""`PathProfile.DIRECT`: the end entity is registered byte for byte, or signed by an anchor directly.

Two roles that never mix: a registered peer never issues, an anchor is never itself the peer. No intermediates.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy._certificate import ParsedCertificate, issued_by
from mtlspolicy._path_rules import Refusal, key_usage_refusal
from mtlspolicy._path_search import Candidate
from mtlspolicy._profile import Purpose
from mtlspolicy._trust_roles import ca_problem

_UNDERSTOOD: Final = frozenset(
    kind.oid.dotted_string
    for kind in (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)
)
"""Extensions that are evaluated here; any other one that is critical refuses (RFC 5280, section 4.2)."""


def direct_refusal(candidate: Candidate, *, purpose: Purpose, at: datetime) -> Refusal | None:
    """Return why *candidate*, one registered peer or an end entity and its anchor, is not valid, or ``None``.

    Raises:
        MalformedEvidence: An extension cannot be read.
    """
    end_entity = candidate[0]
    refusal = _validity(candidate, at) or _end_entity(end_entity, purpose)
    if refusal is not None or len(candidate) == 1:
        return refusal
    anchor = candidate[1]
    problem = ca_problem(anchor)
    if problem is not None:
        return Refusal("path.basic-constraints", f"{anchor} cannot have issued {end_entity}: {problem}")
    unknown = anchor.critical - _UNDERSTOOD
    if unknown:
        return Refusal("path.critical-extension", f"{anchor} has the critical extension {min(unknown)}")
    if not issued_by(end_entity, anchor):
        return Refusal("path.signature", f"the signature of {end_entity} does not verify with the key of {anchor}")
    return None


def _validity(candidate: Candidate, at: datetime) -> Refusal | None:
    from mtlspolicy._path_diagnosis import validity_refusal

    return next((refusal for one in candidate if (refusal := validity_refusal(one, at)) is not None), None)


def _end_entity(certificate: ParsedCertificate, purpose: Purpose) -> Refusal | None:
    if certificate.version == 1:
        return None  # a v1 certificate has no extensions that could forbid anything
    unknown = certificate.critical - _UNDERSTOOD
    if unknown:
        return Refusal("path.critical-extension", f"{certificate} has the critical extension {min(unknown)}")
    constraints = certificate.extension(x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        return Refusal(
            "path.end-entity-is-ca",
            f"{certificate} is a CA certificate; issue an end entity certificate (basicConstraints CA:FALSE)",
        )
    usage = certificate.extension(x509.ExtendedKeyUsage)
    required = ExtendedKeyUsageOID.CLIENT_AUTH if purpose is Purpose.CLIENT else ExtendedKeyUsageOID.SERVER_AUTH
    if usage is not None and required not in usage:
        from mtlspolicy._path_diagnosis import purpose_refusal

        return purpose_refusal(certificate, purpose)
    return key_usage_refusal(certificate, purpose)

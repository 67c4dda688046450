"""What one certificate comes to: its answers weighed, the methods it declares, and when it need not be asked about.

Nothing is read from a response here, and no path is decided on: `NotRevoked` takes the gravest finding.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import Evidence, Fact, Need, RevocationStatus
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._revocation import RevocationAnswer, RevocationQuestion, shown
from mtlspolicy._revocation_pointers import declares_crl, declares_ocsp
from mtlspolicy.errors import MalformedEvidence

NO_REV_AVAIL: Final = "2.5.29.56"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_POINTERS: Final = {"2.5.29.31": "cRLDistributionPoints", "2.5.29.46": "freshestCRL"}
_NULL: Final = b"\x05\x00"

_NOT_ANSWERED: Final = (
    "no answer came in time, or nobody was asked: give the edge a resolver that has this kind of answer (on an event "
    "loop with pending='hold' and a gate), or facts= to verify"
)

_NO_OUTAGE: Final = frozenset({"ocsp.delegate-revoked"})
"""Codes of answers that are none, and that no soft rule takes for an outage."""

GOOD, NOT_ASKED, SOFT, MISSING, DOUBT, REVOKED = range(6)
"""Weights, from what admits to what denies."""


class Finding(NamedTuple):
    """What one certificate comes to.

    Attributes:
        weight: One of the weights above.
        code: Reason code.
        detail: Sentence for people.
        needs: What could still change it.
        against: Whether a delegate said revoked of which it is not known whether it may.
    """

    weight: int
    code: str
    detail: str
    needs: tuple[Need, ...] = ()
    against: bool = False


def finding_of(
    question: RevocationQuestion, evidence: Evidence, *, soft: bool, answer: RevocationAnswer | None = None
) -> Finding:
    """Return what *answer*, by default the fact that is there, comes to, or that there is none. No claim counts."""
    need, certificate, area = question.need, question.certificate, question.rule.area
    fact = evidence.fact(need) if answer is None else Fact(answer)
    if fact is None:
        return Finding(MISSING, f"{area}.unavailable", f"{certificate}: {_NOT_ANSWERED}", (need,))
    answer = fact.value
    if not isinstance(answer, RevocationAnswer):
        return Finding(DOUBT, f"{area}.not-an-answer", f"{certificate}: {type(answer).__name__} is no RevocationAnswer")
    origin = f" ({answer.source})" if answer.source else ""
    if answer.status is RevocationStatus.REVOKED:
        return _revoked(answer, question, evidence, origin)
    if answer.status is RevocationStatus.UNKNOWN:
        code = f"{area}.contradictory" if answer.code.endswith(".contradictory") else f"{area}.unknown"
        return Finding(DOUBT, code, f"{certificate}: {answer.detail or 'the responder does not know it'}{origin}")
    if answer.status is RevocationStatus.UNAVAILABLE:
        reason = f"{certificate}: {answer.code or 'no answer'}: {answer.detail}{origin}"
        if answer.code in _NO_OUTAGE:
            return Finding(DOUBT, answer.code, reason)
        if soft:
            return Finding(SOFT, f"{area}.soft", f"admitted without an answer, by soft=True; {reason}")
        return Finding(MISSING, f"{area}.unavailable", reason, (need,))
    lapse = answer.lapsed(question.rule, evidence.at)
    if lapse is not None:
        detail = f"{certificate}: {lapse[0]}: {lapse[1]}{origin}"
        return Finding(MISSING, f"{area}.unavailable", detail, (need,))
    until = "" if answer.next_update is None else f" until {shown(answer.next_update)}"
    return Finding(GOOD, f"{area}.good", f"{certificate} is good{until}{origin}")


def _revoked(answer: RevocationAnswer, question: RevocationQuestion, evidence: Evidence, origin: str) -> Finding:
    """Return REVOKED, whatever its time; but for a time that the caller gave, what was so then.

    A clock that is slow, or was set back, must not admit (so the times do not count at an edge); who asks about the
    past by ``decide(at=...)`` is told of the past, from the date on which the key became unsafe if that is earlier.
    Not so of a responder's delegate: with a key that was stolen later, responses of before are signed as well.
    """
    told = f"{question.certificate} is revoked{_circumstances(answer)}{origin}"
    since = _unsafe_since(answer)
    if evidence.historical and not question.delegate and since is not None and evidence.at < since:
        return Finding(GOOD, "revocation.later", f"{told}; the question is about {shown(evidence.at)}, before that")
    return Finding(REVOKED, f"{question.rule.area}.revoked", told)


def _unsafe_since(answer: RevocationAnswer) -> datetime | None:
    if answer.revoked_at is None or answer.invalidity_date is None:
        return answer.revoked_at
    return min(answer.revoked_at, answer.invalidity_date)


def _circumstances(answer: RevocationAnswer) -> str:
    parts = "" if answer.revoked_at is None else f" since {shown(answer.revoked_at)}"
    parts += "" if answer.reason is None else f", {answer.reason}"
    return parts + ("" if answer.invalidity_date is None else f", key unsafe since {shown(answer.invalidity_date)}")


def either_of(findings: list[Finding]) -> Finding:
    """Return what answers of which one is enough come to: REVOKED by any, else GOOD by any, else what is in the way.

    Where one answer is still to be had that could be GOOD, it is waited for, whatever doubt the other is in. GOOD by
    one does not stand against a delegate that says revoked, until it is known whether that delegate may.
    """
    admits = () if any(one.against for one in findings) else (GOOD,)
    for weight in (REVOKED, *admits, MISSING):
        found = [one for one in findings if one.weight == weight]
        if found:
            needs = tuple(need for one in found for need in one.needs)
            return Finding(weight, found[0].code, "; ".join(one.detail for one in found), needs)
    return max(findings, key=lambda one: one.weight)


def declared_areas(certificate: ParsedCertificate) -> frozenset[str]:
    """Return by which methods *certificate* says that its status is published: ``ocsp``, ``crl``, both or none.

    Raises:
        MalformedEvidence: An extension that says so cannot be read.
    """
    said = {"ocsp": declares_ocsp(certificate), "crl": declares_crl(certificate)}
    return frozenset(area for area, declared in said.items() if declared)


def exemption(certificate: ParsedCertificate, path: CertificationPath, short_lived: timedelta | None) -> Finding | None:
    """Return why *certificate* is not asked about, or what is wrong with its claim to that, else ``None``."""
    end_entity = certificate is path.end_entity
    try:
        misuse = _misuse(certificate, end_entity=end_entity)
        if misuse is not None:
            return Finding(DOUBT, "revocation.no-rev-avail-misused", f"noRevAvail of {certificate}: {misuse}")
        if certificate.extension_value(NO_REV_AVAIL) is not None:
            detail = f"{certificate} says noRevAvail and was not asked about"
            return Finding(NOT_ASKED, "revocation.no-rev-avail", detail)
    except MalformedEvidence:
        return None  # what cannot be read excuses from nothing
    lifetime = certificate.not_after - certificate.not_before
    if end_entity and short_lived is not None and lifetime <= short_lived:
        return Finding(NOT_ASKED, "revocation.short-lived", f"{certificate} lives {lifetime} and was not asked about")
    return None


def _misuse(certificate: ParsedCertificate, *, end_entity: bool) -> str | None:
    """Return what RFC 9608 forbids of the noRevAvail that *certificate* has, or ``None``; also where it has none."""
    value = certificate.extension_value(NO_REV_AVAIL)
    if value is None:
        return None
    constraints = certificate.extension_value(_BASIC_CONSTRAINTS)
    if not end_entity or (constraints is not None and constraints != b"\x30\x00"):
        return "only an end entity may have it (section 3)"
    if value != _NULL or NO_REV_AVAIL in certificate.critical:
        return "it must be NULL, and not critical (section 2)"
    pointers = [name for oid, name in _POINTERS.items() if certificate.extension_value(oid) is not None]
    if _may_name_responder(certificate):
        pointers.append("authorityInfoAccess with OCSP")
    return f"not beside {', '.join(pointers)} (section 3)" if pointers else None


def _may_name_responder(certificate: ParsedCertificate) -> bool:
    """Return whether the certificate names an OCSP responder, or has an authorityInfoAccess that cannot be read."""
    try:
        return declares_ocsp(certificate)
    except MalformedEvidence:
        return True

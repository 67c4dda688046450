"""What a claim comes to: the word of an OCSP responder that may itself be revoked, weighed by what is known of that.

It asks nobody: what is to be known of the delegate is named as needs, by one step and no further.
"""

from __future__ import annotations

from typing import Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import Evidence, RevocationStatus
from mtlspolicy._revocation import CRLQuestion, CRLRule, OCSPQuestion, RevocationAnswer, RevocationQuestion
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.policies._revocation_findings import (
    DOUBT,
    GOOD,
    MISSING,
    REVOKED,
    SOFT,
    Finding,
    declared_areas,
    either_of,
    finding_of,
)

__all__ = ["finding_with_delegate"]

_BOTH: Final = frozenset({"ocsp", "crl"})


def finding_with_delegate(
    question: RevocationQuestion, evidence: Evidence, *, soft: bool, crl_rule: CRLRule
) -> Finding:
    """Return what the answer to *question* comes to; where it is a claim, by what is known of the delegate.

    Args:
        question: What was asked.
        evidence: Where the answers are.
        soft: Whether the absence of an answer admits.
        crl_rule: Under which a CRL may say that the delegate is not revoked.
    """
    fact = evidence.fact(question.need)
    answer = None if fact is None else fact.value
    if not isinstance(answer, RevocationAnswer) or answer.delegate is None or not isinstance(question, OCSPQuestion):
        return finding_of(question, evidence, soft=soft)
    asked = _questions(answer.delegate, question, crl_rule)
    standing = either_of([finding_of(one, evidence, soft=False) for one in asked])
    if standing.weight == GOOD:
        # what it says is weighed as if the issuer had said it
        found = finding_of(question, evidence, soft=soft, answer=answer.vouched())
        return found._replace(detail=f"{found.detail}; told by {answer.delegate}: {standing.detail}")
    told = f"{question.certificate}: {answer.delegate} says {answer.told.value} of it, and of that responder it is"
    if standing.weight == REVOKED:
        # RFC 6960, section 4.2.2.2.1: who relies on responses of a delegate without nocheck has to find out whether it
        # is revoked; where it is, its signature proves nothing, neither GOOD nor REVOKED. That is no outage, so that a
        # soft rule does not admit: somebody uses a key that was withdrawn
        return Finding(DOUBT, "ocsp.delegate-revoked", f"{told} known that it is revoked: {standing.detail}")
    if standing.weight == DOUBT:
        return Finding(DOUBT, "ocsp.delegate-unknown", f"{told} not known whether it is revoked: {standing.detail}")
    return _without_standing(
        answer, standing, f"{told} not to be had whether it is revoked: {standing.detail}", evidence, asked, soft=soft
    )


def _without_standing(
    answer: RevocationAnswer,
    standing: Finding,
    detail: str,
    evidence: Evidence,
    asked: tuple[RevocationQuestion, ...],
    *,
    soft: bool,
) -> Finding:
    """Return what a claim comes to while nothing is known of its delegate.

    A soft rule admits where there is no answer. A claim of GOOD is as good as none: who is on the way could as well
    have dropped it. Where it would lift a hold it is not: that one stands against no answer. A claim of REVOKED or
    UNKNOWN is a responder's word against the peer, under a key that the CA has certified: if a soft rule took it for an
    outage, keeping us from the delegate's status would be enough to be admitted after one's revocation was told.
    RFC 6960 leaves it to the relying party what to do about a delegate whose revocation cannot be found out (section
    4.2.2.2.1, last case); so this fails closed, for soft rules too.
    """
    harmless = answer.claim is RevocationStatus.GOOD and answer.lifts is None
    if soft and harmless and all(evidence.fact(one.need) is not None for one in asked):
        return Finding(SOFT, "ocsp.soft", f"admitted without an answer, by soft=True; {detail}")
    against = answer.claim is RevocationStatus.REVOKED
    return Finding(MISSING, "ocsp.delegate-unavailable", detail, standing.needs, against=against)


def _questions(
    delegate: ParsedCertificate, question: OCSPQuestion, crl_rule: CRLRule
) -> tuple[RevocationQuestion, ...]:
    """Return what is asked about *delegate*, of which one GOOD is enough: what its certificate names, else both."""
    try:
        areas = declared_areas(delegate) or _BOTH
    except MalformedEvidence:
        areas = _BOTH
    by_ocsp = OCSPQuestion(delegate, question.issuer, question.rule, delegate=True)
    by_crl = CRLQuestion(delegate, question.issuer, crl_rule, delegate=True)
    return tuple(one for one in (by_ocsp, by_crl) if one.rule.area in areas)

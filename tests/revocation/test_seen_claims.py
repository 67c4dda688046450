"""The memory against rollback and claims: what a delegate has said that may itself be revoked."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import CRLQuestion, CRLRule, OCSPQuestion, OCSPRule
from mtlspolicy.revocation import RevocationAnswer, Seen
from tests.revocation.made import AT, HOUR, ROOT, delegate, question

STATUS = RevocationStatus
FIRST, SECOND = (ParsedCertificate(delegate(extensions=[]).der) for _ in range(2))
GOOD: Final = RevocationAnswer(STATUS.GOOD, "ocsp.good", this_update=AT)
OLDER: Final = replace(GOOD, this_update=AT - HOUR)
NEWER: Final = replace(GOOD, this_update=AT + HOUR)
REVOKED: Final = RevocationAnswer(STATUS.REVOKED, "ocsp.revoked", this_update=AT, reason="keyCompromise")
HELD: Final = replace(REVOKED, reason="certificateHold")
UNKNOWN: Final = RevocationAnswer(STATUS.UNKNOWN, "ocsp.unknown", this_update=AT)
NONE: Final = RevocationAnswer(STATUS.UNAVAILABLE, "ocsp.try-later")
ISSUER: Final = ParsedCertificate(ROOT.der)
RULE: Final = OCSPRule()
NAMING: Final = OCSPRule(responders=(SECOND,))
ABOUT_FIRST: Final = OCSPQuestion(FIRST, ISSUER, delegate=True)


def claim(of: RevocationAnswer, by: ParsedCertificate = FIRST) -> RevocationAnswer:
    """Return what *of* is as a claim."""
    return replace(of, status=STATUS.UNAVAILABLE, code="ocsp.delegate-revocation", claim=of.status, delegate=by)


def told(*answers: RevocationAnswer, seen: Seen | None = None) -> list[str]:
    """Return what stands after each of *answers* about frodo: its code, and what it claims."""
    memory = seen or Seen()
    judged = [memory.judged(question(), answer) for answer in answers]
    return [f"claims {one.claim.value}" if one.claim else one.code.partition(".")[2] for one in judged]


def test_a_claim_of_revoked_stands_against_what_is_not_newer() -> None:
    """Against an older GOOD by whomever, and no answer; the issuer's newer word lifts it, since it was never proven."""
    assert told(claim(REVOKED), OLDER, GOOD, NONE, claim(OLDER, SECOND), UNKNOWN) == ["claims revoked"] * 6
    assert told(claim(REVOKED), NEWER, NONE, NEWER) == ["claims revoked", "good", "try-later", "good"]
    assert told(claim(REVOKED), claim(NEWER, SECOND), NONE) == ["claims revoked", "claims good", "claims revoked"]
    assert told(claim(REVOKED), claim(NEWER), claim(UNKNOWN)) == ["claims revoked"] * 3
    assert (
        told(claim(REVOKED), claim(HELD, SECOND), claim(replace(HELD, this_update=AT + HOUR), SECOND), OLDER)
        == ["claims revoked"] * 4
    )


def test_a_claim_of_a_hold_ends_with_a_newer_claim_of_the_same() -> None:
    """Its own delegate's newer GOOD lifts it once that was seen good; another one's does not; an older is no news."""
    seen = Seen()
    assert told(claim(HELD), claim(NEWER), NONE, seen=seen) == ["claims revoked", "claims good", "claims revoked"]
    seen.judged(ABOUT_FIRST, GOOD)
    assert told(claim(NEWER), NONE, seen=seen) == ["claims good", "try-later"]
    assert told(claim(HELD), claim(NEWER, SECOND), NONE) == ["claims revoked", "claims good", "claims revoked"]
    older = replace(HELD, this_update=AT - HOUR)
    assert told(claim(HELD), claim(older), claim(REVOKED), GOOD) == ["claims revoked"] * 4


def test_claims_are_no_rollback_for_others() -> None:
    """What a delegate claims makes nothing of the issuer's older; the issuer's word makes claims older, and its own."""
    assert told(claim(NEWER), GOOD) == ["claims good", "good"]
    assert told(NEWER, claim(GOOD), claim(REVOKED)) == ["good", "rollback", "claims revoked"]
    assert told(claim(NEWER), claim(GOOD), claim(GOOD, SECOND)) == ["claims good", "rollback", "claims good"]


def test_a_claim_of_good_says_which_hold_it_would_lift() -> None:
    """For whoever weighs it while nothing is known of the delegate; what it vouches for later says no such thing."""
    for held in (HELD, claim(HELD), claim(HELD, SECOND), claim(REVOKED, SECOND)):
        seen = Seen()
        before = seen.judged(question(), held)
        found = seen.judged(question(), claim(NEWER))
        assert (found, found.lifts) == (replace(claim(NEWER), lifts=before), before)
        assert found.vouched() == claim(NEWER).vouched() == replace(NEWER, detail="")
    assert Seen().judged(question(), claim(NEWER)).lifts is None


def test_a_revocation_stands_against_claims() -> None:
    """Who is revoked by the issuer's word is so whatever a delegate claims; a hold until a newer claim is weighed."""
    assert told(REVOKED, claim(NEWER), claim(UNKNOWN)) == ["revoked"] * 3
    assert told(HELD, claim(OLDER), claim(NEWER), NONE) == ["revoked", "revoked", "claims good", "revoked"]


def test_once_the_delegate_is_good_its_claim_is_a_revocation() -> None:
    """Told before or afterwards; of that delegate alone, and a hold stays what it is."""
    seen = Seen()
    assert told(claim(REVOKED), seen=seen) == ["claims revoked"]
    assert seen.judged(ABOUT_FIRST, GOOD) == seen.judged(ABOUT_FIRST, GOOD) == GOOD
    assert told(NEWER, NONE, claim(NEWER), seen=seen) == ["revoked"] * 3
    seen = Seen()
    seen.judged(CRLQuestion(FIRST, ISSUER, delegate=True), replace(GOOD, code="crl.good"))
    assert told(claim(HELD), claim(REVOKED, SECOND), claim(REVOKED), NEWER, seen=seen) == [
        "claims revoked", "claims revoked", "revoked", "revoked",
    ]  # fmt: skip
    seen = Seen()
    told(claim(REVOKED, SECOND), seen=seen)
    for other in (ABOUT_FIRST, CRLQuestion(SECOND, ISSUER, CRLRule(allow_sha1=True), delegate=True)):
        seen.judged(other, GOOD)
    assert told(NONE, seen=seen) == ["claims revoked"]


def test_no_answer_about_a_delegate_vouches_for_it() -> None:
    """UNAVAILABLE, REVOKED and an ordinary question about its certificate make no claim a revocation."""
    seen = Seen()
    told(claim(REVOKED), seen=seen)
    seen.judged(ABOUT_FIRST, NONE)
    seen.judged(OCSPQuestion(FIRST, ISSUER), GOOD)
    seen.judged(ABOUT_FIRST, replace(REVOKED, this_update=AT + HOUR))
    assert told(NONE, seen=seen) == ["claims revoked"]


def test_who_is_named_under_one_rule_vouches_for_no_delegate_under_another() -> None:
    """GOOD of a delegate by the word of a named responder counts where it is named; by the CA's word, there as well."""
    for by, others in ((NAMING, RULE), (RULE, NAMING)):
        seen = Seen()
        seen.judged(OCSPQuestion(FIRST, ISSUER, by, delegate=True), GOOD)
        found = seen.judged(replace(question(), rule=others), claim(REVOKED))
        assert (found.claim is None) is (by is RULE)
        assert seen.judged(replace(question(), rule=by), claim(REVOKED)).status is STATUS.REVOKED


def test_a_delegate_that_is_revoked_proves_nothing_more() -> None:
    """What it told while it was good stands; what it tells once it is known to be revoked is a claim."""
    seen = Seen()
    seen.judged(ABOUT_FIRST, GOOD)
    seen.judged(ABOUT_FIRST, REVOKED)
    assert told(claim(REVOKED), NEWER, seen=seen) == ["claims revoked", "good"]

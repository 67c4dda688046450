"""The memory against rollback: what was once known of a certificate stands against every older answer."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, Final

import pytest

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import CRLQuestion, CRLRule
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import OCSPQuestion, RevocationAnswer, Seen
from tests.revocation.made import AT, FRODO, HOUR, ROOT, SAM, STRANGER, Made, question, read, revoked

STATUS = RevocationStatus
GOOD: Final = RevocationAnswer(STATUS.GOOD, "ocsp.good", this_update=AT)
OLDER: Final = replace(GOOD, this_update=AT - HOUR)
NEWER: Final = replace(GOOD, this_update=AT + HOUR)
REVOKED: Final = RevocationAnswer(STATUS.REVOKED, "ocsp.revoked", this_update=AT - 2 * HOUR, reason="keyCompromise")
HELD: Final = RevocationAnswer(STATUS.REVOKED, "ocsp.revoked", this_update=AT, reason="certificateHold")
NONE: Final = RevocationAnswer(STATUS.UNAVAILABLE, "ocsp.try-later")
UNKNOWN: Final = RevocationAnswer(STATUS.UNKNOWN, "ocsp.unknown", this_update=AT)


def codes(*answers: RevocationAnswer, seen: Seen | None = None) -> list[str]:
    """Return the codes of what stands after each of *answers* about frodo."""
    memory = seen or Seen()
    return [memory.judged(question(), answer).code for answer in answers]


def test_an_older_answer_after_a_newer_is_refused() -> None:
    """Rollback has its code; the same answer again, and a newer one, are fine."""
    assert codes(GOOD, OLDER, GOOD, NEWER, GOOD) == [
        "ocsp.good", "ocsp.rollback", "ocsp.good", "ocsp.good", "ocsp.rollback",
    ]  # fmt: skip
    assert codes(UNKNOWN, OLDER) == ["ocsp.unknown", "ocsp.rollback"]
    refused = Seen()
    refused.judged(question(), GOOD)
    answer = refused.judged(question(), replace(OLDER, source="a file"))
    assert (answer.status, answer.source) == (STATUS.UNAVAILABLE, "a file")
    assert "2026-01-01T11:00:00Z" in answer.detail


def test_who_was_revoked_stays_so() -> None:
    """Neither an older nor a newer answer, nor none, takes a revocation back; its own date does not matter."""
    assert codes(REVOKED, OLDER, NEWER, NONE, UNKNOWN) == ["ocsp.revoked"] * 5
    assert codes(NEWER, REVOKED, NEWER) == ["ocsp.good", "ocsp.revoked", "ocsp.revoked"]


def test_a_hold_ends_with_a_newer_answer() -> None:
    """certificateHold stands until a newer GOOD: against what is older, as old, or no answer; UNKNOWN lifts nothing."""
    assert codes(HELD, OLDER, GOOD, NONE, NEWER, NONE, OLDER) == [
        *["ocsp.revoked"] * 4, "ocsp.good", "ocsp.try-later", "ocsp.rollback",
    ]  # fmt: skip
    later = replace(UNKNOWN, this_update=AT + HOUR)
    assert codes(HELD, later, NONE, HELD, replace(HELD, this_update=AT + 2 * HOUR)) == [
        "ocsp.revoked", "ocsp.unknown", *["ocsp.revoked"] * 3,
    ]  # fmt: skip
    assert codes(replace(HELD, this_update=None), NONE, GOOD) == ["ocsp.revoked", "ocsp.try-later", "ocsp.good"]


def test_no_answer_is_not_remembered() -> None:
    """What has no date changes nothing."""
    assert codes(NONE, OLDER, NONE, OLDER) == ["ocsp.try-later", "ocsp.good", "ocsp.try-later", "ocsp.good"]


def test_certificates_and_issuers_are_kept_apart() -> None:
    """A revocation of one certificate says nothing of another; the CertID's digest is no part of it."""
    memory = Seen()
    memory.judged(question(), REVOKED)
    renewed = OCSPQuestion(ParsedCertificate(FRODO.der), ParsedCertificate(STRANGER.der))
    for other in (question(SAM), renewed):
        assert memory.judged(other, GOOD) is GOOD
    by_sha256 = read(Made().saying(digest="sha256", status=revoked()))
    assert memory.judged(question(SAM), by_sha256).code == "ocsp.revoked"
    assert memory.judged(question(SAM), read(Made(), question())).code == "ocsp.revoked"
    assert ROOT.der != STRANGER.der


RESPONDERS: Final = (ParsedCertificate(SAM.der), ParsedCertificate(STRANGER.der))


@pytest.mark.parametrize(
    "terms",
    [
        {"max_age": HOUR / 2},
        {"max_age": 300 * HOUR},
        {"clock_skew": HOUR * 0},
        {"require_nonce": True},
        {"max_age": 2 * HOUR, "clock_skew": HOUR, "require_nonce": True},
    ],
)
def test_a_revocation_is_not_escaped_by_asking_under_other_terms(terms: dict[str, Any]) -> None:
    """RULES 49: ages, skew and nonce say how fresh an answer must be, not whose word it is: revoked stays revoked."""
    for first, second in ((question(), question(**terms)), (question(**terms), question())):
        memory = Seen()
        memory.judged(first, REVOKED)
        for answer in (NEWER, NONE, UNKNOWN):
            assert memory.judged(second, answer).code == "ocsp.revoked"
        memory = Seen()
        memory.judged(first, GOOD)
        assert memory.judged(second, OLDER).code == "ocsp.rollback"


@pytest.mark.parametrize(
    "trust",
    [
        {"allow_sha1": True},
        {"responder": "http://ocsp.example.com/"},
        {"responders": RESPONDERS[:1]},
        {"responders": RESPONDERS},
    ],
)
def test_what_was_told_under_one_trust_counts_under_no_other(trust: dict[str, Any]) -> None:
    """RULES 50: an explicit responder of one tenant can neither revoke nor date another tenant's answers."""
    for first, second in ((question(), question(**trust)), (question(**trust), question())):
        memory = Seen()
        memory.judged(first, REVOKED)
        assert memory.judged(second, GOOD) is GOOD
        assert memory.judged(second, OLDER).code == "ocsp.rollback"
        assert memory.judged(first, NEWER).code == "ocsp.revoked"


def test_named_responders_are_a_set() -> None:
    """The order in which responders are named changes nothing."""
    memory = Seen()
    memory.judged(question(responders=RESPONDERS), REVOKED)
    assert memory.judged(question(responders=RESPONDERS[::-1]), GOOD).code == "ocsp.revoked"


def test_crl_and_ocsp_have_memories_of_their_own() -> None:
    """Their dates do not compare: a daily CRL is no rollback of an hourly response; each rolls back by its own code."""
    memory = Seen()
    crl = CRLQuestion(ParsedCertificate(FRODO.der), ParsedCertificate(ROOT.der))
    listed = RevocationAnswer(STATUS.GOOD, "crl.good", this_update=AT - HOUR)
    memory.judged(question(), GOOD)
    assert memory.judged(crl, listed) is listed
    assert memory.judged(crl, replace(listed, this_update=AT - 2 * HOUR)).code == "crl.rollback"
    memory.judged(crl, replace(REVOKED, code="crl.revoked"))
    lasting = replace(crl, rule=CRLRule(max_age=300 * HOUR))
    assert memory.judged(lasting, replace(listed, this_update=AT + HOUR)).code == "crl.revoked"
    elsewhere = replace(crl, rule=CRLRule(distribution_point="http://crl.example.com/ca.crl"))
    assert memory.judged(elsewhere, listed) is listed
    assert memory.judged(replace(crl, rule=CRLRule(allow_sha1=True)), listed) is listed
    assert memory.judged(question(), NEWER) is NEWER


def test_the_memory_is_bounded_and_good_ones_push_no_revoked_one_out() -> None:
    """The first one goes when the places are taken; revocations have places of their own."""
    memory = Seen(1)
    memory.judged(question(), REVOKED)
    for leaf in (SAM, STRANGER.issue_client("other")):
        memory.judged(question(leaf), GOOD)
    assert memory.judged(question(), GOOD).code == "ocsp.revoked"
    assert memory.judged(question(SAM), OLDER).code == "ocsp.good"
    memory.judged(question(SAM), REVOKED)
    assert memory.judged(question(), GOOD).code == "ocsp.good"
    with pytest.raises(ConfigurationError, match="at least one"):
        Seen(0)


def test_threads_lose_no_revocation() -> None:
    """Whoever comes at the same time, the revocation stands."""
    memory = Seen()
    threads = [
        threading.Thread(target=lambda answer=answer: [memory.judged(question(), answer) for _ in range(200)])
        for answer in (GOOD, NEWER, REVOKED, OLDER, NONE)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert codes(GOOD, NEWER, NONE, seen=memory) == ["ocsp.revoked"] * 3

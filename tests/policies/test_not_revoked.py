"""NotRevoked: what each of four answers comes to, which certificates are asked about, what is refused when built."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlspolicy import Evidence, Fact, Facts, Need, PolicyDenied, PolicyIndeterminate, RevocationStatus, policies
from mtlspolicy._decision import Decision
from mtlspolicy._policy import decide
from mtlspolicy._revocation import OCSP, OCSPRule, RevocationAnswer
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, check_policy, evidence, peer
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade

AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
LIFE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=9), "not_after": AT + timedelta(days=9)}
ROOT = CertificateAuthority("Root", **LIFE)
ISSUING = ROOT.intermediate("Issuing", **LIFE)
FRODO = ISSUING.issue_client("frodo", **LIFE)
STATUS = RevocationStatus
GOOD = RevocationAnswer(STATUS.GOOD, "ocsp.good", this_update=AT - HOUR, next_update=AT + HOUR)
REVOKED = RevocationAnswer(
    STATUS.REVOKED, "ocsp.revoked", source="a file", revoked_at=AT - HOUR, reason="keyCompromise",
    invalidity_date=AT - 2 * HOUR,
)  # fmt: skip
UNKNOWN = RevocationAnswer(STATUS.UNKNOWN, "ocsp.unknown")
UNAVAILABLE = RevocationAnswer(STATUS.UNAVAILABLE, "ocsp.try-later", "the responder answers tryLater")
NULL: Final = der.null()
NO_REV_AVAIL: Final = x509.ObjectIdentifier("2.5.29.56")
HARD = policies.NotRevoked()


def about(policy: policies.NotRevoked, *answers: Any, leaf: Any = FRODO) -> Evidence:
    """Return evidence with an answer for each need of *policy*, end entity first; ``...`` stands for no fact."""
    bare = evidence(certificate=leaf, at=AT)
    needs = policy.requires(bare.path)
    facts = {need: Fact(answer) for need, answer in zip(needs, answers, strict=True) if answer is not ...}
    return evidence(certificate=leaf, at=AT, facts=Facts(facts))


def decision_on(policy: policies.NotRevoked, *answers: Any, leaf: Any = FRODO) -> Decision:
    """Return the decision of *policy* with these answers."""
    return decide(policy, about(policy, *answers, leaf=leaf))


def told(policy: policies.NotRevoked, *answers: Any, leaf: Any = FRODO) -> tuple[str, str]:
    """Return verdict and code of *policy* with these answers."""
    decision = decision_on(policy, *answers, leaf=leaf)
    return decision.verdict.name, decision.code


def keys_of(presented: Evidence) -> list[Any]:
    """Return what is asked about the path of *presented*."""
    return [need.key for need in HARD.requires(presented.path)]


SOFT = policies.NotRevoked(soft=True)


@pytest.mark.parametrize(
    ("answer", "hard", "soft", "retryable"),
    [
        (GOOD, ("PERMIT", "ocsp.good"), ("PERMIT", "ocsp.good"), False),
        (REVOKED, ("DENY", "ocsp.revoked"), ("DENY", "ocsp.revoked"), False),
        (UNKNOWN, ("INDETERMINATE", "ocsp.unknown"), ("INDETERMINATE", "ocsp.unknown"), False),
        (UNAVAILABLE, ("INDETERMINATE", "ocsp.unavailable"), ("PERMIT", "ocsp.soft"), True),
        (..., ("INDETERMINATE", "ocsp.unavailable"), ("INDETERMINATE", "ocsp.unavailable"), True),
        (True, ("INDETERMINATE", "ocsp.not-an-answer"), ("INDETERMINATE", "ocsp.not-an-answer"), False),
        (None, ("INDETERMINATE", "ocsp.not-an-answer"), ("INDETERMINATE", "ocsp.not-an-answer"), False),
        (STATUS.GOOD, ("INDETERMINATE", "ocsp.not-an-answer"), ("INDETERMINATE", "ocsp.not-an-answer"), False),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_four_answers_with_four_codes(
    answer: Any, hard: tuple[str, str], soft: tuple[str, str], retryable: bool, place: int
) -> None:
    """GOOD, REVOKED, UNKNOWN and UNAVAILABLE differ, for the peer and for its CA; soft admits on UNAVAILABLE alone."""
    answers: list[Any] = [GOOD, GOOD]
    answers[place] = answer
    assert told(HARD, *answers) == hard
    assert told(SOFT, *answers) == soft
    assert decision_on(HARD, *answers).retryable is retryable


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (UNAVAILABLE, REVOKED, "ocsp.revoked"),
        (UNKNOWN, REVOKED, "ocsp.revoked"),
        (..., REVOKED, "ocsp.revoked"),
        (..., UNKNOWN, "ocsp.unknown"),
        (UNKNOWN, UNAVAILABLE, "ocsp.unknown"),
    ],
)
def test_the_gravest_answer_decides(first: Any, second: Any, code: str) -> None:
    """A revocation ends the matter whatever is not known of the rest, and a doubt that stays is not worth a retry."""
    for answers in ((first, second), (second, first)):
        assert decision_on(HARD, *answers).code == code


def test_needs_come_with_what_is_missing() -> None:
    """What was not looked up is named as a need, under a doubt about another certificate too."""
    needs = HARD.requires(about(HARD, GOOD, GOOD).path)
    assert [need.kind for need in needs] == [OCSP, OCSP]
    assert needs[0].max_age == timedelta(hours=24)
    assert decision_on(HARD, ..., ...).missing == needs
    assert decision_on(HARD, GOOD, ...).missing == needs[1:]
    assert decision_on(HARD, ..., UNKNOWN).missing == needs[:1]
    assert decision_on(HARD, ..., REVOKED).missing == ()
    assert decision_on(HARD, GOOD, UNAVAILABLE).missing == needs[1:]


def test_a_revocation_says_when_why_and_whence() -> None:
    """Time, reason, invalidity date and source are in the decision, and the right answers go out for it."""
    detail = decision_on(HARD, REVOKED, GOOD).detail
    for part in ("CN=frodo", "since 2026-01-01T11:00:00Z", "keyCompromise", "2026-01-01T10:00:00Z", "(a file)"):
        assert part in detail
    facts = about(HARD, REVOKED, GOOD).facts
    with pytest.raises(PolicyDenied) as caught:
        peer(certificate=FRODO, at=AT, facts=facts, policy=policies.CommonName("frodo") & HARD)
    assert (caught.value.http_status, caught.value.tls_alert) == (403, "certificate_revoked")
    bare = RevocationAnswer(STATUS.REVOKED)
    assert decision_on(HARD, bare, GOOD).detail.endswith("is revoked")


def test_a_revocation_counts_whatever_its_time() -> None:
    """THREATS 5: REVOKED with a time ahead of a slow clock is revoked."""
    ahead = RevocationAnswer(STATUS.REVOKED, revoked_at=AT + HOUR, this_update=AT + HOUR)
    assert told(HARD, ahead, GOOD) == ("DENY", "ocsp.revoked")


def test_no_answer_is_503_and_worth_a_retry() -> None:
    """With a hard rule a responder that is down is a 503, not a 403."""
    with pytest.raises(PolicyIndeterminate) as caught:
        peer(certificate=FRODO, at=AT, facts=about(HARD, GOOD, UNAVAILABLE).facts, policy=policies.Anyone() & HARD)
    assert (caught.value.http_status, caught.value.retryable) == (503, True)
    assert "ocsp.try-later: the responder answers tryLater" in str(caught.value)


def test_a_soft_acceptance_says_so() -> None:
    """The decision names the certificate and why there was no answer."""
    decision = decision_on(SOFT, GOOD, UNAVAILABLE)
    assert "admitted without an answer" in decision.detail
    assert "ocsp.try-later" in decision.detail


def test_good_lapses() -> None:
    """A fact that was good is none once nextUpdate or the greatest age is past, under a soft rule too."""
    over = RevocationAnswer(STATUS.GOOD, this_update=AT - HOUR, next_update=AT - HOUR / 2)
    old = RevocationAnswer(STATUS.GOOD, this_update=AT - 25 * HOUR)
    for answer, code in ((over, "ocsp.expired"), (old, "ocsp.too-old")):
        for policy in (HARD, SOFT):
            decision = decision_on(policy, answer, GOOD)
            assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "ocsp.unavailable")
            assert code in decision.detail
            assert len(decision.missing) == 1
    assert told(policies.NotRevoked(max_age=timedelta(days=2)), old, GOOD) == ("PERMIT", "ocsp.good")
    later = RevocationAnswer(STATUS.GOOD, this_update=AT + HOUR)  # it came while the peer was waiting
    assert told(HARD, later, GOOD) == ("PERMIT", "ocsp.good")


def test_an_old_fact_is_none() -> None:
    """The need has the rule's greatest age, which counts from when the fact was obtained."""
    bare = about(HARD, GOOD, GOOD)
    facts = {need: Fact(GOOD, AT - timedelta(days=2)) for need in HARD.requires(bare.path)}
    old = evidence(certificate=FRODO, at=AT, facts=Facts(facts))
    assert decide(HARD, old).code == "ocsp.unavailable"


def test_the_scope_is_every_certificate_but_the_anchor() -> None:
    """RULES 30: a revoked issuing CA is denied by default; the end entity alone only by choice."""
    keys = keys_of(about(HARD, GOOD, GOOD))
    assert [(key.certificate.der, key.issuer.der) for key in keys] == [
        (FRODO.der, ISSUING.der),
        (ISSUING.der, ROOT.der),
    ]
    assert told(HARD, GOOD, REVOKED) == ("DENY", "ocsp.revoked")
    assert told(policies.NotRevoked(scope="end-entity"), GOOD) == ("PERMIT", "ocsp.good")


def test_a_peer_that_is_the_anchor() -> None:
    """A registered certificate has no issuer that could revoke it: nobody can be asked, which admits nobody."""
    presented = evidence(certificate=FRODO.der, at=AT)
    assert HARD.requires(presented.path) == ()
    decision = decide(HARD, presented)
    assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "revocation.not-applicable")
    assert not decision.retryable
    otherwise = policies.CertificatePin.of(FRODO.der) | HARD
    assert decide(otherwise, presented)


def test_contradictory_responses_have_their_own_code() -> None:
    """A response that says two things is a doubt that no soft rule passes over."""
    answer = RevocationAnswer(STATUS.UNKNOWN, "ocsp.contradictory", "the response says GOOD and REVOKED")
    assert told(SOFT, answer, GOOD) == ("INDETERMINATE", "ocsp.contradictory")


def with_no_rev_avail(
    value: bytes = NULL, *, critical: bool = False, aia: bytes | None = None, **also: Any
) -> IssuedCertificate:
    """Return a client of the issuing CA with noRevAvail of this value, and with further extensions."""
    leaf = ISSUING.issue_client("frodo", **LIFE, **also)
    hand = HandMade.of(leaf.certificate).setting(NO_REV_AVAIL, value, critical=critical)
    if aia is not None:
        hand = hand.setting(x509.AuthorityInformationAccess.oid, aia)
    return IssuedCertificate(hand.signed_by(ISSUING.key), leaf.key, ROOT.der, (ISSUING.der,))


def access(method: x509.ObjectIdentifier) -> x509.AuthorityInformationAccess:
    """Return an authorityInfoAccess with one method."""
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier("http://a.test"))]
    )


POINT: Final = x509.DistributionPoint([x509.UniformResourceIdentifier("http://a.test/crl")], None, None, None)


def test_no_rev_avail_excuses_the_end_entity() -> None:
    """RFC 9608: the CA says that it publishes nothing, so that nobody is asked; its own certificate is asked about."""
    leaf = with_no_rev_avail()
    assert [key.certificate.der for key in keys_of(about(HARD, GOOD, leaf=leaf))] == [ISSUING.der]
    decision = decision_on(HARD, GOOD, leaf=leaf)
    assert (decision.verdict.name, decision.code) == ("PERMIT", "revocation.no-rev-avail")
    assert "is good" in decision.detail
    assert told(HARD, REVOKED, leaf=leaf) == ("DENY", "ocsp.revoked")
    issuers = with_no_rev_avail(extensions=[access(AuthorityInformationAccessOID.CA_ISSUERS)])
    assert told(HARD, GOOD, leaf=issuers) == ("PERMIT", "revocation.no-rev-avail")


@pytest.mark.parametrize(
    ("leaf", "reason"),
    [
        (with_no_rev_avail(b""), "NULL"),
        (with_no_rev_avail(b"\x30\x00"), "NULL"),
        (with_no_rev_avail(critical=True), "not critical"),
        (with_no_rev_avail(extensions=[x509.CRLDistributionPoints([POINT])]), "cRLDistributionPoints"),
        (with_no_rev_avail(extensions=[x509.FreshestCRL([POINT])]), "freshestCRL"),
        (with_no_rev_avail(extensions=[access(AuthorityInformationAccessOID.OCSP)]), "authorityInfoAccess"),
        (with_no_rev_avail(aia=b"?"), "authorityInfoAccess"),
        (with_no_rev_avail(aia=b"\x30\x02\x30\x00"), "authorityInfoAccess"),
        (with_no_rev_avail(aia=NULL), "authorityInfoAccess"),
    ],
)
def test_no_rev_avail_that_is_misused(leaf: IssuedCertificate, reason: str) -> None:
    """Critical, not NULL, or beside a place where revocation is published: a doubt that GOOD does not mend."""
    decision = decision_on(HARD, GOOD, leaf=leaf)
    assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "revocation.no-rev-avail-misused")
    assert reason in decision.detail
    assert not decision.retryable


def test_no_rev_avail_of_a_ca_is_invalid() -> None:
    """RFC 9608, section 3: on a CA it is an error, in the path and as the peer's own."""
    hand = HandMade.of(ISSUING.certificate).setting(NO_REV_AVAIL, NULL)
    authority = ROOT.adopt(hand.signed_by(ROOT.key), ISSUING.key)
    leaf = authority.issue_client("frodo", **LIFE)
    assert told(HARD, GOOD, leaf=leaf) == ("INDETERMINATE", "revocation.no-rev-avail-misused")
    itself = evidence(certificate=[authority.der, ROOT.der], at=AT)
    assert decide(HARD, itself).code == "revocation.no-rev-avail-misused"


def test_extensions_that_cannot_be_read_excuse_from_nothing() -> None:
    """A certificate with an extension twice is asked about."""
    hand = HandMade.of(FRODO.certificate).adding(NO_REV_AVAIL, NULL).adding(NO_REV_AVAIL, NULL)
    leaf = IssuedCertificate(hand.signed_by(ISSUING.key), FRODO.key, ROOT.der, (ISSUING.der,))
    assert told(HARD, ..., GOOD, leaf=leaf) == ("INDETERMINATE", "ocsp.unavailable")


def test_short_lived_certificates() -> None:
    """By choice, an end entity that lives no longer than that is not asked about; a CA always is."""
    policy = policies.NotRevoked(short_lived=timedelta(days=18))
    assert told(policy, GOOD) == ("PERMIT", "revocation.short-lived")
    assert told(policy, ...) == ("INDETERMINATE", "ocsp.unavailable")
    longer = policies.NotRevoked(short_lived=timedelta(days=17))
    assert told(longer, ..., GOOD) == ("INDETERMINATE", "ocsp.unavailable")


def test_a_rule_by_another_name() -> None:
    """Nonsense is refused with the rules that there are."""
    with pytest.raises(ConfigurationError, match="no rule by name: say one of 'ocsp', 'crl', 'either'"):
        policies.NotRevoked("OCSP")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scope": "leaf"}, "neither 'path' nor 'end-entity'"),
        ({"soft": "yes"}, "neither True nor False"),
        ({"allow_sha1": 1}, "neither True nor False"),
        ({"require_nonce": None}, "neither True nor False"),
        ({"max_age": timedelta(0)}, "max_age"),
        ({"max_age": 3600}, "max_age"),
        ({"clock_skew": timedelta(seconds=-1)}, "clock_skew"),
        ({"clock_skew": 300}, "clock_skew"),
        ({"short_lived": timedelta(0)}, "short_lived"),
        ({"responder": "ocsp.example.com"}, "http or https URL"),
        ({"rule": "crl", "distribution_point": "crl.example.com"}, "http or https URL"),
        ({"rule": "crl", "crl_max_age": timedelta(0)}, "max_age"),
        ({"rule": "crl", "responder": "http://ocsp.example.com/"}, "never looks at responder="),
        ({"rule": "crl", "max_age": timedelta(hours=1)}, "never looks at max_age="),
        ({"distribution_point": "http://crl.example.com/"}, "never looks at distribution_point="),
        ({"responder": "ftp://ocsp.example.com/"}, "http or https URL"),
        ({"responder": "http://user:secret@ocsp.example.com/"}, "without user name"),
        ({"responder": "http://ocsp.example.com/\r\nHost: evil"}, "http or https URL"),
        ({"responder": "http://" + "a" * 2048}, "http or https URL"),
        ({"responder": b"http://ocsp.example.com/"}, "http or https URL"),
        ({"responders": ["ocsp.pem"]}, "takes a certificate"),
        ({"responders": [b"garbage"]}, "not a certificate"),
        ({"responders": ROOT.pem}, "a list of certificates"),
        ({"responders": 7}, "a list of certificates"),
    ],
)
def test_what_is_refused_when_built(options: dict[str, Any], message: str) -> None:
    """A value that can never be right is refused by name."""
    with pytest.raises(ConfigurationError, match=message):
        policies.NotRevoked(**options)


def test_answers_and_rules_that_are_refused_when_built() -> None:
    """Values say at once what is wrong: no status, a naive time, GOOD without one, responders not parsed."""
    with pytest.raises(ConfigurationError, match="RevocationStatus"):
        RevocationAnswer("good")  # type: ignore[arg-type]  # what is refused
    for naive in (AT.replace(tzinfo=None), "2026-01-01"):
        with pytest.raises(ConfigurationError, match="aware datetime"):
            RevocationAnswer(STATUS.GOOD, this_update=naive)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigurationError, match="give this_update"):
        RevocationAnswer(STATUS.GOOD)
    wrong: tuple[Any, ...] = ((ROOT.certificate,), [], None)
    for responders in wrong:
        with pytest.raises(ConfigurationError, match="tuple of parsed certificates"):
            OCSPRule(responders=responders)


def test_it_is_a_value() -> None:
    """Equal arguments make equal policies, whatever form the responders come in; the rule is part of the question."""
    one = policies.NotRevoked(responders=(ROOT.certificate,), responder="http://ocsp.example.com/")
    two = policies.NotRevoked(responders=[ROOT.der], responder="http://ocsp.example.com/")  # type: ignore[arg-type]  # a list
    assert (one, hash(one)) == (two, hash(two))
    assert one != HARD
    path = about(HARD, GOOD, GOOD).path
    assert not set(one.requires(path)) & set(HARD.requires(path))
    assert SOFT.requires(path) == HARD.requires(path)  # the same acceptance: one look-up serves both


def test_it_is_shown_with_what_is_not_the_default() -> None:
    """An explanation says scope, method, and every choice that weakens or narrows."""
    assert repr(HARD) == "NotRevoked(every certificate but the anchor, OCSP)"
    chosen = policies.NotRevoked(soft=True, scope="end-entity", responder="http://a.test/", max_age=HOUR)
    assert repr(chosen) == "NotRevoked(end entity, OCSP, soft, responder=http://a.test/, max_age=1:00:00)"


def test_soft_is_not_inverted_nor_counted() -> None:
    """RULES 30: a clause that admits on doubt is refused under Not and in AtLeast, at any depth; a hard one is not."""
    for policy in (SOFT, policies.CommonName("frodo") & SOFT):
        with pytest.raises(ConfigurationError, match="soft"):
            _ = ~policy
        with pytest.raises(ConfigurationError, match="soft"):
            policies.AtLeast(1, policy, policies.CommonName("sam"))
    assert told(HARD, ..., ...)[0] == "INDETERMINATE"
    assert decide(~HARD, about(HARD, ..., ...)).verdict.name == "INDETERMINATE"


@pytest.mark.parametrize("policy", [HARD, SOFT, policies.NotRevoked(scope="end-entity", short_lived=HOUR)])
def test_it_keeps_the_rules_of_policies(policy: policies.NotRevoked) -> None:
    """Total, deterministic, hashable, and never a PERMIT on absent facts."""
    needs = len(policy.requires(about_nothing().path))
    answers = [(GOOD,) * needs, (REVOKED,) * needs, (UNKNOWN,) * needs, (UNAVAILABLE,) * needs]
    check_policy(policy, evidences=[about(policy, *one) for one in answers])
    assert not policy.identifies


def about_nothing() -> Evidence:
    """Return evidence of the client without facts."""
    return evidence(certificate=FRODO, at=AT)


def test_facts_by_kind_serve_tests() -> None:
    """A test of one's own policy gives one answer for all needs."""
    by_kind = evidence(certificate=FRODO, at=AT, facts={OCSP: GOOD})
    assert decide(HARD, by_kind).code == "ocsp.good"
    assert by_kind.fact(Need(OCSP, "anything")) is not None

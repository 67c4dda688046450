"""NotRevoked by each rule: which answers one certificate needs, and what two answers about it come to together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlspolicy import Evidence, Fact, Facts, RevocationStatus, TrustStore, Verifier, policies
from mtlspolicy._decision import Decision
from mtlspolicy._policy import decide
from mtlspolicy._revocation import CRL, OCSP, RevocationAnswer
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, check_policy, evidence
from mtlspolicy.testing._hand_made import HandMade

AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
LIFE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=9), "not_after": AT + timedelta(days=9)}
ROOT = CertificateAuthority("Root", **LIFE)
FRODO = ROOT.issue_client("frodo", **LIFE)
STATUS = RevocationStatus
GOOD = RevocationAnswer(STATUS.GOOD, this_update=AT - HOUR, next_update=AT + HOUR)
REVOKED = RevocationAnswer(STATUS.REVOKED, revoked_at=AT - HOUR)
UNKNOWN = RevocationAnswer(STATUS.UNKNOWN)
UNAVAILABLE = RevocationAnswer(STATUS.UNAVAILABLE, "fetch.timeout", "no answer in time")
ANSWERS: Final[dict[str, Any]] = {
    "good": GOOD, "revoked": REVOKED, "unknown": UNKNOWN, "unavailable": UNAVAILABLE, "not asked": ...,
}  # fmt: skip
URL = x509.UniformResourceIdentifier("http://a.test/")
AIA = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, URL)])
CRLDP = x509.CRLDistributionPoints([x509.DistributionPoint([URL], None, None, None)])
BOTH_DECLARED = ROOT.issue_client("frodo", extensions=[AIA, CRLDP], **LIFE)


def about(policy: policies.NotRevoked, by_kind: dict[str, Any], leaf: Any = FRODO) -> Evidence:
    """Return evidence with an answer for each kind of need; ``...`` stands for none."""
    bare = evidence(certificate=leaf, at=AT)
    asked = {need: by_kind.get(need.kind, ...) for need in policy.requires(bare.path)}
    facts = {need: Fact(answer) for need, answer in asked.items() if answer is not ...}
    return evidence(certificate=leaf, at=AT, facts=Facts(facts))


def decision_on(policy: policies.NotRevoked, ocsp: Any, crl: Any, leaf: Any = FRODO) -> Decision:
    """Return the decision with these two answers about *leaf*."""
    return decide(policy, about(policy, {OCSP: ocsp, CRL: crl}, leaf))


def kinds(policy: policies.NotRevoked, leaf: Any = FRODO) -> list[str]:
    """Return the kinds of answers that *policy* asks for."""
    return [need.kind for need in policy.requires(evidence(certificate=leaf, at=AT).path)]


def test_which_answers_each_rule_asks_for() -> None:
    """By name: one kind, the other, or both, each with the greatest age of its own."""
    assert kinds(policies.NotRevoked("ocsp")) == [OCSP]
    assert kinds(policies.NotRevoked("crl")) == [CRL]
    assert kinds(policies.NotRevoked("either")) == [OCSP, CRL]
    assert kinds(policies.NotRevoked("both")) == [OCSP, CRL]
    policy = policies.NotRevoked("both", max_age=HOUR, crl_max_age=2 * HOUR)
    needs = policy.requires(evidence(certificate=FRODO, at=AT).path)
    assert [need.max_age for need in needs] == [HOUR, 2 * HOUR]


def expected_of_either(ocsp: str, crl: str, *, soft: bool) -> str:
    """Return what RFC 5280 and the words of the rule say of two answers of which one is enough."""
    pair = {ocsp, crl}
    if "revoked" in pair:
        return "DENY"
    if "good" in pair:
        return "PERMIT"
    return "PERMIT" if soft and pair == {"unavailable"} else "INDETERMINATE"


def expected_of_both(ocsp: str, crl: str, *, soft: bool) -> str:
    """Return the same for two answers of which both are required."""
    pair = {ocsp, crl}
    if "revoked" in pair:
        return "DENY"
    return "PERMIT" if pair <= ({"good", "unavailable"} if soft else {"good"}) else "INDETERMINATE"


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("ocsp", "crl"), [*product(ANSWERS, ANSWERS)])
def test_two_answers(ocsp: str, crl: str, soft: bool) -> None:
    """Every pair of answers under "either", "both" and "declared": a revocation by any denies, doubt never admits."""
    given = ANSWERS[ocsp], ANSWERS[crl]
    either = decision_on(policies.NotRevoked("either", soft=soft), *given)
    assert either.verdict.name == expected_of_either(ocsp, crl, soft=soft)
    declared = decision_on(policies.NotRevoked("declared", soft=soft), *given, leaf=BOTH_DECLARED)
    assert (declared.verdict, declared.code) == (either.verdict, either.code)
    both = decision_on(policies.NotRevoked("both", soft=soft), *given)
    assert both.verdict.name == expected_of_both(ocsp, crl, soft=soft)


@pytest.mark.parametrize(
    ("rule", "ocsp", "crl", "code", "missing"),
    [
        ("crl", ..., GOOD, "crl.good", []),
        ("crl", GOOD, REVOKED, "crl.revoked", []),
        ("crl", GOOD, UNAVAILABLE, "crl.unavailable", [CRL]),
        ("crl", GOOD, UNKNOWN, "crl.unknown", []),
        ("crl", GOOD, "nonsense", "crl.not-an-answer", []),
        ("either", GOOD, ..., "ocsp.good", []),
        ("either", UNAVAILABLE, GOOD, "crl.good", []),
        ("either", UNKNOWN, GOOD, "crl.good", []),
        ("either", ..., ..., "ocsp.unavailable", [OCSP, CRL]),
        ("either", UNKNOWN, ..., "crl.unavailable", [CRL]),
        ("either", UNKNOWN, UNAVAILABLE, "crl.unavailable", [CRL]),
        ("either", UNKNOWN, UNKNOWN, "ocsp.unknown", []),
        ("both", GOOD, ..., "crl.unavailable", [CRL]),
        ("both", UNKNOWN, ..., "ocsp.unknown", [CRL]),
        ("both", GOOD, GOOD, "ocsp.good", []),
    ],
)
def test_what_could_still_change_the_answer(rule: str, ocsp: Any, crl: Any, code: str, missing: list[str]) -> None:
    """The code is of the answer that decides, and what is still to be had is named as a need."""
    decision = decision_on(policies.NotRevoked(rule), ocsp, crl)
    assert decision.code == code
    assert [need.kind for need in decision.missing] == missing


def test_a_soft_rule_of_two_answers_says_that_it_was_soft() -> None:
    """What admits without an answer says so, whichever of the two was missing."""
    soft = decision_on(policies.NotRevoked("either", soft=True), UNAVAILABLE, UNAVAILABLE)
    assert (soft.code, soft.verdict.name) == ("ocsp.soft", "PERMIT")
    half = decision_on(policies.NotRevoked("both", soft=True), GOOD, UNAVAILABLE)
    assert half.code == "crl.soft"
    assert "fetch.timeout" in half.detail


def test_declared_asks_what_is_declared() -> None:
    """A certificate that names a responder is asked about there, one with a CRL there, and one with neither not."""
    policy = policies.NotRevoked("declared")
    by_ocsp = ROOT.issue_client("frodo", extensions=[AIA], **LIFE)
    by_crl = ROOT.issue_client("frodo", extensions=[CRLDP], **LIFE)
    assert kinds(policy, by_ocsp) == [OCSP]
    assert kinds(policy, by_crl) == [CRL]
    assert kinds(policy, BOTH_DECLARED) == [OCSP, CRL]
    assert kinds(policy) == []
    decision = decision_on(policy, ..., ...)
    assert (decision.verdict.name, decision.code) == ("PERMIT", "revocation.not-declared")
    assert "neither an OCSP responder nor a CRL" in decision.detail


@pytest.mark.parametrize("oid", ["2.5.29.31", "1.3.6.1.5.5.7.1.1"])
def test_pointers_that_cannot_be_read_are_a_doubt(oid: str) -> None:
    """What a certificate declares and nobody can read is not the same as declaring nothing."""
    hand = HandMade.of(FRODO.certificate).setting(x509.ObjectIdentifier(oid), b"\x04\x00")
    leaf = IssuedCertificate(hand.signed_by(ROOT.key), FRODO.key, ROOT.der, ())
    decision = decision_on(policies.NotRevoked("declared"), GOOD, GOOD, leaf=leaf)
    assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "revocation.pointers")


def test_a_crl_lapses_by_its_own_age() -> None:
    """The greatest age of a CRL is its own; that of a response does not count."""
    old = RevocationAnswer(STATUS.GOOD, this_update=AT - timedelta(days=3), next_update=AT + HOUR)
    assert decision_on(policies.NotRevoked("crl"), ..., old).code == "crl.good"
    strict = decision_on(policies.NotRevoked("crl", crl_max_age=timedelta(days=2)), ..., old)
    assert (strict.code, "crl.too-old" in strict.detail) == ("crl.unavailable", True)


def verifier(policy: policies.NotRevoked) -> Verifier:
    """Return a verifier for frodo with *policy*."""
    store = TrustStore(anchors=[ROOT.certificate])
    return Verifier.for_clients(trust=store, policy=policies.CommonName("frodo") & policy)


@pytest.mark.parametrize(
    ("at", "invalid_since", "verdict"),
    [
        (AT - 2 * HOUR, None, "PERMIT"),
        (AT - HOUR, None, "DENY"),
        (AT, None, "DENY"),
        (AT - 2 * HOUR, AT - 3 * HOUR, "DENY"),
        (AT - 4 * HOUR, AT - 3 * HOUR, "PERMIT"),
        (AT - 2 * HOUR, AT + HOUR, "PERMIT"),
    ],
)
def test_a_question_about_the_past(at: datetime, invalid_since: datetime | None, verdict: str) -> None:
    """RULES 51: with a time of the caller's, a revocation counts from its date, or from invalidityDate if earlier."""
    policy = policies.NotRevoked("crl")
    answer = RevocationAnswer(STATUS.REVOKED, revoked_at=AT - HOUR, invalidity_date=invalid_since)
    facts = about(policy, {CRL: answer}).facts
    decision = verifier(policy).decide([FRODO.certificate], at=at, facts=facts)
    assert decision.verdict.name == verdict
    if verdict == "PERMIT":
        assert "revocation.later" in str(decision.as_dict())
        assert "the question is about" in decision.explain()


def test_a_slow_clock_does_not_undo_a_revocation() -> None:
    """RULES 51: at an edge, which gives no time, REVOKED is revoked, even with a date ahead of the clock."""
    policy = policies.NotRevoked("crl")
    now = datetime.now(UTC)
    root = CertificateAuthority("Root", not_before=now - HOUR, not_after=now + HOUR)
    leaf = root.issue_client("frodo", not_before=now - HOUR, not_after=now + HOUR)
    ahead = RevocationAnswer(STATUS.REVOKED, revoked_at=now + HOUR)
    bare = evidence(certificate=leaf, at=now)
    facts = Facts({need: Fact(ahead) for need in policy.requires(bare.path)})
    judge = Verifier.for_clients(
        trust=TrustStore(anchors=[root.certificate]), policy=policies.CommonName("frodo") & policy
    )
    assert judge.decide([leaf.certificate], facts=facts).code == "crl.revoked"
    assert judge.decide([leaf.certificate], at=now, facts=facts).verdict.name == "PERMIT"
    undated = RevocationAnswer(STATUS.REVOKED)
    facts = Facts({need: Fact(undated) for need in policy.requires(bare.path)})
    assert judge.decide([leaf.certificate], at=now, facts=facts).code == "crl.revoked"


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (policies.NotRevoked("crl"), "NotRevoked(every certificate but the anchor, CRL)"),
        (policies.NotRevoked("either", soft=True), "NotRevoked(every certificate but the anchor, OCSP or CRL, soft)"),
        (policies.NotRevoked("both", scope="end-entity"), "NotRevoked(end entity, OCSP and CRL)"),
        (
            policies.NotRevoked("declared", distribution_point="http://crl.test/a"),
            "NotRevoked(every certificate but the anchor, as declared, distribution_point=http://crl.test/a)",
        ),
    ],
)
def test_each_rule_says_what_it_is(policy: policies.NotRevoked, text: str) -> None:
    """A policy is shown as the rule reads, with what differs from the defaults."""
    assert repr(policy) == text


@pytest.mark.parametrize("rule", ["crl", "either", "both", "declared"])
def test_each_rule_is_a_sound_policy(rule: str) -> None:
    """Total, deterministic, hashable, and never a permit on absent facts; by CRL as by OCSP."""
    policy = policies.NotRevoked(rule)
    check_policy(policy)
    assert policy == policies.NotRevoked(rule)
    assert hash(policy) == hash(policies.NotRevoked(rule))
    assert policy != policies.NotRevoked()

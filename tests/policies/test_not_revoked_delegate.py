"""NotRevoked and claims: what a responder says that may itself be revoked, by everything that can be known of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from mtlspolicy import Fact, Facts, Need, PolicyIndeterminate, RevocationStatus, Verdict, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision
from mtlspolicy._policy import decide
from mtlspolicy._revocation import CRL, OCSP, RevocationAnswer
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, evidence
from mtlspolicy.testing._hand_made import HandMade

AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
LIFE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=9), "not_after": AT + timedelta(days=9)}
ROOT = CertificateAuthority("Root", **LIFE)
FRODO = ROOT.issue_client("frodo", **LIFE)
STATUS = RevocationStatus
URL = x509.UniformResourceIdentifier("http://a.test/")
AIA = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP, URL)])
CRLDP = x509.CRLDistributionPoints([x509.DistributionPoint([URL], None, None, None)])


def responder(*extensions: x509.ExtensionType) -> ParsedCertificate:
    """Return the certificate of a responder that may itself be revoked."""
    eku = (ExtendedKeyUsageOID.OCSP_SIGNING,)
    return ParsedCertificate(ROOT.issue_client("responder", eku=eku, extensions=extensions, **LIFE).der)


SILENT, BY_OCSP, BY_CRL, BY_BOTH = responder(), responder(AIA), responder(CRLDP), responder(AIA, CRLDP)
GOOD = RevocationAnswer(STATUS.GOOD, "ocsp.good", this_update=AT - HOUR, next_update=AT + HOUR)
REVOKED = RevocationAnswer(STATUS.REVOKED, "ocsp.revoked", revoked_at=AT - HOUR)
UNKNOWN = RevocationAnswer(STATUS.UNKNOWN, "ocsp.unknown", this_update=AT - HOUR)
UNAVAILABLE = RevocationAnswer(STATUS.UNAVAILABLE, "fetch.timeout", "no answer in time")
ANSWERS: Final[dict[str, Any]] = {
    "good": GOOD, "revoked": REVOKED, "unknown": UNKNOWN, "unavailable": UNAVAILABLE, "not asked": None,
}  # fmt: skip


def claim(of: RevocationAnswer, delegate: ParsedCertificate = SILENT) -> RevocationAnswer:
    """Return what *of* is as the claim of *delegate*."""
    return replace(of, status=STATUS.UNAVAILABLE, code="ocsp.delegate-revocation", claim=of.status, delegate=delegate)


def answered(policy: policies.NotRevoked, answers: dict[tuple[str, bool], Any], **options: Any) -> Decision:
    """Return the decision after every need was met that has an answer, by kind and whether of the delegate."""
    facts: dict[Need, Fact] = {}
    while True:
        decision = decide(policy, evidence(certificate=FRODO, at=AT, facts=Facts(facts), **options))
        news = [need for need in decision.missing if need not in facts]
        asked = {need: answers.get((need.kind, need.key.delegate)) for need in news}
        found = {need: Fact(answer) for need, answer in asked.items() if answer is not None}
        if not found:
            return decision
        facts |= found


def expected(said: str, standing: str, *, soft: bool) -> tuple[Verdict, str]:
    """Return what RFC 6960, section 4.2.2.2.1, and the words of the rule say."""
    if standing == "good":
        return {
            "good": (Verdict.PERMIT, "ocsp.good"),
            "revoked": (Verdict.DENY, "ocsp.revoked"),
            "unknown": (Verdict.INDETERMINATE, "ocsp.unknown"),
        }[said]
    if standing in {"revoked", "unknown"}:
        return Verdict.INDETERMINATE, f"ocsp.delegate-{standing}"
    if soft and said == "good" and standing == "unavailable":
        return Verdict.PERMIT, "ocsp.soft"
    return Verdict.INDETERMINATE, "ocsp.delegate-unavailable"


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("said", "standing"), list(product(["good", "revoked", "unknown"], ANSWERS)))
def test_what_a_claim_comes_to(said: str, standing: str, soft: bool) -> None:
    """It counts where the delegate is good, and else admits nobody but by a soft rule that takes GOOD for no answer."""
    for kind, delegate in ((OCSP, BY_OCSP), (CRL, BY_CRL)):
        given = {(OCSP, False): claim(ANSWERS[said], delegate), (kind, True): ANSWERS[standing]}
        decision = answered(policies.NotRevoked(soft=soft), given)
        assert (decision.verdict, decision.code) == expected(said, standing, soft=soft)
        assert "CN=responder" in decision.explain()


def test_which_questions_are_asked_of_a_delegate() -> None:
    """What its certificate names: OCSP, CRL or both; both where it names nothing, or what cannot be read."""
    unreadable = HandMade.of(SILENT.certificate).setting(x509.AuthorityInformationAccess.oid, b"\x30\x01")
    wanted = {
        BY_OCSP: [OCSP], BY_CRL: [CRL], BY_BOTH: [OCSP, CRL], SILENT: [OCSP, CRL],
        ParsedCertificate(unreadable.signed_by(ROOT.key)): [OCSP, CRL],
    }  # fmt: skip
    policy = policies.NotRevoked(max_age=5 * HOUR, allow_sha1=True)
    for delegate, kinds in wanted.items():
        decision = answered(policy, {(OCSP, False): claim(GOOD, delegate)})
        assert [need.kind for need in decision.missing] == kinds
        for need in decision.missing:
            asked: Any = need.key
            assert (asked.certificate, asked.issuer.der, asked.delegate) == (delegate, ROOT.der, True)
            assert asked.rule.allow_sha1
            assert asked.rule.max_age == (5 * HOUR if need.kind == OCSP else timedelta(days=10))


def test_a_delegate_is_asked_about_only_where_it_matters() -> None:
    """Another clause that denies, a revocation by CRL, or a GOOD that is enough ends the matter before."""
    given = {(OCSP, False): claim(GOOD), (CRL, False): REVOKED}
    either = answered(policies.NotRevoked("either"), given)
    assert (either.verdict, either.missing) == (Verdict.DENY, ())
    either = answered(policies.NotRevoked("either"), {**given, (CRL, False): GOOD})
    assert (either.verdict, either.missing) == (Verdict.PERMIT, ())
    facts = {policies.NotRevoked().requires(evidence(certificate=FRODO, at=AT).path)[0]: Fact(claim(GOOD))}
    denied = decide(
        policies.NotRevoked() & policies.CommonName("sam"), evidence(certificate=FRODO, at=AT, facts=Facts(facts))
    )
    assert (denied.verdict, denied.missing) == (Verdict.DENY, ())


@pytest.mark.parametrize("said", ["revoked", "unknown"])
def test_good_by_crl_does_not_stand_against_a_claim(said: str) -> None:
    """Under 'either' a delegate that says revoked is asked about first; if it is itself revoked, its word is none."""
    policy = policies.NotRevoked("either")
    given: dict[tuple[str, bool], Any] = {(OCSP, False): claim(ANSWERS[said], BY_OCSP), (CRL, False): GOOD}
    waits, denies = (Verdict.INDETERMINATE, Verdict.DENY) if said == "revoked" else (Verdict.PERMIT, Verdict.PERMIT)
    for standing, verdict in ((None, waits), (UNAVAILABLE, waits), (GOOD, denies), (REVOKED, Verdict.PERMIT)):
        assert answered(policy, {**given, (OCSP, True): standing}).verdict is verdict


def test_both_methods_are_asked_and_one_good_is_enough() -> None:
    """A delegate that names both: REVOKED by either counts above all, GOOD by one is enough, doubt is doubt."""
    given = {(OCSP, False): claim(GOOD, BY_BOTH)}
    for ocsp, crl, code in (
        (GOOD, UNAVAILABLE, "ocsp.good"),
        (UNAVAILABLE, GOOD, "ocsp.good"),
        (GOOD, REVOKED, "ocsp.delegate-revoked"),
        (REVOKED, GOOD, "ocsp.delegate-revoked"),
        (UNKNOWN, UNAVAILABLE, "ocsp.delegate-unavailable"),
        (UNKNOWN, UNKNOWN, "ocsp.delegate-unknown"),
    ):
        assert answered(policies.NotRevoked(), {**given, (OCSP, True): ocsp, (CRL, True): crl}).code == code
    half = answered(policies.NotRevoked(soft=True), {**given, (OCSP, True): UNAVAILABLE})
    assert (half.verdict, half.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")


def test_attack_delegates_that_vouch_for_each_other() -> None:
    """A claim about the delegate, by whomever, is no answer: there is one step, and nobody asks about a second one."""
    other = claim(GOOD, responder(AIA))
    for soft in (False, True):
        decision = answered(
            policies.NotRevoked(soft=soft), {(OCSP, False): claim(REVOKED, BY_OCSP), (OCSP, True): other}
        )
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")
        assert {need.key.certificate for need in decision.missing} == {BY_OCSP}
    given = evidence(certificate=FRODO, at=AT, facts=Facts(by_kind={OCSP: claim(GOOD, BY_OCSP)}))
    assert decide(policies.NotRevoked(), given).verdict is Verdict.INDETERMINATE


def test_the_delegates_status_lapses_by_itself() -> None:
    """A claim that is current under a status of the delegate's that is not is no answer; and the other way about."""
    old = replace(GOOD, this_update=AT - 25 * HOUR, next_update=None)
    over = replace(GOOD, this_update=AT - HOUR, next_update=AT - HOUR / 2)
    for stale in (old, over):
        decision = answered(policies.NotRevoked(), {(OCSP, False): claim(GOOD, BY_OCSP), (OCSP, True): stale})
        assert decision.code == "ocsp.delegate-unavailable"
        decision = answered(policies.NotRevoked(), {(OCSP, False): claim(stale, BY_OCSP), (OCSP, True): GOOD})
        assert decision.code == "ocsp.unavailable"


def test_a_fact_that_says_the_delegate_is_revoked_admits_no_soft_rule() -> None:
    """A source that dropped a claim because its delegate is revoked says so, and no rule takes that for an outage."""
    dropped = RevocationAnswer(STATUS.UNAVAILABLE, "ocsp.delegate-revoked", "signed by a key that was withdrawn")
    for soft in (False, True):
        decision = answered(policies.NotRevoked(soft=soft), {(OCSP, False): dropped})
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-revoked")


def test_codes_say_whether_trying_again_may_help() -> None:
    """No status of the delegate is an outage, 503; a revoked one is none, 403."""
    given = {(OCSP, False): claim(GOOD, BY_OCSP)}
    for standing, status in ((UNAVAILABLE, 503), (REVOKED, 403), (UNKNOWN, 403)):
        decision = answered(policies.NotRevoked(), {**given, (OCSP, True): standing})
        assert PolicyIndeterminate(decision).http_status == status


def test_half_a_claim_is_refused() -> None:
    """A claim has a delegate, and the status UNAVAILABLE; one of GOOD has a time, as GOOD itself."""
    for parts in (
        {"claim": STATUS.GOOD, "this_update": AT},
        {"delegate": SILENT},
        {"claim": "good", "delegate": SILENT, "this_update": AT},
        {"claim": STATUS.GOOD, "delegate": SILENT.der, "this_update": AT},
        {"status": STATUS.GOOD, "claim": STATUS.GOOD, "delegate": SILENT, "this_update": AT},
    ):
        with pytest.raises(ConfigurationError, match="claim="):
            RevocationAnswer(**{"status": STATUS.UNAVAILABLE, **parts})  # type: ignore[arg-type]  # what is refused
    with pytest.raises(ConfigurationError, match="since when"):
        RevocationAnswer(STATUS.UNAVAILABLE, claim=STATUS.GOOD, delegate=SILENT)
    assert claim(GOOD).told is STATUS.GOOD
    assert claim(GOOD).vouched() == GOOD
    assert (GOOD.told, GOOD.vouched()) == (STATUS.GOOD, GOOD)
    assert not claim(REVOKED).final

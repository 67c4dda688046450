"""A responder that may itself be revoked, asked about over the network: fetched, kept, renewed, and at hand offline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import RevocationStatus, TrustStore, Verdict, Verifier, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._resolver import settle, settle_at_hand
from mtlspolicy._revocation import CRLQuestion, OCSPQuestion, RevocationAnswer
from mtlspolicy.revocation import MemoryCache, best_answer, facts, responses_source
from mtlspolicy.revocation._ledger import Ledger, terms_of
from mtlspolicy.testing import IssuedCertificate
from tests.revocation.made import AT, FRODO, HOUR, ROOT, Made, about, by_delegate, delegate, question, read, revoked
from tests.revocation.refreshing import MINUTE, Site, ask, facts_of, key_of, response, running, until

GOOD, REVOKED, UNAVAILABLE = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNAVAILABLE
WAYS = ["ocsp", "crl"]


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


def signing(site: Site, way: str) -> IssuedCertificate:
    """Let a delegate sign whose own status is published by *way*; about itself the issuer signs. Return it."""
    name = f"delegate-with-{way}"
    helper: IssuedCertificate = site.responder.delegate(name)
    site.responder.answer(signer=name)
    site.responder.answer(helper, signer="issuer")
    return helper


def about_it(site: Site, way: str) -> OCSPQuestion | CRLQuestion:
    """Return the question about the delegate."""
    helper = ParsedCertificate(site.responder.delegate(f"delegate-with-{way}").der)
    issuer = ParsedCertificate(site.authority.der)
    return OCSPQuestion(helper, issuer, delegate=True) if way == "ocsp" else CRLQuestion(helper, issuer, delegate=True)


@pytest.mark.parametrize("way", WAYS)
def test_a_delegate_without_nocheck_is_asked_about(site: Site, way: str) -> None:
    """RFC 6960, 4.2.2.2.1: its own status is fetched where its certificate says, once for all whom it speaks of."""
    frodo, sam = site.client(), site.client("sam")
    site.authority.revoke(sam)
    signing(site, way)
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        for leaf, verdict in ((frodo, Verdict.PERMIT), (sam, Verdict.DENY), (frodo, Verdict.PERMIT)):
            decision = settle(site.judgement(leaf), resolver).decision
            assert decision.verdict is verdict, decision.explain()
            assert verdict is Verdict.DENY or "told by CN=OCSP responder" in decision.explain()
    assert (site.responder.requests, site.responder.crl_requests) == ((3, 0) if way == "ocsp" else (2, 1))


@pytest.mark.parametrize("way", WAYS)
def test_a_delegate_that_is_revoked_is_found_out(site: Site, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status is renewed like any other: what it signed counts until it is known to be revoked, and no longer."""
    monkeypatch.setattr(Ledger, "_part", lambda *_args, **_options: 0.05)
    frodo = site.client()
    helper = signing(site, way)
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        site.authority.revoke(helper)
        until(lambda: settle_at_hand(site.judgement(frodo), resolver).decision.code == "ocsp.delegate-revoked")
        for soft in (False, True):
            decision = settle(site.judgement(frodo, policies.NotRevoked(soft=soft)), resolver).decision
            assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-revoked")


@pytest.mark.parametrize("way", WAYS)
def test_claims_are_kept_once_their_delegate_is_good(site: Site, way: str) -> None:
    """What a delegate signed waits; its status known, the cache has both, for other processes and offline."""
    frodo, cache = site.client(), MemoryCache()
    signing(site, way)
    with site.refresher(cache=cache) as refresher:
        told = ask(refresher, site.ocsp(frodo))
        assert (told.status, told.told, told.code) == (UNAVAILABLE, GOOD, "ocsp.delegate-revocation")
        assert cache.get(key_of(site, frodo)) is None
        assert ask(refresher, about_it(site, way)).status is GOOD
        assert cache.get(key_of(site, frodo)) is not None
        sam = site.client("sam")
        ask(refresher, site.ocsp(sam))
        assert cache.get(key_of(site, sam)) is not None
    asked = site.responder.requests, site.responder.crl_requests
    with site.refresher(cache=cache) as restarted:
        assert settle(site.judgement(frodo), restarted.resolver()).decision.verdict is Verdict.PERMIT
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[site.authority.root]), policy=policies.CommonName("frodo") & policies.NotRevoked()
    )
    verifier.verify(frodo.chain_pem, facts=facts(verifier, frodo.chain_pem, cache=cache))
    assert (site.responder.requests, site.responder.crl_requests) == asked


def test_what_a_revoked_delegate_signed_is_no_answer(site: Site) -> None:
    """Once it is known, the next responder is asked; what it signed is neither kept nor told, and says so."""
    helper = signing(site, "crl")
    site.authority.revoke(helper)
    frodo, cache = site.client(), MemoryCache()
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, about_it(site, "crl")).status is REVOKED
        told = ask(refresher, site.ocsp(frodo))
        assert (told.status, told.claim, told.code) == (UNAVAILABLE, None, "ocsp.delegate-revoked")
        assert cache.get(key_of(site, frodo)) is None
    with running(site.authority) as second:
        two = site.client("sam", ocsp_url=second.responder.url)
        second.responder.answer(signer="issuer")
        with site.refresher(second.port) as refresher:
            ask(refresher, about_it(site, "crl"))
            assert ask(refresher, second.ocsp(two)).status is GOOD


def test_another_responder_is_asked_at_once_when_the_first_is_revoked(site: Site) -> None:
    """What a revoked delegate told is due from that moment, so that its successor's word does not wait for hours."""
    frodo, sam = site.client(), site.client("sam")
    helper = signing(site, "crl")
    site.responder.answer(sam, signer="issuer")
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        for leaf in (frodo, sam):
            assert settle(site.judgement(leaf), resolver).decision.verdict is Verdict.PERMIT
        site.responder.answer(signer="issuer")
        site.authority.revoke(helper)
        asked = about_it(site, "crl")
        gone = RevocationAnswer(REVOKED, "crl.revoked", this_update=datetime.now(UTC), reason="superseded")
        office = refresher._current()
        office._threads.drive(office.desk._kept(asked, gone))
        until(lambda: getattr(facts_of(resolver, site.ocsp(frodo)), "status", None) is GOOD)
        assert settle(site.judgement(frodo), resolver).decision.verdict is Verdict.PERMIT
        assert site.responder.requests == 3  # sam's answer was not the delegate's


def test_a_delegate_that_names_nothing_is_not_asked_about(site: Site) -> None:
    """Without pointers there is nothing to ask: no answer to rely on, which a soft rule admits with."""
    frodo = site.client()
    site.responder.answer(signer="delegate-without-nocheck")
    with site.refresher() as refresher:
        resolver = refresher.resolver()
        hard, soft = (
            settle(site.judgement(frodo, policies.NotRevoked(soft=soft)), resolver).decision for soft in (False, True)
        )
    assert (hard.verdict, hard.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")
    assert "ocsp.no-responder" in hard.explain() or "crl.no-distribution-point" in hard.explain()
    assert soft.verdict is Verdict.PERMIT
    assert "ocsp.soft" in soft.explain()
    assert site.responder.requests == 1


# at hand


def test_offline_a_delegates_status_is_among_what_is_at_hand() -> None:
    """`facts` takes it from the responses or the CRLs, signed by the issuer or by a delegate with nocheck."""
    helper = delegate(extensions=[])
    claim = by_delegate(helper).encoded()
    by_issuer = Made((about(helper, ROOT),)).encoded()
    by_another = by_delegate(delegate(), entries=(about(helper, ROOT),)).encoded()
    by_a_claimant = by_delegate(delegate(extensions=[]), entries=(about(helper, ROOT),)).encoded()
    gone = Made((about(helper, ROOT, status=revoked()),)).encoded()
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[ROOT.certificate]), policy=policies.CommonName("frodo") & policies.NotRevoked()
    )
    for responses, code in (
        ([claim], "ocsp.delegate-unavailable"),
        ([claim, by_issuer], None),
        ([by_another, claim], None),
        ([claim, by_a_claimant], "ocsp.delegate-unavailable"),
        ([claim, gone, by_issuer], "ocsp.delegate-revoked"),
    ):
        given = facts(verifier, FRODO.chain_pem, responses=responses, at=AT)
        decision = verifier.decide(FRODO.chain_pem, facts=given, at=AT)
        assert decision.verdict is (Verdict.PERMIT if code is None else Verdict.INDETERMINATE), decision.explain()
        assert code is None or code in decision.explain()


def claimed(
    site: Site, helper: IssuedCertificate, leaf: IssuedCertificate, age: timedelta = MINUTE, **parts: Any
) -> bytes:
    """Return a response of now about *leaf*, signed by a delegate of the site's."""
    at = datetime.now(UTC).replace(microsecond=0)
    entry = about(leaf, site.authority, this_update=at - age, next_update=at + HOUR, **parts)
    return Made((entry,), signer=helper, certificates=(helper.der,), produced_at=at - age).encoded()


def test_offline_a_crl_tells_of_the_delegate(site: Site) -> None:
    """A CRL of the issuer vouches for a delegate that names no place for it; or says that it is revoked."""
    frodo, helper = site.client(), site.responder.delegate("delegate-without-nocheck")
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[site.authority.root]), policy=policies.CommonName("frodo") & policies.NotRevoked()
    )
    responses = [claimed(site, helper, frodo)]

    def code() -> str:
        crl = site.authority.crl().public_bytes(Encoding.DER)
        given = facts(verifier, frodo.chain_pem, responses=responses, crls=[crl])
        return verifier.decide(frodo.chain_pem, facts=given).explain()

    assert "ocsp.good" in code()
    site.authority.revoke(helper)
    assert "ocsp.delegate-revoked" in code()


def test_a_source_of_responses_remembers_what_a_delegate_proved(site: Site) -> None:
    """A claim of REVOKED counts for ever once the delegate was good; until then, against what is not newer."""
    frodo, helper = site.client(), site.responder.delegate("delegate-without-nocheck")
    gone = claimed(site, helper, frodo, status=revoked())
    older, newer = response(site, frodo, 2 * MINUTE), response(site, frodo, MINUTE / 2)
    at_hand = [gone]
    source = responses_source(lambda: at_hand)

    def told(about_it: OCSPQuestion) -> RevocationAnswer:
        answer: Any = source(about_it)
        value: RevocationAnswer = answer.value
        return value

    assert told(site.ocsp(frodo)).claim is REVOKED
    at_hand[:] = [older, response(site, helper)]
    assert told(site.ocsp(frodo)).claim is REVOKED
    assert told(replace(site.ocsp(helper), delegate=True)).status is GOOD
    at_hand[:] = [newer]
    assert told(site.ocsp(frodo)).status is REVOKED


def test_of_claims_and_answers_at_hand_the_newest_counts() -> None:
    """As among answers; of two that are as new the issuer's own word, and a claim of REVOKED above what is newer."""
    helper = delegate(extensions=[])
    good, gone = by_delegate(helper), by_delegate(helper).saying(status=revoked(), this_update=AT - 2 * HOUR)
    for responses, status, claim in (
        ([good, Made()], GOOD, None),
        ([good, Made().saying(this_update=AT - 2 * HOUR)], UNAVAILABLE, GOOD),
        ([gone, Made()], UNAVAILABLE, REVOKED),
        ([gone, good, Made().saying(status=revoked())], REVOKED, None),
    ):
        for order in (responses, responses[::-1]):
            answer = best_answer(question(), [one.encoded() for one in order], at=AT)
            assert (answer.status, answer.claim) == (status, claim)


# times


def test_how_long_a_claim_is_kept() -> None:
    """GOOD for as long as it says; REVOKED likewise, whatever its age, and old for a moment; never for ever."""
    helper = delegate(extensions=[])
    good = read(by_delegate(helper))
    assert terms_of(question(), good, AT).obtained_at == good.this_update
    gone = read(by_delegate(helper).saying(status=revoked()))
    old = read(by_delegate(helper).saying(status=revoked(), this_update=AT - 50 * HOUR, next_update=AT - 40 * HOUR))
    assert (gone.told, old.told, gone.final) == (REVOKED, REVOKED, False)
    kept = terms_of(question(), gone, AT)
    assert (kept.obtained_at, kept.keep) == (AT, 3600.0)
    assert terms_of(question(), old, AT).keep == 1.0
    assert terms_of(question(), gone, AT, 7.0).keep == 7.0

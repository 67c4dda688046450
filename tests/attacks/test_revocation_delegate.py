"""Attacks with the key of an OCSP responder that may itself be revoked, or was: against a refresher and a decision.

Whoever has such a key can sign whatever he likes about every certificate of the CA; what he cannot sign is its status.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import RevocationStatus, Verdict, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision
from mtlspolicy._resolver import settle
from mtlspolicy._revocation import CRLQuestion
from mtlspolicy.revocation import MemoryCache, Refresher
from mtlspolicy.testing import IssuedCertificate
from tests.revocation.made import Made, about, revoked
from tests.revocation.refreshing import MINUTE, Site, ask, key_of, response, running, statement

GOOD, REVOKED = RevocationStatus.GOOD, RevocationStatus.REVOKED
HARD: Final = policies.NotRevoked()
SOFT: Final = policies.NotRevoked(soft=True)
HOUR: Final = timedelta(hours=1)
BOTH: Final = pytest.mark.parametrize("policy", [HARD, SOFT], ids=["hard", "soft"])
WAYS: Final = pytest.mark.parametrize("way", ["ocsp", "crl"])


@pytest.fixture
def site() -> Iterator[Site]:
    """Give a CA with its responder."""
    with running() as one:
        yield one


def decided(site: Site, refresher: Refresher, leaf: IssuedCertificate, policy: policies.NotRevoked) -> Decision:
    """Return the decision on *leaf*."""
    return settle(site.judgement(leaf, policy), refresher.resolver()).decision


def signed(
    site: Site, helper: IssuedCertificate, leaf: IssuedCertificate, age: timedelta = MINUTE, **parts: Any
) -> bytes:
    """Return a response about *leaf* that whoever has the delegate's key has signed."""
    at = datetime.now(UTC).replace(microsecond=0)
    entry = about(leaf, site.authority, this_update=at - age, next_update=at + HOUR, **parts)
    return Made((entry,), signer=helper, certificates=(helper.der,), produced_at=at - age).encoded()


@WAYS
@BOTH
def test_attack_a_stolen_responder_key_that_was_revoked(site: Site, way: str, policy: policies.NotRevoked) -> None:
    """RFC 6960, 4.2.2.2.1: GOOD of a revoked client under a revoked delegate's key admits nobody, soft or hard."""
    frodo, helper = site.client(), site.responder.delegate(f"delegate-with-{way}")
    for one in (frodo, helper):
        site.authority.revoke(one)
    site.responder.answer(frodo, body=signed(site, helper, frodo))
    with site.refresher() as refresher:
        for _ in range(2):
            decision = decided(site, refresher, frodo, policy)
            assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-revoked")


@BOTH
def test_attack_a_delegate_vouches_for_itself(site: Site, policy: policies.NotRevoked) -> None:
    """Its own GOOD about its own certificate, under that key or a second certificate of it, is no status."""
    helper = site.responder.delegate("delegate-with-ocsp")
    twin = site.authority.issue_client(
        "twin", key=helper.key, eku=(ExtendedKeyUsageOID.OCSP_SIGNING,), extensions=[x509.OCSPNoCheck()]
    )
    for one in (helper, twin):
        frodo = site.client()
        site.responder.answer(frodo, body=signed(site, helper, frodo, status=revoked()))
        site.responder.answer(helper, body=signed(site, one, helper))
        with site.refresher() as refresher:
            decision = decided(site, refresher, frodo, policy)
            assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")
            assert "ocsp.delegate-is-subject" in decision.explain()


@BOTH
def test_attack_two_delegates_vouch_for_each_other(site: Site, policy: policies.NotRevoked) -> None:
    """Of two stolen keys neither is proven by the other: depth one, and no endless chain of questions."""
    first, second = (
        site.authority.issue_client("responder", eku=(ExtendedKeyUsageOID.OCSP_SIGNING,), ocsp_url=site.responder.url)
        for _ in range(2)
    )
    frodo = site.client()
    site.authority.revoke(frodo)
    site.responder.answer(frodo, body=signed(site, first, frodo, status=revoked()))
    site.responder.answer(first, body=signed(site, second, first))
    site.responder.answer(second, body=signed(site, first, second))
    with site.refresher() as refresher:
        decision = decided(site, refresher, frodo, policy)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")
        assert "ocsp.delegate-depth" in decision.explain()
    assert site.responder.requests <= 3  # frodo, and the first delegate by GET and POST


@WAYS
def test_attack_the_delegates_status_is_kept_from_a_soft_rule(site: Site, way: str) -> None:
    """Who was told to be revoked is not admitted by blocking what would prove the delegate: that is no outage."""
    frodo, sam = site.client(), site.client("sam")
    name = f"delegate-with-{way}"
    site.authority.revoke(frodo)
    site.responder.answer(signer=name)
    site.responder.answer(site.responder.delegate(name), http_status=503)
    site.responder.answer_crl(http_status=503)
    with site.refresher(deadline=0.3) as refresher:
        decision = decided(site, refresher, frodo, SOFT)
        assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "ocsp.delegate-unavailable")
        site.responder.answer(frodo, http_status=503)
        assert decided(site, refresher, frodo, SOFT).verdict is Verdict.INDETERMINATE
        # of whom it said good, a soft rule knows no more than if it had said nothing
        softly = decided(site, refresher, sam, SOFT)
        assert softly.verdict is Verdict.PERMIT
        assert "ocsp.soft" in softly.explain()
        assert decided(site, refresher, sam, HARD).verdict is Verdict.INDETERMINATE


@BOTH
def test_attack_an_older_good_after_a_delegate_said_revoked(site: Site, policy: policies.NotRevoked) -> None:
    """RULES 49: the issuer's genuine GOOD of an hour ago, put back on the way and into the cache, is too late."""
    frodo, cache = site.client(), MemoryCache()
    older = response(site, frodo, HOUR)
    site.authority.revoke(frodo)
    site.responder.answer(frodo, signer="delegate-with-crl")
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).claim is REVOKED
        site.responder.answer(frodo, body=older)
        cache.put(key_of(site, frodo), statement(older, HOUR))
        told = ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=5)))
        assert (told.status, told.claim) == (RevocationStatus.UNAVAILABLE, REVOKED)
        assert decided(site, refresher, frodo, policy).code == "ocsp.revoked"
        for age in (24, 5):  # proven by the delegate's status: revoked for good
            assert ask(refresher, site.ocsp(frodo, max_age=timedelta(hours=age), clock_skew=HOUR)).status is REVOKED


@BOTH
def test_attack_a_poisoned_cache_brings_no_revoked_delegate_back(site: Site, policy: policies.NotRevoked) -> None:
    """Who can write to the cache puts the delegate's older GOOD there, and what its stolen key signed: no use."""
    frodo, helper, cache = site.client(), site.responder.delegate("delegate-with-ocsp"), MemoryCache()
    site.authority.revoke(frodo)
    older = response(site, helper, HOUR)
    site.authority.revoke(helper)
    site.responder.answer(helper, signer="issuer")
    cache.put(key_of(site, frodo), statement(signed(site, helper, frodo)))
    with site.refresher(cache=cache) as refresher:
        assert decided(site, refresher, frodo, policy).code == "ocsp.delegate-revoked"
        poisoned = MemoryCache()
        cache._memory = poisoned._memory
        cache.put(key_of(site, frodo), statement(signed(site, helper, frodo)))
        cache.put(key_of(site, helper), statement(older, HOUR))
        site.responder.answer(helper, body=older)
        assert decided(site, refresher, frodo, policy).verdict is not Verdict.PERMIT


def test_attack_a_revoked_key_fills_no_cache(site: Site) -> None:
    """What a stolen key signs never reaches the cache that others share, and stands in the way of nobody's answer."""
    frodo, cache = site.client(), MemoryCache()
    helper = site.responder.delegate("delegate-with-crl")
    site.authority.revoke(helper)
    site.responder.answer(frodo, body=signed(site, helper, frodo, status=revoked()))
    with site.refresher(cache=cache) as refresher:
        assert decided(site, refresher, frodo, HARD).code == "ocsp.delegate-revoked"
        asked = CRLQuestion(ParsedCertificate(helper.der), ParsedCertificate(site.authority.der), delegate=True)
        assert ask(refresher, asked).status is REVOKED
        assert cache.get(key_of(site, frodo)) is None
    site.responder.answer(frodo, signer="issuer")
    with site.refresher(cache=cache) as refresher:
        assert ask(refresher, site.ocsp(frodo)).status is GOOD
        assert decided(site, refresher, frodo, HARD).verdict is Verdict.PERMIT

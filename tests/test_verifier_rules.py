"""What a verifier for clients accepts: policies that say who the client is, over stores that somebody knows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import pytest

from mtlspolicy import PathProfile, policies
from mtlspolicy._decision import Decision
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import Policy
from mtlspolicy._reference import ReferenceIdentifier
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy._verifier_rules import current_policy, current_store, notes_on, references_of, text_of
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.testing._request import MARKER_OID

ROOT = CertificateAuthority("root")
OTHER = CertificateAuthority("other root")
LEAF = ROOT.issue_client("frodo")
PRIVATE = TrustStore(anchors=[ROOT.der])
TWO = TrustStore(anchors=[ROOT.der, OTHER.der])
WHO = policies.CommonName("frodo")
PIN = policies.IssuerPin(ROOT.certificate)


class Own(Policy):
    """A policy of a user's that does not say whether it identifies."""

    def evaluate(self, evidence: Evidence) -> Decision:
        """Permit."""
        del evidence
        return self.permit("test.ok")


class OwnIdentifying(Own):
    """A policy of a user's that says so."""

    identifies: ClassVar[bool] = True


@pytest.mark.parametrize(
    "policy",
    [
        policies.KeyStrength(),
        policies.MaxLifetime(timedelta(days=30)),
        policies.ExtendedKeyUsage("1.3.6.1.5.5.7.3.2"),
        ~policies.SerialNumbers(issuer=ROOT.certificate, serials={0x51}),
        ~policies.CommonName("x"),
        policies.PeerAddress("0.0.0.0/0"),
        policies.ClientAddress("0.0.0.0/0"),
        policies.NotRevoked(),
        policies.PolicyOID("1.2.3"),
        policies.Blocked(ROOT.certificate, [0x51]),
        policies.IssuerPin(ROOT.certificate, where="path"),
        policies.IssuerPin(ROOT.certificate, where="anchor"),
        policies.IssuerDN("CN=root"),
        WHO | policies.KeyStrength(),
        policies.AtLeast(1, WHO, policies.KeyStrength()),
        policies.KeyStrength().named("strong"),
        Own(),
        ~OwnIdentifying(),
    ],
)
def test_a_policy_that_admits_without_saying_who_is_refused(policy: Policy) -> None:
    """Every way to PERMIT must pass an identity clause; with `Anyone` beside it the store must be private."""
    assert not policy.identifies
    for trust in (PRIVATE, TrustStore.public()):
        with pytest.raises(ConfigurationError, match="can permit without saying who the client is") as caught:
            Verifier.for_clients(trust=trust, policy=policy)
        assert caught.value.code == "policy.not-identifying"
    assert Verifier.for_clients(trust=PRIVATE, policy=policy & policies.Anyone()).trust_now() is PRIVATE
    with pytest.raises(ConfigurationError, match="with a public trust store"):
        Verifier.for_clients(trust=TrustStore.public(), policy=policy & policies.Anyone())


@pytest.mark.parametrize("policy", [policies.Anyone(), policies.Anyone() | WHO, policies.Anyone().named("all")])
def test_anyone_over_a_public_store_is_refused(policy: Policy) -> None:
    """Everybody can get a certificate there: certifi's store, a big one, and one that shares an anchor with it."""
    assert Verifier.for_clients(trust=PRIVATE, policy=policy).decide(LEAF.der)
    big = TrustStore(anchors=[CertificateAuthority(f"ca {number}").der for number in range(21)])
    shared = TrustStore(anchors=[ROOT.der, TrustStore.public().anchors[0]])
    for trust in (TrustStore.public(), big, shared):
        with pytest.raises(ConfigurationError, match=r"policies.Anyone\(\) with a public trust store"):
            Verifier.for_clients(trust=trust, policy=policy)


@pytest.mark.parametrize(
    "policy",
    [
        WHO,
        PIN,
        policies.SPKIPin.of(LEAF.certificate),
        policies.CertificatePin.of(LEAF.certificate),
        policies.SerialNumbers(issuer=ROOT.certificate, serials={0x51}),
        policies.DNSName("frodo.test"),
        policies.SpiffeID("spiffe://a.test/frodo", bundle=ROOT.certificate),
        WHO & policies.KeyStrength(),
        WHO | policies.DNSName("frodo.test"),
        policies.AtLeast(2, WHO, PIN, policies.KeyStrength()),
        WHO.named("frodo"),
        OwnIdentifying(),
    ],
)
def test_a_policy_that_identifies_may_stand_over_any_store(policy: Policy) -> None:
    """Names, pins, serial numbers, the direct issuer, and own policies that say so."""
    assert policy.identifies
    for trust in (PRIVATE, TrustStore.public()):
        assert Verifier.for_clients(trust=trust, policy=policy).trust_now() is trust


def test_servers_need_no_identifying_policy() -> None:
    """A verifier for servers identifies by what is expected."""
    verifier = Verifier.for_servers(trust=TrustStore.public(), expected="a.test", policy=policies.KeyStrength())
    assert verifier.peer_role == "server"


def test_several_anchors_may_assert_the_same_names() -> None:
    """A name policy over several anchors draws a note in each decision; an issuer beside it is the remedy."""
    (note,) = [one for one in notes_on(WHO, TWO) if "anchors" in one]
    assert "any of the 2 anchors may assert the names in this policy: join them with & IssuerPin(...)" in note
    for policy, store in ((WHO, PRIVATE), (WHO & PIN, TWO), (policies.Anyone(), TWO), (None, TWO)):
        assert not [one for one in notes_on(policy, store) if "anchors" in one]
    assert [one for one in notes_on(WHO | PIN, TWO) if "anchors" in one], "one way to PERMIT is by name alone"


@pytest.mark.parametrize(
    ("policy", "binds"),
    [
        (PIN, True),
        (policies.IssuerDN("CN=root"), True),
        (policies.SPKIPin.of(LEAF.certificate), True),
        (policies.CertificatePin.of(LEAF.certificate), True),
        (policies.SerialNumbers(issuer=ROOT.certificate, serials={1}), True),
        (policies.SpiffeID("spiffe://a.test/x", bundle=ROOT.certificate), True),
        (WHO, False),
        (policies.DNSName("a.test"), False),
        (WHO & policies.IssuerDN("CN=root"), True),
        (PIN | policies.SPKIPin.of(LEAF.certificate), True),
        (PIN | WHO, False),
    ],
)
def test_what_binds_a_peer_to_its_issuer(policy: Policy, binds: bool) -> None:
    """Issuers, pins, serial numbers and SPIFFE bundles bind; names do not."""
    assert policy._binds_issuer is binds


def test_a_test_ca_in_the_store_draws_a_note() -> None:
    """The CAs of `mtlspolicy.testing` bear a marker, and a decision under one says so."""
    assert "the trust store holds a test CA of mtlspolicy.testing" in notes_on(WHO, PRIVATE)
    unmarked = HandMade.of(ROOT.certificate).without(MARKER_OID).signed_by(ROOT.key)
    assert notes_on(WHO, TrustStore(anchors=[unmarked])) == ()
    context = Verifier.for_clients(trust=PRIVATE, policy=WHO).decide(LEAF.der).context
    assert context is not None
    assert context.notes == notes_on(WHO, PRIVATE)


def test_sources_give_their_current_value() -> None:
    """A value is itself; a callable is asked; what it returns must be the right kind of thing."""
    assert current_store(PRIVATE) is current_store(lambda: PRIVATE) is PRIVATE
    assert current_policy(WHO) is current_policy(lambda: WHO) is WHO
    for wrong_store in (None, lambda: WHO, lambda: 1 / 0):
        with pytest.raises(ConfigurationError) as caught:
            current_store(wrong_store)
        assert caught.value.code == "trust.unavailable"
    for wrong_policy in (lambda: PRIVATE, lambda: 1 / 0, lambda: policies.Anyone):
        with pytest.raises(ConfigurationError) as caught:
            current_policy(wrong_policy)
        assert caught.value.code == "trust.unavailable"


def test_references_are_read_from_every_form() -> None:
    """One name, one reference or several of both; duplicates count once."""
    name, cn = ReferenceIdentifier.parse("a.test"), ReferenceIdentifier.common_name("db-1")
    assert references_of("a.test") == references_of(name) == (name,)
    assert references_of(["A.test", name, cn, ReferenceIdentifier.DIALED]) == (name, cn, ReferenceIdentifier.DIALED)
    for wrong in ([], None, 7, [7], b"a"):
        given: Any = wrong
        with pytest.raises(ConfigurationError, match="expected="):
            references_of(given)


def test_public_cas_certify_no_underscore() -> None:
    """With WEBPKI a name that no public CA certifies is refused when it is expected; private ones have such names."""
    with pytest.raises(ConfigurationError, match="no name with an underscore"):
        references_of("a_b.test", PathProfile.WEBPKI)
    assert references_of("a_b.test", PathProfile.PRIVATE_PKI)[0].value == "a_b.test"
    assert references_of("spiffe://a.test/b_c", PathProfile.WEBPKI)[0].kind == "uri"


def test_the_text_of_an_error_can_always_be_had() -> None:
    """An exception whose own text fails is known by its kind."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert text_of(ValueError("why")) == "ValueError: why"
    assert text_of(Odd()) == "Odd"

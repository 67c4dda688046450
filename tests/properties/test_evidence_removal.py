"""Taking evidence away admits nobody (RULES 24): for every shipped policy p, neither p nor ~p becomes a PERMIT.

One field of the evidence is removed or made unreadable at a time. A field that reads as something else is other
evidence, and not what this is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import policies
from mtlspolicy._chain import Possession
from mtlspolicy._combinators import Not
from mtlspolicy._evidence import Connection, Evidence, Fact, Facts, Need, RevocationStatus
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy._revocation import RevocationAnswer
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.testing import CertificateAuthority, evidence
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade, relative_name

AT: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASSERTED: Final = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
LIFE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=1), "not_after": AT + timedelta(days=1)}
ROOT = CertificateAuthority("Root", **LIFE)
ISSUING = ROOT.intermediate("Issuing", extensions=[ASSERTED], **LIFE)
STRANGER = CertificateAuthority("Stranger", **LIFE)
SAN, EKU, POLICIES = "2.5.29.17", "2.5.29.37", "2.5.29.32"
NEED: Final = Need("acme.row", "k", timedelta(seconds=30))
LEAF = evidence(
    "client",
    at=AT,
    issuer=ISSUING,
    dns=["client.test"],
    uris=["spiffe://a.test/client"],
    emails=["client@a.test"],
    ips=["192.0.2.7"],
    attributes={"OU": "Unit", "emailAddress": "client@a.test"},
    extensions=[ASSERTED],
    serial=0x51,
)
GONE: Final = policies.NotRevoked(clock_skew=timedelta(0))
FACTS: Final = {
    NEED: Fact("row", AT),
    **dict.fromkeys(
        policies.NotRevoked().requires(LEAF.path), Fact(RevocationAnswer(RevocationStatus.GOOD, this_update=AT), AT)
    ),
    **dict.fromkeys(GONE.requires(LEAF.path), Fact(RevocationAnswer(RevocationStatus.REVOKED), AT)),
}
BASE = Evidence(
    LEAF.path,
    at=AT,
    facts=Facts(FACTS),
    connection=Connection(transport_address="192.0.2.7", client_address="198.51.100.9"),
    possession=Possession.TLS,
)


def row_is(value: Any) -> Policy:
    """Return a look-up that permits where the fact is *value*."""
    return policies.lookup("acme.row", key=lambda _: "k", max_age=timedelta(seconds=30))(lambda row, _: row == value)


ALIKE: Final = LEAF.path.end_entity
SHIPPED: dict[str, list[Policy]] = {
    "CommonName": [policies.CommonName("client"), policies.CommonName("x"), policies.CommonName.matching("[a-z]{6}")],
    "SubjectDN": [policies.SubjectDN.of(ALIKE), policies.SubjectDN("CN=x")],
    "SubjectAttribute": [policies.SubjectAttribute("OU", "Unit"), policies.SubjectAttribute("OU", "x")],
    "DNSName": [policies.DNSName("client.test"), policies.DNSName("x.test"), policies.DNSName.under("test")],
    "IPAddressName": [policies.IPAddressName("192.0.2.7"), policies.IPAddressName("192.0.2.8")],
    "EmailName": [policies.EmailName("client@a.test"), policies.EmailName("x@a.test")],
    "URIName": [policies.URIName("spiffe://a.test/client"), policies.URIName("spiffe://a.test/x")],
    "SpiffeID": [
        policies.SpiffeID("spiffe://a.test/client", bundle=ROOT.certificate),
        policies.SpiffeID("spiffe://a.test/x", bundle=ROOT.certificate),
        policies.SpiffeID.member_of("a.test"),
        policies.SpiffeID.member_of("b.test"),
    ],
    "IssuerPin": [policies.IssuerPin(ISSUING.der), policies.IssuerPin(STRANGER.der, where="path")],
    "IssuerDN": [policies.IssuerDN.of(ISSUING.der), policies.IssuerDN.of(STRANGER.der)],
    "SPKIPin": [policies.SPKIPin.of(ALIKE), policies.SPKIPin("00" * 32)],
    "CertificatePin": [policies.CertificatePin.of(ALIKE), policies.CertificatePin("00" * 32)],
    "SerialNumbers": [
        policies.SerialNumbers(ISSUING.der, [0x51]),
        policies.SerialNumbers(ISSUING.der, [0x52]),
        policies.SerialNumbers(STRANGER.der, [0x51]),
    ],
    "Blocked": [policies.Blocked(ISSUING.der, [0x51]), policies.Blocked(STRANGER.der, [0x51])],
    "ExtendedKeyUsage": [policies.ExtendedKeyUsage("clientAuth"), policies.ExtendedKeyUsage("serverAuth")],
    "PolicyOID": [policies.PolicyOID("1.2.3"), policies.PolicyOID("1.2.4")],
    "KeyStrength": [policies.KeyStrength(), policies.KeyStrength(curves=["P-521"])],
    "MaxLifetime": [policies.MaxLifetime(timedelta(days=14)), policies.MaxLifetime(timedelta(days=13))],
    "NotRevoked": [policies.NotRevoked(), GONE, policies.NotRevoked(scope="end-entity")],
    "PeerAddress": [policies.PeerAddress("192.0.2.0/24"), policies.PeerAddress("10.0.0.0/8")],
    "ClientAddress": [policies.ClientAddress("198.51.100.0/24"), policies.ClientAddress("10.0.0.0/8")],
    "Anyone": [policies.Anyone()],
    "lookup": [row_is("row"), row_is("x")],
    "predicate": [policies.predicate("acme.x")(lambda _: True), policies.predicate("acme.x")(lambda _: False)],
}
COMBINED: Final = {"AllOf", "AnyOf", "AtLeast", "Not"}

Change = Callable[[Evidence], Evidence]


def changed(known: Evidence, **fields: Any) -> Evidence:
    """Return evidence that differs in the given fields."""
    kept = {name: getattr(known, name) for name in ("path", "at", "facts", "connection", "possession", "dialed")}
    return Evidence(**{**kept, **fields})


def remade(change: Callable[[HandMade], HandMade], *, place: int = 0) -> Change:
    """Return the change of one certificate of the path; nobody verifies the signature any more."""

    def apply(known: Evidence) -> Evidence:
        certificates = list(known.path.certificates)
        hand = change(HandMade.of(certificates[place].certificate))
        certificates[place] = type(certificates[place])(hand.signed_by(ROOT.key))
        return changed(known, path=CertificationPath(tuple(certificates), "PRIVATE_PKI"))

    return apply


def dropped(oid: str, *, place: int = 0) -> Change:
    """Return the removal of an extension."""
    return remade(lambda hand: hand.without(x509.ObjectIdentifier(oid)), place=place)


def spoilt(oid: str, value: bytes, *, place: int = 0) -> Change:
    """Return an extension's replacement by bytes that cannot be read."""
    return remade(lambda hand: hand.setting(x509.ObjectIdentifier(oid), value), place=place)


def connected(**fields: Any) -> Change:
    """Return another connection, of which only *fields* are known."""
    return lambda known: changed(known, connection=Connection(**fields))


def unreadable_subject(hand: HandMade) -> HandMade:
    """Write every value of the subject as a string of a type that is not read."""
    oids = [attribute.oid.dotted_string for attribute in LEAF.path.end_entity.certificate.subject]
    names = [relative_name((oid, der.t61_string("x\xff"))) for oid in oids]
    return replace(hand, subject=der.sequence(*names))


UNREADABLE_NAMES: Final = der.sequence(
    der.implicit(1, b"\xff"), der.implicit(2, b"\xff"), der.implicit(6, b"\xff"), der.implicit(7, b"12345")
)
JUNK: Final = b"\x04\x01"
REMOVALS: dict[str, Change] = {
    "no facts": lambda known: changed(known, facts=Facts.NONE),
    "an old fact": lambda known: changed(known, facts=Facts({NEED: Fact("row", AT - timedelta(days=1))})),
    "no connection": connected(),
    "no transport address": connected(client_address="198.51.100.9"),
    "no client address": connected(transport_address="192.0.2.7"),
    "addresses that are none": connected(transport_address="?", client_address="\x00"),
    "a proxy in between": lambda known: changed(known, possession=Possession.PROXY),
    "nobody saw possession": lambda known: changed(known, possession=Possession.NONE),
    "no subjectAltName": dropped(SAN),
    "a spoilt subjectAltName": spoilt(SAN, JUNK),
    "an empty subjectAltName": spoilt(SAN, der.sequence()),
    "unreadable names": spoilt(SAN, UNREADABLE_NAMES),
    "a second subjectAltName": remade(lambda hand: hand.adding(x509.ObjectIdentifier(SAN), JUNK)),
    "no extKeyUsage": dropped(EKU),
    "a spoilt extKeyUsage": spoilt(EKU, JUNK),
    "no certificatePolicies": dropped(POLICIES),
    "a spoilt certificatePolicies": spoilt(POLICIES, JUNK),
    "no certificatePolicies in the CA": dropped(POLICIES, place=1),
    "a spoilt certificatePolicies in the CA": spoilt(POLICIES, JUNK, place=1),
    "no extension at all": remade(lambda hand: replace(hand, extensions=())),
    "an unreadable subject": remade(unreadable_subject),
    "a spoilt subject": remade(lambda hand: replace(hand, subject=der.sequence(der.null()))),
    "a spoilt key": remade(lambda hand: replace(hand, public_key=der.sequence(der.null()))),
    "a spoilt key of the CA": remade(lambda hand: replace(hand, public_key=der.sequence(der.null())), place=1),
    "a spoilt name of the CA": remade(lambda hand: replace(hand, subject=der.sequence(der.null())), place=1),
    "a spoilt validity": remade(lambda hand: replace(hand, validity=der.sequence(der.null(), der.null()))),
    "a negative serial number": remade(lambda hand: replace(hand, serial=der.integer(-0x51))),
    "no issuer": lambda known: changed(known, path=CertificationPath(known.path.certificates[:1], "DIRECT")),
}


def negation(policy: Policy) -> Policy | None:
    """Return ``~policy`` where it may be built."""
    try:
        return Not(policy)
    except ConfigurationError:
        return None


def test_every_shipped_policy_is_held_against_the_rule() -> None:
    """A policy that is added to the package is added here."""
    assert SHIPPED.keys() | COMBINED == set(policies.__all__)
    assert [
        name
        for name, made in SHIPPED.items()
        for one in made
        if name not in {"lookup", "predicate"} and type(one).__name__ != name
    ] == []


def test_the_evidence_answers_the_policies_both_ways() -> None:
    """With all of the evidence there is no doubt: every policy permits or denies, and each family does both."""
    for name, made in SHIPPED.items():
        verdicts = [decide(one, BASE).verdict.name for one in made]
        assert verdicts[0] == ("PERMIT" if name != "Blocked" else "DENY"), name
        assert set(verdicts) == ({"PERMIT", "DENY"} if name != "Anyone" else {"PERMIT"}), name


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize("name", SHIPPED)
def test_removing_one_piece_of_evidence_never_permits(name: str, removal: str) -> None:
    """Neither the policy nor its negation turns from no PERMIT into PERMIT."""
    reduced = REMOVALS[removal](BASE)
    for policy in SHIPPED[name]:
        for asked in (policy, negation(policy)):
            if asked is not None and not decide(asked, BASE):
                assert not decide(asked, reduced), f"{asked!r} {decide(asked, reduced).explain()}"


@given(
    st.sampled_from([one for made in SHIPPED.values() for one in made]),
    st.lists(st.sampled_from(sorted(REMOVALS)), min_size=2, max_size=4, unique=True),
)
def test_removing_several_pieces_never_permits(policy: Policy, removals: list[str]) -> None:
    """The rule holds for removals on top of each other, as far as what is left can be taken apart again."""
    reduced = BASE
    for removal in removals:
        try:
            reduced = REMOVALS[removal](reduced)
        except (MalformedEvidence, ValueError, IndexError, x509.DuplicateExtension, UserWarning):
            continue  # an earlier removal left nothing that this one could be made of
    for asked in (policy, negation(policy)):
        if asked is not None and not decide(asked, BASE):
            assert not decide(asked, reduced)


@given(
    st.lists(st.sampled_from([one for made in SHIPPED.values() for one in made]), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_removing_evidence_never_permits_through_a_combination(clauses: list[Policy], data: st.DataObject) -> None:
    """What holds for the clauses holds for AllOf, AnyOf and AtLeast of them and of their negations."""
    signed = [
        data.draw(st.sampled_from([one for one in (clause, negation(clause)) if one is not None])) for clause in clauses
    ]
    removal = data.draw(st.sampled_from(sorted(REMOVALS)))
    reduced = REMOVALS[removal](BASE)
    count = data.draw(st.integers(1, len(signed)))
    for policy in (policies.AllOf(*signed), policies.AnyOf(*signed), policies.AtLeast(count, *signed)):
        if not decide(policy, BASE):
            assert not decide(policy, reduced), removal

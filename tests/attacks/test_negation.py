"""Attacks on ``~`` and on counting: the peer chooses a path, or a writer counts one clause twice."""

from __future__ import annotations

import pytest
from cryptography import x509

from mtlspolicy import Policy, TrustStore, Verdict, Verifier, policies
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority

A, B = CertificateAuthority("A root"), CertificateAuthority("B root")
ISSUING = A.intermediate("A issuing")
CROSS = B.cross_sign(ISSUING)
BOTH = TrustStore(anchors=[A.certificate, B.certificate])


def _asserting(oid: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None)])


@pytest.mark.parametrize(
    "excluded",
    [
        policies.SpiffeID("spiffe://a.test/blocked", bundle=A.certificate),
        policies.SpiffeID.member_of("a.test", bundle=A.certificate),
        policies.SpiffeID("spiffe://a.test/blocked", bundle=lambda: A.certificate),
    ],
)
def test_a_cross_certificate_leads_around_a_negated_spiffe_id(excluded: Policy) -> None:
    """An ID under an anchor of another domain is a doubt: a peer that presents a cross certificate stays excluded."""
    leaf = ISSUING.issue_client("w", uris=["spiffe://a.test/blocked"])
    verifier = Verifier.for_clients(trust=BOTH, policy=policies.CommonName("w") & ~excluded)
    assert verifier.decide([leaf.der, ISSUING.der]).code == "policy.excluded"
    around = verifier.decide([leaf.der, CROSS.der])
    assert (around.verdict, around.code) == (Verdict.INDETERMINATE, "spiffe.foreign-anchor")
    assert not verifier.decide([leaf.der, CROSS.der, ISSUING.der])


def test_an_intermediate_of_choice_leads_around_a_negated_policy_oid() -> None:
    """A CA above that does not assert the policy is a doubt, since the peer chooses which of its CA's certificates."""
    upper = CertificateAuthority("P root")
    first = upper.intermediate("P issuing", extensions=[_asserting("1.2.3")])
    second = upper.intermediate("P issuing", key=first.key, extensions=[_asserting("1.2.4")])
    leaf = first.issue_client("t", extensions=[_asserting("1.2.3")])
    policy = policies.CommonName("t") & ~policies.PolicyOID("1.2.3")
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[upper.certificate]), policy=policy)
    assert verifier.decide([leaf.der, first.der]).verdict is Verdict.DENY
    assert verifier.decide([leaf.der, second.der]).verdict is Verdict.INDETERMINATE


@pytest.mark.parametrize(
    "again",
    [
        policies.CommonName("x").named("again"),
        policies.CommonName("x").named("a").named("b"),
        policies.AllOf(policies.CommonName("x")),
        policies.AnyOf(policies.CommonName("x").named("c")),
    ],
)
def test_a_label_makes_one_clause_count_twice(again: Policy) -> None:
    """A clause under a label, or alone in a combination, is the same clause, and AtLeast refuses it twice."""
    with pytest.raises(ConfigurationError, match="count twice"):
        policies.AtLeast(2, policies.CommonName("x"), again, policies.SPKIPin("00" * 32))
    different = policies.AtLeast(2, policies.CommonName("x"), ~policies.CommonName("x"), policies.SPKIPin("00" * 32))
    assert different.count == 2

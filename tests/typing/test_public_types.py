"""What a type checker tells a caller about the public names: mypy and pyright hold each `assert_type`, strictly.

When the tests run, the same lines show that the values are what the types say.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import assert_type

import pytest

from mtlspolicy import (
    CertificationPath,
    Decision,
    DistinguishedName,
    Evidence,
    Policy,
    Resolver,
    TrustStore,
    Verdict,
    VerificationError,
    VerifiedPeer,
    Verifier,
    policies,
    testing,
    tls,
)

ROOT = testing.CertificateAuthority("Root")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_policies_combine_to_policies() -> None:
    """``&``, ``|``, ``~`` and ``.named`` give a `Policy`, which has no truth value."""
    frodo = assert_type(policies.CommonName("frodo"), policies.CommonName)
    both = frodo & policies.IssuerPin(ROOT.certificate)
    for one in (both, both | frodo, ~frodo, both.named("both"), policies.AtLeast(1, frodo, both)):
        policy: Policy = one
        assert isinstance(policy, Policy)
        decision = assert_type(policy.evaluate(testing.evidence("frodo", at=AT)), Decision)
        assert isinstance(decision, Decision)
        with pytest.raises(TypeError):
            bool(policy)


def test_what_a_verifier_returns() -> None:
    """`verify` gives a peer and `decide` a decision; what may be absent on a peer is an option in its type."""
    trust = assert_type(TrustStore(anchors=[ROOT.certificate]) | TrustStore(anchors=[ROOT.der]), TrustStore)
    verifier = assert_type(Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo")), Verifier)
    leaf = ROOT.issue_client("frodo")
    peer = assert_type(verifier.verify(leaf.chain_pem), VerifiedPeer)
    assert assert_type(peer.common_name, str | None) == "frodo"
    assert assert_type(peer.spiffe_id, str | None) is None
    assert assert_type(peer.path, CertificationPath).end_entity.der == leaf.der
    assert isinstance(assert_type(peer.subject, DistinguishedName), DistinguishedName)
    assert assert_type(peer.serial_number, int) == leaf.certificate.serial_number
    assert assert_type(verifier.decide(leaf.chain_pem).verdict, Verdict) is Verdict.PERMIT
    with pytest.raises(VerificationError) as caught:
        verifier.verify(b"")
    assert assert_type(caught.value.decision, Decision).verdict is not Verdict.PERMIT


def test_policies_of_ones_own_keep_their_types() -> None:
    """A class of one's own, a predicate and a look-up are policies to a type checker as well."""

    @dataclass(frozen=True)
    class Own(Policy):
        last: datetime

        def evaluate(self, evidence: Evidence) -> Decision:
            return self.permit("acme.open") if evidence.at <= self.last else self.deny("acme.closed")

    @policies.predicate("acme.hours")
    def hours(evidence: Evidence) -> bool:
        return evidence.at.hour < 18

    @policies.lookup("acme.row", key=lambda path: path.end_entity.spki_sha256, max_age=timedelta(seconds=30))
    def row(found: object, _: Evidence) -> bool:
        return found is not None

    presented = testing.evidence("frodo", at=AT, facts={"acme.row": 1})
    assert [one.evaluate(presented).verdict for one in (Own(AT), hours, row)] == [Verdict.PERMIT] * 3


def test_contexts_are_contexts_of_the_standard_library() -> None:
    """Whatever takes an `ssl.SSLContext` takes ours, and a connection may have no peer."""
    issued = ROOT.issue_server("localhost")
    credential = assert_type(tls.Credential.of(issued.chain, issued.key), tls.Credential)
    trust = TrustStore(anchors=[ROOT.certificate])
    clients = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
    options = tls.ServerOptions(resolver=Resolver({"acme.row": lambda _: 1}))
    server = assert_type(tls.server_context(credential=credential, verifier=clients, options=options), ssl.SSLContext)
    client = assert_type(
        tls.client_context(verifier=Verifier.for_servers(trust=trust, expected="localhost")), ssl.SSLContext
    )
    assert isinstance(server, ssl.SSLContext)
    assert isinstance(client, ssl.SSLContext)


def _with_a_connection(connection: ssl.SSLSocket) -> VerifiedPeer | None:
    return assert_type(tls.peer_of(connection), VerifiedPeer | None)

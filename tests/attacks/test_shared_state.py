"""Attacks on what decisions share: live trust under a fixed policy, and the connection that nothing is known of."""

from __future__ import annotations

import pytest

from mtlspolicy import TrustStore, Verdict, Verifier, policies
from mtlspolicy._evidence import UNKNOWN_CONNECTION
from mtlspolicy.testing import CertificateAuthority

CA = CertificateAuthority("shared root")
LEAF = CA.issue_client("x")
PRIVATE = TrustStore(anchors=[CA.certificate])


def test_a_store_becomes_public_under_a_fixed_anyone() -> None:
    """Live trust that turns public is refused under ``Anyone()`` at each decision, not only when both are live."""
    held = [PRIVATE]
    verifier = Verifier.for_clients(trust=lambda: held[0], policy=policies.Anyone())
    assert verifier.decide(LEAF.chain_pem)
    held[0] = TrustStore(anchors=[CA.certificate, *TrustStore.public().anchors])
    decision = verifier.decide(LEAF.chain_pem)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "trust.unavailable")
    held[0] = PRIVATE
    assert verifier.decide(LEAF.chain_pem)


def test_what_one_peer_is_told_is_told_of_every_other() -> None:
    """Offline peers share one connection of which nothing is known, so nobody can write an address on it."""
    verifier = Verifier.for_clients(trust=PRIVATE, policy=policies.CommonName("x"))
    admitted = verifier.verify(LEAF.chain_pem)
    for connection in (admitted.connection, UNKNOWN_CONNECTION):
        for name in ("transport_address", "client_address", "__class__"):
            with pytest.raises(AttributeError, match="nothing is known of this connection"):
                setattr(connection, name, "10.1.1.1")
    inside = Verifier.for_clients(
        trust=PRIVATE,
        policy=policies.CommonName("x") & policies.PeerAddress("10.0.0.0/8") & policies.ClientAddress("10.0.0.0/8"),
    )
    assert inside.decide(LEAF.chain_pem).code == "address.unknown"
    assert repr(UNKNOWN_CONNECTION) == "Connection()"

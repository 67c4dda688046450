"""What a refusal says of each broken peer: a stable code, the certificate, and the next step, from the same tree."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from mtlspolicy import PathProfile, TrustStore, Verifier, policies
from mtlspolicy.testing import CertificateAuthority, broken


class Case(NamedTuple):
    """A fault of the catalogue, the code of its refusal, and texts that the explanation holds."""

    fault: str
    code: str
    told: tuple[str, ...]


CASES = (
    Case("expired", "path.expired", ("CN=client", "expired at", "renew it")),
    Case("not-yet-valid", "path.not-yet-valid", ("CN=client", "valid from", "set the clock")),
    Case("expired-intermediate", "path.expired", ("CN=mtlspolicy TEST CA expired", "expired at")),
    Case("v1", "path.version", ("CN=client", "X.509 v1", "-extfile", "PathProfile.DIRECT")),
    Case("v1-intermediate", "path.version", ("X.509 v1 CA certificate",)),
    Case(
        "wrong-eku-server-only",
        "path.extended-key-usage",
        ("clientAuth", "certificate for servers", "public CAs no longer issue certificates for clients"),
    ),
    Case("any-eku", "path.extended-key-usage", ("CN=client", "clientAuth")),
    Case("intermediate-with-server-eku", "path.extended-key-usage", ("may not issue for clients",)),
    Case("is-ca", "path.end-entity-is-ca", ("CN=client", "CA certificate")),
    Case("self-signed", "path.untrusted-self-signed", ("self-signed", "TrustStore(peers=[...])")),
    Case("unknown-issuer", "path.no-issuer", ("unknown CA", "missing intermediate")),
    Case("impostor-issuer", "path.signature", ("does not verify",)),
    Case("bad-signature", "path.signature", ("does not verify",)),
    Case("issuer-without-keycertsign", "path.key-usage", ("keyUsage lacks keyCertSign",)),
    Case("issuer-without-basic-constraints", "path.basic-constraints", ("no basicConstraints",)),
    Case("path-length-exceeded", "path.basic-constraints", ("pathLen",)),
    Case("leaf-signing-leaf", "path.basic-constraints", ("cannot be a CA",)),
    Case("rsa-1024", "path.weak-key", ("1024 bits", "at least 2048")),
    Case("secp256k1", "path.weak-key", ("secp256k1",)),
    Case("issuer-rsa-1024", "path.weak-key", ("1024 bits",)),
    Case("bidi-in-cn", "name.hostile", ("control or format characters", "\\u202e")),
    Case("nul-in-dns", "name.hostile", ("\\x00",)),
    Case("newline-in-cn", "name.hostile", ("\\n",)),
    Case("zero-serial", "serial.out-of-range", ("not positive",)),
    Case("negative-serial", "serial.out-of-range", ("not positive",)),
    Case("serial-21-octets", "serial.out-of-range", ("20 octets",)),
    Case("huge-san", "chain.too-large", ("129 names", "at most 128")),
    Case("oversized", "chain.too-large", ("bytes", "at most 16384")),
    Case("truncated", "chain.malformed", ()),
    Case("trailing-data", "chain.malformed", ()),
    Case("outside-name-constraints", "path.name-constraints", ("nameConstraints",)),
)


def _verifier(authority: CertificateAuthority) -> Verifier:
    policy = policies.CommonName("client") | policies.DNSName("client.test")
    return Verifier.for_clients(trust=TrustStore(anchors=[authority.certificate]), policy=policy)


@pytest.mark.parametrize("case", CASES, ids=[case.fault for case in CASES])
def test_the_refusal_says_which_rule_and_what_to_do(case: Case) -> None:
    """Every broken peer is refused with its own code, in a tree that names the certificate and the remedy."""
    authority = CertificateAuthority()
    decision = _verifier(authority).decide(broken(case.fault, authority).chain_pem)
    text = decision.explain()
    assert (decision.verdict.name, decision.code) == ("DENY", case.code), text
    assert [told for told in case.told if told not in text] == [], text
    assert all(line.isprintable() for line in text.splitlines())
    assert decision.as_dict()["code"] == case.code


def test_a_v1_certificate_is_admitted_where_direct_is_asked_for() -> None:
    """The remedy that the refusal of a v1 certificate names does work."""
    authority = CertificateAuthority()
    issued = broken("v1", authority)
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[authority.certificate]),
        policy=policies.CommonName("client"),
        profile=PathProfile.DIRECT,
    )
    assert verifier.verify(issued.chain_pem).common_name == "client"


def test_a_missing_intermediate_is_named_by_its_issuer() -> None:
    """A peer that sends its leaf alone is told which certificate is missing, and the store's owner how to add it."""
    root = CertificateAuthority()
    issuing = root.intermediate("mtlspolicy TEST CA issuing")
    leaf = issuing.issue_client("frodo")
    decision = _verifier(root).decide(leaf.certificate_pem)
    assert decision.code == "path.no-issuer"
    assert "CN=mtlspolicy TEST CA issuing" in decision.detail
    store = TrustStore(anchors=[root.certificate], intermediates=[issuing.certificate])
    verifier = Verifier.for_clients(trust=store, policy=policies.CommonName("frodo"))
    assert verifier.verify(leaf.certificate_pem).common_name == "frodo"


def test_a_denial_shows_every_clause() -> None:
    """All mismatches are told at once, those that held as well, in the order of the policy."""
    root = CertificateAuthority()
    wanted, other = root.intermediate("mtlspolicy TEST CA 1"), root.intermediate("mtlspolicy TEST CA 2")
    policy = (
        policies.CommonName("frodo") & policies.IssuerPin(wanted.certificate) & policies.ClientAddress("192.0.2.0/24")
    )
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policy)
    lines = verifier.decide(other.issue_client("frodo").chain_pem).explain().splitlines()
    assert lines[0].startswith("DENY  all of 3")
    assert "path: CN=frodo < CN=mtlspolicy TEST CA 2" in lines[0]
    assert [line.split()[0] for line in lines[1:4]] == ["+", "-", "?"]
    assert "issuer.not-pinned" in lines[2]
    assert "address.unknown" in lines[3]

"""Why a path was refused: the message names the certificate, the rule and what mends it; nothing here admits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import DEFAULT_LIMITS
from mtlspolicy._path import PathProfile, Purpose, Refusal, Rules, validate_paths
from mtlspolicy._path_diagnosis import diagnose, validity_refusal
from mtlspolicy._path_links import Links
from mtlspolicy._trust import TrustStore
from mtlspolicy.testing import CertificateAuthority, broken

NOW = datetime.now(UTC)
ROOT = CertificateAuthority("root", organization=None)
STORE = TrustStore(anchors=[ROOT.der])


def _refusal(
    *ders: bytes, store: TrustStore = STORE, profile: PathProfile = PathProfile.PRIVATE_PKI, **given: Any
) -> Refusal:
    rules = Rules(profile, given.get("purpose", Purpose.CLIENT), DEFAULT_LIMITS)
    found = next(validate_paths(tuple(map(ParsedCertificate, ders)), store, rules, given.get("at", NOW)))
    assert isinstance(found, Refusal)
    return found


def _broken(name: str, **given: Any) -> Refusal:
    issued = broken(name, ROOT)
    return _refusal(issued.der, *issued.issuers_der, store=TrustStore(anchors=[issued.root_der]), **given)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("expired", ["CN=client expired at ", "renew it, or set the clock"]),
        ("not-yet-valid", ["CN=client is valid from ", "set the clock of this machine or of the CA"]),
        ("wrong-eku-server-only", ["CN=client is not for clients", "lacks clientAuth", "public CAs no longer issue"]),
        ("is-ca", ["CN=client is a CA certificate; present one that it issued"]),
        ("v1", ["CN=client is an X.509 v1 certificate", "openssl x509 -req", "-extfile", "PathProfile.DIRECT"]),
        ("v1-intermediate", ["is an X.509 v1 CA certificate"]),
        ("path-length-exceeded", ["allows 0 CAs below it (pathLen)"]),
        ("issuer-without-keycertsign", ["cannot be a CA: its keyUsage lacks keyCertSign"]),
        ("issuer-without-basic-constraints", ["no basicConstraints; make it with basicConstraints=critical,CA:TRUE"]),
        ("leaf-signing-leaf", ["CN=client cannot be a CA: its basicConstraints say CA:FALSE"]),
        ("intermediate-with-server-eku", ["may not issue for clients: its extKeyUsage lacks it"]),
        ("impostor-issuer", ["the signature of CN=client does not verify with the key of CN=root"]),
        ("outside-name-constraints", ["a CA of the path has nameConstraints: "]),
        ("unknown-critical-extension", ["CN=client has the critical extension 2.999."]),
        ("rsa-1024", ["an RSA key of 1024 bits; at least 2048; issue it again with a stronger key"]),
        ("issuer-rsa-1024", ["the CA ", "an RSA key of 1024 bits", "its key must be replaced"]),
        ("negative-serial", ["is not positive or exceeds 20 octets", "issue it again"]),
        ("nul-in-cn", ["holds control or format characters", "\\x00"]),
        ("huge-san", ["129 names in the subjectAltName; at most 128"]),
    ],
)  # fmt: skip
def test_the_message_names_certificate_rule_and_remedy(name: str, says: list[str]) -> None:
    """A person who reads the refusal knows which certificate to mend and how."""
    detail = _broken(name).detail
    for text in says:
        assert text in detail
    assert "\n" not in detail
    assert "\0" not in detail


def test_what_the_engine_says_is_passed_on_where_no_rule_of_ours_explains_it() -> None:
    """For a rule of the web profile alone the refusal names the profile and repeats what the engine said."""
    refusal = _broken("no-aki", profile=PathProfile.WEBPKI)
    assert refusal.code == "path.invalid"
    assert refusal.detail.startswith("CN=client has no valid path under WEBPKI: ")
    assert "2.5.29.35" in refusal.detail


def test_a_server_without_server_auth_is_told_so() -> None:
    """For servers the remedy is another one."""
    refusal = _refusal(ROOT.issue_client("x", dns=["x.test"]).der, purpose=Purpose.SERVER)
    assert refusal.code == "path.extended-key-usage"
    assert "lacks serverAuth; issue it with extendedKeyUsage=serverAuth" in refusal.detail


def test_any_extended_key_usage_of_a_ca_is_no_reason() -> None:
    """A CA with anyExtendedKeyUsage may issue for everything, so that the diagnosis looks further."""
    from cryptography.x509.oid import ExtendedKeyUsageOID

    ca = ROOT.intermediate("any", eku=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    path = tuple(map(ParsedCertificate, (ca.issue_client("x").der, ca.der, ROOT.der)))
    refusal = diagnose(
        path, profile=PathProfile.PRIVATE_PKI, purpose=Purpose.CLIENT, at=NOW, detail="engine", links=Links()
    )
    assert (refusal.code, refusal.detail.rpartition(": ")[2]) == ("path.invalid", "engine")


def test_a_part_that_cannot_be_read_ends_the_diagnosis() -> None:
    """The diagnosis is total: an unreadable extension is itself the reason."""
    path = tuple(map(ParsedCertificate, (broken("duplicate-extension", ROOT).der, ROOT.der)))
    refusal = diagnose(path, profile=PathProfile.WEBPKI, purpose=Purpose.CLIENT, at=NOW, detail="engine", links=Links())
    assert refusal.code == "chain.malformed"


def test_unknown_ca_and_missing_intermediate_are_told_with_the_name_that_is_missing() -> None:
    """The refusal names the issuer that nobody has, seen from the end of what the peer sent."""
    issuing = ROOT.intermediate("issuing", organization=None)
    lower = issuing.intermediate("lower", organization=None)
    leaf = lower.issue_client("client")
    refusal = _refusal(leaf.der)
    assert refusal.code == "path.no-issuer"
    assert "no certificate of the issuer CN=lower is at hand: " in refusal.detail
    assert (
        "the issuer CN=issuing is at hand (the peer's chain ends at CN=lower)" in _refusal(leaf.der, lower.der).detail
    )


def test_certificates_that_name_each_other_are_no_endless_walk() -> None:
    """The walk up the names ends where two certificates name each other."""
    one, two = CertificateAuthority("one", organization=None), CertificateAuthority("two", organization=None)
    leaf = one.issue_client("client")
    refusal = _refusal(leaf.der, two.cross_sign(one).der, one.cross_sign(two).der)
    assert refusal.code == "path.no-issuer"
    assert "the issuer CN=" in refusal.detail


def test_a_self_signed_certificate_is_told_of_registration() -> None:
    """A stray self-signed certificate, and one that only names itself as issuer, are different things."""
    issued = broken("self-signed", ROOT)
    refusal = _refusal(issued.der)
    assert refusal.code == "path.untrusted-self-signed"
    assert "TrustStore(peers=[...]) and PathProfile.DIRECT" in refusal.detail
    assert _refusal(broken("leaf-signing-leaf", ROOT).der).code == "path.no-issuer"


def test_an_anchor_as_a_peer() -> None:
    """A self-signed CA certificate that a program serves itself with: the store knows it, and it is no end entity."""
    refusal = _refusal(ROOT.der)
    assert refusal.code == "path.untrusted-self-signed"
    for part in ("CN=root is itself a trust anchor", "CA:FALSE"):
        assert part in refusal.detail


def test_an_unregistered_certificate_is_told_with_its_digest() -> None:
    """Where peers are registered the refusal shows the digest that would have to be."""
    registered = TrustStore(peers=[broken("self-signed", ROOT).der])
    stranger = broken("self-signed", ROOT)
    refusal = _refusal(stranger.der, store=registered, profile=PathProfile.DIRECT)
    assert refusal.code == "path.not-registered"
    assert ParsedCertificate(stranger.der).sha256 in refusal.detail


def test_direct_says_that_it_follows_no_intermediates() -> None:
    """The most likely mistake with `DIRECT` is a chain."""
    leaf = ROOT.intermediate("issuing", organization=None).issue_client("x")
    refusal = _refusal(leaf.der, profile=PathProfile.DIRECT)
    assert refusal.detail == "no anchor is named CN=issuing, and PathProfile.DIRECT follows no intermediates"


def test_a_distrusted_key_is_named() -> None:
    """The refusal names the certificate whose key the store distrusts."""
    leaf = ROOT.issue_client("client")
    store = TrustStore(anchors=[ROOT.der], distrusted=[leaf.der])
    assert _refusal(leaf.der, store=store).detail == "the store distrusts the key of CN=client"


def test_validity_says_both_times() -> None:
    """Both the certificate's time and the clock's are in the message, since either may be wrong."""
    leaf = ParsedCertificate(ROOT.issue_client("x").der)
    assert validity_refusal(leaf, NOW) is None
    late = validity_refusal(leaf, leaf.not_after + timedelta(days=1))
    assert late is not None
    assert f"{leaf.not_after:%Y-%m-%dT%H:%M:%SZ}" in late.detail
    assert f"the time is {leaf.not_after + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}" in late.detail

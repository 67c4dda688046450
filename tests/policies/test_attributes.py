"""ExtendedKeyUsage, PolicyOID, KeyStrength and MaxLifetime: three answers each, and what is refused at construction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import policies
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, broken, evidence
from mtlspolicy.testing._hand_made import HandMade

CA = CertificateAuthority("Root")
ANY_POLICY = "2.5.29.32.0"


def told(policy: Policy, presented: Evidence) -> tuple[str, str]:
    """Return verdict and code."""
    decision = decide(policy, presented)
    return decision.verdict.name, decision.code


def asserting(*oids: str) -> x509.CertificatePolicies:
    """Return a certificatePolicies extension."""
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids])


def with_purposes(value: bytes) -> bytes:
    """Return a certificate whose extKeyUsage has this value."""
    hand = HandMade.of(CA.issue_client("leaf").certificate)
    return hand.setting(x509.ExtendedKeyUsage.oid, value).signed_by(CA.key)


@pytest.mark.parametrize(
    "value", [b"", b"\x05\x00", b"\x30\x00", b"\x30\x02\x05\x00", b"\x30\x03\x06\x01\x80", b"\x30\x00\x00"]
)
def test_purposes_that_cannot_be_read_are_a_doubt(value: bytes) -> None:
    """Bytes that are no list of purposes, an empty list too, neither permit nor deny."""
    presented = evidence(certificate=with_purposes(value))
    for policy in (policies.ExtendedKeyUsage("serverAuth"), ~policies.ExtendedKeyUsage("serverAuth")):
        assert told(policy, presented) == ("INDETERMINATE", "policy.error")


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (policies.ExtendedKeyUsage("clientAuth"), ("PERMIT", "eku.match")),
        (policies.ExtendedKeyUsage("CLIENTAUTH", "codeSigning"), ("PERMIT", "eku.match")),
        (policies.ExtendedKeyUsage("1.3.6.1.5.5.7.3.2"), ("PERMIT", "eku.match")),
        (policies.ExtendedKeyUsage(ExtendedKeyUsageOID.CLIENT_AUTH), ("PERMIT", "eku.match")),
        (policies.ExtendedKeyUsage("serverAuth"), ("DENY", "eku.mismatch")),
        (policies.ExtendedKeyUsage("anyExtendedKeyUsage"), ("DENY", "eku.mismatch")),
    ],
)
def test_a_purpose_is_there_or_not(policy: Policy, wanted: tuple[str, str]) -> None:
    """One of the purposes is enough; names are read in any case, OIDs as text or objects."""
    assert told(policy, evidence("a")) == wanted


def test_a_purpose_that_is_not_stated_is_a_doubt() -> None:
    """Without extKeyUsage, and where only anyExtendedKeyUsage covers it, neither the policy nor ``~`` permits."""
    for name, code in (("no-eku", "eku.absent"), ("any-eku", "eku.any")):
        presented = evidence(certificate=broken(name, CA))
        for policy in (policies.ExtendedKeyUsage("clientAuth"), ~policies.ExtendedKeyUsage("codeSigning")):
            assert told(policy, presented) == ("INDETERMINATE", code)
    presented = evidence(certificate=broken("any-eku", CA))
    assert told(policies.ExtendedKeyUsage("anyExtendedKeyUsage"), presented)[0] == "PERMIT"


def test_purposes_from_text_files_and_certificates(tmp_path: Path) -> None:
    """Every way in makes one value, shown by the names of the purposes."""
    (tmp_path / "list").write_text("clientAuth\n1.2.3 # ours\n", "utf-8")
    policy = policies.ExtendedKeyUsage("1.3.6.1.5.5.7.3.2", "1.2.3")
    assert policies.ExtendedKeyUsage.from_list_file(tmp_path / "list") == policy
    assert repr(policy) == "ExtendedKeyUsage('1.2.3', 'clientAuth')"
    assert policies.ExtendedKeyUsage.of(CA.issue_client("a").der) == policies.ExtendedKeyUsage.parse("clientAuth")


@pytest.mark.parametrize(
    ("leaf", "below", "wanted"),
    [
        (["1.2.3"], ["1.2.3"], ("PERMIT", "policy-oid.match")),
        (["1.2.3", "1.9"], [ANY_POLICY], ("PERMIT", "policy-oid.match")),
        (["1.2.4"], ["1.2.4", ANY_POLICY], ("PERMIT", "policy-oid.match")),
        (["1.9"], ["1.2.3"], ("DENY", "policy-oid.mismatch")),
        (["1.2.3"], ["1.9"], ("INDETERMINATE", "policy-oid.mismatch")),
        (["1.2.3"], ["1.2.4"], ("INDETERMINATE", "policy-oid.mismatch")),
        ([ANY_POLICY], ["1.2.3"], ("INDETERMINATE", "policy-oid.any")),
        (["1.2.3"], [], ("INDETERMINATE", "policy-oid.absent")),
        ([], ["1.2.3"], ("INDETERMINATE", "policy-oid.absent")),
    ],
)
def test_a_certificate_policy_holds_for_the_whole_path(
    leaf: list[str], below: list[str], wanted: tuple[str, str]
) -> None:
    """End entity and CAs below the anchor assert one OID; a CA may assert anyPolicy; absence is a doubt.

    So is a CA that asserts another policy: a cross certificate may lead around it, and must not satisfy ``~``.
    """
    issuing = CA.intermediate("Issuing", extensions=[asserting(*below)] if below else [])
    presented = evidence("a", issuer=issuing, extensions=[asserting(*leaf)] if leaf else [])
    policy = policies.PolicyOID("1.2.3", "1.2.4")
    assert told(policy, presented) == wanted
    assert (told(~policy, presented)[0] == "PERMIT") is (wanted[0] == "DENY")


def test_the_policy_of_the_end_entity_alone() -> None:
    """The anchor is not asked; a registered peer answers for itself."""
    leaf = CA.issue_client("a", extensions=[asserting("1.2.3")])
    assert told(policies.PolicyOID("1.2.3"), evidence(certificate=leaf))[0] == "PERMIT"
    assert told(policies.PolicyOID("1.2.3"), evidence(certificate=leaf.der))[0] == "PERMIT"
    assert policies.PolicyOID.of(leaf.certificate) == policies.PolicyOID(x509.ObjectIdentifier("1.2.3"))
    assert repr(policies.PolicyOID.parse("1.2.3")) == "PolicyOID('1.2.3')"


@pytest.mark.parametrize(
    ("key", "policy", "wanted"),
    [
        (ec.SECP256R1(), policies.KeyStrength(), ("PERMIT", "key.strong")),
        (ec.SECP256R1(), policies.KeyStrength(curves=["P-384", "secp521r1"]), ("DENY", "key.weak")),
        (ec.SECP384R1(), policies.KeyStrength(curves="p-384"), ("PERMIT", "key.strong")),
        ("rsa-2048", policies.KeyStrength(), ("PERMIT", "key.strong")),
        ("rsa-2048", policies.KeyStrength(rsa_minimum=3072), ("DENY", "key.weak")),
        ("ed448", policies.KeyStrength(curves=["P-256"]), ("PERMIT", "key.strong")),
    ],
)
def test_keys_are_strong_or_weak(key: Any, policy: Policy, wanted: tuple[str, str]) -> None:
    """RSA by its bits, curves by name, Ed448 always."""
    made: Any = ec.generate_private_key(key) if isinstance(key, ec.EllipticCurve) else None
    made = made or (ed448.Ed448PrivateKey.generate() if key == "ed448" else rsa.generate_private_key(65537, 2048))
    assert told(policy, evidence(certificate=CA.issue_client("a", key=made))) == wanted


@pytest.mark.parametrize("name", ["rsa-1024", "secp256k1", "p-224"])
def test_weak_keys_are_denied(name: str) -> None:
    """The catalogue's weak keys are weak, with the reason in the detail."""
    decision = decide(policies.KeyStrength(), evidence(certificate=broken(name, CA)))
    assert (decision.verdict.name, decision.code) == ("DENY", "key.weak")
    assert decision.detail.startswith("the peer has ")


@pytest.mark.parametrize("name", ["compressed-point", "explicit-ec-parameters"])
def test_a_key_in_another_encoding_is_refused_either_way(name: str) -> None:
    """The same key with another digest escapes pins and deny lists: neither the policy nor its negation permits."""
    presented = evidence(certificate=broken(name, CA))
    for policy in (policies.KeyStrength(), ~policies.KeyStrength()):
        assert told(policy, presented) == ("INDETERMINATE", "key.not-canonical")


def test_a_lifetime_is_short_or_long() -> None:
    """notAfter less notBefore is compared; as long as the maximum is short enough."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    presented = evidence(certificate=CA.issue_client("a", not_before=start, not_after=start + timedelta(days=3)))
    assert told(policies.MaxLifetime(timedelta(days=3)), presented) == ("PERMIT", "lifetime.short")
    assert told(policies.MaxLifetime(timedelta(days=3) - timedelta(seconds=1)), presented) == ("DENY", "lifetime.long")
    assert repr(policies.MaxLifetime(timedelta(days=3))) == "MaxLifetime(3 days, 0:00:00)"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (policies.ExtendedKeyUsage, "without an entry"),
        (
            lambda: policies.ExtendedKeyUsage("client"),
            "purpose 'client' is not known: write one of serverAuth, clientAuth",
        ),
        (lambda: policies.ExtendedKeyUsage(7), "purpose 7 is not known"),  # type: ignore[arg-type]
        (lambda: policies.ExtendedKeyUsage.of(broken("no-eku", CA).der), "without an entry"),
        (
            lambda: policies.ExtendedKeyUsage.of(with_purposes(b"\x05\x00")),
            "ExtendedKeyUsage.of: the extKeyUsage of CN=leaf",
        ),
        (policies.PolicyOID, "without an entry"),
        (lambda: policies.PolicyOID("1.2.03"), "certificate policy '1.2.03' is not known"),
        (lambda: policies.PolicyOID("3.1"), "not known"),
        (lambda: policies.PolicyOID("1"), "not known"),
        (lambda: policies.KeyStrength(rsa_minimum=1024), "from 2048 to 8192 bits"),
        (lambda: policies.KeyStrength(rsa_minimum=16384), "from 2048 to 8192 bits"),
        (lambda: policies.KeyStrength(rsa_minimum=True), "rsa_minimum=True"),
        (lambda: policies.KeyStrength(rsa_minimum="4096"), "rsa_minimum='4096'"),  # type: ignore[arg-type]
        (lambda: policies.KeyStrength(curves=()), "at least one of P-256"),
        (lambda: policies.KeyStrength(curves=["secp256k1"]), "unknown curve 'secp256k1'"),
        (lambda: policies.KeyStrength(curves=[ec.SECP256R1()]), "unknown curve"),  # type: ignore[list-item]
        (lambda: policies.MaxLifetime(timedelta(0)), "no timedelta of more than zero"),
        (lambda: policies.MaxLifetime(90), "90 is no timedelta"),  # type: ignore[arg-type]
    ],
)
def test_what_can_never_be_right_is_refused(build: Any, message: str) -> None:
    """Unknown names, empty lists and impossible numbers are refused when the policy is built."""
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_attributes_identify_nobody_and_are_values() -> None:
    """Attribute leaves never identify; equal arguments make equal policies; all may be kept with a path."""
    made: list[tuple[Policy, Policy]] = [
        (policies.ExtendedKeyUsage("clientAuth"), policies.ExtendedKeyUsage("1.3.6.1.5.5.7.3.2")),
        (policies.PolicyOID("1.2.3"), policies.PolicyOID("1.2.3")),
        (policies.KeyStrength(), policies.KeyStrength(curves=["prime256v1", "P-384", "P-521"])),
        (policies.MaxLifetime(timedelta(days=1)), policies.MaxLifetime(timedelta(hours=24))),
        (policies.Anyone(), policies.Anyone()),
    ]
    for one, other in made:
        assert one == other
        assert hash(one) == hash(other)
        assert not one.identifies
        assert one._reads_path_only
    assert repr(policies.KeyStrength(curves=["P-384"])) == "KeyStrength(rsa_minimum=2048, curves=['secp384r1'])"


def test_anyone_permits_and_says_whom() -> None:
    """``Anyone`` permits every peer with a valid path."""
    decision = decide(policies.Anyone(), evidence("frodo"))
    assert (decision.verdict.name, decision.code, decision.detail) == ("PERMIT", "policy.anyone", "CN=frodo")

"""SpiffeID: exactly one ID of an end entity, compared parsed, vouched for by an anchor of its own trust domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy, decide
from mtlspolicy._spiffe_id import SpiffeIdentifier
from mtlspolicy._trust import TrustStore
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.policies import SpiffeID
from mtlspolicy.policies._spiffe_bundle import Anchors, BundleInput
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.testing._template import key_usage

A, B = CertificateAuthority("a.test"), CertificateAuthority("b.test")
AT = datetime(2026, 1, 1, tzinfo=UTC)
PERMIT, DENY, DOUBT = Verdict.PERMIT, Verdict.DENY, Verdict.INDETERMINATE
ADMIN = "spiffe://a.test/admin"


def path_of(issued: IssuedCertificate) -> CertificationPath:
    """Return the path that *issued* presents, without validating it."""
    ders = (issued.der, *issued.issuers_der, issued.root_der)
    return CertificationPath(tuple(map(ParsedCertificate, ders)), "PRIVATE_PKI")


def asked(policy: Policy, issued: IssuedCertificate | CertificationPath) -> Decision:
    """Return the decision of *policy*, after making sure that ``~`` answers the opposite and a doubt stays one."""
    evidence = Evidence(issued if isinstance(issued, CertificationPath) else path_of(issued), at=AT)
    decision = decide(policy, evidence)
    opposite = {PERMIT: DENY, DENY: PERMIT, DOUBT: DOUBT}[decision.verdict]
    assert decide(~policy, evidence).verdict is opposite
    return decision


def workload(uri: str = ADMIN, *others: str) -> IssuedCertificate:
    """Return a certificate of trust domain a.test with these URIs, of any form."""
    leaf = A.issue_client("workload")
    names = [der.implicit(6, name.encode()) for name in (uri, *others)]
    hand = HandMade.of(leaf.certificate).setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(*names))
    return replace(leaf, der=hand.signed_by(A.key))


@pytest.mark.parametrize(
    ("uri", "verdict", "code"),
    [
        (ADMIN, PERMIT, "name.match"),
        ("spiffe://a.test/ops", PERMIT, "name.match"),
        ("spiffe://a.test/admin/x", DENY, "name.mismatch"),
        ("spiffe://a.test/Admin", DENY, "name.mismatch"),
        ("spiffe://a.test.evil/admin", DENY, "name.mismatch"),
        ("spiffe://a.test", DENY, "name.mismatch"),
        ("spiffe://A.test/admin", DOUBT, "name.unreadable"),
        ("spiffe://a.test/%61dmin", DOUBT, "name.unreadable"),
        ("spiffe://a.test/admin/", DOUBT, "name.unreadable"),
        ("spiffe://a.test:443/admin", DOUBT, "name.unreadable"),
        ("spiffe://x@a.test/admin", DOUBT, "name.unreadable"),
        ("spiffe://a.test/x/../admin", DOUBT, "name.unreadable"),
        ("spiffe://a.test/admin?x", DOUBT, "name.unreadable"),
        ("SPIFFE://a.test/admin", DOUBT, "name.absent"),
        ("https://a.test/admin", DOUBT, "name.absent"),
    ],
)
def test_ids_are_compared_parsed(uri: str, verdict: Verdict, code: str) -> None:
    """Upper case, percent, a trailing slash, a.test.evil: nothing is normalised and nothing is compared by prefix."""
    decision = asked(SpiffeID(ADMIN, "spiffe://a.test/ops", bundle=A.certificate), workload(uri))
    assert (decision.verdict, decision.code) == (verdict, code)


@pytest.mark.parametrize(
    ("uri", "verdict"),
    [
        (ADMIN, PERMIT),
        ("spiffe://a.test", PERMIT),
        ("spiffe://a.test.evil/admin", DENY),
        ("spiffe://xa.test/admin", DENY),
        ("spiffe://evil.test/a.test", DENY),
    ],
)
def test_member_of_compares_the_domain_and_no_prefix(uri: str, verdict: Verdict) -> None:
    """``a.test.evil`` is no member of ``a.test``."""
    assert asked(SpiffeID.member_of("a.test", bundle=[A.certificate]), workload(uri)).verdict is verdict


def test_two_uri_sans_are_no_svid() -> None:
    """Exactly one URI: two are INDETERMINATE, whichever comes first, also under ``~``."""
    for uris in ((ADMIN, "spiffe://a.test/x"), ("https://a.test", ADMIN)):
        assert asked(SpiffeID(ADMIN), workload(*uris)).code == "name.ambiguous"


def test_no_uri_and_an_unreadable_one_are_doubts() -> None:
    """Absent and unreadable are told apart, and neither denies."""
    assert asked(SpiffeID(ADMIN), A.issue_client("x", dns=["a.test"])).code == "name.absent"
    leaf = workload()
    names = der.sequence(der.implicit(6, ADMIN.encode()), der.implicit(6, b"\xff"))
    hand = HandMade.of(leaf.certificate).setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
    assert asked(SpiffeID(ADMIN), replace(leaf, der=hand.signed_by(A.key))).code == "name.unreadable"


def test_ca_of_trust_domain_b_asserts_an_id_of_a() -> None:
    """One store with both bundles: the CA of B issues spiffe://a.test/admin, and is refused by its anchor."""
    forged = B.issue_client("x", uris=[ADMIN])
    by_domain: dict[str, Anchors] = {"a.test": [A.certificate], "b.test": B.pem}
    bundles: list[BundleInput] = [A.certificate, TrustStore(anchors=[A.certificate]), by_domain]
    for bundle in bundles:
        for policy in (SpiffeID(ADMIN, bundle=bundle), SpiffeID.member_of("a.test", bundle=bundle)):
            decision = asked(policy, forged)
            assert (decision.verdict, decision.code) == (DOUBT, "spiffe.foreign-anchor")
            assert asked(policy, A.issue_client("x", uris=[ADMIN])).verdict is PERMIT
    both = SpiffeID.member_of("a.test", "b.test", bundle={"a.test": A.certificate, "b.test": B.certificate})
    assert asked(both, B.issue_client("x", uris=["spiffe://b.test/x"])).verdict is PERMIT
    assert asked(both, forged).code == "spiffe.foreign-anchor"


def test_without_a_bundle_any_anchor_may_assert_any_id() -> None:
    """That is what leaving it out means, and what a verifier with several anchors notes."""
    assert asked(SpiffeID(ADMIN), B.issue_client("x", uris=[ADMIN])).verdict is PERMIT
    assert not SpiffeID(ADMIN)._binds_issuer
    assert SpiffeID(ADMIN, bundle=A.certificate)._binds_issuer


def test_a_renewed_anchor_with_the_same_key_belongs_to_the_domain() -> None:
    """Anchors are compared by public key, so a renewed certificate of the CA is still of its domain."""
    renewed = A.cross_sign(A)
    assert asked(SpiffeID(ADMIN, bundle=renewed.certificate), A.issue_client("x", uris=[ADMIN])).verdict is PERMIT


def test_path_length_one_is_refused() -> None:
    """A peer that is its own anchor has nobody who vouches for its ID: INDETERMINATE, also under ``~``."""
    alone = CertificationPath((ParsedCertificate(workload().der),), "DIRECT")
    assert asked(SpiffeID(ADMIN), alone).code == "spiffe.not-svid"


@pytest.mark.parametrize(
    ("oid", "value"),
    [
        (ExtensionOID.BASIC_CONSTRAINTS, x509.BasicConstraints(ca=True, path_length=None)),
        (ExtensionOID.KEY_USAGE, key_usage(digital_signature=True, cert_sign=True)),
    ],
)
def test_a_ca_certificate_is_no_workload(oid: x509.ObjectIdentifier, value: x509.ExtensionType) -> None:
    """cA=TRUE, keyCertSign and cRLSign make a signing certificate, which authenticates no workload."""
    leaf = workload()
    hand = HandMade.of(leaf.certificate).setting(oid, value.public_bytes())
    assert asked(SpiffeID(ADMIN), replace(leaf, der=hand.signed_by(A.key))).code == "spiffe.not-svid"


def test_an_svid_without_key_usage_or_basic_constraints() -> None:
    """Extensions that are absent say nothing against a workload; one that cannot be read is a doubt."""
    leaf = workload()
    hand = HandMade.of(leaf.certificate).without(ExtensionOID.BASIC_CONSTRAINTS).without(ExtensionOID.KEY_USAGE)
    assert asked(SpiffeID(ADMIN), replace(leaf, der=hand.signed_by(A.key))).verdict is PERMIT
    bad = hand.adding(ExtensionOID.KEY_USAGE, b"\x05\x00")
    assert asked(SpiffeID(ADMIN), replace(leaf, der=bad.signed_by(A.key))).code == "name.unreadable"


def test_under_name_constraints() -> None:
    """A CA constrained in DNS names alone does not vouch for SPIFFE IDs, unless that is allowed."""
    issuing = A.intermediate(name_constraints=x509.NameConstraints([x509.DNSName("a.test")], None))
    issued = issuing.issue_client("x", uris=[ADMIN])
    assert asked(SpiffeID(ADMIN), issued).code == "name.constrained"
    assert asked(SpiffeID(ADMIN, allow_unconstrained=True), issued).verdict is PERMIT


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "empty list is refused"),
        (("",), "empty name"),
        (("a.test/admin",), "does not begin with"),
        (("spiffe://A.test/x",), "lower-case"),
        (("spiffe://a.test/",), "never empty"),
        ((b"spiffe://a.test",), "not bytes"),
    ],
)
def test_an_expected_id_that_is_none_is_refused(arguments: tuple[object, ...], why: str) -> None:
    """Expected IDs are held to the standard as presented ones are."""
    with pytest.raises(ConfigurationError) as caught:
        SpiffeID(*arguments)  # type: ignore[arg-type]  # the mistakes
    assert why in str(caught.value)


@pytest.mark.parametrize("name", ["", "A.test", "a.test/x", "spiffe://a.test", "a.test:443"])
def test_a_trust_domain_that_is_none_is_refused(name: str) -> None:
    """member_of takes the bare name of a trust domain."""
    with pytest.raises(ConfigurationError):
        SpiffeID.member_of(name)
    with pytest.raises(ConfigurationError):
        SpiffeID.member_of()


@pytest.mark.parametrize(
    ("bundle", "why"),
    [
        ([], "no anchor"),
        ({}, "no anchors for a.test"),
        ({"b.test": A.certificate}, "no anchors for a.test"),
        ({"a.test": []}, "no anchor"),
        ({"A.test": A.certificate}, "lower-case"),
        ({"spiffe://a.test": A.certificate}, "without 'spiffe://'"),
        (b"junk", "not a certificate"),
        ("a.pem", "takes a certificate"),
        (7, "takes a certificate"),
    ],
)
def test_a_bundle_that_is_none_is_refused(bundle: object, why: str) -> None:
    """A bundle without anchors for the domain would be no bundle."""
    with pytest.raises(ConfigurationError) as caught:
        SpiffeID(ADMIN, bundle=bundle)  # type: ignore[arg-type]  # the mistakes
    assert why in str(caught.value)


def test_anchors_of_several_domains_need_a_mapping() -> None:
    """Bare anchors for two domains, or for IDs that a source names later, would vouch across domains."""
    with pytest.raises(ConfigurationError, match="give a mapping"):
        SpiffeID(ADMIN, "spiffe://b.test/x", bundle=A.certificate)
    with pytest.raises(ConfigurationError, match="give a mapping"):
        SpiffeID(lambda: [ADMIN], bundle=A.certificate)
    live = SpiffeID(lambda: [ADMIN], bundle={"a.test": A.certificate})
    assert asked(live, A.issue_client("x", uris=[ADMIN])).verdict is PERMIT
    assert asked(live, B.issue_client("x", uris=[ADMIN])).code == "spiffe.foreign-anchor"
    with pytest.raises(ConfigurationError, match="any trust domain"):
        SpiffeID(lambda: [ADMIN], bundle={})


def test_a_live_bundle_is_asked_each_time() -> None:
    """A source of bundles follows federation; what it returns now decides, and a failure admits nobody."""
    current: dict[str, object] = {"a.test": A.certificate}
    policy = SpiffeID(ADMIN, bundle=lambda: current)  # type: ignore[arg-type, return-value]  # any mapping of anchors
    issued = A.issue_client("x", uris=[ADMIN])
    assert not policy._reads_path_only
    assert asked(policy, issued).verdict is PERMIT
    current["a.test"] = B.certificate
    assert asked(policy, issued).code == "spiffe.foreign-anchor"
    current.clear()
    assert asked(policy, issued).verdict is DOUBT


def test_live_ids() -> None:
    """A source of IDs may return a policy of IDs, and not one of trust domains."""
    issued = A.issue_client("x", uris=[ADMIN])
    assert asked(SpiffeID(lambda: SpiffeID(ADMIN)), issued).verdict is PERMIT
    assert asked(SpiffeID(lambda: SpiffeID.member_of("a.test")), issued).verdict is DOUBT
    assert not SpiffeID(lambda: [ADMIN])._reads_path_only
    assert SpiffeID(ADMIN, bundle=A.certificate)._reads_path_only


def test_ways_to_build(tmp_path: Path) -> None:
    """Text, a parsed ID, a collection, a certificate and a file build the same policy."""
    listed = tmp_path / "ids"
    listed.write_text(f"{ADMIN}  # the one\n")
    wanted = SpiffeID(ADMIN)
    assert wanted == SpiffeID([SpiffeIdentifier("a.test", "/admin")]) == SpiffeID.parse(ADMIN)
    assert wanted == SpiffeID.from_list_file(listed) == SpiffeID.of(workload().certificate)
    assert hash(SpiffeID(ADMIN, bundle=A.certificate)) == hash(SpiffeID(ADMIN, bundle=A.der))
    assert SpiffeID.identifies
    with pytest.raises(ConfigurationError, match="does not begin"):
        SpiffeID.of(A.issue_client("x", uris=["https://a.test"]).certificate)


def test_what_an_explanation_shows() -> None:
    """The repr names IDs or domains and says whether there is a bundle; a long list is counted."""
    assert repr(SpiffeID(ADMIN)) == f"SpiffeID('{ADMIN}')"
    assert repr(SpiffeID.member_of("a.test", bundle=A.certificate)) == "SpiffeID.member_of('a.test', bundle=...)"
    decision = asked(SpiffeID([f"spiffe://a.test/{number}" for number in range(9)]), workload())
    assert decision.detail == f"expected one of 9, presented {ADMIN}"


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("spiffe://" + "a" * 255, True),
        ("spiffe://" + "a" * 256, False),
        ("spiffe://a/" + "b" * 2037, True),
        ("spiffe://a/" + "b" * 2038, False),
        ("spiffe://a_b-c.1/x_y-z.1/Z", True),
        ("spiffe://a/\u0661", False),
        ("spiffe://a/b\n", False),
        ("spiffe://a\n", False),
        ("spiffe://\u00e4.test", False),
        (" spiffe://a", False),
    ],
)
def test_bounds_and_alphabet_of_an_id(text: str, *, valid: bool) -> None:
    """Trust domains of 255 and IDs of 2048 bytes at most, ASCII, nothing around them (SPIFFE-ID, section 2)."""
    if valid:
        assert str(SpiffeIdentifier.parse(text)) == text
    else:
        with pytest.raises(MalformedEvidence):
            SpiffeIdentifier.parse(text)


def test_an_id_of_segments_is_bounded_too() -> None:
    """The bound holds for IDs that are put together as well."""
    with pytest.raises(MalformedEvidence, match="2048"):
        SpiffeIdentifier.of("a", *("b" * 100 for _ in range(21)))


@given(st.text(max_size=30) | st.from_regex(r"spiffe://[a-zA-Z0-9.%/_-]{0,20}"))
def test_any_text_gives_an_id_or_our_error(text: str) -> None:
    """Any text gives a value or one of our errors, and a value prints as it was written."""
    try:
        identifier = SpiffeIdentifier.parse(text)
    except MalformedEvidence:
        return
    assert str(identifier) == text

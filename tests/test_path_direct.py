"""`PathProfile.DIRECT`: registered byte for byte, or signed by an anchor directly; two roles that never mix."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._chain import DEFAULT_LIMITS
from mtlspolicy._path import CertificationPath, PathProfile, Purpose, Refusal, Rules, validate_paths
from mtlspolicy._path_direct import direct_refusal
from mtlspolicy._trust import TrustStore
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken, malleated_twin
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import V1, HandMade, assemble

NOW = datetime.now(UTC)
ROOT = CertificateAuthority("root")
CLIENTS = Rules(PathProfile.DIRECT, Purpose.CLIENT, DEFAULT_LIMITS)
MD5_RSA = "1.2.840.113549.1.1.4"
SERVERS = Rules(PathProfile.DIRECT, Purpose.SERVER, DEFAULT_LIMITS)


def _validate(*ders: bytes, store: TrustStore, rules: Rules = CLIENTS) -> CertificationPath | Refusal:
    (found,) = validate_paths(tuple(map(ParsedCertificate, ders)), store, rules, NOW)
    return found


def _code(*ders: bytes, store: TrustStore, rules: Rules = CLIENTS) -> str:
    found = _validate(*ders, store=store, rules=rules)
    return found.code if isinstance(found, Refusal) else "valid"


def _registered(*, v1: bool = False) -> IssuedCertificate:
    """Return a self-signed client certificate as an RFC 8705 client registers it."""
    issued = broken("self-signed", ROOT)
    hand = HandMade.of(issued.certificate)
    if v1:
        hand = replace(hand, version=V1, extensions=())
    data = hand.signed_by(issued.key)
    return IssuedCertificate(data, issued.key, data)


def _signed_by(issuer: IssuedCertificate, *, v1: bool, eku: x509.ObjectIdentifier | None = None) -> bytes:
    """Return a certificate CN=client-b that the registered *issuer* signed with its own key."""
    victim = CertificateAuthority().issue_client("client-b", eku=None if eku is None else [eku])
    hand = replace(HandMade.of(victim.certificate), issuer=issuer.certificate.subject.public_bytes())
    return (replace(hand, version=V1, extensions=()) if v1 else hand).signed_by(issuer.key)


@pytest.mark.parametrize("v1", [False, True])
def test_a_registered_certificate_is_a_path_of_one(v1: bool) -> None:
    """The peer's own certificate, registered byte for byte, is the whole path; there is no issuer."""
    peer = _registered(v1=v1)
    path = _validate(peer.der, store=TrustStore(peers=[peer.der]))
    assert isinstance(path, CertificationPath)
    assert [one.der for one in path.certificates] == [peer.der]
    assert path.issuer is None
    assert path.anchor is path.end_entity


@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("issued_v1", [False, True])
def test_registered_self_signed_certificate_signs_another(v1: bool, issued_v1: bool) -> None:
    """Client A signs CN=client-b with its own key: refused, v1 and v3; a registered peer never issues."""
    a = _registered(v1=v1)
    forged = _signed_by(a, v1=issued_v1)
    ParsedCertificate(forged).certificate.verify_directly_issued_by(a.certificate)  # raises where it is not
    store = TrustStore(peers=[a.der])
    assert _code(forged, store=store) == "path.not-registered"
    assert _code(forged, a.der, store=store) == "path.not-registered"


def test_a_v3_peer_cannot_be_listed_as_an_anchor() -> None:
    """Registered clients in ``anchors`` is the mistake that makes them CAs: refused for v3, where cA says otherwise."""
    from mtlspolicy.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"register it with TrustStore\(peers=\[certificate\]\)"):
        TrustStore(anchors=[_registered().der])


def test_every_byte_of_a_registered_certificate_counts() -> None:
    """Another certificate of the same key, a renewed one and a malleated twin are not the registered one."""
    peer = _registered()
    store = TrustStore(peers=[peer.der])
    hand = HandMade.of(peer.certificate)
    renewed = replace(hand, serial=der.integer(7)).signed_by(peer.key)
    for other in (renewed, malleated_twin(peer).der):
        assert _code(other, store=store) == "path.not-registered"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("expired", "path.expired"),
        ("not-yet-valid", "path.not-yet-valid"),
        ("wrong-eku-server-only", "path.extended-key-usage"),
        ("any-eku", "path.extended-key-usage"),
        ("key-usage-without-signature", "path.key-usage"),
        ("unknown-critical-extension", "path.critical-extension"),
        ("rsa-1024", "path.weak-key"),
        ("nul-in-cn", "name.hostile"),
        ("negative-serial", "serial.out-of-range"),
    ],
)
def test_both_roles_are_held_to_the_rules_as_ever(name: str, code: str) -> None:
    """Validity, extKeyUsage, keyUsage, criticality, strength and names refuse a registered peer and an issued one."""
    issued = broken(name, ROOT)
    assert _code(issued.der, store=TrustStore(peers=[issued.der])) == code
    assert _code(issued.der, store=TrustStore(anchors=[ROOT.der])) == code


@pytest.mark.parametrize("name", ["is-ca"])
def test_a_ca_is_no_end_entity(name: str) -> None:
    """cA=TRUE refuses below an anchor; as a registered peer it is refused when the store is built."""
    assert _code(broken(name, ROOT).der, store=TrustStore(anchors=[ROOT.der])) == "path.end-entity-is-ca"
    assert _code(ROOT.intermediate().der, store=TrustStore(anchors=[ROOT.der])) == "path.end-entity-is-ca"


def test_the_tutorials_v1_certificates_are_admitted() -> None:
    """v1 root and v1 leaf, as ``openssl x509 -req`` made them before OpenSSL 3.2; and a v1 leaf below a v3 root."""
    both = broken("v1-root", ROOT)
    assert _code(both.der, store=TrustStore(anchors=[both.root_der])) == "valid"
    assert _code(broken("v1", ROOT).der, store=TrustStore(anchors=[ROOT.der])) == "valid"
    assert _code(both.der, store=TrustStore(anchors=[both.root_der]), rules=SERVERS) == "valid"


def test_v1_with_extensions_gets_around_nothing() -> None:
    """A certificate that says v1 and has extensions is refused: read as v1, its extKeyUsage would not be looked at."""
    store = TrustStore(anchors=[ROOT.der])
    assert _code(broken("v1-with-extensions", ROOT).der, store=store) == "chain.malformed"


def test_no_intermediate_is_followed() -> None:
    """`DIRECT` means directly, v1 and v3 intermediates alike, whether the peer or the store has them."""
    issuing = ROOT.intermediate("issuing")
    leaf = issuing.issue_client("client")
    assert _code(leaf.der, issuing.der, store=TrustStore(anchors=[ROOT.der])) == "path.no-issuer"
    known = TrustStore(anchors=[ROOT.der], intermediates=[issuing.der])
    assert _code(leaf.der, store=known) == "path.no-issuer"
    assert _code(leaf.der, store=TrustStore(anchors=[issuing.der])) == "valid"
    v1 = broken("v1-intermediate", ROOT)
    assert _code(v1.der, *v1.issuers_der, store=TrustStore(anchors=[ROOT.der])) == "path.no-issuer"


@pytest.mark.parametrize("key", ["ec-p256", "ec-p521", "rsa-2048", "ed25519", "ed448"])
def test_any_signature_algorithm_that_verifies_is_accepted(key: str) -> None:
    """Ed25519 and Ed448 CAs, which the path engine refuses, are followed directly."""
    root = CertificateAuthority(key=key)
    assert _code(root.issue_client("client").der, store=TrustStore(anchors=[root.der])) == "valid"


@pytest.mark.parametrize("name", ["impostor-issuer", "bad-signature", "sha1-signature", "two-signature-algorithms"])
def test_a_signature_that_does_not_verify_is_refused(name: str) -> None:
    """The anchor's key must verify the signature, by an algorithm that is accepted; SHA-1 is not."""
    assert _code(broken(name, ROOT).der, store=TrustStore(anchors=[ROOT.der])) == "path.signature"


@pytest.mark.parametrize(
    ("digest", "oid"),
    [(hashes.SHA256(), "1.2.840.113549.1.1.11"), (hashes.SHA1(), "1.2.840.113549.1.1.5"), (hashes.MD5(), MD5_RSA)],  # noqa: S303 - weak on purpose
    ids=["sha256", "sha1", "md5"],
)
def test_sha1_and_md5_are_refused_by_the_verification_itself(digest: hashes.HashAlgorithm, oid: str) -> None:
    """RULES 13: an RSA anchor's signature over SHA-1 or MD5 is right and counts for nothing, v1 and v3."""
    root = CertificateAuthority("rsa root", key="rsa-2048")
    assert isinstance(root.key, rsa.RSAPrivateKey)
    hand = HandMade.of(root.issue_client("client").certificate)
    algorithm = der.sequence(der.object_identifier(oid), der.null())
    for one in (hand, replace(hand, version=V1, extensions=())):
        tbs = one.to_be_signed(algorithm)
        signature = root.key.sign(tbs, padding.PKCS1v15(), digest)
        root.key.public_key().verify(signature, tbs, padding.PKCS1v15(), digest)  # raises where it is not right
        code = _code(assemble(tbs, algorithm, signature), store=TrustStore(anchors=[root.der]))
        assert code == ("valid" if digest.name == "sha256" else "path.signature")


def test_an_expired_anchor_issues_nothing() -> None:
    """The anchor is held to its own validity."""
    expired = broken("expired-root", ROOT)
    assert _code(expired.der, store=TrustStore(anchors=[expired.root_der])) == "path.expired"


def test_an_anchor_with_an_unknown_critical_extension_issues_nothing() -> None:
    """What an anchor marks critical must be understood, such as a constraint of another kind."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    root = CertificateAuthority(extensions=[(unknown, True)])
    assert _code(root.issue_client("x").der, store=TrustStore(anchors=[root.der])) == "path.critical-extension"


def test_an_anchor_that_is_no_ca_issues_nothing() -> None:
    """A store refuses such an anchor; should one get here all the same, it is refused again."""
    a = _registered()
    forged = ParsedCertificate(_signed_by(a, v1=False))
    refusal = direct_refusal((forged, ParsedCertificate(a.der)), purpose=Purpose.CLIENT, at=NOW)
    assert refusal is not None
    assert refusal.code == "path.basic-constraints"


def test_an_anchor_with_name_constraints_is_refused_by_a_store_that_came_later() -> None:
    """Where a source hands over such a store at run time, decisions are refused: we do not evaluate them here."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.test")], excluded_subtrees=None)
    root = CertificateAuthority(name_constraints=constraints)
    leaf = root.issue_client("x", dns=["a.test"])
    assert _code(leaf.der, store=TrustStore(anchors=[root.der])) == "path.name-constraints"


def test_expired_leaf_and_wrong_purpose_below_an_anchor() -> None:
    """An expired leaf and one for servers alone are refused below an anchor; a bare signature would admit both."""
    store = TrustStore(anchors=[ROOT.der])
    old = ROOT.issue_client("x", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    assert _code(old.der, store=store) == "path.expired"
    server = ROOT.issue_server("x.test")
    assert _code(server.der, store=store) == "path.extended-key-usage"
    assert _code(server.der, store=store, rules=SERVERS) == "valid"
    assert _code(ROOT.issue_client("x").der, store=store, rules=SERVERS) == "path.extended-key-usage"
    both = ROOT.issue_client("x", eku=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    assert _code(both.der, store=store) == _code(both.der, store=store, rules=SERVERS) == "valid"


def test_a_distrusted_registered_peer_is_refused() -> None:
    """Distrust goes before registration."""
    peer = _registered()
    assert _code(peer.der, store=TrustStore(peers=[peer.der], distrusted=[peer.der])) == "path.distrusted"


@pytest.mark.parametrize("content", [b"\x03\x01", b"\x03\x00", b"\x05\x00", b"\x03\x01\x00"])
def test_a_key_usage_that_cannot_be_read_allows_nothing(content: bytes) -> None:
    """A keyUsage without bits, or that is no BIT STRING, is refused."""
    hand = HandMade.of(ROOT.issue_client("x", eku=None).certificate).setting(ExtensionOID.KEY_USAGE, content)
    code = _code(hand.signed_by(ROOT.key), store=TrustStore(anchors=[ROOT.der]))
    assert code in {"chain.malformed", "path.key-usage"}


def test_a_name_constraint_of_an_end_entity_changes_nothing() -> None:
    """An end entity issues nothing, so that constraints in it, not critical, are of no interest."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.test")], excluded_subtrees=None)
    assert _code(ROOT.issue_client("x", extensions=[constraints]).der, store=TrustStore(anchors=[ROOT.der])) == "valid"

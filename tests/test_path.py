"""Path validation under the named profiles: what is a path, what is refused and why, and what hostile chains cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from mtlspolicy import _path_engines, _path_links
from mtlspolicy._certificate import ParsedCertificate, issued_by
from mtlspolicy._chain import DEFAULT_LIMITS, Limits
from mtlspolicy._path import CertificationPath, PathProfile, Purpose, Refusal, Rules, validate_paths
from mtlspolicy._path_engine import failure
from mtlspolicy._trust import TrustStore
from mtlspolicy.testing import BROKEN, CertificateAuthority, IssuedCertificate, broken, malleated_twin
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade

NOW = datetime.now(UTC)
ROOT = CertificateAuthority("root")
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client", dns=["client.test"])
OTHER = CertificateAuthority("other root")
STORE = TrustStore(anchors=[ROOT.der])
CLIENTS = Rules(PathProfile.PRIVATE_PKI, Purpose.CLIENT, DEFAULT_LIMITS)
PROFILES = tuple(PathProfile)
CHAINED = (PathProfile.PRIVATE_PKI, PathProfile.WEBPKI)


def _rules(profile: PathProfile, purpose: Purpose = Purpose.CLIENT) -> Rules:
    return Rules(profile, purpose, DEFAULT_LIMITS)


def _validate(
    *ders: bytes, store: TrustStore = STORE, rules: Rules = CLIENTS, at: datetime = NOW
) -> list[CertificationPath | Refusal]:
    return list(validate_paths(tuple(map(ParsedCertificate, ders)), store, rules, at))


def _codes(*ders: bytes, **given: Any) -> list[str]:
    return [one.code if isinstance(one, Refusal) else "valid" for one in _validate(*ders, **given)]


def _broken_codes(name: str, rules: Rules) -> list[str]:
    issued = broken(name, ROOT)
    store = TrustStore(anchors=[issued.root_der]) if name != "self-signed" else STORE
    return _codes(issued.der, *issued.issuers_der, store=store, rules=rules)


@pytest.mark.parametrize("profile", CHAINED)
@pytest.mark.parametrize("key", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048"])
def test_a_correct_chain_is_a_path(profile: PathProfile, key: str) -> None:
    """End entity, issuing CA and root of each kind of key that the engine takes are one valid path."""
    root = CertificateAuthority(key=key)
    issuing = root.intermediate(key=key)
    leaf = issuing.issue_client("client", dns=["client.test"], key=key)
    (path,) = _validate(leaf.der, issuing.der, store=TrustStore(anchors=[root.der]), rules=_rules(profile))
    assert isinstance(path, CertificationPath)
    assert [one.der for one in path.certificates] == [leaf.der, issuing.der, root.der]
    assert path.profile == profile.value


def test_a_leaf_alone_is_a_path_where_the_store_knows_the_issuing_ca() -> None:
    """A client that sends its leaf alone is served by an intermediate in the store."""
    assert _codes(LEAF.der) == ["path.no-issuer"]
    assert _codes(LEAF.der, store=TrustStore(anchors=[ROOT.der], intermediates=[ISSUING.der])) == ["valid"]
    assert _codes(LEAF.der, store=TrustStore(anchors=[ISSUING.der])) == ["valid"]


PRIVATE_PKI_ACCEPTS: Final = {
    *("no-eku", "no-aki", "no-san", "cn-only", "nameless", "critical-san", "issuer-without-key-usage"),
    *("two-common-names", "multi-valued-rdn", "email-in-subject", "comma-in-cn", "bmp-string-cn", "t61-string-cn"),
    *("invalid-utf8-cn", "empty-dns", "ip-in-dns", "wildcard-client", "malleated-ecdsa"),
    # which the policies KeyStrength and the limits of a presented chain refuse
    *("compressed-point", "explicit-ec-parameters", "oversized"),
}
"""Broken certificates that have a valid path: what is wrong with them is for the policies to judge."""
WEBPKI_REFUSES: Final = {
    *("no-aki", "no-san", "cn-only", "nameless", "critical-san", "issuer-without-key-usage"),
}
REASONS: Final = {
    "expired": "path.expired",
    "not-yet-valid": "path.not-yet-valid",
    "wrong-eku-server-only": "path.extended-key-usage",
    "any-eku": "path.extended-key-usage",
    "key-usage-without-signature": "path.key-usage",
    "is-ca": "path.end-entity-is-ca",
    "unknown-critical-extension": "path.critical-extension",
    "self-signed": "path.untrusted-self-signed",
    "unknown-issuer": "path.no-issuer",
    "impostor-issuer": "path.signature",
    "leaf-signing-leaf": "path.basic-constraints",
    "path-length-exceeded": "path.basic-constraints",
    "outside-name-constraints": "path.name-constraints",
    "expired-intermediate": "path.expired",
    "expired-root": "path.expired",
    "intermediate-with-server-eku": "path.extended-key-usage",
    "issuer-without-keycertsign": "path.key-usage",
    "issuer-without-basic-constraints": "path.basic-constraints",
    "issuer-with-unknown-critical-extension": "path.critical-extension",
    "issuer-rsa-1024": "path.weak-key",
    "ip-san-bad-length": "chain.malformed",
    "unsupported-general-name": "chain.malformed",
    "duplicate-extension": "chain.malformed",
    "huge-san": "chain.too-large",
    "v1": "path.version",
    "v1-with-extensions": "chain.malformed",
    "v1-root": "path.version",
    "v1-intermediate": "path.version",
    "sha1-signature": "path.signature",
    "bad-signature": "path.signature",
    "two-signature-algorithms": "path.signature",
    "trailing-data": "chain.malformed",
    "truncated": "chain.malformed",
    **dict.fromkeys(("zero-serial", "negative-serial", "serial-21-octets"), "serial.out-of-range"),
    **dict.fromkeys(("rsa-1024", "secp256k1", "p-224"), "path.weak-key"),
    **dict.fromkeys(
        ("nul-in-cn", "bidi-in-cn", "zero-width-in-cn", "c1-control-in-cn", "newline-in-cn", "nul-in-dns"),
        "name.hostile",
    ),
}
"""Broken certificate to the reason for which `PRIVATE_PKI` refuses it."""


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_private_pki_judges_the_whole_catalogue(name: str) -> None:
    """Every broken certificate is refused with its own reason, but for those that only policies can judge."""
    assert _broken_codes(name, CLIENTS) == ["valid" if name in PRIVATE_PKI_ACCEPTS else REASONS[name]]


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_webpki_accepts_nothing_that_private_pki_refuses(name: str) -> None:
    """`WEBPKI` is the stricter profile, but for the keyUsage of end entities, which its rules do not ask for."""
    (private,), (web,) = _broken_codes(name, CLIENTS), _broken_codes(name, _rules(PathProfile.WEBPKI))
    if name == "key-usage-without-signature":
        assert (private, web) == ("path.key-usage", "valid")
    else:
        assert (web == "valid") is (private == "valid" and name not in WEBPKI_REFUSES)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("purpose", Purpose)
def test_extended_key_usage_is_held_in_every_profile(profile: PathProfile, purpose: Purpose) -> None:
    """A certificate for servers is no client and the other way round; one without the extension is either."""
    server, client = ROOT.issue_server("server.test"), ROOT.issue_client("client", dns=["client.test"])
    either = ROOT.issue_client("either", dns=["either.test"], eku=None)
    fits, misfits = (client, server) if purpose is Purpose.CLIENT else (server, client)
    rules = _rules(profile, purpose)
    assert _codes(fits.der, rules=rules) == ["valid"]
    assert _codes(either.der, rules=rules) == ["valid"]
    assert _codes(misfits.der, rules=rules) == ["path.extended-key-usage"]


@pytest.mark.parametrize("profile", CHAINED)
def test_extended_key_usage_of_a_ca_is_held(profile: PathProfile) -> None:
    """A CA that may issue for servers alone issues no client; anyExtendedKeyUsage of a CA allows both."""
    for usage, purpose in (
        (ExtendedKeyUsageOID.SERVER_AUTH, Purpose.SERVER),
        (ExtendedKeyUsageOID.CLIENT_AUTH, Purpose.CLIENT),
        (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, None),
    ):
        issuing = ROOT.intermediate("narrow", eku=[usage])
        leaf = issuing.issue_client("x", dns=["x.test"], eku=None)
        for asked in Purpose:
            allowed = purpose in {asked, None}
            if profile is PathProfile.WEBPKI and purpose is None and asked is Purpose.CLIENT:
                continue  # the web profile's own rule for client verification, as it comes
            codes = _codes(leaf.der, issuing.der, rules=_rules(profile, asked))
            assert codes == ["valid" if allowed else "path.extended-key-usage"], (usage, asked)


def test_leaf_key_usage_must_allow_tls() -> None:
    """keyEncipherment alone serves an RSA server of TLS 1.2, never a client; no bits at all serve nobody."""
    hand = HandMade.of(ROOT.issue_client("x", dns=["x.test"], eku=None).certificate)
    for value, allowed in (
        (b"\x03\x02\x07\x80", {Purpose.CLIENT, Purpose.SERVER}),
        (b"\x03\x02\x03\x08", {Purpose.CLIENT, Purpose.SERVER}),
        (b"\x03\x02\x05\x20", {Purpose.SERVER}),
        (b"\x03\x02\x06\x40", set()),
    ):
        data = hand.setting(ExtensionOID.KEY_USAGE, value, critical=True).signed_by(ROOT.key)
        for purpose in Purpose:
            expected = ["valid" if purpose in allowed else "path.key-usage"]
            assert _codes(data, rules=_rules(PathProfile.PRIVATE_PKI, purpose)) == expected
            assert _codes(data, rules=_rules(PathProfile.DIRECT, purpose)) == expected


@pytest.mark.parametrize("profile", PROFILES)
def test_no_path_of_length_one_from_anchors(profile: PathProfile) -> None:
    """An anchor that is presented as the peer is refused, a CA or not, signed by itself or not."""
    assert _codes(ROOT.der, rules=_rules(profile))[0] != "valid"
    assert _codes(ISSUING.der, store=TrustStore(anchors=[ISSUING.der]), rules=_rules(profile))[0] != "valid"
    v1 = broken("v1-root", ROOT).root_der
    assert _codes(v1, store=TrustStore(anchors=[v1]), rules=_rules(profile)) == ["path.untrusted-self-signed"]


@pytest.mark.parametrize("profile", PROFILES)
def test_malleated_twin_of_an_anchor_is_no_peer(profile: PathProfile) -> None:
    """Anybody can make the ECDSA twin of an anchor, other bytes that its key verifies: it is still the anchor."""
    v1 = broken("v1-root", ROOT)
    twin = malleated_twin(replace(v1, der=v1.root_der, issuers_der=()))
    assert twin.der != v1.root_der
    assert _codes(twin.der, store=TrustStore(anchors=[v1.root_der]), rules=_rules(profile)) == [
        "path.untrusted-self-signed"
    ]


def test_a_malleated_intermediate_is_another_certificate_of_the_same_ca() -> None:
    """A twin of an issuing CA, which the peer can make, leads to the same anchor; it is no way around distrust."""
    twin = malleated_twin(IssuedCertificate(ISSUING.der, ISSUING.key, ROOT.der))
    assert _codes(LEAF.der, twin.der) == ["valid"]
    assert _codes(LEAF.der, twin.der, store=TrustStore(anchors=[ROOT.der], distrusted=[ISSUING.der])) == [
        "path.distrusted"
    ]


@pytest.mark.parametrize("profile", CHAINED)
def test_leaf_as_ca(profile: PathProfile) -> None:
    """An end entity that signs another certificate makes no path, also where the leaf below names it right."""
    below = broken("leaf-signing-leaf", ISSUING)
    assert _codes(below.der, *below.issuers_der, rules=_rules(profile)) == ["path.basic-constraints"]
    direct = broken("leaf-signing-leaf", ROOT)
    assert _codes(direct.der, *direct.issuers_der, rules=_rules(PathProfile.DIRECT)) == ["path.no-issuer"]


@pytest.mark.parametrize("profile", CHAINED)
def test_path_length_of_an_anchor_and_of_an_intermediate_is_held(profile: PathProfile) -> None:
    """A pathLen of 0 or 1 allows so many CAs below it, whoever has it."""
    rules = _rules(profile)
    for length in (0, 1):
        root = CertificateAuthority("short", path_length=length)
        store = TrustStore(anchors=[root.der])
        one = root.intermediate("one")
        two = one.intermediate("two")
        leaf, deep = one.issue_client("x", dns=["x.test"]), two.issue_client("x", dns=["x.test"])
        assert _codes(leaf.der, one.der, store=store, rules=rules) == (
            ["valid"] if length else ["path.basic-constraints"]
        )
        assert _codes(deep.der, one.der, two.der, store=store, rules=rules) == ["path.basic-constraints"]


def test_a_path_longer_than_the_limit_is_refused() -> None:
    """Five certificates make no path within the default limit, and the reason is its length."""
    lower = ISSUING.intermediate("lower").intermediate("lowest")
    leaf = lower.issue_client("client")
    assert _codes(leaf.der, *leaf.issuers_der) == ["path.too-long"]
    wide = Rules(PathProfile.PRIVATE_PKI, Purpose.CLIENT, Limits(path=5))
    assert _codes(leaf.der, *leaf.issuers_der, rules=wide) == ["valid"]


@pytest.mark.parametrize("profile", PROFILES)
def test_expired_anchor_is_refused_by_its_name(profile: PathProfile) -> None:
    """The anchor's own validity counts in every profile, and the refusal names the anchor."""
    issued = broken("expired-root", ROOT)
    (refusal,) = _validate(issued.der, store=TrustStore(anchors=[issued.root_der]), rules=_rules(profile))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "path.expired"
    assert refusal.detail.startswith("CN=root,O=mtlspolicy TEST CA expired at ")


@pytest.mark.parametrize("profile", PROFILES)
def test_validity_is_held_to_the_second_at_both_ends(profile: PathProfile) -> None:
    """The first and the last second are valid (RFC 5280, section 4.1.2.5), the ones before and after are not."""
    first, last = NOW.replace(microsecond=0), NOW.replace(microsecond=0) + timedelta(hours=1)
    leaf = ROOT.issue_client("x", dns=["x.test"], not_before=first, not_after=last)
    for at, code in (
        (first - timedelta(microseconds=1), "path.not-yet-valid"),
        (first, "valid"),
        (last + timedelta(microseconds=999_999), "valid"),
        (last + timedelta(seconds=1), "path.expired"),
    ):
        assert _codes(leaf.der, rules=_rules(profile), at=at) == [code], at


def test_the_time_zone_of_the_time_does_not_matter() -> None:
    """An aware time is an instant, in whatever zone it is written; the ends of the calendar are refused, not raised."""
    from datetime import timezone

    zone = timezone(timedelta(hours=14))
    assert _codes(LEAF.der, ISSUING.der, at=NOW.astimezone(zone)) == ["valid"]
    assert _codes(LEAF.der, ISSUING.der, at=datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))) == [
        "path.expired"
    ]
    assert _codes(LEAF.der, ISSUING.der, at=datetime.min.replace(tzinfo=zone)) == ["path.not-yet-valid"]


@pytest.mark.parametrize("kind", ["rsa-1024", "secp256k1", "p-224", "issuer-rsa-1024"])
@pytest.mark.parametrize("profile", PROFILES)
def test_weak_key_is_refused_in_every_profile(kind: str, profile: PathProfile) -> None:
    """The verifier does not look at end-entity keys at all; we do, and at those of CAs and anchors."""
    assert _broken_codes(kind, _rules(profile)) in (["path.weak-key"], ["path.no-issuer"])
    assert _broken_codes(kind, CLIENTS) == ["path.weak-key"]


def test_weak_anchor_is_refused() -> None:
    """Key strength applies to the anchor too: RSA with 512 bits was accepted by the verifier."""
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    root = CertificateAuthority(key=weak)
    store = TrustStore(anchors=[root.der])
    for profile in PROFILES:
        assert _codes(root.issue_client("x").der, store=store, rules=_rules(profile)) == ["path.weak-key"]


def test_edwards_curves_are_end_entities_everywhere_and_cas_in_direct_alone() -> None:
    """The verifier refuses Ed25519 CAs, which is one reason for `DIRECT`; Ed25519 end entities pass."""
    for kind in ("ed25519", "ed448"):
        leaf = ISSUING.issue_client("x", key=kind)
        assert _codes(leaf.der, ISSUING.der) == ["valid"]
        root = CertificateAuthority(key=kind)
        below = root.issue_client("x", dns=["x.test"])
        store = TrustStore(anchors=[root.der])
        assert _codes(below.der, store=store) != ["valid"]
        assert _codes(below.der, store=store, rules=_rules(PathProfile.DIRECT)) == ["valid"]


def test_cross_signed_issuer_gives_both_paths_whatever_the_order() -> None:
    """Cross-signed paths: both are valid, and every order of presentation gives the same in the same order."""
    cross = OTHER.cross_sign(ISSUING)
    store = TrustStore(anchors=[ROOT.der, OTHER.der])
    seen = set()
    for order in permutations((ISSUING.der, cross.der, ROOT.der, OTHER.der)):
        paths = _validate(LEAF.der, *order, store=store)
        assert all(isinstance(one, CertificationPath) for one in paths)
        seen.add(tuple(str([c.der for c in one.certificates]) for one in paths if isinstance(one, CertificationPath)))
    assert len(seen) == 1
    assert len(next(iter(seen))) == 2


def test_cross_signed_leaf_with_a_distrusted_old_root() -> None:
    """With the old root distrusted the path over the new one is left; with the issuing key distrusted, none is."""
    cross = OTHER.cross_sign(ISSUING)
    old = TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[ROOT.der])
    (path,) = _validate(LEAF.der, ISSUING.der, cross.der, store=old)
    assert isinstance(path, CertificationPath)
    assert path.anchor.der == OTHER.der
    gone = TrustStore(anchors=[ROOT.der, OTHER.der], distrusted=[cross.der])
    assert _codes(LEAF.der, ISSUING.der, cross.der, store=gone) == ["path.distrusted"]


@pytest.mark.parametrize("profile", PROFILES)
def test_two_anchors_of_one_name_and_different_kinds_of_key(profile: PathProfile) -> None:
    """Anchors may share a name: the one whose key verifies the signature counts."""
    ec, rsa_ = CertificateAuthority("twin"), CertificateAuthority("twin", key="rsa-2048")
    store = TrustStore(anchors=[ec.der, rsa_.der])
    for authority in (ec, rsa_):
        leaf = authority.issue_client("x", dns=["x.test"])
        found = _validate(leaf.der, store=store, rules=_rules(profile))
        paths = [one for one in found if isinstance(one, CertificationPath)]
        assert [one.anchor.der for one in paths] == [authority.der]
    stranger = CertificateAuthority("twin").issue_client("x", dns=["x.test"])
    assert set(_codes(stranger.der, store=store, rules=_rules(profile))) == {"path.signature"}


def test_issuer_of_the_same_name_and_another_key_is_refused() -> None:
    """A CA of the attacker's with the name of ours makes no path."""
    impostor = CertificateAuthority("root")
    leaf = impostor.issue_client("client")
    assert set(_codes(leaf.der, impostor.der)) == {"path.signature"}


def test_what_the_peer_sends_is_never_an_anchor() -> None:
    """A chain that is complete in itself, root included, is refused where its root is not ours."""
    mine = CertificateAuthority("mine")
    below = mine.intermediate("below")
    leaf = below.issue_client("client")
    assert _codes(leaf.der, below.der, mine.der) == ["path.no-issuer"]


def _constrained(**subtrees: list[x509.GeneralName]) -> CertificateAuthority:
    given = x509.NameConstraints(subtrees.get("permitted"), subtrees.get("excluded"))
    return ROOT.intermediate("constrained", name_constraints=given)


def test_directory_name_constraints_are_refused_with_a_clear_reason() -> None:
    """A CA with directoryName constraints is refused: the engine cannot evaluate them, and we do not ignore them."""
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mine")])
    ca = _constrained(permitted=[x509.DirectoryName(name)])
    leaf = ca.issue_client("client", organization="mine")
    (refusal,) = _validate(leaf.der, ca.der)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "path.name-constraints"
    assert "nameConstraints" in refusal.detail


def test_uri_name_constraints_are_refused() -> None:
    """The engine has no URI constraints: a CA that has some is refused, not obeyed in part."""
    ca = _constrained(permitted=[x509.UniformResourceIdentifier("a.test")])
    leaf = ca.issue_client("client", uris=["spiffe://a.test/x"])
    assert _codes(leaf.der, ca.der) == ["path.name-constraints"]


def test_names_inside_and_outside_of_constraints() -> None:
    """DNS and IP names are held to permitted and excluded subtrees."""
    ca = _constrained(permitted=[x509.DNSName("a.test")], excluded=[x509.DNSName("bad.a.test")])
    assert _codes(ca.issue_client("x", dns=["ok.a.test"]).der, ca.der) == ["valid"]
    for name in ("b.test", "x.bad.a.test"):
        assert _codes(ca.issue_client("x", dns=[name]).der, ca.der) == ["path.name-constraints"]


def test_email_in_the_subject_is_held_to_rfc822_constraints() -> None:
    """emailAddress=boss@b.test under an rfc822 constraint passes the verifier; it is refused here."""
    ca = _constrained(permitted=[x509.RFC822Name("a.test")])
    inside = ca.issue_client("x", attributes={"emailAddress": "boss@a.test"})
    outside = ca.issue_client("x", attributes={"emailAddress": "boss@b.test"})
    assert _codes(inside.der, ca.der) == ["valid"]
    (refusal,) = _validate(outside.der, ca.der)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "path.name-constraints"
    assert "emailAddress" in refusal.detail


def test_four_self_issued_cas_that_certify_each_other() -> None:
    """Exponential path building, first shape: CAs of one name in a ring (cryptography#14960)."""
    ring = [CertificateAuthority("ring") for _ in range(4)]
    crossed = [ring[i].cross_sign(ring[(i + step) % 4]).der for i in range(4) for step in (1, 2)]
    leaf = ring[0].issue_client("client")
    found = _codes(leaf.der, *crossed[:5], store=TrustStore(anchors=[ring[3].der]))
    assert len(found) <= DEFAULT_LIMITS.paths + 1


def _hostile_chains() -> list[tuple[str, tuple[bytes, ...], TrustStore]]:
    """Return the worst that fits into the default limits: expensive keys, and as many candidates as can be had."""
    anchor = CertificateAuthority("hostile")
    big = rsa.generate_private_key(65537, 4096)
    fakes = [CertificateAuthority("hostile") for _ in range(5)]
    loose = CertificateAuthority("hostile")
    leaf = loose.issue_client("client", key=big)
    layered = [CertificateAuthority("upper", key=big).cross_sign(CertificateAuthority("lower", key=big)) for _ in "ab"]
    tops = [CertificateAuthority("hostile", key=big).intermediate("upper", key=big) for _ in "abc"]
    deep = layered[0].issue_client("client", key=big)
    nine = [CertificateAuthority("hostile").der for _ in range(8)]
    valid = anchor.issue_client("client")
    return [
        ("junk of the issuer's name", (leaf.der, *(one.der for one in fakes)), TrustStore(anchors=[anchor.der])),
        ("two layers", (deep.der, *(one.der for one in (*layered, *tops))), TrustStore(anchors=[anchor.der])),
        ("one good among anchors", (valid.der, *(one.der for one in fakes)), TrustStore(anchors=[*nine, anchor.der])),
    ]


@pytest.mark.parametrize(("name", "ders", "store"), _hostile_chains())
def test_the_worst_chain_within_the_limits_costs_a_bounded_number_of_verifications(
    name: str, ders: tuple[bytes, ...], store: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first candidate is verified from below; the others cost one verification, with a key not the peer's."""
    keys: Counter[bytes] = Counter()
    engine: list[int] = []

    def counted(below: ParsedCertificate, above: ParsedCertificate) -> bool:
        keys[above.der] += 1
        return issued_by(below, above)

    def counting(candidate: tuple[ParsedCertificate, ...], **given: Any) -> str | None:
        engine.append(len(candidate) - 1)
        return failure(candidate, **given)

    monkeypatch.setattr(_path_links, "issued_by", counted)
    monkeypatch.setattr(_path_engines, "failure", counting)
    found = _validate(*ders, store=store)
    assert len(found) <= DEFAULT_LIMITS.paths + 1, name
    anchors = {one.der for one in store.anchors}
    assert sum(count for key, count in keys.items() if key not in anchors) <= 3, "keys that the peer chose"
    assert sum(keys.values()) <= DEFAULT_LIMITS.paths * len(ders)
    assert sum(engine) <= 3 + 1, "the first candidate, and one whose signatures hold"


def test_every_candidate_beyond_the_limit_is_indeterminate() -> None:
    """At most 8 paths are tried; that there were more is said, not passed over."""
    anchors = [CertificateAuthority("same").der for _ in range(9)]
    leaf = CertificateAuthority("same").issue_client("client")
    codes = _codes(leaf.der, store=TrustStore(anchors=anchors))
    assert codes == ["path.signature"] * 8 + ["path.too-many"]


def test_names_are_counted_before_any_signature_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """129 names, entries of every kind and unreadable ones included, are refused before the engine is asked."""

    def never(*_: Any, **__: Any) -> str:
        raise AssertionError("a signature was verified")

    monkeypatch.setattr(_path_engines, "failure", never)
    hand = HandMade.of(ROOT.issue_client("client").certificate)
    for entry in (der.implicit(2, b"a.test"), der.implicit(2, b""), der.implicit(8, b"\x2a\x03")):
        data = hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(entry * 129)).signed_by(ROOT.key)
        assert _codes(data) == ["chain.too-large"]


def test_a_hostile_directory_name_in_the_san_is_refused() -> None:
    """Control characters are refused in every kind of name, a directoryName of the subjectAltName included."""
    good = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fine")])
    hand = HandMade.of(ROOT.issue_client("client").certificate)
    for name, code in ((good, "valid"), (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\nb")]), "name.hostile")):
        entry = der.implicit(4, name.public_bytes(), constructed=True)
        data = hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, der.sequence(entry)).signed_by(ROOT.key)
        assert _codes(data) == [code]


def test_a_hostile_name_of_a_ca_is_refused() -> None:
    """A CA below ours cannot print itself as another one: its name is held to the same."""
    hand = HandMade.of(ISSUING.certificate)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuing\u202e")])
    ca = ROOT.adopt(replace(hand, subject=subject.public_bytes()).signed_by(ROOT.key), ISSUING.key)
    assert _codes(ca.issue_client("client").der, ca.der) == ["name.hostile"]


@pytest.mark.parametrize("name", ["zero-serial", "negative-serial", "serial-21-octets"])
def test_a_serial_number_out_of_range_is_refused_anywhere_in_what_is_presented(name: str) -> None:
    """Only 0 < serial < 2^159 passes, for each certificate that the peer sends."""
    assert _codes(LEAF.der, ISSUING.der, broken(name, ROOT).der) == ["serial.out-of-range"]


def test_an_old_root_with_serial_number_zero_is_an_anchor_all_the_same() -> None:
    """What we trust ourselves is not held to the serial numbers of today: such roots exist."""
    hand = HandMade.of(ROOT.certificate)
    zero = replace(hand, serial=der.integer(0), issuer=hand.subject).signed_by(ROOT.key)
    assert _codes(LEAF.der, ISSUING.der, store=TrustStore(anchors=[zero])) == ["valid"]


@pytest.mark.parametrize("profile", PROFILES)
def test_rubbish_among_what_is_sent_is_a_refusal(profile: PathProfile) -> None:
    """Bytes that are no certificate, first or last, are refused as malformed and nothing is raised."""
    assert _codes(b"rubbish", rules=_rules(profile)) == ["chain.malformed"]
    assert _codes(LEAF.der, b"rubbish", rules=_rules(profile)) == ["chain.malformed"]


@pytest.mark.parametrize("profile", CHAINED)
def test_a_ca_with_an_unreadable_part_is_a_refusal(profile: PathProfile) -> None:
    """An issuing CA whose extensions or key cannot be read makes no path."""
    two = der.octet_string(b"x")
    hand = HandMade.of(ISSUING.certificate).adding(ExtensionOID.SUBJECT_KEY_IDENTIFIER, two)
    ca = ROOT.adopt(hand.signed_by(ROOT.key), ISSUING.key)
    leaf = ca.issue_client("client", dns=["client.test"])
    assert _codes(leaf.der, ca.der, rules=_rules(profile)) == ["chain.malformed"]
    spki = der.sequence(der.sequence(der.object_identifier("1.2.3")), der.bit_string(b"x"))
    odd = ROOT.adopt(replace(HandMade.of(ISSUING.certificate), public_key=spki).signed_by(ROOT.key), ISSUING.key)
    assert _codes(leaf.der, odd.der, rules=_rules(profile)) == ["path.weak-key"]


def test_something_is_always_said() -> None:
    """At least one item comes of every chain, so that a refusal has a reason."""
    for name in BROKEN:
        for profile in PROFILES:
            assert len(_broken_codes(name, _rules(profile))) == 1

"""The adapter of `cryptography`'s unstable verifier: its behaviours, pinned, and nothing that leaks from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NoReturn

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID
from cryptography.x509.verification import PolicyBuilder, Store

from mtlspolicy import _path_engine
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_engine import failure
from mtlspolicy._profile import PathProfile, Purpose
from mtlspolicy.testing import BROKEN, CertificateAuthority, broken
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade

NOW = datetime.now(UTC)
ROOT = CertificateAuthority("root")
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client", dns=["client.test"])


def _failure(*ders: bytes, at: datetime = NOW, memo: dict[bytes, Any] | None = None, **rules: Any) -> str | None:
    given: dict[str, Any] = {"profile": PathProfile.PRIVATE_PKI, "purpose": Purpose.CLIENT} | rules
    return failure(tuple(map(ParsedCertificate, ders)), at=at, memo={} if memo is None else memo, **given)


@pytest.mark.parametrize("profile", [PathProfile.PRIVATE_PKI, PathProfile.WEBPKI])
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_nothing_leaks_from_the_verifier(name: str, profile: PathProfile) -> None:
    """The engine answers with text or with nothing, also where the verifier in it raises what it does not document."""
    issued = broken(name, ROOT)
    text = _failure(issued.der, *issued.issuers_der, issued.root_der, profile=profile)
    assert text is None or (text and text.isprintable())


def test_rubbish_is_a_failure() -> None:
    """Bytes that are no certificate are a failure as any other."""
    text = _failure(b"rubbish", ROOT.der)
    assert text is not None
    assert text.startswith("MalformedEvidence: ")


def test_a_bare_value_error_of_the_verifier_is_a_failure() -> None:
    """A client certificate with an IP SAN of a bad length makes the verifier raise a bare ValueError: pinned."""
    issued = broken("ip-san-bad-length", ROOT)
    verifier = PolicyBuilder().store(Store([ROOT.certificate])).build_client_verifier()
    with pytest.raises(ValueError, match="IP"):
        verifier.verify(issued.certificate, [])
    assert _failure(issued.der, ROOT.der) is not None


def test_the_clock_is_that_of_the_call() -> None:
    """A verifier freezes its clock when it is built, so one is built for each call: the expired is refused."""
    memo: dict[bytes, Any] = {}
    chain = (LEAF.der, ISSUING.der, ROOT.der)
    assert _failure(*chain, memo=memo) is None
    assert _failure(*chain, memo=memo, at=NOW + timedelta(days=30)) is not None
    assert _failure(*chain, memo=memo, at=NOW - timedelta(days=30)) is not None
    assert _failure(*chain, memo=memo) is None
    assert list(memo) == [ROOT.der]


def test_only_the_candidate_that_was_asked_about_counts() -> None:
    """Should the verifier find another path than the candidate, that is a failure and not the candidate's admission."""
    assert _failure(LEAF.der, ISSUING.der, ROOT.der) is None
    text = _failure(ROOT.issue_client("x", dns=["x.test"]).der, ISSUING.der, ROOT.der)
    assert text == "the verifier found another path than the one it was asked about"


def _raising(error: BaseException) -> Any:
    def verifier(*_: Any, **__: Any) -> NoReturn:
        raise error

    return verifier


def test_a_panic_of_the_verifier_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the verifier's Rust code arrives as a BaseException of its own kind: refused, the process goes on."""
    panic = type("PanicException", (BaseException,), {})
    monkeypatch.setattr(_path_engine, "_verifier", _raising(panic("index out of bounds")))
    assert _failure(LEAF.der, ROOT.der) == "the verifier failed internally"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_other_base_exceptions_pass_through(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is not ours to swallow; the edge refuses when it passes."""
    monkeypatch.setattr(_path_engine, "_verifier", _raising(error))
    with pytest.raises(type(error)):
        _failure(LEAF.der, ROOT.der)


def test_spiffe_only_servers_are_validated() -> None:
    """A server certificate with a URI alone has a path: its name is decided by our own policy."""
    leaf = ISSUING.issue_server("spiffe://a.test/x", common_name="x")
    for profile in (PathProfile.PRIVATE_PKI, PathProfile.WEBPKI):
        assert _failure(leaf.der, ISSUING.der, ROOT.der, profile=profile, purpose=Purpose.SERVER) is None
        assert _failure(leaf.der, ISSUING.der, ROOT.der, profile=profile) is not None


def test_relaxed_extensions_of_the_private_profile() -> None:
    """SAN and AKI absent, SAN and EKU critical or not, CA keyUsage absent: accepted, and each refused by WEBPKI."""
    hand, ca = HandMade.of(LEAF.certificate), HandMade.of(ISSUING.certificate)
    san = next(one.value for one in hand.extensions if one.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string)
    eku = next(one.value for one in hand.extensions if one.oid == ExtensionOID.EXTENDED_KEY_USAGE.dotted_string)
    leaves = [
        hand.without(ExtensionOID.SUBJECT_ALTERNATIVE_NAME),
        hand.without(ExtensionOID.AUTHORITY_KEY_IDENTIFIER),
        hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, san, critical=True),
        hand.setting(ExtensionOID.EXTENDED_KEY_USAGE, eku, critical=True),
    ]
    for changed in leaves:
        data = changed.signed_by(ISSUING.key)
        assert _failure(data, ISSUING.der, ROOT.der) is None
        assert _failure(data, ISSUING.der, ROOT.der, profile=PathProfile.WEBPKI) is not None
    data = ca.without(ExtensionOID.KEY_USAGE).signed_by(ROOT.key)
    assert _failure(LEAF.der, data, ROOT.der) is None
    assert _failure(LEAF.der, data, ROOT.der, profile=PathProfile.WEBPKI) is not None
    for oid in (ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER):
        value = next(one.value for one in ca.extensions if one.oid == oid.dotted_string)
        absent = ca.without(oid).signed_by(ROOT.key)
        critical = ca.setting(oid, value, critical=True).signed_by(ROOT.key)
        for profile in (PathProfile.PRIVATE_PKI, PathProfile.WEBPKI):
            assert _failure(LEAF.der, absent, ROOT.der, profile=profile) is None
            assert _failure(LEAF.der, critical, ROOT.der, profile=profile) is not None, "RFC 5280 wants it not critical"


def test_what_our_callbacks_override_they_repeat() -> None:
    """keyUsage of a CA without keyCertSign is refused in both profiles, critical or not."""
    usage = x509.KeyUsage(*([True] + [False] * 8)).public_bytes()  # digitalSignature alone
    for critical in (True, False):
        hand = HandMade.of(ISSUING.certificate).setting(ExtensionOID.KEY_USAGE, usage, critical=critical)
        data = hand.signed_by(ROOT.key)
        for profile in (PathProfile.PRIVATE_PKI, PathProfile.WEBPKI):
            assert _failure(LEAF.der, data, ROOT.der, profile=profile) is not None


def test_hashes_that_are_too_short_or_unusual_are_refused() -> None:
    """SHA-224 and SHA3-256 signatures are refused: pinned, whatever `cryptography` is installed."""
    from cryptography.hazmat.primitives import hashes

    builder = (
        x509.CertificateBuilder()
        .subject_name(LEAF.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .public_key(LEAF.key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
    )
    for digest, accepted in ((hashes.SHA256(), True), (hashes.SHA224(), False), (hashes.SHA3_256(), False)):
        signed = builder.sign(ROOT.key, digest)
        text = _failure(ParsedCertificate.of(signed).der, ROOT.der)
        assert (text is None) is accepted, digest.name


def test_a_nul_in_a_dns_name_passes_the_verifier() -> None:
    """Pinned: that it does is why names are held to rules of ours before it is asked."""
    hand = HandMade.of(LEAF.certificate)
    san = der.sequence(der.implicit(2, b"good.test\0.evil.test"))
    data = hand.setting(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, san).signed_by(ISSUING.key)
    assert _failure(data, ISSUING.der, ROOT.der) is None


def _in_two_ways(monkeypatch: pytest.MonkeyPatch, *ders: bytes, **rules: Any) -> tuple[str | None, str | None]:
    """Return the answer as it comes, and with the library's rules on keyUsage and extKeyUsage replaced by ours."""
    first = _failure(*ders, **rules)
    with monkeypatch.context() as patched:
        patched.setattr(_path_engine, "_is_usual", lambda *_: False)
        return first, _failure(*ders, **rules)


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_the_rules_that_are_left_in_place_say_the_same_as_ours(
    name: str, purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether keyUsage and extKeyUsage are held by the library or by our callbacks changes no answer."""
    issued = broken(name, ROOT)
    first, second = _in_two_ways(monkeypatch, issued.der, *issued.issuers_der, issued.root_der, purpose=purpose)
    assert (first is None) is (second is None)


CLIENT, SERVER, ANY = "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1", "2.5.29.37.0"
USAGES: tuple[tuple[str, ...], ...] = ((), (CLIENT,), (SERVER,), (ANY,), (SERVER, CLIENT))
"""Purposes of an extKeyUsage; none: there is no such extension."""


def _with_usage(certificate: x509.Certificate, purposes: tuple[str, ...], *, critical: bool) -> HandMade:
    hand = HandMade.of(certificate)
    if not purposes:
        return hand.without(ExtensionOID.EXTENDED_KEY_USAGE)
    usage = x509.ExtendedKeyUsage(map(x509.ObjectIdentifier, purposes))
    return hand.setting(ExtensionOID.EXTENDED_KEY_USAGE, usage.public_bytes(), critical=critical)


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("above", USAGES)
@pytest.mark.parametrize("below", USAGES)
def test_extended_key_usage_has_one_answer_whoever_holds_it(
    below: tuple[str, ...], above: tuple[str, ...], *, critical: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The purpose, where there are any; anyExtendedKeyUsage counts for a CA and not for the end entity."""
    ca = _with_usage(ISSUING.certificate, above, critical=critical).signed_by(ROOT.key)
    leaf = _with_usage(LEAF.certificate, below, critical=critical).signed_by(ISSUING.key)
    expected = (not below or CLIENT in below) and (not above or CLIENT in above or ANY in above)
    first, second = _in_two_ways(monkeypatch, leaf, ca, ROOT.der)
    assert (first is None, second is None) == (expected, expected)


def test_a_ca_that_may_not_sign_is_refused_beside_one_without_key_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: the anchor lacks keyUsage, so that our rule stands in for the library's, which must hold as well."""
    usage = x509.KeyUsage(*([True] + [False] * 8)).public_bytes()  # digitalSignature alone
    ca = HandMade.of(ISSUING.certificate).setting(ExtensionOID.KEY_USAGE, usage, critical=True).signed_by(ROOT.key)
    root = HandMade.of(ROOT.certificate).without(ExtensionOID.KEY_USAGE).signed_by(ROOT.key)
    good = _in_two_ways(monkeypatch, LEAF.der, ISSUING.der, root)
    assert good == (None, None)
    assert None not in _in_two_ways(monkeypatch, LEAF.der, ca, root)


def test_one_anchor_serves_all_rules_at_once() -> None:
    """What is kept for an anchor is kept for each profile, purpose and set of rules by itself."""
    memo: dict[bytes, Any] = {}
    chain = (LEAF.der, ISSUING.der, ROOT.der)
    for _ in range(2):
        for profile in (PathProfile.PRIVATE_PKI, PathProfile.WEBPKI):
            assert _failure(*chain, memo=memo, profile=profile) is None
            assert _failure(*chain, memo=memo, profile=profile, purpose=Purpose.SERVER) is not None
    assert len(memo[ROOT.der]) == 4
    behind = datetime.fromtimestamp(NOW.timestamp(), timezone(timedelta(hours=-11)))
    assert _failure(*chain, memo=memo, at=behind) is None, "the same moment, told in another zone"

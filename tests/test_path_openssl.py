"""The path engine ``openssl``: what OpenSSL refuses, what is repeated for it, and that it stands alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku

from mtlspolicy import (
    ConfigurationError,
    PathProfile,
    TrustStore,
    Verdict,
    Verifier,
    _path_engines,
    _path_openssl,
    policies,
)
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._path_openssl import failure
from mtlspolicy._profile import Purpose
from mtlspolicy.testing import BROKEN, CertificateAuthority, broken

NOW = datetime.now(UTC).replace(microsecond=0)
START, END = NOW - timedelta(days=1), NOW + timedelta(days=1)
ROOT_KEY, ISSUING_KEY, LEAF_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
PRIVATE, WEB = PathProfile.PRIVATE_PKI, PathProfile.WEBPKI
CA_USAGE = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
)  # fmt: skip


def name(text: str) -> x509.Name:
    """Return a name; empty for the empty text."""
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)] if text else [])


class Made:
    """A certificate with its extensions by kind, each with its criticality."""

    def __init__(self, subject: str, key: Any, *extensions: tuple[x509.ExtensionType, bool]) -> None:
        self.subject, self.key = subject, key
        self.extensions = {type(value): (value, critical) for value, critical in extensions}

    def having(self, value: x509.ExtensionType, *, critical: bool) -> Made:
        """Return a copy with one extension set."""
        return Made(self.subject, self.key, *{**self.extensions, type(value): (value, critical)}.values())

    def without(self, kind: type[x509.ExtensionType]) -> Made:
        """Return a copy that lacks one extension."""
        return Made(self.subject, self.key, *[one for type_, one in self.extensions.items() if type_ is not kind])

    def signed(self, issuer: str, key: Any, *, start: datetime = START, end: datetime = END, **how: Any) -> Any:
        """Return the certificate, signed by *issuer*'s *key*."""
        builder = (
            x509.CertificateBuilder().subject_name(name(self.subject)).issuer_name(name(issuer))
            .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(start).not_valid_after(end)
        )  # fmt: skip
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical)
        algorithm = how.pop("algorithm", None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        return ParsedCertificate.of(builder.sign(key, algorithm, **how))


def ca(subject: str, key: Any, above: Any = None) -> Made:
    """Return a correct CA, its key identifiers included."""
    return Made(
        subject, key, (x509.BasicConstraints(ca=True, path_length=None), True), (CA_USAGE, True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key((above or key).public_key()), False),
    )  # fmt: skip


ROOT = ca("root", ROOT_KEY)
ISSUING = ca("issuing", ISSUING_KEY, ROOT_KEY)
LEAF = Made(
    "", LEAF_KEY, (x509.SubjectAlternativeName([x509.DNSName("a.test")]), True),
    (x509.ExtendedKeyUsage([Eku.CLIENT_AUTH]), False),
    (x509.AuthorityKeyIdentifier.from_issuer_public_key(ISSUING_KEY.public_key()), False),
)  # fmt: skip


def path(leaf: Made = LEAF, issuing: Made = ISSUING, root: Made = ROOT) -> tuple[ParsedCertificate, ...]:
    """Return a candidate of three certificates, correctly signed."""
    return leaf.signed("issuing", ISSUING_KEY), issuing.signed("root", ROOT_KEY), root.signed("root", ROOT_KEY)


def why(
    candidate: tuple[ParsedCertificate, ...], profile: PathProfile = PRIVATE, at: datetime = NOW,
    purpose: Purpose = Purpose.CLIENT,
) -> str | None:  # fmt: skip
    """Return what the engine says of *candidate*."""
    return failure(candidate, profile=profile, purpose=purpose, at=at, memo={})


@pytest.mark.parametrize("profile", [PRIVATE, WEB])
def test_a_correct_path_is_valid(profile: PathProfile) -> None:
    """Under both profiles, with an intermediate, without one, and with an issuing CA as the anchor."""
    leaf, issuing, root = path()
    assert why((leaf, issuing, root), profile) is None
    assert why((leaf, issuing), profile) is None, "PARTIAL_CHAIN: the issuing CA alone is the anchor"
    memo: dict[bytes, Any] = {}
    for _ in range(2):
        assert failure((leaf, issuing), profile=profile, purpose=Purpose.CLIENT, at=NOW, memo=memo) is None
    assert len(memo) == 1
    assert issuing.der not in memo, "what the other engine keeps is under the DER itself"


WRONG = {
    "a CA as the peer": (
        LEAF.having(x509.BasicConstraints(ca=True, path_length=None), critical=True), "CA certificate"
    ),
    "name constraints of a peer": (
        LEAF.having(x509.NameConstraints(permitted_subtrees=[x509.DNSName("a.test")], excluded_subtrees=None),
                    critical=True),
        "nameConstraints, which are for CAs",
    ),
    "a peer that signs certificates": (LEAF.having(CA_USAGE, critical=True), "keyCertSign"),
    "another purpose": (LEAF.having(x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), critical=False), "lacks the purpose"),
    "any purpose": (
        LEAF.having(x509.ExtendedKeyUsage([Eku.ANY_EXTENDED_KEY_USAGE]), critical=False), "lacks the purpose"
    ),
    "an unknown critical extension": (
        LEAF.having(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), critical=True),
        "critical extension 1.2.3",
    ),
    "a critical extension that OpenSSL calls known and does not process": (
        LEAF.having(x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None), critical=True),
        "critical extension 2.5.29.36",
    ),
}  # fmt: skip


@pytest.mark.parametrize("profile", [PRIVATE, WEB])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_peer_is_refused_under_both_profiles(wrong: str, profile: PathProfile) -> None:
    """OpenSSL is told no purpose and would take each of these; the rules are repeated by us."""
    leaf, says = WRONG[wrong]
    assert says in str(why(path(leaf=leaf), profile))


ANY_OF_A_CA = x509.ExtendedKeyUsage([Eku.ANY_EXTENDED_KEY_USAGE])
WRONG_CAS = {
    "not a CA": (ISSUING.having(x509.BasicConstraints(ca=False, path_length=None), critical=True), "CA:FALSE"),
    "no basicConstraints": (ISSUING.without(x509.BasicConstraints), "no basicConstraints"),
    "basicConstraints that are not critical": (
        ISSUING.having(x509.BasicConstraints(ca=True, path_length=None), critical=False), "not critical"
    ),
    "a purpose that it may not issue for": (
        ISSUING.having(x509.ExtendedKeyUsage([Eku.SERVER_AUTH]), critical=False), "lacks the purpose"
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_CAS)
def test_what_is_wrong_with_a_ca_is_refused(wrong: str) -> None:
    """In the middle of a path and, where it can be an anchor at all, at its end."""
    made, says = WRONG_CAS[wrong]
    leaf, issuing, root = path(issuing=made)
    assert says in str(why((leaf, issuing, root)))
    assert says in str(why((leaf, issuing)))


def test_a_ca_with_any_purpose_may_issue_for_clients() -> None:
    """CA/Browser Forum BR 7.1.2.10.6: anyExtendedKeyUsage counts in a CA, as it does for the other engine."""
    assert why(path(issuing=ISSUING.having(ANY_OF_A_CA, critical=False))) is None


def test_path_length_name_constraints_and_signatures_are_judged_by_openssl() -> None:
    """Its own words come back, with the number of the certificate."""
    short = ROOT.having(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    assert "OpenSSL: path length constraint exceeded" in str(why(path(root=short)))
    elsewhere = x509.NameConstraints(permitted_subtrees=[x509.DNSName("b.test")], excluded_subtrees=None)
    assert "OpenSSL: permitted subtree violation" in str(why(path(issuing=ISSUING.having(elsewhere, critical=True))))
    forged = LEAF.signed("issuing", LEAF_KEY), *path()[1:]
    assert "OpenSSL: certificate signature failure (certificate 0" in str(why(forged))


def test_a_v1_certificate_is_refused() -> None:
    """Only DIRECT takes one, and DIRECT asks no engine."""
    made = broken(next(kind for kind in BROKEN if "v1" in kind), TRUST)
    assert "it is X.509 v1" in str(why((ParsedCertificate(made.der), ParsedCertificate(TRUST.der))))


def test_a_ca_without_a_name_is_refused() -> None:
    """RFC 5280, section 4.1.2.4: OpenSSL takes it where it is not strict."""
    nameless = ca("", ISSUING_KEY, ROOT_KEY)
    leaf = LEAF.signed("", ISSUING_KEY)
    assert "its issuer has no name" in str(
        why((leaf, nameless.signed("root", ROOT_KEY), ROOT.signed("root", ROOT_KEY)))
    )


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (START - timedelta(seconds=1), "is valid from"),
        (START, None),
        (END - timedelta(seconds=1), None),
        (END, None),
        (END + timedelta(microseconds=999_999), None),
        (END + timedelta(seconds=1), "expired at"),
    ],
)
def test_the_last_second_is_valid_and_the_time_is_the_one_that_is_given(at: datetime, says: str | None) -> None:
    """RFC 5280, section 4.1.2.5: notAfter is included, and a path from the cache and a new one have the same end."""
    answer = why(path(), at=at)
    assert answer is None if says is None else says in str(answer)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_every_certificate_of_the_path_must_be_valid_then_the_anchor_included(position: int) -> None:
    """OpenSSL is asked with the time of the decision, never with the machine's."""
    made = [LEAF, ISSUING, ROOT]
    signers = [("issuing", ISSUING_KEY), ("root", ROOT_KEY), ("root", ROOT_KEY)]
    candidate = tuple(
        one.signed(*signer, end=NOW - timedelta(hours=1) if number == position else END)
        for number, (one, signer) in enumerate(zip(made, signers, strict=True))
    )
    assert "expired at" in str(why(candidate))
    assert why(candidate, at=NOW - timedelta(hours=2)) is None


RSA_KEY = rsa.generate_private_key(65537, 2048)
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


@pytest.mark.parametrize(
    ("key", "how", "private", "web"),
    [
        (RSA_KEY, {}, True, True),
        (RSA_KEY, {"rsa_padding": PSS}, True, True),
        (RSA_KEY, {"rsa_padding": padding.PSS(mgf=padding.MGF1(hashes.SHA224()), salt_length=28),
                   "algorithm": hashes.SHA224()}, False, False),
        (RSA_KEY, {"algorithm": hashes.SHA224()}, False, False),
        (ISSUING_KEY, {"algorithm": hashes.SHA224()}, False, False),
        (ed25519.Ed25519PrivateKey.generate(), {}, True, False),
    ],
)  # fmt: skip
def test_signature_algorithms_are_listed(key: Any, how: dict[str, Any], private: bool, web: bool) -> None:
    """At OpenSSL's security level 0, which X509StoreContext has, even MD5 would verify; what is accepted is a list."""
    issuing = ca("issuing", key, ROOT_KEY).signed("root", ROOT_KEY)
    made = LEAF.having(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    candidate = made.signed("issuing", key, **how), issuing, ROOT.signed("root", ROOT_KEY)
    assert (why(candidate) is None) is private
    assert (why(candidate, WEB) is None) is web


def test_sha1_and_md5_are_not_in_the_list() -> None:
    """`cryptography` no longer signs with them; the object identifiers are what the list is of."""
    weak = {"1.2.840.113549.1.1.5", "1.2.840.113549.1.1.4", "1.2.840.10045.4.1"}
    assert not weak & {oid.dotted_string for oid in _path_openssl._PRIVATE_CAS}


@pytest.mark.parametrize(
    ("leaf", "says"),
    [
        (LEAF.without(x509.SubjectAlternativeName), "no subjectAltName"),
        (LEAF.having(x509.SubjectAlternativeName([x509.DNSName("a.test")]), critical=False), "must be critical where"),
        (LEAF.having(x509.ExtendedKeyUsage([Eku.CLIENT_AUTH]), critical=True), "extKeyUsage is critical"),
        (LEAF.without(x509.AuthorityKeyIdentifier), "Missing Authority Key Identifier"),
    ],
)
def test_what_webpki_asks_besides(leaf: Made, says: str) -> None:
    """The strict flag of OpenSSL, and what it leaves out; PRIVATE_PKI takes each of these."""
    assert says in str(why(path(leaf=leaf), WEB))
    assert why(path(leaf=leaf)) is None


def test_webpki_takes_rsa_and_ec_keys_alone() -> None:
    """CA/Browser Forum BR 6.1.5, for the peer's own key as well."""
    leaf = Made("", ed25519.Ed25519PrivateKey.generate(), *LEAF.extensions.values())
    assert "neither RSA nor EC" in str(why(path(leaf=leaf), WEB))
    assert why(path(leaf=leaf)) is None


@pytest.mark.parametrize(
    ("wildcard", "excluded", "refused"),
    [
        ("*.b.test", "secret.b.test", True),
        ("*.b.test", "b.test", True),
        ("*.B.test", "SECRET.b.TEST", True),
        ("*.b.test", "test", True),
        ("*.b.test", ".b.test", True),
        ("*.b.test", "c.test", False),
        ("b.test", "secret.b.test", False),
        ("*.b.test", None, False),
    ],
)
def test_attack_a_wildcard_over_an_excluded_name(wildcard: str, excluded: str | None, refused: bool) -> None:
    """OpenSSL compares `*.b.test` as it stands, so it would reach an excluded host (as CVE-2025-61727)."""
    subtree: x509.GeneralName = x509.IPAddress(ip_network("10.0.0.0/8"))
    if excluded is not None:
        subtree = x509.DNSName(excluded)
    constraints = x509.NameConstraints(permitted_subtrees=None, excluded_subtrees=[subtree])
    leaf = LEAF.having(x509.SubjectAlternativeName([x509.DNSName(wildcard)]), critical=True)
    answer = why(path(leaf=leaf, issuing=ISSUING.having(constraints, critical=True)))
    assert (answer is not None) is refused


def test_permitted_subtrees_exclude_nothing_by_themselves() -> None:
    """A wildcard inside what is permitted is valid."""
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("b.test")], excluded_subtrees=None)
    leaf = LEAF.having(x509.SubjectAlternativeName([x509.DNSName("*.b.test")]), critical=True)
    assert why(path(leaf=leaf, issuing=ISSUING.having(constraints, critical=True))) is None


def test_another_path_than_the_one_in_question_is_no_answer() -> None:
    """Where the anchor issued the end entity itself, OpenSSL stops there; that is another candidate."""
    leaf, issuing, _ = path()
    twin = ca("issuing", ISSUING_KEY, ROOT_KEY).signed("root", ROOT_KEY)
    assert why((leaf, issuing, twin)) is not None


def test_bytes_that_cannot_be_read_are_a_refusal() -> None:
    """Whatever keeps a path from being verified, it was not verified."""
    leaf, issuing, root = path()
    assert "MalformedEvidence" in str(why((ParsedCertificate(leaf.der[:-3]), issuing, root)))


@pytest.fixture
def no_pyopenssl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make pyOpenSSL look as if it were not installed."""
    monkeypatch.setitem(sys.modules, "OpenSSL.crypto", None)
    _path_openssl.crypto.cache_clear()
    yield
    _path_openssl.crypto.cache_clear()


TRUST = CertificateAuthority("Root")


def clients(**given: Any) -> Verifier:
    """Return a verifier of clients with the engine."""
    options: dict[str, Any] = {"trust": TrustStore(anchors=[TRUST.certificate]), "path_engine": "openssl"}
    options["policy"] = policies.CommonName("frodo")
    options.update(given)
    return Verifier.for_clients(**options)


@pytest.mark.usefixtures("no_pyopenssl")
def test_a_missing_extra_is_an_error_at_construction_that_names_it() -> None:
    """The command that mends it is in the message, and no other engine steps in."""
    with pytest.raises(ConfigurationError, match=r"pip install 'mtlspolicy\[pyopenssl\]'") as error:
        clients()
    assert error.value.code == "path.engine-unavailable"


def test_the_engine_is_written_into_every_decision() -> None:
    """Into the first, into one from the cache, into a refusal, and into a further question to the peer."""
    verifier = clients()
    leaf = TRUST.issue_client("frodo").chain_pem
    for peer in (verifier.verify(leaf), verifier.verify(leaf)):
        assert peer.decision.as_dict()["path_engine"] == "openssl"
        assert peer.decide(policies.CommonName("frodo")).as_dict()["path_engine"] == "openssl"
    refused = verifier.decide(CertificateAuthority("Stranger").issue_client("frodo").chain_pem)
    assert refused.verdict is Verdict.DENY
    assert refused.as_dict()["path_engine"] == "openssl"
    assert clients(path_engine="cryptography").verify(leaf).decision.as_dict()["path_engine"] == "cryptography"


def test_rule_14_a_store_that_two_verifiers_share_keeps_their_engines_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever validated first, the other asks its own engine: what is kept is kept for one verifier."""
    store = TrustStore(anchors=[TRUST.certificate])
    leaf = TRUST.issue_client("frodo").chain_pem
    mine, other = clients(trust=store), clients(trust=store, path_engine="cryptography")
    other.warm_up()
    assert other.decide(leaf).verdict is Verdict.PERMIT
    monkeypatch.setattr(_path_openssl, "_verified", lambda *_: "not by this engine")
    assert mine.decide(leaf).code == "path.invalid"
    assert other.decide(leaf).verdict is Verdict.PERMIT
    monkeypatch.undo()
    mine.warm_up()
    assert mine.decide(leaf).verdict is Verdict.PERMIT


def test_rule_12_no_other_engine_is_tried_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier with the engine openssl never asks the other one, and the other way round."""

    def never(*_: Any, **__: Any) -> str:
        raise AssertionError("the other engine was asked")

    leaf = TRUST.issue_client("frodo").chain_pem
    monkeypatch.setattr(_path_engines, "failure", never)
    assert clients().decide(leaf).verdict is Verdict.PERMIT
    monkeypatch.undo()
    monkeypatch.setattr(_path_openssl, "failure", never)
    assert clients(path_engine="cryptography").decide(leaf).verdict is Verdict.PERMIT


def test_direct_asks_no_engine_and_says_so() -> None:
    """An engine that would never be asked is refused by name, and so is one that does not exist."""
    with pytest.raises(ConfigurationError, match="asks no path engine"):
        clients(profile=PathProfile.DIRECT)
    with pytest.raises(ConfigurationError, match="use one of cryptography, openssl"):
        clients(path_engine="Openssl")


def test_servers_are_verified_too_and_a_clients_certificate_is_none() -> None:
    """The purpose is the verifier's; the name is compared by us."""
    verifier = Verifier.for_servers(
        trust=TrustStore(anchors=[TRUST.certificate]), expected="a.test", path_engine="openssl"
    )
    assert verifier.decide(TRUST.issue_server("a.test").chain_pem).verdict is Verdict.PERMIT
    assert verifier.decide(TRUST.issue_client("a.test").chain_pem).code == "path.extended-key-usage"


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_nothing_broken_that_the_other_engine_refuses_is_accepted(kind: str) -> None:
    """The catalogue of broken certificates, each presented by a client: the same answer, or a stricter one."""
    made = broken(kind, TRUST)
    store = TrustStore(anchors=[TRUST.certificate])
    answers = [
        clients(trust=store, policy=policies.Anyone(), path_engine=engine).decide(made.chain_pem)
        for engine in ("cryptography", "openssl")
    ]
    stricter = kind in {"explicit-ec-parameters", "invalid-utf8-cn"}  # OpenSSL itself refuses to read these
    assert (answers[0].verdict is not answers[1].verdict) is stricter, [answer.code for answer in answers]
    assert answers[1].verdict is not Verdict.PERMIT or not stricter

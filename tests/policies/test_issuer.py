"""IssuerPin and IssuerDN (RULES 15, 16, 28): which CA counts, how it is compared, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlspolicy import policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._digest import digest_text
from mtlspolicy.testing import CertificateAuthority, broken, evidence

ROOT = CertificateAuthority("Root")
PINNED = ROOT.intermediate("Pinned")
BELOW = PINNED.intermediate("Below")


def told(policy: Policy, presented: Evidence) -> tuple[str, str]:
    """Return verdict and code."""
    decision = decide(policy, presented)
    return decision.verdict.name, decision.code


def key_text(certificate: x509.Certificate) -> str:
    """Return the digest of a certificate's key as text."""
    return digest_text(bytes.fromhex(ParsedCertificate.of(certificate).key_sha256))


def test_the_direct_issuer_is_compared() -> None:
    """A CA below the pinned one, and the CA above it, are other issuers."""
    policy = policies.IssuerPin(PINNED.certificate)
    assert told(policy, evidence("a", issuer=PINNED)) == ("PERMIT", "issuer.match")
    assert told(policy, evidence("a", issuer=BELOW)) == ("DENY", "issuer.not-pinned")
    assert told(policy, evidence("a", issuer=ROOT)) == ("DENY", "issuer.not-pinned")


def test_where_says_which_ca_of_the_path_is_compared() -> None:
    """``path`` takes any CA above the end entity, ``anchor`` the trust anchor alone."""
    presented = evidence("a", issuer=BELOW)
    found = {
        (name, where): told(policies.IssuerPin(ca.certificate, where=where), presented)[0]
        for name, ca in (("root", ROOT), ("pinned", PINNED), ("below", BELOW))
        for where in ("issuer", "path", "anchor")
    }
    permitted = {pair for pair, verdict in found.items() if verdict == "PERMIT"}
    assert permitted == {
        ("below", "issuer"),
        ("root", "path"),
        ("pinned", "path"),
        ("below", "path"),
        ("root", "anchor"),
    }
    assert {found[pair] for pair in found.keys() - permitted} == {"DENY"}


@pytest.mark.parametrize("where", ["issuer", "path", "anchor"])
def test_a_registered_peer_has_no_issuer(where: Any) -> None:
    """The end entity is never counted, also where it is itself the anchor and its key is pinned."""
    policy = policies.IssuerPin(PINNED.certificate, where=where)
    assert told(policy, evidence(certificate=PINNED.der)) == ("DENY", "issuer.none")


def test_keys_are_compared_and_not_names() -> None:
    """A CA of the same name with another key is not pinned; a cross certificate of the same key is."""
    impostor = CertificateAuthority("Other root").intermediate("Pinned")
    policy = policies.IssuerPin(PINNED.certificate)
    assert told(policy, evidence("a", issuer=impostor)) == ("DENY", "issuer.not-pinned")
    crossed = CertificateAuthority("Other root").cross_sign(PINNED)
    assert told(policy, evidence("a", issuer=crossed)) == ("PERMIT", "issuer.match")


def test_a_key_in_another_encoding_is_the_same_key() -> None:
    """Keys are compared in their canonical encoding, so that a CA re-encoded with a compressed point still matches."""
    twin = ParsedCertificate(broken("compressed-point", ROOT).der)
    plain = policies.IssuerPin(digest_text(bytes.fromhex(twin.key_sha256)))
    assert twin.key_sha256 != twin.spki_sha256
    assert told(plain, evidence(certificate=[evidence("a").path.end_entity.der, twin.der])) == (
        "PERMIT",
        "issuer.match",
    )


def test_every_form_of_an_issuer_makes_the_same_policy() -> None:
    """Parsed, PEM, DER and the text of the key's digest are one value: equal, hashed alike."""
    certificate = PINNED.certificate
    forms = [
        policies.IssuerPin(certificate),
        policies.IssuerPin.of(certificate),
        policies.IssuerPin(ParsedCertificate.of(certificate)),
        policies.IssuerPin(PINNED.pem),
        policies.IssuerPin(PINNED.der),
        policies.IssuerPin(key_text(certificate)),
        policies.IssuerPin.parse(ParsedCertificate.of(certificate).key_sha256.upper()),
        policies.IssuerPin(certificate, PINNED.der),
    ]
    assert len(set(forms)) == 1
    assert forms[0] != policies.IssuerPin(certificate, where="path")
    assert forms[0] != policies.IssuerPin(ROOT.certificate)


def test_files_and_lists(tmp_path: Path) -> None:
    """A PEM or DER file holds CAs, a list file digests of their keys; several are alternatives."""
    other = CertificateAuthority("Another")
    (tmp_path / "cas.pem").write_bytes(PINNED.pem + other.pem)
    (tmp_path / "ca.der").write_bytes(PINNED.der)
    listed = f"# issuers\n{key_text(PINNED.certificate)}\n{key_text(other.certificate)}  # new\n"
    (tmp_path / "list").write_text(listed, "utf-8")
    both = policies.IssuerPin(PINNED.certificate, other.certificate)
    assert policies.IssuerPin.from_file(tmp_path / "cas.pem") == both
    assert policies.IssuerPin.from_file(str(tmp_path / "ca.der"), where="path") == policies.IssuerPin(
        PINNED.der, where="path"
    )
    assert policies.IssuerPin.from_list_file(tmp_path / "list") == both
    assert repr(both) == "IssuerPin(CN=Pinned,O=mtlspolicy TEST CA, CN=Another,O=mtlspolicy TEST CA)"


def test_a_long_list_is_shown_by_its_length(tmp_path: Path) -> None:
    """A ``repr`` does not repeat a long list; a short list of digests is repeated."""
    (tmp_path / "long").write_text("\n".join(f"{number:064x}" for number in range(5)), "utf-8")
    (tmp_path / "short").write_text("00" * 32, "utf-8")
    assert (
        repr(policies.IssuerPin.from_list_file(tmp_path / "long", where="path")) == "IssuerPin(5 entries, where='path')"
    )
    assert repr(policies.IssuerPin.from_list_file(tmp_path / "short")) == f"IssuerPin(sha256/{'A' * 43}=)"


def test_a_renewed_ca_in_the_same_file_is_no_chain(tmp_path: Path) -> None:
    """Old and new certificate of a CA that changed its key under one name may stand in one file."""
    (tmp_path / "both.pem").write_bytes(CertificateAuthority("Same").pem + CertificateAuthority("Same").pem)
    assert len(policies.IssuerPin.from_file(tmp_path / "both.pem").entries) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [policies.IssuerPin, policies.IssuerDN])
def test_a_chain_in_a_file_is_refused(tmp_path: Path, kind: Any) -> None:
    """A chain file would pin the CA above as well, and admit what that one issues."""
    (tmp_path / "chain.pem").write_bytes(PINNED.pem + ROOT.pem)
    with pytest.raises(
        ConfigurationError, match=r"chain\.pem.*CN=Root.* issued CN=Pinned.*so this is a chain and not a list"
    ):
        kind.from_file(tmp_path / "chain.pem")
    with pytest.raises(ConfigurationError, match="so this is a chain and not a list"):
        policies.IssuerPin(PINNED.pem + ROOT.pem)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (policies.IssuerPin, "without an entry"),
        (policies.IssuerDN, "without an entry"),
        (lambda: policies.IssuerPin(PINNED.der, where="root"), "where='root'"),  # type: ignore[arg-type]
        (lambda: policies.IssuerPin(PINNED.pem.decode()), "PEM as bytes"),
        (lambda: policies.IssuerPin("issuing-ca.pem"), "is no SHA-256 digest"),
        (lambda: policies.IssuerPin(Path("issuing-ca.pem")), "takes a certificate.*from_file"),  # type: ignore[arg-type]
        (lambda: policies.IssuerPin(7), "takes a certificate, .* not int"),  # type: ignore[arg-type]
        (lambda: policies.IssuerPin(b"garbage"), "not a certificate that can be read"),
        (lambda: policies.IssuerPin(b"-----BEGIN CERTIFICATE-----\n"), "no END line"),
        (lambda: policies.IssuerPin(ROOT.issue_client("leaf").certificate), "CN=leaf is not a CA certificate"),
        (lambda: policies.IssuerPin(broken("duplicate-extension", ROOT).der), "BasicConstraints of CN=client"),
        (lambda: policies.IssuerPin(PINNED.pem + CertificateAuthority("Another").pem), "several keys"),
        (lambda: policies.IssuerDN("Pinned"), "no attribute type"),
        (lambda: policies.IssuerDN(PINNED.certificate), "takes RFC 4514 text, not .*IssuerDN.of"),  # type: ignore[arg-type]
        (lambda: policies.IssuerDN.of(ROOT.issue_client("leaf").certificate), "is not a CA certificate"),
    ],
)
def test_what_is_no_issuer_is_refused(build: Any, message: str) -> None:
    """Each broken argument is refused when the policy is built, by name and with the remedy."""
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_files_that_hold_no_issuer_are_refused(tmp_path: Path) -> None:
    """A missing file, a private key and a file without certificate are named."""
    key = PINNED.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, content in (
        ("key.pem", key),
        ("none.pem", b"-----BEGIN X-----\n-----END X-----\n"),
        ("empty", b""),
        ("text", b"see -----BEGIN below"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match=name):
            policies.IssuerPin.from_file(tmp_path / name)
    with pytest.raises(ConfigurationError, match="missing.*cannot be read"):
        policies.IssuerPin.from_file(tmp_path / "missing")


def test_a_v1_certificate_may_be_an_issuer() -> None:
    """X.509 v1 cannot say cA, and the profile DIRECT allows such anchors."""
    root = broken("v1-root", ROOT).root
    assert policies.IssuerPin(root).entries == frozenset({ParsedCertificate.of(root).key_sha256})


def test_what_identifies() -> None:
    """The pinned direct issuer identifies; a CA further up, and a name, do not."""
    assert policies.IssuerPin(PINNED.der).identifies
    assert not policies.IssuerPin(PINNED.der, where="path").identifies
    assert not policies.IssuerPin(PINNED.der, where="anchor").identifies
    assert not policies.IssuerDN("CN=x").identifies


@pytest.mark.parametrize("policy", [policies.IssuerPin(PINNED.der), policies.IssuerDN("CN=x")])
def test_a_negated_issuer_is_refused(policy: Policy) -> None:
    """A peer walks around a negated issuer with a cross certificate, so ``~`` is refused, also further down."""
    for inner in (policy, policy & policies.Anyone(), policies.AnyOf(policies.Anyone(), policy)):
        with pytest.raises(ConfigurationError, match="distrusted"):
            _ = ~inner


def test_the_issuers_name_is_compared_as_parsed() -> None:
    """Spaces and the case of attribute names do not matter, values and the order of RDNs do."""
    presented = evidence("a", issuer=PINNED)
    exact = policies.IssuerDN("cn = Pinned , O=mtlspolicy TEST CA")
    assert told(exact, presented) == ("PERMIT", "issuer.match")
    assert (
        exact == policies.IssuerDN.of(PINNED.certificate) == policies.IssuerDN.parse("CN=Pinned,O=mtlspolicy TEST CA")
    )
    assert told(policies.IssuerDN("CN=pinned,O=mtlspolicy TEST CA"), presented) == ("DENY", "issuer.not-pinned")
    assert told(exact, evidence(certificate=PINNED.der)) == ("DENY", "issuer.none")
    assert repr(exact) == "IssuerDN('CN=Pinned,O=mtlspolicy TEST CA')"


def test_a_reversed_name_is_hinted_at_and_not_matched() -> None:
    """Text in the order of the certificate is refused with the order to write."""
    decision = decide(policies.IssuerDN("O=mtlspolicy TEST CA,CN=Pinned"), evidence("a", issuer=PINNED))
    assert decision.verdict is Verdict.DENY
    assert "reversed" in decision.detail
    assert "reversed" not in decide(policies.IssuerDN("CN=x"), evidence("a", issuer=PINNED)).detail


def test_an_issuers_name_that_cannot_be_read_is_a_doubt() -> None:
    """A T61String in the issuer's name leaves the answer open, and cannot be made an expectation."""
    unreadable = broken("t61-string-cn", ROOT).der
    presented = evidence(certificate=[evidence("a").path.end_entity.der, unreadable])
    assert told(policies.IssuerDN("CN=client"), presented) == ("INDETERMINATE", "name.unreadable")
    with pytest.raises(ConfigurationError, match="cannot be read: use IssuerPin"):
        policies.IssuerDN(ParsedCertificate(unreadable).subject)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="is empty"):
        policies.IssuerDN(ParsedCertificate(broken("nameless", ROOT).der).subject)  # type: ignore[arg-type]


def test_names_in_files(tmp_path: Path) -> None:
    """A list file has one name a line, in which ``#`` is no comment unless it begins the line."""
    (tmp_path / "names").write_text("# CAs\nCN=Pinned \\#1,O=a #b\n", "utf-8")
    assert policies.IssuerDN.from_list_file(tmp_path / "names") == policies.IssuerDN("CN=Pinned #1,O=a #b")
    (tmp_path / "ca.pem").write_bytes(PINNED.pem)
    assert policies.IssuerDN.from_file(tmp_path / "ca.pem") == policies.IssuerDN.of(PINNED.der)


def test_live_issuers() -> None:
    """A source returns CA certificates or a policy of the same ``where``, asked at each evaluation."""
    current: list[Any] = [[ROOT.certificate]]
    policy = policies.IssuerPin(lambda: current[0])
    presented = evidence("a", issuer=PINNED)
    assert told(policy, presented) == ("DENY", "issuer.not-pinned")
    current[0] = policies.IssuerPin(PINNED.certificate)
    assert told(policy, presented) == ("PERMIT", "issuer.match")
    current[0] = policies.IssuerPin(PINNED.certificate, where="path")
    assert told(policy, presented) == ("INDETERMINATE", "policy.error")
    assert repr(policy) == "IssuerPin(<<lambda>>)"

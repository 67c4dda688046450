"""SPKIPin and CertificatePin (RULES 25): what is hashed, how a pin is written, and that only the end entity counts."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mtlspolicy import policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._policy import Policy, decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, broken, evidence, malleated_twin

CA = CertificateAuthority("Root")
LEAF = CA.issue_client("leaf")
SPKI = LEAF.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PIN = "sha256/" + base64.b64encode(hashlib.sha256(SPKI).digest()).decode()
FINGERPRINT = hashlib.sha256(LEAF.der).hexdigest()
COLONS = ":".join(FINGERPRINT[at : at + 2].upper() for at in range(0, 64, 2))


def test_the_key_is_compared() -> None:
    """The pin is the SHA-256 of the SubjectPublicKeyInfo, which a renewed certificate keeps and another key has not."""
    policy = policies.SPKIPin(PIN)
    renewed = CertificateAuthority("Other").issue_client("other", key=LEAF.key)
    answers = [decide(policy, evidence(certificate=one)) for one in (LEAF, renewed, CA.issue_client("leaf"))]
    assert [(one.verdict.name, one.code) for one in answers] == [
        ("PERMIT", "pin.match"),
        ("PERMIT", "pin.match"),
        ("DENY", "pin.mismatch"),
    ]
    assert answers[0].detail == PIN
    assert "the peer's key is sha256/" in answers[2].detail


def test_the_certificate_is_compared() -> None:
    """The pin of a certificate ends with its renewal and does not match the twin of its signature."""
    policy = policies.CertificatePin(FINGERPRINT)
    others = (CA.issue_client("leaf", key=LEAF.key), malleated_twin(LEAF))
    assert decide(policy, evidence(certificate=LEAF)).code == "pin.match"
    assert [decide(policy, evidence(certificate=one)).code for one in others] == ["pin.mismatch"] * 2


def test_only_the_end_entity_counts() -> None:
    """A pinned key or certificate elsewhere in the chain does not admit."""
    presented = evidence(certificate=[CA.issue_client("x").der, LEAF.der, CA.der])
    assert decide(policies.SPKIPin(PIN), presented).code == "pin.mismatch"
    of_the_ca = policies.SPKIPin(
        "sha256/" + base64.b64encode(bytes.fromhex(ParsedCertificate(CA.der).spki_sha256)).decode()
    )
    assert decide(of_the_ca, presented).code == "pin.mismatch"
    assert decide(policies.CertificatePin(FINGERPRINT), presented).code == "pin.mismatch"


def test_the_key_is_hashed_as_it_stands_in_the_certificate() -> None:
    """A compressed point has another pin than the same key in canonical form."""
    twin = broken("compressed-point", CA)
    parsed = ParsedCertificate(twin.der)
    assert decide(policies.SPKIPin(parsed.key_sha256), evidence(certificate=twin)).code == "pin.mismatch"
    assert decide(policies.SPKIPin.of(twin.der), evidence(certificate=twin)).code == "pin.match"


def test_every_form_of_a_key_pin_is_the_same_policy(tmp_path: Path) -> None:
    """Base64, curl's form, hex, certificates and files are one value."""
    public = LEAF.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "leaf.pem").write_bytes(LEAF.certificate_pem + public)
    (tmp_path / "leaf.der").write_bytes(LEAF.der)
    (tmp_path / "pins").write_text(f"# current\n\n  {PIN}\t# leaf\n", "utf-8-sig")
    forms = [
        policies.SPKIPin(PIN),
        policies.SPKIPin(PIN.replace("/", "//", 1), hashlib.sha256(SPKI).hexdigest().upper()),
        policies.SPKIPin.parse(hashlib.sha256(SPKI).hexdigest()),
        policies.SPKIPin.of(LEAF.certificate, LEAF.der, LEAF.certificate_pem, ParsedCertificate(LEAF.der)),
        policies.SPKIPin.from_file(tmp_path / "leaf.pem"),
        policies.SPKIPin.from_file(tmp_path / "leaf.der"),
        policies.SPKIPin.from_list_file(tmp_path / "pins"),
    ]
    assert len(set(forms)) == 1
    assert repr(forms[0]) == f"SPKIPin({PIN!r})"


def test_every_form_of_a_certificate_pin_is_the_same_policy(tmp_path: Path) -> None:
    """Hex, openssl's fingerprint, base64, certificates and files are one value, and no pin of a key."""
    (tmp_path / "leaf.pem").write_bytes(LEAF.certificate_pem)
    (tmp_path / "pins").write_text(f"SHA256 Fingerprint={COLONS}", "utf-8")
    forms = [
        policies.CertificatePin(FINGERPRINT),
        policies.CertificatePin(COLONS, f"sha256 Fingerprint={COLONS.lower()}"),
        policies.CertificatePin.parse("sha256/" + base64.b64encode(bytes.fromhex(FINGERPRINT)).decode()),
        policies.CertificatePin.of(LEAF.certificate),
        policies.CertificatePin.from_file(tmp_path / "leaf.pem"),
        policies.CertificatePin.from_list_file(tmp_path / "pins"),
    ]
    assert len(set(forms)) == 1
    kinds: set[Policy] = {forms[0], policies.SPKIPin(FINGERPRINT)}
    assert len(kinds) == 2


def test_a_pin_that_begins_with_a_slash_is_read_whole() -> None:
    """``sha256//`` is curl's mark only where 44 characters follow it; base64 may begin with a slash of its own."""
    digest = b"\xff" * 32
    text = "sha256/" + base64.b64encode(digest).decode()
    assert text.startswith("sha256//")
    assert policies.SPKIPin(text).entries == policies.SPKIPin("sha256//" + text[7:]).entries == frozenset({digest})


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (COLONS, "fingerprint of a certificate.*CertificatePin"),
        (PIN[7:], "lacks its mark: write 'sha256/"),
        (PIN[:-1], "is no SHA-256 digest"),
        (PIN + "A", "is no SHA-256 digest"),
        ("sha256/X" + PIN[7:], "is no SHA-256 digest"),
        ("sha256/" + "A" * 42 + "B=", "is no SHA-256 digest"),
        ("sha256/" + base64.b64encode(b"x" * 31).decode(), "is no SHA-256 digest"),
        ("sha256/é", "is no SHA-256 digest"),
        ("sha1/" + "A" * 28, "is no SHA-256 digest"),
        ("ab" * 20, "SHA-1"),
        (":".join(["AB"] * 20), "SHA-1"),
        ("SHA1 Fingerprint=" + ":".join(["AB"] * 20), "SHA-1"),
        (FINGERPRINT + " ", "is no SHA-256 digest"),
        (FINGERPRINT[:-2] + "\N{ARABIC-INDIC DIGIT ONE}" * 2, "is no SHA-256 digest"),
        ("", "is no SHA-256 digest"),
    ],
)
def test_text_that_is_no_pin_is_refused(text: str, remedy: str) -> None:
    """Each wrong form is refused with the form that was meant."""
    with pytest.raises(ConfigurationError, match=remedy):
        policies.SPKIPin(text)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (policies.SPKIPin, "SPKIPin without an entry"),
        (policies.CertificatePin, "CertificatePin without an entry"),
        (policies.SPKIPin.of, "SPKIPin without an entry"),
        (lambda: policies.SPKIPin(LEAF.certificate), "for certificates there is SPKIPin.of"),  # type: ignore[arg-type]
        (lambda: policies.SPKIPin(b"\0" * 32), "not bytes"),  # type: ignore[arg-type]
        (lambda: policies.SPKIPin(str), "not type"),
        (lambda: policies.SPKIPin.of(b"x"), "not a certificate that can be read"),
        (lambda: policies.SPKIPin.of(PIN), "takes a certificate"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_pin_is_refused(build: Any, message: str) -> None:
    """No pin, and values of other kinds, are refused when the policy is built."""
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_files_without_pins_are_refused(tmp_path: Path) -> None:
    """A private key, a broken key, broken PEM, two DER blobs and an empty file are named."""
    key = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    contents = {
        "private.pem": (key, "'PRIVATE KEY' where only"),
        "public.pem": (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "public key that cannot be read",
        ),
        "open.pem": (b"-----BEGIN CERTIFICATE-----\n", "no END line"),
        "none.pem": (b"see -----BEGIN below\n", "without an entry"),
        "twice.der": (LEAF.der * 2, "not a certificate"),
        "empty": (b"", "not a certificate"),
    }
    for name, (content, message) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigurationError, match=message):
            policies.SPKIPin.from_file(tmp_path / name)


@pytest.mark.parametrize("policy", [policies.SPKIPin(PIN), policies.CertificatePin(FINGERPRINT)])
def test_pins_identify_and_cannot_be_negated(policy: policies.SPKIPin | policies.CertificatePin) -> None:
    """A pin says who the peer is; denying by digest does not deny, so ``~`` is refused."""
    assert policy.identifies
    with pytest.raises(ConfigurationError, match="Blocked"):
        _ = ~policy


@pytest.mark.parametrize("kind", [policies.SPKIPin, policies.CertificatePin])
def test_a_chain_does_not_pin_the_key_of_its_ca(kind: Any, tmp_path: Path) -> None:
    """Whoever steals an issuing CA's key could put that very key into a client certificate: a pin must not admit it."""
    issuing = CertificateAuthority().intermediate("mtlspolicy TEST CA issuing")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(issuing.issue_client("frodo").chain_pem)
    with pytest.raises(ConfigurationError, match="so this is a chain and not a list; pin the peer's own"):
        kind.from_file(chain)
    with pytest.raises(ConfigurationError, match="so this is a chain"):
        kind.of(chain.read_bytes())


@pytest.mark.parametrize("kind", [policies.SPKIPin, policies.CertificatePin])
def test_a_ca_certificate_is_no_pin_of_a_peer(kind: Any, tmp_path: Path) -> None:
    """The certificate of a CA alone is refused too, PEM or DER, with the policy that is meant."""
    root = CertificateAuthority()
    for name, data in (("ca.pem", root.pem), ("ca.der", root.der)):
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(ConfigurationError, match="is a CA certificate.*IssuerPin"):
            kind.from_file(file)
    with pytest.raises(ConfigurationError, match="IssuerPin"):
        kind.of(root.certificate)


def test_a_certificate_whose_extensions_cannot_be_read_is_not_pinned() -> None:
    """Where nobody can tell whether it is a CA's, it is refused and not guessed."""
    issued = broken("duplicate-extension", CertificateAuthority())
    with pytest.raises(ConfigurationError, match="SPKIPin"):
        policies.SPKIPin.of(issued.der)

"""``mtlspolicy inspect``: what it says, what it warns of, and that nothing hostile leaves it."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import policies
from mtlspolicy.testing import BROKEN, CertificateAuthority, IssuedCertificate, broken, pooled_key

from .conftest import Call, require_printable  # noqa: TID252 - tests are no package that could be named


def one(call: Call, issued: IssuedCertificate, folder: Path, *flags: str) -> dict[str, Any]:
    """Return the JSON report on the certificate of *issued* alone."""
    path = folder / "one.pem"
    path.write_bytes(issued.certificate_pem)
    answer = call("inspect", path, "--json", *flags)
    assert answer.status == 0, answer.err
    report: dict[str, Any] = json.loads(answer.out)[0]["certificates"][0]
    return report


def test_text_of_a_chain(call: Call, frodo: Path) -> None:
    """The text names subject, issuer, serial, validity, key, usages, names and pins of every certificate of a chain."""
    answer = call("inspect", frodo)
    assert (answer.status, answer.err) == (0, "")
    for text in (
        "frodo.pem: 2 certificates", "1  CN=frodo", "2  CN=Issuing CA", "CN=Issuing CA,O=mtlspolicy TEST CA",
        "serial number    0x", "version          3", "(6 days left)", "EC P-256", "ecdsa-with-SHA256 (sha256)",
        "key usage        digitalSignature\n", "extended usage   clientAuth", "DNS name         frodo.test",
        "URI              spiffe://example.test/frodo", "CA               no", "CA               yes",
        "key usage        digitalSignature, keyCertSign, cRLSign", "extended usage   (absent)",
        "! a test CA of mtlspolicy.testing",
    ):  # fmt: skip
        assert text in answer.out
    assert max(map(len, answer.out.splitlines()[1:])) <= 100


def test_pins_are_those_that_the_policies_take(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """The pins are the digests that the standards name, in the form that the policies' constructors take."""
    issued = authority.issue_client("frodo")
    pins = one(call, issued, tmp_path)["pins"]
    digest = hashlib.sha256(issued.der).digest()
    assert pins["certificate_hex"] == digest.hex()
    assert pins["x5t#S256"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert policies.SPKIPin(pins["spki"]) == policies.SPKIPin.of(issued.certificate)
    assert policies.CertificatePin(pins["certificate"]) == policies.CertificatePin.of(issued.certificate)
    assert "issuer" not in pins


def test_pin_of_an_issuer(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """A CA's certificate has an issuer pin, which admits what an IssuerPin of the certificate admits."""
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    report = json.loads(call("inspect", path, "--json").out)[0]["certificates"][0]
    assert policies.IssuerPin(report["pins"]["issuer"]).entries == policies.IssuerPin(authority.certificate).entries
    assert report["basic_constraints"] == {"ca": True, "path_length": None}


def test_serial_number_as_openssl_writes_it(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """The serial number is hexadecimal with 0x, as ``pki revoke`` takes it."""
    assert one(call, authority.issue_client("frodo", serial=0x51), tmp_path)["serial_number"] == "0x51"


def test_der_and_standard_input(program: Call, authority: CertificateAuthority) -> None:
    """DER is read as well as PEM, and ``-`` is standard input."""
    issued = authority.issue_client("frodo")
    for data in (issued.der, issued.certificate_pem):
        answer = program("inspect", "-", stdin=data)
        assert answer.status == 0
        assert "-: 1 certificate\n" in answer.out
        assert "1  CN=frodo" in answer.out


def test_several_files(call: Call, frodo: Path, trust: Path) -> None:
    """Each file has a part of its own."""
    answer = call("inspect", frodo, trust)
    assert f"{frodo}: 2 certificates\n" in answer.out
    assert f"\n\n{trust}: 2 certificates\n" in answer.out
    assert "issuer           itself" in answer.out


def test_a_private_key_in_the_file_is_not_shown(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """A file that holds the key too is read, the key is named and not one line of it printed."""
    issued = authority.issue_client("frodo")
    path = tmp_path / "both.pem"
    path.write_bytes(issued.key_pem + issued.certificate_pem)
    answer = call("inspect", path)
    assert "1 certificate, and PRIVATE KEY (not shown)" in answer.out
    assert issued.key_pem.splitlines()[1].decode() not in answer.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello", "neither PEM nor DER"),
        (b"\x30\x82\x01", "openssl pkcs12"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1: "),
        (b"-----BEGIN CERTIFICATE-----\n", "no END line"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "holds no certificate, only: PUBLIC KEY"),
        (b" " * (16 * 1024 * 1024) + b"x", "more than 16777216 bytes"),
    ],
)
def test_what_is_no_certificate(call: Call, tmp_path: Path, content: bytes, said: str) -> None:
    """A file without a readable certificate is an error that names the file and what is wrong."""
    path = tmp_path / "some.pem"
    path.write_bytes(content)
    answer = call("inspect", path)
    assert (answer.status, answer.out) == (2, "")
    assert "some.pem" in answer.err
    assert said in answer.err


@pytest.mark.parametrize("name", ["", "nul\0in-it"])
def test_unreadable_files(call: Call, tmp_path: Path, name: str) -> None:
    """A directory, and a path that no system takes, are errors like any other unreadable file."""
    answer = call("inspect", f"{tmp_path}/{name}")
    assert answer.status == 2
    assert "cannot be read" in answer.err


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_hostile_leaves(call: Call, authority: CertificateAuthority, tmp_path: Path, name: str) -> None:
    """Of every broken certificate the report is printable, or it is refused with a message; never a traceback."""
    path = tmp_path / "broken.pem"
    path.write_bytes(broken(name, authority).chain_pem)
    for flags in ((), ("--json",), ("--as", "client")):
        answer = call("inspect", path, *flags)
        assert answer.status in (0, 2)
        require_printable(answer.out + answer.err)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v1", "X.509 v1 certificate"),
        ("expired", "expired at"),
        ("not-yet-valid", "is valid from"),
        ("rsa-1024", "RSA key of 1024 bits"),
        ("no-eku", "no extKeyUsage"),
        ("c1-control-in-cn", r"client\x9b31m' holds control or format characters"),
        ("two-common-names", "2 common names"),
        ("t61-string-cn", "cannot be read, of these kinds: common-name"),
        ("serial-21-octets", "serial number"),
        ("compressed-point", "not encoded in the canonical way"),
        ("sha1-signature", "signed with SHA1"),
        ("duplicate-extension", "two subjectAltName extensions"),
    ],
)
def test_warnings(call: Call, authority: CertificateAuthority, tmp_path: Path, name: str, said: str) -> None:
    """What is wrong with a certificate is said beside it."""
    warnings = one(call, broken(name, authority), tmp_path)["warnings"]
    assert any(said in text for text in warnings), warnings


def test_a_good_certificate_has_no_warning(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """Nothing is said of a certificate of which nothing is wrong, for the role that it has."""
    assert one(call, authority.issue_client("frodo"), tmp_path, "--as", "client")["warnings"] == []
    assert one(call, authority.issue_server("localhost"), tmp_path, "--as", "server")["warnings"] == []


def test_where_a_certificate_says_to_ask(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """The responder and the list that a certificate names are shown; what cannot be read is said to be so."""
    issued = authority.issue_client("frodo", ocsp_url="http://ocsp.test/", crl_url="http://crl.test/a.crl")
    found = one(call, issued, tmp_path)["revocation"]
    assert found == {"ocsp": ["http://ocsp.test/"], "crl": ["http://crl.test/a.crl"]}
    out = call("inspect", tmp_path / "one.pem").out
    assert "OCSP responder   http://ocsp.test/\n   revocation list  http://crl.test/a.crl\n" in out
    assert one(call, authority.issue_client("frodo"), tmp_path)["revocation"] == {}
    empty = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.31"), b"\x30\x00")
    one(call, authority.issue_client("frodo", extensions=[empty]), tmp_path)
    assert "revocation       unreadable: a list of pointers" in call("inspect", tmp_path / "one.pem").out


def test_the_wrong_role(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """Asked about a role, it says that extKeyUsage does not allow it, for the end entity alone."""
    server = one(call, authority.issue_server("localhost"), tmp_path, "--as", "client")
    assert any("lacks clientAuth" in text for text in server["warnings"])
    client = one(call, authority.issue_client("a", dns=["a.test"]), tmp_path, "--as", "server")
    assert any("lacks serverAuth" in text for text in client["warnings"])
    other = one(call, authority.issue_client("a", dns=["a.test"], eku=[ExtendedKeyUsageOID.CODE_SIGNING]), tmp_path)
    assert other["warnings"] == ["extKeyUsage allows neither clients nor servers, only codeSigning"]


def test_a_client_needs_no_host_name(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """Without a subjectAltName a certificate is no server's; of one for clients alone nothing is said."""
    said = "no subjectAltName"
    client = broken("no-san", authority)
    assert not any(said in text for text in one(call, client, tmp_path)["warnings"])
    assert any(said in text for text in one(call, client, tmp_path, "--as", "server")["warnings"])
    unsaid = authority.issue_client("frodo", eku=[])
    assert any(said in text for text in one(call, unsaid, tmp_path)["warnings"])


def test_another_file_than_a_certificate(call: Call, pki: Path) -> None:
    """A revocation list is no certificate, and the command for it is named; a key has none."""
    assert "mtlspolicy explain CHAIN --trust FILE --crl FILE" in call("inspect", pki / "crl.pem").err
    assert call("inspect", pki / "issuing.key").err.rstrip().endswith("only: PRIVATE KEY")


def test_a_ca_in_a_role(call: Call, tmp_path: Path) -> None:
    """A CA certificate in the place of an end entity is warned of, when a role is asked about."""
    path = tmp_path / "ca.pem"
    path.write_bytes(CertificateAuthority(path_length=1).pem)
    answer = call("inspect", path, "--as", "client")
    assert "a CA certificate, which no client may present" in answer.out
    assert "yes, with at most 1 CA below it" in answer.out
    assert "which no client" not in call("inspect", path).out


def test_a_ca_that_cannot_be_one(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """A CA certificate whose keyUsage does not let it sign is warned of."""
    path = tmp_path / "chain.pem"
    path.write_bytes(broken("issuer-without-keycertsign", authority).chain_pem)
    assert "it cannot be a CA: its keyUsage lacks keyCertSign" in call("inspect", path).out


def test_order_of_a_chain(call: Call, authority: CertificateAuthority, trust: Path, tmp_path: Path) -> None:
    """A chain out of order is said to be so; a list of CAs, or one that begins unreadably, has no order."""
    issued = authority.issue_client("frodo")
    path = tmp_path / "chain.pem"
    path.write_bytes(issued.certificate_pem + issued.root_pem + authority.pem)
    assert (
        "certificate 2 (CN=Root,O=mtlspolicy TEST CA) is not the issuer of certificate 1" in call("inspect", path).out
    )
    assert "is not the issuer" not in call("inspect", trust).out
    path.write_bytes(broken("duplicate-extension", authority).certificate_pem + issued.root_pem)
    assert "is not the issuer" not in call("inspect", path).out


def test_the_time_can_be_given(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """``--at`` judges at another time, with any time zone."""
    issued = authority.issue_client("frodo", dns=["a.test"])
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds")
    report = one(call, issued, tmp_path, "--at", later)
    assert report["remaining"].startswith("expired before ")
    assert any("expired at" in text for text in report["warnings"])
    assert (
        "(expired before 2099-01-01)" in call("inspect", tmp_path / "one.pem", "--at", "2099-01-01T01:00:00+01:00").out
    )


@pytest.mark.parametrize(
    ("text", "said"), [("tomorrow", "is no ISO 8601 time"), ("2026-01-01T00:00:00", "has no time zone")]
)
def test_a_time_that_is_none(call: Call, frodo: Path, text: str, said: str) -> None:
    """A time that cannot be read, or has no time zone, is an error with an example."""
    answer = call("inspect", frodo, "--at", text)
    assert answer.status == 2
    assert said in answer.err
    assert "2026-01-31T12:00:00Z" in answer.err


@pytest.mark.parametrize(
    ("kind", "said"), [("rsa-2048", "RSA 2048 bits"), ("ed25519", "Ed25519"), ("ec-p521", "EC P-521")]
)
def test_kinds_of_keys(call: Call, tmp_path: Path, kind: str, said: str) -> None:
    """The key is named by kind and size."""
    root = CertificateAuthority(key=pooled_key("rsa-2048"))
    assert one(call, root.issue_client("frodo", key=pooled_key(kind)), tmp_path)["key"] == said


def test_signature_without_digest(call: Call, tmp_path: Path) -> None:
    """A signature that has no digest of its own is named alone."""
    assert one(call, CertificateAuthority(key="ed25519").issue_client("frodo"), tmp_path)["signature"] == "ed25519"


def test_signature_of_an_unknown_kind(call: Call, tmp_path: Path) -> None:
    """An algorithm that is not known is shown by its OID, and warned of."""
    issued = CertificateAuthority().issue_client("frodo")
    known, unknown = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d04037f")
    path = tmp_path / "odd.der"
    path.write_bytes(issued.der.replace(known, unknown))
    answer = call("inspect", path)
    assert "unknown algorithm 1.2.840.10045.4.3.127" in answer.out
    assert "signed with an algorithm that is not known here" in answer.out


def test_key_agreement_bits(call: Call, authority: CertificateAuthority, tmp_path: Path) -> None:
    """encipherOnly and decipherOnly are shown where keyAgreement gives them a meaning."""
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=True, key_cert_sign=False, crl_sign=False, encipher_only=True, decipher_only=False,
    )  # fmt: skip
    request = authority.issue_client("frodo", eku=None)
    builder = (
        x509.CertificateBuilder().subject_name(request.certificate.subject).issuer_name(authority.certificate.subject)
    )
    builder = builder.public_key(request.key.public_key()).serial_number(7)
    builder = builder.not_valid_before(datetime.now(UTC)).not_valid_after(datetime.now(UTC) + timedelta(days=1))
    certificate = builder.add_extension(usage, critical=True).sign(authority.key, hashes.SHA256())
    path = tmp_path / "agreement.der"
    path.write_bytes(certificate.public_bytes(Encoding.DER))
    answer = call("inspect", path)
    assert "keyAgreement, encipherOnly\n" in answer.out
    assert "CA               no (no basicConstraints)" in answer.out

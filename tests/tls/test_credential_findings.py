"""What a credential says about itself in a role: purpose, names, validity and strength, each with the remedy."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.tls._credential import Credential, Finding
from mtlspolicy.tls._credential_findings import Role, find

ROOT = CertificateAuthority("Findings Root")
ISSUING = ROOT.intermediate("Findings Issuing CA")
SERVER = ISSUING.issue_server("server.test")
CLIENT = ISSUING.issue_client("frodo")
NOW = datetime.now(UTC)


def credential_of(issued: IssuedCertificate) -> Credential:
    """Make a credential of what a test authority issued."""
    return Credential.of(issued.chain, issued.key)


def by_code(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    """Return findings by code, of which there is one each."""
    found = {finding.code: finding for finding in findings}
    assert len(found) == len(findings)
    return found


def test_good_certificates_have_no_findings() -> None:
    """A server's certificate for a server and a client's for a client, within their validity, draw nothing."""
    assert credential_of(SERVER).findings("server", NOW) == ()
    assert credential_of(CLIENT).findings(role="client", at=NOW) == ()


def test_a_server_certificate_used_by_a_client() -> None:
    """The finding is fatal, names both purposes, and says that public CAs no longer issue certificates for clients."""
    finding = by_code(credential_of(SERVER).findings("client"))["credential.purpose"]
    assert finding.fatal
    for text in ("CN=server.test", "certificate for servers", "used by a client", "extendedKeyUsage=clientAuth"):
        assert text in finding.message
    assert "public CAs no longer issue certificates for clients" in str(finding)


def test_a_client_certificate_used_by_a_server() -> None:
    """The finding is fatal and names the purpose that is missing, with nothing about public CAs."""
    finding = by_code(credential_of(CLIENT).findings("server"))["credential.purpose"]
    assert finding.fatal
    assert "certificate for clients" in finding.message
    assert "extendedKeyUsage=serverAuth" in finding.message
    assert "public CAs" not in finding.message


def test_a_purpose_that_has_nothing_to_do_with_tls() -> None:
    """An extKeyUsage for neither role is fatal in both."""
    signing = ISSUING.issue_client("signer", eku=[ExtendedKeyUsageOID.CODE_SIGNING])
    roles: tuple[tuple[Role, str], ...] = (("server", "serverAuth"), ("client", "clientAuth"))
    for role, name in roles:
        finding = by_code(credential_of(signing).findings(role))["credential.purpose"]
        assert finding.fatal
        assert f"has an extKeyUsage without {name}" in finding.message


def test_both_purposes_serve_both_roles() -> None:
    """A certificate for both roles draws nothing in either."""
    both = ISSUING.issue_server("both.test", eku=[ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    assert credential_of(both).findings("server") == credential_of(both).findings("client") == ()


def test_no_purpose_at_all_is_fine() -> None:
    """Without extKeyUsage every purpose is allowed (RFC 5280, section 4.2.1.12)."""
    assert credential_of(ISSUING.issue_client("any", eku=None)).findings("client") == ()


def test_any_purpose_is_doubtful() -> None:
    """Only anyExtendedKeyUsage draws a finding that is not fatal."""
    finding = by_code(credential_of(broken("any-eku", ISSUING)).findings("client"))["credential.any-purpose"]
    assert not finding.fatal
    assert "anyExtendedKeyUsage" in finding.message
    assert "extendedKeyUsage=clientAuth" in finding.message


def test_a_server_without_names() -> None:
    """A server without subjectAltName draws a finding; a client without one does not."""
    nameless = credential_of(ISSUING.issue_client("legacy", eku=None))
    assert nameless.findings("client") == ()
    finding = by_code(nameless.findings("server"))["credential.no-san"]
    assert "subjectAltName=DNS:" in finding.message
    assert "RFC 9525" in finding.message


def test_validity_is_judged_only_at_a_given_time() -> None:
    """Expired and not yet valid are found at the time given, for each certificate, and never without a time."""
    credential = credential_of(SERVER)
    assert credential.findings("server") == ()
    late = credential.findings("server", SERVER.certificate.not_valid_after_utc + timedelta(days=4000))
    assert [finding.code for finding in late] == ["credential.expired"] * 2
    assert "CN=server.test" in late[0].message
    assert "expired on" in late[0].message
    assert "Findings Issuing CA" in late[1].message
    assert not late[0].fatal
    early = credential.findings("server", datetime(2001, 1, 1, tzinfo=UTC))
    assert {finding.code for finding in early} == {"credential.not-yet-valid"}
    assert "valid only from" in early[0].message


def test_both_ends_of_validity_belong_to_it() -> None:
    """Both notBefore and notAfter are inside the validity (RFC 5280, section 4.1.2.5), in whatever time zone."""
    certificate = SERVER.certificate
    credential = Credential.of(certificate, SERVER.key)
    far_away = timezone(timedelta(hours=9))
    for moment in (certificate.not_valid_before_utc, certificate.not_valid_after_utc):
        assert credential.findings("server", moment.astimezone(far_away)) == ()
    assert len(credential.findings("server", certificate.not_valid_after_utc + timedelta(seconds=1))) == 1


def test_a_weak_key() -> None:
    """RSA below 2048 bits draws a finding with the number of bits and a better choice."""
    finding = by_code(credential_of(broken("rsa-1024", ISSUING)).findings("client"))["credential.weak-key"]
    assert "1024 bits" in finding.message
    assert "2048 to 8192" in finding.message
    assert "openssl genpkey" in finding.message


UNKNOWN_KEY = der.sequence(der.sequence(der.object_identifier("1.2.3.4")), der.bit_string(b"key"))


def with_unknown_key(
    issued: CertificateAuthority | IssuedCertificate, issuer: CertificateAuthority
) -> x509.Certificate:
    """Return the same certificate for a key of a kind that nobody knows."""
    changed = replace(HandMade.of(issued.certificate), public_key=UNKNOWN_KEY)
    certificate = x509.load_der_x509_certificate(changed.signed_by(issuer.key))
    with pytest.raises((ValueError, UnsupportedAlgorithm)):
        certificate.public_key()
    return certificate


def test_an_issuer_whose_key_cannot_be_read_is_left_to_peers() -> None:
    """A CA above with a key of a kind that is not known here draws nothing and breaks nothing."""
    above = with_unknown_key(ROOT, ROOT)
    assert find((CLIENT.certificate, above), "client", None) == ()
    with pytest.raises(ConfigurationError, match="holds only CA certificates"):
        Credential.of(above, ROOT.key)


def test_an_end_entity_whose_key_cannot_be_read_is_named() -> None:
    """An end entity with a key of a kind that is not known here cannot belong to the key given, and is named."""
    with pytest.raises(ConfigurationError, match=r"CN=frodo.* unknown \(unreadable\) for the certificate"):
        Credential.of(with_unknown_key(CLIENT, ISSUING), CLIENT.key)


def test_a_key_usage_that_does_not_sign() -> None:
    """A keyUsage without digitalSignature draws a finding: TLS 1.3 signs in every handshake."""
    finding = by_code(credential_of(broken("key-usage-without-signature", ISSUING)).findings("client"))[
        "credential.key-usage"
    ]
    assert "digitalSignature" in finding.message
    assert not finding.fatal


def test_version_one() -> None:
    """X.509 v1, what openssl x509 -req of OpenSSL before 3.2 makes, is said, with the option that mends it."""
    found = by_code(credential_of(broken("v1", ISSUING)).findings("server"))
    assert set(found) == {"credential.version", "credential.no-san"}
    assert "openssl x509 -req -extfile" in found["credential.version"].message
    assert "extendedKeyUsage=serverAuth" in found["credential.version"].message


@pytest.mark.parametrize("name", ["duplicate-extension", "unsupported-general-name"])
def test_extensions_that_cannot_be_read_are_fatal(name: str) -> None:
    """A certificate whose extensions do not parse is refused by every peer."""
    finding = by_code(credential_of(broken(name, ISSUING)).findings("client"))["credential.extensions"]
    assert finding.fatal
    assert "have it issued again" in finding.message


def test_a_ca_certificate_as_end_entity() -> None:
    """A self-signed cA=TRUE certificate as one's own is found, with the option that mends it."""
    found = by_code(Credential.of(ROOT.certificate, ROOT.key).findings("client"))
    assert "basicConstraints=critical,CA:FALSE" in found["credential.is-ca"].message


def test_every_sentence_is_printable() -> None:
    """A hostile subject is escaped in findings."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a\x1b[2J\u202e")])
    hostile = ISSUING.issue_client(subject=name)
    findings = credential_of(hostile).findings("server", datetime(2001, 1, 1, tzinfo=UTC))
    assert len(findings) >= 3
    assert all(str(finding).isprintable() for finding in findings)


def test_other_roles_and_naive_times_are_refused() -> None:
    """The role is one of two words, and a time has a zone."""
    credential = credential_of(SERVER)
    with pytest.raises(ConfigurationError, match="role 'proxy' is neither 'server' nor 'client'"):
        credential.findings("proxy")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no time zone.*timezone.utc"):
        credential.findings("server", datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose

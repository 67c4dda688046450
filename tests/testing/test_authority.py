"""The test authority: what it issues is correct X.509 v3, accepted by strict verifiers and in real handshakes."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from mtlspolicy.testing import MARKER_OID, MARKER_TEXT, CertificateAuthority, IssuedCertificate, pooled_key
from mtlspolicy.testing._keys import KEY_KINDS

if TYPE_CHECKING:
    from tests.testing.conftest import Handshake, VerifyWithOpenSSL

EDWARDS = frozenset({"ed25519", "ed448"})
SPAN = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def web_client_path(issued: IssuedCertificate) -> list[x509.Certificate]:
    """Validate *issued* as a client's under cryptography's web profile and return the path."""
    verifier = PolicyBuilder().store(Store([issued.root])).build_client_verifier()
    return verifier.verify(issued.certificate, list(issued.chain[1:])).chain


def web_server_path(issued: IssuedCertificate, name: x509.DNSName | x509.IPAddress) -> list[x509.Certificate]:
    """Validate *issued* as a server's of *name* under cryptography's web profile and return the path."""
    verifier = PolicyBuilder().store(Store([issued.root])).build_server_verifier(name)
    return verifier.verify(issued.certificate, list(issued.chain[1:]))


@pytest.mark.parametrize("kind", [kind for kind in KEY_KINDS if kind not in {"rsa-3072", "rsa-4096"}])
def test_server_is_accepted_by_strict_verifiers(kind: str, verify_with_openssl: VerifyWithOpenSSL) -> None:
    """A server leaf of every usual kind of key passes the web profile and ``openssl verify -x509_strict``."""
    key = pooled_key(kind) if kind.startswith("rsa") else kind
    root = CertificateAuthority(key="ec-p256" if kind in EDWARDS else key)
    leaf = root.intermediate(path_length=0).issue_server("api.example.test", "192.0.2.7", key=key)
    assert len(web_server_path(leaf, x509.DNSName("api.example.test"))) == 3
    assert len(web_server_path(leaf, x509.IPAddress(ipaddress.ip_address("192.0.2.7")))) == 3
    result = verify_with_openssl(leaf, "sslserver")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("kind", sorted(EDWARDS))
def test_edwards_authorities_sign(kind: str, verify_with_openssl: VerifyWithOpenSSL) -> None:
    """An EdDSA authority issues leaves and lists that openssl accepts, though the web profile refuses its key."""
    root = CertificateAuthority(key=kind)
    result = verify_with_openssl(root.issue_client("client"), "sslclient")
    assert result.returncode == 0, result.stderr
    assert root.crl().is_signature_valid(root.certificate.public_key())  # type: ignore[arg-type]


def test_client_is_accepted_by_strict_verifiers(
    authority: CertificateAuthority, verify_with_openssl: VerifyWithOpenSSL
) -> None:
    """A client leaf with a SAN passes the web profile and ``openssl verify -x509_strict``."""
    leaf = authority.issue_client("frodo", uris=["spiffe://example.test/frodo"])
    assert web_client_path(leaf) == [leaf.certificate, authority.certificate]
    result = verify_with_openssl(leaf, "sslclient")
    assert result.returncode == 0, result.stderr


def test_purposes_are_kept_apart(authority: CertificateAuthority, verify_with_openssl: VerifyWithOpenSSL) -> None:
    """A server leaf is no client's and a client leaf is no server's."""
    assert verify_with_openssl(authority.issue_server("a.test"), "sslclient").returncode != 0
    assert verify_with_openssl(authority.issue_client("a"), "sslserver").returncode != 0


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_real_handshake(kind: str, handshake: Handshake) -> None:
    """Server and client credentials, each with a chain, complete mutual TLS with ``ssl`` on both sides."""
    root = CertificateAuthority()
    key = pooled_key(kind) if kind.startswith("rsa") else kind
    issuing = root.intermediate("Issuing CA")
    server = issuing.issue_server("localhost", key=key)
    client = issuing.issue_client("frodo", dns=["frodo.test"], key=key)
    near, far = handshake(server, client, "localhost")
    assert near.getpeercert(binary_form=True) == server.der
    assert far.getpeercert(binary_form=True) == client.der


def test_authority_has_what_rfc_5280_asks_of_a_ca(authority: CertificateAuthority) -> None:
    """Extensions basicConstraints and keyUsage are critical, key identifiers are there and match, the version is 3."""
    certificate = authority.certificate
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    above = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert certificate.version is x509.Version.v3
    assert constraints.critical
    assert constraints.value.ca
    assert constraints.value.path_length is None
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert own == above


def test_authority_carries_the_marker(authority: CertificateAuthority) -> None:
    """Every test CA says so in its name and in a private extension that is not critical; its leaves do not."""
    for ca in (authority, authority.intermediate("Issuing CA 1"), CertificateAuthority("Example Root")):
        marker = ca.certificate.extensions.get_extension_for_oid(MARKER_OID)
        assert MARKER_TEXT in ca.certificate.subject.rfc4514_string()
        assert not marker.critical
        assert marker.value.public_bytes()[2:] == MARKER_TEXT.encode()
    leaf = authority.issue_client("client").certificate
    assert MARKER_OID not in {extension.oid for extension in leaf.extensions}


def test_organization_can_be_left_out_and_the_marker_stays() -> None:
    """``organization=None`` leaves a name of the common name alone; the marker extension is still there."""
    certificate = CertificateAuthority("Example Root", organization=None).certificate
    assert certificate.subject.rfc4514_string() == "CN=Example Root"
    assert certificate.extensions.get_extension_for_oid(MARKER_OID).oid == MARKER_OID


def test_leaf_has_what_rfc_5280_asks_of_an_end_entity(authority: CertificateAuthority) -> None:
    """SAN not critical beside a subject, EKU of the purpose, KU and basicConstraints critical, AKI of the issuer."""
    certificate = authority.issue_client("frodo", dns=["frodo.test"]).certificate
    extensions = certificate.extensions
    identifier = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert not extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert identifier == issuer


def test_rsa_leaf_may_transport_keys(authority: CertificateAuthority) -> None:
    """An RSA leaf has keyEncipherment as well, for the RSA key exchange of TLS 1.2."""
    usage = authority.issue_server("a.test", key=pooled_key()).certificate.extensions.get_extension_for_class(
        x509.KeyUsage
    )
    assert usage.value.key_encipherment


def test_san_is_critical_when_the_subject_is_empty(
    authority: CertificateAuthority, verify_with_openssl: VerifyWithOpenSSL
) -> None:
    """Without a subject the SAN is critical (RFC 5280, 4.2.1.6), and strict verifiers take the certificate."""
    leaf = authority.issue_server("a.test", subject=x509.Name([]))
    assert leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert web_server_path(leaf, x509.DNSName("a.test"))[0] == leaf.certificate
    assert verify_with_openssl(leaf, "sslserver").returncode == 0


def test_server_names_are_sorted_by_their_form(authority: CertificateAuthority) -> None:
    """DNS names, addresses and URIs typed together land in their SAN types; the first name is the common name."""
    leaf = authority.issue_server(
        "localhost", "::1", "127.0.0.1", "spiffe://example.test/db", dns=["b.test"], ips=["192.0.2.1"], uris=["urn:x"]
    ).certificate
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["localhost", "b.test"]
    assert [str(address) for address in san.get_values_for_type(x509.IPAddress)] == ["::1", "127.0.0.1", "192.0.2.1"]
    assert san.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://example.test/db", "urn:x"]
    assert leaf.subject.rfc4514_string() == "CN=localhost"


def test_long_server_name_is_no_common_name(authority: CertificateAuthority) -> None:
    """A name longer than the 64 characters of a common name is in the SAN alone."""
    long = f"{'a' * 63}.test"
    leaf = authority.issue_server(long).certificate
    assert not leaf.subject.rdns
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == [long]


def test_server_common_name_can_be_chosen(authority: CertificateAuthority) -> None:
    """``common_name`` stands in the subject in place of the first name."""
    leaf = authority.issue_server("a.test", common_name="database 1").certificate
    assert leaf.subject.rfc4514_string() == "CN=database 1"


def test_subject_attributes_in_order(authority: CertificateAuthority) -> None:
    """Attributes by short name, dotted OID, and several values of one type, stand between O and CN."""
    attributes = {"OU": ("a", "b"), "organizationIdentifier": "PSDUK-FCA-1", "2.5.4.97": "second", "C": "GB"}
    subject = authority.issue_client("frodo", organization="Shire", attributes=attributes).certificate.subject
    assert [(attribute.oid, attribute.value) for attribute in subject] == [
        (NameOID.ORGANIZATION_NAME, "Shire"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "a"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "b"),
        (NameOID.ORGANIZATION_IDENTIFIER, "PSDUK-FCA-1"),
        (NameOID.ORGANIZATION_IDENTIFIER, "second"),
        (NameOID.COUNTRY_NAME, "GB"),
        (NameOID.COMMON_NAME, "frodo"),
    ]


def test_leaf_details_can_all_be_given(authority: CertificateAuthority) -> None:
    """Serial number, times, purposes, e-mail addresses, key and further extensions arrive as they were given."""
    key = ec.generate_private_key(ec.SECP384R1())
    stapling = x509.TLSFeature([x509.TLSFeatureType.status_request])
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
    leaf = authority.issue_client(
        "frodo",
        emails=["frodo@shire.test"],
        key=key,
        serial=0x51,
        not_before=SPAN[0],
        not_after=SPAN[1],
        eku=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH],
        extensions=[stapling, (policies, True)],
    )
    certificate, extensions = leaf.certificate, leaf.certificate.extensions
    san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert leaf.key is key
    assert certificate.public_key() == key.public_key()
    assert certificate.serial_number == 0x51
    assert (certificate.not_valid_before_utc, certificate.not_valid_after_utc) == SPAN
    assert san.get_values_for_type(x509.RFC822Name) == ["frodo@shire.test"]
    assert len(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == 2
    assert not extensions.get_extension_for_class(x509.TLSFeature).critical
    assert extensions.get_extension_for_class(x509.CertificatePolicies).critical


def test_authority_details_can_all_be_given(verify_with_openssl: VerifyWithOpenSSL) -> None:
    """Path length, name constraints, purposes and attributes of a CA arrive as they were given, and bind."""
    constraints = x509.NameConstraints([x509.DNSName("a.test")], None)
    root = CertificateAuthority("Root", attributes={"C": "NZ"}, serial=7)
    issuing = root.intermediate(
        "Issuing", path_length=0, name_constraints=constraints, eku=[ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    extensions = issuing.certificate.extensions
    assert root.certificate.serial_number == 7
    assert root.certificate.subject.get_attributes_for_oid(NameOID.COUNTRY_NAME)[0].value == "NZ"
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert extensions.get_extension_for_class(x509.NameConstraints).critical
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert verify_with_openssl(issuing.issue_client("x", dns=["x.a.test"]), "sslclient").returncode == 0
    assert verify_with_openssl(issuing.issue_client("x", dns=["x.b.test"]), "sslclient").returncode != 0


def test_default_validity_is_short_and_started(authority: CertificateAuthority) -> None:
    """Certificates are valid from an hour ago for seven days from now."""
    certificate, now = authority.issue_client("client").certificate, datetime.now(UTC)
    assert abs(now - certificate.not_valid_before_utc - timedelta(hours=1)) < timedelta(minutes=5)
    assert abs(certificate.not_valid_after_utc - now - timedelta(days=7)) < timedelta(minutes=5)


def test_serial_numbers_are_positive_and_fit_20_octets(authority: CertificateAuthority) -> None:
    """Random serial numbers differ, are positive and stay below 2^159 (RFC 5280, 4.1.2.2)."""
    serials = {authority.issue_client("client").certificate.serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(0 < serial < 1 << 159 for serial in serials)


def test_chain_is_leaf_first_without_root(authority: CertificateAuthority) -> None:
    """The chain starts with the leaf, names each issuer in turn, and leaves the root out."""
    upper = authority.intermediate("Upper")
    lower = upper.intermediate("Lower")
    leaf = lower.issue_client("client")
    assert leaf.chain == (leaf.certificate, lower.certificate, upper.certificate)
    assert lower.chain == (lower.certificate, upper.certificate)
    assert authority.chain == ()
    assert leaf.root == lower.root == authority.certificate
    assert x509.load_pem_x509_certificates(leaf.chain_pem) == list(leaf.chain)
    assert authority.pem == leaf.root_pem
    assert x509.load_pem_x509_certificate(lower.pem) == x509.load_der_x509_certificate(lower.der)


def test_cross_signed_authority_leads_to_both_roots() -> None:
    """A leaf of a cross-signed CA validates under the old and under the new root."""
    old, new = CertificateAuthority("Old"), CertificateAuthority("New")
    issuing = old.intermediate("Issuing", path_length=0)
    cross = new.cross_sign(issuing)
    leaf, crossed = issuing.issue_client("a", dns=["a.test"]), cross.issue_client("a", dns=["a.test"])
    assert cross.certificate.subject == issuing.certificate.subject
    assert cross.certificate.public_key() == issuing.certificate.public_key()
    assert cross.certificate.issuer == new.certificate.subject
    assert cross.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert crossed.root == new.certificate
    assert web_client_path(leaf)[-1] == old.certificate
    assert web_client_path(crossed)[-1] == new.certificate
    verifier = PolicyBuilder().store(Store([new.certificate])).build_client_verifier()
    assert verifier.verify(leaf.certificate, [cross.certificate]).chain[-1] == new.certificate


def test_the_marker_is_read_by_every_language() -> None:
    """Go reads arcs of at most 31 bits, and refuses the whole certificate for a longer one."""
    arcs = [int(arc) for arc in MARKER_OID.dotted_string.split(".")]
    assert max(arcs) < 1 << 28
    assert MARKER_OID in [extension.oid for extension in CertificateAuthority().certificate.extensions]

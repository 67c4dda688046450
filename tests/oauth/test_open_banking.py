"""Subjects as open banking writes them: PSD2 (ETSI TS 119 495) and Open Finance Brazil."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509

from mtlspolicy import TrustStore, Verifier, oauth, policies
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing import _der_writer as der
from tests.interop.programs import run
from tests.oauth.pki import pki_client, shown

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")

QTSP: Final = CertificateAuthority("QTSP")
TRUST: Final = TrustStore(anchors=[QTSP.certificate])
QC_STATEMENTS: Final = "1.3.6.1.5.5.7.1.3"
PSP_ROLES: Final = der.sequence(
    der.sequence(der.object_identifier("0.4.0.1862.1.1")),
    der.sequence(
        der.object_identifier("0.4.0.19495.2"),
        der.sequence(
            der.sequence(der.sequence(der.object_identifier("0.4.0.19495.1.3"), der.utf8_string("PSP_AI"))),
            der.utf8_string("Bundesanstalt fuer Finanzdienstleistungsaufsicht"),
            der.utf8_string("DE-BAFIN"),
        ),
    ),
)
"""QCStatements (RFC 3739, 3.2.6): it is qualified (ETSI EN 319 412-5), and who may do what (TS 119 495, annex A)."""
TPP: Final = QTSP.issue_client(
    None,
    organization="Fintech AG",
    attributes={"C": "DE", "organizationIdentifier": "PSDDE-BAFIN-123456", "CN": "tpp.fintech.test"},
    extensions=[x509.UnrecognizedExtension(x509.ObjectIdentifier(QC_STATEMENTS), PSP_ROLES)],
)
BRAZIL: Final = QTSP.issue_client(
    None,
    organization="Banco X",
    attributes={
        "C": "BR",
        "ST": "SP",
        "L": "Sao Paulo",
        "OU": "74e929d9-33b6-4d85-8ba7-c146c867a817",
        "CN": "mtls.bancox.test",
        "serialNumber": "17423302000129",
        "businessCategory": "Private Organization",
        "jurisdictionCountryName": "BR",
        "UID": "5b1d0ad4-3a8f-4d1b-9b0c-2f7f5d2e8c11",
    },
)


def authenticated(subject: str, leaf: Any) -> bool:
    """Return whether a client that registered *subject* is authenticated by *leaf*; false for its name alone."""
    verifier = oauth.client_verifier(pki_client(tls_client_auth_subject_dn=subject), trust=TRUST)
    try:
        oauth.authenticate_client("bank", shown(leaf), find={"bank": verifier}.get)
    except oauth.InvalidClient as error:
        if error.code != "name.mismatch":
            raise
        return False
    return True


def test_psd2_client_is_its_authorisation_number() -> None:
    """organizationIdentifier names the third party, by name or by OID; a prefix of it is another one."""
    verifier = Verifier.for_clients(
        trust=TRUST, policy=policies.SubjectAttribute("organizationIdentifier", "PSDDE-BAFIN-123456")
    )
    assert verifier.decide(shown(TPP))
    same = policies.SubjectAttribute("2.5.4.97", "PSDDE-BAFIN-123456")
    assert verifier.verify(shown(TPP)).decide(same)
    other = policies.SubjectAttribute("organizationIdentifier", "PSDDE-BAFIN-12345")
    assert not verifier.verify(shown(TPP)).decide(other)


@pytest.mark.parametrize("name", ["organizationIdentifier", "ORGANIZATIONIDENTIFIER", "2.5.4.97", "OID.2.5.4.97"])
def test_psd2_subject_with_the_identifier_in_every_spelling(name: str) -> None:
    """What OpenSSL, Java and Windows print for the attribute type names the same type."""
    subject = f"CN=tpp.fintech.test,{name}=PSDDE-BAFIN-123456,C=DE,O=Fintech AG"
    assert authenticated(subject, TPP)
    assert not authenticated(subject.replace("123456", "123457"), TPP)


def test_fields_of_a_qualified_certificate_can_be_read(tmp_path: Path) -> None:
    """qcStatements do not stand in the way, and are handed on as DER; the roles in them are for the application."""
    verifier = oauth.client_verifier(
        pki_client(tls_client_auth_subject_dn="CN=tpp.fintech.test,2.5.4.97=PSDDE-BAFIN-123456,C=DE,O=Fintech AG"),
        trust=TRUST,
    )
    peer = oauth.authenticate_client("tpp", shown(TPP), find={"tpp": verifier}.get)
    statements = peer.certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(QC_STATEMENTS)).value
    assert isinstance(statements, x509.UnrecognizedExtension)
    (tmp_path / "qc").write_bytes(statements.value)
    read = run("openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "qc", folder=tmp_path).stdout
    assert [line.rpartition(":")[2] for line in read.splitlines() if "prim:" in line] == [
        *("0.4.0.1862.1.1", "0.4.0.19495.2", "0.4.0.19495.1.3", "PSP_AI"),
        *("Bundesanstalt fuer Finanzdienstleistungsaufsicht", "DE-BAFIN"),
    ]
    assert peer.subject.values("2.5.4.97") == ("PSDDE-BAFIN-123456",)


NAMED: Final = (
    "UID=5b1d0ad4-3a8f-4d1b-9b0c-2f7f5d2e8c11,jurisdictionCountryName=BR,businessCategory=Private Organization,"
    "serialNumber=17423302000129,CN=mtls.bancox.test,OU=74e929d9-33b6-4d85-8ba7-c146c867a817,L=Sao Paulo,ST=SP,C=BR,"
    "O=Banco X"
)
DOTTED: Final = (
    "0.9.2342.19200300.100.1.1=5b1d0ad4-3a8f-4d1b-9b0c-2f7f5d2e8c11,1.3.6.1.4.1.311.60.2.1.3=BR,"
    "2.5.4.15=Private Organization,2.5.4.5=17423302000129,CN=mtls.bancox.test,"
    "OU=74e929d9-33b6-4d85-8ba7-c146c867a817,L=Sao Paulo,ST=SP,C=BR,O=Banco X"
)


def _hexadecimal(tag: str, text: str) -> str:
    return f"#{tag}{len(text):02x}{text.encode().hex()}"


ENCODED: Final = (
    f"UID=5b1d0ad4-3a8f-4d1b-9b0c-2f7f5d2e8c11,1.3.6.1.4.1.311.60.2.1.3=#13024252,"
    f"2.5.4.15={_hexadecimal('0c', 'Private Organization')},2.5.4.5={_hexadecimal('13', '17423302000129').upper()},"
    "CN=mtls.bancox.test,OU=74e929d9-33b6-4d85-8ba7-c146c867a817,L=Sao Paulo,ST=SP,C=BR,O=Banco X"
)


@pytest.mark.parametrize("subject", [NAMED, DOTTED, ENCODED, NAMED.lower(), NAMED.replace(",", ", ")])
def test_brazilian_subject_in_every_form(subject: str) -> None:
    """Attribute types outside RFC 4514's table by name, by OID, and by OID with the value's DER in hex."""
    assert authenticated(subject, BRAZIL)
    assert oauth.registered_subject(pki_client(tls_client_auth_subject_dn=subject)) == oauth.registered_subject(
        pki_client(tls_client_auth_subject_dn=NAMED)
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("5b1d0ad4", "5b1d0ad5"),
        ("jurisdictionCountryName=BR", "jurisdictionCountryName=PT"),
        ("jurisdictionCountryName=BR,", ""),
        ("serialNumber", "SN"),
        ("businessCategory=Private Organization,serialNumber=17423302000129", "serialNumber=17423302000129"),
        ("L=Sao Paulo", "L=S\u00e3o Paulo"),
    ],
)
def test_brazilian_subject_of_another_institution(before: str, after: str) -> None:
    """Every attribute counts."""
    assert before in NAMED
    assert not authenticated(NAMED.replace(before, after), BRAZIL)

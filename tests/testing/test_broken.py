"""The catalogue of broken certificates: each shows the defect that its description states, and no other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import BROKEN, CertificateAuthority, IssuedCertificate, broken, malleated_twin, pooled_key
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._broken_paths import UNKNOWN_OID
from mtlspolicy.testing._hand_made import V3, relative_name

Shows = Callable[[IssuedCertificate], bool]


def _lacks(oid: x509.ObjectIdentifier) -> Shows:
    return lambda issued: oid not in {extension.oid for extension in issued.certificate.extensions}


def _issuer_lacks(oid: x509.ObjectIdentifier) -> Shows:
    return lambda issued: oid not in {extension.oid for extension in issued.chain[1].extensions}


def _purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def _usage(certificate: x509.Certificate) -> x509.KeyUsage:
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


def _constraints(certificate: x509.Certificate) -> x509.BasicConstraints:
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value


def _dns(issued: IssuedCertificate) -> list[str]:
    san = issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return san.get_values_for_type(x509.DNSName)


def _cn(expected: str) -> Shows:
    """Return a function that tells whether the only subject attribute is a common name of this text."""

    def shows(issued: IssuedCertificate) -> bool:
        (attribute,) = issued.certificate.subject
        return attribute.oid == NameOID.COMMON_NAME and attribute.value == expected

    return shows


def _raw_cn(value: bytes) -> Shows:
    name = der.sequence(relative_name((NameOID.COMMON_NAME.dotted_string, value)))
    return lambda issued: name in issued.der


def _in_san(*names: bytes) -> Shows:
    """Return a function that tells whether the certificate's bytes hold a subjectAltName of exactly these names."""
    value = der.octet_string(der.sequence(*names))
    return lambda issued: issued.der.count(value) == 1


def _serial(number: int) -> Shows:
    return lambda issued: V3 + der.integer(number) in issued.der


def _version(certificate: x509.Certificate) -> x509.Version:
    return certificate.version


def _curve(name: str) -> Shows:
    def shows(issued: IssuedCertificate) -> bool:
        key = issued.certificate.public_key()
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == name

    return shows


def _rsa_bits(certificate: x509.Certificate) -> int:
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key.key_size


def _raises(error: type[Exception], read: Callable[[x509.Certificate], object]) -> Shows:
    def shows(issued: IssuedCertificate) -> bool:
        certificate = issued.certificate
        with pytest.raises(error):
            read(certificate)
        return True

    return shows


def _does_not_load(issued: IssuedCertificate) -> bool:
    with pytest.raises(ValueError, match="error parsing asn1 value"):
        x509.load_der_x509_certificate(issued.der)
    return True


def _signed_by(issued: IssuedCertificate, issuer: x509.Certificate) -> bool:
    try:
        issued.certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


def _issuer(issued: IssuedCertificate) -> x509.Certificate:
    return issued.chain[1] if issued.issuers_der else issued.root


def _has_unknown_critical(certificate: x509.Certificate) -> bool:
    return certificate.extensions.get_extension_for_oid(UNKNOWN_OID).critical


def _compressed(issued: IssuedCertificate) -> bool:
    key = issued.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    return der.bit_string(point) in issued.der


def _high_or_low_twin(issued: IssuedCertificate) -> bool:
    twin = malleated_twin(issued)
    first, second = (decode_dss_signature(one.certificate.signature) for one in (issued, twin))
    order = ec.SECP256R1().group_order
    return first[0] == second[0] and first[1] + second[1] == order and _signed_by(twin, _issuer(twin))


def _impostor(issued: IssuedCertificate) -> bool:
    key_of_issuer = issued.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    named = issued.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    right_names = issued.certificate.issuer == issued.root.subject and named == key_of_issuer
    return right_names and not _signed_by(issued, issued.root)


NOW: Final = datetime.now(UTC)
READABLE: Final = der.implicit(2, b"client.test")
SAN: Final = ExtensionOID.SUBJECT_ALTERNATIVE_NAME

SHOWN: Final[dict[str, Shows]] = {
    "expired": lambda i: i.certificate.not_valid_after_utc < NOW,
    "not-yet-valid": lambda i: i.certificate.not_valid_before_utc > NOW,
    "wrong-eku-server-only": lambda i: _purposes(i.certificate) == [ExtendedKeyUsageOID.SERVER_AUTH],
    "no-eku": _lacks(ExtensionOID.EXTENDED_KEY_USAGE),
    "any-eku": lambda i: _purposes(i.certificate) == [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
    "key-usage-without-signature": lambda i: not _usage(i.certificate).digital_signature,
    "is-ca": lambda i: _constraints(i.certificate).ca and _usage(i.certificate).key_cert_sign,
    "no-aki": _lacks(ExtensionOID.AUTHORITY_KEY_IDENTIFIER),
    "unknown-critical-extension": lambda i: _has_unknown_critical(i.certificate),
    "oversized": lambda i: len(i.der) > 16 * 1024,
    "self-signed": lambda i: _signed_by(i, i.certificate) and i.root == i.certificate and not i.issuers_der,
    "unknown-issuer": lambda i: i.certificate.issuer != i.root.subject and not i.issuers_der,
    "impostor-issuer": _impostor,
    "leaf-signing-leaf": lambda i: not _constraints(i.chain[1]).ca and not _usage(i.chain[1]).key_cert_sign,
    "path-length-exceeded": lambda i: _constraints(i.chain[1]).ca and _constraints(i.chain[2]).path_length == 0,
    "outside-name-constraints": lambda i: (
        i.chain[1].extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees
        == [x509.DNSName("other.test")]
    ),
    "expired-intermediate": lambda i: i.chain[1].not_valid_after_utc < NOW,
    "expired-root": lambda i: i.root.not_valid_after_utc < NOW,
    "intermediate-with-server-eku": lambda i: _purposes(i.chain[1]) == [ExtendedKeyUsageOID.SERVER_AUTH],
    "issuer-without-keycertsign": lambda i: not _usage(i.chain[1]).key_cert_sign,
    "issuer-without-key-usage": _issuer_lacks(ExtensionOID.KEY_USAGE),
    "issuer-without-basic-constraints": _issuer_lacks(ExtensionOID.BASIC_CONSTRAINTS),
    "issuer-with-unknown-critical-extension": lambda i: _has_unknown_critical(i.chain[1]),
    "issuer-rsa-1024": lambda i: _rsa_bits(i.chain[1]) == 1024,
    "no-san": lambda i: _lacks(SAN)(i) and _cn("client")(i),
    "cn-only": lambda i: _lacks(SAN)(i) and _cn("client.test")(i),
    "nameless": lambda i: _lacks(SAN)(i) and not i.certificate.subject.rdns,
    "two-common-names": lambda i: i.certificate.subject.rfc4514_string() == "CN=admin,CN=client",
    "multi-valued-rdn": lambda i: [len(rdn) for rdn in i.certificate.subject.rdns] == [2],
    "email-in-subject": lambda i: (
        len(i.certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)) == 1 and _dns(i) == ["client.test"]
    ),
    "comma-in-cn": _cn("client,CN=admin"),
    "nul-in-cn": _cn("client\0.evil.test"),
    "bidi-in-cn": _cn("client\u202enimda"),
    "zero-width-in-cn": _cn("cli\u200bent"),
    "c1-control-in-cn": _cn("client\x9b31m"),
    "newline-in-cn": _cn("client\nadmitted admin"),
    "bmp-string-cn": lambda i: _cn("client")(i) and _raw_cn(b"\x1e\x0c\0c\0l\0i\0e\0n\0t")(i),
    "t61-string-cn": _raw_cn(b"\x14\x06cli\xe9nt"),
    "invalid-utf8-cn": lambda i: (
        _raw_cn(b"\x0c\x04cli\xff")(i) and _raises(ValueError, lambda certificate: certificate.subject)(i)
    ),
    "nul-in-dns": lambda i: _dns(i) == ["client.test\0.evil.test"],
    "empty-dns": lambda i: _dns(i) == ["", "client.test"],
    "ip-in-dns": lambda i: _dns(i) == ["192.0.2.1"],
    "ip-san-bad-length": lambda i: (
        _in_san(der.implicit(7, b"\xc0\0\x02\x01\x01"), READABLE)(i)
        and _raises(ValueError, lambda certificate: certificate.extensions)(i)
    ),
    "unsupported-general-name": _raises(x509.UnsupportedGeneralNameType, lambda certificate: certificate.extensions),
    "duplicate-extension": _raises(x509.DuplicateExtension, lambda certificate: certificate.extensions),
    "critical-san": lambda i: (
        i.certificate.extensions.get_extension_for_oid(SAN).critical and bool(i.certificate.subject.rdns)
    ),
    "wildcard-client": lambda i: _dns(i) == ["*.client.test"],
    "huge-san": lambda i: len(_dns(i)) == 129,
    "v1": lambda i: _version(i.certificate) is x509.Version.v1 and len(i.certificate.extensions) == 0,
    "v1-with-extensions": lambda i: (
        _version(i.certificate) is x509.Version.v1 and READABLE in i.der and _version(i.root) is x509.Version.v3
    ),
    "v1-root": lambda i: {_version(i.root), _version(i.certificate)} == {x509.Version.v1} and len(i.chain) == 1,
    "v1-intermediate": lambda i: [_version(c).name for c in i.chain] == ["v3", "v1"],
    "zero-serial": _serial(0),
    "negative-serial": _serial(-0x52),
    "serial-21-octets": lambda i: _serial(1 << 160)(i) and i.certificate.serial_number.bit_length() == 161,
    "rsa-1024": lambda i: _rsa_bits(i.certificate) == 1024,
    "secp256k1": _curve("secp256k1"),
    "p-224": _curve("secp224r1"),
    "compressed-point": _compressed,
    "explicit-ec-parameters": lambda i: (
        der.object_identifier("1.2.840.10045.1.1") in i.der
        and i.certificate.public_key() == i.key.public_key()
        and der.object_identifier("1.2.840.10045.3.1.7") not in i.der
    ),
    "sha1-signature": lambda i: isinstance(i.certificate.signature_hash_algorithm, hashes.SHA1),
    "malleated-ecdsa": _high_or_low_twin,
    "bad-signature": lambda i: i.certificate.issuer == i.root.subject and not _signed_by(i, i.root),
    "two-signature-algorithms": lambda i: (
        i.der.count(der.sequence(der.object_identifier("1.3.101.113"))) == 1
        and i.certificate.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    ),
    "trailing-data": lambda i: _does_not_load(i) and i.der[-1:] == b"\0",
    "truncated": _does_not_load,
}
"""Name to a function that is true for a certificate with the defect and not for a good one, where it may also raise."""


def test_every_entry_is_shown() -> None:
    """The table above speaks of every entry of the catalogue."""
    assert SHOWN.keys() == BROKEN.keys()


@pytest.mark.parametrize("name", BROKEN)
def test_defect_is_there(name: str, authority: CertificateAuthority) -> None:
    """The certificate has the defect that its description states."""
    assert SHOWN[name](broken(name, authority))


@pytest.mark.parametrize("name", BROKEN)
def test_defect_is_there_below_other_authorities(name: str) -> None:
    """An intermediate with an RSA key makes the same broken certificates, but for the ECDSA twin."""
    issuing = CertificateAuthority().intermediate("Issuing", key=pooled_key())
    if name == "malleated-ecdsa":
        with pytest.raises(ConfigurationError, match="only ECDSA signatures have a twin"):
            broken(name, issuing)
        return
    issued = broken(name, issuing)
    assert issued.der != broken(name, issuing).der
    assert issued.key_pem.startswith(b"-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - {"malleated-ecdsa"}))
def test_good_leaf_shows_no_defect(name: str, authority: CertificateAuthority) -> None:
    """What shows a defect does not show it in a good leaf; an ECDSA twin alone is as good as the other."""
    for issuer in (authority, authority.intermediate("Issuing")):
        good = issuer.issue_client("client", dns=["client.test"])
        try:
            shown = SHOWN[name](good)
        except (x509.ExtensionNotFound, IndexError, ValueError, AssertionError, pytest.fail.Exception):
            continue
        assert not shown

"""One certificate: what it says is what its bytes say; what cannot be read is `MalformedEvidence`, nothing else."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._certificate import PARSER_ERRORS, ParsedCertificate, issued_by
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import BROKEN, CertificateAuthority, broken, malleated_twin
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade, assemble
from mtlspolicy.testing._keys import sign_bytes

AUTHORITY = CertificateAuthority()
LEAF = AUTHORITY.issue_client("client", dns=["client.test"])
ROOT = ParsedCertificate(AUTHORITY.der)
PROPERTIES = sorted(
    name for name, value in vars(ParsedCertificate).items() if not name.startswith("_") and not callable(value)
)


def _without_name_of_key(authority: CertificateAuthority) -> ParsedCertificate:
    hand = HandMade.of(authority.issue_client("client").certificate)
    algorithm = der.sequence(der.object_identifier("1.2.3.4"))
    return ParsedCertificate(replace(hand, public_key=der.sequence(algorithm, der.bit_string(b"x"))).signed_by(
        authority.key
    ))  # fmt: skip


def test_it_says_what_cryptography_says() -> None:
    """Times, names, serial number and digests agree with `cryptography`."""
    parsed, certificate = ParsedCertificate(LEAF.der), LEAF.certificate
    assert parsed.certificate == certificate
    assert parsed.sha256 == certificate.fingerprint(hashes.SHA256()).hex()
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert parsed.spki_sha256 == parsed.key_sha256 == hashlib.sha256(key).hexdigest()
    assert parsed.public_key == certificate.public_key()
    assert (parsed.not_before, parsed.not_after) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    assert parsed.serial_number == certificate.serial_number
    assert parsed.version == 3
    assert str(parsed.subject) == str(parsed) == "CN=client"
    assert str(parsed.issuer) == certificate.issuer.rfc4514_string()
    assert parsed.critical == {"2.5.29.19", "2.5.29.15"}
    assert parsed.names.dns_names == ("client.test",)
    assert parsed.common_name == "client"


def test_of_takes_a_parsed_certificate() -> None:
    """A `cryptography` certificate becomes ours without being parsed again."""
    certificate = LEAF.certificate
    parsed = ParsedCertificate.of(certificate)
    assert parsed.certificate is certificate
    assert parsed.der == LEAF.der


def test_equal_when_the_bytes_are() -> None:
    """Two certificates are equal when their DER is, and nothing else is equal to one."""
    one, other = ParsedCertificate(LEAF.der), ParsedCertificate(bytes(bytearray(LEAF.der)))
    assert one == other
    assert hash(one) == hash(other)
    assert one != ROOT
    assert one != LEAF.der
    assert len({one, other, ROOT}) == 2


def test_text_names_the_subject_and_escapes_it() -> None:
    """A message repeats a hostile name in escapes; without a readable name it shows the digest."""
    assert "\n" not in str(ParsedCertificate(broken("newline-in-cn", AUTHORITY).der))
    assert "\x9b" not in repr(ParsedCertificate(broken("c1-control-in-cn", AUTHORITY).der))
    nameless = ParsedCertificate(broken("nameless", AUTHORITY).der)
    assert str(nameless) == f"sha256:{nameless.sha256[:16]}"
    rubbish = ParsedCertificate(b"rubbish")
    assert repr(rubbish) == f"<ParsedCertificate unreadable sha256:{rubbish.sha256[:16]}>"


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_every_part_of_a_broken_certificate_is_a_value_or_malformed_evidence(name: str) -> None:
    """No exception of another library and no warning leaves a property, also when it fails late."""
    parsed = ParsedCertificate(broken(name, AUTHORITY).der)
    for attribute in PROPERTIES:
        try:
            value = getattr(parsed, attribute)
        except MalformedEvidence as error:
            assert error.code == "chain.malformed"  # noqa: PT017 - which of them fail differs
        else:
            assert getattr(parsed, attribute) == value


@pytest.mark.parametrize("kind", [x509.SubjectAlternativeName, x509.BasicConstraints, x509.KeyUsage])
@pytest.mark.parametrize("name", ["duplicate-extension", "ip-san-bad-length", "unsupported-general-name"])
def test_an_extension_behind_an_unreadable_one_is_malformed_evidence(name: str, kind: type[x509.ExtensionType]) -> None:
    """Where one extension keeps the others from being read, none of them counts as absent."""
    with pytest.raises(MalformedEvidence, match=f"{kind.__name__} of CN=client cannot be read"):
        ParsedCertificate(broken(name, AUTHORITY).der).extension(kind)


def test_an_absent_extension_is_none() -> None:
    """Absent is not unreadable: an extension that is not there is ``None``."""
    parsed = ParsedCertificate(broken("no-eku", AUTHORITY).der)
    assert parsed.extension(x509.ExtendedKeyUsage) is None
    assert parsed.extension(x509.BasicConstraints) == x509.BasicConstraints(ca=False, path_length=None)
    v1 = ParsedCertificate(broken("v1", AUTHORITY).der)
    assert v1.extension(x509.BasicConstraints) is None


def test_two_subject_alternative_names_are_malformed() -> None:
    """Of two subjectAltNames nobody says which one counts."""
    with pytest.raises(MalformedEvidence, match="two subjectAltName extensions"):
        _ = ParsedCertificate(broken("duplicate-extension", AUTHORITY).der).names


def test_common_name_is_none_where_it_is_not_one() -> None:
    """None, several, or one beside one that cannot be read: there is no "first"."""
    assert ParsedCertificate(broken("two-common-names", AUTHORITY).der).common_name is None
    assert ParsedCertificate(broken("t61-string-cn", AUTHORITY).der).common_name is None
    assert ParsedCertificate(broken("nameless", AUTHORITY).der).common_name is None
    assert ParsedCertificate(broken("bmp-string-cn", AUTHORITY).der).common_name == "client"


@pytest.mark.parametrize(("name", "number"), [("zero-serial", 0), ("negative-serial", -0x52)])
def test_a_serial_number_out_of_range_is_read_without_a_warning(name: str, number: int) -> None:
    """The number is there for a refusal to state; that `cryptography` will stop reading it is nobody's warning."""
    parsed = ParsedCertificate(broken(name, AUTHORITY).der)
    assert parsed.serial_number == number
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parsed.certificate.version is x509.Version.v3


def test_a_warning_of_the_parser_is_malformed_evidence_where_warnings_are_errors() -> None:
    """A program that makes errors of warnings gets our error for a peer's bytes, not somebody's warning."""
    # explicit NULL parameters of an ECDSA signature algorithm (RFC 5758, section 3.2, wants them absent)
    algorithm = der.sequence(der.object_identifier("1.2.840.10045.4.3.2"), der.null())
    tbs = HandMade.of(LEAF.certificate).to_be_signed(algorithm)
    data = assemble(tbs, algorithm, sign_bytes(AUTHORITY.key, tbs, hashes.SHA256()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MalformedEvidence, match="bytes that are not a certificate"):
            _ = ParsedCertificate(data).certificate
    assert Warning in PARSER_ERRORS


def test_a_key_of_an_unknown_kind_is_malformed_evidence() -> None:
    """A certificate loads although its key does not; the error comes when the key is asked for."""
    parsed = _without_name_of_key(AUTHORITY)
    assert parsed.certificate.serial_number == parsed.serial_number
    for attribute in ("public_key", "key_sha256"):
        with pytest.raises(MalformedEvidence, match="the public key of CN=client cannot be read"):
            getattr(parsed, attribute)


def test_one_key_in_two_encodings_has_one_canonical_digest() -> None:
    """`spki_sha256` is of the bytes in the certificate, `key_sha256` of the key's numbers."""
    issued = broken("compressed-point", AUTHORITY)
    parsed = ParsedCertificate(issued.der)
    plain = AUTHORITY.issue_client("client", key=issued.key)
    assert parsed.key_sha256 == ParsedCertificate(plain.der).key_sha256
    assert parsed.spki_sha256 != ParsedCertificate(plain.der).spki_sha256


def test_self_issued_and_self_signed_differ() -> None:
    """A roll-over certificate has subject and issuer alike and another's signature (RFC 5280, section 3.2)."""
    assert ROOT.self_issued
    assert ROOT.self_signed
    old = CertificateAuthority("rolling")
    new = CertificateAuthority("rolling")
    rolled = ParsedCertificate(old.cross_sign(new).der)
    assert rolled.self_issued
    assert not rolled.self_signed
    leaf = ParsedCertificate(LEAF.der)
    assert not leaf.self_issued
    assert not leaf.self_signed


def test_issued_by_is_about_name_and_signature_alone() -> None:
    """Name and signature must both fit; validity and constraints are not asked, and nothing is raised."""
    assert issued_by(ParsedCertificate(LEAF.der), ROOT)
    assert issued_by(ParsedCertificate(malleated_twin(LEAF).der), ROOT)
    assert issued_by(ParsedCertificate(broken("expired", AUTHORITY).der), ROOT)
    for name in ("impostor-issuer", "bad-signature", "unknown-issuer", "sha1-signature", "truncated"):
        assert not issued_by(ParsedCertificate(broken(name, AUTHORITY).der), ROOT)
    assert not issued_by(ParsedCertificate(LEAF.der), ParsedCertificate(CertificateAuthority().der))
    assert not issued_by(ParsedCertificate(LEAF.der), _without_name_of_key(AUTHORITY))


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.MD5()])  # noqa: S303 - refused on purpose
def test_sha1_and_md5_signatures_do_not_verify(digest: hashes.HashAlgorithm) -> None:
    """`cryptography` refuses them by name; should it ever stop doing so, this fails."""
    authority = CertificateAuthority(key="rsa-2048")
    hand = HandMade.of(authority.issue_client("client").certificate)
    number = {"sha1": 5, "md5": 4}[digest.name]
    algorithm = der.sequence(der.object_identifier(f"1.2.840.113549.1.1.{number}"), der.null())
    tbs = hand.to_be_signed(algorithm)
    data = assemble(tbs, algorithm, sign_bytes(authority.key, tbs, digest))
    assert not issued_by(ParsedCertificate(data), ParsedCertificate(authority.der))
    assert issued_by(ParsedCertificate(hand.signed_by(authority.key)), ParsedCertificate(authority.der))


@given(st.integers(0, len(LEAF.der) - 1), st.integers(0, 255))
def test_a_changed_byte_never_raises_another_error(at: int, value: int) -> None:
    """Whatever byte of a certificate is changed, every property gives a value or `MalformedEvidence`."""
    data = LEAF.der[:at] + bytes((value,)) + LEAF.der[at + 1 :]
    parsed = ParsedCertificate(data)
    read = 0
    for attribute in PROPERTIES:
        try:
            getattr(parsed, attribute)
        except MalformedEvidence:
            continue
        read += 1
    assert read >= 1, "the digest of the bytes can always be had"
    assert issued_by(parsed, ROOT) is (data == LEAF.der) or value == LEAF.der[at]


def test_the_extension_order_does_not_matter() -> None:
    """Extensions are found by type, wherever they stand."""
    hand = HandMade.of(LEAF.certificate)
    turned = replace(hand, extensions=hand.extensions[::-1]).signed_by(AUTHORITY.key)
    parsed = ParsedCertificate(turned)
    assert parsed.names.dns_names == ("client.test",)
    usage = parsed.extension(x509.ExtendedKeyUsage)
    assert usage is not None
    assert usage.oid == ExtensionOID.EXTENDED_KEY_USAGE

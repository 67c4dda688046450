"""CRLs that may not answer: each hostile or odd one has its own code, and none is ever read as GOOD."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._codes import CODES
from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._pem import write_pem
from mtlspolicy._revocation import CRLQuestion
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.revocation import RevocationList, read_crl
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension, signature_algorithm
from tests.revocation.made import AT, FRODO, HOUR, LIFE, ROOT, STRANGER
from tests.revocation.made_crls import (
    DELTA,
    HERE,
    NUMBER,
    THERE,
    V2,
    MadeCRL,
    Revoked,
    asked,
    flag,
    full_name,
    pointing,
    reason,
    scope,
    told,
    uri,
)

UNKNOWN = Extension("1.2.3.4.5", b"\x05\x00", critical=True)
CERTIFICATE_ISSUER = Extension(
    "2.5.29.29", der.sequence(der.explicit(4, STRANGER.certificate.subject.public_bytes())), critical=True
)
REASONS = der.implicit(3, b"\x06\x40")
NAME = ROOT.certificate.subject.public_bytes()
ISSUER_POINT = der.explicit(2, der.explicit(4, NAME))
SHA256 = signature_algorithm(ROOT.key, hashes.SHA256())
SECOND = timedelta(seconds=1)
TIME = b"\x17\x0d260101000000Z"

HOSTILE: Final[dict[str, tuple[MadeCRL, str]]] = {
    # who signed it
    "of another issuer": (MadeCRL(signer=STRANGER), "crl.other-issuer"),
    "in the issuer's name by a stranger": (MadeCRL(signer=STRANGER, issuer=NAME), "crl.signature"),
    "in the issuer's name by the certificate itself": (MadeCRL(key=FRODO.key), "crl.signature"),
    "with a spoilt signature": (MadeCRL(spoilt=True), "crl.signature"),
    "of the issuer in a stranger's name": (
        MadeCRL(issuer=STRANGER.certificate.subject.public_bytes()), "crl.other-issuer"),
    "with an empty issuer": (MadeCRL(issuer=der.sequence()), "crl.other-issuer"),
    # how it is signed
    "with two algorithms": (MadeCRL(inner=signature_algorithm(ROOT.key, hashes.SHA384())), "crl.algorithm-mismatch"),
    "with sha1": (MadeCRL(digest=hashes.SHA1()), "crl.sha1"),  # noqa: S303 - refused by default
    "with an unknown algorithm": (
        MadeCRL(algorithm=der.sequence(der.object_identifier("1.2.3.4"))), "crl.signature-algorithm"),
    "with parameters that nobody reads": (MadeCRL(algorithm=SHA256[:1] + bytes((SHA256[1] + 2,)) + SHA256[2:]
                                                  + der.null()), "crl.signature-algorithm"),
    "with the algorithm of another key": (
        MadeCRL(algorithm=der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), der.null())), "crl.signature"),
    # what it is
    "delta": (MadeCRL(extensions=(NUMBER, DELTA)), "crl.delta"),
    "delta that is not marked critical": (MadeCRL(extensions=(Extension(DELTA.oid, DELTA.value),)), "crl.delta"),
    "delta that lists it": (MadeCRL((Revoked(),), extensions=(NUMBER, DELTA)), "crl.delta"),
    "indirect": (MadeCRL(extensions=(scope(flag(4)),)), "crl.indirect"),
    "indirect that is not marked critical": (MadeCRL(extensions=(scope(flag(4), critical=False),)), "crl.indirect"),
    "indirect that lists it": (MadeCRL((Revoked(),), extensions=(scope(flag(4)),)), "crl.indirect"),
    "indirect by an entry alone": (MadeCRL((Revoked(1, extensions=(CERTIFICATE_ISSUER,)),)), "crl.indirect"),
    "that lists it for another issuer": (MadeCRL((Revoked(extensions=(CERTIFICATE_ISSUER,)),)), "crl.indirect"),
    "indirect by an entry that is not critical": (
        MadeCRL((Revoked(1, extensions=(Extension("2.5.29.29", CERTIFICATE_ISSUER.value),)),)), "crl.indirect"),
    "for some reasons": (MadeCRL(extensions=(scope(REASONS),)), "crl.partial-reasons"),
    "for attribute certificates": (MadeCRL(extensions=(scope(flag(5)),)), "crl.attribute-certificates-only"),
    "for attribute certificates that lists its number": (
        MadeCRL((Revoked(),), extensions=(scope(flag(5)),)), "crl.attribute-certificates-only"),
    "for CA certificates": (MadeCRL(extensions=(scope(flag(2)),)), "crl.ca-certificates-only"),
    "for another distribution point": (MadeCRL(extensions=(scope(full_name(uri(HERE))),)), "crl.distribution-point"),
    "with an unknown critical extension": (MadeCRL(extensions=(UNKNOWN,)), "crl.critical-extension"),
    "with an unknown critical extension that lists it": (
        MadeCRL((Revoked(),), extensions=(UNKNOWN,)), "crl.critical-extension"),
    "with a critical freshestCRL": (
        MadeCRL(extensions=(Extension("2.5.29.46", b"\x30\x00", critical=True),)), "crl.critical-extension"),
    "with an unknown critical entry extension": (
        MadeCRL((Revoked(1, extensions=(UNKNOWN,)),)), "crl.critical-entry-extension"),
    "with an unknown critical extension in its own entry": (
        MadeCRL((Revoked(extensions=(UNKNOWN,)),)), "crl.critical-entry-extension"),
    "with a critical extension after a thousand others": (
        MadeCRL((*(Revoked(n) for n in range(1, 3000)), Revoked(1, extensions=(reason(1), UNKNOWN)))),
        "crl.critical-entry-extension"),
    "that removes it": (MadeCRL((Revoked(extensions=(reason(8),)),)), "crl.remove-from-crl"),
    "that holds and removes it": (
        MadeCRL((Revoked(extensions=(reason(6),)), Revoked(extensions=(reason(8),)))), "crl.remove-from-crl"),
    # versions
    "version 1 with extensions": (MadeCRL(version=b""), "crl.version"),
    "version 1 with entry extensions": (
        MadeCRL((Revoked(1, extensions=(reason(1),)),), version=b"", extensions=()), "crl.version"),
    "version 1 said aloud": (MadeCRL(version=der.integer(0), extensions=()), "crl.version"),
    "version 3": (MadeCRL(version=der.integer(2)), "crl.version"),
    "version 257": (MadeCRL(version=der.integer(257)), "crl.version"),
    # dates
    "to come": (MadeCRL(this_update=AT + HOUR, next_update=AT + 2 * HOUR), "crl.not-yet-valid"),
    "over": (MadeCRL(next_update=AT - timedelta(minutes=5) - SECOND), "crl.expired"),
    "too old": (MadeCRL(this_update=AT - timedelta(days=10) - SECOND), "crl.too-old"),
    "over before it began": (MadeCRL(this_update=AT, next_update=AT - SECOND), "crl.dates"),
    "without end": (MadeCRL(next_update=None), "crl.no-next-update"),
    "on hold and over": (
        MadeCRL((Revoked(extensions=(reason(6),)),), next_update=AT - HOUR + SECOND), "crl.expired"),
    "of the thirteenth month": (MadeCRL(this_update=b"\x17\x0d261301000000Z"), "crl.malformed"),
    "without seconds": (MadeCRL(this_update=b"\x17\x0b2601010000Z"), "crl.malformed"),
    "in another time zone": (MadeCRL(next_update=b"\x17\x11260101000000+0100"), "crl.malformed"),
    "with fractions": (MadeCRL(next_update=b"\x18\x1220260101000000.5Z"), "crl.malformed"),
    "with digits of another script": (
        MadeCRL(this_update=der.tlv(0x17, "2601010000\u0660\u0660Z".encode())), "crl.malformed"),
    # shapes
    "with something behind it": (MadeCRL(after=der.null()), "crl.malformed"),
    "with more in the signed part": (MadeCRL(more=der.null()), "crl.malformed"),
    "with an extension twice": (MadeCRL(extensions=(NUMBER, NUMBER)), "crl.malformed"),
    "with a number that is none": (MadeCRL(extensions=(Extension("2.5.29.20", b"\x04\x00"),)), "crl.malformed"),
    "with a scope that is none": (MadeCRL(extensions=(Extension("2.5.29.28", b"\x05\x00"),)), "crl.malformed"),
    "with a scope twice users and CAs": (MadeCRL(extensions=(scope(flag(1), flag(2)),)), "crl.malformed"),
    "with a scope out of order": (MadeCRL(extensions=(scope(flag(2), flag(1, b"\0")),)), "crl.malformed"),
    "with a scope with a part twice": (MadeCRL(extensions=(scope(flag(1), flag(1)),)), "crl.malformed"),
    "with a scope with an unknown part": (MadeCRL(extensions=(scope(flag(6)),)), "crl.malformed"),
    "with a scope with a wide flag": (MadeCRL(extensions=(scope(flag(1, b"\0\0")),)), "crl.malformed"),
    "with a scope without a name": (MadeCRL(extensions=(scope(der.explicit(0, b"")),)), "crl.malformed"),
    "with a scope with no names": (MadeCRL(extensions=(scope(full_name()),)), "crl.malformed"),
    # entries
    "with an entry that is none": (MadeCRL((der.null(),)), "crl.malformed"),
    "with an empty entry": (MadeCRL((der.sequence(),)), "crl.malformed"),
    "with an entry without a date": (MadeCRL((der.sequence(der.integer(1)),)), "crl.malformed"),
    "with an entry with a strange date": (MadeCRL((Revoked(at=b"\x17\x0b2601010000Z"),)), "crl.malformed"),
    "with an entry with a date that is none": (MadeCRL((Revoked(at=der.integer(1)),)), "crl.malformed"),
    "with an entry with letters for a date": (MadeCRL((Revoked(at=b"\x17\x0d26010100000xZ"),)), "crl.malformed"),
    "with an entry with more": (MadeCRL((Revoked(after=der.null()),)), "crl.malformed"),
    "with an entry with no extension": (MadeCRL((Revoked(after=der.sequence()),)), "crl.malformed"),
    "with an entry with an extension twice": (
        MadeCRL((Revoked(extensions=(reason(1), reason(1))),)), "crl.malformed"),
    "with an empty number": (MadeCRL((Revoked(b"\x02\x00"),)), "crl.malformed"),
    "with a number with a zero in front": (MadeCRL((Revoked(b"\x02\x02\x00\x01"),)), "crl.malformed"),
    "with a number with a one in front": (MadeCRL((Revoked(b"\x02\x02\xff\x81"),)), "crl.malformed"),
    "with a long number with a zero in front": (MadeCRL((Revoked(b"\x02\x11\x00\x01" + bytes(15)),)), "crl.malformed"),
    "with an entry that is too long for itself": (
        MadeCRL((b"\x30\x13" + der.integer(1) + TIME, der.null())), "crl.malformed"),
    "with an entry that is too short for itself": (MadeCRL((b"\x30\x11" + der.integer(1) + TIME,)), "crl.malformed"),
    "with a reason that is longer than its extension": (
        MadeCRL((der.sequence(der.integer(1), TIME, bytes.fromhex("300c300a0603551d1504040a0101")),)),
        "crl.malformed"),
    "with a negative serial number": (MadeCRL((Revoked(1), Revoked(-2))), "crl.serial-number"),
    "with a length in more bytes than it needs": (
        MadeCRL((b"\x30\x81\x12" + der.integer(1) + TIME,)), "crl.malformed"),
    "with a length that is not stated": (
        MadeCRL((b"\x30\x80" + der.integer(1) + TIME + b"\x00\x00",)), "crl.malformed"),
    "that ends in the middle of an entry": (
        MadeCRL((Revoked(1), Revoked(2).encoded()[:-1])), "crl.malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_hostile_list_is_read_as_good(name: str) -> None:
    """Each is refused with its own code, which is in the table and may be tried again."""
    made, code = HOSTILE[name]
    answer = told(made)
    assert (answer.status, answer.code) == (RevocationStatus.UNAVAILABLE, code), answer.detail
    assert CODES[code].outcome.retryable
    assert answer.detail


def test_the_table_is_a_table() -> None:
    """Forty lists and more, and every code of a list that is refused."""
    assert len(HOSTILE) >= 40
    assert len({code for _, code in HOSTILE.values()}) >= 20


@pytest.mark.parametrize("data", [
    b"", b"\x30", b"\x30\x00", b"\x30\x80\x00\x00", b"\x00" * 100, FRODO.der, b"\x30" * 1000,
    b"-----BEGIN X509 CRL-----\n", b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n",
    b"-----BEGIN X509 CRL-----\nMA\n-----END X509 CRL-----\n",
    b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n",
    write_pem(FRODO.der).encode(), write_pem(b"\x30\x00", "X509 CRL").encode(),
    write_pem(b"\x30\x00", "X509 CRL").encode() + b"-----BEGIN X509 CRL-----\n",
])  # fmt: skip
def test_no_other_bytes_are_a_list(data: bytes) -> None:
    """Nothing, half of something, certificates, and PEM of which a part is missing."""
    assert told(data).code == "crl.malformed"


def test_too_much_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB of DER, and as much as PEM; a longer one costs nothing."""
    monkeypatch.setattr("mtlspolicy.revocation._crl_list.MOST_BYTES", 10)
    assert told(MadeCRL()).code == "crl.too-large"
    monkeypatch.setattr("mtlspolicy.revocation._crl_layout.MOST_PEM", 10)
    assert told(write_pem(MadeCRL().encoded(), "X509 CRL").encode()).code == "crl.too-large"


def test_garbage_costs_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has not the issuer's key cannot make us read entries: the signature comes first."""

    def never(*_: object) -> None:
        raise AssertionError("the entries were read")

    monkeypatch.setattr("mtlspolicy.revocation._crl_list.SerialIndex", never)
    for made in (MadeCRL((Revoked(1),), spoilt=True), MadeCRL((Revoked(1),), signer=STRANGER, issuer=NAME)):
        assert told(made).code == "crl.signature"


def test_a_list_that_cannot_be_used_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with entries is remembered, whoever asks next."""
    crl = RevocationList.parse(MadeCRL((der.null(),)).encoded())
    other = RevocationList.parse(MadeCRL((Revoked(1, extensions=(UNKNOWN,)),)).encoded())
    with pytest.raises(MalformedEvidence, match="another shape"):
        len(crl)
    with pytest.raises(MalformedEvidence, match=r"1\.2\.3\.4\.5") as caught:
        len(other)
    assert caught.value.code == "crl.critical-entry-extension"
    monkeypatch.setattr("mtlspolicy.revocation._crl_list.SerialIndex", None)
    assert read_crl(crl, asked(), at=AT).code == "crl.malformed"
    assert read_crl(other, asked(), at=AT).code == "crl.critical-entry-extension"


def test_an_issuer_without_crl_sign_signs_no_list() -> None:
    """RFC 5280, section 6.3.3 f: "If a key usage extension is present [...] verify that the cRLSign bit is set"."""
    answer = told(MadeCRL(), asked(issuer=_With(ROOT, _usage(crl_sign=False))))
    assert answer.code == "crl.issuer-key-usage"
    assert told(MadeCRL(), asked(issuer=_With(ROOT, _usage(crl_sign=True)))).code == "crl.good"


def test_an_issuer_whose_key_usage_cannot_be_read_signs_no_list() -> None:
    """What cannot be read allows nothing."""
    garbage = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), b"\x05\x00")
    assert told(MadeCRL(), asked(issuer=_With(ROOT, garbage))).code == "crl.issuer-key-usage"


def test_an_issuer_without_key_usage_may_sign() -> None:
    """Absent, the extension restricts nothing; a v1 root has none."""
    assert told(MadeCRL(), asked(issuer=_With(ROOT))).code == "crl.good"


class _With:
    """A certificate with ROOT's name and key, and other extensions."""

    def __init__(self, authority: CertificateAuthority, *extensions: x509.ExtensionType) -> None:
        builder = (
            x509.CertificateBuilder()
            .subject_name(authority.certificate.subject)
            .issuer_name(authority.certificate.subject)
            .public_key(authority.key.public_key())
            .serial_number(1)
            .not_valid_before(AT - HOUR)
            .not_valid_after(AT + HOUR)
        )
        for one in extensions:
            builder = builder.add_extension(one, critical=True)
        digest = hashes.SHA256()
        self.der = ParsedCertificate.of(builder.sign(authority.key, digest)).der


def _usage(*, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=crl_sign, encipher_only=False, decipher_only=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - weak on purpose
        ec.generate_private_key(ec.SECP224R1()),
    ],
)
def test_a_weak_key_signs_no_list(key: Any) -> None:
    """Whoever can compute the key writes lists on which nobody stands."""
    weak = CertificateAuthority("Weak", key=key, **LIFE)
    leaf = weak.issue_client("frodo", **LIFE)
    assert told(MadeCRL(signer=weak), asked(leaf, weak)).code == "crl.issuer-weak-key"


def test_a_point_that_is_not_for_all_does_not_vouch() -> None:
    """A list found by a pointer for some reasons, or for another CRL issuer, is not about the rest."""
    for more in (der.implicit(1, b"\x06\x40"), ISSUER_POINT):
        leaf = asked(pointing(der.sequence(full_name(uri(HERE)), more)))
        assert told(MadeCRL(extensions=(scope(full_name(uri(HERE))),)), leaf).code == "crl.distribution-point"


def test_the_name_of_the_issuer_is_no_point_where_there_is_another() -> None:
    """Only a certificate without pointers is looked for at the name of its issuer."""
    leaf = asked(pointing(der.sequence(full_name(uri(THERE)))))
    assert told(MadeCRL(extensions=(scope(full_name(der.explicit(4, NAME))),)), leaf).code == "crl.distribution-point"


def test_a_certificate_that_cannot_be_read_is_in_no_list() -> None:
    """Pointers and basicConstraints that are garbage do not let us tell whether the list is about it."""
    leaf = asked(pointing(der.null()))
    assert told(MadeCRL(extensions=(scope(full_name(uri(HERE))),)), leaf).code == "crl.certificate-unreadable"
    garbage = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.19"), b"\x05\x00")
    strange = CRLQuestion(ParsedCertificate(_With(ROOT, garbage).der), ParsedCertificate(ROOT.der))
    assert told(MadeCRL(extensions=(scope(flag(1)),)), strange).code == "crl.certificate-unreadable"


def test_the_serial_number_of_another_issuer_is_another_number() -> None:
    """The same number under another CA is not revoked by this list."""
    twin = asked(STRANGER.issue_client("frodo", serial=FRODO.certificate.serial_number, **LIFE), STRANGER)
    assert told(MadeCRL((Revoked(),)), twin).code == "crl.other-issuer"
    assert told(MadeCRL(version=V2, signer=STRANGER), twin).code == "crl.good"

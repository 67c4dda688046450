"""Responses that answer: good, revoked and unknown, by whoever may sign, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.testing import CertificateAuthority, pooled_key
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension
from tests.revocation.made import (
    AT,
    BILBO,
    FRODO,
    GOOD,
    HOUR,
    LIFE,
    NONCE,
    NULL,
    ROOT,
    RSA,
    SIGNING,
    STRANGER,
    UNKNOWN,
    Entry,
    Made,
    about,
    by_delegate,
    by_key,
    by_rsa,
    delegate,
    generalized,
    pss,
    pss_algorithm,
    question,
    read,
    revoked,
)

GOOD_ANSWER = (RevocationStatus.GOOD, "ocsp.good")
DELEGATE = delegate()

ACCEPTED = {
    "by the issuer, named": Made(),
    "by the issuer, by its key": Made(responder=by_key(ParsedCertificate(ROOT.der))),
    "by the issuer, whose certificate comes along": Made(certificates=(ROOT.der,)),
    "by a delegate": by_delegate(DELEGATE),
    "by a delegate, by its key": by_delegate(DELEGATE, responder=by_key(ParsedCertificate(DELEGATE.der))),
    "by a delegate behind another certificate": Made(signer=DELEGATE, certificates=(FRODO.der, DELEGATE.der)),
    "by a delegate without keyUsage": by_delegate(delegate(key="rsa-2048")),
    "a CertID with SHA-256": Made().saying(digest="sha256"),
    "without nextUpdate": Made().saying(next_update=None),
    "among other certificates": Made((Entry(serial=7, status=revoked()), Entry(), Entry(serial=8))),
    "beside an unknown digest of another": Made((Entry(digest="unheard-of", serial=7), Entry())),
    "twice the same": Made((Entry(), Entry(digest="sha256"))),
    "a clock five minutes behind": Made(produced_at=AT + HOUR / 12).saying(this_update=AT + HOUR / 12),
    "nextUpdate five minutes ago": Made().saying(next_update=AT - HOUR / 12),
    "an extension that is not critical": Made(extensions=(Extension("1.2.3.4", der.null()),)),
    "an entry's extension that is not critical": Made().saying(extensions=(Extension("1.2.3.4", der.null()),)),
    "critical extensions that are understood": Made(
        extensions=(Extension(NONCE, der.octet_string(b"n"), critical=True),)
    ).saying(extensions=(Extension("2.5.29.24", generalized(AT), critical=True),)),
    "a nonce although none was sent": Made(extensions=(Extension(NONCE, der.octet_string(b"n" * 128)),)),
}


def rebuilt(certificate: x509.Certificate) -> x509.CertificateBuilder:
    """Return a builder with all that *certificate* says."""
    builder = x509.CertificateBuilder(
        certificate.issuer, certificate.subject, certificate.public_key(), certificate.serial_number,
        certificate.not_valid_before_utc, certificate.not_valid_after_utc,
    )  # fmt: skip
    for extension in certificate.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_accepted(name: str) -> None:
    """A response that keeps every rule is GOOD, in each form that the RFC allows."""
    answer = read(ACCEPTED[name])
    assert (answer.status, answer.code) == GOOD_ANSWER, answer.detail


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256", "ec-p384", "ec-p521", "ed25519", "ed448"])
def test_every_kind_of_key(kind: str) -> None:
    """Issuers and delegates with each kind of key that certificates have here."""
    authority = CertificateAuthority("Issuing", key=pooled_key(kind), **LIFE)
    leaf = authority.issue_client("frodo", **LIFE)
    entry = Entry(
        name=authority.certificate.subject.public_bytes(),
        spki=ParsedCertificate(authority.der).layout.spki,
        serial=leaf.certificate.serial_number,
    )
    helper = delegate(authority, key=pooled_key(kind, 1))
    for response in (Made((entry,), signer=authority), by_delegate(helper, entries=(entry,))):
        assert read(response, question(leaf, authority)).code == "ocsp.good"
        spoilt = read(replace(response, spoilt=True), question(leaf, authority))
        assert (spoilt.status, spoilt.code) == (RevocationStatus.UNAVAILABLE, "ocsp.signature")


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("null", [NULL, b""])
def test_rsa_with_pss(name: str, null: bytes) -> None:
    """RSASSA-PSS with one digest for message and mask and a salt of its length; its digests' NULL may be left out."""
    response = by_rsa(**{**pss(name), "algorithm": pss_algorithm(name, null=null)})
    assert read(response, question(BILBO, RSA)).code == "ocsp.good"
    spoilt = read(replace(response, spoilt=True), question(BILBO, RSA))
    assert (spoilt.status, spoilt.code) == (RevocationStatus.UNAVAILABLE, "ocsp.signature")


def test_a_delegate_whose_certificate_is_signed_with_pss() -> None:
    """A delegate's certificate may be signed with RSASSA-PSS, whatever signs the response."""
    helper = delegate(RSA)
    padded = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signed = rebuilt(helper.certificate).sign(RSA.key, hashes.SHA256(), rsa_padding=padded)
    response = Made((about(BILBO, RSA),), signer=helper, certificates=(signed.public_bytes(Encoding.DER),))
    assert read(response, question(BILBO, RSA)).code == "ocsp.good"


def test_revoked_says_when_and_why() -> None:
    """Time, reason and invalidity date of a revocation come with the answer."""
    since = Extension("2.5.29.24", generalized(AT - 3 * HOUR))
    answer = read(Made().saying(status=revoked(AT - 2 * HOUR, 1), extensions=(since,)), source="a file")
    assert answer.status is RevocationStatus.REVOKED
    assert (answer.code, answer.source, answer.reason) == ("ocsp.revoked", "a file", "keyCompromise")
    assert (answer.revoked_at, answer.invalidity_date) == (AT - 2 * HOUR, AT - 3 * HOUR)
    assert (answer.this_update, answer.next_update, answer.produced_at) == (AT - HOUR, AT + HOUR, AT - HOUR)
    assert answer.final


@pytest.mark.parametrize("value", [b"", der.null(), der.tlv(der.GENERALIZED_TIME, b"soon"), b"\x18\x01\xff"])
def test_an_invalidity_date_that_cannot_be_read_hides_no_revocation(value: bytes) -> None:
    """What only informs may be garbage; the certificate is revoked."""
    answer = read(Made().saying(status=revoked(), extensions=(Extension("2.5.29.24", value),)))
    assert (answer.status, answer.invalidity_date) == (RevocationStatus.REVOKED, None)


def test_a_reason_that_is_not_defined_hides_no_revocation() -> None:
    """A reason code that RFC 5280 does not have is still a revocation, and for ever."""
    answer = read(Made().saying(status=revoked(reason=7)))
    assert (answer.status, answer.reason, answer.final) == (RevocationStatus.REVOKED, "not defined", True)


@pytest.mark.parametrize(
    "parts",
    [
        {"this_update": AT - timedelta(days=400), "next_update": AT - timedelta(days=399)},
        {"this_update": AT + HOUR},
        {"status": revoked(AT + HOUR), "this_update": AT + HOUR},
        {"next_update": AT - 2 * HOUR},
    ],
)
def test_a_revocation_counts_whatever_its_time(parts: dict[str, object]) -> None:
    """REVOKED ahead of a slow clock, or in a signed statement of long ago, is revoked: there is no way back."""
    answer = read(Made(produced_at=AT + HOUR).saying(**{"status": revoked(), **parts}))
    assert answer.status is RevocationStatus.REVOKED


def test_a_hold_is_a_revocation_while_it_is_current() -> None:
    """certificateHold may end, so that an old one says nothing; a current one says revoked."""
    held = Made().saying(status=revoked(reason=6))
    answer = read(held)
    assert (answer.status, answer.reason, answer.final) == (RevocationStatus.REVOKED, "certificateHold", False)
    old = read(held.saying(this_update=AT - timedelta(days=3), next_update=AT - timedelta(days=2)))
    assert (old.status, old.code) == (RevocationStatus.UNAVAILABLE, "ocsp.too-old")


def test_unknown_is_an_answer() -> None:
    """UNKNOWN is signed, and not the same as no answer."""
    answer = read(Made().saying(status=UNKNOWN))
    assert (answer.status, answer.code, answer.final) == (RevocationStatus.UNKNOWN, "ocsp.unknown", False)


@pytest.mark.parametrize(("other", "told"), [(revoked(), "GOOD and REVOKED"), (UNKNOWN, "GOOD and UNKNOWN")])
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_contradictory_entries_are_no_answer_that_soft_rules_pass_over(other: bytes, told: str, digest: str) -> None:
    """Entries for one certificate that disagree, under whatever digest and in either order, give UNKNOWN."""
    entries = Entry(status=GOOD), Entry(status=other, digest=digest)
    for order in (entries, entries[::-1]):
        answer = read(Made(order))
        assert (answer.status, answer.code) == (RevocationStatus.UNKNOWN, "ocsp.contradictory")
        assert told in answer.detail


def test_of_two_equal_entries_the_newer_counts() -> None:
    """A response may repeat itself; its age is that of the newer entry."""
    answer = read(Made((Entry(this_update=AT - 2 * HOUR), Entry(), Entry(this_update=AT - 3 * HOUR))))
    assert answer.this_update == AT - HOUR


def test_sha1_only_by_option() -> None:
    """A SHA-1 signature, of the response or of the delegate's certificate, is accepted where that was said."""
    authority = CertificateAuthority("Issuing", key=pooled_key("rsa-2048"), **LIFE)
    leaf = authority.issue_client("frodo", **LIFE)
    name, spki = authority.certificate.subject.public_bytes(), ParsedCertificate(authority.der).layout.spki
    response = Made((Entry(name=name, spki=spki, serial=leaf.certificate.serial_number),), signer=authority)
    weak = replace(response, digest=hashes.SHA1())  # noqa: S303 - what is refused
    assert read(weak, question(leaf, authority)).code == "ocsp.sha1"
    assert read(weak, question(leaf, authority, allow_sha1=True)).code == "ocsp.good"


def test_an_explicit_responder_signs_without_being_a_delegate() -> None:
    """A certificate that the rule names may sign, whoever issued it and whatever it is for; nobody else may then."""
    helper = STRANGER.issue_client("responder", **LIFE)
    named = question(responders=(ParsedCertificate(helper.der),))
    assert read(Made(signer=helper), named).code == "ocsp.good"
    assert read(by_delegate(helper), named).code == "ocsp.good"
    assert read(by_delegate(helper)).code == "ocsp.delegate-purpose"


def test_a_delegate_of_the_issuers_own_name_is_found() -> None:
    """A ResponderID by name may fit several certificates: the signature says which one it was."""
    helper = ROOT.issue_client(
        subject=ROOT.certificate.subject, eku=SIGNING, extensions=[x509.OCSPNoCheck()], **LIFE
    )  # fmt: skip
    assert read(by_delegate(helper)).code == "ocsp.good"


@pytest.mark.parametrize("length", [1, 32, 128])
def test_the_nonce_that_was_sent_comes_back(length: int) -> None:
    """A nonce of each length of RFC 9654; a response without one is accepted unless the rule requires it."""
    nonce = b"n" * length
    response = Made(extensions=(Extension(NONCE, der.octet_string(nonce)),))
    assert read(response, nonce=nonce).code == "ocsp.good"
    assert read(response, question(require_nonce=True), nonce=nonce).code == "ocsp.good"
    assert read(Made(), nonce=nonce).code == "ocsp.good"


def test_the_digest_that_was_asked_for() -> None:
    """A response to a request uses the digest of the request."""
    assert read(Made(), digest="sha1").code == "ocsp.good"
    assert read(Made().saying(digest="sha256"), digest="sha256").code == "ocsp.good"
    assert read(Made().saying(digest="sha256"), digest="sha1").code == "ocsp.cert-id-algorithm"


def test_responses_of_another_builder() -> None:
    """What `cryptography` builds is read as well as what is put together here."""
    built = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            FRODO.certificate, ROOT.certificate, hashes.SHA256(), ocsp.OCSPCertStatus.REVOKED, AT - HOUR, AT + HOUR,
            AT - HOUR, x509.ReasonFlags.superseded,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, ROOT.certificate)
        .sign(ROOT.key, hashes.SHA256())
    )  # fmt: skip
    answer = read(built.public_bytes(Encoding.DER))
    assert (answer.status, answer.reason) == (RevocationStatus.REVOKED, "superseded")

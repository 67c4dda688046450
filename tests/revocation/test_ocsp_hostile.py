"""Responses that answer nothing: each way of being wrong has its code, and not one of them reads as GOOD.

The attacks of one kind stand together. Every response is otherwise right, so that the one wrong part refuses it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Facts, RevocationStatus, Verdict, policies
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._evidence import Fact
from mtlspolicy._policy import decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, evidence
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension, HandMade, assemble, signature_algorithm
from mtlspolicy.testing._keys import pooled_key, sign_bytes
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
    SAM,
    SIGNING,
    STRANGER,
    UNKNOWN,
    Entry,
    Made,
    by_delegate,
    by_key,
    by_name,
    by_rsa,
    delegate,
    error,
    pss,
    pss_algorithm,
    question,
    read,
    revoked,
)

OTHER_KEY: Final = CertificateAuthority("Root", **LIFE)
"""The issuer's name with another key."""
TWIN: Final = CertificateAuthority("Twin", key=ROOT.key, **LIFE)
"""The issuer's key under another name."""
PLAIN: Final = Made().encoded()
RSA_1024: Final = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is refused
BEFORE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=9), "not_after": AT - HOUR}
AFTER: Final[dict[str, Any]] = {"not_before": AT + HOUR, "not_after": AT + timedelta(days=9)}
UNHEARD: Final = Extension("1.2.3.4", NULL, critical=True)
DOUBLED: Final = (Extension("1.2.3.4", NULL), Extension("1.2.3.4", NULL))
SPKI_OTHER: Final = ParsedCertificate(OTHER_KEY.der).layout.spki


def nonce(value: bytes) -> tuple[Extension, ...]:
    """Return the extensions of a response that repeats a nonce."""
    return (Extension(NONCE, der.octet_string(value)),)


def signed_elsewhere(**options: Any) -> bytes:
    """Return a response of a delegate whose certificate names our issuer, and bears another key's signature."""
    leaf = delegate(**options)
    forged = HandMade.of(leaf.certificate).signed_by(STRANGER.key)
    return Made(signer=leaf, certificates=(forged,)).encoded()


def remade(oid: x509.ObjectIdentifier, value: bytes, *, critical: bool = False) -> bytes:
    """Return a response of a delegate one of whose extensions has another value."""
    leaf = delegate()
    certificate = HandMade.of(leaf.certificate).setting(oid, value, critical=critical).signed_by(ROOT.key)
    return Made(signer=leaf, certificates=(certificate,)).encoded()


def weak_delegate(key: Any) -> bytes:
    """Return a response of a delegate with this key, whatever its strength."""
    leaf = delegate(key=key)
    return by_delegate(leaf, digest=hashes.SHA256()).encoded()


PSS: Final = "1.2.840.113549.1.1.10"
_SHA256, _MGF1 = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.8"


def pss_of(*parameters: bytes) -> bytes:
    """Return the AlgorithmIdentifier of RSASSA-PSS with these parameters."""
    return der.sequence(der.object_identifier(PSS), der.sequence(*parameters))


def _stated(name: str = _SHA256, mask: str = _SHA256) -> tuple[bytes, bytes]:
    digest, masked = (der.sequence(der.object_identifier(one), NULL) for one in (name, mask))
    return der.explicit(0, digest), der.explicit(1, der.sequence(der.object_identifier(_MGF1), masked))


BY_RSA: Final[dict[str, tuple[Made, str]]] = {
    "PSS with SHA-1 by default": (by_rsa(**pss("sha1", algorithm=pss_of())), "ocsp.signature-algorithm"),
    "PSS with SHA-1 stated, which DER leaves out": (by_rsa(**pss("sha1")), "ocsp.malformed"),
    "PSS with SHA-1 for the mask, stated": (by_rsa(**pss(mask="sha1")), "ocsp.malformed"),
    "PSS with SHA-1 for the message, stated": (by_rsa(**pss("sha1", mask="sha256")), "ocsp.malformed"),
    "PSS with another digest for the mask": (by_rsa(**pss(mask="sha384")), "ocsp.signature-algorithm"),
    "PSS with a salt of 20 bytes, stated": (by_rsa(**pss(salt=20)), "ocsp.malformed"),
    "PSS with SHA-1 for the mask": (
        by_rsa(**pss(mask="sha1", algorithm=pss_of(_stated()[0], der.explicit(2, der.integer(32))))),
        "ocsp.signature-algorithm",
    ),
    "PSS with SHA-1 for the message": (
        by_rsa(**pss("sha1", mask="sha256", algorithm=pss_of(_stated()[1]))), "ocsp.signature-algorithm",
    ),
    "PSS with a salt of 33 bytes": (by_rsa(**pss(salt=33)), "ocsp.signature-algorithm"),
    "PSS without salt": (by_rsa(**pss(salt=0)), "ocsp.signature-algorithm"),
    "PSS with a salt of 222 bytes": (by_rsa(**pss(salt=222)), "ocsp.signature-algorithm"),
    "PSS with the salt left out, which means 20": (
        by_rsa(**pss(salt=20, algorithm=pss_of(*_stated()))), "ocsp.signature-algorithm",
    ),
    "PSS that states the trailer, which DER leaves out": (
        by_rsa(**pss(algorithm=pss_of(*_stated(), der.explicit(2, der.integer(32)), der.explicit(3, der.integer(1))))),
        "ocsp.signature-algorithm",
    ),
    "PSS with another trailer": (
        by_rsa(**pss(algorithm=pss_of(*_stated(), der.explicit(2, der.integer(32)), der.explicit(3, der.integer(2))))),
        "ocsp.signature-algorithm",
    ),
    "PSS without parameters": (
        by_rsa(**pss(algorithm=der.sequence(der.object_identifier(PSS)))), "ocsp.signature-algorithm",
    ),
    "PSS with NULL for parameters": (
        by_rsa(**pss(algorithm=der.sequence(der.object_identifier(PSS), NULL))), "ocsp.malformed",
    ),
    "PSS with another salt than it says": (by_rsa(**pss(salt=20, algorithm=pss_algorithm())), "ocsp.signature"),
    "PSS with another mask than it says": (by_rsa(**pss(mask="sha384", algorithm=pss_algorithm())), "ocsp.signature"),
    "PSS with another digest than it says": (by_rsa(**pss("sha384", algorithm=pss_algorithm())), "ocsp.signature"),
    "PSS under the name of PKCS #1": (by_rsa(**pss(algorithm=None)), "ocsp.signature"),
    "PKCS #1 under the name of PSS": (by_rsa(algorithm=pss_algorithm()), "ocsp.signature"),
    "PSS with one bit changed": (by_rsa(**pss(), spoilt=True), "ocsp.signature"),
    "RSA under the name of ECDSA": (
        by_rsa(algorithm=der.sequence(der.object_identifier("1.2.840.10045.4.3.2"))), "ocsp.signature",
    ),
    "RSA with parameters that are not NULL": (
        by_rsa(algorithm=der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), der.octet_string(b""))),
        "ocsp.malformed",
    ),
    "RSA with SHA-1": (by_rsa(digest=hashes.SHA1()), "ocsp.sha1"),  # noqa: S303 - what is refused
}  # fmt: skip
"""Responses about bilbo, whose issuer has an RSA key."""


def of_two_minds() -> bytes:
    """Return a response of a delegate whose certificate is signed under another algorithm than it says within."""
    leaf = delegate()
    hand = HandMade.of(leaf.certificate)
    tbs = hand.to_be_signed(der.sequence(der.object_identifier("1.2.840.10045.4.3.3")))
    signature = sign_bytes(ROOT.key, tbs, hashes.SHA256())
    certificate = assemble(tbs, signature_algorithm(ROOT.key, hashes.SHA256()), signature)
    return Made(signer=leaf, certificates=(certificate,)).encoded()


def by_a_delegate_of_a_delegate() -> bytes:
    """Return a response signed by a responder that another delegate has certified, both of them carried along."""
    first, second = delegate(), delegate(eku=SIGNING)
    hand = HandMade.of(second.certificate)
    certified = replace(hand, issuer=first.certificate.subject.public_bytes()).signed_by(first.key)
    return Made(signer=second, certificates=(certified, first.der)).encoded()


HOSTILE: Final[dict[str, tuple[Made | bytes, str]]] = {
    # bytes
    "nothing": (b"", "ocsp.malformed"),
    "text": (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "ocsp.malformed"),
    "a certificate": (ROOT.der, "ocsp.malformed"),
    "cut short": (PLAIN[:-1], "ocsp.malformed"),
    "something behind it": (PLAIN + b"\x00", "ocsp.malformed"),
    "something behind the basic response": (Made(after=b"\x05\x00"), "ocsp.malformed"),
    "successful without a body": (error(0), "ocsp.malformed"),
    "a status that is not defined": (error(4), "ocsp.malformed"),
    "another type of response": (Made(kind="1.2.3.4"), "ocsp.malformed"),
    "an explicit version 1, which DER leaves out": (Made(version=der.explicit(0, der.integer(0))), "ocsp.malformed"),
    "version 2": (Made(version=der.explicit(0, der.integer(1))), "ocsp.malformed"),
    "no entry": (Made(entries=()), "ocsp.other-certificate"),
    "longer than the limit": (Made(extensions=(Extension("1.2.3.4", bytes(65_536)),)), "ocsp.too-large"),
    "an extension twice": (Made(extensions=DOUBLED), "ocsp.malformed"),
    "an entry's extension twice": (Made().saying(extensions=DOUBLED), "ocsp.malformed"),
    "more extensions than a certificate may have": (
        Made(extensions=tuple(Extension(f"1.2.3.{number}", NULL) for number in range(65))),
        "ocsp.malformed",
    ),
    "a status of an entry that is not defined": (Made().saying(status=der.implicit(3, b"")), "ocsp.malformed"),
    # errors of the responder
    "malformedRequest": (error(1), "ocsp.malformed-request"),
    "internalError": (error(2), "ocsp.internal-error"),
    "tryLater": (error(3), "ocsp.try-later"),
    "sigRequired": (error(5), "ocsp.signature-required"),
    "unauthorized": (error(6), "ocsp.unauthorized"),
    "an error with a body that says good": (Made(status=3), "ocsp.try-later"),
    # another certificate
    "another issuer's name": (
        Made().saying(name=STRANGER.certificate.subject.public_bytes()), "ocsp.other-certificate",
    ),
    "another issuer's key": (Made().saying(spki=SPKI_OTHER), "ocsp.other-certificate"),
    "another serial number": (Made().saying(serial=SAM.certificate.serial_number), "ocsp.other-certificate"),
    "the negative of the serial number": (
        Made().saying(serial=-FRODO.certificate.serial_number), "ocsp.other-certificate",
    ),
    "a digest that nobody asks for": (Made().saying(digest="sha512"), "ocsp.cert-id-algorithm"),
    "another digest that nobody asks for": (Made().saying(digest="sha224"), "ocsp.cert-id-algorithm"),
    "MD5": (Made().saying(digest="md5"), "ocsp.cert-id-algorithm"),
    "a digest that is not known": (Made().saying(digest="unheard-of"), "ocsp.cert-id-algorithm"),
    "a digest that is not known beside a good one": (
        Made((Entry(), Entry(digest="unheard-of", status=revoked()))), "ocsp.cert-id-algorithm",
    ),
    # contradictions
    "good and revoked": (Made((Entry(), Entry(status=revoked()))), "ocsp.contradictory"),
    "revoked and good": (Made((Entry(status=revoked()), Entry())), "ocsp.contradictory"),
    "good and unknown": (Made((Entry(), Entry(status=UNKNOWN))), "ocsp.contradictory"),
    "good by SHA-1 and revoked by SHA-256": (
        Made((Entry(), Entry(digest="sha256", status=revoked()))), "ocsp.contradictory",
    ),
    "good by SHA-256 and revoked by SHA-384": (
        Made((Entry(digest="sha256"), Entry(digest="sha384", status=revoked()))), "ocsp.contradictory",
    ),
    # signatures
    "a signature with one bit changed": (Made(spoilt=True), "ocsp.signature"),
    "a delegate's signature with one bit changed": (by_delegate(delegate(), spoilt=True), "ocsp.signature"),
    "signed by another key in the issuer's name": (Made(key=OTHER_KEY.key), "ocsp.signature"),
    "signed by another key, of another kind": (Made(key=pooled_key("rsa-2048")), "ocsp.signature"),
    "signed by another key, Ed25519": (Made(key=pooled_key("ed25519")), "ocsp.signature"),
    "an algorithm that is not that of the key": (
        Made(algorithm=der.sequence(der.object_identifier("1.3.101.112"))), "ocsp.signature",
    ),
    "an algorithm that is not known": (
        Made(algorithm=der.sequence(der.object_identifier("1.2.3.4"))), "ocsp.signature-algorithm",
    ),
    "DSA": (Made(algorithm=der.sequence(der.object_identifier("1.2.840.10040.4.3"))), "ocsp.signature-algorithm"),
    "SHA-224": (
        Made(algorithm=der.sequence(der.object_identifier("1.2.840.10045.4.3.1"))), "ocsp.signature-algorithm",
    ),
    "MD5 with RSA": (
        Made(algorithm=der.sequence(der.object_identifier("1.2.840.113549.1.1.4"), NULL)), "ocsp.signature-algorithm",
    ),
    "SHA-1": (Made(digest=hashes.SHA1()), "ocsp.sha1"),  # noqa: S303 - what is refused
    "ECDSA with parameters": (
        Made(algorithm=der.sequence(der.object_identifier("1.2.840.10045.4.3.2"), NULL)), "ocsp.malformed",
    ),
    "ECDSA under the name of RSA": (
        Made(algorithm=der.sequence(der.object_identifier("1.2.840.113549.1.1.11"), NULL)), "ocsp.signature",
    ),
    "ECDSA under the name of PSS": (Made(algorithm=pss_algorithm()), "ocsp.signature"),
    "ECDSA with another digest than it says": (
        Made(algorithm=der.sequence(der.object_identifier("1.2.840.10045.4.3.3"))), "ocsp.signature",
    ),
    "an algorithm without an object identifier": (Made(algorithm=der.sequence(NULL)), "ocsp.malformed"),
    # responders
    "the ResponderID of another": (Made(responder=by_name(STRANGER.certificate)), "ocsp.responder-unknown"),
    "the key of another": (Made(responder=by_key(ParsedCertificate(OTHER_KEY.der))), "ocsp.responder-unknown"),
    "a key's digest that is too short": (
        Made(responder=der.explicit(2, der.octet_string(b"k"))), "ocsp.responder-unknown",
    ),
    "a delegate whose certificate is missing": (Made(signer=delegate()), "ocsp.responder-unknown"),
    "another CA": (Made(signer=STRANGER, certificates=(STRANGER.der,)), "ocsp.delegate-purpose"),
    "another CA of the issuer's name": (Made(signer=OTHER_KEY, certificates=(OTHER_KEY.der,)), "ocsp.signature"),
    "a CA of the issuer's name by its key": (
        Made(signer=OTHER_KEY, certificates=(OTHER_KEY.der,), responder=by_key(ParsedCertificate(OTHER_KEY.der))),
        "ocsp.delegate-purpose",
    ),
    "a sibling": (by_delegate(SAM), "ocsp.delegate-purpose"),
    "the certificate itself": (by_delegate(FRODO), "ocsp.delegate-is-subject"),
    "a delegate for any purpose": (
        by_delegate(delegate(eku=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))), "ocsp.delegate-purpose",
    ),
    "a delegate for no purpose": (by_delegate(delegate(eku=None)), "ocsp.delegate-purpose"),
    "a delegate of another CA": (by_delegate(delegate(STRANGER)), "ocsp.delegate-issuer"),
    "a delegate of another CA of that name": (by_delegate(delegate(OTHER_KEY)), "ocsp.delegate-issuer"),
    "a delegate of another name with that key": (by_delegate(delegate(TWIN)), "ocsp.delegate-issuer"),
    "a delegate below another CA of the issuer's": (
        by_delegate(delegate(ROOT.intermediate("Responders", **LIFE))), "ocsp.delegate-issuer",
    ),
    "a delegate that the issuer did not sign": (signed_elsewhere(), "ocsp.delegate-issuer"),
    "a delegate signed under two algorithms": (of_two_minds(), "ocsp.delegate-issuer"),
    "a delegate that is over": (by_delegate(delegate(**BEFORE)), "ocsp.responder-validity"),
    "a delegate to come": (by_delegate(delegate(**AFTER)), "ocsp.responder-validity"),
    "a delegate that may not sign": (
        remade(x509.KeyUsage.oid, b"\x03\x02\x05\x20", critical=True), "ocsp.delegate-key-usage",
    ),
    "a delegate of a delegate": (by_a_delegate_of_a_delegate(), "ocsp.delegate-issuer"),
    "a delegate with a critical extension": (
        remade(x509.ObjectIdentifier("1.2.3.4"), NULL, critical=True), "ocsp.delegate-critical-extension",
    ),
    "a delegate with RSA 1024": (weak_delegate(RSA_1024), "ocsp.responder-weak-key"),
    "a delegate on another curve": (weak_delegate(ec.generate_private_key(ec.SECP256K1())), "ocsp.responder-weak-key"),
    "a delegate whose certificate cannot be read": (
        Made(signer=delegate(), certificates=(b"\x30\x00",)), "ocsp.malformed",
    ),
    "nine certificates": (Made(certificates=(ROOT.der,) * 9, spoilt=True), "ocsp.too-large"),
    # extensions
    "a critical extension": (Made(extensions=(UNHEARD,)), "ocsp.critical-extension"),
    "a critical extension of the entry": (Made().saying(extensions=(UNHEARD,)), "ocsp.critical-extension"),
    "a critical extension of one entry of two": (
        Made((Entry(serial=7), Entry(extensions=(UNHEARD,)))), "ocsp.critical-extension",
    ),
    "a critical extension of a revoked entry": (
        Made().saying(status=revoked(), extensions=(UNHEARD,)), "ocsp.critical-extension",
    ),
    "a nonce that is an entry's": (
        Made().saying(extensions=(Extension(NONCE, der.octet_string(b"n"), critical=True),)), "ocsp.critical-extension",
    ),
    "a nonce of no bytes": (Made(extensions=nonce(b"")), "ocsp.nonce-length"),
    "a nonce of 129 bytes": (Made(extensions=nonce(bytes(129))), "ocsp.nonce-length"),
    "a nonce that is no octet string": (Made(extensions=(Extension(NONCE, NULL),)), "ocsp.malformed"),
    # dates
    "thisUpdate to come": (Made(produced_at=AT).saying(this_update=AT + HOUR), "ocsp.not-yet-valid"),
    "thisUpdate a second beyond the skew": (
        Made().saying(this_update=AT + timedelta(seconds=301)), "ocsp.not-yet-valid",
    ),
    "producedAt to come": (Made(produced_at=AT + HOUR), "ocsp.produced-in-future"),
    "nextUpdate over": (Made().saying(next_update=AT - HOUR / 2), "ocsp.expired"),
    "nextUpdate over by a second beyond the skew": (
        Made().saying(next_update=AT - timedelta(seconds=301)), "ocsp.expired",
    ),
    "nextUpdate before thisUpdate": (Made().saying(next_update=AT - 2 * HOUR), "ocsp.dates"),
    "thisUpdate after producedAt": (Made(produced_at=AT - 3 * HOUR), "ocsp.dates"),
    "older than a day": (
        Made(produced_at=AT - 25 * HOUR).saying(this_update=AT - 25 * HOUR), "ocsp.too-old",
    ),
    "older than a day without nextUpdate": (
        Made(produced_at=AT - 25 * HOUR).saying(this_update=AT - 25 * HOUR, next_update=None), "ocsp.too-old",
    ),
    "good until the end of time": (
        Made(produced_at=AT - 25 * HOUR).saying(this_update=AT - 25 * HOUR, next_update=AT.replace(year=9999)),
        "ocsp.too-old",
    ),
    "unknown, and over": (Made().saying(status=UNKNOWN, next_update=AT - HOUR / 2), "ocsp.expired"),
}  # fmt: skip


def test_the_suite_is_large_enough() -> None:
    """At least sixty ways of being wrong."""
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", [*HOSTILE, *BY_RSA])
def test_no_hostile_response_reads_as_good(name: str) -> None:
    """Each has its own code, is no GOOD, and lets no rule admit but a soft one where there is no answer at all."""
    leaf, (response, code) = (BILBO, BY_RSA[name]) if name in BY_RSA else (FRODO, HOSTILE[name])
    answer = read(response, question(leaf, RSA if name in BY_RSA else ROOT))
    assert answer.code == code, answer.detail
    contradictory = code == "ocsp.contradictory"
    assert answer.status is (RevocationStatus.UNKNOWN if contradictory else RevocationStatus.UNAVAILABLE)
    assert answer.detail
    subject = evidence(certificate=leaf, at=AT)
    for soft in (False, True):
        policy = policies.NotRevoked(soft=soft)
        (need,) = policy.requires(subject.path)
        with_answer = evidence(certificate=leaf, at=AT, facts=Facts({need: Fact(answer)}))
        decision = decide(policy, with_answer)
        assert decision.verdict is (Verdict.PERMIT if soft and not contradictory else Verdict.INDETERMINATE)
        assert decision.code == ("ocsp.contradictory" if contradictory else "ocsp.soft" if soft else "ocsp.unavailable")


def test_every_byte_of_a_response_counts() -> None:
    """A good response with one bit changed is no answer, or, where nothing that is signed changed, the same answer."""
    known = read(PLAIN)
    for place in range(len(PLAIN)):
        for bit in (0x01, 0x80):
            changed = PLAIN[:place] + bytes((PLAIN[place] ^ bit,)) + PLAIN[place + 1 :]
            answer = read(changed)
            assert answer == known or answer.status is RevocationStatus.UNAVAILABLE, (place, bit)


@given(st.binary(max_size=400))
def test_any_bytes_give_an_answer_that_is_none(data: bytes) -> None:
    """Any bytes give a value or one of our errors, nothing else."""
    assert read(data).status is RevocationStatus.UNAVAILABLE


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 40), st.binary(max_size=40))
def test_any_splice_gives_an_answer_or_none(place: int, length: int, data: bytes) -> None:
    """A good response with any part replaced by any bytes is what it was, or no answer."""
    spliced = PLAIN[:place] + data + PLAIN[place + length :]
    answer = read(spliced)
    assert answer == read(PLAIN) or answer.status is RevocationStatus.UNAVAILABLE


@pytest.mark.parametrize("part", ["issuer name", "issuer key", "serial number", "digest"])
def test_the_cert_id_is_equal_in_every_part(part: str) -> None:
    """THREATS 5, a response for another certificate: each part of the CertID alone refuses, and is named."""
    parts: dict[str, dict[str, Any]] = {
        "issuer name": {"name": STRANGER.certificate.subject.public_bytes()},
        "issuer key": {"spki": SPKI_OTHER},
        "serial number": {"serial": 7},
        "digest": {"digest": "sha256"},
    }
    answer = read(Made().saying(**parts[part]), digest="sha1")
    assert answer.status is RevocationStatus.UNAVAILABLE
    assert part in answer.detail or answer.code == "ocsp.cert-id-algorithm"


def test_one_certificate_has_one_answer_whatever_the_digest() -> None:
    """THREATS 5, the CertID's digest splits no answer: the question is the same for SHA-1 and SHA-256."""
    for status in (GOOD, revoked()):
        answers = {read(Made().saying(status=status, digest=digest)) for digest in ("sha1", "sha256")}
        assert len(answers) == 1


@pytest.mark.parametrize(
    ("rule", "sent", "found", "code"),
    [
        ({}, b"sent", b"other", "ocsp.nonce-differs"),
        ({}, b"sent", b"sent ", "ocsp.nonce-differs"),
        ({"require_nonce": True}, b"sent", None, "ocsp.nonce-missing"),
        ({"require_nonce": True}, None, None, "ocsp.nonce-missing"),
        ({"require_nonce": True}, None, b"stale", "ocsp.nonce-missing"),
    ],
)
def test_nonces_that_are_refused(rule: dict[str, Any], sent: bytes | None, found: bytes | None, code: str) -> None:
    """A replay shows where a nonce was sent or required."""
    response = Made(extensions=() if found is None else nonce(found))
    assert read(response, question(**rule), nonce=sent).code == code


def test_a_delegate_signed_with_sha1() -> None:
    """A delegate's certificate over SHA-1 is refused even where the response is signed better."""
    authority = CertificateAuthority("Issuing", key=pooled_key("rsa-2048"), **LIFE)
    leaf = authority.issue_client("frodo", **LIFE)
    helper = delegate(authority)
    weak = HandMade.of(helper.certificate).signed_by(authority.key, digest=hashes.SHA1())  # noqa: S303 - what is refused
    entry = Entry(
        name=authority.certificate.subject.public_bytes(),
        spki=ParsedCertificate(authority.der).layout.spki,
        serial=leaf.certificate.serial_number,
    )
    response = Made((entry,), signer=helper, certificates=(weak,))
    assert read(response, question(leaf, authority)).code == "ocsp.sha1"
    assert read(response, question(leaf, authority, allow_sha1=True)).code == "ocsp.good"


def test_an_explicit_responder_that_is_over() -> None:
    """A certificate that the rule names is believed while it is valid."""
    helper = STRANGER.issue_client("responder", **BEFORE)
    named = question(responders=(ParsedCertificate(helper.der),))
    assert read(Made(signer=helper), named).code == "ocsp.responder-validity"


def test_what_a_delegates_certificate_must_say() -> None:
    """A delegate whose purposes cannot be read is none; nonRepudiation alone allows signatures as well."""
    assert read(remade(x509.ExtendedKeyUsage.oid, NULL)).code == "ocsp.malformed"
    assert read(remade(x509.KeyUsage.oid, b"\x03\x02\x06\x40", critical=True)).code == "ocsp.good"


def test_the_first_problem_is_told() -> None:
    """Where several certificates fit the ResponderID and none may sign, the first is what is told."""
    twins = [delegate(eku=None), delegate(STRANGER)]
    response = Made(signer=twins[0], certificates=tuple(one.der for one in twins))
    assert read(response).code == "ocsp.delegate-purpose"
    assert read(replace(response, certificates=response.certificates[::-1])).code == "ocsp.delegate-issuer"
    assert read(replace(response, signer=STRANGER, responder=by_name(twins[0].certificate))).code == (
        "ocsp.delegate-purpose"
    )


def test_an_answer_under_one_rule_serves_no_other() -> None:
    """RULES 50: the rule is part of the question, so that equal certificates under two rules are two questions."""
    lax, strict = question(allow_sha1=True), question()
    assert lax != strict
    assert lax.need != strict.need
    assert hash(question()) == hash(strict)
    assert question() == strict


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"at": AT.replace(tzinfo=None)}, "naive"),
        ({"digest": "sha512"}, "sha1 or sha256"),
        ({"nonce": b""}, "from 1 to 128 bytes"),
        ({"nonce": bytes(129)}, "from 1 to 128 bytes"),
    ],
)
def test_the_callers_own_mistakes(options: dict[str, Any], told: str) -> None:
    """What the caller gets wrong is an error of the caller's, and no answer."""
    with pytest.raises(ConfigurationError, match=told):
        read(PLAIN, **options)

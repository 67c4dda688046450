"""The usual response, compared byte by byte: it is recognised, and never read otherwise than every other response."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer
from mtlspolicy.revocation import _ocsp_response, read_ocsp
from mtlspolicy.revocation._ocsp_usual import _bits, _head, _opening, usual_good
from mtlspolicy.testing import CertificateAuthority, pooled_key
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import Extension
from tests.revocation.made import AT, BILBO, FRODO, HOUR, LIFE, NULL, ROOT, RSA, Made, about, by_key, question, revoked
from tests.revocation.test_ocsp_accepted import ACCEPTED
from tests.revocation.test_ocsp_hostile import BY_RSA, HOSTILE

PLAIN: Final = Made().encoded()
ASKED: Final = question()


def otherwise(data: bytes, asked: OCSPQuestion, **options: Any) -> RevocationAnswer:
    """Return what *data* says to the reader of all responses alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ocsp_response, "usual_good", lambda *_: None)
        return read_ocsp(data, asked, at=AT, **options)


def both_ways(data: bytes, asked: OCSPQuestion = ASKED, **options: Any) -> RevocationAnswer:
    """Return what *data* says, which is the same both ways."""
    answer = read_ocsp(data, asked, at=AT, **options)
    assert answer == otherwise(data, asked, **options)
    return answer


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "rsa-2048", "rsa-3072", "ed25519", "ed448"])
def test_the_usual_forms_are_recognised(kind: str) -> None:
    """By name and by key, by either digest, with each kind of key and serial numbers of each length."""
    issuer = CertificateAuthority("Issuing", key=pooled_key(kind), **LIFE)
    for serial in (1, 0x7F, 0x80, 2**64 + 5, 2**158):
        leaf = issuer.issue_client("frodo", serial=serial, **LIFE)
        asked = question(leaf, issuer)
        for digest in ("sha1", "sha256"):
            made = Made((about(leaf, issuer, digest=digest),), signer=issuer)
            for response in (made, replace(made, responder=by_key(ParsedCertificate(issuer.der)))):
                data = response.encoded()
                good = usual_good(data, asked, digest)
                assert good is not None
                assert (good.this_update, good.next_update, good.produced_at) == (AT - HOUR, AT + HOUR, AT - HOUR)
                assert usual_good(data, asked, None) == good
                assert both_ways(data, asked).code == "ocsp.good"
                other = "sha256" if digest == "sha1" else "sha1"
                assert usual_good(data, asked, other) is None
                assert both_ways(data, asked, digest=other).code == "ocsp.cert-id-algorithm"


@pytest.mark.parametrize(
    "response",
    [
        Made().saying(status=revoked()),
        Made().saying(next_update=None),
        Made().saying(serial=7),
        Made(extensions=(Extension("1.2.3.4", NULL),)),
        Made(certificates=(ROOT.der,)),
        Made(spoilt=True),
        Made((about(FRODO, ROOT), about(FRODO, ROOT))),
        Made(algorithm=der.sequence(der.object_identifier("1.2.3.4"))),
    ],
)
def test_whatever_differs_is_not_recognised(response: Made) -> None:
    """Another status, no nextUpdate, anything more, another signature: for the reader of all responses."""
    assert usual_good(response.encoded(), ASKED, None) is None
    both_ways(response.encoded())


@pytest.mark.parametrize("moment", ["20261301120000Z", "20260101240000Z", "20260101120060Z", "2026010112000aZ"])
def test_no_other_time_is_recognised(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A month 13, an hour 24, a second 60, a letter: none is a time here, whatever the version of Python."""
    monkeypatch.setattr("tests.revocation.made.generalized", lambda _: der.tlv(der.GENERALIZED_TIME, moment.encode()))
    data = Made().encoded()
    assert usual_good(data, ASKED, None) is None
    assert both_ways(data).status is RevocationStatus.UNAVAILABLE


def test_sha1_is_left_to_the_rule() -> None:
    """A signature with SHA-1 is not of the usual form, so that the rule is asked."""
    made, code = BY_RSA["RSA with SHA-1"]
    data = made.encoded()
    assert usual_good(data, question(BILBO, RSA), None) is None
    assert both_ways(data, question(BILBO, RSA)).code == code
    assert both_ways(data, question(BILBO, RSA, allow_sha1=True)).code == "ocsp.good"


def test_dates_and_nonces_are_judged_all_the_same() -> None:
    """The usual form excuses from no rule: ages, clock skew, and the nonce that a rule requires."""
    for made, code in (
        (Made().saying(this_update=AT - timedelta(days=3)), "ocsp.too-old"),
        (Made().saying(next_update=AT - HOUR / 2), "ocsp.expired"),
        (Made(produced_at=AT + HOUR), "ocsp.produced-in-future"),
    ):
        assert usual_good(made.encoded(), ASKED, None) is not None
        assert both_ways(made.encoded()).code == code
    strict = question(require_nonce=True)
    assert both_ways(PLAIN, strict, nonce=b"sent").code == "ocsp.nonce-missing"
    assert both_ways(PLAIN, nonce=b"sent").code == "ocsp.good"


@pytest.mark.parametrize("name", [*HOSTILE, *BY_RSA, *ACCEPTED])
def test_every_response_is_read_alike(name: str) -> None:
    """Each response of the suites, hostile or not, says the same with and without the short way."""
    made = BY_RSA[name][0] if name in BY_RSA else HOSTILE[name][0] if name in HOSTILE else ACCEPTED[name]
    asked = question(BILBO, RSA) if name in BY_RSA else ASKED
    data = made.encoded() if isinstance(made, Made) else made
    both_ways(data, asked)


def test_every_byte_is_read_alike() -> None:
    """The usual response with any one bit changed says the same both ways."""
    for place in range(len(PLAIN)):
        for bit in (0x01, 0x20, 0x80):
            both_ways(PLAIN[:place] + bytes((PLAIN[place] ^ bit,)) + PLAIN[place + 1 :])


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 40), st.binary(max_size=40))
def test_any_splice_is_read_alike(place: int, length: int, data: bytes) -> None:
    """Any bytes give a value or one of our errors, nothing else, and the same value both ways."""
    both_ways(PLAIN[:place] + data + PLAIN[place + length :])


def test_sizes_that_der_does_not_have() -> None:
    """No element takes 130 or 259 bytes in all; nothing begins where none fits."""
    assert [size for size in range(2, 300) if not _opening(0x30, size)] == [130, 259]
    assert _opening(0x30, 1) == _bits(130) == _head(0) == _head(20) == b""
    assert (_bits(129), _bits(131)) == (b"\x03\x7f\x00", b"\x03\x81\x80\x00")
    assert _opening(0x30, 2**16 + 5) == b""

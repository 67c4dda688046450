"""The test authority's responder: what it says by itself and when told to, over real HTTP; and it leaves nothing."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mtlspolicy import RevocationStatus
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._peer import now
from mtlspolicy._revocation_pointers import crl_urls, ocsp_urls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import RevocationAnswer, ocsp_question, ocsp_request, read_ocsp
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder, pooled_key

PATIENCE: Final = 20.0
NO_CHECK: Final = "1.3.6.1.5.5.7.48.1.5"
NONCE: Final = bytes(range(32))
STATUS = RevocationStatus


@pytest.fixture
def ca() -> CertificateAuthority:
    """Return an authority of the test's own."""
    return CertificateAuthority("Root")


@pytest.fixture
def responder(ca: CertificateAuthority) -> Generator[OCSPResponder, None, None]:
    """Return its responder, running."""
    with ca.ocsp_responder() as running:
        yield running


def send(url: str, body: bytes | None = None, *, method: str = "") -> tuple[int, bytes]:
    """Return status and body of the answer to one request."""
    place = urlsplit(url)
    with closing(http.client.HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE)) as connection:
        connection.request(method or ("GET" if body is None else "POST"), place.path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def ask(
    responder: OCSPResponder, ca: CertificateAuthority, leaf: Any, *, digest: str = "sha1", nonce: bytes | None = None
) -> RevocationAnswer:
    """Return what the responder says of *leaf*, by POST."""
    asked = ocsp_question(getattr(leaf, "certificate", leaf), ca.certificate)
    status, body = send(responder.url, ocsp_request(asked, digest=digest, nonce=nonce))
    assert status == 200
    return read_ocsp(body, asked, at=now(), nonce=nonce, digest=digest)


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("kind", ["ec-p256", "rsa-2048", "ed25519"])
def test_it_says_what_the_authority_knows(kind: str, digest: str) -> None:
    """Good of what was issued, revoked with time and reason, unknown of a serial number that it never gave."""
    ca = CertificateAuthority("Root", key=pooled_key(kind))
    frodo, gollum, plain = (ca.issue_client(name) for name in ("frodo", "gollum", "plain"))
    forged = CertificateAuthority("Root", key=ca.key).issue_client("frodo")
    at = now().replace(microsecond=0)
    ca.revoke(gollum, reason=x509.ReasonFlags.key_compromise, at=at)
    ca.revoke(plain)
    with ca.ocsp_responder() as responder:
        assert ask(responder, ca, frodo, digest=digest).code == "ocsp.good"
        told = ask(responder, ca, gollum, digest=digest)
        assert (told.status, told.reason, told.revoked_at) == (STATUS.REVOKED, "keyCompromise", at)
        assert ask(responder, ca, plain, digest=digest).reason is None
        assert ask(responder, ca, forged, digest=digest).code == "ocsp.unknown"
        ca.revoke(frodo)
        assert ask(responder, ca, frodo, digest=digest).code == "ocsp.revoked"
        assert responder.requests == 5


def test_it_answers_for_its_own_authority_alone(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """A certificate of another issuer, be it of the same name, is none of its business."""
    other = CertificateAuthority("Root")
    assert ask(responder, other, other.issue_client("frodo")).code == "ocsp.unauthorized"
    below = ca.intermediate("Issuing")
    assert ask(responder, ca, below).code == "ocsp.good"
    assert ask(responder, below, below.issue_client("frodo")).code == "ocsp.unauthorized"


def test_by_get_as_well(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """GET with the request in base64, its slashes, plus signs and equals signs escaped or not."""
    leaf = ca.issue_client("frodo")
    asked = ocsp_question(leaf.certificate, ca.certificate)
    for number in range(8):
        encoded = base64.b64encode(ocsp_request(asked, nonce=bytes([number] * 33))).decode()
        for text in (encoded, quote(encoded, safe="")):
            status, body = send(f"{responder.url}/{text}")
            assert (status, read_ocsp(body, asked, at=now()).code) == (200, "ocsp.good")
    assert responder.requests == 16


def test_nonces(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """A nonce comes back, is left out, or is another one."""
    leaf = ca.issue_client("frodo")
    asked = ocsp_question(leaf.certificate, ca.certificate)
    found = []
    for kind in ("repeated", "none", "another"):
        responder.answer(nonce=kind)
        response = ocsp.load_der_ocsp_response(send(responder.url, ocsp_request(asked, nonce=NONCE))[1])
        found.append([one.value.nonce for one in response.extensions if isinstance(one.value, x509.OCSPNonce)])
    assert found == [[NONCE], [], [b"another nonce"]]
    assert ask(responder, ca, leaf, nonce=NONCE).code == "ocsp.nonce-differs"
    responder.answer()
    assert ask(responder, ca, leaf, nonce=NONCE).code == "ocsp.good"
    assert ask(responder, ca, leaf).code == "ocsp.good"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"status": "good"}, "ocsp.good"),
        ({"status": "revoked"}, "ocsp.revoked"),
        ({"status": "unknown"}, "ocsp.unknown"),
        ({"status": "malformed-request"}, "ocsp.malformed-request"),
        ({"status": "internal-error"}, "ocsp.internal-error"),
        ({"status": "try-later"}, "ocsp.try-later"),
        ({"status": "signature-required"}, "ocsp.signature-required"),
        ({"status": "unauthorized"}, "ocsp.unauthorized"),
        ({"dates": "expired"}, "ocsp.expired"),
        ({"dates": "not-yet-valid"}, "ocsp.not-yet-valid"),
        ({"dates": "old"}, "ocsp.too-old"),
        ({"dates": "no-next-update"}, "ocsp.good"),
        ({"about": "another"}, "ocsp.other-certificate"),
        ({"signer": "stranger"}, "ocsp.signature"),
        ({"signer": "delegate"}, "ocsp.good"),
        ({"signer": "delegate-without-nocheck"}, "ocsp.delegate-revocation"),
        ({"signer": "delegate-with-ocsp"}, "ocsp.delegate-revocation"),
        ({"signer": "delegate-with-crl"}, "ocsp.delegate-revocation"),
        ({"signer": "delegate-without-purpose"}, "ocsp.delegate-purpose"),
        ({"signer": "delegate-expired"}, "ocsp.responder-validity"),
        ({"signer": "delegate-of-another"}, "ocsp.delegate-issuer"),
        ({"signer": "delegate", "status": "revoked"}, "ocsp.revoked"),
        ({"body": b""}, "ocsp.malformed"),
        ({"body": b"garbage"}, "ocsp.malformed"),
        ({"delay": 0.01, "pause": 0.00001}, "ocsp.good"),
    ],
)
def test_it_says_what_it_is_told_to(
    options: dict[str, Any], code: str, ca: CertificateAuthority, responder: OCSPResponder
) -> None:
    """Each wrong answer is refused for what is wrong with it; about one certificate, or about all the others."""
    frodo, sam = ca.issue_client("frodo"), ca.issue_client("sam")
    responder.answer(frodo, **options)
    assert ask(responder, ca, frodo).code == code
    assert ask(responder, ca, sam).code == "ocsp.good"
    responder.answer(frodo.certificate)
    responder.answer(**options)
    assert ask(responder, ca, frodo).code == "ocsp.good"
    assert ask(responder, ca, sam).code == code


def test_a_revocation_that_it_is_told_to_deny(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """An order stands above what the authority knows, so that a test can play an old answer."""
    leaf = ca.issue_client("frodo")
    ca.revoke(leaf)
    responder.answer(leaf, status="good")
    assert ask(responder, ca, leaf).code == "ocsp.good"


def test_http_errors(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """An error of HTTP, with or without a response in it; 404 at other places."""
    request = ocsp_request(ocsp_question(ca.issue_client("frodo").certificate, ca.certificate))
    responder.answer(http_status=503, body=b"busy")
    assert send(responder.url, request) == (503, b"busy")
    for url in (f"{responder.url}/../secret", responder.url.removesuffix("/ocsp")):
        assert send(url)[0] == (503 if "secret" in url else 404)
        assert send(url, request)[0] == 404


@pytest.mark.parametrize("request_", [b"", b"garbage", b"\x30\x00"])
def test_what_is_no_request(request_: bytes, responder: OCSPResponder) -> None:
    """Bytes that are no request, by POST and GET, are answered malformedRequest, or as all are."""
    for answer in (
        send(responder.url, request_),
        send(f"{responder.url}/{base64.b64encode(request_).decode()}"),
        send(f"{responder.url}/%ff"),
        send(responder.url, method="POST"),
    ):
        assert answer[0] == 200
        assert ocsp.load_der_ocsp_response(answer[1]).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST
    responder.answer(body=b"")
    assert send(responder.url, request_) == (200, b"")


def test_an_unknown_digest_of_a_cert_id(responder: OCSPResponder) -> None:
    """A CertID whose digest it does not know is answered with an error."""
    built = ocsp.OCSPRequestBuilder().add_certificate_by_hash(bytes(28), bytes(28), 7, hashes.SHA224()).build()
    known = ask_raw(responder, built.public_bytes(Encoding.DER))
    assert known.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
    sha224 = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x04"
    unheard = built.public_bytes(Encoding.DER).replace(sha224, b"\x06\x09" + b"\x2a" * 9)
    assert ask_raw(responder, unheard).response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def ask_raw(responder: OCSPResponder, request: bytes) -> ocsp.OCSPResponse:
    """Return the response to these bytes."""
    return ocsp.load_der_ocsp_response(send(responder.url, request)[1])


def test_certificates_say_where_it_is(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """`ocsp_url=` and `crl_url=` write the addresses into certificates of leaves and authorities; absent otherwise."""
    options: dict[str, Any] = {"ocsp_url": responder.url, "crl_url": responder.crl_url}
    for certificate in (
        ca.issue_client("frodo", **options).certificate,
        ca.issue_server("localhost", **options).certificate,
        ca.intermediate("Issuing", **options).certificate,
    ):
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
        (description,), (point,) = list(access.value), list(points.value)
        assert (access.critical, points.critical) == (False, False)
        assert description.access_method.dotted_string == "1.3.6.1.5.5.7.48.1"
        assert description.access_location.value == responder.url
        assert point.full_name is not None
        assert [one.value for one in point.full_name] == [responder.crl_url]
    kinds = [type(one.value) for one in ca.issue_client("sam").certificate.extensions]
    assert x509.AuthorityInformationAccess not in kinds
    assert x509.CRLDistributionPoints not in kinds
    for name in options:
        empty: dict[str, Any] = {name: ""}
        with pytest.raises(ConfigurationError, match="names nobody"):
            ca.issue_client("sam", **empty)


def test_the_revocation_list(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """The list of now, DER, at its own place; or what was ordered in its stead."""
    leaf = ca.issue_client("frodo")
    assert len(x509.load_der_x509_crl(send(responder.crl_url)[1])) == 0
    ca.revoke(leaf)
    (entry,) = list(x509.load_der_x509_crl(send(responder.crl_url)[1]))
    assert entry.serial_number == leaf.certificate.serial_number
    responder.answer_crl(http_status=500, body=b"broken")
    assert send(responder.crl_url) == (500, b"broken")
    assert (responder.crl_requests, responder.requests) == (3, 0)


def test_delegates_say_where_their_own_status_is(responder: OCSPResponder) -> None:
    """Those that may be asked about name the responder, or the list, or neither; none of them has nocheck."""
    said = {}
    for name in ("delegate-without-nocheck", "delegate-with-ocsp", "delegate-with-crl", "delegate"):
        certificate = ParsedCertificate(responder.delegate(name).der)
        said[name] = ocsp_urls(certificate), crl_urls(certificate), certificate.extension_value(NO_CHECK) is None
    assert said == {
        "delegate-without-nocheck": ((), (), True),
        "delegate-with-ocsp": ((responder.url,), (), True),
        "delegate-with-crl": ((), (responder.crl_url,), True),
        "delegate": ((), (), False),
    }


def test_delegates_can_be_revoked(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """A delegate's certificate is kept, is known as issued, and can be revoked."""
    delegate = responder.delegate("delegate-without-nocheck")
    assert responder.delegate("delegate-without-nocheck") is delegate
    assert responder.delegate() is not delegate
    assert ask(responder, ca, delegate).code == "ocsp.good"
    ca.revoke(delegate)
    assert ask(responder, ca, delegate).code == "ocsp.revoked"


@pytest.mark.parametrize("name", ["status", "signer", "dates", "about", "nonce"])
def test_words_that_mean_nothing(name: str, responder: OCSPResponder) -> None:
    """A misspelt order is refused with the words that there are, and changes nothing."""
    misspelt: dict[str, Any] = {name: "soon"}
    with pytest.raises(ConfigurationError, match=f"{name}='soon': say one of"):
        responder.answer(**misspelt)
    for signer in ("issuer", "stranger", "delegate-of-nobody"):
        with pytest.raises(ConfigurationError, match="is no delegate"):
            responder.delegate(signer)


# what it leaves behind


def threads() -> set[threading.Thread]:
    """Return the threads that run now, but for idle ones of resolvers, which end when they like."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("mtlspolicy-revocation")}


def test_it_runs_in_its_block_alone(ca: CertificateAuthority) -> None:
    """It has no address before, accepts nothing after, and runs once."""
    responder = ca.ocsp_responder()
    for name in ("url", "crl_url"):
        with pytest.raises(ConfigurationError, match="does not run"):
            getattr(responder, name)
    before = threads()
    with responder:
        place = urlsplit(responder.url)
        assert threads() > before
    assert threads() == before
    with pytest.raises(OSError):  # noqa: PT011 - refused, in the words of the system
        socket.create_connection((place.hostname, place.port), timeout=PATIENCE)
    with pytest.raises(ConfigurationError, match="runs once"), responder:
        raise AssertionError
    ca.ocsp_responder().__exit__(None, None, None)


@pytest.mark.parametrize("options", [{"never": True}, {"delay": 3600.0}, {"pause": 3600.0}])
@pytest.mark.parametrize("gone", [False, True])
def test_who_waits_for_ever_is_let_go_at_the_end(options: dict[str, Any], gone: bool, ca: CertificateAuthority) -> None:
    """Leaving the block ends connections that were never to be answered, whether or not the client is still there."""
    before = threads()
    request = ocsp_request(ocsp_question(ca.issue_client("frodo").certificate, ca.certificate))
    with ca.ocsp_responder() as responder:
        responder.answer(**options)
        place = urlsplit(responder.url)
        waiting = socket.create_connection((place.hostname, place.port), timeout=PATIENCE)
        head = f"POST {place.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(request)}\r\n\r\n"
        waiting.sendall(head.encode() + request)
        end = time.monotonic() + PATIENCE
        while responder.requests == 0:
            assert time.monotonic() < end
            time.sleep(0.005)
        if gone:
            waiting.close()
    with closing(waiting):
        if not gone:
            assert len(waiting.recv(1 << 16)) <= 1
    assert threads() == before


def test_who_says_nothing_is_let_go_at_the_end(ca: CertificateAuthority) -> None:
    """A connection without a request, and one with half of one, keep no thread."""
    before = threads()
    with ca.ocsp_responder() as responder:
        place = urlsplit(responder.url)
        silent = [socket.create_connection((place.hostname, place.port), timeout=PATIENCE) for _ in range(2)]
        silent[1].sendall(b"POST /ocsp HTTP/1.1\r\nContent-Length: 100\r\n\r\n\x30")
        assert send(responder.crl_url)[0] == 200
    for one in silent:
        one.close()
    assert threads() == before


def test_many_at_once(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """Slow answers to some delay nobody else, and each is counted."""
    slow, quick = ca.issue_client("slow"), ca.issue_client("quick")
    responder.answer(slow, never=True)
    place = urlsplit(responder.url)
    held = []
    for _ in range(5):
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE)
        connection.request("POST", place.path, ocsp_request(ocsp_question(slow.certificate, ca.certificate)))
        held.append(connection)
    codes: list[str] = []
    askers = [threading.Thread(target=lambda: codes.append(ask(responder, ca, quick).code)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(PATIENCE)
    assert codes == ["ocsp.good"] * 8
    for connection in held:
        connection.close()


def test_an_issued_certificate_of_another_form(ca: CertificateAuthority, responder: OCSPResponder) -> None:
    """Orders take what the authority hands out, and certificates alike."""
    leaf = ca.issue_client("frodo")
    assert isinstance(leaf, IssuedCertificate)
    responder.answer(leaf.certificate, status="try-later")
    assert ask(responder, ca, leaf).code == "ocsp.try-later"

"""OCSP with real programs: openssl as responder and as client, nginx as an edge that asks, and one that staples.

`openssl ocsp -port` listens on every address of the machine, so here it reads and writes files behind a server of ours.
"""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy import PolicyDenied, PolicyIndeterminate, RevocationStatus, TrustStore, Verifier, policies
from mtlspolicy._peer import now
from mtlspolicy.revocation import OCSPRule, RevocationAnswer, facts, ocsp_question, ocsp_request, read_ocsp
from mtlspolicy.revocation._destinations import Destinations
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder

from .nginx import HOST, running_nginx  # noqa: TID252 - tests are no package that could be named
from .programs import run  # noqa: TID252 - the same

SECONDS: Final = 20.0
STATUS = RevocationStatus
NAMES: Final = {"frodo": "good", "gollum": "revoked", "nobody": "unknown"}


class Shire:
    """An authority, a good client, one who is revoked, and one whom its records do not have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = CertificateAuthority("Shire Root")
        stranger = CertificateAuthority("Shire Root", key=self.ca.key)
        self.leaves = {name: (stranger if name == "nobody" else self.ca).issue_client(name) for name in NAMES}
        self.ca.revoke(self.leaves["gollum"])
        (folder / "ca.pem").write_bytes(self.ca.pem)
        for name, leaf in self.leaves.items():
            leaf.files(folder, name=name)


@pytest.fixture
def shire(tmp_path: Path) -> Shire:
    """Return the authority, with its files in a folder of the test's."""
    return Shire(tmp_path)


def fetch(url: str, body: bytes) -> bytes:
    """Return what the library's own client gets from a server on loopback."""
    port = urlsplit(url).port
    assert port is not None
    transport = HTTPTransport(destinations=Destinations(ports=[port], addresses=["127.0.0.0/8"]))
    exchange = Exchange(url, body, "application/ocsp-request", "application/ocsp-response")
    return transport.fetch(exchange, until=time.monotonic() + SECONDS)


# openssl as responder


class _Bridge(http.server.BaseHTTPRequestHandler):
    folder: Path

    def do_POST(self) -> None:
        (self.folder / "request.der").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        run(
            "openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "delegate.pem", "-rkey",
            "delegate.key", "-reqin", "request.der", "-respout", "response.der", "-ndays", "1", folder=self.folder,
        )  # fmt: skip
        body = (self.folder / "response.der").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def openssl_responder(shire: Shire) -> Generator[str, None, None]:
    """Run a server on loopback whose every answer openssl has made and signed, as a delegate; lend its URL."""
    shire.ca.ocsp_responder().delegate().files(shire.folder, name="delegate")
    rows = [row("V", "", shire.leaves["frodo"]), row("R", "260101120000Z,keyCompromise", shire.leaves["gollum"])]
    (shire.folder / "index.txt").write_text("".join(rows), encoding="ascii")
    handler = type("Bridge", (_Bridge,), {"folder": shire.folder})
    with http.server.HTTPServer((HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(SECONDS)


def row(status: str, revoked: str, leaf: IssuedCertificate) -> str:
    """Return a line of the index of `openssl ca`."""
    until = leaf.certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
    serial = f"{leaf.certificate.serial_number:X}"
    return f"{status}\t{until}\t{revoked}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN=x\n"


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_openssl_answers_our_client(shire: Shire, digest: str) -> None:
    """Our request, sent by our client, is answered by openssl with the status of its index, and with our nonce."""
    nonce = bytes(range(32))
    with openssl_responder(shire) as url:
        for name, said in NAMES.items():
            asked = ocsp_question(shire.leaves[name].certificate, shire.ca.certificate, OCSPRule(require_nonce=True))
            body = fetch(url, ocsp_request(asked, digest=digest, nonce=nonce))
            told = read_ocsp(body, asked, at=now(), nonce=nonce, digest=digest, source=url)
            assert told.status.value == said, told
            assert told.reason == ("keyCompromise" if name == "gollum" else None)


# openssl as client


def asked_by_openssl(shire: Shire, responder: OCSPResponder, name: str, *options: str) -> tuple[int, str]:
    """Return exit status and words of `openssl ocsp` that asks our responder."""
    done = run(
        "openssl", "ocsp", "-url", responder.url, "-issuer", "ca.pem", *options, "-cert", f"{name}.pem",
        "-CAfile", "ca.pem", folder=shire.folder,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("options", [(), ("-no_nonce",), ("-sha256",)])
@pytest.mark.parametrize("signer", ["issuer", "delegate"])
def test_openssl_asks_our_responder(shire: Shire, signer: str, options: tuple[str, ...]) -> None:
    """openssl verifies each answer, with its nonce, and reads the status that the authority knows."""
    with shire.ca.ocsp_responder() as responder:
        responder.answer(signer=signer)
        for name, said in NAMES.items():
            status, words = asked_by_openssl(shire, responder, name, *options)
            assert (status, "Response verify OK" in words) == (0, True), words
            assert f"{name}.pem: {said}" in words
            assert "nonce" not in words.lower()
        assert responder.requests == len(NAMES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nonce": "none"}, "WARNING: no nonce in response"),
        ({"nonce": "another"}, "Nonce Verify error"),
        ({"status": "try-later"}, "Responder Error: trylater (3)"),
        ({"signer": "stranger"}, "Response Verify Failure"),
        ({"signer": "delegate-without-purpose"}, "Response Verify Failure"),
        ({"dates": "expired"}, "Status times invalid"),
        ({"dates": "not-yet-valid"}, "Status times invalid"),
        ({"about": "another"}, "ERROR: No Status found"),
        ({"http_status": 503}, "503"),
    ],
)
def test_openssl_sees_what_is_wrong(shire: Shire, options: dict[str, Any], words: str) -> None:
    """What the responder is told to do wrong, openssl finds wrong as well, in its own words."""
    with shire.ca.ocsp_responder() as responder:
        responder.answer(**options)
        assert words in asked_by_openssl(shire, responder, "frodo")[1]


# nginx, which asks


def ask(port: int, shire: Shire, name: str, roots: bytes) -> int:
    """Return the HTTP status that nginx gives the client *name*."""
    context = ssl.create_default_context(cadata=roots.decode())
    context.load_cert_chain(shire.folder / f"{name}.pem", shire.folder / f"{name}.key")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(f"https://localhost:{port}/", timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("signer", ["issuer", "delegate"])
def test_nginx_asks_our_responder(shire: Shire, signer: str) -> None:
    """nginx with ``ssl_ocsp on`` admits who is good, and answers 400 to who is revoked or not known."""
    server = CertificateAuthority("Web Root").issue_server("localhost")
    with shire.ca.ocsp_responder() as responder:
        responder.answer(signer=signer)
        further = f"ssl_ocsp on; ssl_ocsp_responder {responder.url};"
        with running_nginx(shire.folder, server, shire.ca.pem, further=further) as nginx:
            found = {name: ask(nginx.port, shire, name, server.root_pem) for name in NAMES}
            assert found == {"frodo": 200, "gollum": 400, "nobody": 400}
            assert responder.requests == len(NAMES)
            responder.answer(status="try-later")
            assert ask(nginx.port, shire, "frodo", server.root_pem) == 400
            shire.ca.revoke(shire.leaves["frodo"])
            responder.answer(signer=signer)
            assert ask(nginx.port, shire, "frodo", server.root_pem) == 400


# nginx, which staples


def stapled(port: int) -> tuple[bytes, list[bytes]]:
    """Return the response that a server on loopback staples, and its chain, DER, as pyOpenSSL's client gets them."""
    openssl = pytest.importorskip("OpenSSL.SSL")
    found: list[bytes] = []

    def keep(_connection: object, response: bytes, _data: object) -> bool:
        found.append(response)
        return True

    context = openssl.Context(openssl.TLS_CLIENT_METHOD)
    context.set_ocsp_client_callback(keep)
    with closing(socket.create_connection((HOST, port), timeout=SECONDS)) as raw:
        raw.settimeout(None)
        connection = openssl.Connection(context, raw)
        connection.request_ocsp()
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        chain = connection.get_peer_cert_chain(as_cryptography=True)
        connection.shutdown()
    return found[0], [certificate.public_bytes(Encoding.DER) for certificate in chain]


@pytest.mark.parametrize(
    ("status", "code"),
    [("good", None), ("revoked", "ocsp.revoked"), ("unknown", "ocsp.unknown"), ("absent", "ocsp.unavailable")],
)
def test_a_stapled_response(tmp_path: Path, status: str, code: str | None) -> None:
    """A staple that nginx hands out is a response at hand: `revocation.facts` takes it as it comes from the wire."""
    issuing = CertificateAuthority("Web Root").intermediate("Web Issuing CA")
    leaf = issuing.issue_server("localhost")
    asked = ocsp_question(leaf.certificate, issuing.certificate)
    further = ""
    if status != "absent":
        with issuing.ocsp_responder() as responder:
            responder.answer(status=status, signer="delegate")
            (tmp_path / "staple.der").write_bytes(fetch(responder.url, ocsp_request(asked)))
        further = f"ssl_stapling on; ssl_stapling_file {tmp_path}/staple.der;"
    with running_nginx(tmp_path, leaf, issuing.pem, further=further) as nginx:
        response, chain = stapled(nginx.port)
    assert (response == b"") is (status == "absent")
    verifier = Verifier.for_servers(
        trust=TrustStore(anchors=[leaf.root]), expected="localhost", policy=policies.NotRevoked(scope="end-entity")
    )
    known = facts(verifier, chain, responses=[response] if response else [])
    if code is None:
        assert verifier.verify(chain, facts=known).dns_names == ("localhost",)
        return
    with pytest.raises((PolicyDenied, PolicyIndeterminate)) as refused:
        verifier.verify(chain, facts=known)
    assert refused.value.code == code


def test_our_client_and_our_responder(shire: Shire) -> None:
    """The library's own client, request, responder and reading agree on every status."""
    with shire.ca.ocsp_responder() as responder:
        for name, said in NAMES.items():
            asked = ocsp_question(shire.leaves[name].certificate, shire.ca.certificate)
            told: RevocationAnswer = read_ocsp(fetch(responder.url, ocsp_request(asked)), asked, at=now())
            assert told.status is STATUS(said)

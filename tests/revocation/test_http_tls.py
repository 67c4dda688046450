"""https responders: who is believed, by which name, and that a connection cut short is noticed."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import pytest

from mtlspolicy import TrustStore
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import FetchFailed
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.testing import CertificateAuthority
from tests.revocation.loopback import (
    GOOD,
    LIVENESS,
    Conversation,
    Server,
    answering,
    failure,
    fetch,
    names,
    server_context,
    soon,
)


def test_https_of_a_given_store(tmp_path: Path) -> None:
    """A responder with a certificate of the store, for its name, is believed; the store as value or as file."""
    authority = CertificateAuthority()
    with Server(answering(GOOD), context=server_context(authority, "ocsp.example.com", "127.0.0.1")) as server:
        resolve = names("127.0.0.1")
        named = Exchange(server.url(host="ocsp.example.com"))
        store = TrustStore(anchors=[authority.certificate])
        assert fetch(server, named, trust=store, resolve=resolve) == b"hello"
        assert fetch(server, trust=store) == b"hello"
        (tmp_path / "ca.pem").write_bytes(authority.pem)
        assert fetch(server, named, trust=tmp_path / "ca.pem", resolve=resolve) == b"hello"


def test_https_of_an_issuing_ca_alone() -> None:
    """An issuing CA may be the anchor without its root, as everywhere in the library."""
    issuing = CertificateAuthority().intermediate("issuing")
    with Server(answering(GOOD), context=server_context(issuing, "127.0.0.1")) as server:
        assert fetch(server, trust=TrustStore(anchors=[issuing.certificate])) == b"hello"


@pytest.mark.parametrize(
    ("name", "trusted", "message"),
    [("ocsp.example.com", False, "self-signed|issuer"), ("other.example.com", True, "ostname")],
)
def test_https_impostors(name: str, *, trusted: bool, message: str) -> None:
    """Another CA, or another name, ends the handshake; no request is sent."""
    authority, stranger = CertificateAuthority(), CertificateAuthority("stranger")
    with Server(answering(GOOD), context=server_context(authority, name)) as server:
        store = TrustStore(anchors=[(authority if trusted else stranger).certificate])
        url = server.url(host="ocsp.example.com")
        with pytest.raises(FetchFailed, match=message) as caught:
            fetch(server, Exchange(url), trust=store, resolve=names("127.0.0.1"))
        assert (caught.value.code, caught.value.counts_for) == ("fetch.tls", "responder")
        assert server.left.wait(LIVENESS)
        assert server.talks == []


def test_https_is_verified_against_public_cas_by_default() -> None:
    """Without a store certifi's CAs count, and no private one."""
    with Server(answering(GOOD), context=server_context(CertificateAuthority(), "127.0.0.1")) as server:
        assert failure(lambda: fetch(server)).code == "fetch.tls"


def test_a_server_that_does_not_speak_tls() -> None:
    """Plain bytes, silence, or a closed connection where TLS belongs: a failure, within the deadline."""

    def silent(talk: Conversation) -> None:
        talk.wait_for_end()

    with Server(lambda talk: talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
        url = server.url().replace("http:", "https:")
        assert failure(lambda: fetch(server, Exchange(url))).code in {"fetch.tls", "fetch.connect"}
    with Server(silent) as server:
        url = server.url().replace("http:", "https:")
        transport = HTTPTransport(destinations=server.destinations)
        assert failure(lambda: transport.fetch(Exchange(url), until=soon(0.3))).code == "fetch.timeout"


def test_a_tls_handshake_that_is_reset() -> None:
    """A reset in the handshake is trouble on the way, which may pass."""

    def reset(talk: Conversation) -> None:
        talk.connection.recv(1)
        talk.reset()

    with Server(reset) as server:
        error = failure(lambda: fetch(server, Exchange(server.url().replace("http:", "https:"))))
        assert (error.code, error.retryable) == ("fetch.connect", True)


def test_truncation_in_tls() -> None:
    """Where the end of the connection ends the body, an end that TLS did not announce may be an attacker's."""

    def cut(talk: Conversation) -> None:
        talk.read_request()
        talk.send(b"HTTP/1.1 200 OK\r\n\r\nhel")

    authority = CertificateAuthority()
    with Server(cut, context=server_context(authority, "127.0.0.1")) as server:
        error = failure(lambda: fetch(server, trust=TrustStore(anchors=[authority.certificate])))
        assert (error.code, error.retryable) == ("fetch.incomplete", True)


def test_bytes_that_tls_cannot_read() -> None:
    """Records that were changed on the way are no answer."""

    def garbled(talk: Conversation) -> None:
        talk.read_request()
        with socket.socket(fileno=talk.connection.detach()) as plain:
            plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

    authority = CertificateAuthority()
    with Server(garbled, context=server_context(authority, "127.0.0.1")) as server:
        error = failure(lambda: fetch(server, trust=TrustStore(anchors=[authority.certificate])))
        assert error.code == "fetch.tls"


@pytest.mark.parametrize("shaken", [False, True], ids=["handshake", "record"])
def test_drip_below_tls(*, shaken: bool) -> None:
    """One record that arrives a byte at a time, in the handshake or after it, ends at the one deadline."""

    def drip(talk: Conversation) -> None:
        if shaken:
            talk.read_request()
            talk.connection = socket.socket(fileno=talk.connection.detach())
        with talk.connection:
            talk.send(b"\x17\x03\x03\x40\x00" if shaken else b"\x16\x03\x03\x40\x00")
            talk.drip(itertools.repeat(b"\x02"))

    authority = CertificateAuthority()
    with Server(drip, context=server_context(authority, "127.0.0.1") if shaken else None) as server:
        transport = HTTPTransport(destinations=server.destinations, trust=TrustStore(anchors=[authority.certificate]))
        url = server.url().replace("http:", "https:")
        error = failure(lambda: transport.fetch(Exchange(url), until=soon(0.5)))
        assert (error.code, error.retryable, error.counts_for) == ("fetch.timeout", True, "responder")
        assert server.left.wait(LIVENESS)


def test_stores_that_openssl_cannot_be_held_to() -> None:
    """Registered peers and distrusted keys would be passed over, so such a store is refused, as is what is none."""
    authority = CertificateAuthority()
    leaf = authority.issue_server("h.example")
    for store in (
        TrustStore(peers=[leaf.certificate]),
        TrustStore(anchors=[authority.certificate], distrusted=[leaf.certificate]),
    ):
        with pytest.raises(ConfigurationError, match="TrustStore of anchors"):
            HTTPTransport(trust=store)
    with pytest.raises(ConfigurationError, match="missing.pem"):
        HTTPTransport(trust="missing.pem")

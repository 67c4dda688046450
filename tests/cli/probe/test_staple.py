"""OCSP responses in the handshake: asked for with pyOpenSSL, read by the library's own interpreter, never guessed."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from OpenSSL import SSL

from mtlspolicy import TrustStore, Verifier
from mtlspolicy.cli.probe._chain import read_chain
from mtlspolicy.cli.probe._seen import Chain, Place, Staple, Unseen
from mtlspolicy.cli.probe._staple import read_staple, stapled
from mtlspolicy.cli.probe._wire import Clock
from mtlspolicy.testing import CertificateAuthority

from .probing import HOST, Served, Site, listening  # noqa: TID252 - tests are no package that could be named


def now() -> datetime:
    """Return the time: responses are signed as of now, whenever this module was read."""
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return certificates and their files."""
    return Site(tmp_path_factory.mktemp("site"))


def _response(site: Site, status: ocsp.OCSPCertStatus, at: datetime | None = None) -> bytes:
    at = at or now()
    builder = ocsp.OCSPResponseBuilder().add_response(
        site.server.certificate, site.issuing.certificate, hashes.SHA1(), status, at - timedelta(minutes=1),  # noqa: S303 - a CertID's
        at + timedelta(hours=1), at - timedelta(minutes=2) if status is ocsp.OCSPCertStatus.REVOKED else None, None,
    )  # fmt: skip
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, site.issuing.certificate)
    signer: Any = site.issuing.key
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


@contextmanager
def stapling(site: Site, response: bytes) -> Generator[Served, None, None]:
    """Run a server that staples *response* where it is asked to; empty: it staples nothing."""
    context: Any = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(site.server.certificate)
    context.add_extra_chain_cert(site.issuing.certificate)
    context.use_privatekey(site.server.key)
    context.set_ocsp_server_callback(lambda *_: response)

    def serve(connection: socket.socket, _served: Served) -> None:
        connection.settimeout(None)  # pyOpenSSL wants a socket that blocks
        secured: Any = SSL.Connection(context, connection)
        secured.set_accept_state()
        with suppress(SSL.Error):
            secured.do_handshake()

    with listening(serve) as served:
        yield served


def _place(port: int, name: str = "localhost") -> Place:
    return Place("localhost", port, name, HOST)


def _chain(site: Site, trust: Any = None) -> Chain:
    anchors = [site.root.certificate] if trust is None else [trust]
    verifier = Verifier.for_servers(trust=TrustStore(anchors=anchors), expected="localhost")
    return read_chain([site.server.der, site.issuing.der], verifier, now())


@pytest.mark.parametrize(
    ("status", "expected"),
    [(ocsp.OCSPCertStatus.GOOD, "good"), (ocsp.OCSPCertStatus.REVOKED, "revoked")],
    ids=["good", "revoked"],
)
def test_a_response_is_read(site: Site, status: ocsp.OCSPCertStatus, expected: str) -> None:
    """A response that the issuer signed says what it says."""
    with stapling(site, _response(site, status)) as served:
        found = stapled(_place(served.port), Clock(20))
    staple = read_staple(found, _chain(site), now())
    assert isinstance(staple, Staple)
    assert (staple.status, staple.code) == (expected, f"ocsp.{expected}")


def test_no_response(site: Site) -> None:
    """A server that was asked and staples nothing is not one that could not be asked."""
    with stapling(site, b"") as served:
        assert stapled(_place(served.port), Clock(20)) is None
        assert stapled(_place(served.port, HOST), Clock(20)) is None
    assert read_staple(None, _chain(site), now()) is None


def test_a_response_that_cannot_be_used(site: Site) -> None:
    """Garbage, an old response and one that is too large are three codes, and none of them is good."""
    old = _response(site, ocsp.OCSPCertStatus.GOOD, now() - timedelta(days=3))
    cases = ((b"\x30\x03abc", "ocsp.malformed"), (old, "ocsp.too-old"), (bytes(70_000), "ocsp.too-large"))
    for response, code in cases:
        staple = read_staple(response, _chain(site), now())
        assert isinstance(staple, Staple)
        assert staple.status == "unavailable"
        assert staple.code == code


def test_a_response_of_a_server_that_is_not_verified(site: Site) -> None:
    """Without a validated path there is no issuer whose signature could count."""
    unseen = read_staple(b"x" * 9, _chain(site, CertificateAuthority("Else").certificate), now())
    assert isinstance(unseen, Unseen)
    assert "not verified" in unseen.reason


def test_without_pyopenssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra it is not observed, and the reason names what to install."""
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    assert stapled(_place(9), Clock(20)) == Unseen("needs pyOpenSSL: install mtlspolicy[pyopenssl]")


def _close(connection: socket.socket, _served: Served) -> None:
    connection.recv(65536)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(65536)


def _garbage(connection: socket.socket, _served: Served) -> None:
    connection.sendall(b"SSH-2.0-nobody\r\n" * 4)
    connection.recv(4096)


def _silent(connection: socket.socket, _served: Served) -> None:
    while connection.recv(4096):
        pass


def _drip(connection: socket.socket, _served: Served) -> None:
    connection.recv(4096)
    with suppress(OSError):
        connection.sendall(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb")
        for _ in range(500):
            connection.sendall(b"x")
            time.sleep(0.01)  # a peer that is slow on purpose; nothing is asserted of its timing


@pytest.mark.parametrize("serve", [_close, _garbage, _silent, _drip])
def test_a_handshake_that_fails_tells_nothing(serve: Callable[[socket.socket, Served], None]) -> None:
    """Whatever ends the handshake, in time, the answer is that nothing is known."""
    with listening(serve) as served:
        found = stapled(_place(served.port), Clock(0.5))
    assert isinstance(found, Unseen)
    assert "nothing is known" in found.reason


def test_a_port_that_is_closed() -> None:
    """Nobody there is not observed either."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    assert isinstance(stapled(_place(port), Clock(5)), Unseen)


def test_an_endless_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake has so many bytes and no more."""
    monkeypatch.setattr("mtlspolicy.cli.probe._staple._MOST_RECEIVED", 4)
    with listening(_drip) as served:
        assert isinstance(stapled(_place(served.port), Clock(5)), Unseen)

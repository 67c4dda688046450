"""Asking for a certificate after the handshake: who is admitted, what ends the connection, and what cannot be asked."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import ConfigurationError, NoPeerCertificate, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._log import LIMITER

PATIENCE: Final = 20.0
ROOT: Final = CertificateAuthority("Root")
SERVER: Final = ROOT.issue_server("localhost", "127.0.0.1")
FRODO, SAM = ROOT.issue_client("frodo"), ROOT.issue_client("sam")
STRANGER: Final = CertificateAuthority("Foreign").issue_client("frodo")
_TRUST: Final = TrustStore(anchors=[ROOT.certificate])
_CREDENTIAL: Final = tls.Credential.of(SERVER.chain, SERVER.key)


def _context(**options: Any) -> ssl.SSLContext:
    verifier = Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("frodo"))
    return tls.server_context(
        credential=_CREDENTIAL, verifier=verifier, client_certificate=options.pop("asks", "on-request"),
        options=tls.ServerOptions(**options),
    )  # fmt: skip


def _client(folder: Path, who: IssuedCertificate | None, *, offers: bool = True) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    context.post_handshake_auth = offers
    if who is not None:
        context.load_cert_chain(*who.files(folder))
    return context


Serve = Callable[[ssl.SSLSocket], None]


@contextmanager
def _serving(serve: Serve, context: ssl.SSLContext | None = None) -> Generator[int, None, None]:
    """Serve one connection by *serve*, and raise here what it raises there."""
    raised: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            accepted, _ = listener.accept()
            try:
                with (context or _context()).wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                ) as connection:
                    serve(connection)
            except BaseException as error:  # noqa: BLE001 - raised below
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


def _talk(port: int, context: ssl.SSLContext, *requests: bytes) -> bytes:
    """Return what the server says until the end, after it was sent *requests*."""
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        for request in requests:
            connection.sendall(request)
        try:
            return b"".join(iter(lambda: connection.recv(4096), b""))
        except (ConnectionError, ssl.SSLError):
            return b""


def _greet(connection: ssl.SSLSocket) -> None:
    """Answer a request with the name of who sent it."""
    assert connection.recv(100) == b"who am I"
    assert tls.peer_of(connection) is None
    peer = tls.request_certificate(connection)
    assert tls.peer_of(connection) is peer
    assert tls.request_certificate(connection) is peer, "nobody is asked twice"
    connection.sendall(str(peer.common_name).encode())


def test_the_peer_is_the_one_of_the_certificate_that_was_asked_for(tmp_path: Path) -> None:
    """Before the question there is no peer; after it the connection has one, whom the verifier admits."""
    with _serving(_greet) as port:
        assert _talk(port, _client(tmp_path, FRODO), b"who am I") == b"frodo"


def test_a_client_of_ours_answers_where_it_is_told_to(tmp_path: Path) -> None:
    """``ClientOptions(post_handshake_auth=True)`` shows the certificate when it is asked for."""
    chain, key = FRODO.files(tmp_path)
    context = tls.client_context(
        credential=tls.Credential.from_files(chain, key),
        verifier=Verifier.for_servers(trust=_TRUST, expected="localhost"),
        options=tls.ClientOptions(post_handshake_auth=True),
    )
    with _serving(_greet) as port:
        assert _talk(port, context, b"who am I") == b"frodo"


@pytest.mark.parametrize(
    ("who", "code"),
    [(SAM, "name.mismatch"), (STRANGER, "tls.openssl-no-issuer"), (None, "tls.openssl-no-certificate")],
    ids=["another name", "another CA", "none"],
)
def test_whoever_is_not_meant_is_shut_out(tmp_path: Path, who: IssuedCertificate | None, code: str) -> None:
    """The connection is refused with the reason, and nothing of the answer is sent."""
    seen: list[Any] = []

    def serve(connection: ssl.SSLSocket) -> None:
        connection.recv(100)
        with pytest.raises(ssl.SSLError):
            tls.request_certificate(connection)
        seen.append(tls.decision_of(connection).code)
        with pytest.raises(tls.HandshakeRejected):
            connection.sendall(b"secret")

    with _serving(serve) as port:
        assert _talk(port, _client(tmp_path, who), b"who am I") == b""
    assert seen == [code]


def test_curl_shows_its_certificate_when_it_is_asked(tmp_path: Path) -> None:
    """A real client, over HTTP: the server looks at the request before it asks."""
    curl = shutil.which("curl")
    if (
        curl is None
        or "OpenSSL/" not in subprocess.run([curl, "-V"], capture_output=True, text=True, check=True).stdout
    ):
        pytest.skip("curl with OpenSSL is not installed: on Debian, apt-get install curl")
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    chain, key = FRODO.files(tmp_path)

    def serve(connection: ssl.SSLSocket) -> None:
        assert connection.recv(4096).startswith(b"GET /admin ")
        name = str(tls.request_certificate(connection).common_name)
        connection.sendall(f"HTTP/1.0 200 OK\r\n\r\n{name}".encode())

    with _serving(serve) as port:
        done = subprocess.run(
            [curl, "-sS", "--max-time", "20", "--noproxy", "*", "--cacert", str(tmp_path / "ca.pem"),
             "--cert", str(chain), "--key", str(key), f"https://localhost:{port}/admin"],
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip
    assert (done.stdout, done.stderr) == ("frodo", "")


def test_data_before_the_certificate_ends_the_connection(tmp_path: Path) -> None:
    """Nobody could say who sent it: an attacker's bytes would be read as the peer's."""

    def serve(connection: ssl.SSLSocket) -> None:
        assert connection.recv(8) == b"who am I"
        with pytest.raises(tls.HandshakeRejected) as caught:
            tls.request_certificate(connection)
        assert caught.value.code == "tls.data-before-certificate"

    for requests in ((b"who am Iand more",), (b"who am I", b"and more")):
        with _serving(serve) as port:
            assert _talk(port, _client(tmp_path, FRODO), *requests) == b""


def test_a_client_that_cannot_be_asked_goes_on_without_a_peer(tmp_path: Path) -> None:
    """The application can still answer that it wants a certificate."""

    def serve(connection: ssl.SSLSocket) -> None:
        connection.recv(100)
        with pytest.raises(NoPeerCertificate) as caught:
            tls.request_certificate(connection)
        assert (caught.value.code, caught.value.http_status) == ("tls.no-post-handshake", 403)
        assert tls.peer_of(connection) is None
        connection.sendall(b"403")

    with _serving(serve) as port:
        assert _talk(port, _client(tmp_path, FRODO, offers=False), b"who am I") == b"403"


def test_a_client_that_never_answers_is_shut_out_in_time(tmp_path: Path) -> None:
    """The time-out is that of a handshake, and that of the socket stays what it was."""

    def serve(connection: ssl.SSLSocket) -> None:
        connection.settimeout(PATIENCE)
        connection.recv(100)
        with pytest.raises(TimeoutError, match="did not come in time"):
            tls.request_certificate(connection)
        with pytest.raises(tls.HandshakeRejected):
            connection.recv(1)

    with _serving(serve, _context(handshake_timeout=0.5)) as port:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
        with _client(tmp_path, FRODO).wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(b"who am I")
            threading.Event().wait(1.5)  # and reads nothing, so that OpenSSL never sees the question


def test_other_connections_are_refused_by_name(tmp_path: Path) -> None:
    """An event loop has no place to wait in, and other contexts have decided already."""
    with pytest.raises(ConfigurationError, match=r"request_certificate\(NoneType\): only a blocking socket"):
        tls.request_certificate(None)  # type: ignore[arg-type]

    def serve(connection: ssl.SSLSocket) -> None:
        with pytest.raises(ConfigurationError, match="tls.request_certificate"):
            connection.verify_client_post_handshake()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="on-request"):
                tls.request_certificate(connection)
        connection.sendall(b"served")

    with _serving(serve, _context(asks="optional")) as port:
        assert _talk(port, _client(tmp_path, FRODO)) == b"served"

    def unready(connection: ssl.SSLSocket) -> None:
        connection.do_handshake()
        connection.settimeout(0.0)
        with pytest.raises(ConfigurationError, match="a blocking socket"):
            tls.request_certificate(connection)
        connection.settimeout(PATIENCE)
        connection.sendall(b"served")

    with _serving(unready) as port:
        assert _talk(port, _client(tmp_path, FRODO)) == b"served"


def test_an_event_loop_cannot_ask(caplog: pytest.LogCaptureFixture) -> None:
    """Everybody would come in without a name, and nobody could be asked: no connection begins, and servers say so."""
    with pytest.raises(ConfigurationError, match="on an event loop, where nobody can be asked later"):
        _context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    served: list[str] = []
    LIMITER.clear()
    caplog.clear()

    async def talk() -> bytes:
        with pytest.raises(ConfigurationError, match="on an event loop"):
            await tls.start_server(lambda *_: None, "127.0.0.1", 0, ssl=_context())
        server = await asyncio.start_server(lambda *_: served.append("x"), "127.0.0.1", 0, ssl=_context())
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                writer.transport.abort()

    assert asyncio.run(talk()) == b""
    assert not served
    codes = [getattr(record, "mtlspolicy_code", None) for record in caplog.records]
    assert [code for code in codes if code is not None] == ["tls.no-post-handshake"]


def test_what_does_not_go_together_is_refused_when_the_context_is_built() -> None:
    """pyOpenSSL has no call for it, and another host's context would know nothing of the question."""
    with pytest.raises(ConfigurationError, match="on-request"):
        _context(engine="pyopenssl")
    with pytest.raises(ConfigurationError, match="on-request"):
        _context(virtual_hosts={"a.test": _context()})
    with pytest.raises(ConfigurationError, match='"on-request"'):
        _context(asks="later")
    with pytest.raises(ConfigurationError, match="post_handshake_auth=1"):
        tls.ClientOptions(post_handshake_auth=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="pyopenssl"):
        tls.ClientOptions(post_handshake_auth=True, engine="pyopenssl")
    assert _context().minimum_version is ssl.TLSVersion.TLSv1_3

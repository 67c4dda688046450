"""RULES 9 and 60, design 4c: every client library takes the context, and maps a refusal to its own error."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import requests.adapters
import urllib3

from mtlspolicy import ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with the common name of whoever asks."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        peer = tls.peer_of(self.connection)
        body = str(peer and peer.common_name).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parameter of the standard library
        """Say nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    """A threaded server that prints no tracebacks of refused connections."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url(pki: Any) -> Generator[str, None, None]:
    """Serve a page that says who asks, and return its address."""
    server = Quiet(("127.0.0.1", 0), Page)
    server.socket = pki.server().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join(20)


class Adapter(requests.adapters.HTTPAdapter):
    """The way that requests documents for a context of one's own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
        """Hand the context to urllib3."""
        return super().init_poolmanager(*args, ssl_context=self._context, **kwargs)


def by_urllib(url: str, context: ssl.SSLContext) -> str:
    """Ask with urllib.request."""
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:  # noqa: S310 - a server of this test
        return str(answer.read().decode())


def by_http_client(url: str, context: ssl.SSLContext) -> str:
    """Ask with http.client."""
    connection = http.client.HTTPSConnection(url.split("/")[2], context=context, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def by_httpx(url: str, context: ssl.SSLContext) -> str:
    """Ask with httpx, sync."""
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(url).text


def by_httpx_async(url: str, context: ssl.SSLContext) -> str:
    """Ask with httpx, async."""

    async def main() -> str:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            return (await client.get(url)).text

    return asyncio.run(main())


def by_requests(url: str, context: ssl.SSLContext) -> str:
    """Ask with requests."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", Adapter(context))
        return session.get(url, timeout=20).text


def by_urllib3(url: str, context: ssl.SSLContext) -> str:
    """Ask with urllib3."""
    with urllib3.PoolManager(ssl_context=context, retries=False, timeout=20) as pool:
        return str(pool.request("GET", url).data.decode())


def by_aiohttp(url: str, context: ssl.SSLContext) -> str:
    """Ask with aiohttp."""

    async def main() -> str:
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as answer:
            return await answer.text()

    return asyncio.run(main())


def by_asyncio(url: str, context: ssl.SSLContext) -> str:
    """Ask with asyncio streams."""

    async def main() -> str:
        port = int(url.split(":")[2].rstrip("/"))
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer.partition(b"\r\n\r\n")[2].decode()

    return asyncio.run(main())


LIBRARIES: dict[str, tuple[Callable[[str, ssl.SSLContext], str], type[Exception]]] = {
    "urllib": (by_urllib, urllib.error.URLError),
    "http.client": (by_http_client, tls.HandshakeRejected),
    "httpx": (by_httpx, httpx.ConnectError),
    "httpx-async": (by_httpx_async, httpx.ConnectError),
    "requests": (by_requests, requests.exceptions.SSLError),
    "urllib3": (by_urllib3, urllib3.exceptions.SSLError),
    "aiohttp": (by_aiohttp, aiohttp.ClientConnectorCertificateError),
    "asyncio": (by_asyncio, tls.HandshakeRejected),
}
EVERY_LIBRARY = pytest.mark.parametrize("library", LIBRARIES)


@EVERY_LIBRARY
def test_every_library_presents_our_certificate_and_verifies_the_server(library: str, url: str, pki: Any) -> None:
    """The server sees who we are, and a pin of the server's key is held."""
    ask, _ = LIBRARIES[library]
    pin = policies.SPKIPin.of(pki.server_leaf.certificate)
    verifier = Verifier.for_servers(trust=pki.trust, expected="localhost", policy=pin)
    context = tls.client_context(credential=pki.credential("frodo"), verifier=verifier)
    assert type(context) is ssl.SSLContext
    assert ask(url, context) == "frodo"


@EVERY_LIBRARY
def test_every_library_maps_a_refusal_to_its_certificate_error(library: str, url: str, pki: Any) -> None:
    """A wrong pin is what each library calls a certificate error, with our code in its text, and no byte is sent."""
    ask, error = LIBRARIES[library]
    pin = policies.SPKIPin.of(pki.leaf("sam").certificate)
    verifier = Verifier.for_servers(trust=pki.trust, expected="localhost", policy=pin)
    context = tls.client_context(credential=pki.credential("frodo"), verifier=verifier)
    with pytest.raises(error) as caught:
        ask(url, context)
    assert "pin.mismatch" in str(caught.value)


@EVERY_LIBRARY
def test_the_cas_that_a_library_loads_change_nothing(library: str, url: str, pki: Any, lines: Any) -> None:
    """requests loads certifi into a context handed to it; whatever a context holds, the verifier's trust decides."""
    ask, error = LIBRARIES[library]
    verifier = Verifier.for_servers(trust=TrustStore(anchors=[pki.stranger.certificate]), expected="localhost")
    context = tls.client_context(credential=pki.credential("frodo"), verifier=verifier)
    context.load_verify_locations(cadata=pki.ca.der)  # OpenSSL trusts the server's CA now
    with pytest.raises(error) as caught:
        ask(url, context)
    assert "path.no-issuer" in str(caught.value)
    if library == "requests":
        assert len(context.get_ca_certs()) > 50
    assert any("path.no-issuer" in line for line in lines())


@EVERY_LIBRARY
def test_a_name_that_is_not_expected_is_refused(library: str, url: str, pki: Any) -> None:
    """RULES 60: a verifier for one server on a client that dials another refuses, also where the CA is trusted."""
    ask, error = LIBRARIES[library]
    with pytest.raises(error) as caught:
        ask(url, pki.client(expected="a.test"))
    assert "tls.name-mismatch" in str(caught.value)


@EVERY_LIBRARY
def test_whoever_is_dialed_is_expected(library: str, url: str, pki: Any) -> None:
    """expected=DIALED makes a context for a general client: the name dialed is the one verified."""
    ask, _ = LIBRARIES[library]
    context = pki.client(expected=ReferenceIdentifier.DIALED)
    assert context.check_hostname
    assert ask(url, context) == "frodo"
    if library != "asyncio":
        assert ask(url.replace("localhost", "127.0.0.1"), context) == "frodo"


@EVERY_LIBRARY
def test_a_refused_client_learns_that_it_is_refused(library: str, url: str, pki: Any) -> None:
    """A client that the server refuses sees its connection end, and no page."""
    ask, _ = LIBRARIES[library]
    try:
        answer = ask(url, pki.client("sam"))
    except Exception:  # noqa: BLE001 - each library has its own for a connection that ends
        answer = ""
    assert answer == ""


class Watching:
    """A TLS server that asks for a certificate, verifies nothing, and keeps what it was shown."""

    def __init__(self, context: Any) -> None:
        from OpenSSL import SSL

        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.shown: list[bytes] = []
        self._context = context
        context.set_verify(SSL.VERIFY_PEER, self._show)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _show(self, _: Any, certificate: Any, *__: Any) -> bool:
        self.shown.append(certificate)
        return True

    def _run(self) -> None:
        from OpenSSL import SSL

        accepted, _ = self._listener.accept()
        connection = SSL.Connection(self._context, accepted)
        connection.set_accept_state()
        try:
            connection.do_handshake()
            connection.recv(10)
        except SSL.Error:
            pass
        finally:
            accepted.close()
            self._listener.close()


def rogue(leaf: Any, folder: Any, version: ssl.TLSVersion) -> Watching:
    """Return a server that shows *leaf* and asks for a certificate."""
    from OpenSSL import SSL

    chain, key = leaf.files(folder)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(version.value)
    context.set_max_proto_version(version.value)
    context.use_certificate_chain_file(str(chain))
    context.use_privatekey_file(str(key))
    return Watching(context)


@pytest.mark.parametrize("who", ["unknown-ca", "wrong-name", "unexpected-name"])
def test_rule_9_a_rogue_server_sees_no_client_certificate(who: str, pki: Any, version: ssl.TLSVersion) -> None:
    """THREATS 1: a server of an unknown CA, with a wrong name, or that was not expected, is shown nothing."""
    if who == "unknown-ca":
        leaf = pki.stranger.issue_server("localhost")
    else:
        leaf = pki.ca.issue_server("evil.test" if who == "wrong-name" else "b.test")
    server = rogue(leaf, pki.folder, version)
    dialed = "b.test" if who == "unexpected-name" else "localhost"
    with pytest.raises(tls.HandshakeRejected):
        pki.client().wrap_socket(socket.create_connection(server.address, timeout=20), server_hostname=dialed)
    server.thread.join(20)
    assert server.shown == []


def test_rule_9_the_watching_server_would_see_it(pki: Any, version: ssl.TLSVersion) -> None:
    """The server of the test before sees our certificate where it is the one that was meant."""
    server = rogue(pki.ca.issue_server("localhost"), pki.folder, version)
    with pki.client().wrap_socket(
        socket.create_connection(server.address, timeout=20), server_hostname="localhost"
    ) as client:
        client.sendall(b"x")
    server.thread.join(20)
    assert len(server.shown) >= 1


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        (("localhost", "a.test"), True),
        (ReferenceIdentifier.DIALED, True),
        ("spiffe://example.org/db", False),
        (ReferenceIdentifier.common_name("db-1"), False),
        (("localhost", "spiffe://example.org/db"), False),
    ],
)
def test_openssl_verifies_the_name_wherever_it_can(expected: Any, wanted: bool, pki: Any) -> None:
    """Host name verification is on for DNS names, addresses and the name dialed, and a chain is always required."""
    context = pki.client(expected=expected)
    assert context.check_hostname is wanted
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.hostname_checks_common_name


def test_a_uri_identity_is_judged_by_us(pki: Any, pair: Any) -> None:
    """A server that is known by its SPIFFE ID is dialed by any name; another ID of the same CA is refused."""
    for uri, code in (("spiffe://example.org/db", None), ("spiffe://example.org/web", "identity.mismatch")):
        leaf = pki.ca.issue_server("db.internal", uris=[uri])
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*leaf.files(pki.folder))
        ends = pair(server, pki.client(expected="spiffe://example.org/db"), "10.0.0.7")
        if code is None:
            ends.shake()
            assert tls.peer_of(ends.client).uris == (uri,)  # type: ignore[union-attr]
        else:
            with pytest.raises(tls.HandshakeRejected) as caught:
                ends.shake()
            assert caught.value.code == code


def test_a_client_context_holds_the_anchors_of_its_verifier_alone(pki: Any) -> None:
    """Nothing of the system's CAs is loaded."""
    assert [one["subject"] for one in pki.client().get_ca_certs()] == [((("commonName", "Example Root"),),)] or len(
        pki.client().get_ca_certs()
    ) == 1


def test_the_wrong_verifier_for_a_client_is_named(pki: Any) -> None:
    """A verifier of clients in a client's context is an error at construction."""
    with pytest.raises(ConfigurationError, match=r"Verifier\.for_servers"):
        tls.client_context(verifier=pki.clients())
    with pytest.raises(ConfigurationError, match=r"Verifier\.for_servers"):
        tls.client_context(verifier="localhost")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="ClientOptions"):
        pki.client(options=tls.ServerOptions())

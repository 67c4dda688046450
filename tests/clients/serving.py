"""An HTTPS server that says on which of its connections it was asked, and proxies that are asked for a tunnel."""

from __future__ import annotations

import http.server
import itertools
import json
import socket
import socketserver
import ssl
import threading
from contextlib import ExitStack, suppress
from typing import Any, Final, Self

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0


def running(server: socketserver.BaseServer) -> Any:
    """Return a context manager that serves on a thread until it is left."""
    stack = ExitStack()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    stack.callback(server.server_close)
    stack.callback(thread.join, PATIENCE)
    stack.callback(server.shutdown)
    return stack


class _Page(http.server.BaseHTTPRequestHandler):
    """``/`` tells who asks, and on which connection; any other path is a redirect to what follows its first ``?``."""

    protocol_version = "HTTP/1.1"
    server: Any

    def setup(self) -> None:
        super().setup()
        self._number = next(self.server.connections)
        self.server.open.append(self.connection)

    def do_GET(self) -> None:
        peer = tls.peer_of(self.connection)
        told = {"peer": peer and peer.common_name, "connection": self._number, "host": self.headers.get("Host", "")}
        body = json.dumps(told).encode("ascii")
        path, _, elsewhere = self.path.partition("?")
        self.send_response(200 if path == "/" else 307)
        if path != "/":
            self.send_header("Location", elsewhere)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Secure(http.server.ThreadingHTTPServer):
    """A threaded HTTPS server.

    Args:
        context: Of the server.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((HOST, 0), _Page)
        self.connections = itertools.count(1)
        self.open: list[socket.socket] = []
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def end_connections(self) -> None:
        """End every connection, and wait until the other end may see it."""
        for connection in self.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def url(self, host: str = "localhost", path: str = "/") -> str:
        """Return the URL of *path* at *host*, a name of this server."""
        return f"https://{host}:{self.server_port}{path}"

    def handle_error(self, *_: object) -> None:
        """Print no traceback: what was refused is on the logger."""


class _Tunnel(socketserver.StreamRequestHandler):
    server: Any

    def handle(self) -> None:
        with suppress(OSError):
            self._handle()

    def _handle(self) -> None:
        method, target, *_ = self.rfile.readline().decode("latin-1").split()
        self.server.asked.append(f"{method} {target}")
        while self.rfile.readline().strip():
            pass
        if isinstance(self.connection, ssl.SSLSocket):
            self.server.shown.append(self.connection.getpeercert())
        if method != "CONNECT":
            self.wfile.write(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
            return
        port = self.server.leads_to or int(target.rpartition(":")[2])
        with socket.create_connection((HOST, port), PATIENCE) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Go\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, self.connection))
            back.start()
            _pump(self.connection, upstream)
            back.join(PATIENCE)


def _pump(source: Any, sink: Any) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        source.shutdown(socket.SHUT_RDWR)


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy for tunnels; whatever host it is asked for, it connects to loopback.

    Attributes:
        asked: Method and target of each request.
        shown: Where it speaks TLS itself, the certificate of each client, as ``getpeercert`` gives it.
        leads_to: The port of loopback that it connects to, whatever it is asked; 0: the one that it is asked for.

    Args:
        context: Where it speaks TLS itself.
    """

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__((HOST, 0), _Tunnel)
        self.asked: list[str] = []
        self.shown: list[object] = []
        self.leads_to = 0
        self._scheme = "http" if context is None else "https"
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """The URL of the proxy."""
        return f"{self._scheme}://localhost:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """Print nothing."""


class Site:
    """One CA, a server of it that admits its client ``frodo``, and contexts of clients.

    Attributes:
        ca: The CA of everybody.
        other: A CA that nobody here trusts.
        leaf: The server's certificate, for localhost, 127.0.0.1 and two URIs and hosts.
        server: The server; runs in the ``with`` block.
    """

    def __init__(self) -> None:
        self.ca = CertificateAuthority("Clients and Servers")
        self.other = CertificateAuthority("Somebody Else")
        self.frodo = self.ca.issue_client("frodo")
        self.leaf = self.ca.issue_server(
            "localhost", HOST, "service.test", uris=["spiffe://example.org/db"], common_name="db-1"
        )
        self.trust = TrustStore(anchors=[self.ca.certificate])
        self.server = Secure(self.server_context(self.leaf))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(running(self.server))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def server_context(self, leaf: IssuedCertificate) -> ssl.SSLContext:
        """Return the context of a server with *leaf* that admits frodo."""
        verifier = Verifier.for_clients(trust=self.trust, policy=policies.CommonName("frodo"))
        return tls.server_context(credential=tls.Credential.of(leaf.chain, leaf.key), verifier=verifier)

    def proxy_contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """Return the contexts of a proxy that speaks TLS itself and takes certificates, and of its clients."""
        inner = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.ca.pem.decode("ascii"))
        inner.verify_mode = ssl.CERT_OPTIONAL
        with self.ca.issue_server("localhost").tempfiles() as files:
            inner.load_cert_chain(*files)
        return inner, ssl.create_default_context(cadata=self.ca.pem.decode("ascii"))

    def context(self, expected: Any = "localhost", *, trust: Any = None, **options: Any) -> ssl.SSLContext:
        """Return the context of frodo, who expects *expected*; *options* are of the verifier."""
        tls_options = options.pop("options", tls.ClientOptions())
        verifier = Verifier.for_servers(trust=trust or self.trust, expected=expected, **options)
        credential = tls.Credential.of(self.frodo.chain, self.frodo.key)
        return tls.client_context(credential=credential, verifier=verifier, options=tls_options)

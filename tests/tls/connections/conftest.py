"""A small PKI, contexts, pairs of TLS objects in memory, and a threaded server: what the tests here share."""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

FRODO = policies.CommonName("frodo")


class Pki:
    """Two authorities, the second of which nobody trusts, and contexts for both ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = CertificateAuthority("Example Root")
        self.stranger = CertificateAuthority("Stranger Root")
        self.trust = TrustStore(anchors=[self.ca.certificate])
        self.server_leaf = self.ca.issue_server("localhost", "127.0.0.1", "a.test", "b.test", "strict.test")
        self._clients: dict[str, IssuedCertificate] = {}

    def leaf(self, name: str) -> IssuedCertificate:
        """Return the client certificate with a common name; ``stranger`` comes from the CA that nobody trusts."""
        if name not in self._clients:
            self._clients[name] = (self.stranger if name == "stranger" else self.ca).issue_client(name)
        return self._clients[name]

    def credential(self, name: str | None = None) -> tls.Credential:
        """Return the server's credential, or that of a client."""
        leaf = self.server_leaf if name is None else self.leaf(name)
        return tls.Credential.of(leaf.chain, leaf.key)

    def clients(self, policy: Policy = FRODO) -> Verifier:
        """Return a verifier of clients."""
        return Verifier.for_clients(trust=self.trust, policy=policy)

    def server(self, policy: Policy = FRODO, **options: Any) -> ssl.SSLContext:
        """Return a context for servers."""
        return tls.server_context(credential=self.credential(), verifier=self.clients(policy), **options)

    def client(self, name: str | None = "frodo", *, expected: Any = "localhost", **options: Any) -> ssl.SSLContext:
        """Return a context for clients with a verifier of servers."""
        verifier = Verifier.for_servers(trust=self.trust, expected=expected)
        return tls.client_context(
            credential=None if name is None else self.credential(name), verifier=verifier, **options
        )

    def plain_client(self, name: str | None = "frodo", version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a context for clients as one writes it without this library."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.der)
        if name is not None:
            context.load_cert_chain(*self.leaf(name).files(self.folder))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def plain_server(self, **settings: Any) -> ssl.SSLContext:
        """Return a context for servers as one writes it without this library."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cadata=self.ca.der)
        context.load_cert_chain(*self.server_leaf.files(self.folder))
        context.verify_mode = ssl.CERT_REQUIRED
        for name, value in settings.items():
            setattr(context, name, value)
        return context


class Pair:
    """Both ends of one connection as TLS objects over memory; nothing is exchanged before somebody asks."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, name: str | None, session: Any = None) -> None:
        self.to_server, self.to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self.to_server, self.to_client, server_side=True)
        self.client = client.wrap_bio(self.to_client, self.to_server, server_hostname=name, session=session)

    def feed_server(self) -> None:
        """Take the client's handshake as far as it goes without the server's last step; the server has all bytes.

        In TLS 1.3 the client is done then. In TLS 1.2 it waits for the server's Finished.
        """
        with pytest.raises(ssl.SSLWantReadError):
            self.client.do_handshake()
        with pytest.raises(ssl.SSLWantReadError):
            ssl.SSLObject.do_handshake(self.server)  # below the latch: it is the next call that finishes
        step(self.client)

    def shake(self) -> None:
        """Shake hands to the end on both sides; what the server refuses is raised, and then what the client refuses."""
        done = [False, False]
        while not all(done):
            before = self.to_server.pending, self.to_client.pending
            for index, end in enumerate((self.client, self.server)):
                done[index] = done[index] or step(end)
            assert all(done) or (self.to_server.pending, self.to_client.pending) != before, "the handshake is stuck"


def step(end: ssl.SSLObject) -> bool:
    """Take one end's handshake further; return whether it is over."""
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


class Server:
    """A listening socket, wrapped, and a thread for each connection, as threaded servers have them."""

    def __init__(self, context: ssl.SSLContext, serve: Callable[[ssl.SSLSocket], Any]) -> None:
        self.results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.connections: list[ssl.SSLSocket] = []
        self._serve = serve
        self._listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0), backlog=128), server_side=True)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: ssl.SSLSocket) -> None:
        with connection:
            try:
                self.results.put(self._serve(connection))
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.results.put(error)

    def result(self) -> Any:
        """Return what serving the next connection returned, or what it raised."""
        return self.results.get(timeout=20)

    def close(self) -> None:
        """End accepting and wait for every thread."""
        # A connection that is closed at once, because closing a listening socket wakes no accept.
        self._listener.settimeout(0.0)
        with suppress(OSError):
            socket.create_connection(self.address, timeout=5).close()
        socket.socket.shutdown(self._listener, socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        for thread in self._threads:
            thread.join(20)


def echo(connection: ssl.SSLSocket) -> Any:
    """Serve one connection: read, answer, return who it was."""
    data = connection.recv(100)
    peer = tls.peer_of(connection)
    connection.sendall(b"you are " + (b"nobody" if peer is None else str(peer.common_name).encode()) + b": " + data)
    return peer


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return the PKI of the whole run."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def pair() -> type[Pair]:
    """Return the class that connects two contexts in memory."""
    return Pair


@pytest.fixture(name="step")
def step_fixture() -> Callable[[ssl.SSLObject], bool]:
    """Return the function that takes one end's handshake further."""
    return step


@pytest.fixture
def serving() -> Callable[..., Any]:
    """Return a context manager that serves connections of a context on threads."""

    @contextmanager
    def serving(context: ssl.SSLContext, serve: Callable[[ssl.SSLSocket], Any] = echo) -> Generator[Server, None, None]:
        server = Server(context, serve)
        try:
            yield server
        finally:
            server.close()

    return serving


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that gives the lines on ``mtlspolicy.connection`` so far, each with its level in front."""
    caplog.set_level(logging.DEBUG, logger="mtlspolicy.connection")
    return lambda: [
        f"{record.levelname} {record.getMessage()}"
        for record in caplog.records
        if record.name == "mtlspolicy.connection"
    ]


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """Return each version of TLS that is spoken."""
    found: ssl.TLSVersion = request.param
    return found


@pytest.fixture(autouse=True)
def every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test full buckets, so that no line is left out because of a test before, and no address either."""
    from mtlspolicy.tls import _log

    _log.LIMITER.clear()
    monkeypatch.setattr(_log, "SEARCHES", _log.Searches(pause=0.0, most_blocks=sys.maxsize))

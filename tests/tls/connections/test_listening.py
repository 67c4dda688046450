"""RULES 3: a wrapped listening socket shakes hands in the thread that serves, under a deadline, and never in accept."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
import time
from typing import Any

import pytest

from mtlspolicy import Evidence, Resolver, policies, tls
from mtlspolicy.tls._latch import ADMITTED, REFUSED, UNDECIDED


def ask(pki: Any, address: tuple[str, int], name: str | None = "frodo") -> bytes:
    """Connect as a client, send a line and return what comes back."""
    raw = socket.create_connection(address, timeout=20)
    with pki.plain_client(name).wrap_socket(raw, server_hostname="localhost") as client:
        client.sendall(b"hello")
        return bytes(client.recv(100))


def test_rule_3_accept_returns_an_undecided_connection(pki: Any) -> None:
    """Accepting waits for no byte of the client: it has sent none, and the connection is there."""
    listener = pki.server().wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    with listener, socket.create_connection(listener.getsockname(), timeout=20):
        connection, address = listener.accept()
        with connection:
            assert connection._latch.state is UNDECIDED
            assert address[0] == "127.0.0.1"
            assert isinstance(connection, ssl.SSLSocket)


def test_rule_3_silent_and_dripping_clients_stop_nobody(pki: Any, serving: Any) -> None:
    """Beside a client that sends nothing and one that sends a byte at a time, a good client is served at once."""
    with serving(pki.server(options=tls.ServerOptions(handshake_timeout=1.0))) as server:
        silent = socket.create_connection(server.address, timeout=20)
        dripping = socket.create_connection(server.address, timeout=20)
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                try:
                    dripping.send(b"\x16")
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        assert ask(pki, server.address) == b"you are frodo: hello"
        assert time.monotonic() - began < 1.0
        assert server.result().common_name == "frodo"
        outcomes = [server.result(), server.result()]
        stop.set()
        thread.join(10)
        assert silent.recv(1) == b""
        silent.close()
        dripping.close()
        assert any(isinstance(outcome, TimeoutError) for outcome in outcomes)
        assert all(isinstance(outcome, OSError) for outcome in outcomes)
        assert all(connection.fileno() == -1 for connection in server.connections)


def test_rule_3_dripping_bytes_do_not_stretch_the_deadline(pki: Any, serving: Any, pair: Any) -> None:
    """A client that sends its first flight one byte at a time is cut at the deadline of the whole handshake."""
    ends = pair(pki.server(), pki.plain_client(), "localhost")
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.do_handshake()
    hello = ends.to_server.read()
    with serving(pki.server(options=tls.ServerOptions(handshake_timeout=0.6))) as server:
        with socket.create_connection(server.address, timeout=20) as raw:
            began = time.monotonic()
            try:
                for byte in hello:
                    raw.send(bytes([byte]))
                    time.sleep(0.05)
            except OSError:
                pass
            outcome = server.result()
            assert 0.5 < time.monotonic() - began < 15
        assert isinstance(outcome, TimeoutError)
        latch = server.connections[0]._latch
        assert latch.state is REFUSED
        assert latch.decision.code == "tls.handshake-timeout"


def test_the_callers_own_timeout_is_kept_and_may_be_shorter(pki: Any, serving: Any) -> None:
    """A socket's time-out ends one call, not the handshake: it can be taken up again while the context's time lasts."""
    timeouts: list[Any] = []

    def serve(connection: ssl.SSLSocket) -> Any:
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.do_handshake()
        timeouts.append(connection.gettimeout())
        assert connection._latch.state is UNDECIDED  # type: ignore[attr-defined]
        go.set()
        connection.settimeout(20)
        connection.do_handshake()
        timeouts.append(connection.gettimeout())
        return connection.recv(100)

    go = threading.Event()
    with serving(pki.server(), serve) as server:
        raw = socket.create_connection(server.address, timeout=20)
        assert go.wait(20)
        with pki.plain_client().wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"hello")
            assert server.result() == b"hello"
    assert timeouts == [0.05, 20]


def test_a_handshake_is_not_taken_up_after_the_deadline(pki: Any, serving: Any) -> None:
    """When the context's time is over a second attempt does not begin anew: the connection is shut."""

    def serve(connection: ssl.SSLSocket) -> Any:
        for _ in range(100):
            connection.settimeout(0.05)
            try:
                connection.do_handshake()
            except TimeoutError as error:
                if connection.fileno() == -1:
                    return error
        return None

    with (
        serving(pki.server(options=tls.ServerOptions(handshake_timeout=0.2)), serve) as server,
        socket.create_connection(server.address, timeout=20),
    ):
        assert isinstance(server.result(), TimeoutError)


def test_a_socket_that_does_not_block_is_decided_without_waiting(pki: Any) -> None:
    """Without blocking the handshake goes on call by call, and the decision waits for no fact."""
    asked: list[int] = []

    @policies.lookup("test.row", key=lambda path: path.end_entity.sha256, identifies=True)
    def row(value: object, _: Evidence) -> bool:
        return value == "yes"

    answer = threading.Event()

    def fetch(_: Any) -> str:
        asked.append(threading.get_ident())
        answer.wait(20)
        return "yes"

    with Resolver({"test.row": fetch}) as resolver:
        options = tls.ServerOptions(resolver=resolver)
        listener = pki.server(row, options=options).wrap_socket(
            socket.create_server(("127.0.0.1", 0)), server_side=True
        )
        outcomes: list[Any] = []
        thread = threading.Thread(target=lambda: outcomes.append(ask(pki, listener.getsockname())), daemon=True)
        thread.start()
        connection, _ = listener.accept()
        listener.close()
        connection.settimeout(0.0)
        began = time.monotonic()
        caught = None
        while caught is None and time.monotonic() - began < 20:
            try:
                connection.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                time.sleep(0.01)
            except tls.HandshakeRejected as error:
                caught = error
        thread.join(20)
        answer.set()
        assert connection.fileno() >= 0, "whoever drives the socket has it in a table, and closes it"
        connection.close()
    assert caught is not None
    assert caught.code == "fact.missing"
    assert caught.retryable
    assert threading.get_ident() not in asked
    assert outcomes == [b""]


def test_a_blocking_socket_resolves_inline(pki: Any, serving: Any) -> None:
    """A socket that blocks asks the resolver in its handshake, in its own thread, and is decided with the answer."""

    @policies.lookup("test.row", key=lambda path: path.end_entity.common_name, identifies=True)
    def row(value: object, _: Evidence) -> bool:
        return value == "yes"

    with Resolver({"test.row": lambda key: "yes" if key == "frodo" else "no"}) as resolver:
        options = tls.ServerOptions(resolver=resolver, pending="hold")  # a blocking socket never holds
        with serving(pki.server(row, options=options)) as server:
            assert ask(pki, server.address) == b"you are frodo: hello"
            assert server.result().common_name == "frodo"
            assert server.connections[0]._latch.state is ADMITTED
            assert ask(pki, server.address, "sam") == b""
            assert server.result().code == "fact.refused"


def test_resolving_ends_with_the_handshakes_time(pki: Any, serving: Any) -> None:
    """A source that never answers cannot hold a handler longer than the handshake may take: no fact, no admission."""
    forever = threading.Event()

    @policies.lookup("test.row", key=lambda _: 1, identifies=True)
    def row(_: object, __: Evidence) -> bool:
        return True

    with Resolver({"test.row": lambda _: forever.wait(30)}, deadline=25.0) as resolver:
        options = tls.ServerOptions(resolver=resolver, handshake_timeout=0.5)
        with serving(pki.server(row, options=options)) as server:
            began = time.monotonic()
            assert ask(pki, server.address) == b""
            outcome = server.result()
            assert time.monotonic() - began < 15
        forever.set()
    assert outcome.code == "fact.missing"
    assert outcome.http_status == 503


class Page(http.server.BaseHTTPRequestHandler):
    """Says who asks."""

    def do_GET(self) -> None:
        """Answer with the name of the peer."""
        peer = tls.peer_of(self.connection)
        body = str(peer and peer.common_name).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parameter of the standard library
        """Say nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    """A threaded server that keeps what its handlers raised."""

    raised: list[BaseException]

    def handle_error(self, _: Any, __: Any) -> None:
        """Keep the exception."""
        import sys

        error = sys.exception()
        assert error is not None
        self.raised.append(error)


@pytest.fixture
def site(pki: Any) -> Any:
    """Return an http.server of the standard library behind a context of ours."""
    server = Quiet(("127.0.0.1", 0), Page)
    server.raised = []
    server.socket = pki.server().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(20)


def test_threading_http_server_serves_beside_a_silent_client(pki: Any, site: Any) -> None:
    """THREATS 1, silent client: http.server answers a good client while another one has sent nothing."""
    import http.client

    with socket.create_connection(site.server_address, timeout=20):
        for name, wanted in (("frodo", b"frodo"), ("sam", None)):
            connection = http.client.HTTPSConnection(
                "localhost", site.server_address[1], context=pki.plain_client(name), timeout=20
            )
            try:
                connection.request("GET", "/")
                assert connection.getresponse().read() == wanted
            except (OSError, http.client.HTTPException):
                assert wanted is None
            finally:
                connection.close()


def test_every_refused_connection_of_http_server_is_logged(pki: Any, site: Any, lines: Any) -> None:
    """The line is there under http.server, for our refusals and for OpenSSL's, with address, code and subject."""
    for name in ("sam", "stranger", None):
        try:
            assert ask(pki, site.server_address, name) == b""
        except OSError:
            continue
    deadline = time.monotonic() + 20
    while len(site.raised) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    found = lines()
    assert len(found) == 3, found
    assert all(line.startswith("WARNING refused 127.0.0.1:") for line in found)
    assert [line.split(": ")[1] for line in found] == [
        "name.mismatch",
        "tls.openssl-no-issuer",
        "tls.openssl-no-certificate",
    ]
    assert found[0].endswith("subject: CN=sam")

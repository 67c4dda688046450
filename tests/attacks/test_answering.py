"""Attacks on servers that answer refused clients: nothing that such a client sends reaches the application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import threading
from collections.abc import Generator, Iterator
from typing import Any

import httpx
import pytest
from hypercorn.asyncio import serve

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations import hypercorn as our_hypercorn
from mtlspolicy.tls._answering import answering_listener
from tests.integrations import applications
from tests.integrations.answering import CREDENTIAL, FRODO, Clients, Counted, context_for, serving
from tests.integrations.serving import HOST, PATIENCE, ROOT, listening, on_thread, uvicorn_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
_BOTH = ["uvicorn-h11-asyncio", "uvicorn-httptools-uvloop", "hypercorn"]
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """The clients of all tests here."""
    return Clients(tmp_path_factory.mktemp("clients"))


@contextlib.contextmanager
def _connection(address: Any, context: ssl.SSLContext, host: str = "localhost") -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(address, PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection


def _everything(address: Any, context: ssl.SSLContext, sent: bytes, host: str = "localhost") -> bytes:
    """Send, and return all that comes back before the server ends the connection, however it does."""
    got = b""
    with contextlib.suppress(OSError), _connection(address, context, host) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        while chunk := connection.recv(65536):
            got += chunk
    return got


class _Application(asyncio.Protocol):
    """Of somebody who forgot everything of ours: greets whoever connects, and answers whatever comes."""

    made: list[Any]
    heard: list[bytes]

    def connection_made(self, transport: Any) -> None:
        """Take note, and greet."""
        self.made.append(transport)
        self.transport = transport
        with contextlib.suppress(Exception):
            transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        """Take note, and answer."""
        self.heard.append(data)
        self.transport.write(b"secret")


@contextlib.contextmanager
def _bare(context: ssl.SSLContext, *, gated: bool = False) -> Generator[tuple[Any, type[_Application]], None, None]:
    """Serve by asyncio alone; give the address and the application's class."""
    made: Any = type("Application", (_Application,), {"made": [], "heard": []})
    with listening() as listener:
        loop = asyncio.new_event_loop()
        ended = asyncio.Event()

        async def serve() -> None:
            server = await loop.create_server(tls.gate(made) if gated else made, sock=listener, ssl=context)
            await ended.wait()
            server.close()
            for transport in made.made:
                transport.abort()
            await asyncio.sleep(0.05)

        def run() -> None:
            loop.run_until_complete(serve())
            loop.close()

        with on_thread(run, lambda: loop.call_soon_threadsafe(ended.set)):
            yield listener.getsockname(), made


@pytest.mark.parametrize("name", _BOTH)
def test_the_middleware_is_forgotten(clients: Clients, name: str) -> None:
    """The user names no middleware at all: the one call installs it, and the refused never reach the application."""
    app = Counted()
    with serving(name)(app, context=context_for(), refuse="respond") as server:
        for who in ("gollum", None):
            assert _everything(server.address, clients[who], _GET).startswith(b"HTTP/1.1 403")
        assert app.calls == 0
        assert clients.get(server, "frodo").json()["peer"] == "frodo"


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("who", ["gollum", None])
def test_the_gate_that_answers_is_forgotten(clients: Clients, who: str | None, *, gated: bool) -> None:
    """The listener itself, served without a gate or with one that does not answer: not a byte in either direction."""
    with _bare(answering_listener(context_for()), gated=gated) as (address, application):
        assert _everything(address, clients[who], b"request") == b""
        assert application.heard == []
        with _connection(address, clients["frodo"]) as good:
            assert good.recv(5) == b"hello"
    assert application.heard == []


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("who", ["gollum", None])
def test_another_server_of_the_process_has_the_same_context_bare(
    clients: Clients, who: str | None, *, gated: bool
) -> None:
    """A context that one server answers with refuses in the handshake everywhere else, without certificate too."""
    context = context_for()
    with (
        serving("uvicorn-h11-asyncio")(Counted(), context=context, refuse="respond") as server,
        _bare(context, gated=gated) as (address, application),
    ):
        assert clients.get(server, who).status_code == 403
        assert _everything(address, clients[who], b"request") == b""
        assert application.made == []
        with _connection(address, clients["frodo"]) as good:
            assert good.recv(5) == b"hello"
    assert len(application.made) == 1


def test_a_blocking_server_of_the_process_has_the_same_context(clients: Clients) -> None:
    """Likewise for a socket that blocks: no certificate is a refusal, although OpenSSL has finished the handshake."""
    context = context_for()
    answering_listener(context)
    codes: list[str] = []

    with listening() as listener:

        def serve() -> None:
            for _ in range(2):
                plain, _ = listener.accept()
                plain.settimeout(PATIENCE)
                with plain:
                    try:
                        with context.wrap_socket(plain, server_side=True) as connection:
                            connection.sendall(b"secret")
                    except tls.HandshakeRejected as error:
                        codes.append(error.code)

        thread = threading.Thread(target=serve)
        thread.start()
        assert _everything(listener.getsockname(), clients[None], b"") == b""
        assert _everything(listener.getsockname(), clients["gollum"], b"") == b""
        thread.join(PATIENCE)
    assert codes == ["path.no-certificate", "name.mismatch"]


def test_hypercorn_itself_is_given_our_configuration(clients: Clients) -> None:
    """What answers is `serve`, never the configuration: served without it the refused are closed, as ever."""
    app = Counted()
    with listening() as listener:
        config = our_hypercorn.config(context=context_for(), bind=[f"fd://{os.dup(listener.fileno())}"])
        config.graceful_timeout = 1
        config.accesslog = config.errorlog = None
        loop, ended = asyncio.new_event_loop(), asyncio.Event()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(serve(app, config, shutdown_trigger=ended.wait))
            loop.close()

        with on_thread(run, lambda: loop.call_soon_threadsafe(ended.set)):
            for who in ("gollum", None):
                assert _everything(listener.getsockname(), clients[who], _GET) == b""
    assert app.calls == 0


@pytest.mark.parametrize("name", _BOTH)
def test_a_refused_client_pipelines_a_hundred_requests(clients: Clients, name: str) -> None:
    """One answer, then the end; the application hears of none of them."""
    app = Counted()
    with serving(name)(app, context=context_for(), refuse="respond") as server:
        got = _everything(server.address, clients["gollum"], _GET * 100)
        assert got.count(b"HTTP/1.1 ") <= 1
        assert got.startswith(b"HTTP/1.1 403") or got == b""
        assert clients.get(server, "gollum").status_code == 403
    assert app.calls == 0


_UPGRADES = {
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
}


@pytest.mark.parametrize("upgrade", _UPGRADES)
@pytest.mark.parametrize("name", _BOTH)
def test_a_refused_client_begins_with_an_upgrade(clients: Clients, name: str, upgrade: str) -> None:
    """Whatever protocol the connection could become, it becomes one for the refusal alone."""
    app = Counted()
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + _UPGRADES[upgrade] + b"\r\n"
    options = tls.ServerOptions(handshake_timeout=1.0)
    with serving(name)(app, context=context_for(options=options), refuse="respond") as server:
        got = _everything(server.address, clients["gollum"], request)
    assert app.calls == 0
    assert b"HTTP/1.1 403" in got or (name, upgrade) == ("hypercorn", "h2c")
    assert b"peer" not in got


@pytest.mark.parametrize("name", _BOTH)
def test_refused_clients_that_are_slow_do_not_stay_nor_hold_others_up(clients: Clients, name: str) -> None:
    """Ten that send a byte now and then are closed at their deadline; a good one is served meanwhile."""
    options = tls.ServerOptions(handshake_timeout=1.0)
    with (
        serving(name)(Counted(), context=context_for(options=options), refuse="respond") as server,
        contextlib.ExitStack() as stack,
    ):
        slow = [stack.enter_context(_connection(server.address, clients["gollum"])) for _ in range(10)]
        for one in slow:
            one.sendall(b"G")
        assert clients.get(server, "frodo").status_code == 200
        for one in slow:
            with contextlib.suppress(OSError):
                assert one.recv(1) in (b"", b"H")  # ended by us, or with the server's own answer to half a request


@pytest.mark.parametrize("name", _BOTH)
def test_a_refused_client_sends_a_body_without_end(clients: Clients, name: str) -> None:
    """It has its answer, and is shut when it goes on."""
    app = Counted()
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(name)(app, context=context_for(), refuse="respond") as server:
        with _connection(server.address, clients["gollum"]) as connection, contextlib.suppress(OSError):
            connection.sendall(head)
            assert connection.recv(12) == b"HTTP/1.1 403"
            for _ in range(10_000):
                connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            pytest.fail("it was listened to for 650 MB")
        assert clients.get(server, "frodo").status_code == 200
    assert app.calls == 1


@pytest.mark.parametrize("name", _BOTH)
def test_a_callback_for_names_leads_to_a_host_that_was_never_told_to_answer(clients: Clients, name: str) -> None:
    """A callback of somebody's own swaps the context: the policy of the one that was reached refuses, whoever asks."""
    strict = context_for(policies.CommonName("sam"))
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.load_cert_chain(*clients.files("frodo"))
    lax.verify_mode = ssl.CERT_OPTIONAL
    front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    front.verify_mode = ssl.CERT_REQUIRED
    CREDENTIAL.load_into(front)
    hosts = {"strict.test": strict, "lax.test": lax}

    def lead(connection: Any, host: str | None, _: Any) -> None:
        if host in hosts:
            connection.context = hosts[host]

    front.sni_callback = lead
    tls.enforce(front, Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=FRODO))
    app = Counted()
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with serving(name)(app, context=front, refuse="respond") as server:
        assert _everything(server.address, anyone, _GET, "strict.test").startswith(b"HTTP/1.1 403")
        assert _everything(server.address, clients["frodo"], _GET, "strict.test").startswith(b"HTTP/1.1 403")
        assert _everything(server.address, anyone, _GET, "lax.test") == b""  # no verifier there: closed
        assert app.calls == 0


async def _leaking(scope: Any, receive: Any, send: Any) -> None:
    """Tell what the connection below says of itself, whatever the middleware said."""
    if scope["type"] != "lifespan":
        connection = scope["mtlspolicy.accepted"].connection
        assert tls.peer_of(connection) is asgi.peer(scope)
    await applications.tell(scope, receive, send)


def _factory() -> Any:
    """Make the application, as frameworks do."""
    return _leaking


application = _leaking


@pytest.mark.parametrize(
    ("path", "options"),
    [("tests.attacks.test_answering:application", {}), ("tests.attacks.test_answering:_factory", {"factory": True})],
)
def test_the_application_is_named_by_its_path(clients: Clients, path: str, options: Any) -> None:
    """An application that the server imports, or makes, stands behind the middleware like any other."""
    with uvicorn_serving(path, context=context_for(), refuse="respond", **options) as server:
        assert clients.get(server, "frodo").json()["peer"] == "frodo"
        for who in ("gollum", None):
            assert clients.get(server, who).status_code == 403


@pytest.mark.parametrize("name", _BOTH)
def test_a_client_claims_in_headers_what_its_connection_refuses(clients: Clients, name: str) -> None:
    """No header speaks for a connection that was refused."""
    app = Counted()
    headers = {"Client-Cert": ":AAAA:", "X-SSL-Client-Verify": "SUCCESS", "X-Forwarded-For": HOST}
    with serving(name)(app, context=context_for(), refuse="respond") as server:
        reply: httpx.Response = clients.get(server, "gollum", headers=headers)
    assert (reply.status_code, app.calls) == (403, 0)

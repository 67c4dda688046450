"""`refuse="respond"`: a refused client is told so by the server, and the application never sees its request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mtlspolicy import policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations import hypercorn as our_hypercorn
from mtlspolicy.integrations import uvicorn as our_uvicorn
from mtlspolicy.tls import _log
from tests.integrations import applications
from tests.integrations.answering import FRODO, SERVERS, Clients, Counted, context_for, serving
from tests.integrations.serving import HOST, PATIENCE, ROOT, Server, listening, on_thread

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
_REFUSED = [("gollum", "name.mismatch"), (None, "path.no-certificate")]
_ALPN = ("h2", "http/1.1")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    """The clients of all tests here."""
    return Clients(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def answering() -> Generator[Any, None, None]:
    """Start each server when it is first asked for: ``refuse="respond"``, frodo alone may come."""
    running: dict[str, tuple[Server, Counted]] = {}
    with ExitStack() as stack:

        def server(name: str) -> tuple[Server, Counted]:
            if name not in running:
                app = Counted()
                context = context_for(alpn=_ALPN if name == "hypercorn" else ())
                served = stack.enter_context(serving(name)(app, context=context, refuse="respond"))
                running[name] = served, app
            return running[name]

        yield server


@pytest.mark.parametrize("name", SERVERS)
def test_one_call_gives_the_application_the_peer(answering: Any, clients: Clients, name: str) -> None:
    """The verifier is named once, in the context; the application asks for the peer and has it."""
    server, app = answering(name)
    before = app.calls
    reply = clients.get(server, "frodo", method="POST", content=b"x" * 100_000)
    assert (reply.status_code, reply.json()["peer"]) == (200, "frodo")
    assert app.calls == before + 1


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(("who", "code"), _REFUSED)
@pytest.mark.parametrize("octets", [0, 300_000])
def test_who_is_refused_is_told_so_and_the_application_hears_nothing(
    answering: Any, clients: Clients, name: str, who: str | None, code: str, octets: int
) -> None:
    """403 with the code alone, and the end of the connection; also where a body was on its way."""
    server, app = answering(name)
    before = app.calls
    reply = clients.get(server, who, method="POST" if octets else "GET", content=b"x" * octets)
    assert (reply.status_code, reply.json()) == (403, {"error": code})
    assert (reply.headers["connection"], reply.headers["cache-control"]) == ("close", "no-store")
    assert app.calls == before


@pytest.mark.parametrize("name", SERVERS)
def test_whom_openssl_refuses_gets_no_answer(answering: Any, clients: Clients, name: str) -> None:
    """A certificate of an unknown CA ends the handshake, as with any server."""
    server, app = answering(name)
    before = app.calls
    with pytest.raises(httpx.TransportError):
        clients.get(server, "stranger")
    assert app.calls == before


@pytest.mark.parametrize("name", SERVERS)
def test_a_websocket_is_refused_before_it_begins(answering: Any, clients: Clients, name: str) -> None:
    """A client of websockets is told 403 and the code; an admitted one has its peer."""
    server, app = answering(name)
    url = f"wss://localhost:{server.address[1]}/"
    with connect(url, ssl=clients["frodo"], proxy=None) as socket_:
        assert json.loads(socket_.recv())["peer"] == "frodo"
    before = app.calls
    for who, code in _REFUSED:
        with pytest.raises(InvalidStatus) as raised, connect(url, ssl=clients[who], proxy=None):
            pass
        assert raised.value.response.status_code == 403
        assert json.loads(raised.value.response.body or b"") == {"error": code}
    assert app.calls == before


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "uvicorn-httptools-uvloop", "hypercorn"])
def test_curl_is_told(answering: Any, clients: Clients, tmp_path: Path, name: str) -> None:
    """What partners test an endpoint with: 200, 403, 403 with a body that waits for 100-continue, and nothing."""
    server, _ = answering(name)
    body = tmp_path / "body"
    body.write_bytes(b"x" * 200_000)
    assert clients.curl(server, "frodo").stdout.endswith("\n200")
    assert clients.curl(server, "gollum").stdout == '{"error": "name.mismatch"}\n\n403'
    posted = clients.curl(server, None, "--http1.1", "--header", "Expect: 100-continue", "--data-binary", f"@{body}")
    assert posted.stdout == '{"error": "path.no-certificate"}\n\n403'
    assert clients.curl(server, "stranger").stdout.endswith("\n000")


@pytest.mark.parametrize(("who", "code"), _REFUSED)
def test_http2_is_answered_stream_by_stream(answering: Any, clients: Clients, who: str | None, code: str) -> None:
    """Each request of the connection is refused, without a field that HTTP/2 does not have."""
    server, app = answering("hypercorn")
    before = app.calls
    url = f"https://localhost:{server.address[1]}/"
    with httpx.Client(verify=clients[who], http2=True, trust_env=False) as client:
        for content in (None, b"x" * 10_000):
            reply = client.post(url, content=content)
            assert (reply.http_version, reply.status_code, reply.json()) == ("HTTP/2", 403, {"error": code})
            assert "connection" not in reply.headers
    assert app.calls == before


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
def test_the_status_without_a_certificate_is_chosen(clients: Clients, name: str) -> None:
    """401 comes with a challenge; another refusal keeps its status."""
    with serving(name)(applications.tell, context=context_for(), refuse="respond", absent=401) as server:
        reply = clients.get(server, None)
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Mutual error="path.no-certificate"')
        assert clients.get(server, "gollum").status_code == 403


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
def test_each_refused_connection_is_logged_once(clients: Clients, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """With its address, its code and its subject, as where the connection is closed."""
    _log.LIMITER.clear()
    with (
        caplog.at_level(logging.WARNING, logger="mtlspolicy"),
        serving(name)(applications.tell, context=context_for(), refuse="respond") as server,
    ):
        assert clients.get(server, "gollum").status_code == 403
    records = [record for record in caplog.records if record.name in {"mtlspolicy.connection", "mtlspolicy.request"}]
    (record,) = records
    message = record.getMessage()
    assert message.startswith(f"refused {HOST}:")
    assert "name.mismatch" in message
    assert "subject: CN=gollum" in message


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "uvicorn-httptools-uvloop", "hypercorn"])
def test_by_default_the_connection_is_closed(clients: Clients, name: str) -> None:
    """refuse="handshake": nobody is answered, nothing of the application runs; the good one has its peer."""
    app = Counted()
    with serving(name)(app, context=context_for()) as server:
        for who in ("gollum", None, "stranger"):
            with pytest.raises(httpx.TransportError):
                clients.get(server, who)
        assert app.calls == 0
        assert clients.get(server, "frodo").json()["peer"] == "frodo"


@pytest.mark.parametrize("refuse", ["handshake", "respond"])
@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
def test_where_a_certificate_is_optional_nobody_without_one_is_refused(
    clients: Clients, name: str, refuse: str
) -> None:
    """The context's meaning stays: no certificate is no peer; the wrong one is refused as ever."""
    context = context_for(client_certificate="optional")
    with serving(name)(applications.tell, context=context, refuse=refuse) as server:
        assert clients.get(server, None).json()["peer"] is None
        assert clients.get(server, "frodo").json()["peer"] == "frodo"
        if refuse == "respond":
            assert clients.get(server, "gollum").json() == {"error": "name.mismatch"}
        else:
            with pytest.raises(httpx.TransportError):
                clients.get(server, "gollum")


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
def test_a_further_policy_is_asked_of_every_request(clients: Clients, name: str) -> None:
    """`policy=` of the one call is that of the middleware that it installs."""
    either = context_for(policies.CommonName("frodo", "sam"))
    with serving(name)(applications.tell, context=either, policy=FRODO) as server:
        assert clients.get(server, "frodo").status_code == 200
        assert clients.get(server, "sam").json() == {"error": "name.mismatch"}


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
def test_an_application_that_has_the_middleware_keeps_its_own(clients: Clients, name: str) -> None:
    """What is around it already is not put around it again, and still refusals are answered."""
    wrapped = asgi.Middleware(applications.tell, source="connection", policy=policies.CommonName("sam"))
    context = context_for(policies.CommonName("frodo", "sam"))
    with serving(name)(wrapped, context=context, refuse="respond") as server:
        assert clients.get(server, "sam").json()["peer"] == "sam"
        assert clients.get(server, "frodo").json() == {"error": "name.mismatch"}
        assert clients.get(server, "gollum").json() == {"error": "name.mismatch"}
        assert clients.get(server, None).json() == {"error": "path.no-certificate"}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_that_is_resumed_is_refused_again(answering: Any, clients: Clients, version: ssl.TLSVersion) -> None:
    """Each connection is decided on, also where OpenSSL remembers the session of a refused one."""
    server, app = answering("uvicorn-h11-asyncio")
    before, session = app.calls, None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.der)
    context.load_cert_chain(*clients.files("gollum"))
    context.minimum_version = context.maximum_version = version
    for _ in range(3):
        with (
            socket.create_connection(server.address) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 403"
            session = connection.session
    assert app.calls == before


@pytest.mark.parametrize("name", ["uvicorn-h11-asyncio", "hypercorn"])
def test_each_virtual_host_refuses_and_answers_by_its_own_policy(clients: Clients, name: str) -> None:
    """The host that the client asked for decides, and only that."""
    options = tls.ServerOptions(virtual_hosts={"strict.test": context_for(policies.CommonName("sam"))})
    app = Counted()
    with serving(name)(app, context=context_for(options=options), refuse="respond") as server:
        for host, who, status in [
            ("localhost", "frodo", 200),
            ("localhost", "sam", 403),
            ("strict.test", "sam", 200),
            ("strict.test", "frodo", 403),
            ("strict.test", None, 403),
        ]:
            with httpx.Client(verify=clients[who], trust_env=False) as client:
                url = f"https://{HOST}:{server.address[1]}/"
                reply = client.get(url, headers={"Host": host}, extensions={"sni_hostname": host})
            assert reply.status_code == status, (host, who, reply.text)
    assert app.calls == 2


def _begun(name: str, context: Any, **options: Any) -> None:
    """Configure uvicorn, or serve by Hypercorn until it has something against it."""
    if name == "uvicorn":
        our_uvicorn.config(applications.tell, log_config=None, context=context, **options)
    else:
        asyncio.run(our_hypercorn.serve(applications.tell, our_hypercorn.config(context=context), **options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"refuse": "maybe"}, "refuse='maybe'"),
        ({"refuse": "respond", "context": None}, "speaks no TLS"),
        ({"refuse": "respond", "context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "tls.server_context"),
        ({"policy": FRODO, "context": None}, "no context of ours"),
        ({"policy": "frodo"}, "policy=str"),
        ({"absent": 404}, "absent=404"),
        ({"absent": True}, "absent=True"),
    ],
)
@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_what_does_not_go_together_is_refused_by_name(name: str, options: dict[str, Any], words: str) -> None:
    """Before a socket is there: the message names the option and the remedy."""
    options = {"context": context_for(), **options}
    with pytest.raises(ConfigurationError, match=words):
        _begun(name, **options)


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_the_engine_that_refuses_by_an_alert_does_not_answer(name: str) -> None:
    """engine="pyopenssl" with "respond" is refused by name."""
    pytest.importorskip("OpenSSL")
    context: Any = context_for(options=tls.ServerOptions(engine="pyopenssl"))
    with pytest.raises(ConfigurationError, match="pyopenssl") as raised:
        _begun(name, context, refuse="respond")
    assert raised.value.code == "tls.wrong-engine"


def test_a_port_that_is_taken_ends_hypercorn_with_the_systems_error() -> None:
    """No socket of a server that did not start stays open."""
    with listening() as listener:
        host, port = listener.getsockname()
        config = our_hypercorn.config(context=context_for(), bind=[f"{host}:{port}"])
        with pytest.raises(OSError, match="in use"):
            asyncio.run(our_hypercorn.serve(applications.tell, config, refuse="respond"))


def test_a_start_up_that_fails_leaves_no_socket_open() -> None:
    """Hypercorn ends before it serves; what listens was opened before, and is closed (an open one is a warning)."""

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no data base"})

    config = our_hypercorn.config(context=context_for(), bind=[f"{HOST}:0"])
    config.accesslog = config.errorlog = None
    with pytest.raises(Exception, match="no data base"):
        asyncio.run(our_hypercorn.serve(fails, config, refuse="respond"))


def test_a_trigger_that_fails_ends_hypercorn_with_its_error() -> None:
    """As without the gate."""

    async def fails() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("the trigger")

    config = our_hypercorn.config(context=context_for(), bind=[f"{HOST}:0"])
    config.accesslog = config.errorlog = None
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - a group on some versions
        asyncio.run(our_hypercorn.serve(applications.tell, config, refuse="respond", shutdown_trigger=fails))
    assert "the trigger" in repr(raised.value)


def test_the_state_of_the_start_up_is_there_for_each_request(clients: Clients) -> None:
    """Hypercorn's lifespan state reaches requests through the gate, and each has its own copy."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "made at start-up"
        else:
            seen.append(scope["state"]["pool"])
        await applications.tell(scope, receive, send)

    with serving("hypercorn")(app, context=context_for(), refuse="respond") as server:
        assert clients.get(server, "frodo").status_code == 200
    assert seen == ["made at start-up"]


def test_hypercorn_ends_after_so_many_requests(clients: Clients) -> None:
    """`max_requests` counts behind the gate as well, and ends the server."""
    with listening() as listener:
        config = our_hypercorn.config(
            context=context_for(), bind=[f"fd://{os.dup(listener.fileno())}"], max_requests=1, graceful_timeout=1
        )
        config.accesslog = config.errorlog = None
        thread = threading.Thread(
            target=lambda: asyncio.run(
                our_hypercorn.serve(applications.tell, config, refuse="respond", shutdown_trigger=asyncio.Event().wait)
            )
        )
        thread.start()
        server = Server(listener.getsockname())
        for _ in range(2):
            assert clients.get(server, "frodo").status_code == 200
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_connection_that_stays_is_ended_with_hypercorn(clients: Clients) -> None:
    """At shutdown what is idle is closed, and what goes on is ended after the time that the configuration gives it."""

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await applications.tell(scope, receive, send)
            return
        began.set()
        await asyncio.Event().wait()

    began = threading.Event()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving("hypercorn")(endless, context=context_for(), refuse="respond"))
        plain = stack.enter_context(socket.create_connection(server.address, PATIENCE))
        connection = clients["frodo"].wrap_socket(plain, server_hostname="localhost")
        stack.enter_context(connection)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert began.wait(PATIENCE)
    assert began.is_set()


def test_hypercorn_ends_at_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a trigger it is ended by SIGTERM, also where loops take no signal handlers (Windows)."""
    for known in (True, False):
        loop = asyncio.new_event_loop()
        number = signal.SIGTERM
        before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            if not known:
                monkeypatch.setattr(loop, "add_signal_handler", _no_signals)
            config = our_hypercorn.config(context=context_for(), bind=[f"{HOST}:0"])
            config.accesslog = config.errorlog = None
            app = _Started(loop, number)
            loop.run_until_complete(asyncio.wait_for(our_hypercorn.serve(app, config, refuse="respond"), PATIENCE))
            assert app.ended
        finally:
            loop.close()
            for one, found in before.items():
                signal.signal(one, found)


def _no_signals(*_: Any) -> None:
    raise NotImplementedError


class _Started:
    """An application that has a signal sent to this process once the server waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self._loop = loop
        self._number = number
        self.ended = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the lifespan."""
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        self._loop.call_later(0.1, os.kill, os.getpid(), self._number)
        await receive()
        self.ended = True
        await send({"type": "lifespan.shutdown.complete"})


def test_the_logger_of_messages_does_not_hide_the_middleware() -> None:
    """What uvicorn itself puts around an application, proxy headers and the logger of messages, is looked through."""
    wrapped = asgi.Middleware(applications.tell, source="connection")
    config = our_uvicorn.config(wrapped, context=context_for(), log_config=None, log_level="trace")
    config.load()
    found: Any = config.loaded_app
    assert not isinstance(found, asgi.Middleware)
    plain = our_uvicorn.config(applications.tell, context=context_for(), log_config=None)
    plain.load()
    assert isinstance(plain.loaded_app, asgi.Middleware)


def test_a_plain_socket_beside_it_admits_nobody(clients: Clients) -> None:
    """A configuration that was given `insecure_bind` later: without TLS there is no peer, and no application runs."""
    app = Counted()
    with listening() as listener, listening() as insecure:
        config = our_hypercorn.config(
            context=context_for(), bind=[f"fd://{os.dup(listener.fileno())}"], graceful_timeout=1
        )
        config.insecure_bind = [f"fd://{os.dup(insecure.fileno())}"]
        config.accesslog = config.errorlog = None
        ended: list[Any] = []

        async def serve() -> None:
            end = asyncio.Event()
            ended.extend((asyncio.get_running_loop(), end))
            await our_hypercorn.serve(app, config, refuse="respond", shutdown_trigger=end.wait)

        with on_thread(lambda: asyncio.run(serve()), lambda: ended[0].call_soon_threadsafe(ended[1].set)):
            assert clients.get(Server(listener.getsockname()), "frodo").status_code == 200
            with httpx.Client(trust_env=False) as client:
                assert client.get(f"http://{HOST}:{insecure.getsockname()[1]}/").status_code == 500
    assert app.calls == 1

"""The accepted socket: Unix sockets, mislabelled descriptors, servers that hide it, HTTP/2, WebSockets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h2.connection as h2_connection
import h2.events as h2_events
import pytest
import uvicorn
import websockets
from websockets.sync.client import connect

from mtlspolicy import forwarded
from mtlspolicy.integrations import asgi
from mtlspolicy.integrations._immediate import accepted
from tests.integrations import applications
from tests.integrations.serving import (
    FRODO,
    GOLLUM,
    HOST,
    SAM,
    STRANGER,
    VERIFIER,
    Server,
    asgi_app,
    gunicorn_serving,
    hypercorn_serving,
    item,
    listening,
    on_thread,
    uvicorn_serving,
    werkzeug_serving,
    wsgi_app,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Unix sockets, their users, and 127.0.0.2")

_LOOPS = [("h11", "asyncio"), ("httptools", "uvloop")]


def _by_unix(**options: Any) -> forwarded.ForwardedSource:
    return forwarded.rfc9440(trusted=forwarded.UnixSocket(**options))


def _unix_servers(folder: Path, source: forwarded.ForwardedSource) -> dict[str, Callable[[], Any]]:
    path = str(folder / "s")
    app, plain = asgi_app(source=source), wsgi_app(source=source)
    return {
        "uvicorn-asyncio": lambda: uvicorn_serving(app, sock=listening(path), loop="asyncio"),
        "uvicorn-uvloop": lambda: uvicorn_serving(app, sock=listening(path), loop="uvloop"),
        "hypercorn": lambda: hypercorn_serving(app, path=path),
        "werkzeug": lambda: werkzeug_serving(plain, path=path),
        "gunicorn": lambda: gunicorn_serving("wsgi_app_unix", folder, "--worker-class", "sync", path=path),
    }


_UNIX = ["uvicorn-asyncio", "uvicorn-uvloop", "hypercorn", "werkzeug", "gunicorn"]


@pytest.mark.parametrize("name", _UNIX)
def test_a_proxy_over_a_unix_socket_is_known_by_the_listening_side(tmp_path: Path, name: str) -> None:
    """No address is not the sign of it: the socket that was listened on is."""
    with _unix_servers(tmp_path, _by_unix())[name]() as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}").told["peer"] == "frodo"
        assert server.ask().told == {"error": "path.no-certificate"}


@pytest.mark.parametrize("name", _UNIX[:-1])
def test_the_user_at_the_other_end_of_a_unix_socket_counts(tmp_path: Path, name: str) -> None:
    """SO_PEERCRED names the user; another one than the proxy's is a stranger."""
    header = f"Client-Cert: {item(FRODO)}"
    for uid, status in ((os.getuid(), 200), (os.getuid() + 1, 403)):
        folder = tmp_path / str(uid)
        folder.mkdir()
        with _unix_servers(folder, _by_unix(uids=[uid]))[name]() as server:
            assert server.ask(header).status == status


@pytest.mark.parametrize(("http", "loop"), _LOOPS)
@pytest.mark.parametrize("proxy_headers", [True, False])
def test_a_tcp_socket_labelled_as_unix_is_no_unix_socket(http: str, loop: str, *, proxy_headers: bool) -> None:
    """``uvicorn --fd`` labels every descriptor AF_UNIX: a stranger over TCP must not pass for the local proxy."""
    with listening() as real:
        labelled = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=os.dup(real.fileno()))
        app = asgi_app(source=_by_unix())
        options = {"proxy_headers": proxy_headers, "forwarded_allow_ips": "*"}
        with uvicorn_serving(app, sock=labelled, http=http, loop=loop, **options) as server:
            assert labelled.family == socket.AF_UNIX
            for claim in ((), ("X-Forwarded-For: unix:",), ("X-Forwarded-For:",)):
                reply = server.ask(f"Client-Cert: {item(FRODO)}", *claim)
                assert (reply.status, reply.told) == (403, {"error": "forwarded.untrusted-proxy"})


def test_a_tcp_client_without_an_address_for_the_server_is_no_unix_socket() -> None:
    """A closed socket has no address: it is nobody, and not the local proxy."""
    with listening() as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        client.close()
        server.close()
    found = accepted(server).peer()
    assert (found.address, found.unix, found.uid) == (None, False, None)
    assert _by_unix().gate.objection(found) is not None


def test_without_peer_credentials_nobody_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not tell the user leaves it unknown, and a list of users then admits nobody."""
    left, right = socket.socketpair()
    with left, right:
        assert accepted(left).peer().uid == os.getuid()
        monkeypatch.delattr(socket, "SO_PEERCRED")
        found = accepted(left).peer()
    assert (found.unix, found.uid) == (True, None)
    assert _by_unix(uids=[os.getuid()]).gate.objection(found) is not None
    assert _by_unix().gate.objection(found) is None


class _PlainUvicorn:
    """uvicorn as it comes, without protocols of ours."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, **options))
        self._listener = listening()

    def serving(self) -> AbstractContextManager[None]:
        """Serve until the block ends."""

        def stop() -> None:
            self._server.should_exit = True

        return on_thread(lambda: asyncio.run(self._server.serve([self._listener])), stop)

    @property
    def server(self) -> Server:
        """Where it listens."""
        return Server(self._listener.getsockname())


def test_a_server_that_hides_the_socket_admits_nobody_and_the_log_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """uvicorn without protocols of ours has a rewritten address alone: refused, with the remedy."""
    plain = _PlainUvicorn(asgi_app(), http="h11", forwarded_allow_ips="*")
    with plain.serving():
        reply = plain.server.ask(f"Client-Cert: {item(FRODO)}")
    assert reply.status == 500
    assert "integrations.uvicorn" in caplog.text
    assert "address_is_transport=True" in caplog.text


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_where_the_address_is_said_to_be_the_sockets_a_rewritten_one_is_seen(http: str) -> None:
    """Port 0, or an address that stands in the header it was made of: both are refused, with any port in it."""
    plain = _PlainUvicorn(asgi_app(address_is_transport=True), http=http, forwarded_allow_ips="*")
    header = f"Client-Cert: {item(FRODO)}"
    with plain.serving():
        assert plain.server.ask(header).told["peer"] == "frodo"
        for claim in ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 127.0.0.1:5000", "X-Forwarded-For: a, 127.0.0.1"):
            reply = plain.server.ask(header, claim, origin=STRANGER)
            assert (reply.status, reply.told) == (403, {"error": "forwarded.untrusted-proxy"})
        assert plain.server.ask(header, origin=STRANGER).status == 403


def test_a_trailer_that_uvicorn_takes_for_a_header_is_refused_without_protocols_of_ours() -> None:
    """uvicorn's own httptools protocol merges trailers into headers; a body in chunks with our header is refused."""
    plain = _PlainUvicorn(asgi_app(address_is_transport=True), http="httptools")
    request = f"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nClient-Cert: {item(SAM)}\r\n\r\n"
    with plain.serving(), plain.server.connection() as client:
        reply = client.raw(request.encode("ascii"))
    assert (reply.status, reply.told) == (400, {"error": "forwarded.trailer"})


def test_hypercorn_without_the_outermost_application_admits_nobody() -> None:
    """The connection that nobody introduced is not guessed; neither is one behind a wrapper that hides it."""
    header = f"Client-Cert: {item(FRODO)}"
    with hypercorn_serving(asgi_app(), introduced=False) as server:
        assert server.ask(header).status == 500

    from mtlspolicy.integrations.hypercorn import Outermost

    inner = Outermost(asgi_app())

    async def hiding(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            await send(message)

        await inner(scope, receive, sending)

    with hypercorn_serving(hiding, introduced=False) as server:
        assert server.ask(header).status == 500


def test_a_tunnel_of_http2_through_the_proxy_has_nobody_at_its_end() -> None:
    """``Upgrade: h2c`` that a proxy passes on lets a client write whole requests in its name."""
    settings = base64.urlsafe_b64encode(b"\0\3\0\0\0\x64").decode("ascii")
    lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", f"HTTP2-Settings: {settings}"]
    request = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")]
    with hypercorn_serving(asgi_app()) as server:
        for upgraded in (True, False):
            h2 = h2_connection.H2Connection()
            with socket.create_connection(server.address, 20) as sock:
                if upgraded:
                    sock.sendall("\r\n".join(["GET / HTTP/1.1", "Host: a", *lines, "", ""]).encode("ascii"))
                    with sock.makefile("rb", buffering=0) as file:
                        assert b" 101 " in file.readline()
                        while file.readline().strip():
                            continue
                    h2.initiate_upgrade_connection()
                else:
                    h2.initiate_connection()
                h2.send_headers(3, [*request, ("client-cert", item(SAM))], end_stream=True)
                sock.sendall(h2.data_to_send())
                status, body = _http2_reply(h2, sock, 3)
            assert (status, json.loads(body)) == (b"403", {"error": "forwarded.untrusted-proxy"})


def _http2_reply(h2: h2_connection.H2Connection, sock: Any, stream: int) -> tuple[bytes, bytes]:
    """Return status and body of one stream."""
    seen: list[Any] = []
    while not any(isinstance(event, h2_events.StreamEnded) and event.stream_id == stream for event in seen):
        seen += h2.receive_data(sock.recv(65536))
    ours = [event for event in seen if getattr(event, "stream_id", None) == stream]
    head = next(event for event in ours if isinstance(event, h2_events.ResponseReceived))
    body = b"".join(event.data for event in ours if isinstance(event, h2_events.DataReceived))
    return dict(head.headers)[b":status"], body


def test_trailers_of_an_http2_stream_are_no_headers() -> None:
    """A certificate in the trailers of a stream, which proxies pass on, gives nobody an identity."""
    h2 = h2_connection.H2Connection()
    h2.initiate_connection()
    request = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "a")]
    h2.send_headers(1, request)
    h2.send_data(1, b"a")
    h2.send_headers(1, [("client-cert", item(SAM))], end_stream=True)
    with hypercorn_serving(asgi_app(required=False)) as server, socket.create_connection(server.address, 20) as sock:
        sock.sendall(h2.data_to_send())
        status, body = _http2_reply(h2, sock, 1)
    assert status == b"200"
    assert json.loads(body)["peer"] is None
    assert "client-cert" not in json.loads(body)["headers"]


@pytest.mark.parametrize("http", ["h11", "httptools"])
@pytest.mark.parametrize("ws", ["auto", "websockets-sansio", "wsproto"])
def test_uvicorn_admits_and_refuses_websockets_before_they_are_accepted(http: str, ws: str) -> None:
    """The same answer as for a request, before the application is called; proxy headers change nothing."""
    with uvicorn_serving(asgi_app(), http=http, ws=ws, forwarded_allow_ips="*") as server:
        _websockets_are_judged(server)


def test_hypercorn_admits_and_refuses_websockets_before_they_are_accepted() -> None:
    """Likewise."""
    with hypercorn_serving(asgi_app()) as server:
        _websockets_are_judged(server)


def _websockets_are_judged(server: Server) -> None:
    url = f"ws://{HOST}:{server.address[1]}/"
    with connect(url, additional_headers={"Client-Cert": item(FRODO)}) as socket_:
        assert json.loads(socket_.recv())["peer"] == "frodo"
    for headers, status, origin in (
        ({}, 403, HOST),
        ({"Client-Cert": item(GOLLUM)}, 403, HOST),
        ({"Client_Cert": item(SAM)}, 400, HOST),
        ({"Client-Cert": item(FRODO), "X-Forwarded-For": HOST}, 403, STRANGER),
    ):
        raw = socket.create_connection(server.address, 20, source_address=(origin, 0))
        with pytest.raises(websockets.InvalidStatus) as caught, connect(url, sock=raw, additional_headers=headers):
            pass
        assert caught.value.response.status_code == status


def test_the_secret_of_the_scope_is_no_name_that_a_middleware_could_write() -> None:
    """A value under our key that no edge of ours has made counts for nothing."""
    app = asgi.Middleware(applications.tell, source=applications.source(), verifier=VERIFIER)

    async def forging(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["mtlspolicy.accepted"] = forwarded.ImmediatePeer(HOST)
        await app(scope, receive, send)

    with uvicorn_serving(forging) as server:
        assert server.ask(f"Client-Cert: {item(FRODO)}", origin=STRANGER).status == 500

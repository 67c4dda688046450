"""aiohttp's server behind a proxy: what is forwarded, and nothing that clients or middlewares make of it."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import Generator
from typing import Any

import aiohttp.web_protocol
import pytest
from aiohttp import web
from aiohttp.http_parser import HttpRequestParserPy

from mtlspolicy.integrations import aiohttp as ours
from tests.integrations import applications
from tests.integrations.aiohttp_serving import aiohttp_serving, behind_a_proxy, tell
from tests.integrations.serving import FRODO, GOLLUM, HOST, SAM, STRANGER, VERIFIER, Server, item

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one loop there, and no Unix sockets")


@pytest.fixture(scope="module", params=["compiled", "python"])
def proxied(request: pytest.FixtureRequest) -> Generator[Server, None, None]:
    """Lend a server behind a proxy at 127.0.0.1, with either of aiohttp's parsers."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            patch.setattr(aiohttp.web_protocol, "HttpRequestParser", HttpRequestParserPy)
        with aiohttp_serving(behind_a_proxy()) as server:
            yield server


def test_the_proxy_says_who_it_is_and_the_application_does_not_see_how(proxied: Server) -> None:
    """The headers are gone from ``headers`` and ``raw_headers``; the answer is kept from shared caches."""
    reply = proxied.ask(f"Client-Cert: {item(FRODO)}", "X-Other: 1", "X-Latin: \xe9")
    assert (reply.status, reply.told["peer"]) == (200, "frodo")
    assert reply.told["headers"] == ["connection", "host", "x-latin", "x-other"]
    assert reply.headers["cache-control"] == "no-store"
    assert "client-cert" not in reply.headers
    assert proxied.ask(f"Client-Cert: {item(GOLLUM)}").told == {"error": "name.mismatch"}
    assert proxied.ask().told == {"error": "path.no-certificate"}


def _inner_only(middleware: Any) -> web.Application:
    """Return the application behind a proxy with one more middleware, which stands inside."""
    app = web.Application(middlewares=[middleware])
    app.router.add_get("/", tell)
    ours.install(app, source=applications.source(), verifier=VERIFIER)
    return app


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lends the whole network 127.0.0.0/8")
def test_a_middleware_that_rewrites_the_address_has_no_part_in_it() -> None:
    """Whoever rewrites ``request.remote``, inside of ours or around it, moves nobody into the trusted network."""

    @web.middleware
    async def rewriting(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request.clone(remote=request.headers["X-Forwarded-For"]))
        return response

    outer, inner = web.Application(middlewares=[rewriting]), behind_a_proxy()
    inner.middlewares.append(rewriting)
    outer.add_subapp("/inner", inner)
    with aiohttp_serving(outer) as server, server.connection(STRANGER) as client:
        text = f"GET /inner/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {HOST}\r\nClient-Cert: {item(FRODO)}\r\n\r\n"
        assert client.raw(text.encode("ascii")).told == {"error": "forwarded.untrusted-proxy"}
    with aiohttp_serving(_inner_only(rewriting)) as server:
        reply = server.ask(f"Client-Cert: {item(FRODO)}", "X-Forwarded-For: 10.0.0.1")
        assert (reply.told["peer"], reply.told["client"]) == ("frodo", "10.0.0.1")


@pytest.mark.parametrize("version", ["1.0", "0.9"])
def test_old_versions_of_http_carry_no_identity(proxied: Server, version: str) -> None:
    """A proxy of today speaks HTTP/1.1."""
    with proxied.connection() as client:
        text = f"GET / HTTP/{version}\r\nHost: a\r\nClient-Cert: {item(FRODO)}\r\nConnection: close\r\n\r\n"
        assert client.raw(text.encode("ascii")).status in {0, 400}


def test_trailers_are_no_headers(proxied: Server) -> None:
    """A proxy passes on the trailers of a client: they identify nobody, neither alone nor beside the proxy's header."""
    for before, after, peer in (
        ("", f"Client-Cert: {item(FRODO)}\r\n", None),
        (f"Client-Cert: {item(SAM)}\r\n", f"Client-Cert: {item(FRODO)}\r\n", "sam"),
    ):
        text = f"POST / HTTP/1.1\r\nHost: a\r\n{before}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n{after}\r\n"
        with proxied.connection() as client:
            reply = client.raw(text.encode("ascii"))
        assert (reply.status, reply.told.get("peer")) in {(200, peer), (403, None), (400, None)}
        assert (reply.status == 200) == (peer is not None)


def test_an_upgrade_that_is_refused_leaves_no_tunnel(proxied: Server) -> None:
    """What follows a WebSocket that was refused is a request like any other, judged by itself."""
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    upgrade += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    behind = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with proxied.connection() as client:
        first = client.raw(f"GET /echo HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n{behind}".encode("ascii"))
        assert first.told == {"error": "path.no-certificate"}
        assert client.raw(b"").status in {0, 403}  # aiohttp 3.11 never looks at it
    with proxied.connection() as client:
        text = f"GET /echo HTTP/1.1\r\nHost: a\r\n{upgrade}Client-Cert: {item(FRODO)}\r\n\r\n"
        assert client.raw(text.encode("ascii")).status == 101


def test_the_files_of_a_form_are_closed_after_the_request() -> None:
    """aiohttp closes them for the request that it made, and the application was given a copy."""
    kept: list[Any] = []

    async def upload(request: web.Request) -> web.Response:
        kept.append((await request.post())["file"].file)  # type: ignore[union-attr]
        ours.presented(request)
        return web.Response(text=str(kept[0].closed))

    app = web.Application()
    app.router.add_post("/", upload)
    ours.install(app, source=applications.source(), verifier=VERIFIER)
    part = '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\ncontent\r\n--x--\r\n'
    text = (
        f"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nClient-Cert: {item(FRODO)}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {len(part)}\r\n\r\n{part}"
    )
    with aiohttp_serving(app) as server, server.connection() as client:
        assert client.raw(text.encode("ascii")).body == b"False"
    assert kept[0].closed


def test_a_client_that_has_gone_is_not_judged(caplog: pytest.LogCaptureFixture) -> None:
    """A request whose connection ended before its turn has no socket to ask, and runs no handler."""
    began, ended, served = threading.Event(), threading.Event(), []

    @web.middleware
    async def waiting(request: web.Request, handler: Any) -> web.StreamResponse:
        began.set()
        while request.transport is not None:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(0.01)
        response: web.StreamResponse = await handler(request)
        served.append(response.status)
        ended.set()
        return response

    app = web.Application(middlewares=[waiting])
    app.add_subapp("/inner", behind_a_proxy())
    with aiohttp_serving(app) as server:
        with socket.create_connection(server.address) as sock:
            sock.sendall(f"GET /inner/ HTTP/1.1\r\nHost: a\r\nClient-Cert: {item(FRODO)}\r\n\r\n".encode("ascii"))
            assert began.wait(20)
        assert ended.wait(20)
    assert served == [400]
    assert "Traceback" not in caplog.text

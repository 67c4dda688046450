"""Frameworks behind the middleware: a refusal in a route is the table's answer, and no error of the server."""

from __future__ import annotations

import sys
from typing import Any

import flask
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from mtlspolicy import VerificationError, policies
from mtlspolicy.integrations import asgi, wsgi
from tests.integrations import applications
from tests.integrations.serving import (
    FRODO,
    SAM,
    VERIFIER,
    item,
    uvicorn_serving,
    werkzeug_serving,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")

_ROWS = [
    ("/users/frodo", FRODO, 200, "frodo"),
    ("/users/sam", FRODO, 403, "name.mismatch"),
    ("/users/sam", SAM, 200, "sam"),
    ("/users/sam", None, 403, "path.no-certificate"),
    ("/", None, 200, "hello"),
]


def _judge(server: Any) -> None:
    for path, der, status, words in _ROWS:
        lines = [f"GET {path} HTTP/1.1", "Host: a", "Connection: close"]
        lines += [f"Client-Cert: {item(der)}"] if der else []
        with server.connection() as client:
            reply = client.raw("\r\n".join([*lines, "", ""]).encode("ascii"))
        assert reply.status == status, (path, reply)
        assert words in reply.body.decode("ascii")


_may_act = asgi.require(lambda request: policies.CommonName(request.path_params["name"]))


async def _act(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str((await _may_act(request)).common_name))


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def _talk(socket: WebSocket) -> None:
    await _may_act(socket)
    await socket.accept()
    await socket.close()


def test_routes_of_starlette_and_its_websockets() -> None:
    """A question of the path in a route; what it raises is answered, also before a WebSocket is accepted."""
    routes = [Route("/users/{name}", _act), Route("/", _hello), WebSocketRoute("/talk/{name}", _talk)]
    app = Starlette(routes=routes)
    app.add_middleware(asgi.Middleware, source=applications.source(), verifier=VERIFIER, required=False)
    upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    with uvicorn_serving(app, forwarded_allow_ips="*") as server:
        _judge(server)
        for name, status in (("frodo", 101), ("sam", 403)):
            head = f"GET /talk/{name} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n{upgrade}\r\n"
            with server.connection() as client:
                assert client.raw(f"{head}Client-Cert: {item(FRODO)}\r\n\r\n".encode("ascii")).status == status


def test_routes_of_flask_with_an_error_handler() -> None:
    """Flask answers exceptions itself, so that it is told how."""
    app = flask.Flask(__name__)
    app.register_error_handler(VerificationError, wsgi.answer)

    @app.get("/users/<name>")
    def act(name: str) -> str:
        return str(wsgi.require(policies.CommonName(name))(flask.request).common_name)

    @app.get("/")
    def hello() -> str:
        return "hello"

    assert callable(act)
    assert callable(hello)
    served = wsgi.Middleware(app.wsgi_app, source=applications.source(), verifier=VERIFIER, required=False)
    with werkzeug_serving(served) as server:
        _judge(server)

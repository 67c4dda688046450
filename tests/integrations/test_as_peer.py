"""`as_peer` for ASGI and WSGI: routes are tested without TLS, in tests alone, by test clients alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import unittest
import warnings
from typing import Annotated, Any

import flask
import httpx
import pytest
from fastapi import Depends, FastAPI, Security, WebSocket
from starlette.websockets import WebSocketDisconnect
from werkzeug.test import Client

from mtlspolicy import ConfigurationError, Possession, VerificationError, VerifiedPeer, policies, testing
from mtlspolicy.integrations import asgi, fastapi, wsgi
from mtlspolicy.integrations.testing import as_peer
from tests.integrations import applications
from tests.integrations.serving import (
    FOREIGN,
    HOST,
    REPOSITORY,
    VERIFIER,
    asgi_app,
    hypercorn_serving,
    uvicorn_serving,
    werkzeug_serving,
    wsgi_app,
)

FRODO = testing.peer("frodo")
SAM = testing.peer("sam")
posix = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")


def _test_client(app: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Starlette 1.0 prefers another HTTP client, which need not be there
        from fastapi.testclient import TestClient
    return TestClient(app)


_owner = fastapi.require(lambda request: policies.CommonName(request.path_params["name"]))


def _fastapi(**installed: Any) -> FastAPI:
    app = FastAPI()

    @app.get("/users/{name}")
    def act(who: Annotated[VerifiedPeer, Security(_owner)], name: str) -> str | None:
        assert name == who.common_name
        return name

    @app.get("/anyone")
    def anyone(who: Annotated[VerifiedPeer | None, Depends(fastapi.peer_or_none)]) -> str | None:
        return "nobody" if who is None else who.common_name

    @app.get("/broken")
    def broken() -> None:
        VERIFIER.verify(FOREIGN)

    @app.websocket("/talk/{name}")
    async def talk(socket: WebSocket, who: Annotated[VerifiedPeer, Security(_owner)]) -> None:
        await socket.accept()
        await socket.send_text(str(who.common_name))
        await socket.close()

    if installed:
        app.add_middleware(asgi.Middleware, **installed)
    return app


@pytest.mark.parametrize(
    "installed",
    [
        {},
        {"source": "connection", "required": False},
        {"source": applications.source(), "verifier": VERIFIER, "required": False},
    ],
    ids=["without", "connection", "forwarded"],
)
def test_fastapis_test_client(installed: dict[str, Any]) -> None:
    """The same routes with every middleware that they are served behind, and none: over HTTP and WebSocket."""
    app = _fastapi(**installed)
    with _test_client(as_peer(app, FRODO)) as client:
        assert client.get("/users/frodo").json() == "frodo"
        refused = client.get("/users/sam")
        assert (refused.status_code, refused.json()) == (403, {"error": "name.mismatch"})
        with client.websocket_connect("/talk/frodo") as socket:
            assert socket.receive_text() == "frodo"
        with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/talk/sam"):
            raise AssertionError
        assert getattr(refused.value, "status_code", None) == 403
        with pytest.raises(VerificationError):
            client.get("/broken")
    with _test_client(as_peer(app, None)) as client:
        assert client.get("/anyone").json() == "nobody"
        assert client.get("/users/frodo").json() == {"error": "path.no-certificate"}


def test_the_middlewares_own_question_is_asked() -> None:
    """A further policy of every request, and whether a certificate is required, hold in tests too."""
    app = _fastapi(source="connection", policy=policies.CommonName("frodo"), absent=401)
    rows = [(FRODO, 200, "frodo"), (SAM, 403, "name.mismatch"), (None, 401, "path.no-certificate")]
    for peer, status, words in rows:
        reply = _test_client(as_peer(app, peer)).get("/anyone")
        assert (reply.status_code, words in reply.text) == (status, True)
    twice = asgi.Middleware(app, source="connection")
    assert _test_client(as_peer(twice, FRODO)).get("/users/frodo").json() == "frodo"


async def _get(app: Any, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path)


def test_the_transport_of_httpx() -> None:
    """Without a thread, in a loop of one's own."""
    app = _fastapi(source="connection")
    assert asyncio.run(_get(as_peer(app, FRODO), "/users/frodo")).json() == "frodo"
    assert asyncio.run(_get(as_peer(app, SAM), "/users/frodo")).status_code == 403
    assert asyncio.run(_get(as_peer(asgi_app(), SAM), "/")).json()["peer"] == "sam"


def _flask() -> flask.Flask:
    app = flask.Flask(__name__)

    @app.get("/users/<name>")
    def act(name: str) -> str:
        return str(wsgi.require(policies.CommonName(name))(flask.request).common_name)

    @app.get("/names")
    def names() -> dict[str, str]:
        return {key: value for key, value in flask.request.environ.items() if key.startswith("SSL_CLIENT_")}

    return app


@pytest.mark.parametrize("inside", [False, True])
def test_flasks_test_client(*, inside: bool) -> None:
    """With Flask's error handler, and the names that a server would write."""
    app = _flask()
    app.register_error_handler(VerificationError, wsgi.answer)
    if inside:
        app.wsgi_app = wsgi.Middleware(app.wsgi_app, source="connection", required=False)  # type: ignore[method-assign]
    served, app.wsgi_app = app.wsgi_app, as_peer(app.wsgi_app, FRODO)  # type: ignore[method-assign]
    client = app.test_client()
    assert client.get("/users/frodo").text == "frodo"
    assert (client.get("/users/sam").status_code, client.get("/users/sam").json) == (403, {"error": "name.mismatch"})
    names = client.get("/names").json
    assert names is not None
    assert (names["SSL_CLIENT_VERIFY"], names["SSL_CLIENT_S_DN"]) == ("SUCCESS", "CN=frodo")
    app.wsgi_app = as_peer(served, None)  # type: ignore[method-assign]
    assert app.test_client().get("/names").json == {"SSL_CLIENT_VERIFY": "NONE"}
    assert app.test_client().get("/users/frodo").json == {"error": "path.no-certificate"}


def _plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/other":
        VERIFIER.verify(FOREIGN)
    if environ["PATH_INFO"] == "/further":
        wsgi.peer(environ).require(policies.CommonName("sam"))
    wsgi.require(policies.CommonName(environ["PATH_INFO"][1:]))(environ)
    start_response("200 OK", [])
    return [b"yes"]


def test_wsgi_without_a_framework() -> None:
    """What the application lets pass is answered; what is not about its peer is its own error."""
    client = Client(as_peer(_plain, FRODO))
    assert client.get("/frodo").text == "yes"
    assert client.get("/sam").json == {"error": "name.mismatch"}
    with pytest.raises(VerificationError):
        client.get("/other")
    with httpx.Client(transport=httpx.WSGITransport(as_peer(wsgi_app(), SAM)), base_url="http://test") as other:
        assert other.get("/").json()["peer"] == "sam"
    for app in (_plain, wsgi.Middleware(_plain, source="connection")):
        assert Client(as_peer(app, FRODO)).get("/further").json == {"error": "name.mismatch"}
    policy = wsgi_app(source="connection", verifier=None, policy=policies.CommonName("sam"))
    assert Client(as_peer(policy, FRODO)).get("/").json == {"error": "name.mismatch"}


@posix
def test_a_real_server_is_refused() -> None:
    """Whoever forgot it in what is served gets an error for each request, and nobody gets in."""
    app = as_peer(asgi_app(), FRODO)
    for serving in (uvicorn_serving, hypercorn_serving):
        with serving(app) as server:
            assert server.ask().status == 500
    with werkzeug_serving(as_peer(wsgi_app(), FRODO)) as server:
        reply = server.ask()
        assert reply.status in {0, 500}
        assert b"frodo" not in reply.body


@pytest.mark.parametrize("client", [["testclient", 50000], [HOST, 1], None])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_server_that_nobody_knows_is_refused(client: Any, kind: str) -> None:
    """The address of a test client in a header of X-Forwarded-For makes no test of a request."""

    async def receive() -> dict[str, Any]:
        raise AssertionError

    scope = {"type": kind, "headers": [], "client": client}
    with pytest.raises(ConfigurationError, match=r"came from .*test_as_peer, which is no test client: use the"):
        asyncio.run(as_peer(asgi_app(), FRODO)(scope, receive, receive))


def test_a_stream_of_anyio_is_no_test_client_by_itself() -> None:
    """A server may be built of such streams; Starlette's WebSocket client says besides that it is one."""
    import anyio

    async def ask() -> None:
        send, receive = anyio.create_memory_object_stream[Any](1)
        with send, receive:
            scope = {"type": "websocket", "headers": [], "client": [HOST, 50000]}
            await as_peer(asgi_app(), FRODO)(scope, receive.receive, send.send)

    with pytest.raises(ConfigurationError, match="anyio"):
        asyncio.run(ask())


def test_outside_of_a_test_it_is_refused() -> None:
    """Nothing but a runner among the callers makes a test of a program: no variable does, and no import."""
    program = (
        "import pytest, unittest, unittest.mock, starlette.applications as s, mtlspolicy.testing as t\n"
        "from mtlspolicy.integrations.testing import as_peer\n"
        "as_peer(s.Starlette(), t.peer('frodo'))\n"
    )
    paths = os.pathsep.join([str(REPOSITORY / "src"), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTEST_CURRENT_TEST": "test_x.py::test_y (call)"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "ConfigurationError: as_peer(...) was not called from a test" in ended.stderr


def test_under_unittest() -> None:
    """The other runner that there is, and Django's with it."""

    class Case(unittest.TestCase):
        def test_it(self) -> None:
            """Ask as anybody would."""
            assert Client(as_peer(_plain, FRODO)).get("/frodo").text == "yes"

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (result.testsRun, result.wasSuccessful()) == (1, True)


def test_what_is_no_application_and_who_is_no_peer() -> None:
    """Both are said by name."""
    with pytest.raises(ConfigurationError, match="as_peer.int.: give an ASGI or WSGI application"):
        as_peer(1, FRODO)
    for nobody in ("frodo", testing.peer("frodo", possession=Possession.NONE)):
        with pytest.raises(ConfigurationError, match="that has proved its key"):
            as_peer(_plain, nobody)  # type: ignore[arg-type]

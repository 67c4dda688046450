"""`as_peer` for aiohttp and Tornado: routes are tested without TLS, under the test servers of these alone."""

from __future__ import annotations

import asyncio
import json
import sys
import unittest
from collections.abc import Callable
from typing import Any

import pytest
import tornado.testing
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mtlspolicy import ConfigurationError, VerifiedPeer, policies, testing
from mtlspolicy.integrations import _aiohttp_guard
from mtlspolicy.integrations.testing import as_peer
from tests.integrations import tornado_serving
from tests.integrations.aiohttp_serving import aiohttp_serving, application, behind_a_proxy
from tests.integrations.serving import SAM as SAM_CHAIN
from tests.integrations.serving import item
from tests.integrations.tornado_serving import tornado_serving as serving_tornado

FRODO = testing.peer("frodo")
SAM = testing.peer("sam")
posix = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")


def _ask(app: web.Application, *paths: str, headers: dict[str, str] | None = None) -> list[tuple[int, str]]:
    """Return what aiohttp's test client is told."""

    async def run() -> list[tuple[int, str]]:
        told = []
        async with TestClient(TestServer(app)) as client:
            for path in paths:
                async with client.get(path, headers=headers) as reply:
                    told.append((reply.status, await reply.text()))
        return told

    return asyncio.run(run())


@pytest.mark.parametrize(
    "made",
    [
        lambda: application(installed=False),
        lambda: application(required=False),
        application,
        behind_a_proxy,
    ],
    ids=["none", "optional", "connection", "proxy"],
)
def test_a_peer_for_aiohttp(made: Callable[[], web.Application]) -> None:
    """Whatever the middleware reads, the peer is the one that was given, below a prefix too; headers are nothing."""
    headers = {"Client-Cert": item(SAM_CHAIN)}
    told = _ask(as_peer(made(), FRODO), "/", "/below/tell", "/act/frodo", "/act/sam", headers=headers)
    assert [status for status, _ in told] == [200, 200, 200, 403]
    assert [json.loads(text)["peer"] for _, text in told[:2]] == ["frodo", "frodo"]
    assert json.loads(told[3][1]) == {"error": "name.mismatch"}


def test_nobody_for_aiohttp() -> None:
    """A client without a certificate: refused where one is required, and by the route where it is not."""
    assert _ask(as_peer(application(absent=401), None), "/") == [(401, '{"error": "path.no-certificate"}\n')]
    lax = _ask(as_peer(application(required=False), None), "/", "/act/frodo")
    assert [status for status, _ in lax] == [200, 403]
    assert json.loads(lax[0][1])["peer"] is None


def test_the_middlewares_further_policy_is_asked() -> None:
    """``policy=`` of the middleware is asked about the peer of the test, and that of a sub-application as well."""
    assert _ask(as_peer(application(policy=policies.CommonName("sam")), FRODO), "/")[0][0] == 403
    outer = web.Application()
    outer.add_subapp("/inner", application(policy=policies.CommonName("sam")))
    assert [status for status, _ in _ask(as_peer(outer, SAM), "/inner/", "/inner/act/sam")] == [200, 200]


@posix
def test_a_real_server_of_aiohttp_does_not_start() -> None:
    """Whoever forgot it in what is served has no server, and nobody gets in."""
    app = as_peer(application(), FRODO)

    async def start() -> None:
        runner = web.AppRunner(app)
        try:
            await runner.setup()
        finally:
            await runner.cleanup()

    with pytest.raises(ConfigurationError, match="not started by a test server"):
        asyncio.run(start())


@posix
def test_attack_an_application_of_a_test_below_one_that_is_served() -> None:
    """Handed requests by another application, that of the test has not been started by a test server."""
    inner = as_peer(application(), FRODO)

    async def hand_over(request: web.Request) -> web.StreamResponse:
        return await inner._handle(request)

    outer = web.Application()
    outer.router.add_get("/", hand_over)
    inner.freeze()
    with aiohttp_serving(outer) as server:
        reply = server.ask()
        assert (reply.status, b"frodo" in reply.body) == (500, False)


@posix
def test_attack_a_peer_in_a_request_that_no_test_has_put_there() -> None:
    """Anything but our own type under the key is nothing, and an application without TLS of ours has no peer."""

    @web.middleware
    async def claiming(request: web.Request, handler: Any) -> web.StreamResponse:
        request[_aiohttp_guard.STAND_IN] = FRODO
        response: web.StreamResponse = await handler(request)
        return response

    app = application()
    app.middlewares.insert(0, claiming)
    with aiohttp_serving(app) as server:
        assert server.ask().status == 500


def test_one_peer_for_each_application_of_aiohttp() -> None:
    """A second one, and one for an application that runs, are said by name."""
    app = as_peer(application(), FRODO)
    with pytest.raises(ConfigurationError, match="has its peer already"):
        as_peer(app, SAM)
    frozen = application()
    frozen.freeze()
    with pytest.raises(ConfigurationError, match="runs already"):
        as_peer(frozen, FRODO)


def _fetched(app: Any, peer: VerifiedPeer | None, *paths: str) -> list[tuple[int, Any]]:
    """Return what the client of Tornado's test case is told."""
    told: list[tuple[int, Any]] = []

    class Case(tornado.testing.AsyncHTTPTestCase):
        def get_app(self) -> Any:
            return as_peer(app, peer)

        def test_it(self) -> None:
            """Ask for each path."""
            for path in paths:
                reply = self.fetch(path, headers={"Client-Cert": item(SAM_CHAIN)})
                told.append((reply.code, reply.body))

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert (result.testsRun, [*result.errors, *result.failures]) == (1, [])
    return told


@pytest.mark.parametrize(
    "made",
    [
        tornado_serving.application,
        tornado_serving.guarded,
        lambda: tornado_serving.guarded(required=False),
        tornado_serving.behind_a_proxy,
    ],
    ids=["none", "connection", "optional", "proxy"],
)
def test_a_peer_for_tornado(made: Callable[[], Any]) -> None:
    """In a test case of Tornado's the peer is the one that was given, whatever the middleware reads."""
    told = _fetched(made(), FRODO, "/", "/act/frodo", "/act/sam", "/nowhere")
    assert [code for code, _ in told] == [200, 200, 403, 404]
    assert json.loads(told[0][1])["peer"] == "frodo"
    assert json.loads(told[2][1]) == {"error": "name.mismatch"}


def test_nobody_for_tornado() -> None:
    """A client without a certificate: refused where one is required, and by the handler where it is not."""
    assert _fetched(tornado_serving.guarded(absent=401), None, "/") == [(401, b'{"error": "path.no-certificate"}\n')]
    assert [code for code, _ in _fetched(tornado_serving.application(), None, "/", "/mine")] == [200, 403]


def test_the_further_policy_of_tornados_middleware_is_asked() -> None:
    """``policy=`` of the middleware is asked about the peer of the test."""
    assert _fetched(tornado_serving.guarded(policy=policies.CommonName("sam")), FRODO, "/")[0][0] == 403


def test_the_attributes_of_tornados_application_are_there() -> None:
    """Tests ask the application for addresses and settings."""
    app = tornado_serving.application()
    assert as_peer(app, FRODO).settings is app.settings


@posix
def test_a_real_server_of_tornado_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever forgot it in what is served gets an error for each request, and nobody gets in."""
    with serving_tornado(as_peer(tornado_serving.guarded(), FRODO)) as server:
        reply = server.ask()
    assert (reply.status, reply.body) == (0, b"")
    assert "use tornado.testing.AsyncHTTPTestCase" in caplog.text

"""Refusals that a WSGI application meets on its way: called, while its body is read, and in Flask's error handler."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import flask
import httpx
import pytest
from werkzeug.test import Client

from mtlspolicy import Decision, Verdict, VerificationError, policies, testing
from mtlspolicy.integrations import wsgi
from mtlspolicy.integrations._log import LIMITER
from mtlspolicy.integrations.testing import as_peer
from tests.integrations.frameworks import asking, server_context
from tests.integrations.serving import werkzeug_serving

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
_SAM = wsgi.require(policies.CommonName("sam"))


class _Page:
    """A body that asks when it is read, and is closed."""

    closed = 0

    def __init__(self, environ: Any, start_response: Any) -> None:
        self._environ, self._start_response = environ, start_response

    def __iter__(self) -> Iterator[bytes]:
        name = _SAM(self._environ).common_name or ""
        self._start_response("200 OK", [("Content-Type", "text/plain")])
        yield name.encode()

    def close(self) -> None:
        """Take note."""
        _Page.closed += 1


def _generator(environ: Any, start_response: Any) -> Iterator[bytes]:
    name = _SAM(environ).common_name or ""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield name.encode()


def _mapped(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Return a body that asks when it is read, and has nothing to be closed."""

    def part(asked: Any) -> bytes:
        name = _SAM(asked).common_name or ""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return name.encode()

    return map(part, [environ])


def _plain(environ: Any, start_response: Any) -> list[bytes]:
    name = _SAM(environ).common_name or ""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [name.encode()]


def _late(environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"before "
    yield (_SAM(environ).common_name or "").encode()


@pytest.mark.parametrize("app", [_generator, _Page, _mapped, _plain])
def test_whom_an_application_refuses_is_answered_whenever_it_asks(app: Callable[..., Iterable[bytes]]) -> None:
    """Also where it is a generator, which runs when its body is read; what it returned is closed."""
    _Page.closed = 0
    middleware = wsgi.Middleware(app, source="connection")
    with werkzeug_serving(middleware, context=server_context()) as server:
        for who, status, text in (("sam", 200, "sam"), ("frodo", 403, "name.mismatch")):
            with asking(server.address[1], who, direct=True) as client:
                answer = client.get("/")
                assert answer.status_code == status
                assert text in answer.text
    assert _Page.closed == (2 if app is _Page else 0)


@pytest.mark.parametrize("app", [_generator, _Page, _mapped, _plain])
def test_without_tls_a_test_of_the_application_sees_the_same(app: Any) -> None:
    """What `as_peer` puts in the place of the middleware answers as late as that does."""
    for who, status, text in (("sam", 200, "sam"), ("frodo", 403, "name.mismatch")):
        answer = Client(as_peer(app, testing.peer(who))).get("/")
        assert answer.status_code == status
        assert text in answer.text


def test_an_answer_that_has_begun_stays_the_applications() -> None:
    """The server ends the connection: there is no second status line, and nothing of what was asked for."""
    middleware = wsgi.Middleware(_late, source="connection")
    with (
        werkzeug_serving(middleware, context=server_context()) as server,
        asking(server.address[1], "frodo", direct=True) as client,
        client.stream("GET", "/") as answer,
    ):
        read = b""
        with suppress(httpx.RemoteProtocolError):
            for part in answer.iter_bytes():
                read += part
    assert (answer.status_code, read) == (200, b"before ")


def test_somebody_elses_refusal_is_not_answered() -> None:
    """A refusal of a server that the application itself called says nothing about its client: 500."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        del environ, start_response
        raise VerificationError(Decision(Verdict.DENY, "name.mismatch", "of another"))
        yield b""

    middleware = wsgi.Middleware(app, source="connection")
    with (
        werkzeug_serving(middleware, context=server_context()) as server,
        asking(server.address[1], "frodo", direct=True) as client,
    ):
        assert client.get("/").status_code == 500


def test_flasks_handler_writes_the_line_and_knows_the_status(caplog: pytest.LogCaptureFixture) -> None:
    """No refusal is silent, and ``absent=`` holds for a route as well."""
    app = flask.Flask(__name__)
    app.register_error_handler(VerificationError, wsgi.answer)

    @app.get("/")
    def act() -> str:
        return str(_SAM(flask.request))

    assert callable(act)
    optional = server_context(client_certificate="optional")
    middleware = wsgi.Middleware(app, source="connection", required=False, absent=401)
    LIMITER.clear()
    with (
        caplog.at_level(logging.WARNING, "mtlspolicy.request"),
        werkzeug_serving(middleware, context=optional) as server,
    ):
        for who, status in ((None, 401), ("frodo", 403)):
            with asking(server.address[1], who, direct=True) as client:
                assert client.get("/").status_code == status
    lines = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.request"]
    assert [line.split(": ")[1] for line in lines] == ["path.no-certificate", "name.mismatch"]
    assert all(line.startswith("refused a request over 127.0.0.1") for line in lines)

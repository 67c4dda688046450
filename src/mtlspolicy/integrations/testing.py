"""A peer for the tests of an application, without TLS: `as_peer`. It works in a test and nowhere else.

Whoever calls it must be a test runner, and each request must come from a test client that is known by name: what a real
server sends is refused, whoever started that server.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, TypeVar

from mtlspolicy._chain import Possession
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._admission import ADMISSION, Admission
from mtlspolicy.integrations._callers import called_from, is_below
from mtlspolicy.integrations._immediate import ACCEPTED
from mtlspolicy.integrations._outgoing import serve
from mtlspolicy.integrations._ssl_client import write_names
from mtlspolicy.integrations._stand_in import StandIn
from mtlspolicy.integrations._wsgi_reply import Reply

__all__ = ["as_peer"]

_RUNNERS: Final = ("_pytest", "unittest.case", "unittest.suite", "unittest.loader")
"""Modules one of which has called whoever calls `as_peer`: Django's is of unittest. ``unittest.mock`` is none."""
_CLIENTS: Final = ("starlette.testclient", "httpx", "httpx2", "werkzeug.test", "flask.testing", "django.test.client")
"""Modules, with what is below them, that hand a request to an application without a socket."""
_SERVED: Final = (
    ("aiohttp.web", "Application", "_aiohttp_stand_in"),
    ("tornado.httputil", "HTTPServerConnectionDelegate", "_tornado_stand_in"),
)
"""Frameworks with servers of their own, what an application of theirs is, and where its peer comes in."""
_TEST_ADDRESS: Final = ["testclient", 50000]
"""What Starlette's test client gives as its address."""
_REMEDY: Final = (
    "use the TestClient of FastAPI or Starlette, ASGITransport or WSGITransport of httpx, or the test client of Flask, "
    "Werkzeug or Django; with a real server present a real certificate, of testing.CertificateAuthority"
)
_App = TypeVar("_App")


def as_peer(app: _App, peer: VerifiedPeer | None) -> _App:
    """Return *app* such that each request of a test client comes from *peer*, whatever the middlewares in it read.

    A middleware of ours in *app* takes the peer as verified and asks its ``policy=`` alone; where *app* has none, this
    answers refusals as one. For Flask: ``app.wsgi_app = as_peer(app.wsgi_app, peer)``, then ``app.test_client()``. For
    Django: ``as_peer(django.test.Client(), peer)``, or an ``AsyncClient``; the client itself is changed and returned.
    There is no ``scope["extensions"]["tls"]``. A ``web.Application`` of aiohttp is itself changed and returned, and
    starts under ``aiohttp.test_utils`` alone; for Tornado return ``as_peer(app, peer)`` from ``get_app`` of
    ``tornado.testing.AsyncHTTPTestCase``.

    Args:
        app: An ASGI or WSGI application, a test client of Django, or an application of aiohttp or Tornado.
        peer: Of ``mtlspolicy.testing.peer("frodo")``; ``None``: a client without a certificate.

    Raises:
        ConfigurationError: This is no test, *app* is none of these, or *peer* is no peer that proved its key; from a
            request: it comes from a real server, or from a test client that is not known.
    """
    _require_runner()
    if peer is not None and (type(peer) is not VerifiedPeer or peer.possession is Possession.NONE):
        raise ConfigurationError(
            f"as_peer(app, {type(peer).__name__}): give a peer of mtlspolicy.testing.peer(...) that has proved its "
            "key, or None for a client without a certificate"
        )
    given: Any = app
    django = sys.modules.get("django.test.client")
    if django is not None and isinstance(given, django.RequestFactory):
        given.request = _asked(given.request, peer, asynchronous=isinstance(given, django.AsyncRequestFactory))
        return app
    for framework, name, home in _SERVED:
        module = sys.modules.get(framework)  # who has not imported it has no application of it
        if module is not None and isinstance(given, getattr(module, name)):
            return import_module(f"{__package__}.{home}").stand_in(given, peer)  # type: ignore[no-any-return]
    if not callable(given):
        raise ConfigurationError(
            f"as_peer({type(app).__name__}): give an ASGI or WSGI application, or one of aiohttp or Tornado"
        )
    called = given if inspect.isroutine(given) else type(given).__call__
    made: Any = (_ASGI if inspect.iscoroutinefunction(called) else _WSGI)(given, peer)
    return made  # type: ignore[no-any-return]  # called like it, which is all that a test client does


def _admission_of(peer: VerifiedPeer | None) -> Admission:
    return Admission(peer, None if peer is None else peer.presented)


def _require_runner() -> None:
    """Return if a test runner is among the callers.

    Raises:
        ConfigurationError: None is.
    """
    if called_from(_RUNNERS):
        return
    raise ConfigurationError(
        "as_peer(...) was not called from a test: no pytest or unittest is among its callers. It admits whomever it is "
        "told to, so that it belongs into tests and fixtures alone"
    )


def _require_client(end: object, client: object = None) -> None:
    """Return if *end*, the callable at the client's end of a request, belongs to a test client.

    Args:
        end: ``receive`` or ``start_response``.
        client: The client's address in a scope of a WebSocket. Starlette's client gives a stream of anyio's, as others
            may, and an address that is none; a server could be told that address by a header, but not the stream.

    Raises:
        ConfigurationError: It does not.
    """
    module = getattr(end, "__module__", None)
    talks = is_below(module, ["anyio.streams.memory"]) and client == _TEST_ADDRESS
    if not talks and not is_below(module, _CLIENTS):
        raise ConfigurationError(f"as_peer: a request came from {module}, which is no test client: {_REMEDY}")


def _written(environ: dict[str, Any], admission: Admission) -> dict[str, Any]:
    """Return *environ* with the names that a middleware writes there."""
    environ["SSL_CLIENT_VERIFY"] = "NONE"
    write_names(environ, admission)
    return environ


def _asked(request: Callable[..., Any], peer: VerifiedPeer | None, *, asynchronous: bool) -> Callable[..., Any]:
    """Return the method *request* of a client of Django's, which merges what it is given into a scope or environ."""

    def asking(**more: Any) -> Any:
        admission = _admission_of(peer)
        return request(**more, **{ADMISSION: admission} if asynchronous else _written({}, admission))

    return asking


class _ASGI:
    """An ASGI application whose requests come from a peer."""

    def __init__(self, app: Callable[..., Any], peer: VerifiedPeer | None) -> None:
        self._app: Callable[..., Any] = app
        self._peer: VerifiedPeer | None = peer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope; ``lifespan`` has no peer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        _require_client(receive, list(scope.get("client") or ()) if scope["type"] == "websocket" else None)
        admission = _admission_of(self._peer)
        inner = {**scope, ACCEPTED: StandIn(self._peer), ADMISSION: admission}
        await serve(self._app, (inner, receive, send), admission, kept_apart=list)


class _WSGI:
    """A WSGI application whose requests come from a peer."""

    def __init__(self, app: Callable[..., Any], peer: VerifiedPeer | None) -> None:
        self._app: Callable[..., Any] = app
        self._peer: VerifiedPeer | None = peer

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        _require_client(start_response)
        admission = _admission_of(self._peer)
        environ[ACCEPTED] = StandIn(self._peer)
        return Reply(admission, start_response, list).of(self._app, _written(environ, admission))

"""The middleware of Tornado, between its server and the application. What it does with one: `_tornado_request`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from tornado import httputil

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._options import MiddlewareOptions, settings_of
from mtlspolicy.integrations._tornado_request import SeenConnection, SeenRequest

if TYPE_CHECKING:
    from mtlspolicy._verifier import Verifier
    from mtlspolicy.integrations._options import Settings, Source

__all__ = ["Middleware"]


class Middleware(httputil.HTTPServerConnectionDelegate):
    """Admits the sender of each request, WebSockets and unknown paths included, or answers in place of *app*.

    For ``HTTPServer(Middleware(app, source="connection"), ssl_options=context)``, of `integrations.tornado` or, where
    nothing waits, of Tornado itself: that one has no gate, so with ``pending="hold"`` it refuses each connection, and
    facts of the handshake have to be at hand, or are there when the client comes again.

    Args:
        app: The ``tornado.web.Application``, or another delegate.
        source: Where the certificate comes from: ``"connection"`` where Tornado itself speaks TLS with a context of
            ours, or a `ForwardedSource`.
        verifier: `Verifier.for_clients`, for a `ForwardedSource`.
        **options: `MiddlewareOptions`. ``select`` is called with an ``HTTPServerRequest``.

    Attributes:
        settings: The options.

    Raises:
        ConfigurationError: What was given does not go together.
    """

    def __init__(
        self,
        app: httputil.HTTPServerConnectionDelegate,
        *,
        source: Source,
        verifier: Verifier | None = None,
        **options: Unpack[MiddlewareOptions],
    ) -> None:
        if not isinstance(app, httputil.HTTPServerConnectionDelegate):
            raise ConfigurationError(f"Middleware({type(app).__name__}): give the tornado.web.Application")
        self._app = app
        self.settings: Settings = settings_of(source, verifier, options)

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        """Return what receives one request."""
        return SeenRequest(self._app, server_conn, SeenConnection(request_conn, self.settings), self.settings)

    def on_close(self, server_conn: object) -> None:
        """Tell the application that a connection was closed."""
        self._app.on_close(server_conn)

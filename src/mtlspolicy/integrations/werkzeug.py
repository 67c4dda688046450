"""Werkzeug's server with a strict reading of headers, and the accepted socket for `integrations.wsgi.Middleware`.

With a context of ours it puts that middleware around the application, and answers refusals where it is told to. It
decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._blocking import Refuse, behind_middleware, listener_for
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import ACCEPTED, accepted
from mtlspolicy.integrations._strict_lines import StrictRequests

with Extra("werkzeug"):
    from werkzeug import serving
    from werkzeug.serving import WSGIRequestHandler

if TYPE_CHECKING:
    import ssl

__all__ = ["RequestHandler", "make_server", "run"]


class RequestHandler(StrictRequests, WSGIRequestHandler):
    """For ``run_simple(..., request_handler=RequestHandler)`` and ``app.run(request_handler=RequestHandler)``."""

    def make_environ(self) -> dict[str, Any]:
        """Return the environ, with what the socket says of its other end."""
        environ: dict[str, Any] = dict(super().make_environ())
        environ[ACCEPTED] = accepted(self.connection)
        return environ


def make_server(
    app: Any, *, context: ssl.SSLContext, refuse: Refuse = "handshake", absent: int = 403, **options: Any
) -> serving.BaseWSGIServer:
    """Return Werkzeug's server for *app*, of Flask say, behind the middleware for the peer of the connection.

    ``wsgi.peer(environ)`` is the peer, and the verifier is named once, in the context. Middleware of ours that is
    *app* itself is kept as it is.

    Args:
        app: The WSGI application.
        context: Of `tls.server_context`.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, by the thread of its connection, and
            then it is closed. The application sees neither. Whom OpenSSL refuses gets no answer either way.
        absent: Status where no certificate came: 403, 400 or 401.
        **options: Of ``werkzeug.serving.make_server``; ``host`` is 127.0.0.1, ``port`` 5000 and ``threaded`` true where
            nothing else is said.

    Raises:
        ConfigurationError: What was given does not go together.
    """
    listener, given = _taken(context, refuse, absent, options)
    return serving.make_server(
        given.pop("host"),
        given.pop("port"),
        behind_middleware(app, context, absent=absent),
        ssl_context=listener,
        **given,
    )


def run(app: Any, *, context: ssl.SSLContext, refuse: Refuse = "handshake", absent: int = 403, **options: Any) -> None:
    """Serve *app* until the process is told to stop; arguments as for `make_server`, options of ``run_simple``."""
    listener, given = _taken(context, refuse, absent, options)
    serving.run_simple(
        given.pop("host"),
        given.pop("port"),
        behind_middleware(app, context, absent=absent),
        ssl_context=listener,
        **given,
    )


def _taken(
    context: ssl.SSLContext, refuse: Refuse, absent: int, options: dict[str, Any]
) -> tuple[ssl.SSLContext, dict[str, Any]]:
    if "ssl_context" in options:
        raise ConfigurationError("ssl_context=...: context= says all about TLS; leave ssl_context out")
    given: dict[str, Any] = {"host": "127.0.0.1", "port": 5000, "threaded": True, "request_handler": RequestHandler}
    given |= options
    if not issubclass(given["request_handler"], RequestHandler):
        raise ConfigurationError(
            "request_handler=...: derive it from integrations.werkzeug.RequestHandler, which tells whose socket it is"
        )
    return listener_for(context, "context", refuse=refuse, absent=absent), given

"""The standard library's WSGI server with a strict reading of headers, and the accepted socket for `wsgi.Middleware`.

For development and small tools. With a context of ours `make_server` puts that middleware around the application, and
answers refusals where it is told to. It decides nothing.
"""

from __future__ import annotations

import ssl
import sys
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from mtlspolicy.integrations._blocking import Refuse, behind_middleware, listener_for
from mtlspolicy.integrations._immediate import ACCEPTED, accepted
from mtlspolicy.integrations._strict_lines import StrictRequests

__all__ = ["RequestHandler", "make_server"]


class RequestHandler(StrictRequests, WSGIRequestHandler):
    """For ``make_server(host, port, app, handler_class=RequestHandler)`` of the standard library.

    TLS is ``server.socket = context.wrap_socket(server.socket, server_side=True)``; the handshake happens in the
    thread that serves the request.
    """

    def get_environ(self) -> dict[str, Any]:
        """Return the environ, with what the socket says of its other end."""
        environ: dict[str, Any] = dict(super().get_environ())
        environ[ACCEPTED] = accepted(self.connection)
        return environ


class _Server(ThreadingMixIn, WSGIServer):
    """Serves each connection on a thread of its own."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless it was TLS: a refused connection has its line on ``mtlspolicy.connection``."""
        if not isinstance(sys.exception(), ssl.SSLError):
            super().handle_error(request, client_address)


def make_server(
    app: Any,
    *,
    context: ssl.SSLContext,
    refuse: Refuse = "handshake",
    absent: int = 403,
    host: str = "127.0.0.1",
    port: int = 8443,
) -> WSGIServer:
    """Return a server for *app* behind the middleware for the peer of the connection, a thread for each connection.

    ``wsgi.peer(environ)`` is the peer, and the verifier is named once, in the context. Middleware of ours that is
    *app* itself is kept as it is.

    Args:
        app: The WSGI application.
        context: Of `tls.server_context`.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, by the thread of its connection, and
            then it is closed. The application sees neither. Whom OpenSSL refuses gets no answer either way.
        absent: Status where no certificate came: 403, 400 or 401.
        host: Address to listen on.
        port: Port; 0: any that is free, ``server.server_port``.

    Raises:
        ConfigurationError: What was given does not go together.
    """
    listener = listener_for(context, "context", refuse=refuse, absent=absent)
    served = behind_middleware(app, context, absent=absent)
    server = _Server((host, port), RequestHandler)
    server.set_app(served)
    server.socket = listener.wrap_socket(server.socket, server_side=True)
    return server

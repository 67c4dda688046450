"""The standard library's WSGI server with a strict reading of headers, and the accepted socket for `wsgi.Middleware`.

For development and small tools: it serves one request at a time unless it is mixed with `socketserver.ThreadingMixIn`.
"""

from __future__ import annotations

from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from mtlspolicy.integrations._immediate import ACCEPTED, accepted
from mtlspolicy.integrations._strict_lines import StrictRequests

__all__ = ["RequestHandler"]


class RequestHandler(StrictRequests, WSGIRequestHandler):
    """For ``make_server(host, port, app, handler_class=RequestHandler)``.

    TLS is ``server.socket = context.wrap_socket(server.socket, server_side=True)``; the handshake happens in the
    thread that serves the request.
    """

    def get_environ(self) -> dict[str, Any]:
        """Return the environ, with what the socket says of its other end."""
        environ: dict[str, Any] = dict(super().get_environ())
        environ[ACCEPTED] = accepted(self.connection)
        return environ

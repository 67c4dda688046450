"""cheroot, and so CherryPy, with a context of ours, whose connections are known to `integrations.wsgi.Middleware`.

It decides nothing. Handshakes happen in the worker threads, so that a silent client keeps nobody else waiting.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, cast

from mtlspolicy.integrations._blocking import Refuse, listener_for
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import ACCEPTED, accepted

if TYPE_CHECKING:
    import socket

with Extra("cheroot"):
    from cheroot import makefile
    from cheroot.errors import FatalSSLAlert
    from cheroot.ssl import Adapter

__all__ = ["SSLAdapter"]


class SSLAdapter(Adapter):
    """``server.ssl_adapter = SSLAdapter(context)`` for ``cheroot.wsgi.Server``.

    CherryPy: ``cherrypy.server.httpserver = CPWSGIServer()`` before ``cherrypy.engine.start()``, and its attribute. One
    that is set on ``cherrypy.server`` itself is ignored there, and plain HTTP is spoken.

    Args:
        context: Of `tls.server_context`, or one that `tls.enforce` was called on.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, by the worker thread, and then it is
            closed. The application sees neither. Whom OpenSSL refuses gets no answer either way.
        absent: Status where no certificate came: 403, 400 or 401.

    Raises:
        ConfigurationError: *context* has no verifier of clients, or the other arguments are none of these.
    """

    def __init__(self, context: ssl.SSLContext, *, refuse: Refuse = "handshake", absent: int = 403) -> None:
        self.context: ssl.SSLContext = listener_for(context, "SSLAdapter", refuse=refuse, absent=absent)

    def bind(self, sock: socket.socket) -> socket.socket:
        """Return the listening socket as it is: TLS begins with `wrap`."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, Any]]:
        """Return the connection, whose handshake happens when it is first read, and what each environ is told of it."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {**self.get_environ(), ACCEPTED: accepted(wrapped)}

    def get_environ(self) -> dict[str, Any]:
        """Return what each environ says of the server."""
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = -1) -> Any:
        """Return a file that reads or writes *sock*."""
        return cast("Any", makefile).MakeFile(_Refusing(sock), mode, bufsize)


class _Refusing:
    """A connection whose end reads as cheroot expects it: a refusal was logged, and is no failure of the server."""

    __slots__ = ("_ended", "_sock")

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: Any) -> int:
        """Read into *buffer*."""
        try:
            return self._sock.recv_into(buffer)
        except ssl.SSLError as error:  # ours as well
            raise FatalSSLAlert(str(error)) from error

    def send(self, data: Any) -> int:
        """Write *data*; what could not be written once is dropped, and not tried again when the file is forgotten.

        From Python 3.13 on each such attempt prints a traceback, as many as there are clients who are refused.
        """
        if self._ended or self._sock.fileno() == -1:
            return len(data)
        try:
            return self._sock.send(data)
        except OSError as error:
            self._ended = True
            if isinstance(error, ssl.SSLError):  # ours as well
                raise FatalSSLAlert(str(error)) from error
            raise

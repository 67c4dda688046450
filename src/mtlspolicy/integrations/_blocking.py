"""What blocking servers are given in place of a context, and put around an application. It decides nothing.

Who is refused the context decides; how a refused client is told so, `_blocking_answers`.
"""

from __future__ import annotations

import ssl
from typing import Any, Literal, TypeAlias, cast

from mtlspolicy.integrations import wsgi
from mtlspolicy.integrations._answers import responds
from mtlspolicy.integrations._blocking_answers import HTTPAnswers
from mtlspolicy.integrations._contexts import require_enforced
from mtlspolicy.integrations._options import CONNECTION
from mtlspolicy.tls._answering_socket import answering_sockets
from mtlspolicy.tls._enforcement import Enforcement, enforcement_of

__all__ = ["Refuse", "behind_middleware", "listener_for"]

Refuse: TypeAlias = Literal["handshake", "respond"]


def listener_for(context: ssl.SSLContext, what: str, *, refuse: Refuse, absent: int) -> ssl.SSLContext:
    """Return what a blocking server speaks TLS with.

    Args:
        context: Of `tls.server_context`.
        what: The caller, for messages.
        refuse: ``"handshake"`` or ``"respond"``.
        absent: Status where no certificate came.

    Raises:
        ConfigurationError: What was given does not go together.
    """
    if responds(refuse, absent):
        return answering_sockets(context, HTTPAnswers(absent))
    return require_enforced(context, what)


def behind_middleware(app: Any, context: ssl.SSLContext, *, absent: int) -> Any:
    """Return *app* behind the middleware for the peer of the connection, unless it is one of ours.

    Args:
        app: A WSGI application.
        context: The one of the server, which has a verifier.
        absent: Status where no certificate came, and none is required.
    """
    if isinstance(app, wsgi.Middleware):
        return app
    optional = cast("Enforcement", enforcement_of(context)).optional
    return wsgi.Middleware(app, source=CONNECTION, required=not optional, absent=absent)

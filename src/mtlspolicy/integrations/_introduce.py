"""Puts what an edge of ours has read of the accepted socket into the scope, before anything else sees the request."""

from __future__ import annotations

from typing import Any

from mtlspolicy.integrations import asgi
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted

__all__ = ["Introduced", "introduced"]


class Introduced:
    """An ASGI application that is told of the connection of its requests.

    Args:
        app: The application.
        accepted: The connection.
    """

    __slots__ = ("_accepted", "_app")

    def __init__(self, app: Any, accepted: Accepted) -> None:
        self._app: Any = app
        self._accepted: Accepted = accepted

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Serve one scope of this connection: what is returned is the application's own, to be awaited."""
        scope[ACCEPTED] = self._accepted
        return self._app(scope, receive, send)


def introduced(app: Any, accepted: Accepted) -> Any:
    """Return *app*, which a server of ours calls itself, for the requests on *accepted*."""
    served = app._served_on(accepted) if type(app) is asgi.Middleware else None
    return served or Introduced(app, accepted)

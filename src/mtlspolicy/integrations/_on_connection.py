"""The requests of one connection of our own TLS, at a server of ours that calls what is here itself.

What belongs to the connection is found once, and with each request it is asked anew whether that stands. The scope is
the one that the server made for the request, and is written into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mtlspolicy.errors import ConfigurationError, VerificationError
from mtlspolicy.integrations._admission import ADMISSION
from mtlspolicy.integrations._course import admission_on
from mtlspolicy.integrations._immediate import ACCEPTED
from mtlspolicy.integrations._outgoing import Outgoing, refuse
from mtlspolicy.integrations._tls_extension import write_extension

if TYPE_CHECKING:
    from mtlspolicy.integrations._immediate import Accepted
    from mtlspolicy.integrations._options import Settings

__all__ = ["OnConnection", "require_request"]

_REQUESTS: Final = frozenset({"http", "websocket"})


class OnConnection:
    """An ASGI application behind the middleware for the peer of one connection.

    Args:
        app: The application.
        accepted: The connection.
        settings: Of the middleware, without a source.
    """

    __slots__ = ("_accepted", "_app", "_settings")

    def __init__(self, app: Any, accepted: Accepted, settings: Settings) -> None:
        self._app: Any = app
        self._accepted: Accepted = accepted
        self._settings: Settings = settings

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request. The end is that of `_outgoing.serve`, written out: a call less with each request."""
        require_request(scope)
        accepted, settings = self._accepted, self._settings
        scope[ACCEPTED] = accepted
        try:
            shown = accepted.shown()
            admission = admission_on(accepted, shown, scope["headers"], settings)
        except VerificationError as error:
            await refuse(error, (scope, receive, send), absent=settings.absent)
            return
        admission.absent = settings.absent
        scope[ADMISSION] = admission
        write_extension(scope, accepted, shown)
        outgoing = Outgoing(send, admission, None)
        try:
            await self._app(scope, receive, outgoing.send)
        except Exception as error:
            if not await outgoing.answered(error, (scope, receive, send)):
                raise
        else:
            if outgoing.held is not None:
                await outgoing.release()


def require_request(scope: Any) -> None:
    """Return if *scope* is one of a request.

    Raises:
        ConfigurationError: It is of another type.
    """
    kind = scope["type"]
    if kind not in _REQUESTS:
        raise ConfigurationError(f"a scope of type {kind!r}: nobody can be admitted by what is not HTTP")

"""Hypercorn whose connections are known to `integrations.asgi.Middleware`: HTTP/1.1, HTTP/2 and WebSockets.

Hypercorn itself takes the address from the socket, but its ProxyFix middleware writes it anew, and a Unix socket looks
like an address that nobody knows. So the connection is taken from below, and what cannot be found is not introduced.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._immediate import Accepted, accepted
from mtlspolicy.integrations._introduce import Introduced

if TYPE_CHECKING:
    import ssl

__all__ = ["Outermost", "config", "serve"]

_DEPTH: Final = 4
"""Layers between an application and the server of a connection: stream, protocol, server; and one to spare."""


class Outermost:
    """The outermost ASGI application, which Hypercorn itself calls: tells the others of the connection.

    For ``hypercorn module:application``, where ``application = Outermost(app)``; `serve` puts it there by itself.
    Whatever wraps it hides the connection, and the middleware then refuses with the remedy. A connection that came to
    HTTP/2 without TLS (``Upgrade: h2c``, prior knowledge) is introduced as nobody's, because it may be a tunnel.

    Args:
        app: The ASGI application.
    """

    def __init__(self, app: Any) -> None:
        self._app: Any = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope."""
        server = None if scope["type"] == "lifespan" else _server_of(send)
        if server is None:
            await self._app(scope, receive, send)
            return
        found = accepted(server.writer.transport)
        if scope["http_version"] == "2" and not _agreed_on_http2(found):
            found = Accepted(None)  # a connection of nobody
        await Introduced(self._app, found)(scope, receive, send)


def _server_of(send: Any) -> TCPServer | None:
    """Return the server of the connection that *send*, Hypercorn's own, belongs to; ``None``: it is somebody else's."""
    for _ in range(_DEPTH):
        owner = getattr(send, "__self__", None)
        if isinstance(owner, TCPServer):
            return owner
        send = getattr(owner, "send", None)
    return None


def _agreed_on_http2(found: Accepted) -> bool:
    """Return whether HTTP/2 was agreed on in the handshake (ALPN), and not on the way.

    Hypercorn takes ``Upgrade: h2c`` of any request. A proxy that passes it on becomes a tunnel, in which a client
    writes the requests himself, with the proxy's address and with whatever headers he likes.
    """
    connection = found.ssl_object
    return connection is not None and connection.selected_alpn_protocol() == "h2"


class _WithContext(Config):
    """A configuration whose TLS is one context."""

    context: ssl.SSLContext

    @property
    def ssl_enabled(self) -> bool:
        """That there is TLS, without files of certificates."""
        return True

    def create_ssl_context(self) -> ssl.SSLContext:
        """Return the context."""
        return self.context


def config(*, context: ssl.SSLContext | None = None, **options: Any) -> Config:
    """Return a configuration of Hypercorn.

    Args:
        context: Of ``tls.server_context(..., alpn=("h2", "http/1.1"))``; ``None``: a server without TLS, behind a
            proxy. Hypercorn knows no gate: with ``pending="hold"`` each connection is refused, ``gate.missing``.
        **options: Attributes of ``hypercorn.Config``, such as ``bind=["127.0.0.1:8443"]``.

    Raises:
        ConfigurationError: There is no such attribute, or it does not go with a context.
    """
    made = Config() if context is None else _WithContext()
    for name, value in options.items():
        if not hasattr(made, name):
            raise ConfigurationError(f"{name}=...: hypercorn.Config has no such attribute")
        if context is not None and name in {"quic_bind", "insecure_bind", "certfile", "keyfile", "workers"}:
            raise ConfigurationError(f"{name}=...: does not go with context=, which serves TCP in this process")
        setattr(made, name, value)
    if isinstance(made, _WithContext) and context is not None:
        made.context = context
    return made


async def serve(app: Any, config: Config, **options: Any) -> None:
    """Serve the ASGI application *app*; other arguments as for ``hypercorn.asyncio.serve``."""
    begin: Any = import_module("hypercorn.asyncio").serve  # its annotations name types without arguments
    await begin(Outermost(app), config, **options)

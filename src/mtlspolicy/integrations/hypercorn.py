"""Hypercorn whose connections are known to `integrations.asgi.Middleware`: HTTP/1.1, HTTP/2 and WebSockets.

Hypercorn itself takes the address from the socket, but its ProxyFix middleware writes it anew, and a Unix socket looks
like an address that nobody knows. So the connection is taken from below, and what cannot be found is not introduced.
With a context of ours `serve` puts that middleware around the application, and answers refusals where it is told to.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import Accepted, accepted
from mtlspolicy.integrations._introduce import introduced
from mtlspolicy.integrations._refusing import Direct, Refuse

with Extra("hypercorn"):
    from hypercorn.asyncio.tcp_server import TCPServer
    from hypercorn.config import Config

    from mtlspolicy.integrations._hypercorn_gate import GatedSockets

if TYPE_CHECKING:
    import ssl

    from mtlspolicy._policy import Policy

__all__ = ["Outermost", "config", "serve"]

_KEPT: Final = "mtlspolicy_accepted"
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
        found = _accepted_on(server)
        if scope["http_version"] == "2" and not _agreed_on_http2(found):
            found = Accepted(None)  # a connection of nobody
        await introduced(self._app, found)(scope, receive, send)


def _server_of(send: Any) -> TCPServer | None:
    """Return the server of the connection that *send*, Hypercorn's own, belongs to; ``None``: it is somebody else's."""
    for _ in range(_DEPTH):
        owner = getattr(send, "__self__", None)
        if isinstance(owner, TCPServer):
            return owner
        send = getattr(owner, "send", None)
    return None


def _accepted_on(server: TCPServer) -> Accepted:
    """Return the connection of *server*, whose socket is asked once: the object itself keeps the answer."""
    transport, known = server.writer.transport, vars(server).get(_KEPT)
    if type(known) is Accepted and known.connection is transport:
        return known
    found = accepted(transport)
    setattr(server, _KEPT, found)
    return found


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
            proxy. With ``pending="hold"`` it has to be served by `serve`, which has a gate; Hypercorn itself has none.
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


async def serve(
    app: Any,
    config: Config,
    *,
    refuse: Refuse = "handshake",
    policy: Policy | None = None,
    absent: int = 403,
    **options: Any,
) -> None:
    """Serve the ASGI application *app*.

    With a context in *config* `integrations.asgi.Middleware` is put around the application, with
    ``source="connection"``, unless one of ours is its outermost part already: ``asgi.peer(request)`` is the peer, and
    the verifier is named once, in the context. Connections of a context with ``pending="hold"`` go through the gate.

    Args:
        app: The application.
        config: Of `config`; any other ``hypercorn.Config`` where it has no context of ours.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to each of its requests. The application sees neither. Whom
            OpenSSL refuses, a certificate of an unknown CA for example, gets no answer either way.
        policy: A further policy of every request.
        absent: Status where no certificate came: 403, 400 or 401.
        **options: As for ``hypercorn.asyncio.serve``.

    Raises:
        ConfigurationError: What was given does not go together.
    """
    context = config.context if isinstance(config, _WithContext) else None
    direct = Direct(context, refuse=refuse, policy=policy, absent=absent)
    outermost = Outermost(direct.around(app))
    if not direct.gated:
        await _begin(outermost, config, options)
        return
    sockets = GatedSockets(outermost, config, direct)
    options["shutdown_trigger"] = sockets.serving(options.get("shutdown_trigger"))
    try:
        await _begin(sockets, sockets.rest, options)
    finally:
        sockets.close()


async def _begin(app: Any, config: Config, options: dict[str, Any]) -> None:
    begin: Any = import_module("hypercorn.asyncio").serve  # its annotations name types without arguments
    await begin(app, config, **options)

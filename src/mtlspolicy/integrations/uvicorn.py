"""uvicorn whose protocols tell `integrations.asgi.Middleware` of the socket, before proxy headers rewrite its address.

Works for h11 and httptools, their WebSockets, asyncio and uvloop. With a context of ours it puts that middleware around
the application, and answers refusals where it is told to. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from mtlspolicy import tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import accepted
from mtlspolicy.integrations._introduce import introduced
from mtlspolicy.integrations._refusing import Direct, Refuse
from mtlspolicy.integrations._uvicorn_refusals import Refusals
from mtlspolicy.tls._gate import answering_gate

with Extra("uvicorn"):
    import uvicorn
    from uvicorn.middleware.message_logger import MessageLoggerMiddleware
    from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

if TYPE_CHECKING:
    import asyncio
    import ssl

    from mtlspolicy._policy import Policy
    from mtlspolicy.errors import VerificationError

__all__ = ["config", "run"]

_HOMES: Final = {
    "AutoHTTPProtocol": ("uvicorn.protocols.http.auto", "AutoHTTPProtocol"),
    "H11Protocol": ("uvicorn.protocols.http.h11_impl", "H11Protocol"),
    "HttpToolsProtocol": ("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol"),
    "AutoWebSocketsProtocol": ("uvicorn.protocols.websockets.auto", "AutoWebSocketsProtocol"),
    "WSProtocol": ("uvicorn.protocols.websockets.wsproto_impl", "WSProtocol"),
    "WebSocketsSansIOProtocol": ("uvicorn.protocols.websockets.websockets_sansio_impl", "WebSocketsSansIOProtocol"),
}
_HTTP: Final = {"auto": "AutoHTTPProtocol", "h11": "H11Protocol", "httptools": "HttpToolsProtocol"}
_WEBSOCKETS: Final = {
    "auto": "AutoWebSocketsProtocol",
    "websockets": "WebSocketsSansIOProtocol",  # as uvicorn announces it; its older implementation is deprecated
    "websockets-sansio": "WebSocketsSansIOProtocol",
    "wsproto": "WSProtocol",
}


class _Introducing:
    """Mixed into a protocol of uvicorn: wraps its application, outside of everything, for this one connection."""

    app: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the socket while it is surely open."""
        super().connection_made(transport)  # type: ignore[misc]
        self.app = introduced(self.app, accepted(transport))


class _Requests(_Introducing):
    """Mixed into a protocol for HTTP: no WebSocket begins in HTTP/1.0, whose requests uvicorn writes anew as HTTP/1.1.

    RFC 9110, 7.8: a server ignores Upgrade in HTTP/1.0. The request stays one, so that the middleware sees its version.
    """

    scope: dict[str, Any]

    def _should_upgrade(self) -> bool:
        above: Any = super()
        return self.scope["http_version"] != "1.0" and bool(above._should_upgrade())


class _WithoutTrailers(_Requests):
    """Mixed into httptools' protocol, which appends the fields of trailers to the very list that the scope has.

    Proxies rewrite headers and pass trailers on, so that a client would write ``Client-Cert`` himself (RFC 9110, 6.5.1:
    a trailer is not merged unless its definition allows it).
    """

    headers: list[tuple[bytes, bytes]]
    _completed: Callable[[], None]
    """What uvicorn's own does, by a name, since ``super()`` is slow where it runs once a request."""

    def on_headers_complete(self) -> None:
        """Give the application the list as it is now."""
        self.scope["headers"] = self.headers.copy()
        self._completed()


class _Refused:
    """Mixed into a protocol for HTTP whose client is refused: no WebSocket begins, and the refusal is plain HTTP."""

    app: Any

    def _should_upgrade(self) -> bool:
        return False


@lru_cache(maxsize=32)
def _refused(base: type) -> type:
    """Return the protocol *base* of uvicorn for clients that are refused."""
    return type(base.__name__, (_Refused, base), {"__module__": __name__, "__doc__": _Refused.__doc__})


@lru_cache(maxsize=32)
def _introducing(base: type) -> type:
    """Return *base* with what is mixed in, under a name by which a worker of another process finds it as well."""
    request = _WithoutTrailers if hasattr(base, "on_headers_complete") else _Requests
    mixed = request if hasattr(base, "_should_upgrade") else _Introducing
    own = {"__module__": __name__, "__doc__": mixed.__doc__, "_completed": getattr(base, "on_headers_complete", None)}
    return type(base.__name__, (mixed, base), own)


def __getattr__(name: str) -> Any:
    """Make the protocol classes when they are asked for: each needs a library that need not be there."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base = _home(name)
    return None if base is None else _introducing(base)  # uvicorn says None where no WebSocket library is there


def _home(name: str) -> type | None:
    """Return the protocol class of uvicorn itself; ``None``: its library is not there."""
    module, attribute = _HOMES[name]
    found: type | None = getattr(import_module(module), attribute)
    return found


class _Config(uvicorn.Config):
    """A configuration that puts the middleware around the application, wherever that comes from."""

    direct: Direct

    def load(self) -> None:
        """Load everything; the middleware goes outside of what uvicorn itself puts around an application."""
        super().load()
        app: Any = self.loaded_app
        inner = app
        while isinstance(inner, ProxyHeadersMiddleware | MessageLoggerMiddleware):
            inner = inner.app
        if self.direct.around(inner) is not inner:
            self.loaded_app = self.direct.around(app)


def config(
    app: Any,
    *,
    context: ssl.SSLContext | None = None,
    refuse: Refuse = "handshake",
    policy: Policy | None = None,
    absent: int = 403,
    **options: Any,
) -> uvicorn.Config:
    """Return the configuration of a server whose connections are known to `integrations.asgi.Middleware`.

    With a *context* that middleware is put around the application, with ``source="connection"``, unless one of ours is
    its outermost part already: ``asgi.peer(request)`` is the peer, and the verifier is named once, in the context.

    Args:
        app: The application, or the path to it.
        context: Of `tls.server_context`; ``None``: a server without TLS, behind a proxy.
        refuse: What a client is told whom the context refuses: ``"handshake"``, nothing, its connection is closed; or
            ``"respond"``, an answer of the table of codes to its first request, and then it is closed. The application
            sees neither. Whom OpenSSL refuses, a certificate of an unknown CA for example, gets no answer either way.
        policy: A further policy of every request.
        absent: Status where no certificate came: 403, 400 or 401.
        **options: Of ``uvicorn.Config``, where ``http`` is ``"auto"``, ``"h11"`` or ``"httptools"`` and ``ws`` is
            ``"auto"``, ``"websockets"``, ``"websockets-sansio"``, ``"wsproto"`` or ``"none"``.

    Raises:
        ConfigurationError: A protocol that is not known here, or a context and options for another one.
    """
    http = _take_protocols(options)
    direct = Direct(context, refuse=refuse, policy=policy, absent=absent)
    protocol: Any = f"{__name__}:{_HTTP[http]}"
    if context is not None:
        _require_one_context(options)
        options["ssl_context_factory"] = _always(direct.listener or context)
        protocol = Gated(__getattr__(_HTTP[http]), _Answering(http, direct) if direct.responds else None)
    made = _Config(app, http=protocol, **options)
    made.direct = direct
    return made


def run(app: Any, *, context: ssl.SSLContext | None = None, refuse: Refuse = "handshake", **options: Any) -> None:
    """Serve *app* until the process is told to stop; arguments as for `config`."""
    server = uvicorn.Server(config(app, context=context, refuse=refuse, **options))
    server.run()


def _take_protocols(options: dict[str, Any]) -> str:
    """Write our protocol for WebSockets into *options*, and return the name of the one for HTTP, taken out of them."""
    http, ws = options.pop("http", "auto"), options.pop("ws", "auto")
    if http not in _HTTP or (ws not in _WEBSOCKETS and ws != "none"):
        raise ConfigurationError(
            f"http={http!r}, ws={ws!r}: this knows http {', '.join(_HTTP)} and ws none, {', '.join(_WEBSOCKETS)}"
        )
    options["ws"] = ws if ws == "none" else f"{__name__}:{_WEBSOCKETS[ws]}"
    return str(http)


def _always(context: ssl.SSLContext) -> Callable[[object, object], ssl.SSLContext]:
    def factory(_config: object, _default: object) -> ssl.SSLContext:
        return context

    return factory


def _require_one_context(options: dict[str, Any]) -> None:
    for name in sorted(options):
        if name.startswith("ssl_") and options[name] is not None:
            raise ConfigurationError(f"{name}=...: the context says all about TLS; leave {name} out")
    if options.get("reload") or (options.get("workers") or 1) > 1:
        raise ConfigurationError(
            "context=... with reload or several workers: a context cannot be handed to another process. Start one "
            "process for each worker, or use gunicorn with a context of its own in each"
        )


class Gated:
    """Makes a protocol of uvicorn behind the gate of `tls.gate`, so that a held connection waits for its decision.

    Args:
        protocol: The protocol's class.
        answering: Makes the protocol that answers a refusal; ``None``: refusals are not answered.
    """

    def __init__(self, protocol: Any, answering: _Answering | None = None) -> None:
        self._protocol = protocol
        self._answering = answering
        self._state: object = None
        self._made: Callable[[], asyncio.BaseProtocol] | None = None

    def __call__(self, **arguments: Any) -> asyncio.BaseProtocol:
        """Return the gatekeeper of one connection; one gate serves all connections of a server."""
        if self._made is None or self._state is not arguments["server_state"]:
            self._state = arguments["server_state"]
            self._made = self._gate(arguments)
        return self._made()

    def _gate(self, arguments: dict[str, Any]) -> Callable[[], asyncio.BaseProtocol]:
        answering = self._answering
        serving = partial(self._protocol, **arguments)
        if answering is None:
            return tls.gate(serving)
        refusals = Refusals(arguments["server_state"])

        def refusing(error: VerificationError) -> asyncio.Protocol:
            return answering.protocol(error, {**arguments, "server_state": refusals.state()})

        return answering_gate(serving, refusing)


class _Answering:
    """Makes the protocols of refused clients: uvicorn's own, whose application is the refusal.

    Args:
        http: Which one.
        direct: What the application is.
    """

    def __init__(self, http: str, direct: Direct) -> None:
        self._class: Any = _refused(cast("type", _home(_HTTP[http])))
        self._direct = direct

    def protocol(self, error: VerificationError, arguments: dict[str, Any]) -> asyncio.Protocol:
        """Return the protocol for one connection, refused with *error*."""
        made = self._class(**arguments)
        made.app = self._direct.refusing(error)
        made.limit_concurrency = None  # the gate counts these, and over its bound nobody is answered
        return cast("asyncio.Protocol", made)

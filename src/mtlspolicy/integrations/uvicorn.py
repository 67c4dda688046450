"""uvicorn whose protocols tell `integrations.asgi.Middleware` of the socket, before proxy headers rewrite its address.

Works for h11 and httptools, their WebSockets, asyncio and uvloop. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from mtlspolicy import tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._immediate import accepted
from mtlspolicy.integrations._introduce import Introduced

if TYPE_CHECKING:
    import asyncio
    import ssl

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
        self.app = Introduced(self.app, accepted(transport))


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

    def on_headers_complete(self) -> None:
        """Give the application the list as it is now."""
        self.scope["headers"] = self.headers.copy()
        super().on_headers_complete()  # type: ignore[misc]


@lru_cache(maxsize=32)
def _introducing(base: type) -> type:
    """Return *base* with what is mixed in, under a name by which a worker of another process finds it as well."""
    request = _WithoutTrailers if hasattr(base, "on_headers_complete") else _Requests
    mixed = request if hasattr(base, "_should_upgrade") else _Introducing
    return type(base.__name__, (mixed, base), {"__module__": __name__, "__doc__": mixed.__doc__})


def __getattr__(name: str) -> Any:
    """Make the protocol classes when they are asked for: each needs a library that need not be there."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    base: type | None = getattr(import_module(home[0]), home[1])
    return None if base is None else _introducing(base)  # uvicorn says None where no WebSocket library is there


def config(
    app: Any, *, context: ssl.SSLContext | None = None, http: str = "auto", ws: str = "auto", **options: Any
) -> uvicorn.Config:
    """Return the configuration of a server whose connections are known to `integrations.asgi.Middleware`.

    Args:
        app: The application, or the path to it.
        context: Of `tls.server_context`; ``None``: a server without TLS, behind a proxy.
        http: ``"auto"``, ``"h11"`` or ``"httptools"``.
        ws: ``"auto"``, ``"websockets"``, ``"websockets-sansio"``, ``"wsproto"`` or ``"none"``.
        **options: Of ``uvicorn.Config``.

    Raises:
        ConfigurationError: A protocol that is not known here, or a context and options for another one.
    """
    if http not in _HTTP or (ws not in _WEBSOCKETS and ws != "none"):
        raise ConfigurationError(
            f"http={http!r}, ws={ws!r}: this knows http {', '.join(_HTTP)} and ws none, {', '.join(_WEBSOCKETS)}"
        )
    protocol: Any = f"{__name__}:{_HTTP[http]}"
    options["ws"] = ws if ws == "none" else f"{__name__}:{_WEBSOCKETS[ws]}"
    if context is not None:
        _require_one_context(options)
        options["ssl_context_factory"] = _always(context)
        protocol = Gated(__getattr__(_HTTP[http]))
    return uvicorn.Config(app, http=protocol, **options)


def run(app: Any, *, context: ssl.SSLContext | None = None, **options: Any) -> None:
    """Serve *app* until the process is told to stop; arguments as for `config`."""
    server = uvicorn.Server(config(app, context=context, **options))
    server.run()


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
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._state: object = None
        self._made: Callable[[], asyncio.BaseProtocol] | None = None

    def __call__(self, **arguments: Any) -> asyncio.BaseProtocol:
        """Return the gatekeeper of one connection; one gate serves all connections of a server."""
        if self._made is None or self._state is not arguments["server_state"]:
            self._state = arguments["server_state"]
            self._made = tls.gate(lambda: self._protocol(**arguments))
        return self._made()

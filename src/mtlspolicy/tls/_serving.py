"""`start_server`: the streams server of asyncio with the gate in it. It decides nothing itself."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._gate import gate

__all__ = ["require_for_loop", "start_server"]

ClientConnected: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]

STREAM_LIMIT: Final = 64 * 1024
"""Bytes that a stream buffers; the default of `asyncio.start_server`."""


async def start_server(
    client_connected_cb: ClientConnected,
    host: str | Sequence[str] | None = None,
    port: int | str | None = None,
    *,
    ssl: ssl_module.SSLContext,
    limit: int = STREAM_LIMIT,
    **options: Any,
) -> asyncio.Server:
    """Start a server of streams like `asyncio.start_server`, whose callback runs for admitted peers alone.

    Args:
        client_connected_cb: Called with a reader and a writer, a function or a coroutine function;
            ``tls.peer_of(writer)`` is the peer.
        host: As for `asyncio.start_server`.
        port: As for `asyncio.start_server`.
        ssl: A context of `tls.server_context`, or one that `tls.enforce` was called on. Required.
        limit: Bytes that a stream buffers.
        options: Whatever else `asyncio.start_server` takes: ``sock``, ``backlog``, ``ssl_handshake_timeout``, ...

    Raises:
        ConfigurationError: As `require_for_loop`.
    """
    require_for_loop(ssl, "tls.start_server(ssl=...)")
    loop = asyncio.get_running_loop()

    def streams() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    create_server: Any = loop.create_server  # whose types differ from those of asyncio.start_server, which it serves
    server: asyncio.Server = await create_server(gate(streams), host, port, ssl=ssl, **options)
    return server


def require_for_loop(context: object, what: str) -> ssl_module.SSLContext:
    """Return *context* where a server on an event loop can serve with it: it verifies clients, in the handshake.

    Args:
        context: What the caller was given as ``ssl=``.
        what: The caller and its argument, for the message.

    Raises:
        ConfigurationError: Each connection would be refused (``tls.not-ours``), or nobody could ever be asked.
    """
    enforcement = enforcement_of(context) if isinstance(context, ssl_module.SSLContext) else None
    if not isinstance(context, ssl_module.SSLContext) or enforcement is None or not enforcement.server_side:
        raise ConfigurationError(
            f"{what} takes a context that verifies clients: build it with tls.server_context, or call "
            "tls.enforce(context, Verifier.for_clients(...)) on it",
            code="tls.not-ours",
        )
    if enforcement.later:
        from mtlspolicy.tls._post_handshake import NOT_ON_LOOPS

        raise ConfigurationError(NOT_ON_LOOPS)
    return context

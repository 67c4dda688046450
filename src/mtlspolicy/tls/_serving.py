"""`start_server`: the streams server of asyncio with the gate in it. It decides nothing itself."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._gate import gate

__all__ = ["start_server"]

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
        ConfigurationError: The context has no verifier of ours for clients, so that every connection would be refused.
    """
    if not _verifies_clients(ssl):
        raise ConfigurationError(
            "tls.start_server(ssl=...) takes a context that verifies clients: build it with tls.server_context, or "
            "call tls.enforce(context, Verifier.for_clients(...)) on it",
            code="tls.not-ours",
        )
    loop = asyncio.get_running_loop()

    def streams() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    create_server: Any = loop.create_server  # whose types differ from those of asyncio.start_server, which it serves
    server: asyncio.Server = await create_server(gate(streams), host, port, ssl=ssl, **options)
    return server


def _verifies_clients(context: object) -> bool:
    enforcement = enforcement_of(context) if isinstance(context, ssl_module.SSLContext) else None
    return enforcement is not None and enforcement.server_side

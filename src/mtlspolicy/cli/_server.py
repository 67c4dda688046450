"""The server of ``demo`` and ``serve``: HTTPS under asyncio on loopback, which tells each caller who it is.

Who is admitted is decided in the handshake by the context's verifier; this only answers those who were.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls import peer_of

HOST: Final = "127.0.0.1"
"""Loopback alone: what runs here is for looking at."""
REQUEST_LIMIT: Final = 16 * 1024
"""Bytes of a request's head; there is no need of a body."""
_DEADLINE: Final = 10.0
"""Seconds for a request."""
_GONE: Final = (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError, ConfigurationError)
"""``peer_of`` raises the last one where the connection is closed already."""

OnConnect = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OnAdmitted = Callable[[VerifiedPeer, str], None]
"""Is told the peer and its address."""


async def listen(context: ssl.SSLContext, port: int, on_admitted: OnAdmitted) -> asyncio.Server:
    """Start the server on *port* of loopback (0: a free one) and return it.

    Raises:
        ConfigurationError: The port cannot be had.
    """
    try:
        return await asyncio.start_server(_answering(on_admitted), HOST, port, ssl=context, limit=REQUEST_LIMIT)
    except OSError as error:
        raise ConfigurationError(
            f"port {port} of {HOST} cannot be had: {error.strerror or error}; give another with --port, or 0 for any"
        ) from None


def port_of(server: asyncio.Server) -> int:
    """Return the port that *server* listens on."""
    return int(server.sockets[0].getsockname()[1])


def _answering(on_admitted: OnAdmitted) -> OnConnect:
    async def on_connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_DEADLINE):
                head = await reader.readuntil(b"\r\n\r\n")
                peer = _peer(writer)
                host, number = writer.get_extra_info("peername")[:2]
                on_admitted(peer, f"{host}:{number}")
                writer.write(_response(head, peer))
                await writer.drain()
        except _GONE:
            return  # who hangs up, floods or falls asleep gets no answer
        finally:
            writer.close()

    return on_connect


def _peer(writer: asyncio.StreamWriter) -> VerifiedPeer:
    peer = peer_of(writer)
    if peer is None:
        raise EOFError("nobody without a certificate is answered, whatever the context lets in")
    return peer


def _response(head: bytes, peer: VerifiedPeer) -> bytes:
    method = head.partition(b" ")[0]
    known = method in (b"GET", b"HEAD")
    answer = identity(peer) if known else {"error": "this server answers GET and HEAD"}
    body = json.dumps(answer, indent=2).encode("ascii") + b"\n"
    status = "200 OK" if known else "405 Method Not Allowed"
    lines = (
        f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}",
        "Cache-Control: no-store", "Connection: close",
    )  # fmt: skip
    return "\r\n".join((*lines, "", "")).encode("ascii") + (b"" if method == b"HEAD" else body)


def identity(peer: VerifiedPeer) -> dict[str, Any]:
    """Return who *peer* is and why it was admitted, as text that is safe to print."""
    return {
        "common_name": None if peer.common_name is None else escape(peer.common_name),
        "issuer": str(peer.issuer),
        "path": str(peer.path),
        "serial_number": f"{peer.serial_number:#x}",
        "admitted_by": list(peer.decision.admitted_by),
        "code": peer.decision.code,
        "tls": peer.connection.tls_version,
        "resumed": peer.connection.resumed,
    }

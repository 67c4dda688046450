"""The clients of ``demo``: real TLS connections with contexts of the standard library, each made once."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final

from mtlspolicy.cli._demo_pki import Identity
from mtlspolicy.cli._server import HOST

_TIMEOUT: Final = 5.0
_REQUEST: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Visit:
    """What a client saw of one connection.

    Attributes:
        address: Its own end, ``127.0.0.1:54321``, as the server's log names it.
        answer: The server's answer, or ``None``: it got none.
        tls: Version of TLS, or ``None``: the handshake did not end.
        resumed: Whether the session was resumed.
        session: The session, for resuming it.
    """

    address: str
    answer: dict[str, Any] | None = None
    tls: str | None = None
    resumed: bool = False
    session: ssl.SSLSession | None = None


def client_context(trust_pem: bytes, identity: Identity | None) -> ssl.SSLContext:
    """Return a client's context that trusts *trust_pem* and presents *identity*, if there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=trust_pem.decode("ascii"))
    if identity is not None:
        identity.credential.load_into(context)
    return context


def visit(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Visit:
    """Connect to the server on *port* of loopback, ask who we are, and return what came of it."""
    with socket.create_connection((HOST, port), timeout=_TIMEOUT) as raw:
        host, number = raw.getsockname()
        seen = Visit(f"{host}:{number}")
        try:
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as connection:
                seen = Visit(
                    seen.address, None, connection.version(), bool(connection.session_reused), connection.session
                )
                connection.sendall(_REQUEST)
                answer = _read(connection)
        except OSError:
            return seen  # the server shut the connection, which is what a refusal looks like from here
    return Visit(seen.address, answer, seen.tls, seen.resumed, seen.session)


def _read(connection: ssl.SSLSocket) -> dict[str, Any] | None:
    """Return the body of the server's answer; ``None``: it ended the connection without one."""
    data = b""
    while part := connection.recv(4096):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return dict(json.loads(body)) if head.startswith(b"HTTP/1.1 200 ") else None

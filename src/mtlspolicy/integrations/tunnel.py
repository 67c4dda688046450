"""Tunnels for drivers that can be given no context: they connect to a Unix socket, which leads to a server over TLS.

The verifier of the context decides on the server of each connection before a byte of the driver is moved.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations._contexts import require_client_context
from mtlspolicy.integrations._tunnel import Course, Way, endpoint

__all__ = ["Tunnel", "postgresql"]

_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)


def postgresql(plain: socket.socket) -> None:
    """Ask a PostgreSQL for TLS, as libpq does except on Unix sockets: ``Tunnel(..., before=postgresql)``.

    Its answer is one octet, and no more is read: bytes that somebody has put behind it end the handshake.

    Args:
        plain: The connection, before TLS.

    Raises:
        ConnectionAbortedError: The server does not speak TLS; it was told nothing.
    """
    plain.sendall(_SSL_REQUEST)
    if plain.recv(1) != b"S":
        raise ConnectionAbortedError("the PostgreSQL server does not speak TLS")


class Tunnel:
    """A Unix socket in a folder that nobody else may enter; whoever connects to it speaks with one server over TLS.

    **This process alone** gets through: a connection of any other one, forked children among them, is closed, and what
    it sent is not read. Ends with `close`, with its ``with`` block, and at the latest with the process. For Linux and
    macOS.

    Args:
        target: ``"db.example.org:5432"`` or ``"[2001:db8::1]:5432"``: what is dialed. Whom the server has to be says
            the verifier of *context*.
        context: Of `tls.client_context`, or one on which `tls.enforce` was called.
        name: Of the socket in its folder, where the driver wants a certain one: libpq's is ``.s.PGSQL.5432``, and that
            of pymongo ends in ``.sock``.
        before: Called with the plain connection to the server before TLS begins, such as `postgresql`; an ``OSError``
            that it raises ends the connection.

    Attributes:
        path: Of the socket.

    Raises:
        ConfigurationError: *context* has no verifier of servers, *target* or *name* is none, or this system does not
            say which process connects to a Unix socket.
        OSError: The socket cannot be made; its path is too long where that of the folder for temporary files is.
    """

    def __init__(
        self, target: str, *, context: ssl.SSLContext, name: str = "tunnel.sock",
        before: Callable[[socket.socket], object] | None = None,
    ) -> None:  # fmt: skip
        host, port = endpoint(target)
        if not name or name in {".", ".."} or set(name) & set("/\0"):
            raise ConfigurationError(f"name={escape(repr(name))}: the name of a file, without a folder")
        require_client_context(context, "Tunnel(context=...)")
        self._course = Course(Way(host, port, context, before, ""), name)
        self.path: Path = self._course.path

    @property
    def refusal(self) -> Exception | None:
        """Why the last connection came to nothing, such as a `HandshakeRejected`; ``None``: it was admitted.

        A driver sees the end of its connection and no more.
        """
        return self._course.refusal

    def close(self) -> None:
        """End every connection, and remove the socket and its folder; once more does nothing.

        The path is free then: a pool that outlives the tunnel must not connect to it again, so close the pool first.
        """
        self._course.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""Who is at the other end of an accepted socket, as the socket itself says it. No header and no server's word counts.

It decides nothing: whether that end is the trusted proxy is for the gate of a source.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any, Final, Self

from mtlspolicy import tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._gate import ImmediatePeer
from mtlspolicy.tls._address import ip_address_of

if TYPE_CHECKING:
    import asyncio

    from mtlspolicy._peer import VerifiedPeer

__all__ = ["ACCEPTED", "Accepted", "accepted"]

ACCEPTED: Final = "mtlspolicy.accepted"
"""Key under which an edge of ours puts `Accepted` into a scope. The type counts and not the key."""

_CREDENTIALS: Final = struct.Struct("=iII")
"""``struct ucred`` of Linux: process, user, group; the user is (uid_t)-1 where nobody is known."""
_NOBODY: Final = 0xFFFF_FFFF


class Accepted:
    """An accepted connection: the address of its other end, read once, and the connection itself for its TLS.

    Attributes:
        connection: The transport or socket.
        address: IP address, text; ``None``: a Unix socket, or not known.
        unix: Whether the socket that was listened on is a Unix socket.
        uid: User id at the other end of it, where the system tells.
    """

    __slots__ = ("address", "connection", "uid", "unix")

    def __init__(
        self, connection: Any, *, address: str | None = None, unix: bool = False, uid: int | None = None
    ) -> None:
        self.connection: Any = connection
        self.address: str | None = address
        self.unix: bool = unix
        self.uid: int | None = uid

    def __deepcopy__(self, _: object) -> Self:
        """Return itself: middlewares copy scopes (Hypercorn's ProxyFix does), and a connection has no copy."""
        return self

    @property
    def ssl_object(self) -> ssl.SSLSocket | ssl.SSLObject | None:
        """The TLS of the connection; ``None``: plain."""
        if isinstance(self.connection, ssl.SSLSocket):
            return self.connection
        info = getattr(self.connection, "get_extra_info", None)
        found = None if info is None else info("ssl_object")
        return found if isinstance(found, ssl.SSLObject | ssl.SSLSocket) else None

    def peer(self) -> ImmediatePeer:
        """Return the other end, with the peer that mutual TLS of ours has shown on this connection, asked anew.

        Raises:
            HandshakeRejected: The certificate is no longer the one that was decided on; the connection is shut.
        """
        return ImmediatePeer(address=self.address, unix=self.unix, uid=self.uid, proxy=self._proxy())

    def _proxy(self) -> VerifiedPeer | None:
        if self.ssl_object is None:
            return None
        try:
            return tls.peer_of(self.connection)
        except ConfigurationError:  # somebody else's TLS, which proves nothing to us
            return None


def accepted(connection: socket.socket | asyncio.BaseTransport) -> Accepted:
    """Return what the socket of *connection* says of its other end. It is asked now: later it may be closed."""
    below: Any = connection
    info = getattr(connection, "get_extra_info", None)
    if info is not None:
        below = info("socket")
    try:
        here, there = below.getsockname(), below.getpeername()
    except (OSError, AttributeError):  # closed already, or no socket
        return Accepted(connection)
    if not isinstance(here, str | bytes):
        return Accepted(connection, address=ip_address_of(there))
    # What the kernel says of the listening side, and not `family`, which is a label: a server that is given the
    # descriptor of a TCP socket to listen on may have labelled it AF_UNIX (uvicorn --fd does).
    return Accepted(connection, unix=True, uid=_uid(below))


def _uid(below: socket.socket) -> int | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _, uid, _ = _CREDENTIALS.unpack(below.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return None if uid == _NOBODY else int(uid)

"""Who is at the other end of an accepted socket, as the socket itself says it. No header and no server's word counts.

It decides nothing: whether that end is the trusted proxy is for the gate of a source.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any, Final, Self, cast

from mtlspolicy import tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.forwarded._gate import ImmediatePeer
from mtlspolicy.tls._address import ip_address_of
from mtlspolicy.tls._cpython import leaf_of, tls_object
from mtlspolicy.tls._latch import ADMITTED, Latch
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    import asyncio

    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._peer import VerifiedPeer

__all__ = ["ACCEPTED", "Accepted", "Shown", "accepted"]

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

    __slots__ = ("_plain", "_shown", "address", "connection", "uid", "unix")

    def __init__(
        self, connection: Any, *, address: str | None = None, unix: bool = False, uid: int | None = None
    ) -> None:
        self.connection: Any = connection
        self.address: str | None = address
        self.unix: bool = unix
        self.uid: int | None = uid
        self._plain: ImmediatePeer | None = None
        self._shown: Shown | None = None

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

    def shown(self) -> Shown:
        """Return what the handshake has shown of the client, asked anew: of this connection, never of a request on it.

        Raises:
            ConfigurationError: As `tls.peer_of`.
            HandshakeRejected: As `tls.peer_of`: the certificate is no longer the one that was decided on, for example.
        """
        known = self._shown
        if known is None or not known.stands():
            self._shown = None
            known = self._shown = Shown(self)
        return known

    def peer(self) -> ImmediatePeer:
        """Return the other end, with the peer that mutual TLS of ours has shown on this connection, asked anew.

        Raises:
            HandshakeRejected: The certificate is no longer the one that was decided on; the connection is shut.
        """
        if self._plain is not None:
            return self._plain
        if self.ssl_object is None:  # and never will have one: an upgraded connection is another transport
            self._plain = ImmediatePeer(address=self.address, unix=self.unix, uid=self.uid)
            return self._plain
        return ImmediatePeer(address=self.address, unix=self.unix, uid=self.uid, proxy=self._proxy())

    def _proxy(self) -> VerifiedPeer | None:
        try:
            return self.shown().peer
        except ConfigurationError:  # somebody else's TLS, which proves nothing to us
            return None


class Shown:
    """What the handshake of one connection has shown of its client, kept for the requests that follow on it.

    Args:
        accepted: The connection.

    Attributes:
        peer: As `tls.peer_of`.
        presented: As `tls.presented_by`.
        extension: What `_tls_extension` has made of it; ``None``: nobody has asked yet.
        several_hosts: Whether the connection was judged for one of several hosts that share a listener.

    Raises:
        ConfigurationError: As `tls.peer_of`.
        HandshakeRejected: As `tls.peer_of`.
    """

    __slots__ = ("_latch", "_leaf", "_ours", "_tls", "_verified", "extension", "peer", "presented", "several_hosts")

    def __init__(self, accepted: Accepted) -> None:
        self.peer: VerifiedPeer | None = tls.peer_of(accepted.connection)
        self.presented: PresentedChain | None = tls.presented_by(accepted.connection)
        self.extension: dict[str, Any] | None = None
        self.several_hosts: bool = False
        self._leaf: bytes | None = None if self.presented is None else self.presented.ders[0]
        found = accepted.ssl_object
        self._latch: Latch | None = None
        if isinstance(found, LatchedObject | LatchedSocket):
            self._ours: LatchedObject | LatchedSocket = found
            self._latch = found._latch
            self._tls = cast("Any", tls_object(found))
            # What OpenSSL has validated, set anew by each certificate that comes in; nothing after a resumption. To
            # compare two of these objects (equal where the certificates are) costs a tenth of writing one as DER.
            chain = self._tls.get_verified_chain()
            self._verified: object = chain[0] if chain else None
            self.several_hosts = bool(self._latch.hosts)

    def stands(self) -> bool:
        """Return whether the connection is still admitted, for the same peer, with the certificate that was decided on.

        If not, `tls.peer_of` says what has happened, and shuts the connection where that is due.
        """
        latch = self._latch
        if latch is None or latch.state is not ADMITTED:
            return False
        if latch.peer is not self.peer or latch.presented is not self.presented:
            return False  # the client was asked for a certificate meanwhile
        chain = self._tls.get_verified_chain()
        if tls_object(self._ours) is not self._tls:  # closed
            return False
        if chain:
            return bool(chain[0] == self._verified)
        try:
            return self._verified is None and leaf_of(self._tls) == self._leaf
        except ValueError:  # broken
            return False


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

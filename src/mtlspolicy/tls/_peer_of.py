"""Who is at the other end, read from the latch of the connection object itself.

Nothing is decided here, and nothing is looked up anywhere but on the object: a connection that is not ours has no peer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeGuard

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._cpython import leaf_of, tls_object
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._guards import end_admitted
from mtlspolicy.tls._latch import ADMITTED, ANSWERING, REFUSED
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    import asyncio
    import ssl

    from OpenSSL import SSL

    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._decision import Decision
    from mtlspolicy._peer import VerifiedPeer
    from mtlspolicy.tls._latch import Latch
    from mtlspolicy.tls._pyopenssl_connection import LatchedConnection

__all__ = ["TLSConnection", "decision_of", "latch_of", "peer_of", "presented_by"]

TLSConnection: TypeAlias = (
    "ssl.SSLSocket | ssl.SSLObject | asyncio.BaseTransport | asyncio.StreamWriter | SSL.Connection | _TwistedTransport"
)
"""A TLS socket, a TLS object, an asyncio transport or stream writer over one, a pyOpenSSL connection, or a transport of
Twisted over one."""


class _TwistedTransport(Protocol):
    """What is used of ``twisted.internet.interfaces.ITransport`` over TLS."""

    def getHandle(self) -> Any:  # noqa: N802 - Twisted's name
        """Return the connection of pyOpenSSL."""


_CHANGED: Final = "the certificate is not the one that was decided on"


def peer_of(connection: TLSConnection) -> VerifiedPeer | None:
    """Return the verified peer of *connection*.

    ``None`` has one meaning: it was decided, a certificate is optional there, and none was presented.

    Raises:
        ConfigurationError: Not a connection of ours (``tls.not-ours``), not decided yet (``tls.undecided``), refused
            (``tls.refused``), or closed (``tls.closed``).
        HandshakeRejected: The certificate is no longer the one that was decided on, and the connection is shut; or the
            connection was refused, and stays only for the answer that says so.
    """
    return _admitted(connection).peer


def presented_by(connection: TLSConnection) -> PresentedChain | None:
    """Return the certificates that the peer of *connection* sent, end entity first; ``None`` as with `peer_of`.

    After a resumed session the peer's own certificate may be all that is left. Raises as `peer_of` does.
    """
    return _admitted(connection).presented


def decision_of(connection: TLSConnection) -> Decision:
    """Return what was decided on *connection*, also where that was a refusal.

    Where a certificate is optional and none was presented, the decision is that of the verifier on no certificate,
    which is no PERMIT, although the connection was let in.

    Raises:
        ConfigurationError: Not a connection of ours (``tls.not-ours``), or not decided yet (``tls.undecided``).
    """
    latch = latch_of(connection)
    if latch.state in (ADMITTED, ANSWERING, REFUSED) and latch.decision is not None:
        return latch.decision
    raise _undecided(latch)


def latch_of(connection: TLSConnection) -> Latch:
    """Return the latch of *connection*; for this package.

    Raises:
        ConfigurationError: Not a connection of ours (``tls.not-ours``).
    """
    return _object_of(connection)._latch


def _object_of(connection: object) -> LatchedSocket | LatchedObject | LatchedConnection:
    found = connection
    info = None
    if not _is_ours(found):
        info = getattr(connection, "get_extra_info", None)
        found = info("ssl_object") if callable(info) else None
    if not _is_ours(found):
        handle = getattr(connection, "getHandle", None)  # Twisted's transports
        found = handle() if callable(handle) else None
    if not _is_ours(found):
        raise ConfigurationError(
            f"{type(connection).__name__} is no TLS connection of a context that has a verifier: build the context "
            "with tls.server_context or tls.client_context, or tls.enforce it, and pass the socket, transport or "
            "StreamWriter itself",
            code="tls.not-ours",
        )
    ours: LatchedSocket | LatchedObject = found  # type: ignore[assignment]  # _is_ours has looked at its type
    if info is not None and ours._latch.peername is None:
        ours._latch.locate(info("peername"))  # uvloop's transport is the first to know the address
    return ours


def _is_ours(candidate: object) -> bool:
    # type(), because an object can say of itself by __class__ what it likes.
    return issubclass(type(candidate), LatchedSocket | LatchedObject) or _is_pyopenssl(candidate)


def _is_pyopenssl(candidate: object) -> TypeGuard[LatchedConnection]:
    # Loaded only where a context of that engine was built; nobody else has such a connection.
    loaded: Any = sys.modules.get("mtlspolicy.tls._pyopenssl_connection")
    return loaded is not None and issubclass(type(candidate), loaded.LatchedConnection)


def _undecided(latch: Latch) -> ConfigurationError:
    return ConfigurationError(
        f"the connection is {latch.state.value}: call do_handshake() first, or ask after the first byte",
        code="tls.undecided",
    )


def _admitted(connection: TLSConnection) -> Latch:
    found = _object_of(connection)
    latch = found._latch
    if latch.state is REFUSED:
        code = "nothing" if latch.decision is None else latch.decision.code
        raise ConfigurationError(
            f"the connection was refused ({code}) and has no peer: see tls.decision_of", code="tls.refused"
        )
    if latch.state is ANSWERING:
        raise latch.rejection()
    if latch.state is not ADMITTED:
        raise _undecided(latch)
    try:
        leaf = found._leaf() if _is_pyopenssl(found) else leaf_of(tls_object(found))
    except ValueError:
        raise ConfigurationError(
            "the connection is closed: ask while it is open, and keep the answer", code="tls.closed"
        ) from None
    if leaf != (None if latch.presented is None else latch.presented.ders[0]):
        latch.mark_refused(refusal("tls.peer-changed", _CHANGED))
        end_admitted(found)
        latch.log(found)
        raise latch.rejection()
    return latch

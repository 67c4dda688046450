"""Holds a context to making TLS objects for connections of ours alone, whatever classes somebody sets on it later.

Every connection of Python's `ssl` gets its TLS object from ``_wrap_socket`` or ``_wrap_bio`` of its context. Those are
shadowed on the one context; they look at who asks, and decide nothing about a peer.
"""

from __future__ import annotations

import functools
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy.tls._cpython import CREATORS, creator_of
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._latch import Latch
from mtlspolicy.tls._object import LatchedObject
from mtlspolicy.tls._socket import LatchedSocket

if TYPE_CHECKING:
    from mtlspolicy.tls._errors import HandshakeRejected

__all__ = ["guard_creation"]

_OURS: Final = (LatchedSocket, LatchedObject)


def guard_creation(context: ssl.SSLContext) -> None:
    """Have *context* refuse to make a TLS object for anything that has no latch."""
    for name in CREATORS:
        context.__dict__[name] = functools.partial(_create, creator_of(context, name))


def _create(create: Any, below: Any, *args: Any, owner: object = None, **kwargs: Any) -> Any:
    """Make the TLS object over *below*, a socket or the incoming one of two memories, for the connection *owner*."""
    # type(), because an object can say of itself by __class__ what it likes.
    if not issubclass(type(owner), _OURS):
        raise _refused(below, owner)
    return create(below, *args, owner=owner, **kwargs)


def _refused(below: Any, owner: object) -> HandshakeRejected:
    latch = Latch()
    if isinstance(below, socket.socket):
        with suppress(OSError):
            latch.locate(below.getpeername())
    kind = "sslobject_class" if isinstance(owner, ssl.SSLObject) else "sslsocket_class"
    latch.mark_refused(
        refusal(
            "tls.context-changed",
            f"{kind} of the context is not what it was when the verifier was bound, or somebody went around it: a "
            f"{type(owner).__name__} asks no policy; give a context to one library only",
        )
    )
    latch.log(owner)
    return latch.rejection()

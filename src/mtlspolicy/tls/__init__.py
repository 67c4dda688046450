"""TLS of the standard library with a policy in the handshake: contexts, and who is at the other end.

It decides nothing itself: `Verifier` does, once a connection, before the first byte of the application.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mtlspolicy.tls._contexts import client_context as client_context
from mtlspolicy.tls._contexts import server_context as server_context
from mtlspolicy.tls._credential import Credential as Credential
from mtlspolicy.tls._enforce import enforce as enforce
from mtlspolicy.tls._errors import HandshakeRejected as HandshakeRejected
from mtlspolicy.tls._hardening import Hardening as Hardening
from mtlspolicy.tls._options import ClientOptions as ClientOptions
from mtlspolicy.tls._options import ServerOptions as ServerOptions
from mtlspolicy.tls._peer_of import decision_of as decision_of
from mtlspolicy.tls._peer_of import peer_of as peer_of
from mtlspolicy.tls._peer_of import presented_by as presented_by

if TYPE_CHECKING:
    from mtlspolicy.tls._gate import gate as gate
    from mtlspolicy.tls._post_handshake import request_certificate as request_certificate
    from mtlspolicy.tls._pyopenssl_context import PyOpenSSLContext as PyOpenSSLContext
    from mtlspolicy.tls._serving import start_server as start_server

__all__ = [
    "ClientOptions",
    "Credential",
    "HandshakeRejected",
    "Hardening",
    "PyOpenSSLContext",
    "ServerOptions",
    "client_context",
    "decision_of",
    "enforce",
    "gate",
    "peer_of",
    "presented_by",
    "request_certificate",
    "server_context",
    "start_server",
]

_LATER = {
    "PyOpenSSLContext": "mtlspolicy.tls._pyopenssl_context",
    "gate": "mtlspolicy.tls._gate",
    "request_certificate": "mtlspolicy.tls._post_handshake",
    "start_server": "mtlspolicy.tls._serving",
}


def __getattr__(name: str) -> Any:
    """Load what needs asyncio or an extra when it is first asked for."""
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value

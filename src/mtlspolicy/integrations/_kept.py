"""Decides again on a connection that a client kept open, before another request goes over it.

Trust, policy, revocation and the clock may have moved since the handshake. Whoever is not admitted now is closed here,
so that a new connection is made, which its own handshake decides on. Not for event loops: facts are waited for.
"""

from __future__ import annotations

import ssl
from typing import Any, Protocol

from mtlspolicy._decision import Verdict
from mtlspolicy._resolver import settle
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._enforcement import enforcement_of
from mtlspolicy.tls._latch import ADMITTED
from mtlspolicy.tls._peer_of import latch_of

__all__ = ["require_client_context", "still_admitted"]


class _Connection(Protocol):
    """A socket or TLS object of ours."""

    context: Any
    server_hostname: Any

    def _end(self) -> None:
        """Drop the TLS object and shut what is below."""


def require_client_context(context: object, what: str) -> ssl.SSLContext:
    """Return *context* where a verifier of servers is bound to it.

    Args:
        context: What the caller passed.
        what: The caller, for the message.

    Raises:
        ConfigurationError: Another context, or none.
    """
    enforcement = enforcement_of(context) if isinstance(context, ssl.SSLContext) else None
    if enforcement is None or enforcement.server_side or not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(
            f"{what} needs a context whose verifier judges servers, made by tls.client_context or given one by "
            f"tls.enforce; this is {type(context).__name__}"
        )
    return context


def still_admitted(connection: Any) -> bool:
    """Return whether the peer of *connection* would be admitted now; if not, the connection is shut and logged.

    Args:
        connection: A socket or TLS object of a client context of ours, decided.
    """
    latch = latch_of(connection)
    found: _Connection = connection
    enforcement = enforcement_of(found.context)
    if latch.state is not ADMITTED or latch.connection is None or enforcement is None:
        return False
    if enforcement.change() is not None:
        return False  # the handshake of the connection that takes its place refuses, and says which setting it is
    judgement = enforcement.verifier.judgement(
        latch.presented, connection=latch.connection, dialed=found.server_hostname
    )
    decision = judgement.conclude(settle(judgement, enforcement.resolver)).decision
    if decision.verdict is Verdict.PERMIT:
        return True
    latch.mark_refused(decision)
    found._end()
    latch.log(connection)
    return False

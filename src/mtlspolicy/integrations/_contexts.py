"""The contexts that integrations take: each with a verifier. It decides nothing."""

from __future__ import annotations

import ssl

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._enforcement import enforcement_of

__all__ = ["require_client_context", "require_enforced"]


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


def require_enforced(context: object, what: str) -> ssl.SSLContext:
    """Return *context* where a verifier of clients is bound to it.

    Args:
        context: What the caller passed.
        what: The caller, for the message.

    Raises:
        ConfigurationError: Another context, or none.
    """
    enforcement = enforcement_of(context) if isinstance(context, ssl.SSLContext) else None
    if enforcement is None or not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(
            f"{what}({type(context).__name__}): give a context of tls.server_context(...), or one that "
            "tls.enforce was called on"
        )
    if not enforcement.server_side:
        raise ConfigurationError(
            f"{what}: the context verifies servers, and would refuse every connection here: build one with "
            "tls.server_context(..., verifier=Verifier.for_clients(...))",
            code="tls.wrong-side",
        )
    return context

"""What client and server tell each other in metadata (RFC 8414, RFC 7591; RFC 8705, sections 3.3, 3.4 and 5).

Nothing is fetched, and nothing is decided about a peer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from mtlspolicy._text import quoted
from mtlspolicy.oauth._metadata import PKI, SELF_SIGNED, object_of, wrong

__all__ = ["mtls_endpoint", "server_metadata", "wants_bound_tokens"]

BOUND_TOKENS: Final = "tls_client_certificate_bound_access_tokens"
ALIASES: Final = "mtls_endpoint_aliases"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*_endpoint", re.ASCII)
_URL: Final = re.compile(r"https://[A-Za-z0-9\[][!-~]*", re.ASCII)


def server_metadata(
    *,
    methods: Collection[str] = (PKI, SELF_SIGNED),
    bound_tokens: bool = True,
    aliases: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the members that RFC 8705 adds to an authorization server's metadata (RFC 8414).

    Args:
        methods: All values of ``token_endpoint_auth_methods_supported``, those without a certificate included.
        bound_tokens: Whether access tokens can be bound to certificates (section 3.3).
        aliases: URLs of endpoints for clients that use mutual TLS, by the name of the endpoint (section 5), where
            clients without certificates have other ones.

    Raises:
        ConfigurationError: No method, what is no name of one, ``bound_tokens`` that is neither true nor false, or an
            alias that is no https URL (``oauth.metadata``).
    """
    if isinstance(methods, str) or not methods or not all(isinstance(one, str) and one for one in methods):
        raise wrong("server_metadata(methods=...) takes a list of method names, at least one")
    if not isinstance(bound_tokens, bool):
        raise wrong(f"server_metadata(bound_tokens=...) is True or False, not {type(bound_tokens).__name__}")
    found: dict[str, Any] = {"token_endpoint_auth_methods_supported": list(methods), BOUND_TOKENS: bound_tokens}
    if aliases:
        object_of(aliases)
        found[ALIASES] = {name: _url(name, url) for name, url in aliases.items()}
    return found


def mtls_endpoint(metadata: Mapping[str, Any], name: str) -> str:
    """Return where a client that uses mutual TLS finds the endpoint *name*: its alias, else the endpoint itself.

    Args:
        metadata: The authorization server's (RFC 8414), as parsed JSON.
        name: Such as ``"token_endpoint"``.

    Raises:
        ConfigurationError: There is none, or what is there is no https URL (``oauth.metadata``).
    """
    known = object_of(metadata)
    aliases = object_of(known.get(ALIASES, {}))
    if name not in aliases and name not in known:
        raise wrong(f"the server's metadata have no {quoted(name, 80)}")
    return _url(name, aliases.get(name, known.get(name)))


def wants_bound_tokens(metadata: Mapping[str, Any]) -> bool:
    """Return whether a client registered that its access tokens are bound to its certificates (section 3.4).

    Raises:
        ConfigurationError: The member is there and is neither true nor false (``oauth.metadata``).
    """
    value = object_of(metadata).get(BOUND_TOKENS, False)
    if not isinstance(value, bool):
        raise wrong(f"{BOUND_TOKENS} is true or false, not {type(value).__name__}")
    return value


def _url(name: object, url: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise wrong(f"{name!r} names no endpoint: write 'token_endpoint'")
    if not isinstance(url, str) or _URL.fullmatch(url) is None:
        shown = quoted(url, 80) if isinstance(url, str) else type(url).__name__
        raise wrong(f"{name} is {shown}, which is no https URL")
    return url

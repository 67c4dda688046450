"""The reason codes about certificate-bound tokens and OAuth clients (RFC 8705). A part of the table in `_codes`."""

from __future__ import annotations

from typing import Final

from mtlspolicy._codes_outcomes import INVALID_CLIENT, TOKEN_BINDING, UNAVAILABLE, Code

OAUTH_CODES: Final[dict[str, Code]] = {
    "oauth.unbound": Code("the token is bound to nothing, and must be bound", TOKEN_BINDING),
    "oauth.no-certificate": Code("a token that is bound to a certificate came without one", TOKEN_BINDING),
    "oauth.other-certificate": Code("the token is bound to another certificate", TOKEN_BINDING),
    "oauth.other-confirmation": Code("the token is bound in a way that nobody here verifies", TOKEN_BINDING),
    "oauth.malformed-cnf": Code("the token's confirmation is not what RFC 8705 says", TOKEN_BINDING),
    "oauth.malformed-claims": Code("claims that are not those of a token", TOKEN_BINDING),
    "oauth.inactive": Code("the token is not active, as its introspection says", TOKEN_BINDING),
    "oauth.unknown-client": Code("no client of this client_id authenticates by certificate", INVALID_CLIENT),
    "oauth.jwks-unavailable": Code("the registered certificates of the client could not be had", UNAVAILABLE),
}

"""OAuth 2.0 mutual TLS (RFC 8705): tokens bound to certificates, and clients authenticated by them. No framework.

For resource servers `confirm`; for authorization servers `authenticate_client`, `client_verifier` and `cnf`. Tokens are
made, signed, parsed and verified elsewhere, and nothing is fetched.
"""

from __future__ import annotations

from mtlspolicy.oauth._binding import Confirmation, cnf, confirm, thumbprint
from mtlspolicy.oauth._client import authenticate_client, authenticate_client_async
from mtlspolicy.oauth._client_verifier import client_verifier
from mtlspolicy.oauth._discovery import mtls_endpoint, server_metadata, wants_bound_tokens
from mtlspolicy.oauth._errors import Answer, InvalidClient, TokenBindingError
from mtlspolicy.oauth._metadata import client_policy, registered_subject

__all__ = [
    "Answer",
    "Confirmation",
    "InvalidClient",
    "TokenBindingError",
    "authenticate_client",
    "authenticate_client_async",
    "client_policy",
    "client_verifier",
    "cnf",
    "confirm",
    "mtls_endpoint",
    "registered_subject",
    "server_metadata",
    "thumbprint",
    "wants_bound_tokens",
]

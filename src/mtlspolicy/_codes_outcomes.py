"""What each protocol is told about each kind of refusal, and the row of the table of reason codes. No code is here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
RETRY_AFTER: Final[Mapping[str, str]] = MappingProxyType({"Retry-After": "5"})


class Outcome(NamedTuple):
    """What each protocol is told about one kind of refusal.

    ``http_headers`` has text values; ``tls_alert`` is the name from RFC 8446, section 6.2.
    """

    name: str
    http_status: int
    grpc_status: str
    tls_alert: str
    retryable: bool = False
    http_headers: Mapping[str, str] = NO_HEADERS


NO_CERTIFICATE = Outcome("no certificate", 403, "UNAUTHENTICATED", "certificate_required")
UNKNOWN_CA = Outcome("path not valid", 403, "UNAUTHENTICATED", "unknown_ca")
BAD_CERTIFICATE = Outcome("path not valid", 403, "UNAUTHENTICATED", "bad_certificate")
EXPIRED = Outcome("path not valid", 403, "UNAUTHENTICATED", "certificate_expired")
DENIED = Outcome("policy denies", 403, "PERMISSION_DENIED", "access_denied")
REVOKED = Outcome("revoked", 403, "PERMISSION_DENIED", "certificate_revoked")
UNAVAILABLE = Outcome(
    "indeterminate, fact missing", 503, "UNAVAILABLE", "internal_error", retryable=True, http_headers=RETRY_AFTER
)
INDETERMINATE = Outcome("indeterminate otherwise", 403, "PERMISSION_DENIED", "access_denied")
MALFORMED_HEADER = Outcome("forwarded header malformed", 400, "INVALID_ARGUMENT", "access_denied")
LARGE_HEADER = Outcome("forwarded header too large", 431, "INVALID_ARGUMENT", "access_denied")
UNTRUSTED_PROXY = Outcome("forwarded header from an untrusted proxy", 403, "INVALID_ARGUMENT", "access_denied")
MISDIRECTED = Outcome("SNI and authority differ", 421, "PERMISSION_DENIED", "access_denied")
TOO_EARLY = Outcome("sent as early data", 425, "FAILED_PRECONDITION", "access_denied")
TOKEN_BINDING = Outcome(
    "RFC 8705 binding", 401, "UNAUTHENTICATED", "access_denied",
    http_headers=MappingProxyType({"WWW-Authenticate": 'Bearer error="invalid_token"'}),
)  # fmt: skip
INVALID_CLIENT = Outcome(
    "OAuth client not authenticated", 400, "UNAUTHENTICATED", "access_denied",
    http_headers=MappingProxyType({"Cache-Control": "no-store", "Pragma": "no-cache"}),
)  # fmt: skip
PERMITTED = Outcome("permitted", 200, "OK", "")


class Code(NamedTuple):
    """One row of the table: what the code states, and the outcome it leads to where it decides."""

    meaning: str
    outcome: Outcome

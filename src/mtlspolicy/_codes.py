"""The one table of reason codes: what each means and what each protocol is told. It decides nothing by itself.

A code is ``area.fact``. Codes of users' own policies are not in the table and get the defaults of their verdict.
"""

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
MISDIRECTED = Outcome("SNI and authority differ", 421, "PERMISSION_DENIED", "access_denied")
PERMITTED = Outcome("permitted", 200, "OK", "")


class Code(NamedTuple):
    """One row of the table: what the code states, and the outcome it leads to where it decides."""

    meaning: str
    outcome: Outcome


CODES: Final[dict[str, Code]] = {
    # path: the chain and its validation
    "path.valid": Code("a path to a trust anchor was validated", PERMITTED),
    "path.no-certificate": Code("the peer presented no certificate", NO_CERTIFICATE),
    "path.no-issuer": Code("no certificate at hand issued this one: unknown CA or missing intermediate", UNKNOWN_CA),
    "path.untrusted-self-signed": Code("the peer's certificate is self-signed and not registered", UNKNOWN_CA),
    "path.distrusted": Code("every path contains a key that the store distrusts", UNKNOWN_CA),
    "path.not-registered": Code("the certificate is not one of the registered peers", UNKNOWN_CA),
    "path.expired": Code("a certificate of the path is past its notAfter", EXPIRED),
    "path.not-yet-valid": Code("a certificate of the path is before its notBefore", EXPIRED),
    "path.invalid": Code("the path breaks a rule of the profile", BAD_CERTIFICATE),
    "path.signature": Code("a signature in the path does not verify", BAD_CERTIFICATE),
    "path.version": Code("an X.509 v1 certificate, which only the profile DIRECT allows", BAD_CERTIFICATE),
    "path.key-usage": Code("keyUsage does not allow this use", BAD_CERTIFICATE),
    "path.extended-key-usage": Code("extKeyUsage does not allow this use", BAD_CERTIFICATE),
    "path.basic-constraints": Code("basicConstraints do not allow this certificate its place", BAD_CERTIFICATE),
    "path.end-entity-is-ca": Code("the peer's own certificate is a CA certificate", BAD_CERTIFICATE),
    "path.critical-extension": Code("a critical extension that is not understood", BAD_CERTIFICATE),
    "path.name-constraints": Code(
        "name constraints that the profile cannot evaluate, or that exclude a name", BAD_CERTIFICATE
    ),
    "path.weak-key": Code("a public key below the accepted strength or of an unaccepted kind", BAD_CERTIFICATE),
    "path.too-long": Code("the path needs more certificates than the limit", BAD_CERTIFICATE),
    "path.too-many": Code("more candidate paths than the limit", INDETERMINATE),
    "path.error": Code("path validation failed with an unexpected error", BAD_CERTIFICATE),
    # chain: the bytes
    "chain.malformed": Code("bytes that are not a certificate", BAD_CERTIFICATE),
    "chain.too-large": Code("more or larger certificates than the limits", BAD_CERTIFICATE),
    "name.hostile": Code("a name with control, format or other unprintable characters", BAD_CERTIFICATE),
    "serial.out-of-range": Code("a serial number that is not positive or longer than 20 octets", BAD_CERTIFICATE),
    # trust
    "trust.unavailable": Code("the current trust store or policy could not be had", INDETERMINATE),
    "resumption.no-path": Code("a resumed session left the end entity alone, and no path leads from it", UNKNOWN_CA),
    # policy: the algebra
    "policy.all": Code("every clause permits", PERMITTED),
    "policy.any": Code("one clause permits", PERMITTED),
    "policy.enough": Code("enough clauses permit", PERMITTED),
    "policy.anyone": Code("any peer with a valid path", PERMITTED),
    "policy.no-alternative": Code("no alternative permits", DENIED),
    "policy.too-few": Code("too few clauses permit", DENIED),
    "policy.excluded": Code("a negated clause matches", DENIED),
    "policy.not-excluded": Code("a negated clause does not match", PERMITTED),
    "policy.error": Code("a clause raised an exception", INDETERMINATE),
    "policy.bad-result": Code("a clause returned something that is not its own answer", INDETERMINATE),
    # facts
    "fact.found": Code("the looked-up fact permits", PERMITTED),
    "fact.refused": Code("the looked-up fact denies", DENIED),
    "fact.missing": Code("a fact that the policy needs could not be had", UNAVAILABLE),
    # names
    "name.match": Code("a presented name is one of the expected", PERMITTED),
    "name.mismatch": Code("no presented name is one of the expected", DENIED),
    "name.absent": Code("the certificate has no name of this kind", INDETERMINATE),
    "name.ambiguous": Code("several values where the policy needs exactly one", INDETERMINATE),
    "name.unreadable": Code("a name of this kind cannot be read", INDETERMINATE),
    "name.wildcard": Code("only a wildcard that the peer presents would cover the name", INDETERMINATE),
    "name.constrained": Code("a CA of the path constrains names and this one escapes the constraint", INDETERMINATE),
    "name.too-long": Code("a name longer than a pattern is run on", INDETERMINATE),
    "identity.match": Code("the server is one of the expected", PERMITTED),
    "identity.mismatch": Code("the server is none of the expected", DENIED),
    "identity.unknown": Code("the name that the connection was opened to is not known", INDETERMINATE),
    "spiffe.foreign-anchor": Code("the trust anchor does not belong to the SPIFFE ID's trust domain", DENIED),
    # issuer, keys, serials
    "issuer.match": Code("the issuer is one of the pinned", PERMITTED),
    "issuer.not-pinned": Code("the issuer is none of the pinned", DENIED),
    "issuer.none": Code("the path has no issuer: the peer is itself the anchor", DENIED),
    "pin.match": Code("the key or certificate is one of the pinned", PERMITTED),
    "pin.mismatch": Code("the key or certificate is none of the pinned", DENIED),
    "serial.match": Code("issuer and serial number are on the list", PERMITTED),
    "serial.mismatch": Code("issuer and serial number are not on the list", DENIED),
    "serial.blocked": Code("issuer and serial number are on the deny list", DENIED),
    "serial.not-blocked": Code("issuer and serial number are not on the deny list", PERMITTED),
    # attributes
    "eku.match": Code("extKeyUsage holds the purpose", PERMITTED),
    "eku.mismatch": Code("extKeyUsage lacks the purpose", DENIED),
    "eku.absent": Code("the certificate has no extKeyUsage", INDETERMINATE),
    "policy-oid.match": Code("a certificate policy is one of the expected", PERMITTED),
    "policy-oid.mismatch": Code("no certificate policy is one of the expected", DENIED),
    "policy-oid.absent": Code("the certificate has no certificatePolicies", INDETERMINATE),
    "key.strong": Code("the key is strong enough", PERMITTED),
    "key.weak": Code("the key is too weak, of an unaccepted kind, or not canonically encoded", DENIED),
    "lifetime.short": Code("the certificate's lifetime is within the maximum", PERMITTED),
    "lifetime.long": Code("the certificate's lifetime exceeds the maximum", DENIED),
    # connection
    "address.match": Code("the address is in one of the networks", PERMITTED),
    "address.mismatch": Code("the address is in none of the networks", DENIED),
    "address.unknown": Code("the address is not known", INDETERMINATE),
    "address.of-proxy": Code("the socket's address is that of the proxy, not of the client", INDETERMINATE),
    # peer
    "peer.no-possession": Code("nobody proved possession of the certificate's key", DENIED),
}
"""Every reason code that the library itself gives, by area."""

_DEFAULTS: Final = {"PERMIT": PERMITTED, "DENY": DENIED, "INDETERMINATE": INDETERMINATE}


def outcome_of(code: str, verdict: str) -> Outcome:
    """Return what protocols are told for *code*; codes outside the table get the default of *verdict* (its name)."""
    row = CODES.get(code)
    if row is None or (row.outcome is PERMITTED and verdict != "PERMIT"):
        return _DEFAULTS[verdict]
    return row.outcome

"""The one table of reason codes: what each means and what each protocol is told. It decides nothing by itself.

A code is ``area.fact``. Codes of users' own policies are not in the table and get the defaults of their verdict.
"""

from __future__ import annotations

from typing import Final

from mtlspolicy._codes_forwarded import FORWARDED_CODES
from mtlspolicy._codes_oauth import OAUTH_CODES
from mtlspolicy._codes_outcomes import (
    BAD_CERTIFICATE,
    DENIED,
    EXPIRED,
    INDETERMINATE,
    MISDIRECTED,
    NO_CERTIFICATE,
    NO_HEADERS,
    PERMITTED,
    REVOKED,
    UNAVAILABLE,
    UNKNOWN_CA,
    Code,
    Outcome,
)
from mtlspolicy._codes_revocation import REVOCATION_CODES

__all__ = ["CODES", "INDETERMINATE", "NO_HEADERS", "PERMITTED", "UNAVAILABLE", "Code", "Outcome", "outcome_of"]

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
    "path.refused-by-server": Code("a server with TLS of its own has refused the certificate", BAD_CERTIFICATE),
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
    "trust.stale": Code("the trust store could not be read for longer than its last content counts", UNAVAILABLE),
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
    "name.reversed": Code("the expected distinguished name matches only with its RDNs reversed", INDETERMINATE),
    "name.too-long": Code("a name longer than a pattern is run on", INDETERMINATE),
    "identity.match": Code("the server is one of the expected", PERMITTED),
    "identity.mismatch": Code("the server is none of the expected", DENIED),
    "identity.unknown": Code("the name that the connection was opened to is not known", INDETERMINATE),
    "spiffe.not-svid": Code(
        "the certificate cannot carry a workload's SPIFFE ID: a CA's, or its own anchor", INDETERMINATE
    ),
    "spiffe.foreign-anchor": Code("the trust anchor does not belong to the SPIFFE ID's trust domain", DENIED),
    # issuer, keys, serials
    "issuer.match": Code("the issuer is one of the pinned", PERMITTED),
    "issuer.not-pinned": Code("the issuer is none of the pinned", DENIED),
    "issuer.none": Code("the path has no issuer: the peer is itself the anchor", DENIED),
    "pin.match": Code("the key or certificate is one of the pinned", PERMITTED),
    "pin.mismatch": Code("the key or certificate is none of the pinned", DENIED),
    "serial.match": Code("issuer and serial number are on the list", PERMITTED),
    "serial.mismatch": Code("issuer and serial number are not on the list", DENIED),
    "serial.other-key": Code("a listed serial number under the issuer's name, by another key", INDETERMINATE),
    "serial.blocked": Code("issuer and serial number are on the deny list", DENIED),
    "serial.not-blocked": Code("issuer and serial number are not on the deny list", PERMITTED),
    # attributes
    "eku.match": Code("extKeyUsage holds the purpose", PERMITTED),
    "eku.mismatch": Code("extKeyUsage lacks the purpose", DENIED),
    "eku.absent": Code("the certificate has no extKeyUsage", INDETERMINATE),
    "eku.any": Code("extKeyUsage says anyExtendedKeyUsage, which names no purpose", INDETERMINATE),
    "policy-oid.match": Code("a certificate policy is one of the expected", PERMITTED),
    "policy-oid.mismatch": Code("no certificate policy is one of the expected", DENIED),
    "policy-oid.any": Code("certificatePolicies say anyPolicy, which names no policy", INDETERMINATE),
    "policy-oid.absent": Code("the certificate has no certificatePolicies", INDETERMINATE),
    "key.strong": Code("the key is strong enough", PERMITTED),
    "key.not-canonical": Code("the key is not written in its one canonical encoding", INDETERMINATE),
    "key.weak": Code("the key is too weak, of an unaccepted kind, or not canonically encoded", DENIED),
    "lifetime.short": Code("the certificate's lifetime is within the maximum", PERMITTED),
    "lifetime.long": Code("the certificate's lifetime exceeds the maximum", DENIED),
    # connection
    "address.match": Code("the address is in one of the networks", PERMITTED),
    "address.mismatch": Code("the address is in none of the networks", DENIED),
    "address.unknown": Code("the address is not known", INDETERMINATE),
    "address.of-proxy": Code("the socket's address is that of the proxy, not of the client", INDETERMINATE),
    # tls: what ends a connection before or beside the policy
    "resumption.other-host": Code("a session was resumed at another host than it was made for", MISDIRECTED),
    "tls.unenforced-context": Code("the handshake ended on a context without a verifier", INDETERMINATE),
    "tls.context-changed": Code("a setting of the context is not what it was when it was bound", INDETERMINATE),
    "tls.wrong-side": Code("the context was used on the other side than its verifier is for", INDETERMINATE),
    "tls.name-mismatch": Code("the connection was opened to a name that the verifier does not expect", DENIED),
    "tls.misdirected": Code("a request for another host than its connection was judged for", MISDIRECTED),
    "tls.peer-changed": Code("the peer's certificate is no longer the one that was decided on", DENIED),
    "tls.not-ours": Code("the connection is none of a context with a verifier", INDETERMINATE),
    "tls.no-post-handshake": Code("the client cannot be asked for a certificate after the handshake", NO_CERTIFICATE),
    "tls.data-before-certificate": Code("data came between the question for a certificate and it", INDETERMINATE),
    "tls.plaintext-before": Code("bytes from before TLS wait to be read as if they came through it", INDETERMINATE),
    "tls.no-decision": Code("the handshake ended without a decision on the peer it ended with", INDETERMINATE),
    "tls.interrupted": Code("the decision was interrupted before it was made", INDETERMINATE),
    "tls.peer-gone": Code("the other end went away during the handshake", INDETERMINATE),
    "tls.handshake-timeout": Code("the handshake took longer than it may", INDETERMINATE),
    # tls.openssl: what OpenSSL refused before any certificate reached the verifier
    "tls.openssl-no-certificate": Code("the client presented no certificate", NO_CERTIFICATE),
    "tls.openssl-no-issuer": Code("no issuer of the peer's certificate is among the trusted CAs", UNKNOWN_CA),
    "tls.openssl-self-signed": Code("the peer's certificate is self-signed and not registered", UNKNOWN_CA),
    "tls.openssl-untrusted-root": Code("the peer's chain ends in a root that is not trusted", UNKNOWN_CA),
    "tls.openssl-expired": Code("a certificate of the peer's chain has expired", EXPIRED),
    "tls.openssl-not-yet-valid": Code("a certificate of the peer's chain is not valid yet", EXPIRED),
    "tls.openssl-signature": Code("a signature in the peer's chain does not verify", BAD_CERTIFICATE),
    "tls.openssl-too-long": Code("the peer's chain is too long", BAD_CERTIFICATE),
    "tls.openssl-revoked": Code("a certificate of the peer's chain is on a CRL of the context", REVOKED),
    "tls.openssl-invalid-ca": Code("a CA of the peer's chain is no CA certificate", BAD_CERTIFICATE),
    "tls.openssl-path-length": Code("the peer's chain exceeds a path length constraint", BAD_CERTIFICATE),
    "tls.openssl-purpose": Code("the peer's certificate is for another purpose", BAD_CERTIFICATE),
    "tls.openssl-rejected": Code("a CA of the peer's chain is marked as rejected", BAD_CERTIFICATE),
    "tls.openssl-critical-extension": Code("a critical extension that OpenSSL does not know", BAD_CERTIFICATE),
    "tls.openssl-name-constraints": Code("a name outside what its CA may certify", BAD_CERTIFICATE),
    "tls.openssl-name-mismatch": Code("the server's certificate is not for the name that was dialed", DENIED),
    "tls.openssl-weak-key": Code("a key that is too small", BAD_CERTIFICATE),
    "tls.openssl-weak-digest": Code("a certificate that is signed with a weak digest", BAD_CERTIFICATE),
    "tls.openssl-refused": Code("OpenSSL refused the peer's certificate for another reason", BAD_CERTIFICATE),
    "tls.openssl-plain-http": Code("the client spoke plain HTTP to a TLS port", INDETERMINATE),
    "tls.openssl-not-tls": Code("the other end does not speak TLS", INDETERMINATE),
    "tls.openssl-protocol-version": Code("the other end offers only older versions of TLS", INDETERMINATE),
    "tls.openssl-no-shared-cipher": Code("no cipher suite or signature algorithm in common", INDETERMINATE),
    "tls.openssl-error": Code("OpenSSL ended the handshake for another reason", INDETERMINATE),
    "tls.openssl-alert": Code("the other end refused us; the TLS alert follows in the code", INDETERMINATE),
    # gate: held connections
    "gate.missing": Code("the connection is held and meets no gate: a mistake of the set-up", INDETERMINATE),
    "gate.timeout": Code("the facts did not arrive while the connection was held", UNAVAILABLE),
    "gate.full": Code("more connections are held than are allowed", UNAVAILABLE),
    "gate.interrupted": Code("the decision ended without an answer while the connection was held", INDETERMINATE),
    **REVOCATION_CODES,
    **FORWARDED_CODES,
    **OAUTH_CODES,
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

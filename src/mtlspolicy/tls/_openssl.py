"""Names what OpenSSL refused before any certificate reached us: a reason code, a sentence and a remedy for each error.

It decides nothing: OpenSSL has refused already, and no certificate is to be had any more.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final

from mtlspolicy._decision import Verdict
from mtlspolicy.tls._errors import refusal

if TYPE_CHECKING:
    from mtlspolicy._decision import Decision

__all__ = ["GONE", "NO_CERTIFICATE", "TIMED_OUT", "diagnose", "diagnose_alert"]

GONE: Final = "tls.peer-gone"
"""The other end went away during the handshake; no refusal."""
TIMED_OUT: Final = "tls.handshake-timeout"
"""The handshake took longer than it may; no refusal of anybody's certificate."""
NO_CERTIFICATE: Final = "tls.openssl-no-certificate"
"""The client presented nothing where a certificate is required."""

_NO_ISSUER: Final = (
    "no issuer of the {peer}'s certificate is among the trusted CAs: add its CA to the verifier's trust store, or have "
    "the {peer} send its intermediates"
)
_VERIFY: Final[dict[int, tuple[str, str]]] = {
    # X509_V_ERR_... of OpenSSL's x509_vfy.h
    2: ("no-issuer", _NO_ISSUER),
    7: ("signature", "a signature in the {peer}'s chain does not verify: have the certificate issued again"),
    9: ("not-yet-valid", "a certificate of the {peer}'s chain is not valid yet: set the clocks of both ends right"),
    10: ("expired", "a certificate of the {peer}'s chain has expired: renew it, and set the clocks of both ends right"),
    18: (
        "self-signed",
        (
            "the {peer}'s certificate is self-signed and not registered: register it in TrustStore(peers=...) with "
            "PathProfile.DIRECT, or have a trusted CA issue one"
        ),
    ),
    19: (
        "untrusted-root",
        "the {peer}'s chain ends in a root that is not trusted: add that root to the verifier's trust store",
    ),
    20: ("no-issuer", _NO_ISSUER),
    21: ("no-issuer", _NO_ISSUER),
    22: ("too-long", "the {peer}'s chain is too long: have it send its own certificate and the intermediates alone"),
    23: ("revoked", "a certificate of the {peer}'s chain is on a CRL of this context"),
    24: (
        "invalid-ca",
        (
            "a CA of the {peer}'s chain is no CA certificate (basicConstraints cA=TRUE, keyUsage keyCertSign): issue "
            "the CA again with openssl req -x509 -addext basicConstraints=critical,CA:TRUE"
        ),
    ),
    25: ("path-length", "the {peer}'s chain is longer than a CA's path length constraint allows"),
    26: (
        "purpose",
        (
            "the {peer}'s certificate is for another purpose: a {peer} needs extendedKeyUsage={usage}; a certificate "
            "for {other}s does not do, and public CAs no longer issue certificates for clients"
        ),
    ),
    28: ("rejected", "a CA of the {peer}'s chain is marked as rejected for this purpose"),
    34: (
        "critical-extension",
        "a certificate of the {peer}'s chain has a critical extension that OpenSSL does not know",
    ),
    47: (
        "name-constraints",
        "a name of the {peer}'s certificate is outside what its CA may certify (name constraints)",
    ),
    48: ("name-constraints", "a name of the {peer}'s certificate is excluded by its CA's name constraints"),
    62: (
        "name-mismatch",
        (
            "the server's certificate is not for the name that was dialed: dial a name of its subjectAltName, or "
            "have it issued with that name"
        ),
    ),
    64: (
        "name-mismatch",
        (
            "the server's certificate is not for the IP address that was dialed: dial a name of its subjectAltName, "
            "or have it issued with that address"
        ),
    ),
    66: ("weak-key", "the {peer}'s key is too small: RSA with 2048 bits or more, or P-256"),
    67: ("weak-key", "the key of a CA in the {peer}'s chain is too small: RSA with 2048 bits or more, or P-256"),
    68: (
        "weak-digest",
        ("a certificate of the {peer}'s chain is signed with a weak digest such as SHA-1: issue it again with SHA-256"),
    ),
}
_REASONS: Final[dict[str, tuple[str, str]]] = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (
        "no-certificate",
        ("the client presented no certificate: configure its client certificate and key (curl: --cert, --key)"),
    ),
    "HTTP_REQUEST": ("plain-http", "the client spoke plain HTTP to a TLS port: use https://"),
    "HTTPS_PROXY_REQUEST": ("plain-http", "the client spoke plain HTTP (CONNECT) to a TLS port: this is no proxy"),
    "WRONG_VERSION_NUMBER": (
        "not-tls",
        "the other end does not speak TLS here: look at host, port and scheme on both ends",
    ),
    "UNSUPPORTED_PROTOCOL": (
        "protocol-version",
        "the other end offers only older versions of TLS: update it to TLS 1.2 or 1.3",
    ),
    "NO_SHARED_CIPHER": (
        "no-shared-cipher",
        "no cipher suite in common: update the other end, or choose another Hardening",
    ),
    "NO_SUITABLE_SIGNATURE_ALGORITHM": (
        "no-shared-cipher",
        "the other end accepts no signature of this server's key type",
    ),
}
_ALERTS: Final[dict[str, str]] = {
    "unknown-ca": "does not trust the CA of our certificate, or our certificate was sent without its intermediates",
    "bad-certificate": "takes our certificate for broken",
    "certificate-unknown": "refused our certificate without saying why: browsers say this for a CA they do not trust",
    "certificate-expired": "says that our certificate has expired",
    "certificate-revoked": "says that our certificate is revoked",
    "certificate-required": "wants a certificate and got none: pass credential= to client_context",
    "unsupported-certificate": "says that our certificate is for another purpose, or of a kind that it does not take",
    "access-denied": "knows our certificate and denies access",
    "decrypt-error": "could not verify our signature: certificate and key may not belong together",
    "handshake-failure": "found nothing in common, or wants a certificate and got none",
    "protocol-version": "does not speak the versions of TLS that we offer",
    "no-renegotiation": "refused to renegotiate",
    "unrecognized-name": "does not serve the name that was asked for",
    "internal-error": "had an error of its own",
}
_ALERT: Final = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_([A-Z0-9_]{1,60})", re.ASCII)
_EXTENSION_ALERTS: Final = {
    "TLSV1_UNRECOGNIZED_NAME": "unrecognized-name",
    "TLSV1_UNSUPPORTED_EXTENSION": "unsupported-extension",
}
_GONE_REASONS: Final = frozenset({"UNEXPECTED_EOF_WHILE_READING", "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"})


def diagnose(error: BaseException, *, server_side: bool) -> Decision:
    """Return the decision for *error*, which ended a handshake: a code ``tls....``, what it means and what to do.

    Args:
        error: What ``do_handshake`` of the standard library raised, or what interrupted it.
        server_side: Whether our side is the server's, so that the other end is a client.
    """
    if isinstance(error, TimeoutError):
        return refusal(TIMED_OUT, "the other end did not finish the handshake in time")
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error, server_side=server_side)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return refusal(GONE, "the other end closed the connection during the handshake")
    if isinstance(error, ssl.SSLError):
        return _refused(error, server_side=server_side)
    if isinstance(error, OSError):
        return refusal(GONE, f"the connection broke during the handshake: {type(error).__name__}: {error}")
    return refusal("tls.interrupted", f"the decision was interrupted by {type(error).__name__} before it was made")


def diagnose_alert(error: ssl.SSLError, *, server_side: bool) -> Decision | None:
    """Return the decision for an alert by which the other end refuses us; ``None``: *error* is no alert."""
    name = _alert_name(error.reason or "")
    if name is None:
        return None
    peer = "client" if server_side else "server"
    meaning = _ALERTS.get(name, "ended the connection")
    return refusal(f"tls.openssl-alert-{name}", f"the {peer} {meaning} (TLS alert {name.replace('-', '_')})")


def _alert_name(reason: str) -> str | None:
    found = _ALERT.fullmatch(reason)
    if found is not None:
        return found[1].lower().replace("_", "-")
    return _EXTENSION_ALERTS.get(reason)


def _unverified(error: ssl.SSLCertVerificationError, *, server_side: bool) -> Decision:
    peer, other, usage = ("client", "server", "clientAuth") if server_side else ("server", "client", "serverAuth")
    number = getattr(error, "verify_code", None)
    said = str(getattr(error, "verify_message", "") or error.reason)[:200]
    fact, sentence = _VERIFY.get(
        number if isinstance(number, int) else -1, ("refused", "OpenSSL refused the {peer}'s certificate")
    )
    text = sentence.format(peer=peer, other=other, usage=usage)
    return refusal(f"tls.openssl-{fact}", f"{text} (OpenSSL: {said})", verdict=Verdict.DENY)


def _refused(error: ssl.SSLError, *, server_side: bool) -> Decision:
    reason = error.reason or ""
    alert = diagnose_alert(error, server_side=server_side)
    if alert is not None:
        return alert
    if reason in _GONE_REASONS:
        return refusal(GONE, "the other end closed the connection during the handshake")
    known = _REASONS.get(reason)
    if known is not None:
        code = f"tls.openssl-{known[0]}"
        return refusal(code, known[1], verdict=Verdict.DENY if code == NO_CERTIFICATE else Verdict.INDETERMINATE)
    return refusal("tls.openssl-error", f"OpenSSL ended the handshake: {(reason or str(error))[:200]}")

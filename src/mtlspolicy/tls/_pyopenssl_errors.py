"""What pyOpenSSL and OpenSSL say about an ended handshake, in the words of this library, and the other way round.

It decides nothing: somebody has refused already.
"""

from __future__ import annotations

import ssl
import sys
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL

from mtlspolicy._codes import outcome_of
from mtlspolicy.tls._errors import HandshakeRejected
from mtlspolicy.tls._openssl import diagnose, diagnose_alert

if TYPE_CHECKING:
    from mtlspolicy._decision import Decision

__all__ = ["WANTS", "Rejected", "TimedOut", "alert_of", "certificate_refused", "handshake_failed", "send_alert_for"]

WANTS: Final = (SSL.WantReadError, SSL.WantWriteError, SSL.WantX509LookupError)
"""What says that a handshake goes on."""

_Codes: Final = SSL.X509VerificationCodes
_NAMES: Final = {number: name.removeprefix("ERR_") for name, number in vars(_Codes).items() if name.startswith("ERR_")}
_ALERTS: Final = {
    # what OpenSSL's own table (ssl_x509err2alert) turns into the alert
    "unknown_ca": _Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    "bad_certificate": _Codes.ERR_CERT_REJECTED,
    "certificate_expired": _Codes.ERR_CERT_HAS_EXPIRED,
    "certificate_revoked": _Codes.ERR_CERT_REVOKED,
    "internal_error": 1,  # X509_V_ERR_UNSPECIFIED, which pyOpenSSL does not name
}
_CERTIFICATE_UNKNOWN: Final = 0x6D74
"""A number that OpenSSL's table does not have, for which it sends certificate_unknown: there is none for
access_denied."""


class Rejected(HandshakeRejected, SSL.Error):
    """`HandshakeRejected`, which programs for pyOpenSSL catch as ``OpenSSL.SSL.Error`` too.

    They read its first argument as OpenSSL's queue of errors, Twisted for one.
    """

    def __init__(self, decision: Decision, *, verify_code: int | None = None) -> None:
        if verify_code is None:
            super().__init__(decision)
        else:
            super().__init__(decision, verify_code=verify_code)
        self.args = ([("mtlspolicy", "", f"certificate verify failed: {self.verify_message}")],)

    def __str__(self) -> str:
        return str(self.strerror)


class TimedOut(TimeoutError, SSL.Error):
    """The handshake took longer than its options allow."""

    def __init__(self) -> None:
        super().__init__([("mtlspolicy", "", str(self))])

    def __str__(self) -> str:
        return "the handshake took longer than handshake_timeout"


def send_alert_for(decision: Decision) -> None:
    """Have OpenSSL send the TLS alert that fits the refusal *decision*; called by the verification callback alone.

    pyOpenSSL gives its callbacks no way to say why they refuse, and OpenSSL would send internal_error for each, which
    tells a client to try again. So the store context is taken from the frame of pyOpenSSL that called the callback;
    where there is none the handshake is refused all the same.
    """
    number = _ALERTS.get(outcome_of(decision.code, decision.verdict.name).tls_alert, _CERTIFICATE_UNKNOWN)
    store_context = sys._getframe(2).f_locals.get("store_ctx")
    library: Any = getattr(SSL, "_lib", None)
    if store_context is not None and library is not None:
        library.X509_STORE_CTX_set_error(store_context, number)


def certificate_refused(number: int, *, server_side: bool) -> Decision:
    """Return the decision for a certificate that OpenSSL refuses.

    Args:
        number: OpenSSL's ``X509_V_ERR_...``.
        server_side: Whether our side is the server's.
    """
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = number
    error.verify_message = _NAMES.get(number, str(number))
    return diagnose(error, server_side=server_side)


def handshake_failed(error: BaseException, *, server_side: bool) -> Decision:
    """Return the decision for *error*, which ended a handshake."""
    return diagnose(_translated(error), server_side=server_side)


def alert_of(error: SSL.Error, *, server_side: bool) -> Decision | None:
    """Return the decision for an alert by which the other end refuses us; ``None``: *error* is no alert."""
    translated = _translated(error)
    return diagnose_alert(translated, server_side=server_side) if isinstance(translated, ssl.SSLError) else None


def _translated(error: BaseException) -> BaseException:
    """Return *error* as the standard library would have raised it."""
    if isinstance(error, TimedOut) or not isinstance(error, SSL.Error):
        return error
    reason = _reason(error)
    gone = isinstance(error, SSL.ZeroReturnError | SSL.SysCallError)
    translated = ssl.SSLEOFError(8, "the connection ended") if gone else ssl.SSLError(1, reason)
    translated.reason = reason
    return translated


def _reason(error: SSL.Error) -> str:
    """Return the first reason of OpenSSL's queue as ``ssl`` writes it: ``TLSV1_ALERT_UNKNOWN_CA``; or nothing."""
    queue: Any = error.args[0] if error.args else None
    if not queue or isinstance(queue, int):  # a number in what a system call said
        return ""
    text = str(queue[0][-1]).upper().replace(" ", "_")
    # OpenSSL before 3.2 wrote SSLv3 in front of the alerts that SSL 3 had, 3.2 wrote SSL/TLS, 4.0 writes TLS.
    for prefix in ("SSL/TLS_ALERT_", "TLS_ALERT_"):
        text = text.replace(prefix, "SSLV3_ALERT_") if text.startswith(prefix) else text
    return text

"""`HandshakeRejected`: a refusal that client libraries and event loops map to their certificate errors.

It decides nothing; the decision it carries does.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from mtlspolicy._decision import Decision, Verdict
from mtlspolicy.errors import VerificationError

if TYPE_CHECKING:
    from typing import Any

__all__ = ["HandshakeRejected", "refusal"]

_SSL_ERROR_SSL = 1
"""``SSL_ERROR_SSL`` of OpenSSL: what ``ssl`` puts into ``errno`` when a certificate is refused."""

_X509_V_ERR_APPLICATION_VERIFICATION = 50
"""OpenSSL's code for "application verification failure": what its own verification callbacks report."""


class HandshakeRejected(VerificationError, ssl.SSLCertVerificationError):
    """The peer of a TLS connection was not admitted, and the connection is shut.

    An ``ssl.SSLCertVerificationError`` (so also an ``ssl.SSLError`` and an ``OSError``), which urllib, http.client,
    httpx, requests, urllib3, aiohttp and asyncio turn into their own certificate errors, and a `VerificationError` with
    the decision.

    Args:
        decision: What refused.
        verify_code: OpenSSL's code (``X509_V_ERR_...``) where OpenSSL refused, else the one for an application's
            refusal.
    """

    def __init__(self, decision: Decision, *, verify_code: int = _X509_V_ERR_APPLICATION_VERIFICATION) -> None:
        VerificationError.__init__(self, decision)
        # What a plain SSLCertVerificationError carries: libraries read errno, reason and verify_code.
        text = f"[SSL: CERTIFICATE_VERIFY_FAILED] {self.args[0]}"
        self.args: tuple[Any, ...] = (_SSL_ERROR_SSL, text)
        self.errno: int | None = _SSL_ERROR_SSL
        self.strerror: str | None = text
        self.reason: str = "CERTIFICATE_VERIFY_FAILED"
        self.library: str = "SSL"
        self.verify_code: int = verify_code
        self.verify_message: str = f"{decision.code}: {decision.summary}"

    def __str__(self) -> str:
        return str(self.args[1])

    def __reduce__(self) -> Any:
        raise TypeError("a HandshakeRejected does not pickle: pass on its .code and str()")


def refusal(code: str, detail: str, *, verdict: Verdict = Verdict.INDETERMINATE) -> Decision:
    """Return the decision for a refusal that comes before or after policies.

    Args:
        code: Stable reason code, ``tls.fact`` or ``gate.fact``.
        detail: What happened and what to do; escaped by the decision.
        verdict: DENY where this is plainly not the peer that was meant.
    """
    return Decision(verdict, code, detail, clause="TLS connection")

"""The error tree: whose fault it was, and for a peer's fault what to answer. Nothing here decides.

::

    MTLSPolicyError
    +-- ConfigurationError (ValueError)     our caller: a file, a value, a combination that can never be right
    +-- MalformedEvidence                   bytes that are not what they claim to be
    +-- VerificationError                   the peer: refused, with the decision that refused it
        +-- NoPeerCertificate               it presented nothing
        +-- PathValidationError             its chain does not lead to a trust anchor under the profile
        +-- PolicyDenied                    its chain is valid and the policy says no
        +-- PolicyIndeterminate             evidence was absent, unreadable or ambiguous; never an admission
        +-- (tls.HandshakeRejected, oauth.TokenBindingError, oauth.InvalidClient)
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mtlspolicy._codes import NO_HEADERS, Outcome, outcome_of
from mtlspolicy._text import escape

if TYPE_CHECKING:
    from mtlspolicy._decision import Decision

__all__ = [
    "ConfigurationError",
    "MTLSPolicyError",
    "MalformedEvidence",
    "NoPeerCertificate",
    "PathValidationError",
    "PolicyDenied",
    "PolicyIndeterminate",
    "VerificationError",
]


class MTLSPolicyError(Exception):
    """Root of every error that this library raises on purpose; not raised itself."""


class ConfigurationError(MTLSPolicyError, ValueError):
    """Our caller's fault: the message names the file or value, the rule that it breaks and the remedy.

    Args:
        message: Sentence for people; hostile characters in it are escaped.
        code: Stable reason code, ``area.fact``.
    """

    def __init__(self, message: str, *, code: str = "config.invalid") -> None:
        super().__init__(escape(message, 4096))
        self.code = code


class _Answered:
    """What each protocol is told of an error, from the one table, by its code."""

    @property
    @abstractmethod
    def _outcome(self) -> Outcome:
        """The row of the table."""

    @property
    def http_status(self) -> int:
        """Status for an HTTP response."""
        return self._outcome.http_status

    @property
    def http_headers(self) -> Mapping[str, str]:
        """Headers that belong to the response, for example ``Retry-After`` (seconds) with a 503."""
        return self._outcome.http_headers or NO_HEADERS

    @property
    def grpc_status(self) -> str:
        """Name of the gRPC status code."""
        return self._outcome.grpc_status

    @property
    def tls_alert(self) -> str:
        """Name of the TLS alert (RFC 8446, section 6.2): recorded, and sent where the engine can send one."""
        return self._outcome.tls_alert

    @property
    def retryable(self) -> bool:
        """True where the same peer may be admitted a moment later: a fact could not be had."""
        return self._outcome.retryable


class MalformedEvidence(_Answered, MTLSPolicyError):
    """Bytes that are not what they claim to be: not a certificate, not PEM, outside the limits.

    Args:
        message: Sentence for people; hostile characters in it are escaped.
        code: Stable reason code, ``area.fact``.
    """

    def __init__(self, message: str, *, code: str = "chain.malformed") -> None:
        super().__init__(escape(message, 4096))
        self.code = code

    @property
    def _outcome(self) -> Outcome:
        return outcome_of(self.code, "INDETERMINATE")


class VerificationError(_Answered, MTLSPolicyError):
    """The peer was not admitted. ``decision`` holds the whole tree of reasons, ``code`` the decisive one.

    The answers for each protocol (HTTP status, gRPC status, TLS alert, whether to try again) come from one table, keyed
    by the code; a code of the user's own gets the defaults of its verdict.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"{decision.code}: {decision.summary}")
        self.decision = decision
        self._admission: object = None
        """The request of an integration that was told so; for its answer and its log line."""

    @property
    def code(self) -> str:
        """Stable reason code, ``area.fact``."""
        return self.decision.code

    @property
    def _outcome(self) -> Outcome:
        return outcome_of(self.decision.code, self.decision.verdict.name)


class NoPeerCertificate(VerificationError):
    """The peer presented no certificate where one is required."""


class PathValidationError(VerificationError):
    """No certification path from the end entity to a trust anchor is valid under the profile (RFC 5280, section 6)."""


class PolicyDenied(VerificationError):
    """The path is valid and the policy denies: this is not the peer that was meant."""


class PolicyIndeterminate(VerificationError):
    """The policy could not answer: evidence was absent, unreadable or ambiguous, or a clause failed. Not admitted."""

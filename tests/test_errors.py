"""The error tree: whose fault it was, and what each protocol is told."""

from __future__ import annotations

import copy
import pickle

import pytest

from mtlspolicy import errors
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy.errors import (
    ConfigurationError,
    MalformedEvidence,
    MTLSPolicyError,
    NoPeerCertificate,
    PathValidationError,
    PolicyDenied,
    PolicyIndeterminate,
    VerificationError,
)

HOSTILE = "a\x1b[31m\nb\u202e"


def test_the_tree() -> None:
    """One root; our caller's mistakes are ``ValueError`` as well; a peer's are not."""
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), MTLSPolicyError)
    assert issubclass(ConfigurationError, ValueError)
    for kind in (NoPeerCertificate, PathValidationError, PolicyDenied, PolicyIndeterminate):
        assert issubclass(kind, VerificationError)
        assert not issubclass(kind, ValueError)
    assert not issubclass(MalformedEvidence, VerificationError | ConfigurationError)


@pytest.mark.parametrize("kind", [ConfigurationError, MalformedEvidence])
def test_messages_are_escaped_and_have_a_code(kind: type[ConfigurationError | MalformedEvidence]) -> None:
    """Hostile text in a message cannot write to a terminal or forge a line of a log."""
    error = kind(f"file {HOSTILE}", code="test.code")
    assert str(error) == "file a\\x1b[31m\\nb\\u202e"
    assert error.code == "test.code"
    assert len(str(kind("x" * 100_000))) < 5000
    assert (
        kind("x").code
        == {"ConfigurationError": "config.invalid", "MalformedEvidence": "chain.malformed"}[kind.__name__]
    )


@pytest.mark.parametrize("kind", [ConfigurationError, MalformedEvidence])
def test_errors_of_values_survive_pickling(kind: type[ConfigurationError | MalformedEvidence]) -> None:
    """A worker process can hand them to its parent, code included."""
    error = kind("why", code="test.code")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert type(again) is kind
        assert (str(again), again.code) == ("why", "test.code")


@pytest.mark.parametrize(
    ("verdict", "code", "status", "grpc", "alert", "retry"),
    [
        (Verdict.DENY, "path.no-certificate", 403, "UNAUTHENTICATED", "certificate_required", False),
        (Verdict.DENY, "path.no-issuer", 403, "UNAUTHENTICATED", "unknown_ca", False),
        (Verdict.DENY, "path.signature", 403, "UNAUTHENTICATED", "bad_certificate", False),
        (Verdict.DENY, "path.expired", 403, "UNAUTHENTICATED", "certificate_expired", False),
        (Verdict.DENY, "name.mismatch", 403, "PERMISSION_DENIED", "access_denied", False),
        (Verdict.INDETERMINATE, "fact.missing", 503, "UNAVAILABLE", "internal_error", True),
        (Verdict.INDETERMINATE, "name.ambiguous", 403, "PERMISSION_DENIED", "access_denied", False),
        (Verdict.INDETERMINATE, "policy.error", 403, "PERMISSION_DENIED", "access_denied", False),
        (Verdict.DENY, "acme.closed", 403, "PERMISSION_DENIED", "access_denied", False),
        (Verdict.INDETERMINATE, "acme.unsure", 403, "PERMISSION_DENIED", "access_denied", False),
        (Verdict.DENY, "policy.all", 403, "PERMISSION_DENIED", "access_denied", False),
    ],
)
def test_every_protocol_gets_its_answer(
    verdict: Verdict,
    code: str,
    status: int,
    grpc: str,
    alert: str,
    retry: bool,
) -> None:
    """The table of the design; a code of a user's own, or one that belongs to a PERMIT, gets the verdict's default."""
    error = VerificationError(Decision(verdict, code, f"why {HOSTILE}"))
    assert (error.code, error.http_status, error.grpc_status) == (code, status, grpc)
    assert (error.tls_alert, error.retryable) == (alert, retry)
    assert dict(error.http_headers) == ({"Retry-After": "5"} if retry else {})
    assert str(error).startswith(f"{code}: why ")
    assert str(error).isprintable()
    with pytest.raises(TypeError):
        error.http_headers["X"] = "y"  # type: ignore[index]


def test_a_refusal_names_the_clause_that_decided() -> None:
    """The message of the error is the detail of the deepest decision, or the clause where that gave none."""
    deep = Decision(Verdict.DENY, "acme.closed", "closed since Monday", clause="hours")
    root = Decision(Verdict.DENY, "acme.closed", clause="all of 1", children=(deep,))
    assert str(PolicyDenied(root)) == "acme.closed: closed since Monday"
    assert str(PolicyDenied(Decision(Verdict.DENY, "acme.closed", clause="hours"))) == "acme.closed: hours"
    assert PolicyDenied(root).decision is root

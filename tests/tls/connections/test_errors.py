"""HandshakeRejected is one of our errors and of ssl's, and what OpenSSL refuses has a code and a remedy."""

from __future__ import annotations

import copy
import pickle
import ssl
from typing import Any

import pytest

from mtlspolicy import Verdict, tls
from mtlspolicy.errors import MTLSPolicyError, VerificationError
from mtlspolicy.tls import _openssl
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._openssl import diagnose, diagnose_alert


def test_it_is_an_error_of_both_trees() -> None:
    """Every library that knows ssl's certificate error knows ours, with what it reads of it."""
    error = tls.HandshakeRejected(refusal("acme.closed", "not today", verdict=Verdict.DENY))
    for kind in (VerificationError, MTLSPolicyError, ssl.SSLCertVerificationError, ssl.SSLError, OSError, ValueError):
        assert isinstance(error, kind)
    assert error.code == "acme.closed"
    assert error.decision.verdict is Verdict.DENY
    assert (error.http_status, error.grpc_status, error.tls_alert) == (403, "PERMISSION_DENIED", "access_denied")
    assert error.retryable is False
    assert error.args == (1, "[SSL: CERTIFICATE_VERIFY_FAILED] acme.closed: not today")
    assert (error.errno, error.reason, error.library) == (1, "CERTIFICATE_VERIFY_FAILED", "SSL")
    assert error.strerror == str(error) == error.args[1]
    assert error.verify_code == 50
    assert error.verify_message == "acme.closed: not today"


def test_it_neither_pickles_nor_copies_to_something_else() -> None:
    """A decision stays in its process."""
    error = tls.HandshakeRejected(refusal("acme.closed", "not today"))
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(error)
    with pytest.raises(TypeError, match="does not pickle"):
        copy.copy(error)


def made(kind: type[ssl.SSLError], reason: str | None, **more: Any) -> ssl.SSLError:
    """Return an error as OpenSSL's come."""
    error = kind(1, f"[SSL: {reason}] text")
    error.reason = reason  # type: ignore[assignment]  # None in errors that are not OpenSSL's
    for name, value in more.items():
        setattr(error, name, value)
    return error


@pytest.mark.parametrize("number", [*_openssl._VERIFY, 9999, None])
@pytest.mark.parametrize("server_side", [True, False])
def test_every_verify_code_has_a_sentence(number: int | None, server_side: bool) -> None:
    """What OpenSSL refuses in a chain has a code, names whose certificate it is, and repeats OpenSSL's own words."""
    error = made(
        ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED", verify_code=number, verify_message="said \x1b[31m"
    )
    decision = diagnose(error, server_side=server_side)
    assert decision.code.startswith("tls.openssl-")
    assert decision.verdict is Verdict.DENY
    assert "{" not in decision.detail
    assert ("client" if server_side else "server") in decision.detail or number in {62, 64}
    assert "said \\x1b[31m" in decision.detail


@pytest.mark.parametrize("reason", _openssl._REASONS)
def test_every_known_reason_has_a_sentence(reason: str) -> None:
    """What OpenSSL refuses before any chain has a code and a remedy."""
    decision = diagnose(made(ssl.SSLError, reason), server_side=True)
    assert decision.code.startswith("tls.openssl-")
    assert len(decision.detail) > 30


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TimeoutError("late"), "tls.handshake-timeout"),
        (ssl.SSLEOFError(8, "eof"), "tls.peer-gone"),
        (ssl.SSLZeroReturnError(6, "closed"), "tls.peer-gone"),
        (ssl.SSLSyscallError(5, "broken"), "tls.peer-gone"),
        (made(ssl.SSLError, "UNEXPECTED_EOF_WHILE_READING"), "tls.peer-gone"),
        (ConnectionResetError(104, "reset"), "tls.peer-gone"),
        (made(ssl.SSLError, "SOMETHING_NEW"), "tls.openssl-error"),
        (made(ssl.SSLError, None), "tls.openssl-error"),
        (made(ssl.SSLError, "TLSV1_UNRECOGNIZED_NAME"), "tls.openssl-alert-unrecognized-name"),
        (made(ssl.SSLError, "TLSV13_ALERT_CERTIFICATE_REQUIRED"), "tls.openssl-alert-certificate-required"),
        (made(ssl.SSLError, "SSLV3_ALERT_BRAND_NEW"), "tls.openssl-alert-brand-new"),
        (KeyboardInterrupt(), "tls.interrupted"),
        (ValueError("x"), "tls.interrupted"),
    ],
)
def test_everything_that_ends_a_handshake_has_a_code(error: BaseException, code: str) -> None:
    """Whatever is raised leads to a decision that is no PERMIT."""
    decision = diagnose(error, server_side=False)
    assert decision.code == code
    assert not decision


@pytest.mark.parametrize("name", _openssl._ALERTS)
def test_every_alert_has_a_meaning(name: str) -> None:
    """An alert of the other end says who refused whom, and why."""
    reason = "TLSV1_ALERT_" + name.upper().replace("-", "_")
    decision = diagnose_alert(made(ssl.SSLError, reason), server_side=False)
    assert decision is not None
    assert decision.code == f"tls.openssl-alert-{name}"
    assert decision.detail.startswith("the server ")


def test_what_is_no_alert_is_none() -> None:
    """Other errors after the handshake are not taken for refusals."""
    assert diagnose_alert(made(ssl.SSLError, "BAD_RECORD"), server_side=True) is None
    assert diagnose_alert(made(ssl.SSLError, None), server_side=True) is None

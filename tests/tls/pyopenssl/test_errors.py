"""What pyOpenSSL and OpenSSL say, of whatever version, in the words of the other engine."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL

from mtlspolicy import Verdict
from mtlspolicy.tls._errors import refusal
from mtlspolicy.tls._pyopenssl_errors import TimedOut, alert_of, certificate_refused, handshake_failed, send_alert_for


@pytest.mark.parametrize("before", ["sslv3", "ssl/tls", "tls", "tlsv1", "tlsv13"])
def test_alerts_are_read_from_every_version_of_openssl(before: str) -> None:
    """1.1 to 3.1 say SSLv3, 3.2 SSL/TLS, and 4.0 TLS in front of the old ones."""
    decision = alert_of(SSL.Error([("SSL routines", "", f"{before} alert bad certificate")]), server_side=True)
    assert decision is not None
    assert decision.code == "tls.openssl-alert-bad-certificate"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SSL.ZeroReturnError(), "tls.peer-gone"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "tls.peer-gone"),
        (SSL.SysCallError(104, "ECONNRESET"), "tls.peer-gone"),
        (SSL.Error([]), "tls.openssl-error"),
        (SSL.Error(), "tls.openssl-error"),
        (SSL.Error([("SSL routines", "", "something new")]), "tls.openssl-error"),
        (TimedOut(), "tls.handshake-timeout"),
        (KeyboardInterrupt(), "tls.interrupted"),
    ],
)
def test_every_end_of_a_handshake_has_a_code(error: BaseException, code: str) -> None:
    """None of them is a PERMIT."""
    decision = handshake_failed(error, server_side=True)
    assert decision.code == code
    assert decision.verdict is not Verdict.PERMIT


def test_what_is_no_alert_is_none() -> None:
    """Other errors after the handshake are the program's to deal with."""
    assert alert_of(SSL.Error([]), server_side=False) is None
    assert alert_of(TimedOut(), server_side=False) is None


def test_a_number_of_a_newer_openssl_is_a_refusal() -> None:
    """It has no sentence of ours, and its number is in the message."""
    decision = certificate_refused(4711, server_side=True)
    assert (decision.code, decision.verdict) == ("tls.openssl-refused", Verdict.DENY)
    assert "4711" in decision.detail


def test_without_a_frame_of_pyopenssl_only_the_alert_is_another_one() -> None:
    """What is read there chooses the alert and decides nothing: nothing is raised where it is missing."""

    def callback() -> Any:
        return send_alert_for(refusal("tls.interrupted", "x"))

    def called_by_somebody_else() -> Any:
        store_ctx = None
        return callback(), store_ctx

    assert called_by_somebody_else() == (None, None)


def test_a_refusal_is_what_programs_for_either_library_expect(pki: Any, pair: Any) -> None:
    """Twisted unpacks the last entry of the first argument; everybody else reads what ``ssl`` would have set."""
    refused: Any = pair(pki.server(), pki.plain(pki.leaf("sam"))).shake().raised["server"]
    for error in (refused, TimedOut()):
        _, _, reason = error.args[0][-1]
        assert isinstance(reason, str)
        assert not reason.startswith("unexpected eof")
    assert str(refused).startswith("[SSL: CERTIFICATE_VERIFY_FAILED] name.mismatch")
    assert (refused.reason, refused.verify_code) == ("CERTIFICATE_VERIFY_FAILED", 50)
    assert "handshake_timeout" in str(TimedOut())

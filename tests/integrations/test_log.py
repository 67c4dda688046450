"""The line for each refused request: over which connection, with a word for one that has no address."""

from __future__ import annotations

import pytest

from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.integrations import _log
from mtlspolicy.tls._log import Buckets


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("192.0.2.1", "refused a request over 192.0.2.1: "),
        ("None", "refused a request over a connection without address (a Unix socket): "),
        ("", "refused a request over a connection without address (a Unix socket): "),
    ],
)
def test_a_connection_without_address(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    """A Unix socket has none, and the line says so in words."""
    monkeypatch.setattr(_log, "LIMITER", Buckets())
    error = MalformedEvidence("the header cannot be read")
    _log.log_refused(error, address)
    (record,) = caplog.records
    assert record.getMessage().startswith(said)

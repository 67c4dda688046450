"""Pythons whose `ssl` hands out plain bytes before a handshake (CVE-2023-40217) are named when a context is built."""

from __future__ import annotations

import logging

import pytest

from mtlspolicy import TrustStore, Verifier, tls
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls import _enforce
from mtlspolicy.tls._cpython import old_python


@pytest.fixture
def verifier() -> Verifier:
    """Make a verifier of servers."""
    root = CertificateAuthority()
    return Verifier.for_servers(trust=TrustStore(anchors=[root.certificate]), expected="localhost")


@pytest.mark.parametrize(("version", "old"), [((3, 11, 4), True), ((3, 11, 5), False), ((3, 13, 0), False)])
def test_the_first_patched_version_is_3_11_5(version: tuple[int, ...], *, old: bool) -> None:
    """Pre-handshake data treated as authenticated: mended in 3.11.5, and in every 3.12 and later."""
    assert (old_python(version) is not None) is old


def test_an_old_python_is_logged_when_a_context_is_built(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever builds a context on such a Python reads which version to update to."""
    monkeypatch.setattr(_enforce, "old_python", lambda: old_python((3, 11, 2)))
    with caplog.at_level(logging.WARNING, "mtlspolicy.context"):
        tls.client_context(verifier=verifier)
    assert "Python 3.11.2 has CVE-2023-40217" in caplog.text
    assert "3.11.5" in caplog.text


def test_a_patched_python_is_not_remarked_on(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is warned of what is in order."""
    monkeypatch.setattr(_enforce, "old_python", lambda: None)
    with caplog.at_level(logging.WARNING, "mtlspolicy.context"):
        tls.client_context(verifier=verifier)
    assert "CVE" not in caplog.text

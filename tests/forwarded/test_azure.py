"""Azure: App Service, which verifies nothing, and Application Gateway, which says what it makes of a certificate."""

from __future__ import annotations

from typing import Any

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import ConfigurationError
from tests.forwarded.certificate_forms import der_base64
from tests.forwarded.dialects import SECRET
from tests.forwarded.writing import FRODO, PROXY, STRANGER, TRUSTED, VERIFIER, escaped


def test_app_service_forwards_anything() -> None:
    """What the front end did not verify our own validation refuses."""
    source = forwarded.azure_app_service(trusted=TRUSTED, sandboxed=True)
    chain = source.read([("X-ARR-ClientCert", der_base64(STRANGER.der))], peer=PROXY)
    assert chain is not None
    assert not VERIFIER.decide(chain)


def test_the_sandbox_is_said_and_not_assumed() -> None:
    """Without a secret the caller states that nothing but the front end can connect, with exactly True."""
    wrong: Any = "yes"
    for said in (False, wrong):
        with pytest.raises(ConfigurationError):
            forwarded.azure_app_service(trusted=TRUSTED, sandboxed=said)


def test_passthrough_mode_of_the_gateway() -> None:
    """In passthrough mode our own validation alone counts."""
    source = forwarded.azure_application_gateway(trusted=TRUSTED, secret=SECRET, proxy_verifies=False)
    cert = ("X-Client-Certificate", escaped(FRODO.der))
    failed = ("X-Client-Certificate-Verification", "FAILED:unable to verify the first certificate")
    assert source.read([cert, failed, SECRET], peer=PROXY) is not None


def test_encodings_of_a_rewrite() -> None:
    """The gateway's variable is PEM."""
    wrong: Any = "der-base64"
    with pytest.raises(ConfigurationError, match="encoding='der-base64'"):
        forwarded.azure_application_gateway(trusted=TRUSTED, secret=SECRET, encoding=wrong)

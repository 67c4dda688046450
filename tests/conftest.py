"""What every test run says about itself and how properties are searched. No fixtures: those belong to their folders."""

from __future__ import annotations

import os
import ssl

import cryptography
import hypothesis
from cryptography.hazmat.backends.openssl import backend

# A handshake or an RSA key takes longer than the default deadline, on a busy machine by far.
hypothesis.settings.register_profile("mtlspolicy", deadline=None, derandomize="CI" in os.environ, print_blob=True)
hypothesis.settings.load_profile("mtlspolicy")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value for its parameter: pins and keys are new in each run, and the names of tests must not be."""
    if not isinstance(val, str | bytes) or len(val) <= 36:
        return None
    return None if isinstance(val, str) and val.startswith("test_") else argname


def pytest_report_header() -> list[str]:
    """Name the TLS libraries, on whose versions the outcome of a test can depend."""
    return [
        f"ssl: {ssl.OPENSSL_VERSION}",
        f"cryptography: {cryptography.__version__}, {backend.openssl_version_text()}",
    ]

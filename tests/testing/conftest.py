"""What the tests of the test authority share: the plugin's fixtures, the openssl program, an in-memory handshake."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing.pytest_plugin import (
    mtls_authority,
    mtls_authority_file,
    mtls_broken,
    mtls_client_credential,
    mtls_client_credential_files,
    mtls_server_credential,
    mtls_server_credential_files,
)

__all__ = [
    "mtls_authority",
    "mtls_authority_file",
    "mtls_broken",
    "mtls_client_credential",
    "mtls_client_credential_files",
    "mtls_server_credential",
    "mtls_server_credential_files",
]

RunOpenSSL = Callable[..., "subprocess.CompletedProcess[str]"]
VerifyWithOpenSSL = Callable[[IssuedCertificate, str], "subprocess.CompletedProcess[str]"]
Handshake = Callable[[IssuedCertificate, IssuedCertificate, str], tuple[ssl.SSLObject, ssl.SSLObject]]


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    """Return the root that the tests issue from."""
    return CertificateAuthority()


@pytest.fixture(scope="session")
def run_openssl() -> RunOpenSSL:
    """Return a function that runs the openssl program; skip where there is none."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("the openssl program is not installed")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def verify_with_openssl(run_openssl: RunOpenSSL, tmp_path: Path) -> VerifyWithOpenSSL:
    """Return a function that runs ``openssl verify -x509_strict`` on a chain, with its own root, for a purpose."""

    def verify(issued: IssuedCertificate, purpose: str) -> subprocess.CompletedProcess[str]:
        chain, _ = issued.files(tmp_path)
        root = tmp_path / "root.pem"
        root.write_bytes(issued.root_pem)
        return run_openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", root, "-untrusted", chain, chain)

    return verify


def _context(protocol: ssl._SSLMethod, own: IssuedCertificate, trusted_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted_pem.decode())
    with own.tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    return context


@pytest.fixture(scope="session")
def handshake() -> Handshake:
    """Return a function that shakes hands in memory, both sides verifying, and returns client and server object."""

    def shake(server: IssuedCertificate, client: IssuedCertificate, name: str) -> tuple[ssl.SSLObject, ssl.SSLObject]:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        accepting = _context(ssl.PROTOCOL_TLS_SERVER, server, client.root_pem)
        connecting = _context(ssl.PROTOCOL_TLS_CLIENT, client, server.root_pem)
        near = connecting.wrap_bio(to_client, to_server, server_hostname=name)
        far = accepting.wrap_bio(to_server, to_client, server_side=True)
        pending = [near, far]
        for turn in range(10):
            side = (near, far)[turn % 2]
            if side in pending:
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                pending.remove(side)
        assert not pending, "the handshake did not end in ten turns"
        return near, far

    return shake

"""pytest fixtures: write ``pytest_plugins = ["mtlspolicy.testing.pytest_plugin"]`` into the topmost ``conftest.py``.

The authorities last for the session and every credential is made once; nothing is switched on by merely installing the
library.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._broken import broken
from mtlspolicy.testing._issued import IssuedCertificate


@pytest.fixture(scope="session")
def mtls_authority() -> CertificateAuthority:
    """Return a root test CA."""
    return CertificateAuthority()


@pytest.fixture(scope="session")
def mtls_authority_file(mtls_authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the root's certificate, PEM: a CA file."""
    path = tmp_path_factory.mktemp("mtls-authority") / "ca.pem"
    path.write_bytes(mtls_authority.pem)
    return path


@pytest.fixture(scope="session")
def mtls_server_credential(mtls_authority: CertificateAuthority) -> IssuedCertificate:
    """Return a server's certificate and key for localhost, 127.0.0.1 and ::1."""
    return mtls_authority.issue_server("localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="session")
def mtls_client_credential(mtls_authority: CertificateAuthority) -> IssuedCertificate:
    """Return a client's certificate and key: CN=client, DNS name client.test."""
    return mtls_authority.issue_client("client", dns=["client.test"])


@pytest.fixture(scope="session")
def mtls_server_credential_files(
    mtls_server_credential: IssuedCertificate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Return the paths of the server's chain and key, PEM, as ``load_cert_chain`` takes them."""
    return mtls_server_credential.files(tmp_path_factory.mktemp("mtls-server"), name="server")


@pytest.fixture(scope="session")
def mtls_client_credential_files(
    mtls_client_credential: IssuedCertificate, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Return the paths of the client's chain and key, PEM, as ``load_cert_chain`` takes them."""
    return mtls_client_credential.files(tmp_path_factory.mktemp("mtls-client"), name="client")


@pytest.fixture(scope="session")
def mtls_broken(mtls_authority: CertificateAuthority) -> Callable[[str], IssuedCertificate]:
    """Return a function that makes the broken certificate of a name (see ``testing.BROKEN``) under the authority."""
    return lambda name: broken(name, mtls_authority)

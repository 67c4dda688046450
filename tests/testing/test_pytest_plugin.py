"""The pytest plugin: its fixtures fit together, and registering it takes the one line that its docstring gives."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

if TYPE_CHECKING:
    from tests.testing.conftest import Handshake


def test_credentials_belong_together(
    mtls_server_credential: IssuedCertificate, mtls_client_credential: IssuedCertificate, handshake: Handshake
) -> None:
    """Server and client credential of the plugin complete mutual TLS for localhost."""
    near, far = handshake(mtls_server_credential, mtls_client_credential, "localhost")
    assert near.getpeercert(binary_form=True) == mtls_server_credential.der
    assert far.getpeercert(binary_form=True) == mtls_client_credential.der


def test_files_are_those_of_the_credentials(
    mtls_authority: CertificateAuthority,
    mtls_authority_file: Path,
    mtls_server_credential_files: tuple[Path, Path],
    mtls_client_credential_files: tuple[Path, Path],
) -> None:
    """The file fixtures hold the authority's certificate and chains that it issued."""
    assert mtls_authority_file.read_bytes() == mtls_authority.pem
    for chain, key in (mtls_server_credential_files, mtls_client_credential_files):
        (leaf,) = x509.load_pem_x509_certificates(chain.read_bytes())
        leaf.verify_directly_issued_by(mtls_authority.certificate)
        assert key.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_broken_fixture_issues_under_the_authority(
    mtls_authority: CertificateAuthority, mtls_broken: Callable[[str], IssuedCertificate]
) -> None:
    """``mtls_broken`` makes the named certificate below the authority of the plugin."""
    expired = mtls_broken("expired")
    assert expired.root == mtls_authority.certificate
    assert expired.certificate.not_valid_after_utc < mtls_authority.certificate.not_valid_before_utc


def test_plugin_is_registered_by_one_line(tmp_path: Path) -> None:
    """A project that names the plugin in its ``conftest.py`` has the fixtures; one that does not has none."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["mtlspolicy.testing.pytest_plugin"]\n')
    (tmp_path / "test_it.py").write_text(
        "def test_it(mtls_server_credential_files):\n    assert all(p.exists() for p in mtls_server_credential_files)\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    with_plugin = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "conftest.py").unlink()
    without = subprocess.run(command, capture_output=True, text=True, check=False)
    assert with_plugin.returncode == pytest.ExitCode.OK, with_plugin.stdout + with_plugin.stderr
    assert "1 passed" in with_plugin.stdout
    assert without.returncode == pytest.ExitCode.TESTS_FAILED
    assert "fixture 'mtls_server_credential_files' not found" in without.stdout

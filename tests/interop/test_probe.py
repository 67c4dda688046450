"""``mtlspolicy probe`` against nginx and OpenSSL's own server: what they send and whom they let in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy.cli import main
from mtlspolicy.testing import CertificateAuthority

from . import nginx  # noqa: TID252 - tests are no package that could be named
from .programs import environment, require  # noqa: TID252 - the same

LATER: Final = datetime.now(UTC) + timedelta(days=300)
_SECONDS: Final = 20.0


class Pki:
    """A server and a client of one root, and the files for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = CertificateAuthority("Root", not_after=LATER)
        self.issuing = self.root.intermediate("Issuing CA", not_after=LATER)
        self.server = self.issuing.issue_server("localhost", nginx.HOST, not_after=LATER)
        self.ca = folder / "root.pem"
        self.ca.write_bytes(self.root.pem)
        self.cert, self.key = self.issuing.issue_client("frodo", not_after=LATER).files(folder, name="frodo")

    def probed(self, port: int, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
        """Return the JSON of a probe."""
        words = ["probe", f"localhost:{port}", "--allow-private", "--ca", str(self.ca), "--json"]
        main([*words, "--cert", str(self.cert), "--key", str(self.key), *more])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        return report


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return certificates and their files."""
    return Pki(tmp_path_factory.mktemp("pki"))


def test_nginx_that_requires_certificates(pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``ssl_verify_client on`` nginx refuses by its page 400, names its CAs, and the grade is the best."""
    with nginx.running_nginx(tmp_path, pki.server, pki.root.pem) as server:
        report = pki.probed(server.port, capsys)
    assert report["grade"] == "A"
    clients = report["clients"]
    assert (clients["none"]["text"], clients["another-ca"]["text"]) == ("HTTP/1.1 400 Bad Request",) * 2
    assert clients["another-ca"]["sent"]
    assert clients["good"]["status"] == 200
    assert report["acceptable_cas"] == ["CN=Root,O=mtlspolicy TEST CA"]
    assert "probe.no-authorities" not in {finding["code"] for finding in report["findings"]}


def test_nginx_that_verifies_nothing(
    pki: Pki, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``optional_no_ca`` and no look at the result everybody is served, and the probe says who."""
    lax = nginx._CONFIGURATION.replace("ssl_verify_client on;", "ssl_verify_client optional_no_ca;")
    monkeypatch.setattr(nginx, "_CONFIGURATION", lax)
    with nginx.running_nginx(tmp_path, pki.server, pki.root.pem) as server:
        report = pki.probed(server.port, capsys)
    assert report["grade"] == "F"
    assert {"probe.none-served", "probe.another-ca-served"} <= {finding["code"] for finding in report["findings"]}


@contextmanager
def s_server(pki: Pki, *flags: str) -> Generator[int, None, None]:
    """Run ``openssl s_server`` on a port of its own, and end it."""
    chain, key = pki.server.files(pki.folder, name="server")
    above = pki.folder / "above.pem"
    above.write_bytes(pki.issuing.pem)
    command = [
        require("openssl"), "s_server", "-accept", f"{nginx.HOST}:0", "-cert", str(chain), "-key", str(key),
        "-cert_chain", str(above), "-CAfile", str(pki.ca), "-www", *flags,
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            told = next((line for line in program.stdout if line.startswith("ACCEPT ")), "")
            yield int(told.rpartition(":")[2])
        finally:
            program.terminate()
            program.communicate(timeout=_SECONDS)


def test_openssls_server(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    """OpenSSL's server refuses by alerts, resumes sessions, and names the CAs it is told to."""
    with s_server(pki, "-Verify", "3", "-verify_return_error") as port:
        report = pki.probed(port, capsys)
    clients = report["clients"]
    assert clients["none"]["text"] == "TLS alert certificate_required"
    assert clients["another-ca"]["end"] == "alert"
    assert (clients["good"]["text"][:12], clients["resumed"]["resumed"]) == ("HTTP/1.0 200", True)
    assert report["acceptable_cas"] == ["CN=Root,O=mtlspolicy TEST CA"]
    assert report["grade"] == "A"


def test_openssls_server_with_tls_1_2_alone(pki: Pki, capsys: pytest.CaptureFixture[str]) -> None:
    """In TLS 1.2 the CAs are named in the clear, and a resumed session needs no certificate."""
    flags = ("-Verify", "3", "-verify_return_error", "-tls1_2", "-no_ticket")
    with s_server(pki, *flags) as port:
        report = pki.probed(port, capsys)
    assert report["versions"]["TLSv1.3"] is False
    assert report["acceptable_cas"] == ["CN=Root,O=mtlspolicy TEST CA"]
    assert report["clients"]["none"]["in_handshake"]
    assert report["clients"]["resumed"]["resumed"]

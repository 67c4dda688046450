"""``examples/aiohttp``: a program of its own, asked over real TLS."""

from __future__ import annotations

import http.client
import shutil
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from mtlspolicy.testing import CertificateAuthority
from tests.examples.programs import PATIENCE, running

"""Seconds after which something has failed to come; none comes near it."""
EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "aiohttp" / "app.py"


@pytest.fixture(scope="module")
def partners() -> CertificateAuthority:
    """Return the CA of the bank and its partners."""
    return CertificateAuthority("Partners")


@pytest.fixture(scope="module")
def port(partners: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory) -> Generator[int, None, None]:
    """Run a copy of the example, with its port changed and nothing else; lend the port."""
    folder = tmp_path_factory.mktemp("aiohttp")
    (folder / "clients-ca.pem").write_bytes(partners.pem)
    partners.issue_server("localhost").files(folder, name="server")
    shutil.copy(EXAMPLE, folder / "app.py")
    with running(folder, printed=8443) as program:
        yield program.port


def ask(port: int, partners: CertificateAuthority, name: str | None, path: str) -> tuple[int, bytes]:
    """Return what a client is told; 0: the connection ended without an answer."""
    context = ssl.create_default_context(cadata=partners.pem.decode("ascii"))
    if name is not None:
        with partners.issue_client(name).tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def test_a_partner_sees_its_own_account_alone(port: int, partners: CertificateAuthority) -> None:
    """Its own 200, another's 403 with the code; who is no partner, or has no certificate, gets no answer."""
    assert ask(port, partners, "frodo", "/accounts/frodo") == (200, b'{"account": "frodo", "balance": 100}')
    assert ask(port, partners, "frodo", "/accounts/sam") == (403, b'{"error": "name.mismatch"}\n')
    assert ask(port, partners, "gollum", "/accounts/gollum") == (0, b"")
    assert ask(port, partners, None, "/accounts/frodo") == (0, b"")

"""``examples/fastapi``, ``examples/flask`` and ``examples/django``: each a program of its own, asked over real TLS."""

from __future__ import annotations

import contextlib
import shutil
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.examples.programs import PATIENCE, running

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
NAMES: Final = ["fastapi", "flask", "django"]


@pytest.fixture(scope="module")
def bank() -> CertificateAuthority:
    """Return the CA of the bank and its customers."""
    return CertificateAuthority("Bank")


@contextlib.contextmanager
def _running(name: str, folder: Path, bank: CertificateAuthority) -> Generator[int, None, None]:
    """Run a copy of the example in *folder*; yields the port."""
    (folder / "ca.pem").write_bytes(bank.pem)
    bank.issue_server("localhost").files(folder, name="server")
    shutil.copy(EXAMPLES / name / "app.py", folder)
    with running(folder, printed=8443) as program:
        yield program.port


def _context(bank: CertificateAuthority, leaf: IssuedCertificate | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=bank.pem.decode("ascii"))
    if leaf is not None:
        with leaf.tempfiles() as (chain, key):
            context.load_cert_chain(chain, key)
    return context


def _pay(port: int, context: ssl.SSLContext, **form: str) -> tuple[int, Any]:
    with httpx.Client(verify=context, timeout=PATIENCE) as client:
        reply = client.post(f"https://localhost:{port}/pay", data=form)
    return reply.status_code, reply.json() if "json" in reply.headers["content-type"] else reply.text


@pytest.mark.parametrize("name", NAMES)
def test_who_pays_is_whom_the_certificate_names(name: str, bank: CertificateAuthority, tmp_path: Path) -> None:
    """The user in the form, or 403; without a name or without a certificate 403 too; of another CA nothing at all."""
    frodo, sam = (_context(bank, bank.issue_client(user)) for user in ("frodo", "sam"))
    with _running(name, tmp_path, bank) as port:
        assert _pay(port, frodo, user="frodo", amount="7") == (200, "frodo paid 7")
        assert _pay(port, sam, user="frodo", amount="7") == (403, {"error": "name.mismatch"})
        assert _pay(port, sam, amount="7") == (403, {"error": "policy.error"})
        nobody = (403, {"error": "path.no-certificate"})
        assert _pay(port, _context(bank, None), user="frodo", amount="7") == nobody
        stranger = _context(bank, CertificateAuthority("Stranger").issue_client("frodo"))
        with pytest.raises(httpx.TransportError):
            _pay(port, stranger, user="frodo", amount="7")

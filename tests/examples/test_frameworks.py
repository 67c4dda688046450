"""``examples/fastapi``, ``examples/flask`` and ``examples/django``: each a program of its own, asked over real TLS."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
"""Seconds after which something has failed to come; none comes near it."""
EXAMPLES: Final = Path(__file__).parents[2] / "examples"
NAMES: Final = ["fastapi", "flask", "django"]


@pytest.fixture(scope="module")
def bank() -> CertificateAuthority:
    """Return the CA of the bank and its customers."""
    return CertificateAuthority("Bank")


@contextlib.contextmanager
def _running(name: str, folder: Path, bank: CertificateAuthority) -> Generator[int, None, None]:
    """Run a copy of the example in *folder*, with its port changed and nothing else; yields the port."""
    (folder / "ca.pem").write_bytes(bank.pem)
    bank.issue_server("localhost").files(folder, name="server")
    program = (EXAMPLES / name / "app.py").read_text(encoding="utf-8")
    assert program.count("port=8443") == 1
    with socket.create_server((HOST, 0)) as listening:
        port = int(listening.getsockname()[1])
    (folder / "app.py").write_text(program.replace("port=8443", f"port={port}"), encoding="utf-8")
    said = folder / "app.said"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _until_listening(process, port, said)
            yield port
        finally:
            process.terminate()
            process.wait(PATIENCE)
            shutil.rmtree(folder / "__pycache__", ignore_errors=True)


def _until_listening(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, f"it ended by itself: {said.read_text(errors='replace')}"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=PATIENCE).close()
            return
        assert time.monotonic() < end, f"it does not listen: {said.read_text(errors='replace')}"
        time.sleep(0.02)


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

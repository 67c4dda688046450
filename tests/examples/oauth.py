"""Runs ``examples/oauth``: both servers as programs of their own, with their ports changed and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final, NamedTuple

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "oauth"
HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
SERVERS: Final = CertificateAuthority("Servers")
CLIENTS: Final = CertificateAuthority("Clients")
SERVER: Final = SERVERS.issue_server("localhost", HOST)
BANK: Final = CLIENTS.issue_client("bank")
"""The certificate that the bank begins with."""
CERTIFICATES: Final[dict[str, IssuedCertificate]] = {
    "bank": BANK,
    "renewed": CLIENTS.issue_client("bank"),
    "thief": CLIENTS.issue_client("thief"),
    "stranger": CertificateAuthority("Clients").issue_client("bank"),
}
_REGISTERED: Final = {
    name: {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": f"CN={name}"}
    for name in ("bank", "thief")
}


class Program(NamedTuple):
    """One of the servers, and where it listens on loopback."""

    process: subprocess.Popen[bytes]
    port: int


def files(folder: Path) -> None:
    """Write what both servers and curl read."""
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, folder)
    (folder / "clients-ca.pem").write_bytes(CLIENTS.pem)
    (folder / "servers-ca.pem").write_bytes(SERVERS.pem)
    (folder / "clients.json").write_text(json.dumps(_REGISTERED), encoding="utf-8")
    SERVER.files(folder, name="server")
    for name, certificate in CERTIFICATES.items():
        certificate.files(folder, name=name)


@contextlib.contextmanager
def serving(folder: Path, name: str, *, behind: str = "") -> Generator[Program, None, None]:
    """Run the program *name*, which `files` has written, until the block ends."""
    text = (folder / f"{name}.py").read_text(encoding="utf-8")
    before, _, printed = text.rpartition("port=")
    assert printed in {"8001)\n", "8002)\n"}
    port = _free_port()
    (folder / f"{name}.py").write_text(f"{before}port={port})\n", encoding="utf-8")
    search = os.pathsep.join(filter(None, sys.path))
    said = folder / f"{name}.said"
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, f"{name}.py"], cwd=folder, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": search, "BEHIND": behind},
        )  # fmt: skip
        try:
            _until_listening(process, port, said)
            yield Program(process, port)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


def _until_listening(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, f"it ended by itself: {said.read_text(errors='replace')}"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=PATIENCE).close()
            return
        assert time.monotonic() < end, f"it does not listen: {said.read_text(errors='replace')}"
        time.sleep(0.02)

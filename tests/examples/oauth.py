"""Runs the two servers of ``examples/oauth``."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Final

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

from .programs import HOST, Program, running  # noqa: TID252 - tests are no package that could be named

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "oauth"
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
_PORTS: Final = {"authorization_server": 8001, "resource_server": 8002}
_REGISTERED: Final = {
    name: {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": f"CN={name}"}
    for name in ("bank", "thief")
}


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
    with running(folder, f"{name}.py", printed=_PORTS[name], BEHIND=behind) as program:
        yield program

"""The network server of ``examples/lorawan``, run as its page says; CAs and gateways of its tenants; what they ask."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

from .programs import HOST, PATIENCE, running  # noqa: TID252 - tests are no package that could be named

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "lorawan"
ACME: Final = "acme.lns.example.com"
ZOO: Final = "zoo.lns.example.com"
NOTHING_NEW: Final = bytes(14)
EUI: Final = "1111111111111111"
OTHER: Final = "58a0cbfffe802b7c"
CLAIM: Final = "1111:1111:1111:1111"


class Pki:
    """CAs of two tenants, with a root and an issuing CA each, and of one that comes later; their gateways by name.

    ``acme`` and ``zoo`` have the same EUI under different tenants, ``other`` another one, ``later`` belongs to the CA
    that comes later; ``ambiguous`` has two common names, ``person`` one that is no EUI, ``lower`` and ``mixed`` have
    the digits of `OTHER` in lower and in both cases; ``stranger`` has a CA that nobody knows, ``impostor`` one that
    bears the name of acme's.
    """

    def __init__(self) -> None:
        self.roots = {name: CertificateAuthority(f"{name} Root") for name in ("acme", "zoo", "later")}
        issuing = {name: root.intermediate(f"{name} Issuing CA") for name, root in self.roots.items()}
        acme, two = issuing["acme"], [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in (EUI, OTHER)]
        self.gateways: dict[str, IssuedCertificate] = {
            **{name: authority.issue_client(EUI) for name, authority in issuing.items()},
            "other": acme.issue_client(OTHER.upper()),
            "lower": acme.issue_client(OTHER),
            "mixed": acme.issue_client("58A0cbFFfe802b7C"),
            "person": acme.issue_client("frodo"),
            "ambiguous": acme.issue_client(subject=x509.Name(two)),
            "stranger": CertificateAuthority("Stranger Root").issue_client(EUI),
            "impostor": CertificateAuthority("acme Root").issue_client(EUI),
        }

    def trust(self, folder: Path) -> None:
        """Write the tenants' directory, which the roots alone are in."""
        for name in ("acme", "zoo"):
            (folder / "tenants" / name).mkdir(parents=True)
            (folder / "tenants" / name / "ca.pem").write_bytes(self.roots[name].pem)
        write_index(folder, acme=["ca.pem"], zoo=["ca.pem"])

    def add_later(self, folder: Path) -> None:
        """Add the CA that comes later to acme's folder, and then to the index."""
        (folder / "tenants" / "acme" / "later.pem").write_bytes(self.roots["later"].pem)
        write_index(folder, acme=["ca.pem", "later.pem"], zoo=["ca.pem"])


def write_index(folder: Path, **tenants: list[str]) -> None:
    """Put an index in the place of the old one, as careful operators do."""
    new = folder / "index.json.new"
    new.write_text(json.dumps({"tenants": tenants}), encoding="utf-8")
    new.replace(folder / "index.json")


def xfcc(pki: Pki, gateway: str | None) -> dict[str, str]:
    """Return the header that Envoy writes for a gateway."""
    if gateway is None:
        return {}
    leaf = pki.gateways[gateway]
    escaped = [quote(pem.decode("ascii"), safe="") for pem in (leaf.certificate_pem, leaf.chain_pem)]
    value = f'Hash={hashlib.sha256(leaf.der).hexdigest()};Cert="{escaped[0]}";Chain="{escaped[1]}"'
    return {"x-forwarded-client-cert": value}


class Answer(NamedTuple):
    """Status and body of a response."""

    status: int
    body: bytes

    @property
    def code(self) -> str | None:
        """The code of a refusal of ours."""
        with contextlib.suppress(ValueError):
            told = json.loads(self.body)
            return told.get("error") if isinstance(told, dict) else None
        return None

    @property
    def refusal(self) -> tuple[int, str | None]:
        """Status and code."""
        return self.status, self.code


class Server(NamedTuple):
    """The program that runs: its process, port, folder, and the file of what it prints."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    output: Path

    @property
    def trust(self) -> Path:
        """The directory of the tenants."""
        return self.folder / "trust"

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def serving(pki: Pki, folder: Path) -> Generator[Server, None, None]:
    """Run a copy of the example in *folder*, as a program of its own, with its port changed and nothing else."""
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, folder)
    pki.trust(folder / "trust")
    with running(folder, printed=8000) as program:
        yield Server(program.process, program.port, folder, program.said)


@contextlib.contextmanager
def websocket(
    port: int, host: str, path: str, *, context: Any = None, headers: dict[str, str] | None = None
) -> Generator[ClientConnection | Answer, None, None]:
    """Open a WebSocket, with TLS where there is a *context*; yields the connection, or the answer that refuses it."""
    sock = socket.create_connection((HOST, port), timeout=PATIENCE)
    url = f"{'ws' if context is None else 'wss'}://{host}{path}"
    try:
        opened = connect(url, sock=sock, ssl=context, additional_headers=headers, open_timeout=PATIENCE)
    except InvalidStatus as error:
        sock.close()
        yield Answer(error.response.status_code, bytes(error.response.body or b""))
        return
    with opened:
        yield opened


def echoed(connection: ClientConnection | Answer) -> str:
    """Return what comes back for a message of a gateway."""
    assert isinstance(connection, ClientConnection), connection
    connection.send('{"msgtype": "version"}')
    return str(connection.recv(PATIENCE))


def admitted_in_time(ask: Callable[[], int]) -> bool:
    """Return whether *ask*, which returns a status, gets 200 before patience ends; each answer before that is 403."""
    end = time.monotonic() + PATIENCE
    while (status := ask()) != 200:
        assert status == 403
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def discovered(connection: ClientConnection | Answer, router: object) -> Any:
    """Return what discovery answers to a gateway that calls itself *router*."""
    assert isinstance(connection, ClientConnection), connection
    connection.send(json.dumps({"router": router}))
    return json.loads(connection.recv(PATIENCE))

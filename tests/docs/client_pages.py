"""What the pages about clients, mail, data bases and Twisted need before their Python blocks run, and must do after."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.clients.postgresql import running_postgres
from tests.interop.redis_server import running_redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.docs.conftest import Lab

_SECONDS: Final = 20.0


def _pin(leaf: IssuedCertificate) -> str:
    """Return the SHA-256 of the public key of *leaf*, base64."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(leaf.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(digest.finalize()).decode("ascii")


def _api(lab: Lab) -> Iterator[None]:
    bank, clients = CertificateAuthority("Bank"), CertificateAuthority("Clients")
    server = bank.issue_server("localhost")
    Path("api-ca.pem").write_bytes(bank.pem)
    clients.issue_client("transport").files(".", name="transport")
    lab.namespace["pin"] = _pin(server)
    with lab.simple_server(server, asks=clients):
        yield


def _mail(lab: Lab) -> Iterator[None]:
    mail, relays = CertificateAuthority("Mail"), CertificateAuthority("Relays")
    Path("mail-ca.pem").write_bytes(mail.pem)
    Path("relays-ca.pem").write_bytes(relays.pem)
    mail.issue_server("localhost").files(".", name="mail")
    relays.issue_client("relay.partner.example").files(".", name="relay")
    yield
    ready, loop = threading.Event(), asyncio.new_event_loop()
    printed: list[str] = []
    lab.namespace["print"] = printed.append

    async def main() -> None:
        server = await lab.namespace["serve"](loop)
        ready.set()
        await lab.namespace["end"].wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    lab.namespace["end"] = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(_SECONDS)
    try:
        lab.namespace["send"]("Subject: hello\r\n\r\nhello\r\n")
        with smtplib.SMTP("localhost", lab.port, timeout=_SECONDS) as plain, pytest.raises(smtplib.SMTPException):
            plain.sendmail("me@example.com", ["you@example.com"], "in the clear")
    finally:
        loop.call_soon_threadsafe(lab.namespace["end"].set)
        thread.join(_SECONDS)
        loop.close()
    assert printed == ["a letter from relay.partner.example"]


def _data_bases(lab: Lab) -> Iterator[None]:
    ca = CertificateAuthority("Data Bases")
    leaf = ca.issue_server("localhost")
    chain, key = leaf.files(".", name="server")
    Path("redis-ca.pem").write_bytes(ca.pem)
    ca.issue_client("frodo").files(".", name="client")
    arguments = ["--bind", "127.0.0.1", "--tls-auth-clients", "yes", "--tls-port", str(lab.port)]
    for name, path in (("cert", chain), ("key", key), ("ca-cert", Path("redis-ca.pem"))):
        arguments += [f"--tls-{name}-file", str(path.resolve())]
    with running_redis(*arguments), running_postgres() as postgres:
        _require_libpq()
        lab.stands_in["8444"] = str(postgres.port)
        Path("postgresql-ca.pem").write_bytes(postgres.ca.pem)
        postgres.frodo.files(".", name="frodo")
        yield
    local: Any = lab.namespace["local"]
    assert not local.path.parent.exists()
    assert "%2Fsocket/?directConnection=true" in lab.namespace["mongo_url"](SimpleNamespace(path=Path("/a/socket")))


def _require_libpq() -> None:
    try:
        import_module("psycopg")
    except ImportError as error:  # the package without a libpq
        pytest.skip(str(error))


_DRIVE: Final = """
    import logging
    import sys

    logging.getLogger("mtlspolicy.connection").addHandler(logging.StreamHandler(sys.stdout))
    blocks = sys.stdin.read()
    exec(compile(blocks, "twisted.md", "exec"))
    from twisted.internet import reactor

    made = Ask.connectionMade
    Ask.connectionLost = lambda self, reason: reactor.callLater(0.1, reactor.stop)


    def too_early(self):
        try:
            tls.peer_of(self.transport)
        except ValueError as error:
            print(error.code)
        made(self)


    Ask.connectionMade = too_early
    if sys.argv[1] != "frodo":
        client_context = tls.client_context(
            credential=tls.Credential.from_files(f"{sys.argv[1]}.pem", f"{sys.argv[1]}.key"),
            verifier=Verifier.for_servers(trust=TrustStore.from_file("server-ca.pem"), expected=sys.argv[2]),
            options=tls.ClientOptions(engine="pyopenssl"),
        )
    reactor.callLater(20, reactor.stop)
    listen(reactor)
    ask(reactor)
    reactor.run()
"""


def _twisted(lab: Lab) -> Iterator[None]:
    from tests.docs.conftest import blocks

    servers, clients = CertificateAuthority("Servers"), CertificateAuthority("Clients")
    Path("server-ca.pem").write_bytes(servers.pem)
    Path("clients-ca.pem").write_bytes(clients.pem)
    servers.issue_server("localhost").files(".", name="server")
    clients.issue_client("frodo").files(".", name="client")
    clients.issue_client("gollum").files(".", name="gollum")
    yield
    assert "twisted.internet.reactor" not in sys.modules  # it belongs into a program of its own
    page = lab.as_run("\n".join(blocks("docs/howto/twisted.md", "python")))
    printed = {}
    for who, expected in (("frodo", "localhost"), ("gollum", "localhost"), ("client", "other.test")):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_DRIVE), who, expected], input=page, capture_output=True, text=True,
            timeout=50, check=True,
        )  # fmt: skip
        printed[who] = done.stdout
    assert printed["frodo"] == "tls.undecided\nhello frodo\n"
    assert "hello" not in printed["gollum"]
    assert "name.mismatch" in printed["gollum"]
    assert "hello" not in printed["client"]
    assert "tls.name-mismatch" in printed["client"]


CLIENT_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    "docs/howto/call-an-api.md": _api,
    "docs/howto/mail-starttls.md": _mail,
    "docs/howto/databases.md": _data_bases,
    "docs/howto/twisted.md": _twisted,
}

"""Whom a client expects, in clients that speak no plain HTTP: web sockets, data bases, mail; and in Tornado's."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import pytest
import websockets.asyncio.client
import websockets.sync.client
import websockets.sync.server
from cryptography.x509.oid import ExtendedKeyUsageOID
from tornado.httpclient import AsyncHTTPClient

from mtlspolicy import ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import websockets as our_websockets
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._log import LIMITER
from tests.clients.mail_serving import mail_serving
from tests.clients.mongodb import Greeter, by_pymongo
from tests.clients.postgresql import running_postgres
from tests.clients.postgresql_drivers import by_asyncpg, by_pg8000, by_psycopg
from tests.clients.redis_clients import by_redis, by_redis_async, redis_over_tls
from tests.clients.serving import HOST, PATIENCE, Secure, running
from tests.clients.twice import Between, twice, twice_async

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="tunnels, and the loop that Tornado needs there")
CA: Final = CertificateAuthority("Servers and Clients")
TRUST: Final = TrustStore(anchors=[CA.certificate])
FRODO: Final = CA.issue_client("frodo")
LEAVES: Final = {
    "names": CA.issue_server("localhost", HOST, uris=["spiffe://example.org/db"]),
    "CN": CA.issue_client("db-1", eku=[ExtendedKeyUsageOID.SERVER_AUTH]),
}
"""A server's certificate with a name, an address and a URI, and one with a common name alone: it counts only there."""
KINDS: Final[dict[str, tuple[Any, Any, str, str]]] = {
    # whom the server is, whom it is not, the host that is dialed, and how another is refused
    "DNS": ("localhost", "other.test", "localhost", "tls.name-mismatch"),
    "IP": (HOST, "127.0.0.2", HOST, "tls.name-mismatch"),
    "URI": ("spiffe://example.org/db", "spiffe://example.org/web", "localhost", "identity.mismatch"),
    "CN": (
        ReferenceIdentifier.common_name("db-1"), ReferenceIdentifier.common_name("db-2"), "localhost",
        "identity.mismatch",
    ),
}  # fmt: skip


def server_context(leaf: IssuedCertificate) -> ssl.SSLContext:
    """Return the context of a server with *leaf*, for frodo."""
    verifier = Verifier.for_clients(trust=TRUST, policy=policies.CommonName("frodo"))
    return tls.server_context(credential=tls.Credential.of(leaf.chain, leaf.key), verifier=verifier)


def client_context(expected: Any, policy: Any = None, **options: Any) -> ssl.SSLContext:
    """Return the context of frodo; *options* are those of `tls.ClientOptions`."""
    verifier = Verifier.for_servers(trust=TRUST, expected=expected, policy=policy)
    credential = tls.Credential.of(FRODO.chain, FRODO.key)
    return tls.client_context(credential=credential, verifier=verifier, options=tls.ClientOptions(**options))


@contextmanager
def https(leaf: IssuedCertificate) -> Generator[int, None, None]:
    """Serve pages."""
    server = Secure(server_context(leaf))
    with running(server):
        yield server.server_port


@contextmanager
def web_sockets(leaf: IssuedCertificate) -> Generator[int, None, None]:
    """Serve web sockets."""

    def greet(connection: Any) -> None:
        for _ in connection:
            connection.send(our_websockets.peer(connection).common_name)

    with websockets.sync.server.serve(greet, HOST, 0, ssl=server_context(leaf)) as server, _on_thread(server):
        yield server.socket.getsockname()[1]


def _on_thread(server: Any) -> AbstractContextManager[Any]:
    stack = ExitStack()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    stack.callback(thread.join, PATIENCE)
    stack.callback(server.shutdown)
    return stack


@contextmanager
def mail(leaf: IssuedCertificate) -> Generator[int, None, None]:
    """Serve mail with STARTTLS."""
    with mail_serving(server_context(leaf)) as port:
        yield port


@contextmanager
def mongodb(leaf: IssuedCertificate) -> Generator[int, None, None]:
    """Greet as MongoDB does."""
    server = Greeter(server_context(leaf))
    with running(server):
        yield server.server_address[1]


@contextmanager
def postgresql(leaf: IssuedCertificate) -> Generator[int, None, None]:
    """Run PostgreSQL."""
    with running_postgres(CA, leaf) as server:
        yield server.port


def by_tornado(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> str:
    """Ask with Tornado, which keeps no connection."""
    assert between is None

    async def main() -> str:
        client = AsyncHTTPClient(force_instance=True)
        try:
            answer = await client.fetch(f"https://{host}:{port}/", ssl_options=context)
            return "frodo" if b'"peer": "frodo"' in answer.body else ""
        finally:
            client.close()

    return asyncio.run(main())


def by_websockets(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with ``websockets.sync``."""
    with websockets.sync.client.connect(f"wss://{host}:{port}", ssl=context) as connection:

        def once() -> Any:
            connection.send("who")
            return connection.recv(PATIENCE)

        return twice(once, between)


def by_websockets_async(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with ``websockets.asyncio``."""

    async def main() -> Any:
        async with websockets.asyncio.client.connect(f"wss://{host}:{port}", ssl=context) as connection:

            async def once() -> Any:
                await connection.send("who")
                return await connection.recv()

            return await twice_async(once, between)

    return asyncio.run(main())


def by_smtplib(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> str:
    """Ask with smtplib."""
    with smtplib.SMTP(host, port, timeout=PATIENCE) as client:
        client.starttls(context=context)
        return str(twice(client.noop, between)[1], "ascii")


class Client(NamedTuple):
    """A client: its server, how to ask it, and what it returns where frodo is served."""

    serving: Callable[[IssuedCertificate], AbstractContextManager[int]]
    ask: Callable[..., Any]
    served: Any = "frodo"


CLIENTS: Final = {
    "tornado": Client(https, by_tornado),
    "websockets": Client(web_sockets, by_websockets),
    "websockets-async": Client(web_sockets, by_websockets_async),
    "smtplib": Client(mail, by_smtplib),
    "redis": Client(lambda leaf: redis_over_tls(CA, leaf), by_redis, served=True),
    "redis.asyncio": Client(lambda leaf: redis_over_tls(CA, leaf), by_redis_async, served=True),
    "asyncpg": Client(postgresql, by_asyncpg, served=("frodo", "/CN=frodo")),
    "pg8000": Client(postgresql, by_pg8000, served=("frodo", "/CN=frodo")),
    "psycopg": Client(postgresql, by_psycopg, served=("frodo", "/CN=frodo")),
    "pymongo": Client(mongodb, by_pymongo),
}
KEEPING: Final = {name: client for name, client in CLIENTS.items() if name != "tornado"}
EVERY: Final = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


@pytest.fixture(scope="module")
def port_of() -> Generator[Callable[[Client, str], int], None, None]:
    """Start each server when it is first asked for, and end all at the end."""
    with ExitStack() as stack:
        found: dict[Any, int] = {}

        def port(client: Client, kind: str) -> int:
            leaf = "CN" if kind == "CN" else "names"
            key = (client.serving, leaf)
            if key not in found:
                found[key] = stack.enter_context(client.serving(LEAVES[leaf]))
            return found[key]

        yield port


def refusal_of(client: Client, where: tuple[str, int], expected: Any, log: pytest.LogCaptureFixture) -> str:
    """Return what the log says of the connection of a client that expects somebody else, who is not served."""
    LIMITER.clear()
    log.clear()
    with pytest.raises(Exception, match=r"(?i)mtls|tls|ssl|identity|closed|connect"):
        client.ask(*where, client_context(expected))
    return "\n".join(log.messages)


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_the_server_that_is_expected_is_asked_and_another_is_not(
    kind: str, client: Client, port_of: Callable[[Client, str], int], caplog: pytest.LogCaptureFixture
) -> None:
    """The client reaches the server by its identity, and refuses the same server where it expects another."""
    right, wrong, host, code = KINDS[kind]
    port = port_of(client, kind)
    assert client.ask(host, port, client_context(right)) == client.served
    assert code in refusal_of(client, (host, port), wrong, caplog)


@EVERY
def test_dialed_is_the_host_that_the_client_was_given(
    client: Client, port_of: Callable[[Client, str], int], caplog: pytest.LogCaptureFixture
) -> None:
    """One context reaches the server by name and by address, and refuses one that has neither."""
    context, port = client_context(ReferenceIdentifier.DIALED), port_of(client, "DNS")
    assert [client.ask(host, port, context) for host in ("localhost", HOST)] == [client.served] * 2
    where = ("localhost", port_of(client, "CN"))
    assert "tls.openssl-name-mismatch" in refusal_of(client, where, ReferenceIdentifier.DIALED, caplog)


@pytest.mark.parametrize("client", KEEPING.values(), ids=KEEPING)
def test_a_kept_connection_is_worth_no_more_than_the_policy_of_now(
    client: Client, port_of: Callable[[Client, str], int], caplog: pytest.LogCaptureFixture
) -> None:
    """With ``max_age`` a second question over one connection goes to a server that is still admitted, or to none."""
    right = policies.SPKIPin.of(LEAVES["names"].certificate)
    wanted: list[Any] = [right]
    context = client_context("localhost", lambda: wanted[0], max_age=0.0001)
    where = ("localhost", port_of(client, "DNS"))
    assert client.ask(*where, context, lambda: None) == client.served
    LIMITER.clear()
    caplog.clear()
    with pytest.raises(Exception, match=r"(?i)mtls|tls|ssl|pin|closed|connect|network|frame"):
        client.ask(*where, context, lambda: wanted.__setitem__(0, policies.SPKIPin("00" * 32)))
    assert "pin.mismatch" in "\n".join(caplog.messages)

"""PostgreSQL: drivers that take a context, and libpq, which takes none, over a tunnel of ours."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from tests.clients.postgresql import Postgres, running_postgres

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0


@pytest.fixture(scope="module")
def postgres() -> Generator[Postgres, None, None]:
    """Run a real server."""
    with running_postgres() as made:
        yield made


def context_for(postgres: Postgres, policy: Policy | None = None) -> ssl.SSLContext:
    """Return the context of the user frodo."""
    verifier = Verifier.for_servers(
        trust=TrustStore(anchors=[postgres.ca.certificate]), expected="localhost", policy=policy
    )
    return tls.client_context(credential=tls.Credential.of(postgres.frodo.chain, postgres.frodo.key), verifier=verifier)


def by_pg8000(postgres: Postgres, context: ssl.SSLContext) -> Any:
    """Ask with pg8000."""
    pg8000 = pytest.importorskip("pg8000.dbapi", reason="pg8000 is not installed")
    connection = pg8000.connect("frodo", "localhost", "postgres", postgres.port, ssl_context=context, timeout=PATIENCE)
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SELECT current_user, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return tuple(cursor.fetchone())


def by_asyncpg(postgres: Postgres, context: ssl.SSLContext) -> Any:
    """Ask with asyncpg."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    asyncpg: Any = importlib.import_module("asyncpg")

    async def main() -> Any:
        connection = await asyncpg.connect(
            host="localhost", port=postgres.port, user="frodo", database="postgres", ssl=context, timeout=PATIENCE
        )
        try:
            row = await connection.fetchrow(
                "SELECT current_user, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
            return tuple(row)
        finally:
            await connection.close()

    return asyncio.run(main())


def by_psycopg(postgres: Postgres, context: ssl.SSLContext) -> Any:
    """Ask with psycopg, whose libpq speaks TLS by itself from files: it is given a socket of ours in place of it."""
    try:
        psycopg = importlib.import_module("psycopg")
    except ImportError as error:  # the package without a libpq
        pytest.skip(str(error))
    with (
        tempfile.TemporaryDirectory(prefix="pg-") as folder,
        tunnel(Path(folder), postgres.port, context),
        psycopg.connect(host=folder, port=5432, user="frodo", dbname="postgres", connect_timeout=20) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT current_user, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return cursor.fetchone()


@contextlib.contextmanager
def tunnel(folder: Path, port: int, context: ssl.SSLContext) -> Generator[None, None, None]:
    """Lead one connection from a Unix socket in *folder*, which is ours alone, over TLS to the server.

    A refusal ends the connection: libpq reports that the server closed it, and our logger says why.
    """

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            local, _ = listener.accept()
            with local, socket.create_connection(("localhost", port), PATIENCE) as plain:
                plain.sendall(struct.pack("!ii", 8, 80877103))  # SSLRequest
                if plain.recv(1) != b"S":
                    return
                with context.wrap_socket(plain, server_hostname="localhost") as remote:
                    back = threading.Thread(target=pump, args=(remote, local))
                    back.start()
                    pump(local, remote)
                    back.join(PATIENCE)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / ".s.PGSQL.5432"))
        listener.listen(1)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            assert not thread.is_alive()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Move what comes from *source* to *sink*, to its end."""
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


DRIVERS: Final = pytest.mark.parametrize("ask", [by_pg8000, by_asyncpg, by_psycopg])


@DRIVERS
def test_the_user_is_who_the_certificate_says(ask: Any, postgres: Postgres) -> None:
    """The data base sees our certificate, and the policy has admitted its server by the pin of its key."""
    user, subject = ask(postgres, context_for(postgres, policies.SPKIPin(_pin(postgres))))
    assert user == "frodo"
    assert "CN=frodo" in subject


def _pin(postgres: Postgres) -> str:
    """Return the pin of the server's key, as a first connection sees it."""
    with socket.create_connection((HOST, postgres.port), PATIENCE) as plain:
        plain.sendall(struct.pack("!ii", 8, 80877103))
        assert plain.recv(1) == b"S"
        with context_for(postgres).wrap_socket(plain, server_hostname="localhost") as connection:
            peer = tls.peer_of(connection)
            assert peer is not None
            return peer.spki_sha256


@DRIVERS
def test_a_server_that_the_policy_refuses_is_asked_nothing(
    ask: Any, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong pin: the driver's connection ends before a user name is sent, and the log has the code."""
    with pytest.raises(Exception, match=r"pin\.mismatch|closed the connection"):
        ask(postgres, context_for(postgres, policies.SPKIPin("00" * 32)))
    assert any("pin.mismatch" in line for line in caplog.messages)


EVIL: Final = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!i", 5) + b"I"
"""AuthenticationOk and ReadyForQuery: whoever took them for the server's would be connected."""


@pytest.mark.parametrize("injected", [b"", EVIL])
@DRIVERS
def test_an_injected_answer_before_tls_is_never_read_as_the_servers(injected: bytes, ask: Any) -> None:
    """The class of CVE-2021-23222: plain bytes behind the ``S`` that begins TLS connect nobody."""
    ca = CertificateAuthority("Data Bases")
    leaf = ca.issue_server("localhost")
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ca.certificate]), policy=policies.CommonName("frodo"))
    context = tls.server_context(credential=tls.Credential.of(leaf.chain, leaf.key), verifier=verifier)

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            plain, _ = listener.accept()
            plain.settimeout(PATIENCE)
            with plain:
                plain.recv(8)
                plain.sendall(b"S" + injected)
                with context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(1000)

    with socket.create_server((HOST, 0)) as listener:
        there = Postgres(listener.getsockname()[1], ca, ca.issue_client("frodo"))
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with pytest.raises(Exception, match=r"(?i)ssl|tls|connection|network|closed"):
            ask(there, context_for(there))
        thread.join(PATIENCE)
        assert not thread.is_alive()

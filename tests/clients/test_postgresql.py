"""PostgreSQL: drivers that take a context, and libpq, which takes none, over a tunnel of ours."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Generator
from typing import Any, Final

import pytest

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
from tests.clients.postgresql import Postgres, running_postgres
from tests.clients.postgresql_drivers import by_asyncpg, by_pg8000, by_psycopg

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


DRIVERS: Final = pytest.mark.parametrize("ask", [by_pg8000, by_asyncpg, by_psycopg])


@DRIVERS
def test_the_user_is_who_the_certificate_says(ask: Any, postgres: Postgres) -> None:
    """The data base sees our certificate, and the policy has admitted its server by the pin of its key."""
    user, subject = ask("localhost", postgres.port, context_for(postgres, policies.SPKIPin(_pin(postgres))))
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
        ask("localhost", postgres.port, context_for(postgres, policies.SPKIPin("00" * 32)))
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
            ask("localhost", there.port, context_for(there))
        thread.join(PATIENCE)
        assert not thread.is_alive()

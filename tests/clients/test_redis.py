"""redis-py over a context of ours, against a real server that asks for a certificate; it takes none by itself."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import redis
import redis.asyncio

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.interop.redis_server import free_port, running_redis

_TRIES: Final = 5
"""A port that was free may be taken before the server has it."""


class Served(NamedTuple):
    """A server that runs."""

    port: int
    ca: CertificateAuthority
    leaf: IssuedCertificate
    client: IssuedCertificate


@pytest.fixture(scope="module")
def served() -> Generator[Served, None, None]:
    """Run redis-server over TLS; skip where it is not installed, or is without TLS."""
    ca = CertificateAuthority("Data Bases")
    leaf = ca.issue_server("localhost")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-tls-")))
        chain, key = leaf.files(folder, name="server")
        (folder / "ca.pem").write_bytes(ca.pem)
        for _ in range(_TRIES):
            port = free_port()
            arguments = ["--tls-port", str(port), "--tls-cert-file", str(chain), "--tls-key-file", str(key)]
            arguments += ["--tls-ca-cert-file", str(folder / "ca.pem"), "--tls-auth-clients", "yes"]
            try:
                stack.enter_context(running_redis(*arguments, "--bind", "127.0.0.1"))
            except AssertionError as error:
                if "tls-port" in str(error):
                    pytest.skip("this redis-server is without TLS")
                continue
            yield Served(port, ca, leaf, ca.issue_client("frodo"))
            return
    pytest.fail("redis-server does not start")


def context_for(served: Served, policy: Policy) -> ssl.SSLContext:
    """Return the context of the client."""
    verifier = Verifier.for_servers(
        trust=TrustStore(anchors=[served.ca.certificate]), expected="localhost", policy=policy
    )
    return tls.client_context(credential=tls.Credential.of(served.client.chain, served.client.key), verifier=verifier)


def by_redis(served: Served, context: ssl.SSLContext) -> Any:
    """Ask with redis-py, as the page about data bases shows it."""

    class Verified(redis.SSLConnection):
        def _wrap_socket_with_ssl(self, sock: Any) -> Any:
            return context.wrap_socket(sock, server_hostname=self.host)

    with _client(Verified, served) as client:
        return client.ping()


def by_another_seam(served: Served, context: ssl.SSLContext) -> Any:
    """Ask with a redis-py that calls the method of ours no more."""
    del context

    class Verified(redis.SSLConnection):
        def _wrap_socket_by_another_name(self, sock: Any) -> Any:
            raise AssertionError(sock)

    with tempfile.TemporaryDirectory() as folder:
        chain, key = served.client.files(Path(folder))
        files = {"ssl_certfile": str(chain), "ssl_keyfile": str(key), "ssl_ca_data": served.ca.pem.decode("ascii")}
        with _client(Verified, served, **files) as client:
            return client.ping()


def _client(connection_class: Any, served: Served, **options: Any) -> Any:
    def admitted(connection: Any) -> None:
        tls.peer_of(connection._sock)
        connection.on_connect()

    pool = redis.ConnectionPool(
        connection_class=connection_class, host="localhost", port=served.port, redis_connect_func=admitted,
        socket_timeout=20, **options,
    )  # fmt: skip
    return redis.Redis.from_pool(pool)


def by_redis_async(served: Served, context: ssl.SSLContext) -> Any:
    """Ask with redis-py on an event loop."""

    class Verified(redis.asyncio.SSLConnection):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context.context = context

    async def main() -> Any:
        pool: Any = redis.asyncio.ConnectionPool(
            connection_class=Verified, host="localhost", port=served.port, socket_timeout=20
        )
        async with redis.asyncio.Redis.from_pool(pool) as client:
            return await client.ping()

    return asyncio.run(main())


CLIENTS: Final = pytest.mark.parametrize("ask", [by_redis, by_redis_async])


@CLIENTS
def test_redis_is_asked_over_the_context(ask: Any, served: Served) -> None:
    """The server, which admits nobody without a certificate, answers."""
    assert ask(served, context_for(served, policies.SPKIPin.of(served.leaf.certificate)))


@CLIENTS
def test_a_server_that_the_policy_refuses_is_asked_nothing(ask: Any, served: Served) -> None:
    """A wrong pin is a connection error of redis-py with our code in it."""
    with pytest.raises((redis.ConnectionError, tls.HandshakeRejected), match=r"pin\.mismatch"):
        ask(served, context_for(served, policies.SPKIPin("00" * 32)))


def test_a_redis_py_that_goes_around_the_context_is_refused(served: Served) -> None:
    """Should redis-py rename the method that is overridden, no command is sent over a connection that is not ours."""
    with pytest.raises(ConfigurationError) as caught:
        by_another_seam(served, context_for(served, policies.SPKIPin("00" * 32)))
    assert caught.value.code == "tls.not-ours"

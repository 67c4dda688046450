"""redis-py over a context of ours, as the page about data bases shows it, and a real server over TLS."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import redis
import redis.asyncio

from mtlspolicy import tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.clients.twice import Between, twice, twice_async
from tests.interop.redis_server import free_port, running_redis

_TRIES: Final = 5
"""A port that was free may be taken before the server has it."""


@contextmanager
def redis_over_tls(ca: CertificateAuthority, leaf: IssuedCertificate) -> Generator[int, None, None]:
    """Run redis-server with *leaf* for clients of *ca*, and lend its port; skip where there is none that has TLS."""
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
            yield port
            return
    pytest.fail("redis-server does not start")


def by_redis(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with redis-py."""

    class Verified(redis.SSLConnection):
        def _wrap_socket_with_ssl(self, sock: Any) -> Any:
            return context.wrap_socket(sock, server_hostname=self.host)

    with redis_client(Verified, host, port) as client:
        return twice(client.ping, between)


def redis_client(connection_class: Any, host: str, port: int, **options: Any) -> Any:
    """Return a client whose connections are looked at before their first command."""

    def admitted(connection: Any) -> None:
        tls.peer_of(connection._sock)
        connection.on_connect()

    pool = redis.ConnectionPool(
        connection_class=connection_class, host=host, port=port, redis_connect_func=admitted, socket_timeout=20,
        **options,
    )  # fmt: skip
    return redis.Redis.from_pool(pool)


def by_redis_async(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with redis-py on an event loop."""

    class Verified(redis.asyncio.SSLConnection):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context.context = context

    async def main() -> Any:
        pool: Any = redis.asyncio.ConnectionPool(connection_class=Verified, host=host, port=port, socket_timeout=20)
        async with redis.asyncio.Redis.from_pool(pool) as client:
            return await twice_async(client.ping, between)

    return asyncio.run(main())

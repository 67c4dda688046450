"""redis-py over a context of ours, against a real server that asks for a certificate; it takes none by itself."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import redis

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.clients.redis_clients import by_redis, by_redis_async, redis_client, redis_over_tls


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
    with redis_over_tls(ca, leaf) as port:
        yield Served(port, ca, leaf, ca.issue_client("frodo"))


def context_for(served: Served, policy: Policy) -> ssl.SSLContext:
    """Return the context of the client."""
    verifier = Verifier.for_servers(
        trust=TrustStore(anchors=[served.ca.certificate]), expected="localhost", policy=policy
    )
    return tls.client_context(credential=tls.Credential.of(served.client.chain, served.client.key), verifier=verifier)


def by_another_seam(served: Served, context: ssl.SSLContext) -> Any:
    """Ask with a redis-py that calls the method of ours no more."""
    del context

    class Verified(redis.SSLConnection):
        def _wrap_socket_by_another_name(self, sock: Any) -> Any:
            raise AssertionError(sock)

    with tempfile.TemporaryDirectory() as folder:
        chain, key = served.client.files(Path(folder))
        files = {"ssl_certfile": str(chain), "ssl_keyfile": str(key), "ssl_ca_data": served.ca.pem.decode("ascii")}
        with redis_client(Verified, "localhost", served.port, **files) as client:
            return client.ping()


CLIENTS: Final = pytest.mark.parametrize("ask", [by_redis, by_redis_async])


@CLIENTS
def test_redis_is_asked_over_the_context(ask: Any, served: Served) -> None:
    """The server, which admits nobody without a certificate, answers."""
    assert ask("localhost", served.port, context_for(served, policies.SPKIPin.of(served.leaf.certificate)))


@CLIENTS
def test_a_server_that_the_policy_refuses_is_asked_nothing(ask: Any, served: Served) -> None:
    """A wrong pin is a connection error of redis-py with our code in it."""
    with pytest.raises((redis.ConnectionError, tls.HandshakeRejected), match=r"pin\.mismatch"):
        ask("localhost", served.port, context_for(served, policies.SPKIPin("00" * 32)))


def test_a_redis_py_that_goes_around_the_context_is_refused(served: Served) -> None:
    """Should redis-py rename the method that is overridden, no command is sent over a connection that is not ours."""
    with pytest.raises(ConfigurationError) as caught:
        by_another_seam(served, context_for(served, policies.SPKIPin("00" * 32)))
    assert caught.value.code == "tls.not-ours"

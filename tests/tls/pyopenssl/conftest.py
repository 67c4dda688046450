"""A small PKI, contexts of both engines, and pairs of pyOpenSSL connections in memory or over a socket."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from mtlspolicy import Policy, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

SSL: Any = pytest.importorskip("OpenSSL.SSL", reason="the extra pyopenssl is not installed")
FRODO = policies.CommonName("frodo")
VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}


class Pki:
    """A root with an issuing CA below it, another root that nobody trusts, and contexts for both ends."""

    def __init__(self) -> None:
        self.root = CertificateAuthority("Example Root")
        self.ca = self.root.intermediate("Issuing CA")
        self.stranger = CertificateAuthority("Stranger Root")
        self.trust = TrustStore(anchors=[self.root.certificate])
        self.server_leaf = self.ca.issue_server("localhost", "127.0.0.1", "spiffe://a.test/server")
        self._clients: dict[str, IssuedCertificate] = {}

    def leaf(self, name: str) -> IssuedCertificate:
        """Return the client certificate with a common name; ``stranger`` comes from the CA that nobody trusts."""
        if name not in self._clients:
            self._clients[name] = (self.stranger if name == "stranger" else self.ca).issue_client(name)
        return self._clients[name]

    def credential(self, leaf: IssuedCertificate) -> tls.Credential:
        """Return a credential."""
        return tls.Credential.of(leaf.chain, leaf.key)

    def server(self, policy: Policy = FRODO, **given: Any) -> Any:
        """Return a context of ours for servers; what `server_context` does not take are options."""
        verifier = given.pop("verifier", None) or Verifier.for_clients(
            trust=given.pop("trust", self.trust), policy=policy
        )
        names = ("client_certificate", "alpn", "hardening")
        shared = {name: given.pop(name) for name in names if name in given}
        credential = self.credential(given.pop("leaf", self.server_leaf))
        options = tls.ServerOptions(engine="pyopenssl", **given)
        return tls.server_context(credential=credential, verifier=verifier, options=options, **shared)

    def client(self, name: str | None = "frodo", *, expected: Any = "localhost", **given: Any) -> Any:
        """Return a context of ours for clients."""
        verifier = Verifier.for_servers(trust=self.trust, expected=expected, policy=given.pop("policy", None))
        shared = {key: given.pop(key) for key in ("alpn", "hardening") if key in given}
        credential = None if name is None else self.credential(self.leaf(name))
        options = tls.ClientOptions(engine="pyopenssl", **given)
        return tls.client_context(credential=credential, verifier=verifier, options=options, **shared)

    def plain(self, leaf: IssuedCertificate | None, *, server: bool = False, version: Any = None) -> Any:
        """Return a pyOpenSSL context without any verifier, which takes every peer."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD if server else SSL.TLS_CLIENT_METHOD)
        if leaf is not None:
            context.use_certificate(leaf.chain[0])
            for certificate in leaf.chain[1:]:
                context.add_extra_chain_cert(certificate)
            context.use_privatekey(leaf.key)
        if server:
            context.set_session_id(b"plain")
            context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        if version is not None:
            context.set_min_proto_version(version)
            context.set_max_proto_version(version)
        return context


class Pair:
    """Two connections over memory; each end has the exception that ended it, or ``None``."""

    def __init__(self, server: Any, client: Any, name: bytes | None = b"localhost") -> None:
        self.server, self.client = SSL.Connection(server, None), SSL.Connection(client, None)
        self.server.set_accept_state()
        self.client.set_connect_state()
        if name is not None:
            self.client.set_tlsext_host_name(name)
        self.raised: dict[str, BaseException | None] = {"client": None, "server": None}

    @classmethod
    def of(cls, server: Any, client: Any) -> Pair:
        """Return the pair of two connections that are made already."""
        pair = cls.__new__(cls)
        pair.server, pair.client = server, client
        pair.raised = {"client": None, "server": None}
        return pair

    def move(self) -> None:
        """Carry what each end has to say to the other."""
        for here, there in ((self.client, self.server), (self.server, self.client)):
            try:
                while True:
                    there.bio_write(here.bio_read(65536))
            except SSL.WantReadError:
                continue

    def shake(self) -> Pair:
        """Shake hands as far as both ends go."""
        for _ in range(6):
            for side, end in (("client", self.client), ("server", self.server)):
                if self.raised[side] is None:
                    try:
                        end.do_handshake()
                    except SSL.WantReadError:
                        pass
                    except BaseException as error:  # noqa: BLE001 - the test looks at it
                        self.raised[side] = error
                self.move()
        return self


def heard(end: Any) -> str:
    """Return what *end* hears from the other end: data, or OpenSSL's name of an alert, or of its end."""
    try:
        return str(end.recv(100).decode())
    except SSL.WantReadError:
        return "nothing"
    except SSL.ZeroReturnError:
        return "the end"
    except SSL.SysCallError:
        return "the end"
    except SSL.Error as error:
        return str(error.args[0][0][-1]) if error.args and error.args[0] else "the end"


@pytest.fixture(scope="session")
def pki() -> Pki:
    """Return the PKI, made once."""
    return Pki()


@pytest.fixture
def pair() -> type[Pair]:
    """Return the class of pairs in memory."""
    return Pair


@pytest.fixture
def hears() -> Callable[[Any], str]:
    """Return the function that says what an end hears."""
    return heard


@pytest.fixture
def over_sockets() -> Callable[..., Any]:
    """Return a function that lends a server's connection and a client's, over a pair of sockets."""

    @contextmanager
    def lend(server: Any, client: Any, timeout: float | None = None) -> Generator[tuple[Any, Any], None, None]:
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        with ours, theirs:
            one, other = SSL.Connection(server, ours), SSL.Connection(client, theirs)
            one.set_accept_state()
            other.set_connect_state()
            other.set_tlsext_host_name(b"localhost")
            yield one, other

    return lend


@pytest.fixture
def beside() -> Generator[Callable[..., threading.Thread], None, None]:
    """Return a function that runs something on a thread; its errors are the other end's and are not looked at."""
    threads = []

    def run(function: Callable[[], object]) -> threading.Thread:
        def quiet() -> None:
            try:
                function()
            except (SSL.Error, OSError):
                return

        thread = threading.Thread(target=quiet, daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield run
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function that says which lines were logged about refused connections since it was last called."""
    from mtlspolicy.tls import _log

    _log.LIMITER.clear()
    caplog.set_level(logging.DEBUG, "mtlspolicy.connection")

    def since() -> list[str]:
        found = [one.getMessage() for one in caplog.records if one.name == "mtlspolicy.connection"]
        caplog.clear()
        return found

    return since

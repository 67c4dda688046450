"""RULES 4: a server that renegotiates with another certificate after the decision is cut off."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

import pytest
from OpenSSL import SSL

from mtlspolicy import TrustStore, Verifier, policies, tls


class Renegotiating:
    """A pyOpenSSL server with TLS 1.2 that shows one certificate, and then renegotiates with another one."""

    def __init__(self, pki: Any, first: Any, second: Any) -> None:
        self.contexts = [self._context(pki, leaf) for leaf in (first, second)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _context(pki: Any, leaf: Any) -> SSL.Context:
        chain, key = leaf.files(pki.folder)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session would show no certificate
        context.set_options(SSL.OP_NO_TICKET)
        context.use_certificate_chain_file(str(chain))
        context.use_privatekey_file(str(key))
        return context

    def _run(self) -> None:
        accepted, _ = self._listener.accept()
        connection = SSL.Connection(self.contexts[0], accepted)
        connection.set_accept_state()
        try:
            connection.do_handshake()
            connection.sendall(b"before")
            connection.recv(10)
            connection.set_context(self.contexts[1])
            connection.renegotiate()
            connection.do_handshake()
            connection.recv(10)
            connection.sendall(b"after")
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error
        finally:
            accepted.close()
            self._listener.close()


def test_the_attack_is_real(pki: Any) -> None:
    """Without our settings the standard library goes on after the renegotiation, with another certificate."""
    first, second = pki.ca.issue_server("localhost"), pki.ca.issue_server("localhost")
    server = Renegotiating(pki, first, second)
    context = pki.plain_client(None)
    with context.wrap_socket(
        socket.create_connection(server.address, timeout=20), server_hostname="localhost"
    ) as client:
        assert client.recv(10) == b"before"
        assert client.getpeercert(binary_form=True) == first.der
        client.sendall(b"go")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):  # the renegotiation happens inside this read
            client.recv(10)
        client.settimeout(20)
        client.sendall(b"go on")
        assert client.recv(10) == b"after"
        assert client.getpeercert(binary_form=True) == second.der
    server.thread.join(20)


@pytest.mark.parametrize("kind", ["built", "enforced"])
def test_rule_4_the_next_read_after_a_renegotiation_raises(kind: str, pki: Any) -> None:
    """The certificate that was decided on stays: with another of the same name and CA no byte more is read."""
    first, second = pki.ca.issue_server("localhost"), pki.ca.issue_server("localhost")
    trust, pin = TrustStore(anchors=[pki.ca.certificate]), policies.SPKIPin.of(first.certificate)
    verifier = Verifier.for_servers(trust=trust, expected="localhost", policy=pin)
    if kind == "built":
        context = tls.client_context(verifier=verifier)
    else:
        context = ssl.create_default_context(cadata=pki.ca.pem.decode())
        tls.enforce(context, verifier)
    server = Renegotiating(pki, first, second)
    with context.wrap_socket(
        socket.create_connection(server.address, timeout=20), server_hostname="localhost"
    ) as client:
        assert client.recv(10) == b"before"
        assert tls.presented_by(client).ders[0] == first.der  # type: ignore[union-attr]
        client.sendall(b"go")
        outcome: Any
        try:
            outcome = client.recv(10)
        except ssl.SSLError as error:
            outcome = error
        assert isinstance(outcome, ssl.SSLError) or outcome == b""
    server.thread.join(20)
    assert isinstance(server.failure, SSL.Error)

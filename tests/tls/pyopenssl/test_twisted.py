"""Twisted over contexts of ours: a refused client gets its alert, an admitted one its answer, and `peer_of` a peer."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("twisted", reason="Twisted is not installed")
pytest.importorskip("OpenSSL", reason="the extra pyopenssl is not installed")

PROGRAM = textwrap.dedent(
    """
    import sys
    from pathlib import Path

    from attrs import astuple
    from OpenSSL import SSL
    from twisted.internet import interfaces, protocol, reactor
    from twisted.protocols.tls import TLSMemoryBIOFactory
    from zope.interface import implementer

    from mtlspolicy import TrustStore, Verifier, policies, tls

    folder = Path(sys.argv[1])
    verifier = Verifier.for_clients(trust=TrustStore.from_file(folder / "ca.pem"), policy=policies.CommonName("frodo"))
    context = tls.server_context(
        credential=tls.Credential.from_files(folder / "server.pem", folder / "server.key"),
        verifier=verifier,
        options=tls.ServerOptions(engine="pyopenssl"),
    )


    @implementer(interfaces.IOpenSSLServerConnectionCreator)
    class Creator:
        def serverConnectionForTLS(self, tlsProtocol):
            if sys.argv[2] == "ours":
                return context.connection(peername=lambda: astuple(tlsProtocol.transport.getPeer())[1:])
            return SSL.Connection(context, None)  # what Twisted's own creators do


    class Hello(protocol.Protocol):
        def dataReceived(self, data):
            self.transport.write(b"hello " + tls.peer_of(self.transport).common_name.encode() + b": " + data)
            self.transport.loseConnection()


    factory = TLSMemoryBIOFactory(Creator(), False, protocol.Factory.forProtocol(Hello))
    print(reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
    reactor.run()
    """
)


@pytest.mark.parametrize("kind", ["ours", "plain"])
def test_twisted_serves_whom_the_policy_admits(kind: str, pki: Any, tmp_path: Path) -> None:
    """An ``IOpenSSLServerConnectionCreator`` that makes its connections from our context is all that it takes."""
    import ssl

    (tmp_path / "ca.pem").write_bytes(pki.root.pem)
    pki.server_leaf.files(tmp_path, name="server")
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        answers = {}
        for who in ("frodo", "sam", "stranger"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=pki.root.der)
            context.load_cert_chain(*pki.leaf(who).files(tmp_path, name=who))
            try:
                with (
                    socket.create_connection(("127.0.0.1", port), 20) as plain,
                    context.wrap_socket(plain, server_hostname="localhost") as client,
                ):
                    client.sendall(b"it is me")
                    answers[who] = client.recv(100).decode()
            except ssl.SSLError as error:
                answers[who] = str(error.reason)
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert answers == {
        "frodo": "hello frodo: it is me",
        "sam": "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "stranger": "TLSV1_ALERT_UNKNOWN_CA",
    }
    assert ("refused 127.0.0.1" if kind == "ours" else "refused address unknown") in errors
    assert "Traceback" not in errors

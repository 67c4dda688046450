"""`socketserver` over a context of ours: a thread, or a process, for each connection, and the peer in the handler."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy.testing import CertificateAuthority

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
PROGRAM: Final = textwrap.dedent(
    """
    import logging
    import os
    import socketserver
    import sys

    from mtlspolicy import TrustStore, Verifier, policies, tls

    logging.basicConfig(format="%(message)s")
    os.chdir(sys.argv[2])


    class Hello(socketserver.StreamRequestHandler):
        def handle(self):
            line = self.rfile.readline()
            peer = tls.peer_of(self.request)
            self.wfile.write(b"hello " + peer.common_name.encode() + b" " + str(os.getpid()).encode() + b": " + line)


    class Server(getattr(socketserver, sys.argv[1])):
        def handle_error(self, request, client_address):
            "Print no traceback: what was refused is on the logger."


    verifier = Verifier.for_clients(trust=TrustStore.from_file("ca.pem"), policy=policies.CommonName("frodo"))
    credential = tls.Credential.from_files("server.pem", "server.key")
    context = tls.server_context(credential=credential, verifier=verifier)
    with Server(("127.0.0.1", 0), Hello) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print(server.server_address[1], os.getpid(), flush=True)
        server.serve_forever(0.02)
    """
)
KINDS: Final = ("ThreadingTCPServer", "ForkingTCPServer")


class Served:
    """A server of one kind that runs in a process of its own."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.ca = CertificateAuthority("Clients and Servers")
        (folder / "ca.pem").write_bytes(self.ca.pem)
        self.ca.issue_server("localhost").files(folder, name="server")
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, kind, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port, self.pid = map(int, self._process.stdout.readline().split())

    def connect(self, leaf: Any) -> ssl.SSLSocket:
        """Return a connection with the certificate *leaf*, or none."""
        context = ssl.create_default_context(cadata=self.ca.pem.decode("ascii"))
        if leaf is not None:
            with leaf.tempfiles() as files:
                context.load_cert_chain(*files)
        plain = socket.create_connection((HOST, self.port), PATIENCE)
        return context.wrap_socket(plain, server_hostname="localhost")

    def ask(self, leaf: Any) -> bytes:
        """Return the answer to one line; ``b""``: the connection ended."""
        try:
            with self.connect(leaf) as client:
                client.sendall(b"it is me\n")
                return client.recv(1000)
        except OSError:
            return b""

    def end(self) -> str:
        """End it and return what it logged."""
        self._process.terminate()
        return self._process.communicate(timeout=PATIENCE)[1]


@pytest.fixture(scope="module", params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Served, None, None]:
    """Run a server of each kind."""
    if request.param == "ForkingTCPServer" and sys.platform == "win32":
        pytest.skip("there is no fork on Windows")
    made = Served(request.param, tmp_path_factory.mktemp("served"))
    yield made
    logged = made.end()
    assert "name.mismatch" in logged
    assert "Traceback" not in logged


def test_the_handler_knows_its_peer(served: Served) -> None:
    """The peer is on the handler's socket, in the thread or process of the handler."""
    answer = served.ask(served.ca.issue_client("frodo"))
    name, _, rest = answer.partition(b": ")
    assert (name.split()[:2], rest) == ([b"hello", b"frodo"], b"it is me\n")
    assert (int(name.split()[2]) == served.pid) is (served.kind == "ThreadingTCPServer")


def test_who_is_not_meant_gets_no_answer(served: Served) -> None:
    """Another name, another CA, no certificate."""
    strangers = CertificateAuthority("Strangers")
    for leaf in (served.ca.issue_client("gollum"), strangers.issue_client("frodo"), None):
        assert served.ask(leaf) == b""


def test_silent_clients_hold_nobody_up(served: Served) -> None:
    """The handshake is the handler's: a client that sends nothing does not keep others from being served."""
    silent = [socket.create_connection((HOST, served.port), PATIENCE) for _ in range(5)]
    assert served.ask(served.ca.issue_client("frodo")).startswith(b"hello frodo")
    for one in silent:
        one.close()

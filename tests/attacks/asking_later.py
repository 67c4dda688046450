"""Both ends of a connection whose server asks for a certificate later, threads, and a man in the middle."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HOST, PATIENCE = "127.0.0.1", 20.0
ROOT: Final = CertificateAuthority("attacked a third time")
SERVER: Final = ROOT.issue_server("localhost")
FRODO, SAM = ROOT.issue_client("frodo"), ROOT.issue_client("sam")
_TRUST: Final = TrustStore(anchors=[ROOT.certificate])


def asking(seconds: float = PATIENCE) -> ssl.SSLContext:
    """Return a server's context that asks frodo later."""
    return tls.server_context(
        credential=tls.Credential.of(SERVER.chain, SERVER.key),
        verifier=Verifier.for_clients(trust=_TRUST, policy=policies.CommonName("frodo")),
        client_certificate="on-request",
        options=tls.ServerOptions(handshake_timeout=seconds),
    )


@contextmanager
def pair(
    folder: Path, who: IssuedCertificate = FRODO, *, seconds: float = PATIENCE, between: Any = None
) -> Generator[tuple[ssl.SSLSocket, ssl.SSLSocket], None, None]:
    """Lend both ends of a connection whose client has said ``hello``; *between* makes the client's way there."""
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_verify_locations(cadata=ROOT.der)
    theirs.load_cert_chain(*who.files(folder))
    theirs.post_handshake_auth = True
    with socket.create_server((HOST, 0)) as listener:
        client_end = socket.create_connection(listener.getsockname(), PATIENCE)
        server_end, _ = listener.accept()
    server = asking(seconds).wrap_socket(server_end, server_side=True, do_handshake_on_connect=False)
    server.settimeout(PATIENCE)
    with server, between(client_end) if between else client_end as way:
        answering = Thread(lambda: server.recv(5))
        with theirs.wrap_socket(way, server_hostname="localhost") as client:
            client.settimeout(PATIENCE)
            client.sendall(b"hello")
            assert answering.result() == b"hello"
            yield server, client


def answer(client: ssl.SSLSocket) -> None:
    """Have *client* read the question, and answer it."""
    assert select.select([client], [], [], PATIENCE)[0]
    client.settimeout(0.0)
    with suppress(OSError):  # nothing more is there to read, or the end
        client.recv(1)
    client.settimeout(PATIENCE)


class Thread:
    """A call on a thread of its own, and what came of it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._told: Any = None
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._told = self._call()
        except BaseException as error:  # noqa: BLE001 - raised by result
            self._raised = error

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._raised is not None:
            raise self._raised
        return self._told


class Cutting:
    """A man in the middle, who passes on what a client says until he is told how many records more."""

    def __init__(self, server_end: socket.socket) -> None:
        self.left: int | None = None
        self._near, self._far = socket.socketpair()
        self._server_end = server_end
        self._threads = [Thread(self._up), Thread(self._down)]

    def __enter__(self) -> socket.socket:
        return self._near

    def __exit__(self, *_: object) -> None:
        for end in (self._near, self._far, self._server_end):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.result()
        for end in (self._near, self._far, self._server_end):
            end.close()

    def _up(self) -> None:
        waiting = b""
        with suppress(OSError):
            while data := self._far.recv(65536):
                waiting += data
                while len(waiting) >= 5 and len(waiting) >= (size := 5 + int.from_bytes(waiting[3:5], "big")):
                    record, waiting = waiting[:size], waiting[size:]
                    if self.left is None or self.left > 0:
                        self.left = None if self.left is None else self.left - 1
                        self._server_end.sendall(record)

    def _down(self) -> None:
        with suppress(OSError):
            while data := self._server_end.recv(65536):
                self._far.sendall(data)

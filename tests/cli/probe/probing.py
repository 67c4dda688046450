"""What the tests of ``probe`` share: certificates with their files, and servers that do as they are told."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

HOST: Final = "127.0.0.1"
NEXT_YEAR: Final = datetime.now(UTC) + timedelta(days=300)
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
FORBIDDEN: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
_PATIENCE: Final = 20.0

Answer = Callable[[ssl.SSLSocket, bytes], bytes]
"""What a server says to a request, whose bytes are its second argument."""


class Site:
    """A server and clients of one issuing CA below a root, and the files that a probe reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = CertificateAuthority("Root", not_after=NEXT_YEAR)
        self.issuing = self.root.intermediate("Issuing CA", not_after=NEXT_YEAR)
        self.server = self.issuing.issue_server("localhost", HOST, not_after=NEXT_YEAR)
        self.good = self.issuing.issue_client("frodo", dns=["frodo.test"], not_after=NEXT_YEAR)
        self.ca = self.file("ca.pem", self.root.pem)
        self.issuer_cert = self.file("issuer.pem", self.issuing.pem)
        self.issuer_key = self.file(
            "issuer.key", self.issuing.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.cert, self.key = self.good.files(folder, name="frodo")

    def file(self, name: str, content: bytes) -> Path:
        """Write a file and return its path."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    @staticmethod
    def issue_pem(number: int) -> bytes:
        """Return a certificate that belongs to nothing, PEM."""
        return CertificateAuthority(f"Stranger {number}").pem

    @property
    def good_flags(self) -> list[object]:
        """The flags for the good certificate."""
        return ["--cert", self.cert, "--key", self.key]

    @property
    def all_flags(self) -> list[object]:
        """The flags for everything that can be tried."""
        return [*self.good_flags, "--issuer-cert", self.issuer_cert, "--issuer-key", self.issuer_key]

    def flags(self, port: int) -> list[object]:
        """Return the command for a server of this site."""
        return ["probe", f"localhost:{port}", "--allow-private", "--ca", self.ca]

    def context(
        self, *, leaf: IssuedCertificate | None = None, chain: Sequence[bytes] | None = None, asks: bool = True
    ) -> ssl.SSLContext:
        """Return a plain server context.

        Args:
            leaf: The server's certificate.
            chain: What is sent, PEM, in this order; default the leaf and the CAs above it without the root.
            asks: Whether a client must show a certificate of this site.
        """
        chosen = self.server if leaf is None else leaf
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        content = chosen.chain_pem if chain is None else b"".join(chain)
        load(context, content, chosen, self.folder)
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.root.pem.decode("ascii"))
        return context


def load(context: ssl.SSLContext, chain: bytes, leaf: IssuedCertificate, folder: Path) -> None:
    """Load a chain as it is into a context: in its order, with whatever is in it."""
    path, key = folder / "sent.pem", folder / "sent.key"
    path.write_bytes(chain)
    key.write_bytes(leaf.key_pem)
    context.load_cert_chain(path, key)


class Served:
    """A server that runs, and what it saw.

    Attributes:
        port: Where it listens, on loopback.
        connections: How many there were.
        subjects: Of each handshake that was finished: the subject of the client's certificate, or ``None``.
        requests: The bytes of each request.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0
        self.subjects: list[Any] = []
        self.requests: list[bytes] = []


@contextmanager
def listening(serve: Callable[[socket.socket, Served], None]) -> Generator[Served, None, None]:
    """Run a server that does with each connection what *serve* says, each in a thread of its own, and end it."""
    threads: list[threading.Thread] = []
    with socket.create_server((HOST, 0), backlog=64) as listener:
        served = Served(listener.getsockname()[1])
        ended = threading.Event()

        def one(connection: socket.socket) -> None:
            connection.settimeout(_PATIENCE)
            with connection, suppress(OSError, ValueError):
                serve(connection, served)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                if ended.is_set():
                    connection.close()
                    return
                served.connections += 1
                thread = threading.Thread(target=one, args=(connection,), name="probed")
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, name="probed-accept")
        accepting.start()
        try:
            yield served
        finally:
            ended.set()
            with suppress(OSError), socket.create_connection((HOST, served.port), timeout=_PATIENCE):
                pass
            accepting.join(_PATIENCE)
            for thread in threads:
                thread.join(_PATIENCE)
    assert not accepting.is_alive()
    assert not [thread for thread in threads if thread.is_alive()]


def serving(context: ssl.SSLContext, answer: Answer | bytes = OK) -> Any:
    """Run a TLS server that reads a request and answers it."""

    def serve(connection: socket.socket, served: Served) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            served.subjects.append((secured.getpeercert() or {}).get("subject"))
            request = b""
            while b"\r\n\r\n" not in request:
                piece = secured.recv(4096)
                if not piece:
                    return
                request += piece
            served.requests.append(request)
            secured.sendall(answer if isinstance(answer, bytes) else answer(secured, request))
            with suppress(OSError):
                secured.unwrap()

    return listening(serve)


def by_certificate(secured: ssl.SSLSocket, _request: bytes) -> bytes:
    """Answer 200 who has a certificate and 403 who has none."""
    return OK if secured.getpeercert() else FORBIDDEN


def reset(connection: socket.socket) -> None:
    """End a connection by a reset."""
    layout = "hh" if os.name == "nt" else "ii"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(layout, 1, 0))
    connection.close()

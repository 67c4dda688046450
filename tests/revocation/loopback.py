"""Real servers on loopback, one thread for each connection, that answer with whatever bytes a test has in hand."""

from __future__ import annotations

import itertools
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from mtlspolicy.revocation._destinations import Destinations, FetchFailed
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.testing import CertificateAuthority

GOOD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: 5\r\n\r\nhello"
LIVENESS: Final = 10.0
"""Seconds in which a thread that ends by itself has ended, on a busy machine too."""

T = TypeVar("T")
Script = Callable[["Conversation"], None]


class Conversation:
    """The server's side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.request = b""

    def read_request(self) -> None:
        """Read the request's head, and the body where it states a length."""
        while b"\r\n\r\n" not in self.request:
            self._more()
        head, _, body = self.request.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while lengths and len(body) < int(lengths[0]):
            body += self._more()

    def _more(self) -> bytes:
        piece = self.connection.recv(65536)
        if not piece:
            raise ConnectionError("the client left")
        self.request += piece
        return piece

    def send(self, data: bytes) -> None:
        """Send all of *data*."""
        self.connection.sendall(data)

    def drip(self, pieces: Iterable[bytes], every: float = 0.05) -> None:
        """Send *pieces* one at a time, for as long as the client takes them."""
        for piece in pieces:
            self.send(piece)
            time.sleep(every)

    def reset(self) -> None:
        """Have the connection reset, not closed, at the end of the script."""
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def wait_for_end(self) -> None:
        """Return when the client has closed the connection."""
        while self.connection.recv(65536):
            pass


def answering(data: bytes) -> Script:
    """Return a script that reads the request, sends *data* and closes."""

    def script(talk: Conversation) -> None:
        talk.read_request()
        talk.send(data)

    return script


def endless(start: bytes, piece: bytes) -> Script:
    """Return a script that sends *start* and then *piece* for ever; where that is empty, it waits."""

    def script(talk: Conversation) -> None:
        talk.read_request()
        talk.send(start)
        if piece:
            talk.drip(itertools.repeat(piece))
        talk.wait_for_end()
        raise ConnectionError("the client left")

    return script


class Server:
    """A listening socket on loopback; each connection is handed to *script* on a thread of its own.

    Attributes:
        port: TCP port.
        talks: One for each connection, in order.
        met: Set once a client has connected, and shaken hands where that is due.
        left: Set once a client has closed a connection under the script.
    """

    def __init__(self, script: Script, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.talks: list[Conversation] = []
        self.met = threading.Event()
        self.left = threading.Event()
        self._script = script
        self._context = context
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of *path* here."""
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    @property
    def destinations(self) -> Destinations:
        """Destinations that allow this server."""
        return Destinations(ports={self.port}, addresses=["127.0.0.0/8", "::1/128"])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(LIVENESS)
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            talk = Conversation(connection)
            self.talks.append(talk)
            self.met.set()
            self._script(talk)
        except TimeoutError:
            return
        except OSError:
            self.left.set()
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(LIVENESS)


def server_context(authority: CertificateAuthority, *names: str) -> ssl.SSLContext:
    """Return a context for a server of *names* whose certificate *authority* issued."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_server(*names).tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    return context


def row(address: str) -> tuple[Any, ...]:
    """Return a row as `socket.getaddrinfo` does for *address*."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, 0, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))


def names(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a resolver for which every name has *addresses*; its attribute ``asked`` counts the questions."""

    def resolve(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        asked.append((host, port))
        return [row(address) for address in addresses]

    asked: list[tuple[str, int]] = []
    resolve.asked = asked  # type: ignore[attr-defined]
    return resolve


def soon(seconds: float = 5.0) -> float:
    """Return the moment *seconds* from now, on the monotonic clock."""
    return time.monotonic() + seconds


def fetch(server: Server, exchange: Exchange | None = None, **options: Any) -> bytes:
    """Return what an `HTTPTransport` with *options* that may reach *server* fetches from it."""
    transport = HTTPTransport(destinations=server.destinations, **options)
    return transport.fetch(exchange or Exchange(server.url()), until=soon())


def outcome(call: Callable[[], T]) -> T | FetchFailed:
    """Return what *call* returns, or the failure that it raises; anything else that it raises is raised."""
    try:
        return call()
    except FetchFailed as error:
        return error


def failure(call: Callable[[], Any]) -> FetchFailed:
    """Return what *call* fails with."""
    found = outcome(call)
    assert isinstance(found, FetchFailed), f"fetched {found!r}"
    return found

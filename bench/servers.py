"""New connections on threads, asyncio, uvloop and uvicorn: CPU time of a server process of ours against a bare one.

Each server runs in a process of its own; this one is the client. A connection is one handshake, a question, an answer.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Self

from bench._harness import Row, Scale, Side, at_most, compare, ratio_row
from bench._material import HOST, P256, Pki
from bench.handshakes import bare_client

KINDS = {
    "threads": None,
    "threads with time-outs": None,
    "asyncio": None,
    "uvloop": "uvloop",
    "uvicorn": "uvicorn",
}
"""How connections are served, and the package that it needs."""
GREETING = b"GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n"


class Server:
    """A server in a process of its own, and the client that talks to it."""

    def __init__(self, kind: str, which: str, files: dict[str, str], client: ssl.SSLContext) -> None:
        command = [sys.executable, "-m", "bench._server", kind, which]
        command += [files[name] for name in ("server", "server_key", "root", "issuing")]
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.client = client
        self.port = int(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def _line(self) -> str:
        if self.process.stdout is None:
            raise AssertionError("no pipe")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the server ended")
        return line

    def cpu(self) -> float:
        """Return the CPU time that the server has used, in seconds."""
        if self.process.stdin is None:
            raise AssertionError("no pipe")
        self.process.stdin.write("cpu\n")
        self.process.stdin.flush()
        return float(self._line())

    def connect(self) -> None:
        """Open one connection, be answered, and close it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            # As HTTP clients do. Else the request waits 40 ms behind the client's Finished, which no ticket answers.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._ask(plain)

    def _ask(self, plain: socket.socket) -> None:
        with self.client.wrap_socket(plain, server_hostname=HOST) as secure:
            secure.sendall(GREETING)
            if not secure.recv(65536):
                raise AssertionError("the server refused")

    def side(self, connections: int) -> Side:
        """Return the side that opens *connections* one after the other."""

        def run() -> float:
            before = self.cpu()
            for _ in range(connections):
                self.connect()
            return (self.cpu() - before) / connections

        return run


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    pki = Pki.new(P256, 1)
    client = bare_client(pki)
    with pki.files() as files:
        for kind, package in KINDS.items():
            for which, tickets, budget in (("bare", "same", at_most(1.02)), ("bare-tickets", "default", None)):
                name = f"new connections, {kind}: server CPU / bare, {tickets} tickets"
                if package is not None and find_spec(package) is None:
                    yield Row(name, None, note=f"{package} is not installed (dependency group bench)")
                    continue
                with ExitStack() as stack:
                    servers = [stack.enter_context(Server(kind, one, files, client)) for one in ("ours", which, which)]
                    ours, bare, again = (server.side(scale.size(40, 3)) for server in servers)
                    found = compare(ours, bare, rounds=scale.rounds(40), again=again)
                yield ratio_row(name, found, budget)

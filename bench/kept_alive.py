"""Requests on a kept-alive connection: CPU time of uvicorn with the middleware against uvicorn without it.

All listeners are in one process: between two processes of the same kind there is more difference than is measured here.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec

from bench._harness import Row, Scale, Side, at_most, compare, ratio_row
from bench._material import HOST, P256, Pki
from bench.handshakes import bare_client
from bench.servers import Server

REQUEST = b"GET / HTTP/1.1\r\nHost: server.test\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n"
END = b"\r\n\r\nok"


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    pki = Pki.new(P256, 1)
    client = bare_client(pki)
    with pki.files() as files:
        for http in ("h11", "httptools"):
            names = [
                f"requests, kept connection, uvicorn {http}: server CPU / no middleware",
                f"requests, kept connection, uvicorn {http}: server CPU / bare",
            ]
            missing = [package for package in ("uvicorn", http) if find_spec(package) is None]
            if missing:
                note = f"{missing[0]} is not installed (dependency group bench)"
                yield from (Row(name, None, note=note) for name in names)
                continue
            with ExitStack() as stack:
                server = stack.enter_context(Server("kept-alive", http, files, client))
                ours, without, again, bare = (
                    requests(server, stack.enter_context(connected(port, client)), scale.size(100, 5))
                    for port in server.ports
                )
                for name, baseline, second, budget in (
                    (names[0], without, again, at_most(1.03)),
                    (names[1], bare, bare, None),
                ):
                    found = compare(ours, baseline, rounds=scale.rounds(60), again=second)
                    yield ratio_row(name, found, budget)


def connected(port: int, client: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection that is kept."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client.wrap_socket(plain, server_hostname=HOST)


def requests(server: Server, connection: ssl.SSLSocket, number: int) -> Side:
    """Return the side that asks *number* times over *connection*, one after the other."""

    def run() -> float:
        before = server.cpu()
        for _ in range(number):
            connection.sendall(REQUEST)
            answer = b""
            while not answer.endswith(END):
                more = connection.recv(65536)
                if not more:
                    raise AssertionError("the server closed a connection that it is to keep")
                answer += more
        return (server.cpu() - before) / number

    return run
